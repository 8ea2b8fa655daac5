package nn

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gobayes/bayesrm/internal/check"
	"gobayes/bayesrm/tensor"
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
	gelu := func() float64 { tensor.GELU(y, x); return dot(dy, y) }
	gelu()
	for i, v := range x {
		if want := float64(v) * 0.5 * math.Erfc(-float64(v)/math.Sqrt2); math.Abs(float64(y[i])-want) > 1e-6 {
			t.Errorf("GELU(%v) = %v, want %v", v, y[i], want)
		}
	}
	dx := make([]float32, n)
	tensor.GELUGrad(dx, dy, x)
	check.Close(t, "GELU dx", dx, check.Grad(gelu, x, 1e-2), 1e-3, 1e-2)
	swiglu := func() float64 { tensor.SwiGLU(y, x, u); return dot(dy, y) }
	du := make([]float32, n)
	tensor.SwiGLUGrad(dx, du, dy, x, u)
	check.Close(t, "SwiGLU dgate", dx, check.Grad(swiglu, x, 1e-2), 1e-3, 1e-2)
	check.Close(t, "SwiGLU dup", du, check.Grad(swiglu, u, 1e-2), 1e-3, 1e-2)
}

// TestAttention compares with the formula, differentiates numerically, and checks that some rows alone, and sequences behind
// a shared prefix, are the bits of the whole.
func TestAttention(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 0))
	for _, tt := range []struct {
		D   int
		off []int
	}{{3, []int{0, 5, 6, 13}}, {16, []int{0, 40, 41}}, {20, []int{0, 33}}} {
		t.Run(fmt.Sprintf("D=%d/off=%v", tt.D, tt.off), func(t *testing.T) { testAttention(t, rng, tt.D, tt.off) })
	}
}

func testAttention(t *testing.T, rng *rand.Rand, D int, off []int) {
	const H, KV = 4, 2
	N := off[len(off)-1]
	l := Layout{Off: off}
	col := func(h int) int { return h * D }
	hs := Heads{H: H, KV: KV, D: D, QRow: H * D, KRow: KV * D, VRow: KV * D, Q: col, K: col, V: col}
	q, k, v, dout := randn(rng, N*H*D), randn(rng, N*KV*D), randn(rng, N*KV*D), randn(rng, N*H*D)
	out, stat := make([]float32, N*H*D), make([]float32, N*H)
	loss := func() float64 { Attention(out, stat, q, k, v, l, nil, hs); return dot(dout, out) }
	loss()
	for b := range l.Len() { // the reference, straight from the formula
		for i := off[b]; i < off[b+1]; i++ {
			for h := range H {
				var z float64
				o := make([]float64, D)
				for j := off[b]; j <= i; j++ {
					kj := (j*KV + h/2) * D
					e := math.Exp(dot(q[(i*H+h)*D:(i*H+h+1)*D], k[kj:kj+D]) / math.Sqrt(float64(D)))
					z += e
					for d := range o {
						o[d] += e * float64(v[kj+d])
					}
				}
				for d := range o {
					if got := float64(out[(i*H+h)*D+d]); math.Abs(got-o[d]/z) > 1e-5 {
						t.Fatalf("row %d head %d: %v, want %v", i, h, got, o[d]/z)
					}
				}
			}
		}
	}
	rows := []int{0, 2, N - 1}
	few, fewStat := make([]float32, 3*H*D), make([]float32, 3*H)
	Attention(few, fewStat, q, k, v, l, rows, hs)
	for i, n := range rows {
		if !slices.Equal(few[i*H*D:(i+1)*H*D], out[n*H*D:(n+1)*H*D]) {
			t.Fatalf("row %d alone differs", n)
		}
	}
	if P := off[1] - 2; l.Len() == 1 || P > 2 { // cut the first sequence in two
		cut := Layout{Off: append([]int{0, P}, off[1:]...), Prefix: append([]int{-1, 0}, slices.Repeat([]int{-1}, l.Len()-1)...)}
		again := make([]float32, len(out))
		Attention(again, stat, q, k, v, cut, nil, hs)
		if !slices.Equal(again, out) {
			t.Fatal("a sequence behind its prefix differs from the whole")
		}
	}
	loss()
	dq, dk, dv := make([]float32, len(q)), make([]float32, len(k)), make([]float32, len(v))
	AttentionGrad(dq, dk, dv, dout, out, stat, q, k, v, l, nil, hs)
	check.Close(t, "dq", dq, check.Grad(loss, q, 1e-2), 1e-3, 1e-2)
	check.Close(t, "dk", dk, check.Grad(loss, k, 1e-2), 1e-3, 1e-2)
	check.Close(t, "dv", dv, check.Grad(loss, v, 1e-2), 1e-3, 1e-2)
}

func TestRotaryInverse(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 0))
	r := NewRotary(6, 10000, nil)
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

func TestLogProbs(t *testing.T) {
	logits := []float32{1, 2, 3, 0, 0, 0, 5, 5, 5}
	logp := LogProbs(logits, []int{2, -1, 0}, 3, func(n int, logp float64) float64 { return -0.5 })
	check.Close(t, "log-probabilities", logp, []float64{-0.40760596, 0, -math.Log(3)}, 1e-6, 0)
	check.Close(t, "gradient", logits, []float32{0.045015, 0.122364, -0.167380, 0, 0, 0, -1. / 3, 1. / 6, 1. / 6}, 1e-5, 0)
}

// TestNoisyLabels: the derivative by differences; the information is the expected square of the score; no noise is the limit.
func TestNoisyLabels(t *testing.T) {
	for _, q := range []float64{0, 0.1, 0.4} {
		for _, x := range []float64{-3, 0, 0.7, 6} {
			const h = 1e-5
			up, _ := LogLikelihood(x+h, q)
			down, _ := LogLikelihood(x-h, q)
			win, d := LogLikelihood(x, q)
			lose, e := LogLikelihood(-x, q)
			check.Close(t, "derivative", []float64{d}, []float64{(up - down) / (2 * h)}, 1e-8, 0)
			check.Close(t, "probabilities", []float64{math.Exp(win) + math.Exp(lose)}, []float64{1}, 1e-12, 0)
			check.Close(t, "information", []float64{Information(x, q)}, []float64{math.Exp(win)*d*d + math.Exp(lose)*e*e}, 1e-12, 0)
		}
	}
	check.Close(t, "limit", []float64{Information(1.3, 1e-12)}, []float64{Information(1.3, 0)}, 1e-9, 0)
}
