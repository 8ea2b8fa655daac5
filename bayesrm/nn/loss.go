package nn

import (
	"math"

	"gobayes/bayesrm/tensor"
)

// CrossEntropy returns Σ −log softmax(logits)[target] over the rows with target ≥ 0, how many those are, and replaces
// logits by the gradient of that sum times scale. logits is [N, V], targets [N].
func CrossEntropy(logits []float32, targets []int, V int, scale float32) (sum float64, count int) {
	losses := make([]float64, len(targets))
	tensor.Parallel(len(targets), func(n int) {
		l := logits[n*V : (n+1)*V]
		t := targets[n]
		if t < 0 {
			clear(l)
			return
		}
		z := l[t]
		losses[n] = float64(tensor.Softmax(l) - z)
		l[t]--
		for i := range l {
			l[i] *= scale
		}
	})
	for n, t := range targets {
		if t >= 0 {
			sum += losses[n]
			count++
		}
	}
	return sum, count
}

// LogSigmoid returns log σ(x) without overflow.
func LogSigmoid(x float64) float64 {
	if x < 0 {
		return x - math.Log1p(math.Exp(x))
	}
	return -math.Log1p(math.Exp(-x))
}

// Sigmoid returns 1 / (1 + e⁻ˣ).
func Sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// Information is the Fisher information about x in one label of probability q + (1−2q)σ(x): σ(x)σ(−x) without noise.
func Information(x, q float64) float64 {
	p := Sigmoid(x) * Sigmoid(-x)
	if q == 0 {
		return p
	}
	return (1 - 2*q) * (1 - 2*q) * p * p / ((q + (1-2*q)*Sigmoid(x)) * (q + (1-2*q)*Sigmoid(-x)))
}

// LogLikelihood is the log probability of a label at x, log(q + (1−2q)σ(x)), and its derivative. q < ½ is the probability
// that a label is flipped.
func LogLikelihood(x, q float64) (log, derivative float64) {
	if q == 0 {
		return LogSigmoid(x), Sigmoid(-x)
	}
	p := Sigmoid(x)
	noisy := q + (1-2*q)*p
	return math.Log(noisy), (1 - 2*q) * p * Sigmoid(-x) / noisy
}
