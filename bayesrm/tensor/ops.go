package tensor

import (
	"fmt"
	"math"
)

// sameLen panics unless all lengths equal n: a shape bug of the caller.
func sameLen(verb string, n int, lens ...int) {
	for i, l := range lens {
		if l != n {
			panic(fmt.Sprintf("tensor: %s: operand %d has %d elements, want %d", verb, i+1, l, n))
		}
	}
}

// Dot returns Σ x[i]·y[i].
func Dot(x, y []float32) float32 {
	sameLen("Dot", len(x), len(y))
	if len(x) == 0 {
		return 0
	}
	return dot(&x[0], &y[0], len(x))
}

// Axpy computes y += a·x.
func Axpy(y []float32, a float32, x []float32) {
	sameLen("Axpy", len(y), len(x))
	chunks(len(x), func(i, j int) { axpy(&y[i], &x[i], j-i, a) })
}

// Scale computes x *= a.
func Scale(x []float32, a float32) {
	if len(x) > 0 {
		scale(&x[0], len(x), a)
	}
}

// Softmax replaces x by eˣ / Σ eˣ and returns log Σ eˣ of the old x.
func Softmax(x []float32) float32 {
	m := largest(&x[0], len(x))
	sum := expShift(&x[0], &x[0], len(x), m)
	scale(&x[0], len(x), 1/sum)
	return m + float32(math.Log(float64(sum)))
}

// LayerNorm writes y = (x − mean)·rstd·w + b for one row and returns mean and rstd = 1/√(variance + eps).
func LayerNorm(y, x, w, b []float32, eps float32) (mean, rstd float32) {
	C := len(w)
	sameLen("LayerNorm", C, len(y), len(x), len(b))
	mean = sum(&x[0], C) / float32(C)
	rstd = 1 / sqrt32(deviation(&x[0], C, mean)/float32(C)+eps)
	normalise(&y[0], &x[0], &w[0], &b[0], C, mean, rstd)
	return mean, rstd
}

// LayerNormGrad is the backward of LayerNorm for one row: it adds to dx, and to dw and db unless they are nil.
func LayerNormGrad(dx, dw, db, dy, x, w []float32, mean, rstd float32) {
	C := len(w)
	sameLen("LayerNormGrad", C, len(dx), len(dy), len(x))
	sg, sgh := normSums(&dy[0], &x[0], &w[0], C, mean, rstd)
	normGrad(&dx[0], &dy[0], &x[0], &w[0], C, mean, rstd, sg/float32(C), sgh/float32(C))
	if dw != nil {
		normGradWeight(&dw[0], &dy[0], &x[0], C, mean, rstd)
		axpy(&db[0], &dy[0], C, 1)
	}
}

// RMSNorm writes y = x·rstd·w for one row and returns rstd = 1/√(mean square + eps).
func RMSNorm(y, x, w []float32, eps float32) (rstd float32) {
	C := len(w)
	sameLen("RMSNorm", C, len(y), len(x))
	rstd = 1 / sqrt32(deviation(&x[0], C, 0)/float32(C)+eps)
	normaliseRMS(&y[0], &x[0], &w[0], C, rstd)
	return rstd
}

// RMSNormGrad is the backward of RMSNorm for one row: it adds to dx, and to dw unless it is nil.
func RMSNormGrad(dx, dw, dy, x, w []float32, rstd float32) {
	C := len(w)
	sameLen("RMSNormGrad", C, len(dx), len(dy), len(x))
	_, sgh := normSums(&dy[0], &x[0], &w[0], C, 0, rstd)
	normGrad(&dx[0], &dy[0], &x[0], &w[0], C, 0, rstd, 0, sgh/float32(C))
	if dw != nil {
		normGradWeight(&dw[0], &dy[0], &x[0], C, 0, rstd)
	}
}

// GELU writes y = x·Φ(x), with the exact normal distribution function.
func GELU(y, x []float32) {
	sameLen("GELU", len(x), len(y))
	chunks(len(x), func(i, j int) { gelu(&y[i], &x[i], j-i) })
}

// GELUGrad is the backward of GELU: dx = dy·(Φ(x) + x·φ(x)).
func GELUGrad(dx, dy, x []float32) {
	sameLen("GELUGrad", len(x), len(dx), len(dy))
	chunks(len(x), func(i, j int) { geluGrad(&dx[i], &dy[i], &x[i], j-i) })
}

// GELUTanh writes y = x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³))), the approximation that "gelu_new" and "gelu_fast" name.
func GELUTanh(y, x []float32) {
	sameLen("GELUTanh", len(x), len(y))
	chunks(len(x), func(i, j int) { geluTanh(&y[i], &x[i], j-i) })
}

