package main

import (
	"fmt"
	"strings"
)

// signature is the Go declaration that all levels of a kernel share.
type signature struct {
	name    string
	ptrs    []string // pointers to elements
	ints    []string
	scalars []string // float32, or float64 for the f64 kernels
	rets    []string
	f64     bool
}

func (s signature) elem() string {
	if s.f64 {
		return "float64"
	}
	return "float32"
}

func (s signature) size() int {
	if s.f64 {
		return 8
	}
	return 4
}

// params and results are Go source.
func (s signature) params() string {
	var p []string
	if len(s.ptrs) > 0 {
		p = append(p, strings.Join(s.ptrs, ", ")+" *"+s.elem())
	}
	if len(s.ints) > 0 {
		p = append(p, strings.Join(s.ints, ", ")+" int")
	}
	if len(s.scalars) > 0 {
		p = append(p, strings.Join(s.scalars, ", ")+" "+s.elem())
	}
	return strings.Join(p, ", ")
}

func (s signature) results() string {
	if len(s.rets) == 0 {
		return ""
	}
	return fmt.Sprintf(" (%s %s)", strings.Join(s.rets, ", "), s.elem())
}

func (s signature) args() string {
	return strings.Join(append(append(append([]string{}, s.ptrs...), s.ints...), s.scalars...), ", ")
}

func (s signature) intAt(i int) int    { return 8 * (len(s.ptrs) + i) }
func (s signature) scalarAt(i int) int { return s.intAt(len(s.ints)) + s.size()*i }
func (s signature) retAt(i int) int {
	return (s.scalarAt(len(s.scalars))+7)/8*8 + s.size()*i
}
func (s signature) bytes() int {
	if len(s.rets) == 0 {
		return s.scalarAt(len(s.scalars))
	}
	return s.retAt(len(s.rets))
}

// begin opens a function and loads its pointers and scalars.
func (a *asm) begin(s signature) (scalars []vec) {
	a.f64 = s.f64
	a.used = make([]bool, a.vregs)
	fmt.Fprintf(a.out, "// func %s%s(%s)%s\n", s.name, a.name, s.params(), s.results())
	fmt.Fprintf(a.out, "TEXT ·%s%s(SB), NOSPLIT, $0-%d\n", s.name, a.name, s.bytes())
	for i, p := range s.ptrs {
		a.arg64(p, 8*i, a.ptrs[i])
	}
	for i, p := range s.scalars {
		r := a.v()
		a.arg(r, p, s.scalarAt(i))
		scalars = append(scalars, r)
	}
	return scalars
}

// elementwise is a kernel that walks n elements of all its pointers together; n is a multiple of the lanes.
type elementwise struct {
	signature
	writes  int // how many of the first pointers are written
	doc     string
	setup   func(a *asm, s []vec) []vec // accumulators
	body    func(a *asm, s []vec, x []vec, acc []vec) []vec
	largest bool   // the result is a maximum, not a sum
	pad     string // Go expression for the elements beyond the end that are read; 0 if empty
}

// emit writes the kernel for one instruction set. body gets the loaded elements and returns what is to be stored.
func (e elementwise) emit(a *asm) {
	s := a.begin(e.signature)
	a.arg64("n", e.intAt(0), a.count)
	var acc []vec
	if e.setup != nil {
		acc = e.setup(a, s)
	}
	a.loop(a.lanes(), func() {
		kept := append([]bool{}, a.used...)
		var x []vec
		for i := range e.ptrs {
			r := a.v()
			a.load(r, a.ptrs[i], 0)
			x = append(x, r)
		}
		for i, y := range e.body(a, s, x, acc) {
			a.store(y, a.ptrs[i], 0)
		}
		for i := range e.ptrs {
			a.step(a.ptrs[i], a.bytes)
		}
		a.used = kept
	})
	for i, r := range acc {
		a.reduce(r, e.largest)
		a.ret(r, e.rets[i], e.retAt(i))
	}
	a.end()
}

func zeros(n int) func(a *asm, s []vec) []vec {
	return func(a *asm, s []vec) (acc []vec) {
		for range n {
			r := a.v()
			a.zero(r)
			acc = append(acc, r)
		}
		return acc
	}
}

