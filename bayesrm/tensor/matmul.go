// Package tensor holds the float32 kernels under every layer, and the float64 ones under package linalg: matrix products,
// exp, softmax, norms, activations, AdamW, attention.
//
// The kernels are assembly for AVX-512, AVX2 and NEON, written by the generator in gen, and plain Go elsewhere; Level tells
// which are in use. Each result is the same bits for any GOMAXPROCS and for any number of rows beside it: an element of a
// product is summed by one lane in the order of the inner dimension, whatever tile it falls into.
package tensor

import (
	"fmt"
	"iter"
	"runtime"
	"time"
)

// MatMulNT computes y = x·wᵀ, or y += x·wᵀ with add: the forward product of a linear layer. y is [N, out], x is [N, in],
// w is [out, in].
func MatMulNT(y, x, w []float32, N, out, in int, add bool) {
	check("MatMulNT", len(y), N*out, len(x), N*in, len(w), out*in)
	multiply(y, N, out, in, operand[float32]{data: x, ld: in}, operand[float32]{data: w, ld: in, trans: true}, add)
}

// MatMulNN computes y = x·w, or y += x·w with add: the gradient of a linear layer's input. y is [N, out], x is [N, in],
// w is [in, out].
func MatMulNN(y, x, w []float32, N, out, in int, add bool) {
	check("MatMulNN", len(y), N*out, len(x), N*in, len(w), in*out)
	multiply(y, N, out, in, operand[float32]{data: x, ld: in}, operand[float32]{data: w, ld: out}, add)
}

// MatMulTN computes y += aᵀ·b: the gradient of a weight. y is [out, in], a is [N, out], b is [N, in].
func MatMulTN(y, a, b []float32, N, out, in int) {
	check("MatMulTN", len(y), out*in, len(a), N*out, len(b), N*in)
	multiply(y, out, in, N, operand[float32]{data: a, ld: out, trans: true}, operand[float32]{data: b, ld: in}, true)
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
	check("Packed.MatMul", len(y), N*p.Out, len(x), N*p.In)
	multiply(y, N, p.Out, p.In, operand[float32]{data: x, ld: p.In}, operand[float32]{panels: p.data}, add)
}

// MatMulNN computes y = x·w, or y += x·w with add: the gradient of a linear layer's input. y is [N, In], x is [N, Out].
func (p *Packed) MatMulNN(y, x []float32, N int, add bool) {
	check("Packed.MatMulNN", len(y), N*p.In, len(x), N*p.Out)
	multiply(y, N, p.In, p.Out, operand[float32]{data: x, ld: p.Out}, operand[float32]{packed: p}, add)
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
	multiplyTo(c, ldc, m, n, k, operand[float64]{data: a, ld: lda, trans: transA}, operand[float64]{data: b, ld: ldb, trans: transB}, add)
}

func check(verb string, pairs ...int) {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i] != pairs[i+1] {
			panic(fmt.Sprintf("tensor: %s: operand %d has %d elements, want %d", verb, i/2, pairs[i], pairs[i+1]))
		}
	}
}

// operand is a matrix: element (i, j) is data[i·ld + j], or data[j·ld + i] where it is stored transposed.
type operand[T float] struct {
	data   []T
	ld     int
	trans  bool
	panels []T     // instead of data: the matrix as Pack lays it out
	packed *Packed // instead of data: a packed matrix as it was, [Out, In]
}

// Blocks of a product: at most kc steps of a sum are done at a time, on nc columns, mc rows.
const (
	kc = 576
	nc = 3072
	mc = 196
)

// sumStep is how many of the k steps of a sum are done at a time: equal parts, for a short last one costs as much around it as a
// whole, in whole panels of columns.
func sumStep(k int) int {
	parts := max(1, (k+kc-1)/kc)
	return ((k+parts-1)/parts + 2*maxLanes - 1) / (2 * maxLanes) * 2 * maxLanes
}

