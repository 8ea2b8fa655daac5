// Package metrics holds accuracy, likelihood, calibration and bootstrap intervals: pure arithmetic.
package metrics

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sort"

	"gonum.org/v1/gonum/stat"
)

// Interval is an estimate with its 95 % bootstrap interval.
type Interval struct {
	Mean, Lo, Hi float64
}

// String is mean [lo, hi].
func (i Interval) String() string { return fmt.Sprintf("%.3f [%.3f, %.3f]", i.Mean, i.Lo, i.Hi) }

// resamples is how many bootstrap samples an interval is read from.
const resamples = 2000

// Bootstrap returns the mean of values with its percentile interval. Values that belong together (the pairs of a prompt)
// must be averaged first.
func Bootstrap(values []float64, seed uint64) Interval {
	n := len(values)
	if n == 0 {
		return Interval{math.NaN(), math.NaN(), math.NaN()}
	}
	rng := rand.New(rand.NewPCG(seed, 0x626f6f74))
	means := make([]float64, resamples)
	for r := range means {
		var s float64
		for range n {
			s += values[rng.IntN(n)]
		}
		means[r] = s / float64(n)
	}
	sort.Float64s(means)
	return Interval{stat.Mean(values, nil), stat.Quantile(0.025, stat.Empirical, means, nil), stat.Quantile(0.975, stat.Empirical, means, nil)}
}

// NLL is the mean of −log p over probabilities of what happened. All must be positive.
func NLL(p []float64) float64 {
	var s float64
	for _, v := range p {
		s -= math.Log(v)
	}
	return s / float64(len(p))
}

// ECE is the expected calibration error of binary predictions: with confidence max(p, 1−p) in equal-width bins, the mean
// over bins of |accuracy − confidence|, weighted by count. p is the probability of the event, happened whether it came.
func ECE(p []float64, happened []bool, bins int) float64 {
	conf, right, count := make([]float64, bins), make([]float64, bins), make([]float64, bins)
	for i, v := range p {
		c := math.Max(v, 1-v)
		b := min(int(c*float64(bins)), bins-1)
		conf[b] += c
		count[b]++
		if (v > 0.5) == happened[i] {
			right[b]++
		}
	}
	var e float64
	for b, n := range count {
		if n > 0 {
			e += math.Abs(right[b]-conf[b]) / float64(len(p))
		}
	}
	return e
}
