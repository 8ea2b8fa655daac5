// Package penalty turns a belief about a reward into one cautious number.
package penalty

import (
	"math"

	"gobayes/bayesrm"
)

// Func is a penalised reward. Any function of a belief is one; a cell can write its own.
type Func = func(bayesrm.Belief) float64

// Mean is the reward without a penalty: MAP.
func Mean() Func { return func(b bayesrm.Belief) float64 { return b.Mean } }

// StdOf is μ − k·√Λ (paper eq. 18). k has no unit.
func StdOf(k float64) Func {
	return func(b bayesrm.Belief) float64 { return b.Mean - k*math.Sqrt(b.Var) }
}

// VarOf is μ − k·Λ (paper eq. 19). k has the unit 1/reward. It equals −β·log E[e^(−r/β)] for k = 1/(2β): the reward that
// is robust against every distribution within a KL ball.
func VarOf(k float64) Func {
	return func(b bayesrm.Belief) float64 { return b.Mean - k*b.Var }
}

// Relative makes a penalty use the variance relative to the prompt's pool instead of the single response's: the direction
// that pairs of answers to one prompt cannot identify drops out. Beliefs without a pool give NaN, which bestofn refuses.
func Relative(f Func) Func {
	return func(b bayesrm.Belief) float64 {
		b.Var, b.PriorVar = b.RelVar, b.PriorRelVar
		return f(b)
	}
}

// Certainty is the control −Λ: the reward is ignored and the most certain answer wins.
func Certainty() Func { return func(b bayesrm.Belief) float64 { return -b.Var } }

// Prior is the control in which a penalty sees the prior's variance, as if there had been no data.
func Prior(f Func) Func {
	return func(b bayesrm.Belief) float64 {
		b.Var, b.RelVar = b.PriorVar, b.PriorRelVar
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
