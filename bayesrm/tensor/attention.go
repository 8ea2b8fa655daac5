package tensor

import "math"

// QueryBlock is the number of queries whose scores are held at a time. Scores are kept as [keys, QueryBlock]: the softmax
// then runs down columns, a lane a query, and nothing of size T×T is ever made.
const QueryBlock = 32

// KV holds the keys and values of one head of one sequence, laid out for attention. It may grow row by row.
type KV struct {
	D, Len int // width of a head, rows so far
	pad    int // D, rounded up to whole panels
	cap    int // rows there is room for
	kt     []float32
	v      []float32
}

// Reset empties c, which may be the zero KV, and makes room for rows of width D.
func (c *KV) Reset(D, rows int) {
	g := geometry[float32](D)
	c.D, c.Len, c.pad, c.cap = D, 0, g.panels(D)*g.width, spread(rows)
	c.kt, c.v = grow(c.kt, D*c.cap), grow(c.v, c.cap*c.pad)
	clear(c.v)
}

// spread rounds up to an odd number of cache lines, so that columns of a matrix do not fall into the same cache set. There
// is always room for a full panel beyond the end.
func spread(rows int) int { return (rows+2*maxLanes+maxLanes-1)/maxLanes/2*2*maxLanes + maxLanes }

func grow(b []float32, n int) []float32 {
	if cap(b) < n {
		return make([]float32, n)
	}
	return b[:n]
}

// Append adds n rows: row i of the keys is k[i·kRow:][:D], row i of the values v[i·vRow:][:D].
func (c *KV) Append(k []float32, kRow int, v []float32, vRow, n int) {
	if c.Len+n+2*maxLanes > c.cap {
		c.reserve(2 * (c.Len + n))
	}
	transposed(c.kt[c.Len:], c.cap, k, kRow, n, c.D)
	for i := range n {
		copy(c.v[(c.Len+i)*c.pad:], v[i*vRow:i*vRow+c.D])
	}
	c.Len += n
}

// reserve makes room for the given number of rows.
func (c *KV) reserve(rows int) {
	old := *c
	c.cap = spread(rows)
	c.kt, c.v = make([]float32, c.D*c.cap), make([]float32, c.cap*c.pad)
	for d := range c.D {
		copy(c.kt[d*c.cap:], old.kt[d*old.cap:d*old.cap+c.Len])
	}
	copy(c.v, old.v[:c.Len*c.pad])
}

// Queries is up to QueryBlock queries of one head with what their attention needs. It is scratch space: one a goroutine.
type Queries struct {
	n, D   int
	rows   []float32 // [QueryBlock, pad]
	qt     []float32 // [D, QueryBlock]
	scores []float32 // [keys, QueryBlock]
	out    []float32 // [QueryBlock, pad]
	pos    [QueryBlock]int
	max    [QueryBlock]float32
	sum    [QueryBlock]float32
	one    []float32
	b      backward
}

// load copies n rows of width D into [QueryBlock, pad] and transposes them to [D, QueryBlock].
func load(rows, qt []float32, x func(i int) []float32, n, D, pad int) ([]float32, []float32) {
	rows, qt = grow(rows, QueryBlock*pad), grow(qt, (D+maxLanes)*QueryBlock)
	for i := range QueryBlock {
		r := rows[i*pad : (i+1)*pad]
		m := 0
		if i < n {
			m = copy(r, x(i)[:D])
		}
		clear(r[m:])
	}
	transposed(qt, QueryBlock, rows, pad, QueryBlock, D)
	return rows, qt
}

// Load takes n queries of width D: query i is x(i), and it sees the keys 0 … pos(i) of the sequence.
func (q *Queries) Load(n, D int, x func(i int) []float32, pos func(i int) int) {
	g := geometry[float32](D)
	q.n, q.D = n, D
	q.rows, q.qt = load(q.rows, q.qt, x, n, D, g.panels(D)*g.width)
	for i := range QueryBlock {
		q.pos[i] = pos(min(i, n-1))
		q.max[i], q.sum[i] = negInf, 0
	}
}

// sees is the number of keys that the queries of the block see at most.
func (q *Queries) sees(c *KV) int {
	last := 0
	for _, p := range q.pos[:q.n] {
		last = max(last, p+1)
	}
	return min(last, c.Len)
}

