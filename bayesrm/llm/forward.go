package llm

import (
	"fmt"

	"gobayes/bayesrm/nn"
	"gobayes/bayesrm/tensor"
)

// Batch is a packed batch: the tokens of all sequences end to end.
type Batch struct {
	IDs []int
	Off []int // B+1 offsets: sequence b is IDs[Off[b]:Off[b+1]]
}

// Pack makes a batch.
func Pack(seqs [][]int) Batch {
	b := Batch{Off: []int{0}}
	for _, s := range seqs {
		b.IDs = append(b.IDs, s...)
		b.Off = append(b.Off, len(b.IDs))
	}
	return b
}

// Len is the number of sequences.
func (b Batch) Len() int { return len(b.Off) - 1 }

// check says which sequence of a batch the model cannot take.
func (m *Model) check(b Batch) error {
	for i := range b.Len() {
		T := b.Off[i+1] - b.Off[i]
		if T == 0 {
			return fmt.Errorf("llm: sequence %d of %d is empty", i, b.Len())
		}
		if T > m.Config.Context {
			return fmt.Errorf("llm: sequence %d of %d has %d tokens; the model's context is %d", i, b.Len(), T, m.Config.Context)
		}
		for _, id := range b.IDs[b.Off[i]:b.Off[i+1]] {
			if id < 0 || id >= m.Config.Vocab {
				return fmt.Errorf("llm: sequence %d of %d holds token %d; the vocabulary has %d", i, b.Len(), id, m.Config.Vocab)
			}
		}
	}
	return nil
}

// Acts are the activations of one forward pass; a backward pass reads them. They may be used again by the next forward.
type Acts struct {
	batch  Batch
	layers []layerActs
	xFinal []float32 // input of the final norm [N, C]
	meanF  []float32
	rstdF  []float32
	Hidden []float32 // output of the final norm [N, C]
}

type layerActs struct {
	x              []float32 // input [N, C]
	n1, mean1, rs1 []float32
	q, k, v        []float32 // after the rotary embedding; slices of one buffer for GPT-NeoX
	probs          []float32
	att            []float32 // [N, C], before dense
	x2             []float32 // input of the second norm
	n2, mean2, rs2 []float32
	gate, up       []float32
	act            []float32             // input of down
	u              map[*Linear][]float32 // x·Aᵀ of each LoRA [N, R]
}

// size returns a slice of n elements, using buf if it is large enough. The content is undefined.
func size(buf []float32, n int) []float32 {
	if cap(buf) < n {
		return make([]float32, n)
	}
	return buf[:n]
}

func zeroed(buf []float32, n int) []float32 {
	buf = size(buf, n)
	clear(buf)
	return buf
}

// apply computes a linear layer on N rows.
func (l *Linear) apply(y, x []float32, N int, la *layerActs) {
	tensor.MatMulNT(y, x, l.W.Data, N, l.Out, l.In, false)
	if l.Bias != nil {
		for n := range N {
			yn := y[n*l.Out : (n+1)*l.Out]
			for i, b := range l.Bias.Data {
				yn[i] += b
			}
		}
	}
	if a := l.LoRA; a != nil {
		if la.u == nil {
			la.u = map[*Linear][]float32{}
		}
		u := size(la.u[l], N*a.R)
		la.u[l] = u
		tensor.MatMulNT(u, x, a.A.Data, N, a.R, l.In, false)
		t := make([]float32, len(y))
		tensor.MatMulNT(t, u, a.B.Data, N, l.Out, a.R, false)
		tensor.Axpy(y, a.Scale, t)
	}
}

func (n norm) apply(y, mean, rstd, x []float32) {
	if n.b == nil {
		nn.RMSNorm(y, rstd, x, n.w.Data, n.eps)
		return
	}
	nn.LayerNorm(y, mean, rstd, x, n.w.Data, n.b.Data, n.eps)
}

func (n norm) grad(dx, dy, x, mean, rstd []float32) {
	if n.b == nil {
		nn.RMSNormGrad(dx, n.w.Grad, dy, x, n.w.Data, rstd)
		return
	}
	nn.LayerNormGrad(dx, n.w.Grad, n.b.Grad, dy, x, n.w.Data, mean, rstd)
}