// shape is how the right operand is cut: panels of `width` columns, nv vectors each.
type shape[T float] struct{ nv, width int }

// vectorLanes is the number of elements of T in a vector.
func vectorLanes[T float]() int {
	if sizeOf[T]() == 8 {
		return lanes64
	}
	return lanes
}

func sizeOf[T float]() int {
	var x T
	if _, ok := any(x).(float64); ok {
		return 8
	}
	return 4
}

func geometry[T float](n int) shape[T] {
	l := vectorLanes[T]()
	if n <= l {
		return shape[T]{1, l}
	}
	return shape[T]{2, 2 * l}
}

func (g shape[T]) panels(n int) int { return (n + g.width - 1) / g.width }

// panel is the part of packed data that holds rows k0 … k0+kw of panel j of n columns.
func (g shape[T]) panel(data []T, n, k0, kw, j int) []T {
	at := (k0*g.panels(n) + kw*j) * g.width
	return data[at : at+kw*g.width]
}

// stripWidth is the distance of the steps of a packed strip of rows.
func stripWidth[T float]() int {
	l := vectorLanes[T]()
	return (rows[0] + l - 1) / l * l
}

var (
	pool32 pool[float32]
	pool64 pool[float64]
)

func buffers[T float]() *pool[T] {
	var x T
	if _, ok := any(x).(float64); ok {
		return any(&pool64).(*pool[T])
	}
	return any(&pool32).(*pool[T])
}

func tileOfType[T float](rows, nv int, a, b, c *T, k, as, bs, cs, add int) {
	switch a := any(a).(type) {
	case *float32:
		tile(rows, nv, a, any(b).(*float32), any(c).(*float32), k, as, bs, cs, add)
	case *float64:
		tile64(rows, nv, a, any(b).(*float64), any(c).(*float64), k, as, bs, cs, add)
	}
}

func multiply[T float](c []T, m, n, k int, a, b operand[T], add bool) {
	multiplyTo(c, n, m, n, k, a, b, add)
}

// serialBelow is the number of multiplications below which one goroutine is faster than several.
const serialBelow = 1 << 18

// multiplyTo computes c (+)= a·b.
func multiplyTo[T float](c []T, ldc, m, n, k int, a, b operand[T], add bool) {
	if m == 0 || n == 0 {
		return
	}
	if k == 0 {
		if !add {
			for i := range m {
				clear(c[i*ldc : i*ldc+n])
			}
		}
		return
	}
	workers := runtime.GOMAXPROCS(0)
	parallel := Parallel
	if m*n*k < serialBelow {
		workers = 1
		parallel = serial
	}
	p := newProduct[T]()
	p.work = work[T]{g: geometry[T](n), c: c, ldc: ldc, m: m, n: n, k: k, a: a, b: b, pieces: 1}
	// few rows: the panels of b are read where they lie
	p.direct = b.panels == nil && b.packed == nil && !b.trans && m <= 2*rows[0]
	// Many rows are cut into blocks for the workers; of few, each worker takes all and some of the panels, so that b is read once.
	blocks := (m + mc - 1) / mc
	switch {
	case blocks > 1:
		blocks = (blocks + workers - 1) / workers * workers
	case workers > 1 && p.g.panels(n) >= 2*workers:
		p.pieces = workers
	case m >= 2*rows[0]*workers:
		blocks = workers
	}
	p.rowsEach = ((m+blocks-1)/blocks + rows[0] - 1) / rows[0] * rows[0]
	blocks = (m + p.rowsEach - 1) / p.rowsEach
	step := sumStep(k)
	for j0 := 0; j0 < n; j0 += nc {
		p.first, p.last = j0/p.g.width, p.g.panels(min(n, j0+nc))
		for p.k0 = 0; p.k0 < k; p.k0 += step {
			p.kw, p.add = min(step, k-p.k0), add || p.k0 > 0
			if b.panels == nil && (!p.direct || n%p.g.width != 0) {
				p.buf = buffers[T]().get((p.last - p.first) * p.kw * p.g.width)
				parallel(p.last-p.first, p.packs)
			}
			parallel(blocks*p.pieces, p.blocks)
			if p.buf != nil {
				buffers[T]().put(p.buf)
				p.buf = nil
			}
		}
	}
	p.work = work[T]{}
	buffers[T]().products.Put(p)
}

