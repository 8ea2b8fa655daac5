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
	return BootstrapGroups([][]float64{values}, seed)
}

// BootstrapGroups is Bootstrap for values in groups, such as the prompts of each of several seeds: a sample draws groups, if
// there is more than one, and then values in each. The mean is over all values.
func BootstrapGroups(groups [][]float64, seed uint64) Interval {
	var all []float64
	for _, g := range groups {
		all = append(all, g...)
	}
	if len(all) == 0 {
		return Interval{math.NaN(), math.NaN(), math.NaN()}
	}
	rng := rand.New(rand.NewPCG(seed, 0x626f6f74))
	means := make([]float64, resamples)
	for r := range means {
		var s float64
		n := 0
		for k := range groups {
			g := groups[k]
			if len(groups) > 1 {
				g = groups[rng.IntN(len(groups))]
			}
			for range g {
				s += g[rng.IntN(len(g))]
			}
			n += len(g)
		}
		means[r] = s / float64(n)
	}
	sort.Float64s(means)
	return Interval{stat.Mean(all, nil), stat.Quantile(0.025, stat.Empirical, means, nil), stat.Quantile(0.975, stat.Empirical, means, nil)}
}

// NLL is the mean of −log p over probabilities of what happened. All must be positive.
func NLL(p []float64) float64 {
	var s float64
	for _, v := range p {
		s -= math.Log(v)
	}
	return s / float64(len(p))
}

// Brier is the mean of (p − y)², with y = 1 where the event happened.
func Brier(p []float64, happened []bool) float64 {
	var s float64
	for i, v := range p {
		if happened[i] {
			v = 1 - v
		}
		s += v * v
	}
	return s / float64(len(p))
}

// AUROC is the probability that a score of a case where the event happened is above one where it did not, ties half. It is
// NaN if there is no case of one kind.
func AUROC(score []float64, happened []bool) float64 {
	var sum, pos float64
	for i, r := range Ranks(score) {
		if happened[i] {
			sum += r
			pos++
		}
	}
	neg := float64(len(score)) - pos
	if pos == 0 || neg == 0 {
		return math.NaN()
	}
	return (sum - pos*(pos+1)/2) / (pos * neg)
}

// Ranks are the positions in ascending order, from 1; equal values share the mean of theirs.
func Ranks(x []float64) []float64 {
	order := make([]int, len(x))
	for i := range order {
		order[i] = i
	}
	sort.Slice(order, func(a, b int) bool { return x[order[a]] < x[order[b]] })
	r := make([]float64, len(x))
	for i := 0; i < len(order); {
		j := i + 1
		for j < len(order) && x[order[j]] == x[order[i]] {
			j++
		}
		for _, k := range order[i:j] {
			r[k] = float64(i+j+1) / 2
		}
		i = j
	}
	return r
}

// Spearman is the correlation of the ranks.
func Spearman(x, y []float64) float64 { return stat.Correlation(Ranks(x), Ranks(y), nil) }

// Kendall is τ_b, which accounts for ties: the difference of agreeing and disagreeing pairs over the geometric mean of the
// pairs that are not tied in x and in y. Time grows with the square of the length.
func Kendall(x, y []float64) float64 {
	var agree, tx, ty float64
	sign := func(a, b float64) float64 {
		switch {
		case a < b:
			return -1
		case a > b:
			return 1
		}
		return 0
	}
	for i := range x {
		for j := range i {
			a, b := sign(x[i], x[j]), sign(y[i], y[j])
			agree += a * b
			tx += a * a
			ty += b * b
		}
	}
	return agree / math.Sqrt(tx*ty)
}

// Bin is the part of a reliability curve between two confidences.
type Bin struct {
	Confidence, Accuracy float64 // means over the predictions in the bin
	Count                int
}

// Reliability sorts binary predictions by confidence max(p, 1−p) into bins of equal count, the last ones a little smaller.
func Reliability(p []float64, happened []bool, bins int) []Bin {
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	conf := func(i int) float64 { return math.Max(p[i], 1-p[i]) }
	sort.SliceStable(order, func(a, b int) bool { return conf(order[a]) < conf(order[b]) })
	var out []Bin
	for b := range bins {
		part := order[b*len(order)/bins : (b+1)*len(order)/bins]
		if len(part) == 0 {
			continue
		}
		c := Bin{Count: len(part)}
		for _, i := range part {
			c.Confidence += conf(i) / float64(len(part))
			if (p[i] > 0.5) == happened[i] {
				c.Accuracy += 1 / float64(len(part))
			}
		}
		out = append(out, c)
	}
	return out
}

// AdaptiveECE is the expected calibration error over the bins of Reliability.
func AdaptiveECE(p []float64, happened []bool, bins int) (e float64) {
	for _, b := range Reliability(p, happened, bins) {
		e += math.Abs(b.Accuracy-b.Confidence) * float64(b.Count) / float64(len(p))
	}
	return e
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
