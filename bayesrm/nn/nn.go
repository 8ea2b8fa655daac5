// Package nn holds the layers of a transformer, each a forward and a backward function on packed rows.
//
// Backward functions accumulate into gradients (dx, dw); the caller zeroes. Shapes: N rows, C width, H heads, D = C/H.
package nn

import (
	"fmt"
	"math"

	"gobayes/bayesrm/tensor"
)

func mustLen(what string, got, want int) {
	if got != want {
		panic(fmt.Sprintf("%s has %d elements, want %d", what, got, want))
	}
}

// LayerNorm writes y[i] = (x[i] − mean) / std · w[i] + b[i] for each row of x and keeps mean and 1/std.
//
// x and y are [N, C], w and b [C], mean and rstd [N].
func LayerNorm(y, mean, rstd, x, w, b []float32, eps float32) {
	C := len(w)
	N := len(x) / C
	mustLen("nn: LayerNorm: y", len(y), N*C)
	mustLen("nn: LayerNorm: rstd", len(rstd), N)
	for n := range N {
		xn, yn := x[n*C:(n+1)*C], y[n*C:(n+1)*C]
		var s float32
		for _, v := range xn {
			s += v
		}
		m := s / float32(C)
		var ss float32
		for _, v := range xn {
			ss += (v - m) * (v - m)
		}
		r := 1 / float32(math.Sqrt(float64(ss/float32(C)+eps)))
		mean[n], rstd[n] = m, r
		for c, v := range xn {
			yn[c] = (v-m)*r*w[c] + b[c]
		}
	}
}

// LayerNormGrad is the backward of LayerNorm. dw and db may be nil.
func LayerNormGrad(dx, dw, db, dy, x, w, mean, rstd []float32) {
	C := len(w)
	for n := range len(x) / C {
		xn, dyn, dxn := x[n*C:(n+1)*C], dy[n*C:(n+1)*C], dx[n*C:(n+1)*C]
		m, r := mean[n], rstd[n]
		var sg, sgx float32
		for c, g := range dyn {
			h := (xn[c] - m) * r
			gw := g * w[c]
			sg += gw
			sgx += gw * h
			if dw != nil {
				dw[c] += g * h
				db[c] += g
			}
		}
		sg /= float32(C)
		sgx /= float32(C)
		for c, g := range dyn {
			h := (xn[c] - m) * r
			dxn[c] += r * (g*w[c] - sg - h*sgx)
		}
	}
}

// RMSNorm writes y[i] = x[i] / rms(x) · w[i] for each row of x and keeps 1/rms. eps is added to the mean square.
//
// x and y are [N, C], w is [C], rstd is [N].
func RMSNorm(y, rstd, x, w []float32, eps float32) {
	C := len(w)
	N := len(x) / C
	mustLen("nn: RMSNorm: y", len(y), N*C)
	mustLen("nn: RMSNorm: rstd", len(rstd), N)
	for n := range N {
		xn, yn := x[n*C:(n+1)*C], y[n*C:(n+1)*C]
		var ss float32
		for _, v := range xn {
			ss += v * v
		}
		r := 1 / float32(math.Sqrt(float64(ss/float32(C)+eps)))
		rstd[n] = r
		for c, v := range xn {
			yn[c] = v * r * w[c]
		}
	}
}

// RMSNormGrad is the backward of RMSNorm. dw may be nil.
func RMSNormGrad(dx, dw, dy, x, w, rstd []float32) {
	C := len(w)
	for n := range len(x) / C {
		xn, dyn, dxn := x[n*C:(n+1)*C], dy[n*C:(n+1)*C], dx[n*C:(n+1)*C]
		r := rstd[n]
		var s float32
		for c, g := range dyn {
			s += g * w[c] * xn[c]
			if dw != nil {
				dw[c] += g * xn[c] * r
			}
		}
		s *= r * r / float32(C)
		for c, g := range dyn {
			dxn[c] += r * (g*w[c] - xn[c]*s)
		}
	}
}

// GELU writes y = x·Φ(x), with the exact normal distribution function.
func GELU(y, x []float32) {
	const invSqrt2 = 0.7071067811865476
	tensor.Parallel(chunks(len(x)), func(k int) {
		for i := k * chunk; i < min((k+1)*chunk, len(x)); i++ {
			v := x[i]
			y[i] = 0.5 * v * (1 + tensor.Erf(v*invSqrt2))
		}
	})
}

// GELUGrad is the backward of GELU: dx += dy·(Φ(x) + x·φ(x)).
func GELUGrad(dx, dy, x []float32) {
	const (
		invSqrt2   = 0.7071067811865476
		invSqrt2Pi = 0.3989422804014327
	)
	tensor.Parallel(chunks(len(x)), func(k int) {
		for i := k * chunk; i < min((k+1)*chunk, len(x)); i++ {
			v := x[i]
			dx[i] += dy[i] * (0.5*(1+tensor.Erf(v*invSqrt2)) + v*invSqrt2Pi*tensor.Exp(-0.5*v*v))
		}
	})
}

// SwiGLU writes y = gate·σ(gate)·up.
func SwiGLU(y, gate, up []float32) {
	tensor.Parallel(chunks(len(y)), func(k int) {
		for i := k * chunk; i < min((k+1)*chunk, len(y)); i++ {
			y[i] = gate[i] / (1 + tensor.Exp(-gate[i])) * up[i]
		}
	})
}

// SwiGLUGrad is the backward of SwiGLU.
func SwiGLUGrad(dgate, dup, dy, gate, up []float32) {
	tensor.Parallel(chunks(len(dy)), func(k int) {
		for i := k * chunk; i < min((k+1)*chunk, len(dy)); i++ {
			s := 1 / (1 + tensor.Exp(-gate[i]))
			dup[i] += dy[i] * gate[i] * s
			dgate[i] += dy[i] * up[i] * s * (1 + gate[i]*(1-s))
		}
	})
}

// chunk is how many elements of a long vector one goroutine takes at a time.
const chunk = 1 << 13

func chunks(n int) int { return (n + chunk - 1) / chunk }

// Rotary holds cos and sin of the rotary position embedding, Dim/2 of each per position.
type Rotary struct {
	Dim      int // rotated part of a head; the rest passes through
	Cos, Sin []float32
}

// NewRotary makes the tables for positions 0 … T−1: angle = position · base^(−2i/dim).
func NewRotary(dim, T int, base float64) *Rotary {
	r := &Rotary{Dim: dim}
	for t := range T {
		for i := range dim / 2 {
			// in float32 as the reference does: frequency, then angle
			f := float32(1 / math.Pow(base, float64(2*i)/float64(dim)))
			a := float64(float32(t) * f)
			r.Cos = append(r.Cos, float32(math.Cos(a)))
			r.Sin = append(r.Sin, float32(math.Sin(a)))
		}
	}
	return r
}

// Apply rotates one head x [D] for position t in place: pairs are (i, i + Dim/2), the half-split form. With inverse it
// rotates back, which is the backward.
func (r *Rotary) Apply(x []float32, t int, inverse bool) {
	h := r.Dim / 2
	cos, sin := r.Cos[t*h:(t+1)*h], r.Sin[t*h:(t+1)*h]
	for i := range h {
		a, b, s := x[i], x[i+h], sin[i]
		if inverse {
			s = -s
		}
		x[i], x[i+h] = a*cos[i]-b*s, b*cos[i]+a*s
	}
}