// polynomial evaluates c[0]·xⁿ + … + c[n] by Horner's rule.
func (a *asm) polynomial(x vec, c ...float64) vec {
	p := a.con(c[0])
	for _, k := range c[1:] {
		t := a.con(k)
		a.fma(t, p, x)
		a.free(p)
		p = t
	}
	return p
}

// exp replaces x by eˣ: 2ⁿ times a polynomial on |r| ≤ ln 2 / 2 (Cephes' expf). Below −87 it is 0, above 88.7 +Inf.
func (a *asm) exp(x vec) {
	t := a.con(-87.33)
	a.max(x, t, x) // in this order a NaN stays
	a.free(t)
	t = a.con(89)
	a.min(x, t, x)
	a.free(t)
	n := a.con(1.44269504088896341)
	a.mul(n, n, x)
	a.round(n, n)
	t = a.con(0.693359375)
	a.fnma(x, n, t)
	a.free(t)
	t = a.con(-2.12194440e-4)
	a.fnma(x, n, t)
	a.free(t)
	p := a.polynomial(x, 1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
	t = a.v()
	a.mul(t, x, x)
	a.fma(x, p, t) // r + p·r²
	a.free(p, t)
	t = a.con(1)
	a.add(x, x, t)
	a.conBits(t, 126)
	a.pow2(n, t)
	a.mul(x, x, n)
	a.add(x, x, x)
	a.free(t, n)
}

// sigmoid replaces x by 1/(1 + e⁻ˣ).
func (a *asm) sigmoid(x vec) {
	t := a.v()
	a.zero(t)
	a.sub(x, t, x)
	a.free(t)
	a.exp(x)
	t = a.con(1)
	a.add(x, x, t)
	a.div(x, t, x)
	a.free(t)
}

// normal returns Φ(x), by erf of Abramowitz and Stegun 7.1.26, and e^(−x²/2). x is kept.
func (a *asm) normal(x vec) (cdf, gauss vec) {
	gauss = a.v()
	a.mul(gauss, x, x)
	t := a.con(-0.5)
	a.mul(gauss, gauss, t)
	a.free(t)
	a.exp(gauss)
	// with z = |x|/√2: erf z = 1 − poly(1/(1 + p z))·e^(−z²)
	abs, sign := a.v(), a.v()
	a.conBits(sign, 0x80000000)
	a.or(abs, x, sign)   // −|x|
	a.and(sign, x, sign) // sign of x
	q := a.con(-0.3275911 * 0.7071067811865476)
	one := a.con(1)
	den := a.v()
	a.mov(den, one)
	a.fma(den, abs, q)
	a.div(den, one, den)
	a.free(abs, q)
	p := a.polynomial(den, 1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
	a.mul(p, p, den)
	a.mul(p, p, gauss) // 1 − erf z
	a.sub(p, one, p)
	a.or(p, p, sign) // erf(x/√2): its size is at least 0
	half := a.con(0.5)
	cdf = one
	a.add(cdf, one, p)
	a.mul(cdf, cdf, half)
	a.free(half, p, den, sign)
	return cdf, gauss
}

// tanhGELU returns t = tanh(√(2/π)(x + 0.044715 x³)) in a new register.
func (a *asm) tanhGELU(x vec) vec {
	u := a.v()
	a.mul(u, x, x)
	k := a.con(0.044715 * 0.7978845608028654 * 2)
	l := a.con(0.7978845608028654 * 2)
	a.fma(l, u, k)
	a.mul(u, l, x) // twice the argument
	a.free(k, l)
	a.sigmoid(u)
	one := a.con(1)
	a.add(u, u, u)
	a.sub(u, u, one) // tanh z = 2σ(2z) − 1
	a.free(one)
	return u
}

func elementwiseKernels() []elementwise {
	f := func(name string, ptrs, scalars, rets string) signature {
		return signature{name: name, ptrs: strings.Fields(ptrs), ints: []string{"n"}, scalars: strings.Fields(scalars), rets: strings.Fields(rets)}
	}
	double := func(s signature) signature { s.f64 = true; return s }
	axpy := func(a *asm, s, x, _ []vec) []vec { a.fma(x[0], s[0], x[1]); return x[:1] }
	dot := func(a *asm, _, x, acc []vec) []vec { a.fma(acc[0], x[0], x[1]); return nil }
	scale := func(a *asm, s, x, _ []vec) []vec { a.mul(x[0], x[0], s[0]); return x[:1] }
	sum := func(a *asm, _, x, acc []vec) []vec { a.add(acc[0], acc[0], x[0]); return nil }
	return []elementwise{
		{signature: f("axpy", "y x", "a", ""), writes: 1, doc: "y += a·x", body: axpy},
		{signature: double(f("axpy64", "y x", "a", "")), writes: 1, doc: "y += a·x", body: axpy},
		{signature: f("dot", "x y", "", "r"), doc: "Σ x·y", setup: zeros(1), body: dot},
		{signature: double(f("dot64", "x y", "", "r")), doc: "Σ x·y", setup: zeros(1), body: dot},
		{signature: f("scale", "x", "a", ""), writes: 1, doc: "x *= a", body: scale},
		{signature: double(f("scale64", "x", "a", "")), writes: 1, doc: "x *= a", body: scale},
		{signature: f("sum", "x", "", "r"), doc: "Σ x", setup: zeros(1), body: sum},
		{signature: f("largest", "x", "", "r"), doc: "max x", largest: true, pad: "negInf",
			setup: func(a *asm, _ []vec) []vec {
				r := a.v()
				a.load(r, a.ptrs[0], 0)
				return []vec{r}
			},
			body: func(a *asm, _, x, acc []vec) []vec { a.max(acc[0], x[0], acc[0]); return nil }},
		{signature: f("expShift", "y x", "m", "r"), writes: 1, doc: "y = exp(x − m), Σ y", pad: "negInf", setup: zeros(1),
			body: func(a *asm, s, x, acc []vec) []vec {
				a.sub(x[1], x[1], s[0])
				a.exp(x[1])
				a.add(acc[0], acc[0], x[1])
				return x[1:2]
			}},
		{signature: f("deviation", "x", "m", "r"), doc: "Σ (x − m)²", pad: "m", setup: zeros(1),
			body: func(a *asm, s, x, acc []vec) []vec {
				a.sub(x[0], x[0], s[0])
				a.fma(acc[0], x[0], x[0])
				return nil
			}},
		{signature: f("normalise", "y x w b", "m rstd", ""), writes: 1, doc: "y = (x − m)·rstd·w + b",
			body: func(a *asm, s, x, _ []vec) []vec {
				a.sub(x[1], x[1], s[0])
				a.mul(x[1], x[1], s[1])
				a.fma(x[3], x[1], x[2])
				return x[3:4]
			}},
		{signature: f("normaliseRMS", "y x w", "rstd", ""), writes: 1, doc: "y = x·rstd·w",
			body: func(a *asm, s, x, _ []vec) []vec {
				a.mul(x[1], x[1], s[0])
				a.mul(x[1], x[1], x[2])
				return x[1:2]
			}},
		{signature: f("normSums", "dy x w", "m rstd", "sg sgh"), doc: "with h = (x − m)·rstd: Σ dy·w and Σ dy·w·h", setup: zeros(2),
			body: func(a *asm, s, x, acc []vec) []vec {
				a.sub(x[1], x[1], s[0])
				a.mul(x[1], x[1], s[1])
				a.mul(x[0], x[0], x[2])
				a.add(acc[0], acc[0], x[0])
				a.fma(acc[1], x[0], x[1])
				return nil
			}},
		{signature: f("normGrad", "dx dy x w", "m rstd mg mgh", ""), writes: 1, doc: "dx += rstd·(dy·w − mg − h·mgh)",
			body: func(a *asm, s, x, _ []vec) []vec {
				a.sub(x[2], x[2], s[0])
				a.mul(x[2], x[2], s[1])
				a.mul(x[1], x[1], x[3])
				a.sub(x[1], x[1], s[2])
				a.fnma(x[1], x[2], s[3])
				a.fma(x[0], x[1], s[1])
				return x[:1]
			}},
		{signature: f("normGradWeight", "dw dy x", "m rstd", ""), writes: 1, doc: "dw += dy·(x − m)·rstd",
			body: func(a *asm, s, x, _ []vec) []vec {
				a.sub(x[2], x[2], s[0])
				a.mul(x[2], x[2], s[1])
				a.fma(x[0], x[1], x[2])
				return x[:1]
			}},
		{signature: f("gelu", "y x", "", ""), writes: 1, doc: "y = x·Φ(x)",
			body: func(a *asm, _, x, _ []vec) []vec {
				cdf, _ := a.normal(x[1])
				a.mul(x[1], x[1], cdf)
				return x[1:2]
			}},
		{signature: f("geluGrad", "dx dy x", "", ""), writes: 1, doc: "dx = dy·(Φ(x) + x·φ(x))",
			body: func(a *asm, _, x, _ []vec) []vec {
				cdf, gauss := a.normal(x[2])
				k := a.con(0.3989422804014327)
				a.mul(gauss, gauss, k)
				a.fma(cdf, gauss, x[2])
				a.mul(x[1], x[1], cdf)
				return x[1:2]
			}},
		{signature: f("geluTanh", "y x", "", ""), writes: 1, doc: "y = x/2·(1 + tanh(√(2/π)(x + 0.044715 x³)))",
			body: func(a *asm, _, x, _ []vec) []vec {
				t := a.tanhGELU(x[1])
				half := a.con(0.5)
				a.mul(x[1], x[1], half)
				a.fma(x[1], x[1], t)
				return x[1:2]
			}},
		{signature: f("geluTanhGrad", "dx dy x", "", ""), writes: 1, doc: "the backward of geluTanh",
			body: func(a *asm, _, x, _ []vec) []vec {
				// 0.5(1 + t) + 0.5·x·(1 − t²)·√(2/π)(1 + 3·0.044715 x²)
				t := a.tanhGELU(x[2])
				d := a.v()
				a.mul(d, x[2], x[2])
				k, c := a.con(0.5*0.7978845608028654*3*0.044715), a.con(0.5*0.7978845608028654)
				a.fma(c, d, k)
				a.mul(c, c, x[2])
				one, half := a.con(1), a.con(0.5)
				a.mov(d, one)
				a.fnma(d, t, t)
				a.mul(c, c, d)
				a.add(t, t, one)
				a.fma(c, t, half)
				a.mul(x[1], x[1], c)
				return x[1:2]
			}},
		{signature: f("swiglu", "y gate up", "", ""), writes: 1, doc: "y = gate·σ(gate)·up",
			body: func(a *asm, _, x, _ []vec) []vec {
				s := a.v()
				a.mov(s, x[1])
				a.sigmoid(s)
				a.mul(s, s, x[1])
				a.mul(s, s, x[2])
				return []vec{s}
			}},
		{signature: f("swigluGrad", "dgate dup dy gate up", "", ""), writes: 2, doc: "the backward of swiglu",
			body: func(a *asm, _, x, _ []vec) []vec {
				s := a.v()
				a.mov(s, x[3])
				a.sigmoid(s)
				a.mul(x[1], x[3], s)    // silu
				a.mul(x[0], x[2], x[4]) // dy·up
				a.mul(x[0], x[0], s)
				one := a.con(1)
				a.sub(s, one, s)
				a.fma(one, x[3], s) // 1 + gate·(1 − σ)
				a.mul(x[0], x[0], one)
				a.mul(x[1], x[1], x[2])
				return x[:2]
			}},
		{signature: f("rotate", "x y cos sin", "", ""), writes: 2, doc: "(x, y) = (x·cos − y·sin, y·cos + x·sin)",
			body: func(a *asm, _, x, _ []vec) []vec {
				u, v := a.v(), a.v()
				a.mul(u, x[0], x[2])
				a.fnma(u, x[1], x[3])
				a.mul(v, x[1], x[2])
				a.fma(v, x[0], x[3])
				return []vec{u, v}
			}},
		{signature: f("adamw", "p m v grad", "b1 c1 b2 c2 step rc eps decay", ""), writes: 3, doc: "m = b1·m + c1·g, v = b2·v + c2·g², p = decay·p − step·m/(√v·rc + eps)",
			body: func(a *asm, s, x, _ []vec) []vec {
				t := a.v()
				a.mul(x[1], x[1], s[0])
				a.fma(x[1], x[3], s[1])
				a.mul(x[2], x[2], s[2])
				a.mul(t, x[3], x[3])
				a.fma(x[2], t, s[3])
				a.sqrt(t, x[2])
				a.mul(t, t, s[5])
				a.add(t, t, s[6])
				a.div(t, x[1], t)
				a.mul(x[0], x[0], s[7])
				a.fnma(x[0], t, s[4])
				return x[:3]
			}},
	}
}

// Kernels on columns walk n rows of one vector of columns, ld bytes apart: the lanes are the columns, so nothing is
// summed across a register. Attention keeps its scores as [keys, queries] and uses them.
type columns struct {
	signature
	doc  string
	emit func(a *asm, s signature)
}

func (a *asm) rows(s signature, ptrs int, body func()) {
	a.arg64("n", s.intAt(0), a.count)
	ld := a.ptrs[len(s.ptrs)]
	a.arg64("ld", s.intAt(1), ld)
	a.loop(1, func() {
		kept := append([]bool{}, a.used...)
		body()
		for i := range ptrs {
			a.stride(a.ptrs[i], ld)
		}
		a.used = kept
	})
}

func columnKernels() []columns {
	f := func(name, ptrs, scalars string) signature {
		return signature{name: name, ptrs: strings.Fields(ptrs), ints: []string{"n", "ld"}, scalars: strings.Fields(scalars)}
	}
	return []columns{
		{signature: f("colMax", "x m", ""), doc: "m = the larger of m and each row of x",
			emit: func(a *asm, s signature) {
				a.begin(s)
				m := a.v()
				a.load(m, a.ptrs[1], 0)
				a.rows(s, 1, func() {
					x := a.v()
					a.load(x, a.ptrs[0], 0)
					a.max(m, x, m)
				})
				a.store(m, a.ptrs[1], 0)
				a.end()
			}},
		{signature: f("colExp", "x m sum", "scale"), doc: "x = exp(scale·(x − m)), sum += x",
			emit: func(a *asm, s signature) {
				sc := a.begin(s)
				m, sum := a.v(), a.v()
				a.load(m, a.ptrs[1], 0)
				a.load(sum, a.ptrs[2], 0)
				a.rows(s, 1, func() {
					x := a.v()
					a.load(x, a.ptrs[0], 0)
					a.sub(x, x, m)
					a.mul(x, x, sc[0])
					a.exp(x)
					a.add(sum, sum, x)
					a.store(x, a.ptrs[0], 0)
				})
				a.store(sum, a.ptrs[2], 0)
				a.end()
			}},
		{signature: f("colGrad", "d p delta", "scale"), doc: "d = scale·p·(d − delta)",
			emit: func(a *asm, s signature) {
				sc := a.begin(s)
				delta := a.v()
				a.load(delta, a.ptrs[2], 0)
				a.rows(s, 2, func() {
					d, p := a.v(), a.v()
					a.load(d, a.ptrs[0], 0)
					a.load(p, a.ptrs[1], 0)
					a.sub(d, d, delta)
					a.mul(p, p, sc[0])
					a.mul(d, d, p)
					a.store(d, a.ptrs[0], 0)
				})
				a.end()
			}},
	}
}

// rotations applies n plane rotations to neighbouring rows of a panel of nv vectors of columns: rows i and i+1 become
// c[i]·x + s[i]·y and c[i]·y − s[i]·x, for i = 0 … n−1. A row is read and written once.
func rotations(nv int) (signature, func(a *asm)) {
	s := signature{name: fmt.Sprintf("rotations%d", nv), ptrs: []string{"z", "c", "s"}, ints: []string{"n", "ld"}, f64: true}
	return s, func(a *asm) {
		a.begin(s)
		z, ld := a.ptrs[0], a.ptrs[3]
		next := a.ptrs[4]
		a.arg64("n", s.intAt(0), a.count)
		a.arg64("ld", s.intAt(1), ld)
		x := make([]vec, nv)
		for j := range x {
			x[j] = a.v()
			a.load(x[j], z, j*a.bytes)
		}
		c, sn, t := a.v(), a.v(), a.v()
		y := a.v()
		a.loop(1, func() {
			a.broadcast(c, a.ptrs[1], 0)
			a.broadcast(sn, a.ptrs[2], 0)
			if a.amd64() {
				a.line("LEAQ (%s)(%s*1), %s", z, ld, next)
			} else {
				a.line("ADD %s, %s, %s", ld, z, next)
			}
			for j := range x {
				a.load(y, next, j*a.bytes)
				a.mul(t, x[j], c)
				a.fma(t, y, sn)
				a.store(t, z, j*a.bytes)
				a.mul(y, y, c)
				a.fnma(y, x[j], sn)
				a.mov(x[j], y)
			}
			a.stride(z, ld)
			a.step(a.ptrs[1], 8)
			a.step(a.ptrs[2], 8)
		})
		for j := range x {
			a.store(x[j], z, j*a.bytes)
		}
		a.end()
	}
}
