package nn

import (
	"math"

	"gobayes/bayesrm/tensor"
)

// LogProbs returns log softmax(logits)[target] of each row, 0 where the target is negative. logits is [N, V], targets [N]. With
// seed, the derivative of a loss with respect to each of them, logits are replaced by that loss's gradient. seed is called
// from several goroutines.
func LogProbs(logits []float32, targets []int, V int, seed func(n int, logp float64) float64) []float64 {
	logp := make([]float64, len(targets))
	tensor.Parallel(len(targets), func(n int) {
		l := logits[n*V : (n+1)*V]
		t := targets[n]
		if t < 0 {
			clear(l)
			return
		}
		z := l[t]
		logp[n] = float64(z - tensor.Softmax(l))
		if seed == nil {
			return
		}
		l[t]--
		tensor.Scale(l, float32(-seed(n, logp[n])))
	})
	return logp
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
