package tensor

import (
	"iter"
	"runtime"
)

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

// into is the right operand b of a product that goes to c, whole rows of n.
func into[T float](c []T, n int, b operand[T], add bool) right[T] {
	return right[T]{operand: b, c: c, ldc: n, n: n, add: add}
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
	p.m, p.a = m, a
	b, parallel, workers := &p.bs[0], Parallel, runtime.GOMAXPROCS(0)
	if m*columns*k < serialBelow {
		parallel, workers = serial, 1
	}
	laid := b.panels != nil
	// few rows: the panels of b are read where they lie
	p.direct = !laid && b.packed == nil && !b.trans && m <= 2*rows[0]
	blocks := p.cut(panels, workers)
	// A pass is over some panels, which the blocks share, and a step of the sum, or over all where b is there already and one
	// block has all rows.
	p.step = sumStep(k)
	perPass, steps := nc/b.g.width, p.step
	if laid && blocks == 1 {
		perPass, steps = panels, k
	}
	for p.from = 0; p.from < panels; p.from += perPass {
		p.to = min(panels, p.from+perPass)
		for p.k0 = 0; p.k0 < k; p.k0 += steps {
			p.k1 = min(k, p.k0+steps)
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

// cut decides who does what, and returns the number of blocks of rows: many rows are cut into blocks for the workers; of few, each
// worker takes all and a piece of the panels, so that b is read once.
func (p *product[T]) cut(panels, workers int) (blocks int) {
	p.pieces = 1
	blocks = (p.m + mc - 1) / mc
	switch {
	case blocks > 1:
		blocks = (blocks + workers - 1) / workers * workers
	case workers > 1 && panels >= 2*workers:
		p.pieces = workers
	case p.m >= 2*rows[0]*workers:
		blocks = workers
	}
	p.rowsEach = ((p.m+blocks-1)/blocks + rows[0] - 1) / rows[0] * rows[0]
	return (p.m + p.rowsEach - 1) / p.rowsEach
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
	var few [32]strip // on the stack
	for k0 := p.k0; k0 < p.k1; k0 += p.step {
		kw := min(p.step, p.k1-k0)
		strips, data := p.strips(few[:0], buf, i0, i1, k0, kw, to-from)
		for x := range p.bs {
			b := &p.bs[x]
			for j := max(0, from-b.first); j < min(b.g.panels(b.n), to-b.first); j++ {
				p.column(b, j, k0, kw, strips, data)
			}
		}
	}
}

// column computes panel j of b with every strip: steps k0 … k0+kw of the sum.
func (p *product[T]) column(b *right[T], j, k0, kw int, strips []strip, data []T) {
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
	var edge []T // what the tiles of a panel that is not full write
	if w < b.g.width {
		edge = buffers[T]().get(maxLanes * 2 * maxLanes)
		defer buffers[T]().put(edge)
	}
	for _, s := range strips {
		if edge == nil {
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
