package ppo

import (
	"math"
	"math/rand/v2"

	"gobayes/bayesrm/tensor"
)

// valueHead predicts the return from a hidden state: w₂·relu(W₁·h + b₁) + b₂, with W₁ [2C, C].
type valueHead struct {
	C              int
	w1, b1, w2, b2 []float32
	grads          [][]float32 // of these four
	h              []float32   // relu(…) of the last forward [N, 2C]
}

func newValueHead(C int, seed uint64) *valueHead {
	v := &valueHead{C: C, w1: make([]float32, 2*C*C), b1: make([]float32, 2*C), w2: make([]float32, 2*C), b2: make([]float32, 1)}
	rng := rand.New(rand.NewPCG(seed, 0x76616c7565))
	fill := func(w []float32, in int) {
		bound := 1 / math.Sqrt(float64(in))
		for i := range w {
			w[i] = float32((2*rng.Float64() - 1) * bound)
		}
	}
	fill(v.w1, C)
	fill(v.w2, 2*C)
	for _, w := range v.weights() {
		v.grads = append(v.grads, make([]float32, len(w)))
	}
	return v
}

func (v *valueHead) weights() [][]float32 { return [][]float32{v.w1, v.b1, v.w2, v.b2} }

// forward returns the values of rows of hidden states [N, C].
func (v *valueHead) forward(hidden []float32) []float64 {
	N, F := len(hidden)/v.C, 2*v.C
	v.h = make([]float32, N*F)
	tensor.FillRows(v.h, v.b1)
	tensor.MatMulNT(v.h, hidden, v.w1, N, F, v.C, true)
	out := make([]float64, N)
	for n := range out {
		row := v.h[n*F : (n+1)*F]
		for i, x := range row {
			row[i] = max(0, x)
		}
		out[n] = tensor.DotWide(row, v.w2) + float64(v.b2[0])
	}
	return out
}

// backward takes the derivatives dv [N] of a loss with respect to the values of the last forward: it adds to the gradients and
// to dhidden [N, C].
func (v *valueHead) backward(dhidden, hidden []float32, dv []float64) {
	N, F := len(dv), 2*v.C
	dh := make([]float32, N*F)
	for n, d := range dv {
		tensor.Axpy(v.grads[2], float32(d), v.h[n*F:(n+1)*F])
		v.grads[3][0] += float32(d)
		for i, x := range v.h[n*F : (n+1)*F] {
			if x > 0 {
				dh[n*F+i] = float32(d) * v.w2[i]
			}
		}
		tensor.Axpy(v.grads[1], 1, dh[n*F:(n+1)*F])
	}
	tensor.MatMulTN(v.grads[0], dh, hidden, N, F, v.C)
	tensor.MatMulNN(dhidden, dh, v.w1, N, v.C, F, true)
}
