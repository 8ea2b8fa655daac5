// Package tensor holds the float32 kernels under every layer, and the float64 ones under package linalg: matrix products,
// exp, softmax, norms, activations, AdamW, attention.
//
// The kernels are assembly for AVX-512, AVX2 and NEON, written by the generator in gen, and plain Go elsewhere; Level tells
// which are in use. Each result is the same bits for any GOMAXPROCS and for any number of rows beside it: an element of a
// product is summed by one lane in the order of the inner dimension, whatever tile it falls into.
package tensor

import (
	"fmt"
	"time"
)

// MatMulNT computes y = x·wᵀ, or y += x·wᵀ with add: the forward product of a linear layer. y is [N, out], x is [N, in],
// w is [out, in].
func MatMulNT(y, x, w []float32, N, out, in int, add bool) {
	check("MatMulNT", len(y), N*out, len(x), N*in, len(w), out*in)
	multiply(N, in, operand[float32]{data: x, ld: in}, into(y, out, operand[float32]{data: w, ld: in, trans: true}, add))
}

// MatMulNN computes y = x·w, or y += x·w with add: the gradient of a linear layer's input. y is [N, out], x is [N, in],
// w is [in, out].
func MatMulNN(y, x, w []float32, N, out, in int, add bool) {
	check("MatMulNN", len(y), N*out, len(x), N*in, len(w), in*out)
	multiply(N, in, operand[float32]{data: x, ld: in}, into(y, out, operand[float32]{data: w, ld: out}, add))
}

// MatMulTN computes y += aᵀ·b: the gradient of a weight. y is [out, in], a is [N, out], b is [N, in].
func MatMulTN(y, a, b []float32, N, out, in int) {
	check("MatMulTN", len(y), out*in, len(a), N*out, len(b), N*in)
	multiply(out, N, operand[float32]{data: a, ld: out, trans: true}, into(y, in, operand[float32]{data: b, ld: in}, true))
}

// Packed is a weight matrix w [Out, In] laid out for products with it.
type Packed struct {
	Out, In int
	data    []float32
}

// Pack lays out w [out, in] once for many products x·wᵀ.
func Pack(w []float32, out, in int) *Packed {
	check("Pack", len(w), out*in)
	g := geometry[float32](out)
	p := &Packed{Out: out, In: in, data: make([]float32, g.panels(out)*g.width*in)}
	step := sumStep(in)
	for k0 := 0; k0 < in; k0 += step {
		kw := min(step, in-k0)
		Parallel(g.panels(out), func(j int) {
			packB(g.panel(p.data, out, k0, kw, j), operand[float32]{data: w, ld: in, trans: true}, k0, kw, j*g.width, min(g.width, out-j*g.width), g.width)
		})
	}
	return p
}

// MatMul computes y = x·wᵀ, or y += x·wᵀ with add: the same bits as MatMulNT. y is [N, Out], x is [N, In].
func (p *Packed) MatMul(y, x []float32, N int, add bool) {
	MatMulAll(x, N, Product{Y: y, W: p, Add: add})
}

// Product is y = x·wᵀ, or y += x·wᵀ with Add. Y is [N, Out].
type Product struct {
	Y   []float32
	W   *Packed
	Add bool
}

// MatMulAll computes several products of the same x [N, In]: the same bits as MatMul, in one go.
func MatMulAll(x []float32, N int, ps ...Product) {
	var few [3]right[float32] // on the stack
	bs := few[:0]
	in := ps[0].W.In
	for _, p := range ps {
		check("MatMulAll", len(p.Y), N*p.W.Out, len(x), N*p.W.In)
		bs = append(bs, into(p.Y, p.W.Out, operand[float32]{panels: p.W.data}, p.Add))
	}
	multiply(N, in, operand[float32]{data: x, ld: in}, bs...)
}

// MatMulNN computes y = x·w, or y += x·w with add: the gradient of a linear layer's input. y is [N, In], x is [N, Out].
func (p *Packed) MatMulNN(y, x []float32, N int, add bool) {
	check("Packed.MatMulNN", len(y), N*p.In, len(x), N*p.Out)
	multiply(N, p.Out, operand[float32]{data: x, ld: p.Out}, into(y, p.In, operand[float32]{packed: p}, add))
}

// Row copies row i of w to dst [In].
func (p *Packed) Row(dst []float32, i int) {
	check("Packed.Row", len(dst), p.In)
	g := geometry[float32](p.Out)
	step := sumStep(p.In)
	for k0 := 0; k0 < p.In; k0 += step {
		kw := min(step, p.In-k0)
		panel := g.panel(p.data, p.Out, k0, kw, i/g.width)
		for l := range kw {
			dst[k0+l] = panel[l*g.width+i%g.width]
		}
	}
}

// Unpack returns w [Out, In].
func (p *Packed) Unpack() []float32 {
	w := make([]float32, p.Out*p.In)
	Parallel(p.Out, func(i int) { p.Row(w[i*p.In:(i+1)*p.In], i) })
	return w
}

// transposeInto writes rows k0 … k0+kw and columns j0 … j0+w of w as [kw, width], with zeros beyond w: what packB does for a
// matrix that is not packed. Panels and blocks start at multiples of the widths, so a panel's part lies together.
func (p *Packed) transposeInto(dst []float32, k0, kw, j0, w, width int) {
	if w < width {
		clear(dst)
	}
	g, step := geometry[float32](p.Out), sumStep(p.In)
	for c := 0; c < w; { // columns of one block of the sum
		b0 := (j0 + c) / step * step
		bw := min(step, p.In-b0)
		n := min(w-c, b0+bw-j0-c)
		for l := 0; l < kw; l += g.width {
			m := min(g.width, kw-l)
			src := g.panel(p.data, p.Out, b0, bw, (k0+l)/g.width)[(j0+c-b0)*g.width:]
			transposed(dst[l*width+c:], width, src, g.width, n, m)
		}
		c += n
	}
}

// MatMul64 computes c = a·b, or c += a·b with add, in float64. c is [m, n] with rows ldc apart; a is [m, k], or [k, m] with
// transA; b is [k, n], or [n, k] with transB; lda and ldb are the lengths of their rows.
func MatMul64(c []float64, ldc, m, n, k int, a []float64, lda int, transA bool, b []float64, ldb int, transB, add bool) {
	multiply(m, k, operand[float64]{data: a, ld: lda, trans: transA}, right[float64]{operand: operand[float64]{data: b, ld: ldb, trans: transB}, c: c, ldc: ldc, n: n, add: add})
}

func check(verb string, pairs ...int) {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i] != pairs[i+1] {
			panic(fmt.Sprintf("tensor: %s: operand %d has %d elements, want %d", verb, i/2, pairs[i], pairs[i+1]))
		}
	}
}

// PeakFLOPs measures the multiply-adds that one core does in a second on the vectors of the level in use: a product tile
// whose operands stay in the first cache.
func PeakFLOPs() float64 {
	const k, times = 256, 2000
	a, b, c := make([]float32, k*maxLanes), make([]float32, k*2*maxLanes), make([]float32, maxLanes*2*maxLanes)
	start := time.Now()
	for range times {
		tile(rows[0], 2, &a[0], &b[0], &c[0], k, 0, 0, 8*lanes, 0)
	}
	return 2 * float64(rows[0]*2*lanes) * k * times / time.Since(start).Seconds()
}
