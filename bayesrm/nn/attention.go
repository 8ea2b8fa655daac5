package nn

import (
	"sync"

	"gobayes/bayesrm/tensor"
)

// Heads describes the layout of queries, keys and values in their rows: head h of q starts at column Q(h) of a row of
// width QRow, and so on. Several query heads may share a key head.
type Heads struct {
	H, KV, D         int // query heads, key/value heads, width of a head
	QRow, KRow, VRow int // columns of a row of q, k and v
	Q, K, V          func(h int) int
}

// Layout says how sequences lie in a packed batch. Sequence b is the rows Off[b] … Off[b+1].
type Layout struct {
	Off []int // B+1 offsets
	// Prefix is nil, or the sequence that each sequence continues, −1 for none: it sees that one's rows before its own, and
	// its positions go on from there. A prefix has no prefix itself.
	Prefix []int
}

// Len is the number of sequences.
func (l Layout) Len() int { return len(l.Off) - 1 }

// Before is the rows of the sequence that sequence b continues.
func (l Layout) Before(b int) (from, n int) {
	if l.Prefix == nil || l.Prefix[b] < 0 {
		return 0, 0
	}
	p := l.Prefix[b]
	return l.Off[p], l.Off[p+1] - l.Off[p]
}

// span is the part of a list of rows that belongs to one sequence.
type span struct{ seq, from, to int }

// spans cuts rows, which ascend, by sequence. With nil rows every row is in the list.
func (l Layout) spans(rows []int) (s []span) {
	k := 0
	for b := range l.Len() {
		if rows == nil {
			s = append(s, span{b, l.Off[b], l.Off[b+1]})
			continue
		}
		from := k
		for k < len(rows) && rows[k] < l.Off[b+1] {
			k++
		}
		if k > from {
			s = append(s, span{b, from, k})
		}
	}
	return s
}

func rowAt(rows []int, i int) int {
	if rows == nil {
		return i
	}
	return rows[i]
}

// scratch is what one goroutine needs for attention.
type scratch struct {
	kv tensor.KV
	q  tensor.Queries
	g  tensor.Grads
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// heads calls f for every block of queries of every head, in parallel over sequences and key heads; the keys and values of
// the sequence are loaded. base is the position of the sequence's first row. end is called after the blocks of a key head.
func heads(q, k, v []float32, l Layout, rows []int, hs Heads, begin func(s *scratch), f func(s *scratch, h, i0, i1 int), end func(s *scratch, seq, kv int)) {
	spans := l.spans(rows)
	group := hs.H / hs.KV
	tensor.Parallel(len(spans)*hs.KV, func(job int) {
		sp, kv := spans[job/hs.KV], job%hs.KV
		s := scratches.Get().(*scratch)
		defer scratches.Put(s)
		first, T := l.Off[sp.seq], l.Off[sp.seq+1]-l.Off[sp.seq]
		pre, P := l.Before(sp.seq)
		s.kv.Reset(hs.D, P+T)
		if P > 0 {
			s.kv.Append(k[pre*hs.KRow+hs.K(kv):], hs.KRow, v[pre*hs.VRow+hs.V(kv):], hs.VRow, P)
		}
		s.kv.Append(k[first*hs.KRow+hs.K(kv):], hs.KRow, v[first*hs.VRow+hs.V(kv):], hs.VRow, T)
		begin(s)
		for h := kv * group; h < (kv+1)*group; h++ {
			for i0 := sp.from; i0 < sp.to; i0 += tensor.QueryBlock {
				i1 := min(sp.to, i0+tensor.QueryBlock)
				s.q.Load(i1-i0, hs.D,
					func(i int) []float32 { return q[rowAt(rows, i0+i)*hs.QRow+hs.Q(h):] },
					func(i int) int { return P + rowAt(rows, i0+i) - first })
				f(s, h, i0, i1)
			}
		}
		end(s, sp.seq, kv)
	})
}

// Attention computes causal attention over packed sequences: out = softmax(q·kᵀ/√D)·v per head, for the given rows, which
// ascend, or for every row if rows is nil. out is [len(rows), H·D]; stat [len(rows), H] is for the backward.
func Attention(out, stat, q, k, v []float32, l Layout, rows []int, hs Heads) {
	C := hs.H * hs.D
	heads(q, k, v, l, rows, hs, func(*scratch) {}, func(s *scratch, h, i0, i1 int) {
		s.q.Attend(&s.kv,
			func(i int) []float32 { return out[(i0+i)*C+h*hs.D : (i0+i)*C+(h+1)*hs.D] },
			func(i int, x float32) { stat[(i0+i)*hs.H+h] = x })
	}, func(*scratch, int, int) {})
}

// AttentionGrad is the backward of Attention; it adds to dq, dk and dv, which have the layouts of q, k and v. Sequences that
// continue others are refused: each needs gradients of its own for the rows it shares.
func AttentionGrad(dq, dk, dv, dout, out, stat, q, k, v []float32, l Layout, rows []int, hs Heads) {
	if l.Prefix != nil {
		panic("nn: AttentionGrad: sequences with a shared prefix have no backward")
	}
	C := hs.H * hs.D
	heads(q, k, v, l, rows, hs, func(s *scratch) { s.g.Reset(&s.kv) }, func(s *scratch, h, i0, i1 int) {
		at := func(x []float32) func(i int) []float32 {
			return func(i int) []float32 { return x[(i0+i)*C+h*hs.D : (i0+i)*C+(h+1)*hs.D] }
		}
		s.g.Attend(&s.q, at(dout), at(out),
			func(i int) float32 { return stat[(i0+i)*hs.H+h] },
			func(i int) []float32 {
				n := rowAt(rows, i0+i)*hs.QRow + hs.Q(h)
				return dq[n : n+hs.D]
			})
	}, func(s *scratch, seq, kv int) {
		first := l.Off[seq]
		s.g.AddTo(dk[first*hs.KRow+hs.K(kv):], hs.KRow, dv[first*hs.VRow+hs.V(kv):], hs.VRow, 0, l.Off[seq+1]-first)
	})
}
