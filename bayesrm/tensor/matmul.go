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
	multiply(N, in, operand[float32]{data: x, ld: in}, right[float32]{operand: operand[float32]{data: w, ld: in, trans: true}, c: y, ldc: out, n: out, add: add})
}

// MatMulNN computes y = x·w, or y += x·w with add: the gradient of a linear layer's input. y is [N, out], x is [N, in],
// w is [in, out].
func MatMulNN(y, x, w []float32, N, out, in int, add bool) {
	check("MatMulNN", len(y), N*out, len(x), N*in, len(w), in*out)
	multiply(N, in, operand[float32]{data: x, ld: in}, right[float32]{operand: operand[float32]{data: w, ld: out}, c: y, ldc: out, n: out, add: add})
}

// MatMulTN computes y += aᵀ·b: the gradient of a weight. y is [out, in], a is [N, out], b is [N, in].
func MatMulTN(y, a, b []float32, N, out, in int) {
	check("MatMulTN", len(y), out*in, len(a), N*out, len(b), N*in)
	multiply(out, N, operand[float32]{data: a, ld: out, trans: true}, right[float32]{operand: operand[float32]{data: b, ld: in}, c: y, ldc: in, n: in, add: true})
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
		bs = append(bs, right[float32]{operand: operand[float32]{panels: p.W.data}, c: p.Y, ldc: p.W.Out, n: p.W.Out, add: p.Add})
	}
	multiply(N, in, operand[float32]{data: x, ld: in}, bs...)
}

