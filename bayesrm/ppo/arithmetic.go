package ppo

import (
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/stat"
)

// Estimator is how the KL from the reference is estimated from the log-ratio ℓ = log π(a) − log π_ref(a) of one token that π
// drew (Schulman 2020). All are 0 where the policies agree.
type Estimator int

// K1 is ℓ, unbiased; K2 is ½ℓ², biased; K3 is e^(−ℓ) − 1 + ℓ, unbiased and never negative. Programs that compute e^ℓ − 1 − ℓ
// have the sign of ℓ the wrong way round.
const (
	K1 Estimator = iota
	K2
	K3
)

// KL estimates the KL of one token in nats.
func (e Estimator) KL(logRatio float64) float64 {
	switch e {
	case K2:
		return logRatio * logRatio / 2
	case K3:
		return math.Expm1(-logRatio) + logRatio
	}
	return logRatio
}

// GAE returns the generalised advantages A of the tokens of one answer and their returns A + V (Schulman et al., arXiv
// 1506.02438): δ_t = r_t + γV_{t+1} − V_t, A_t = δ_t + γλA_{t+1}. The value after the end is 0.
func GAE(rewards, values []float64, gamma, lambda float64) (advantages, returns []float64) {
	T := len(rewards)
	advantages, returns = make([]float64, T), make([]float64, T)
	var next, last float64
	for t := T - 1; t >= 0; t-- {
		last = rewards[t] + gamma*next - values[t] + gamma*lambda*last
		advantages[t], returns[t] = last, last+values[t]
		next = values[t]
	}
	return advantages, returns
}

// LeaveOneOut returns the advantage of each answer to a prompt over the mean reward of the others (RLOO; Ahmadian et al., arXiv
// 2402.14740).
func LeaveOneOut(rewards []float64) []float64 {
	out := make([]float64, len(rewards))
	sum, others := floats.Sum(rewards), float64(len(rewards)-1)
	for i, r := range rewards {
		out[i] = r - (sum-r)/others
	}
	return out
}

// Whiten shifts and scales numbers in several slices to mean 0 and (unbiased) variance 1 over all of them.
func Whiten(slices [][]float64) {
	var all []float64
	for _, s := range slices {
		all = append(all, s...)
	}
	mean, variance := stat.MeanVariance(all, nil)
	if len(all) < 2 {
		variance = 0
	}
	for _, s := range slices {
		for i := range s {
			s[i] = (s[i] - mean) / math.Sqrt(variance+1e-8)
		}
	}
}

// Controller adapts the weight β of the KL penalty so that the KL of an answer comes to Target nats (Ziegler et al., arXiv
// 1909.08593).
type Controller struct {
	Beta, Target float64
	Horizon      int // answers
}

// Update takes the mean KL of n answers: β ← β·(1 + clip(KL/Target − 1, ±0.2)·n/Horizon).
func (c *Controller) Update(kl float64, n int) {
	c.Beta *= 1 + min(0.2, max(-0.2, kl/c.Target-1))*float64(n)/float64(c.Horizon)
}

// tokenRewards are −β·KL of each token; the last gets the score.
func tokenRewards(logp, ref []float64, e Estimator, beta, score float64) []float64 {
	r := make([]float64, len(logp))
	for t := range r {
		r[t] = -beta * e.KL(logp[t]-ref[t])
	}
	r[len(r)-1] += score
	return r
}

// policyLoss is PPO's clipped loss of one token, max(−Aρ, −A·clip(ρ, 1 ± ε)) with ρ = π/π_old, and its derivative with respect
// to log π. clipped says that the bound is what counts.
func policyLoss(logp, old, advantage, epsilon float64) (loss, dlogp float64, clipped bool) {
	ratio := math.Exp(logp - old)
	loss = -advantage * ratio
	if bound := -advantage * min(1+epsilon, max(1-epsilon, ratio)); bound > loss {
		return bound, 0, true
	}
	return loss, loss, false
}

// valueLoss is ½ max((V − R)², (clip(V, V_old ± ε) − R)²) and its derivative with respect to V.
func valueLoss(v, old, ret, epsilon float64) (loss, dv float64) {
	loss = (v - ret) * (v - ret) / 2
	c := min(old+epsilon, max(old-epsilon, v)) - ret
	if bound := c * c / 2; bound > loss {
		return bound, 0
	}
	return loss, v - ret
}
