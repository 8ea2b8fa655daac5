// Package optim holds AdamW, learning-rate schedules and gradient clipping.
package optim

import (
	"math"

	"gobayes/bayesrm/tensor"
)

// AdamW is the optimiser of Loshchilov and Hutter (2019): Adam with bias correction and decoupled weight decay.
type AdamW struct {
	Beta1, Beta2, Eps, WeightDecay float64

	Step int
	M, V [][]float32 // first and second moments, one slice a parameter
}

// NewAdamW returns an optimiser for parameters of the given sizes.
func NewAdamW(sizes []int, beta1, beta2, eps, weightDecay float64) *AdamW {
	o := &AdamW{Beta1: beta1, Beta2: beta2, Eps: eps, WeightDecay: weightDecay}
	for _, n := range sizes {
		o.M = append(o.M, make([]float32, n))
		o.V = append(o.V, make([]float32, n))
	}
	return o
}

// Update takes one step: θ ← θ − lr·(wd·θ + m̂/(√v̂ + ε)). params and grads are in the order of the sizes.
func (o *AdamW) Update(params, grads [][]float32, lr float64) {
	o.Step++
	c1 := 1 - math.Pow(o.Beta1, float64(o.Step))
	c2 := math.Sqrt(1 - math.Pow(o.Beta2, float64(o.Step)))
	for k, p := range params {
		tensor.AdamW(p, o.M[k], o.V[k], grads[k], float32(o.Beta1), float32(o.Beta2), float32(lr/c1), float32(1/c2), float32(o.Eps), float32(1-lr*o.WeightDecay))
	}
}

// Schedule gives the learning rate of a step.
type Schedule func(step, total int) float64

// Linear warms up over warmup steps and then falls to 0 in a straight line.
func Linear(lr float64, warmup int) Schedule {
	return func(step, total int) float64 {
		if step < warmup {
			return lr * float64(step) / float64(max(1, warmup))
		}
		return lr * math.Max(0, float64(total-step)/float64(max(1, total-warmup)))
	}
}

// Cosine warms up over warmup steps and then falls to 0 along half a cosine.
func Cosine(lr float64, warmup int) Schedule {
	return func(step, total int) float64 {
		if step < warmup {
			return lr * float64(step) / float64(max(1, warmup))
		}
		t := float64(step-warmup) / float64(max(1, total-warmup))
		return lr * math.Max(0, 0.5*(1+math.Cos(math.Pi*t)))
	}
}

// Clip scales the gradients so that their global norm is at most limit, and returns the norm before.
func Clip(grads [][]float32, limit float64) float64 {
	var ss float64
	for _, g := range grads {
		for _, v := range g {
			ss += float64(v) * float64(v)
		}
	}
	norm := math.Sqrt(ss)
	if limit > 0 && norm > limit {
		f := float32(limit / (norm + 1e-6))
		for _, g := range grads {
			for i := range g {
				g[i] *= f
			}
		}
	}
	return norm
}