// keysTimes writes s[key, query] = Σ_d xt[d, key]·qt[d, query] for the first n keys.
func keysTimes(s, xt []float32, ld int, qt []float32, n, D int) {
	columnsTimes(s, xt, ld, qt, QueryBlock, n, D, 0)
}

// queriesTimes writes y[query, d] = Σ_key s[key, query]·x[key, d] for m queries and n keys; x and y have rows of pad.
func queriesTimes(y, s, x []float32, m, n, pad int) {
	columnsTimes(y, s, QueryBlock, x, pad, m, n, 0)
}

// columnsTimes writes, or adds with add, y[i, j] = Σ_l a[l, i]·b[l, j] for i < m, l < k. Rows of a are lda long; b and y have
// rows of the given width, which is whole panels.
func columnsTimes(y, a []float32, lda int, b []float32, width, m, k, add int) {
	nv := geometry[float32](width).nv
	for i, h := range heights(0, m) {
		for j := 0; j < width; j += nv * lanes {
			tile(h, nv, &a[i], &b[j], &y[i*width+j], k, 4*lda, 4*width, 4*width, add)
		}
	}
}

// rowTimes is columnsTimes for one row a [k]: y[j] = Σ_l a[l]·b[l, j] for j < width, whole vectors. Rows of b are ldb long.
func rowTimes(y, a, b []float32, ldb, width, k, add int) {
	for j, nv := 0, 4; j < width; j += nv * lanes {
		for j+nv*lanes > width {
			nv /= 2
		}
		tile(1, nv, &a[0], &b[j], &y[j], k, 4, 4*ldb, 0, add)
	}
}

// score fills q.scores for the first n keys of c and masks what a query does not see.
func (q *Queries) score(c *KV, n int) []float32 {
	q.scores = grow(q.scores, (n+maxLanes)*QueryBlock)
	s := q.scores[:n*QueryBlock]
	keysTimes(s, c.kt, c.cap, q.qt, n, q.D)
	for i, p := range q.pos {
		for key := p + 1; key < n; key++ {
			s[key*QueryBlock+i] = negInf
		}
	}
	return s
}

func (q *Queries) scale() float32 { return float32(1 / math.Sqrt(float64(q.D))) }

// Attend computes softmax(q·kᵀ/√D)·v for the loaded queries: out(i) is overwritten, and stat(i, x) gets the number that the
// backward needs, max + log(sum)·√D. Keys beyond a query's position are not seen.
func (q *Queries) Attend(c *KV, out func(i int) []float32, stat func(i int, x float32)) {
	n := q.sees(c)
	s := q.score(c, n)
	for j := 0; j < QueryBlock; j += lanes {
		colMax(&s[j], &q.max[j], n, 4*QueryBlock)
		colExp(&s[j], &q.max[j], &q.sum[j], n, 4*QueryBlock, q.scale())
	}
	q.out = grow(q.out, QueryBlock*c.pad)
	queriesTimes(q.out, s, c.v, q.n, n, c.pad)
	for i := range q.n {
		o := out(i)[:q.D]
		copy(o, q.out[i*c.pad:])
		scale(&o[0], q.D, 1/q.sum[i])
		if stat != nil {
			stat(i, q.max[i]+float32(math.Log(float64(q.sum[i]))/float64(q.scale())))
		}
	}
}

// AttendStep is one step of decoding: query i sees the whole of a shared prefix, then the whole of own(i).
func (q *Queries) AttendStep(prefix *KV, own func(i int) *KV, out func(i int) []float32) {
	n := prefix.Len
	q.scores = grow(q.scores, (n+maxLanes)*QueryBlock)
	s := q.scores
	keysTimes(s, prefix.kt, prefix.cap, q.qt, n, q.D)
	longest := 0
	for i := range q.n {
		longest = max(longest, own(i).cap)
	}
	q.one = grow(q.one, q.n*longest) // scores of the own keys, a row a query
	for j := 0; j < QueryBlock && n > 0; j += lanes {
		colMax(&s[j], &q.max[j], n, 4*QueryBlock)
	}
	pad := prefix.pad
	for i := range q.n {
		c, p := own(i), q.one[i*longest:]
		rowTimes(p, q.rows[i*pad:], c.kt, c.cap, (c.Len+lanes-1)/lanes*lanes, q.D, 0)
		q.max[i] = max(q.max[i], largest(&p[0], c.Len))
	}
	for j := 0; j < QueryBlock && n > 0; j += lanes {
		colExp(&s[j], &q.max[j], &q.sum[j], n, 4*QueryBlock, q.scale())
	}
	q.out = grow(q.out, QueryBlock*pad)
	queriesTimes(q.out, s, prefix.v, q.n, n, pad)
	for i := range q.n {
		c, p := own(i), q.one[i*longest:]
		scale(&p[0], c.Len, q.scale())
		sum := q.sum[i] + expShift(&p[0], &p[0], c.Len, q.scale()*q.max[i])
		rowTimes(q.out[i*pad:], p, c.v, pad, pad, c.Len, 1)
		o := out(i)[:q.D]
		copy(o, q.out[i*pad:])
		scale(&o[0], q.D, 1/sum)
	}
}