func serial(n int, f func(int)) {
	for i := range n {
		f(i)
	}
}

// product is one product under way. It is used again: a step of decoding takes hundreds.
type product[T float] struct {
	work[T]
	packs, blocks func(int) // pack and block
}

func newProduct[T float]() *product[T] {
	if p, ok := buffers[T]().products.Get().(*product[T]); ok {
		return p
	}
	p := &product[T]{}
	p.packs, p.blocks = p.pack, p.block
	return p
}

// work is what a product multiplies, and how.
type work[T float] struct {
	g        shape[T]
	c        []T
	ldc      int
	m, n, k  int
	a, b     operand[T]
	direct   bool
	rowsEach int // of a block
	pieces   int // that the panels are cut into, for the workers

	// the step of the product: panels first … last, steps k0 … k0+kw of the sum
	first, last int
	k0, kw      int
	add         bool // to what is in c
	buf         []T  // the panels, where b does not lie in panels itself
}

// panel is the step's part of panel j.
func (p *product[T]) panel(j int) []T {
	if p.buf == nil {
		return p.g.panel(p.b.panels, p.n, p.k0, p.kw, j)
	}
	at := (j - p.first) * p.kw * p.g.width
	return p.buf[at : at+p.kw*p.g.width]
}

// pack writes panel first + i, unless it is read where it lies.
func (p *product[T]) pack(i int) {
	j := p.first + i
	w := min(p.g.width, p.n-j*p.g.width)
	if !p.direct || w < p.g.width {
		packB(p.panel(j), p.b, p.k0, p.kw, j*p.g.width, w, p.g.width)
	}
}

// heights cuts rows from … to into tiles, the tallest first: it yields the first row of each and its height.
func heights(from, to int) iter.Seq2[int, int] {
	return func(yield func(row, height int) bool) {
		for r := 0; from < to; from += rows[r] {
			for rows[r] > to-from {
				r++
			}
			if !yield(from, rows[r]) {
				return
			}
		}
	}
}

// strip is a few rows of the left operand, packed: step l of row i is data[at + l·step + i].
type strip struct{ row, rows, at, step int }

// block computes block t / pieces of the rows and piece t % pieces of the panels.
func (p *product[T]) block(t int) {
	i, q := t/p.pieces, t%p.pieces
	per := (p.last - p.first + p.pieces - 1) / p.pieces
	i0, i1, from, to := i*p.rowsEach, min(p.m, (i+1)*p.rowsEach), p.first+q*per, min(p.last, p.first+(q+1)*per)
	if from >= to {
		return
	}
	size := sizeOf[T]()
	buf := buffers[T]().get(stripWidth[T]() * (i1 - i0 + 1) * p.kw)
	defer buffers[T]().put(buf)
	var few [32]strip // on the stack
	strips, data := p.strips(few[:0], buf, i0, i1, to-from)
	var edge []T
	plus := 0
	if p.add {
		plus = 1
	}
	for j := from; j < to; j++ {
		j0 := j * p.g.width
		w := min(p.g.width, p.n-j0)
		var b *T
		bs := p.g.width * size
		if p.direct && w == p.g.width {
			b, bs = &p.b.data[p.k0*p.b.ld+j0], p.b.ld*size
		} else {
			b = &p.panel(j)[0]
		}
		for _, s := range strips {
			if w == p.g.width {
				tileOfType(s.rows, p.g.nv, &data[s.at], b, &p.c[s.row*p.ldc+j0], p.kw, s.step*size, bs, p.ldc*size, plus)
				continue
			}
			if edge == nil {
				edge = buffers[T]().get(maxLanes * 2 * maxLanes)
			}
			tileOfType(s.rows, p.g.nv, &data[s.at], b, &edge[0], p.kw, s.step*size, bs, p.g.width*size, 0)
			for i := range s.rows {
				y := p.c[(s.row+i)*p.ldc+j0 : (s.row+i)*p.ldc+j0+w]
				for l, v := range edge[i*p.g.width : i*p.g.width+w] {
					if p.add {
						v += y[l]
					}
					y[l] = v
				}
			}
		}
	}
	if edge != nil {
		buffers[T]().put(edge)
	}
}