// GELUTanhGrad is the backward of GELUTanh; it overwrites dx.
func GELUTanhGrad(dx, dy, x []float32) {
	sameLen("GELUTanhGrad", len(x), len(dx), len(dy))
	chunks(len(x), func(i, j int) { geluTanhGrad(&dx[i], &dy[i], &x[i], j-i) })
}

// SwiGLU writes y = gate·σ(gate)·up.
func SwiGLU(y, gate, up []float32) {
	sameLen("SwiGLU", len(y), len(gate), len(up))
	chunks(len(y), func(i, j int) { swiglu(&y[i], &gate[i], &up[i], j-i) })
}

// SwiGLUGrad is the backward of SwiGLU; it overwrites dgate and dup.
func SwiGLUGrad(dgate, dup, dy, gate, up []float32) {
	sameLen("SwiGLUGrad", len(dy), len(dgate), len(dup), len(gate), len(up))
	chunks(len(dy), func(i, j int) { swigluGrad(&dgate[i], &dup[i], &dy[i], &gate[i], &up[i], j-i) })
}

// Rotate turns the pairs (x[i], y[i]) by the angles whose cosines and sines are given.
func Rotate(x, y, cos, sin []float32) {
	sameLen("Rotate", len(x), len(y), len(cos), len(sin))
	if len(x) > 0 {
		rotate(&x[0], &y[0], &cos[0], &sin[0], len(x))
	}
}

// AdamW updates parameters p with gradients g and moments m, v: m = b1·m + (1−b1)·g, v = b2·v + (1−b2)·g²,
// p = decay·p − step·m/(√v·rc + eps).
func AdamW(p, m, v, g []float32, b1, b2, step, rc, eps, decay float32) {
	sameLen("AdamW", len(p), len(m), len(v), len(g))
	chunks(len(p), func(i, j int) {
		adamw(&p[i], &m[i], &v[i], &g[i], j-i, b1, 1-b1, b2, 1-b2, step, rc, eps, decay)
	})
}

// FillRows sets every row of y [N, len(b)] to b.
func FillRows(y, b []float32) { eachRow(y, b, func(r []float32) { copy(r, b) }) }

// AddRows adds b to every row of y [N, len(b)].
func AddRows(y, b []float32) { eachRow(y, b, func(r []float32) { axpy(&r[0], &b[0], len(b), 1) }) }

func eachRow(y, b []float32, f func(r []float32)) {
	C := len(b)
	if len(y)%C != 0 {
		panic(fmt.Sprintf("tensor: rows of %d in %d elements", C, len(y)))
	}
	per := max(1, chunk/C)
	N := len(y) / C
	Parallel((N+per-1)/per, func(k int) {
		for n := k * per; n < min(N, (k+1)*per); n++ {
			f(y[n*C : (n+1)*C])
		}
	})
}

// DotWide returns Σ x·y of float32 numbers, summed in float64.
func DotWide(x, y []float32) float64 {
	var s float64
	for i, v := range x {
		s += float64(v) * float64(y[i])
	}
	return s
}

// Dot64 returns Σ x[i]·y[i].
func Dot64(x, y []float64) float64 {
	sameLen("Dot64", len(x), len(y))
	if len(x) == 0 {
		return 0
	}
	return dot64(&x[0], &y[0], len(x))
}

// Axpy64 computes y += a·x.
func Axpy64(y []float64, a float64, x []float64) {
	sameLen("Axpy64", len(y), len(x))
	if len(x) > 0 {
		axpy64(&y[0], &x[0], len(x), a)
	}
}

// RotateRows applies plane rotations to neighbouring rows of a matrix whose rows lie ld apart: for i = 0 … len(c)−1 rows i
// and i+1 become c[i]·x + s[i]·y and c[i]·y − s[i]·x, in columns from … to.
func RotateRows(z []float64, ld, from, to int, c, s []float64) {
	sameLen("RotateRows", len(c), len(s))
	n := len(c)
	if n == 0 {
		return
	}
	j := from
	for ; j+8*lanes64 <= to; j += 8 * lanes64 {
		rotations8(&z[j], &c[0], &s[0], n, 8*ld)
	}
	for ; j+lanes64 <= to; j += lanes64 {
		rotations1(&z[j], &c[0], &s[0], n, 8*ld)
	}
	for ; j < to; j++ {
		for i := range n {
			x, y := z[i*ld+j], z[(i+1)*ld+j]
			z[i*ld+j], z[(i+1)*ld+j] = c[i]*x+s[i]*y, c[i]*y-s[i]*x
		}
	}
}