// Forward computes the hidden states after the final norm, acts.Hidden [N, C].
func (m *Model) Forward(acts *Acts, b Batch) error {
	if err := m.check(b); err != nil {
		return err
	}
	C, N := m.Config.Width, len(b.IDs)
	acts.batch = b
	if len(acts.layers) != len(m.blocks) {
		acts.layers = make([]layerActs, len(m.blocks))
	}
	x := size(acts.layers[0].x, N*C)
	for n, id := range b.IDs {
		copy(x[n*C:(n+1)*C], m.embed.Data[id*C:(id+1)*C])
	}
	for l, blk := range m.blocks {
		la := &acts.layers[l]
		la.x = x
		next := size(acts.xFinal, N*C)
		if l+1 < len(m.blocks) {
			next = size(acts.layers[l+1].x, N*C)
		} else {
			acts.xFinal = next
		}
		m.block(blk, la, next, b)
		x = next
	}
	acts.xFinal = x
	acts.meanF, acts.rstdF, acts.Hidden = size(acts.meanF, N), size(acts.rstdF, N), size(acts.Hidden, N*C)
	m.final.apply(acts.Hidden, acts.meanF, acts.rstdF, x)
	return nil
}

// block computes one layer: out is its output.
func (m *Model) block(blk *block, la *layerActs, out []float32, b Batch) {
	c := m.Config
	C, F, N := c.Width, c.FeedForward, len(b.IDs)
	la.n1, la.mean1, la.rs1 = size(la.n1, N*C), size(la.mean1, N), size(la.rs1, N)
	blk.norm1.apply(la.n1, la.mean1, la.rs1, la.x)
	if blk.qkv != nil {
		la.q = size(la.q, N*3*C)
		blk.qkv.apply(la.q, la.n1, N, la)
		la.k, la.v = la.q, la.q
	} else {
		kv := m.heads.KRow
		la.q, la.k, la.v = size(la.q, N*C), size(la.k, N*kv), size(la.v, N*kv)
		blk.q.apply(la.q, la.n1, N, la)
		blk.k.apply(la.k, la.n1, N, la)
		blk.v.apply(la.v, la.n1, N, la)
	}
	m.rotate(la.q, la.k, b, false)
	la.probs = size(la.probs, nn.ProbsLen(b.Off, c.Heads))
	la.att = size(la.att, N*C)
	nn.Attention(la.att, la.probs, la.q, la.k, la.v, b.Off, m.heads)
	blk.dense.apply(out, la.att, N, la)
	tensor.Axpy(out, 1, la.x) // x + attention
	la.x2 = la.x
	if !c.Parallel {
		la.x2 = append(make([]float32, 0, N*C), out...)
	}
	la.n2, la.mean2, la.rs2 = size(la.n2, N*C), size(la.mean2, N), size(la.rs2, N)
	blk.norm2.apply(la.n2, la.mean2, la.rs2, la.x2)
	la.up, la.act = size(la.up, N*F), size(la.act, N*F)
	blk.up.apply(la.up, la.n2, N, la)
	if blk.gate != nil {
		la.gate = size(la.gate, N*F)
		blk.gate.apply(la.gate, la.n2, N, la)
		nn.SwiGLU(la.act, la.gate, la.up)
	} else {
		nn.GELU(la.act, la.up)
	}
	t := make([]float32, N*C)
	blk.down.apply(t, la.act, N, la)
	tensor.Axpy(out, 1, t)
}

// rotate applies the rotary embedding to the queries and keys of a batch.
func (m *Model) rotate(q, k []float32, b Batch, inverse bool) {
	hs := m.heads
	tensor.Parallel(b.Len(), func(s int) {
		for n := b.Off[s]; n < b.Off[s+1]; n++ {
			m.rotateRow(q[n*hs.QRow:(n+1)*hs.QRow], k[n*hs.KRow:(n+1)*hs.KRow], n-b.Off[s], inverse)
		}
	})
}

func (m *Model) rotateRow(q, k []float32, pos int, inverse bool) {
	hs := m.heads
	for h := range hs.H {
		m.rotary.Apply(q[hs.Q(h):hs.Q(h)+hs.D], pos, inverse)
	}
	for h := range hs.KV {
		m.rotary.Apply(k[hs.K(h):hs.K(h)+hs.D], pos, inverse)
	}
}

// Logits returns the next-token logits [n, V] of the given rows of hidden [n, C].
func (m *Model) Logits(hidden []float32) []float32 {
	n := len(hidden) / m.Config.Width
	y := make([]float32, n*m.Config.Vocab)
	tensor.MatMulNT(y, hidden, m.unembed.Data, n, m.Config.Vocab, m.Config.Width, false)
	return y
}
