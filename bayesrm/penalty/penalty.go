// Package penalty turns a belief about a reward into one cautious number.
package penalty

import (
	"math"
	"slices"

	"gobayes/bayesrm"

	"gonum.org/v1/gonum/stat/distuv"
)

// Func is a penalised reward. Any function of a belief is one; a cell can write its own.
type Func = func(bayesrm.Belief) float64

// Mean is the reward without a penalty: MAP.
func Mean() Func { return func(b bayesrm.Belief) float64 { return b.Mean } }

// StdOf is μ − k·√Λ (paper eq. 18). k has no unit.
func StdOf(k float64) Func {
	return func(b bayesrm.Belief) float64 { return b.Mean - k*math.Sqrt(b.Var) }
}

// VarOf is μ − k·Λ (paper eq. 19). k has the unit 1/reward.
func VarOf(k float64) Func {
	return func(b bayesrm.Belief) float64 { return b.Mean - k*b.Var }
}

// Robust is −β·log E[e^(−r/β)], the reward that is robust against every distribution within a KL ball: for a Gaussian, VarOf
// with k = 1/(2β). β is the KL weight of RLHF, in units of reward.
func Robust(beta float64) Func { return VarOf(1 / (2 * beta)) }

// Quantile is the α-quantile of the belief: with α = 0.05 the reward is larger with probability 0.95. α lies in (0, 1).
func Quantile(alpha float64) Func { return StdOf(-distuv.UnitNormal.Quantile(alpha)) }

// Average is the belief about the mean reward of independent members (paper eq. 20): the means' mean and ΣΛ/M². With StdOf
// and VarOf it gives equations 21 and 22. The members stay on the belief; all must be of one answer.
func Average(members []bayesrm.Belief) bayesrm.Belief {
	out := bayesrm.Belief{Members: members}
	if len(members) > 0 {
		out.ID = members[0].ID
	}
	M := float64(len(members))
	for _, b := range members {
		out.Mean += b.Mean / M
		out.Var += b.Var / (M * M)
		out.RelVar += b.RelVar / (M * M)
		out.PriorVar += b.PriorVar / (M * M)
		out.PriorRelVar += b.PriorRelVar / (M * M)
	}
	return out
}

// spread is the variance of the members' means, divided by M.
func spread(b bayesrm.Belief) (v float64) {
	M := float64(len(b.Members))
	for _, m := range b.Members {
		v += (m.Mean - b.Mean) * (m.Mean - b.Mean) / M
	}
	return v
}

// Disagreement makes a penalty use how far the members' means lie apart, their variance divided by M, instead of Λ.
// Beliefs without members give NaN.
func Disagreement(f Func) Func {
	return ofMembers(func(b bayesrm.Belief) float64 {
		b.Var = spread(b)
		return f(b)
	})
}

// Total makes a penalty use the variance of a member drawn at random: the mean of Λ plus the members' disagreement.
// Beliefs without members give NaN.
func Total(f Func) Func {
	return ofMembers(func(b bayesrm.Belief) float64 {
		v := spread(b)
		for _, m := range b.Members {
			v += m.Var / float64(len(b.Members))
		}
		b.Var = v
		return f(b)
	})
}

// WCO is the worst case over an ensemble: the smallest of the members' means (Coste et al., arXiv 2310.02743). Beliefs
// without members give NaN.
func WCO() Func {
	return ofMembers(func(b bayesrm.Belief) float64 {
		worst := math.Inf(1)
		for _, m := range b.Members {
			worst = math.Min(worst, m.Mean)
		}
		return worst
	})
}

// UWO is the members' mean less λ times their variance (Coste et al.; they use λ = 0.5 for best-of-n, 0.1 for PPO). Beliefs
// without members give NaN.
func UWO(lambda float64) Func { return Disagreement(VarOf(lambda)) }

func ofMembers(f Func) Func {
	return func(b bayesrm.Belief) float64 {
		if len(b.Members) == 0 {
			return math.NaN()
		}
		return f(b)
	}
}

// Relative makes a penalty use the variance relative to the prompt's pool instead of the single response's: the direction
// that pairs of answers to one prompt cannot identify drops out. Beliefs without a pool give NaN, which bestofn refuses.
func Relative(f Func) Func {
	return func(b bayesrm.Belief) float64 {
		b.Var, b.PriorVar = b.RelVar, b.PriorRelVar
		b.Members = slices.Clone(b.Members)
		for i, m := range b.Members {
			b.Members[i].Var, b.Members[i].PriorVar = m.RelVar, m.PriorRelVar
		}
		return f(b)
	}
}

// Member applies a penalty to one member of an ensemble, as if it were alone. Beliefs with fewer members give NaN.
func Member(i int, f Func) Func {
	return func(b bayesrm.Belief) float64 {
		if i >= len(b.Members) {
			return math.NaN()
		}
		return f(b.Members[i])
	}
}

// Certainty is the control −Λ: the reward is ignored and the most certain answer wins.
func Certainty() Func { return func(b bayesrm.Belief) float64 { return -b.Var } }

// Prior is the control in which a penalty sees the prior's variance, as if there had been no data.
func Prior(f Func) Func {
	return func(b bayesrm.Belief) float64 {
		b.Var, b.RelVar = b.PriorVar, b.PriorRelVar
		b.Members = slices.Clone(b.Members)
		for i, m := range b.Members {
			b.Members[i].Var, b.Members[i].RelVar = m.PriorVar, m.PriorRelVar
		}
		return f(b)
	}
}

// Apply scores beliefs with a penalty, in their order.
func Apply(f Func, beliefs []bayesrm.Belief) []bayesrm.Score {
	out := make([]bayesrm.Score, len(beliefs))
	for i, b := range beliefs {
		out[i] = bayesrm.Score{ID: b.ID, Value: f(b), Mean: b.Mean}
	}
	return out
}

// Std is Apply with StdOf.
func Std(k float64, beliefs []bayesrm.Belief) []bayesrm.Score { return Apply(StdOf(k), beliefs) }

// Var is Apply with VarOf.
func Var(k float64, beliefs []bayesrm.Belief) []bayesrm.Score { return Apply(VarOf(k), beliefs) }