// strips appends the strips of rows i0 … i1 of the left operand to list: packed in buf, or where they lie.
func (p *product[T]) strips(list []strip, buf []T, i0, i1, panels int) ([]strip, []T) {
	width := stripWidth[T]()
	ld, k0, kw := p.a.ld, p.k0, p.kw
	for i, h := range heights(i0, i1) {
		list = append(list, strip{row: i, rows: h})
	}
	switch {
	case p.a.trans && panels <= 4: // steps lie ld apart
		for k := range list {
			list[k].at, list[k].step = k0*ld+list[k].row, ld
		}
		return list, p.a.data
	case p.a.trans:
		for k := range list {
			s := &list[k]
			s.at, s.step = k*kw*width, width
			for l := range kw {
				src := p.a.data[(k0+l)*ld+s.row:]
				copy(buf[s.at+l*width:s.at+l*width+s.rows], src[:s.rows])
			}
		}
		return list, buf
	case i1-i0 == 1:
		list[0].at, list[0].step = i0*ld+k0, 1
		return list, p.a.data
	}
	last := -1 // where the last `width` rows of the block are packed, for the strips that have fewer
	for k := range list {
		s := &list[k]
		s.step = width
		switch {
		case s.row+width <= p.m && s.rows == rows[0]:
			s.at = k * kw * width
			transposed(buf[s.at:], width, p.a.data[s.row*ld+k0:], ld, width, kw)
		case i1 >= width:
			if last < 0 {
				last = k * kw * width
				transposed(buf[last:], width, p.a.data[(i1-width)*ld+k0:], ld, width, kw)
			}
			s.at = last + s.row - (i1 - width)
		default:
			s.at = k * kw * width
			transposed(buf[s.at:], width, p.a.data[s.row*ld+k0:], ld, s.rows, kw)
		}
	}
	return list, buf
}

// packB writes rows k0 … k0+kw and columns j0 … j0+w of b as [kw, width], with zeros beyond w.
func packB[T float](dst []T, b operand[T], k0, kw, j0, w, width int) {
	if b.packed != nil {
		b.packed.transposeInto(any(dst).([]float32), k0, kw, j0, w, width)
		return
	}
	if w < width {
		clear(dst)
	}
	if !b.trans {
		for l := range kw {
			copy(dst[l*width:l*width+w], b.data[(k0+l)*b.ld+j0:])
		}
		return
	}
	transposed(dst, width, b.data[j0*b.ld+k0:], b.ld, w, kw)
}

// transposed writes dst[j·dld + i] = src[i·sld + j] for i < n, j < m.
func transposed[T float](dst []T, dld int, src []T, sld, n, m int) {
	rows, cols := 0, 0 // of whole blocks
	if d, ok := any(dst).([]float32); ok && n >= lanes && m >= lanes {
		s := any(src).([]float32)
		rows, cols = n/lanes*lanes, m/lanes*lanes
		for i := 0; i < rows; i += lanes {
			transpose(&d[i], &s[i*sld], cols/lanes, 4*dld, 4*sld)
		}
	}
	for i := range n {
		from := 0
		if i < rows {
			from = cols
		}
		for j, v := range src[i*sld+from : i*sld+m] {
			dst[(from+j)*dld+i] = v
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
