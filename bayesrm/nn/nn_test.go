package nn

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gobayes/bayesrm/internal/check"
)

func randn(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

func dot(a, b []float32) float64 {
	var s float64
	for i := range a {
		s += float64(a[i]) * float64(b[i])
	}
	return s
}

// Central differences in float32 of step 1e-2 are good to about 1e-3; every backward is compared with them.

func TestNormGrads(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0))
	for _, tt := range []struct{ N, C int }{{1, 3}, {3, 4}, {2, 17}} {
		t.Run(fmt.Sprintf("N=%d/C=%d", tt.N, tt.C), func(t *testing.T) {
			n := tt.N * tt.C
			x, w, b, dy := randn(rng, n), randn(rng, tt.C), randn(rng, tt.C), randn(rng, n)
			y, mean, rstd := make([]float32, n), make([]float32, tt.N), make([]float32, tt.N)
			loss := func() float64 { LayerNorm(y, mean, rstd, x, w, b, 1e-5); return dot(dy, y) }
			loss()
			dx, dw, db := make([]float32, n), make([]float32, tt.C), make([]float32, tt.C)
			LayerNormGrad(dx, dw, db, dy, x, w, mean, rstd)
			check.Close(t, "layer norm dx", dx, check.Grad(loss, x, 1e-2), 2e-3, 2e-2)
			check.Close(t, "layer norm dw", dw, check.Grad(loss, w, 1e-2), 1e-3, 1e-2)
			check.Close(t, "layer norm db", db, check.Grad(loss, b, 1e-2), 1e-3, 1e-2)

			loss = func() float64 { RMSNorm(y, rstd, x, w, 1e-5); return dot(dy, y) }
			loss()
			clear(dx)
			clear(dw)
			RMSNormGrad(dx, dw, dy, x, w, rstd)
			check.Close(t, "RMS norm dx", dx, check.Grad(loss, x, 1e-2), 2e-3, 2e-2)
			check.Close(t, "RMS norm dw", dw, check.Grad(loss, w, 1e-2), 1e-3, 1e-2)
		})
	}
}

func TestActivationGrads(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 0))
	const n = 50
	x, u, dy, y := randn(rng, n), randn(rng, n), randn(rng, n), make([]float32, n)
	gelu := func() float64 { GELU(y, x); return dot(dy, y) }
	gelu()
	for i, v := range x {
		if want := float64(v) * 0.5 * math.Erfc(-float64(v)/math.Sqrt2); math.Abs(float64(y[i])-want) > 1e-6 {
			t.Errorf("GELU(%v) = %v, want %v", v, y[i], want)
		}
	}
	dx := make([]float32, n)
	GELUGrad(dx, dy, x)
	check.Close(t, "GELU dx", dx, check.Grad(gelu, x, 1e-2), 1e-3, 1e-2)
	swiglu := func() float64 { SwiGLU(y, x, u); return dot(dy, y) }
	clear(dx)
	du := make([]float32, n)
	SwiGLUGrad(dx, du, dy, x, u)
	check.Close(t, "SwiGLU dgate", dx, check.Grad(swiglu, x, 1e-2), 1e-3, 1e-2)
	check.Close(t, "SwiGLU dup", du, check.Grad(swiglu, u, 1e-2), 1e-3, 1e-2)
}

func TestAttentionGrad(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 0))
	off := []int{0, 5, 6, 13}
	N := off[3]
	col := func(D int) func(int) int { return func(h int) int { return h * D } }
	hs := Heads{H: 4, KV: 2, D: 3, QRow: 12, KRow: 6, VRow: 6, Q: col(3), K: col(3), V: col(3)}
	q, k, v, dout := randn(rng, N*12), randn(rng, N*6), randn(rng, N*6), randn(rng, N*12)
	out, probs := make([]float32, N*12), make([]float32, ProbsLen(off, hs.H))
	loss := func() float64 { Attention(out, probs, q, k, v, off, hs); return dot(dout, out) }
	loss()
	// the reference, straight from the formula
	for b := range 3 {
		for i := off[b]; i < off[b+1]; i++ {
			for h := range 4 {
				var z float64
				o := make([]float64, 3)
				for j := off[b]; j <= i; j++ {
					e := math.Exp(dot(q[i*12+h*3:i*12+h*3+3], k[j*6+h/2*3:j*6+h/2*3+3]) / math.Sqrt(3))
					z += e
					for d := range o {
						o[d] += e * float64(v[j*6+h/2*3+d])
					}
				}
				for d := range o {
					if got := float64(out[i*12+h*3+d]); math.Abs(got-o[d]/z) > 1e-5 {
						t.Fatalf("row %d head %d: %v, want %v", i, h, got, o[d]/z)
					}
				}
			}
		}
	}
	dq, dk, dv := make([]float32, len(q)), make([]float32, len(k)), make([]float32, len(v))
	AttentionGrad(dq, dk, dv, dout, probs, q, k, v, off, hs)
	check.Close(t, "dq", dq, check.Grad(loss, q, 1e-2), 1e-3, 1e-2)
	check.Close(t, "dk", dk, check.Grad(loss, k, 1e-2), 1e-3, 1e-2)
	check.Close(t, "dv", dv, check.Grad(loss, v, 1e-2), 1e-3, 1e-2)
}

func TestRotaryInverse(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 0))
	r := NewRotary(6, 20, 10000)
	x := randn(rng, 8)
	y := append([]float32{}, x...)
	r.Apply(y, 17, false)
	if y[6] != x[6] || y[7] != x[7] {
		t.Error("dimensions beyond the rotary ones have changed")
	}
	if math.Abs(dot(y, y)-dot(x, x)) > 1e-5 || y[0] == x[0] {
		t.Error("not a rotation")
	}
	r.Apply(y, 17, true)
	check.Close(t, "there and back", y, x, 1e-6, 0)
}

func TestCrossEntropy(t *testing.T) {
	logits := []float32{1, 2, 3, 0, 0, 0, 5, 5, 5}
	sum, n := CrossEntropy(logits, []int{2, -1, 0}, 3, 0.5)
	if want := 0.40760596 + math.Log(3); n != 2 || math.Abs(sum-want) > 1e-6 {
		t.Errorf("loss %v over %d rows, want %v over 2", sum, n, want)
	}
	check.Close(t, "gradient", logits, []float32{0.045015, 0.122364, -0.167380, 0, 0, 0, -1. / 3, 1. / 6, 1. / 6}, 1e-5, 0)
}