// backward is the scratch space of the backward of attention.
type backward struct {
	dor, dot, dscores, turned []float32
	delta                     [QueryBlock]float32
}

// Grads are the gradients of one head's keys and values, with what their computation needs.
type Grads struct {
	kv     *KV
	k      []float32 // keys as rows [cap, pad]
	vt     []float32 // values as columns [D, cap]
	dk, dv []float32 // [cap, pad]
}

// Reset starts the gradients of c at zero.
func (g *Grads) Reset(c *KV) {
	g.kv = c
	g.k, g.vt = grow(g.k, c.cap*c.pad), grow(g.vt, c.D*c.cap)
	g.dk, g.dv = grow(g.dk, c.cap*c.pad), grow(g.dv, c.cap*c.pad)
	clear(g.dk)
	clear(g.dv)
	clear(g.k)
	transposed(g.vt, c.cap, c.v, c.pad, c.cap, c.D)
	transposed(g.k, c.pad, c.kt, c.cap, c.D, c.Len)
}

// Attend is the backward of Queries.Attend: with dout(i) the gradient of query i's output out(i) and stat(i) what the forward
// gave, it adds to dq(i), and to the gradients of keys and values that g holds.
func (g *Grads) Attend(q *Queries, dout, out func(i int) []float32, stat func(i int) float32, dq func(i int) []float32) {
	c, b := g.kv, &q.b
	n := q.sees(c)
	p := q.score(c, n)
	var unused [QueryBlock]float32
	for i := range QueryBlock {
		q.max[i], b.delta[i] = stat(min(i, q.n-1)), 0
		if i < q.n {
			o := out(i)
			b.delta[i] = dot(&dout(i)[0], &o[0], q.D)
		}
	}
	b.dor, b.dot = load(b.dor, b.dot, dout, q.n, q.D, c.pad)
	b.dscores = grow(b.dscores, (n+maxLanes)*QueryBlock)
	ds := b.dscores[:n*QueryBlock]
	keysTimes(ds, g.vt, c.cap, b.dot, n, q.D)
	for j := 0; j < QueryBlock; j += lanes {
		colExp(&p[j], &q.max[j], &unused[j], n, 4*QueryBlock, q.scale())
		colGrad(&ds[j], &p[j], &b.delta[j], n, 4*QueryBlock, q.scale())
	}
	q.out = grow(q.out, QueryBlock*c.pad)
	queriesTimes(q.out, ds, g.k, q.n, n, c.pad)
	for i := range q.n {
		axpy(&dq(i)[0], &q.out[i*c.pad], q.D, 1)
	}
	g.addRows(g.dv, b, p, n, b.dor, q.n)
	g.addRows(g.dk, b, ds, n, q.rows, q.n)
}

// addRows adds y[key, d] += Σ_query s[key, query]·x[query, d].
func (g *Grads) addRows(y []float32, b *backward, s []float32, n int, x []float32, queries int) {
	ld := spread(n)
	b.turned = grow(b.turned, QueryBlock*ld)
	transposed(b.turned, ld, s, QueryBlock, n, QueryBlock)
	columnsTimes(y, b.turned, ld, x, g.kv.pad, n, queries, 1)
}

// AddTo adds the gradients of rows from … from+n to dk, whose row i is dk[i·kRow:][:D], and to dv.
func (g *Grads) AddTo(dk []float32, kRow int, dv []float32, vRow, from, n int) {
	c := g.kv
	for i := range n {
		axpy(&dk[i*kRow], &g.dk[(from+i)*c.pad], c.D, 1)
		axpy(&dv[i*vRow], &g.dv[(from+i)*c.pad], c.D, 1)
	}
}
