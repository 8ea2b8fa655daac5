package tensor

import (
	"math"
	"unsafe"
)

// This file holds every kernel in plain Go: the level of processors without assembly, and what the assembly is tested
// against. Names and arguments are those of dispatch_*.go.

var negInf = float32(math.Inf(-1))

type (
	vector   [maxLanes]float32
	vector64 [maxLanes / 2]float64
)

func (v *vector) load(p *float32, from, to int)  { copy(v[:], unsafe.Slice(p, to)[from:]) }
func (v *vector) store(p *float32, from, to int) { copy(unsafe.Slice(p, to)[from:], v[:to-from]) }
func (v *vector) fill(x float32) {
	for i := range v {
		v[i] = x
	}
}
func (v *vector64) load(p *float64, from, to int)  { copy(v[:], unsafe.Slice(p, to)[from:]) }
func (v *vector64) store(p *float64, from, to int) { copy(unsafe.Slice(p, to)[from:], v[:to-from]) }

type float interface{ float32 | float64 }

func at[T float](p *T, n int) []T { return unsafe.Slice(p, n) }

func axpyOf[T float](y, x *T, n int, a T) {
	ys, xs := at(y, n), at(x, n)
	for i, v := range xs {
		ys[i] += a * v
	}
}

func dotOf[T float](x, y *T, n int) (r T) {
	xs, ys := at(x, n), at(y, n)
	for i, v := range xs {
		r += v * ys[i]
	}
	return r
}

func scaleOf[T float](x *T, n int, a T) {
	for i := range at(x, n) {
		at(x, n)[i] *= a
	}
}

func axpyGo(y, x *float32, n int, a float32)   { axpyOf(y, x, n, a) }
func axpy64Go(y, x *float64, n int, a float64) { axpyOf(y, x, n, a) }
func dotGo(x, y *float32, n int) float32       { return dotOf(x, y, n) }
func dot64Go(x, y *float64, n int) float64     { return dotOf(x, y, n) }
func scaleGo(x *float32, n int, a float32)     { scaleOf(x, n, a) }
func scale64Go(x *float64, n int, a float64)   { scaleOf(x, n, a) }
func sqrt32(x float32) float32                 { return float32(math.Sqrt(float64(x))) }
func normalCDF(x float32) float32              { return 0.5 * (1 + erf(x*0.70710678)) }
func tanh32(x float32) float32                 { return 2/(1+exp(-2*x)) - 1 }
func sigmoid32(x float32) float32              { return 1 / (1 + exp(-x)) }
func row2(p *float32, i, ld, n int) []float32 {
	return at((*float32)(unsafe.Add(unsafe.Pointer(p), i*ld)), n)
}
func elemAt[T float](p *T, bytes int) *T { return (*T)(unsafe.Add(unsafe.Pointer(p), bytes)) }

// exp is eˣ with a relative error below 2e-7: 2ⁿ times a polynomial on |r| ≤ ln 2 / 2 (Cephes' expf). Above 88.7 it is
// +Inf, below −87 it is 0.
func exp(x float32) float32 {
	switch {
	case x != x:
		return x
	case x > 88.73:
		return -negInf
	case x < -87:
		return 0
	}
	n := float32(math.RoundToEven(float64(x * 1.44269504088896341)))
	r := x - n*0.693359375 - n*-2.12194440e-4
	p := ((((1.9875691500e-4*r+1.3981999507e-3)*r+8.3334519073e-3)*r+4.1665795894e-2)*r+1.6666665459e-1)*r + 5.0000001201e-1
	y := (p*r*r + r + 1) * math.Float32frombits(uint32(int32(n)+126)<<23)
	return y + y
}

// erf has an absolute error below 5e-7: 1.5e-7 of the formula (Abramowitz and Stegun 7.1.26, five terms) and rounding.
func erf(x float32) float32 {
	a := max(x, -x)
	t := 1 / (1 + 0.3275911*a)
	y := 1 - ((((1.061405429*t-1.453152027)*t+1.421413741)*t-0.284496736)*t+0.254829592)*t*exp(-a*a)
	if x < 0 {
		return -y
	}
	return y
}

func sumGo(x *float32, n int) (r float32) {
	for _, v := range at(x, n) {
		r += v
	}
	return r
}

func largestGo(x *float32, n int) float32 {
	r := *x
	for _, v := range at(x, n) {
		r = max(r, v)
	}
	return r
}

func expShiftGo(y, x *float32, n int, m float32) (r float32) {
	for i, v := range at(x, n) {
		e := exp(v - m)
		at(y, n)[i] = e
		r += e
	}
	return r
}

func deviationGo(x *float32, n int, m float32) (r float32) {
	for _, v := range at(x, n) {
		r += (v - m) * (v - m)
	}
	return r
}

func normaliseGo(y, x, w, b *float32, n int, m, rstd float32) {
	ws, bs := at(w, n), at(b, n)
	for i, v := range at(x, n) {
		at(y, n)[i] = (v-m)*rstd*ws[i] + bs[i]
	}
}

func normaliseRMSGo(y, x, w *float32, n int, rstd float32) {
	for i, v := range at(x, n) {
		at(y, n)[i] = v * rstd * at(w, n)[i]
	}
}

func normSumsGo(dy, x, w *float32, n int, m, rstd float32) (sg, sgh float32) {
	for i, g := range at(dy, n) {
		g *= at(w, n)[i]
		sg += g
		sgh += g * (at(x, n)[i] - m) * rstd
	}
	return sg, sgh
}