// MatMulNN computes y = x·w, or y += x·w with add: the gradient of a linear layer's input. y is [N, In], x is [N, Out].
func (p *Packed) MatMulNN(y, x []float32, N int, add bool) {
	check("Packed.MatMulNN", len(y), N*p.In, len(x), N*p.Out)
	multiply(N, p.Out, operand[float32]{data: x, ld: p.Out}, right[float32]{operand: operand[float32]{packed: p}, c: y, ldc: p.In, n: p.In, add: add})
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

// operand is a matrix: element (i, j) is data[i·ld + j], or data[j·ld + i] where it is stored transposed.
type operand[T float] struct {
	data   []T
	ld     int
	trans  bool
	panels []T     // instead of data: the matrix as Pack lays it out
	packed *Packed // instead of data: a packed matrix as it was, [Out, In]
}

// right is a right operand b and where the product goes: c (+)= a·b, with n columns and rows ldc long.
type right[T float] struct {
	operand[T]
	c      []T
	ldc, n int
	add    bool
	g      shape[T]
	first  int // number of its first panel, among those of all right operands
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

// serialBelow is the number of multiplications below which one goroutine is faster than several.
const serialBelow = 1 << 18

// multiply computes c (+)= a·b for a [m, k] and each b [k, n]. Several have to lie in panels.
func multiply[T float](m, k int, a operand[T], bs ...right[T]) {
	p := newProduct[T]()
	defer p.release()
	columns, panels := 0, 0
	for _, b := range bs {
		b.g, b.first = geometry[T](b.n), panels
		columns, panels = columns+b.n, panels+b.g.panels(b.n)
		p.bs = append(p.bs, b)
		if k == 0 && !b.add {
			for i := range m {
				clear(b.c[i*b.ldc : i*b.ldc+b.n])
			}
		}
	}
	if m == 0 || columns == 0 || k == 0 {
		return
	}
	workers := runtime.GOMAXPROCS(0)
	parallel := Parallel
	if m*columns*k < serialBelow {
		workers = 1
		parallel = serial
	}
	p.m, p.a, p.pieces = m, a, 1
	b := &p.bs[0]
	laid := b.panels != nil
	// few rows: the panels of b are read where they lie
	p.direct = !laid && b.packed == nil && !b.trans && m <= 2*rows[0]
	// Many rows are cut into blocks for the workers; of few, each worker takes all and some of the panels, so that b is read once.
	blocks := (m + mc - 1) / mc
	switch {
	case blocks > 1:
		blocks = (blocks + workers - 1) / workers * workers
	case workers > 1 && panels >= 2*workers:
		p.pieces = workers
	case m >= 2*rows[0]*workers:
		blocks = workers
	}
	p.rowsEach = ((m+blocks-1)/blocks + rows[0] - 1) / rows[0] * rows[0]
	blocks = (m + p.rowsEach - 1) / p.rowsEach
	// What is done at a time: some panels, which the blocks share, and some of the sum. One block of rows needs no cut.
	step, some := sumStep(k), nc/b.g.width
	p.step = step
	if laid && blocks == 1 {
		step, some = k, panels
	}
	for p.from = 0; p.from < panels; p.from += some {
		p.to = min(panels, p.from+some)
		for p.k0 = 0; p.k0 < k; p.k0 += step {
			p.k1 = min(k, p.k0+step)
			if !laid && (!p.direct || b.n%b.g.width != 0) {
				p.buf = buffers[T]().get((p.to - p.from) * (p.k1 - p.k0) * b.g.width)
				parallel(p.to-p.from, p.packs)
			}
			parallel(blocks*p.pieces, p.blocks)
			if p.buf != nil {
				buffers[T]().put(p.buf)
				p.buf = nil
			}
		}
	}
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

func (p *product[T]) release() {
	clear(p.bs)
	p.work = work[T]{bs: p.bs[:0]}
	buffers[T]().products.Put(p)
}

// work is what a product multiplies, and how.
type work[T float] struct {
	m        int
	a        operand[T]
	bs       []right[T]
	direct   bool
	rowsEach int // of a block
	pieces   int // that the panels are cut into, for the workers
	step     int // of the sum, at most, in one tile

	// under way: panels from … to, steps k0 … k1 of the sum
	from, to, k0, k1 int
	buf              []T // the panels, where b does not lie in panels itself
}

// panel is steps k0 … k0+kw of panel j of b.
func (p *product[T]) panel(b *right[T], j, k0, kw int) []T {
	if p.buf == nil {
		return b.g.panel(b.panels, b.n, k0, kw, j)
	}
	at := (j - p.from) * kw * b.g.width
	return p.buf[at : at+kw*b.g.width]
}

// pack writes panel from + i, unless it is read where it lies.
func (p *product[T]) pack(i int) {
	b, j, kw := &p.bs[0], p.from+i, p.k1-p.k0
	w := min(b.g.width, b.n-j*b.g.width)
	if !p.direct || w < b.g.width {
		packB(p.panel(b, j, p.k0, kw), b.operand, p.k0, kw, j*b.g.width, w, b.g.width)
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
	per := (p.to - p.from + p.pieces - 1) / p.pieces
	i0, i1, from, to := i*p.rowsEach, min(p.m, (i+1)*p.rowsEach), p.from+q*per, min(p.to, p.from+(q+1)*per)
	if from >= to {
		return
	}
	buf := buffers[T]().get(stripWidth[T]() * (i1 - i0 + 1) * min(p.step, p.k1-p.k0))
	defer buffers[T]().put(buf)
	edge := buffers[T]().get(maxLanes * 2 * maxLanes)
	defer buffers[T]().put(edge)
	var few [32]strip // on the stack
	for k0 := p.k0; k0 < p.k1; k0 += p.step {
		kw := min(p.step, p.k1-k0)
		strips, data := p.strips(few[:0], buf, i0, i1, k0, kw, to-from)
		for x := range p.bs {
			b := &p.bs[x]
			for j := max(0, from-b.first); j < min(b.g.panels(b.n), to-b.first); j++ {
				p.column(b, j, k0, kw, strips, data, edge)
			}
		}
	}
}

// column computes panel j of b with every strip: steps k0 … k0+kw of the sum.
func (p *product[T]) column(b *right[T], j, k0, kw int, strips []strip, data, edge []T) {
	size, j0 := sizeOf[T](), j*b.g.width
	w := min(b.g.width, b.n-j0)
	first, rowBytes := (*T)(nil), b.g.width*size
	if p.direct && w == b.g.width {
		first, rowBytes = &b.data[k0*b.ld+j0], b.ld*size
	} else {
		first = &p.panel(b, j, k0, kw)[0]
	}
	add := b.add || k0 > 0
	plus := 0
	if add {
		plus = 1
	}
	for _, s := range strips {
		if w == b.g.width {
			tileOfType(s.rows, b.g.nv, &data[s.at], first, &b.c[s.row*b.ldc+j0], kw, s.step*size, rowBytes, b.ldc*size, plus)
			continue
		}
		tileOfType(s.rows, b.g.nv, &data[s.at], first, &edge[0], kw, s.step*size, rowBytes, b.g.width*size, 0)
		for i := range s.rows {
			y := b.c[(s.row+i)*b.ldc+j0 : (s.row+i)*b.ldc+j0+w]
			for l, v := range edge[i*b.g.width : i*b.g.width+w] {
				if add {
					v += y[l]
				}
				y[l] = v
			}
		}
	}
}

// strips appends the strips of rows i0 … i1 and steps k0 … k0+kw of the left operand to list: packed in buf, or where they lie.
func (p *product[T]) strips(list []strip, buf []T, i0, i1, k0, kw, panels int) ([]strip, []T) {
	width, ld := stripWidth[T](), p.a.ld
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