func normGradGo(dx, dy, x, w *float32, n int, m, rstd, mg, mgh float32) {
	for i, g := range at(dy, n) {
		h := (at(x, n)[i] - m) * rstd
		at(dx, n)[i] += rstd * (g*at(w, n)[i] - mg - h*mgh)
	}
}

func normGradWeightGo(dw, dy, x *float32, n int, m, rstd float32) {
	for i, g := range at(dy, n) {
		at(dw, n)[i] += g * (at(x, n)[i] - m) * rstd
	}
}

func geluGo(y, x *float32, n int) {
	for i, v := range at(x, n) {
		at(y, n)[i] = v * normalCDF(v)
	}
}

func geluGradGo(dx, dy, x *float32, n int) {
	for i, v := range at(x, n) {
		at(dx, n)[i] = at(dy, n)[i] * (normalCDF(v) + v*0.3989422804014327*exp(-0.5*v*v))
	}
}

const sqrt2OverPi = 0.7978845608028654

func geluTanhGo(y, x *float32, n int) {
	for i, v := range at(x, n) {
		at(y, n)[i] = 0.5 * v * (1 + tanh32(sqrt2OverPi*(v+0.044715*v*v*v)))
	}
}

func geluTanhGradGo(dx, dy, x *float32, n int) {
	for i, v := range at(x, n) {
		t := tanh32(sqrt2OverPi * (v + 0.044715*v*v*v))
		at(dx, n)[i] = at(dy, n)[i] * (0.5*(1+t) + 0.5*v*(1-t*t)*sqrt2OverPi*(1+3*0.044715*v*v))
	}
}

func swigluGo(y, gate, up *float32, n int) {
	for i, g := range at(gate, n) {
		at(y, n)[i] = g * sigmoid32(g) * at(up, n)[i]
	}
}

func swigluGradGo(dgate, dup, dy, gate, up *float32, n int) {
	for i, g := range at(gate, n) {
		s, d, u := sigmoid32(g), at(dy, n)[i], at(up, n)[i]
		at(dup, n)[i] = d * g * s
		at(dgate, n)[i] = d * u * s * (1 + g*(1-s))
	}
}

func rotateGo(x, y, cos, sin *float32, n int) {
	for i, a := range at(x, n) {
		b, c, s := at(y, n)[i], at(cos, n)[i], at(sin, n)[i]
		at(x, n)[i], at(y, n)[i] = a*c-b*s, b*c+a*s
	}
}

func adamwGo(p, m, v, grad *float32, n int, b1, c1, b2, c2, step, rc, eps, decay float32) {
	ps, ms, vs := at(p, n), at(m, n), at(v, n)
	for i, g := range at(grad, n) {
		ms[i] = b1*ms[i] + c1*g
		vs[i] = b2*vs[i] + c2*g*g
		ps[i] = ps[i]*decay - step*ms[i]/(sqrt32(vs[i])*rc+eps)
	}
}

func colMaxGo(x, m *float32, n, ld int) {
	for i := range n {
		for j, v := range row2(x, i, ld, lanes) {
			at(m, lanes)[j] = max(at(m, lanes)[j], v)
		}
	}
}

func colExpGo(x, m, sum *float32, n, ld int, scale float32) {
	for i := range n {
		r := row2(x, i, ld, lanes)
		for j, v := range r {
			r[j] = exp(scale * (v - at(m, lanes)[j]))
			at(sum, lanes)[j] += r[j]
		}
	}
}

func colGradGo(d, p, delta *float32, n, ld int, scale float32) {
	for i := range n {
		r := row2(d, i, ld, lanes)
		for j, w := range row2(p, i, ld, lanes) {
			r[j] = scale * w * (r[j] - at(delta, lanes)[j])
		}
	}
}

func transposeGo(dst, src *float32, n, dld, sld int) {
	for b := range n {
		for i := range lanes {
			for j := range lanes {
				*elemAt(dst, (b*lanes+j)*dld+4*i) = *elemAt(src, i*sld+4*(b*lanes+j))
			}
		}
	}
}

func rotationsOf(z, c, s *float64, n, ld, width int) {
	for i := range n {
		x, y := at(elemAt(z, i*ld), width), at(elemAt(z, (i+1)*ld), width)
		ci, si := at(c, n)[i], at(s, n)[i]
		for j, a := range x {
			x[j], y[j] = ci*a+si*y[j], ci*y[j]-si*a
		}
	}
}

func rotations8Go(z, c, s *float64, n, ld int) { rotationsOf(z, c, s, n, ld, 8*lanes64) }
func rotations1Go(z, c, s *float64, n, ld int) { rotationsOf(z, c, s, n, ld, lanes64) }

func tileOf[T float](rows, width int, a, b, c *T, k, as, bs, cs, add int) {
	var acc [4][32]T
	for l := range k {
		x, y := at(elemAt(a, l*as), rows), at(elemAt(b, l*bs), width)
		for i, v := range x {
			for j, w := range y {
				acc[i][j] += v * w
			}
		}
	}
	for i := range rows {
		y := at(elemAt(c, i*cs), width)
		for j := range y {
			if add != 0 {
				acc[i][j] += y[j]
			}
			y[j] = acc[i][j]
		}
	}
}

func tileGo(rows, nv int, a, b, c *float32, k, as, bs, cs, add int) {
	tileOf(rows, nv*lanes, a, b, c, k, as, bs, cs, add)
}

func tile64Go(rows, nv int, a, b, c *float64, k, as, bs, cs, add int) {
	tileOf(rows, nv*lanes64, a, b, c, k, as, bs, cs, add)
}
