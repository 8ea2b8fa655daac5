package llm

import (
	"context"
	"fmt"
	"slices"

	"gobayes/bayesrm/nn"
	"gobayes/bayesrm/tensor"
)

// Acts are the activations of one forward pass; a backward pass reads them. They may be used again by the next forward,
// which then allocates nothing.
type Acts struct {
	// Inference keeps one layer at a time: there is no backward then.
	Inference bool
	// Dropout is the seed of this pass's LoRA dropout; 0 drops nothing.
	Dropout uint64
	Hidden  []float32 // output of the final norm, of the rows that were asked for [len(rows), C]

	batch  Batch
	rows   []int               // nil: all
	loras  map[*Linear][]*LoRA // of each member, where there are several
	layers []layerActs
	x      [2][]float32 // what goes from layer to layer, in inference
	xFinal []float32    // input of the final norm
	meanF  []float32
	rstdF  []float32
	keep   func(layer int, k, v []float32) // sees the keys and values of each layer
	grads  gradBuffers
}

type layerActs struct {
	x              []float32 // input [N, C]
	n1, mean1, rs1 []float32
	q, k, v        []float32 // after the rotary embedding; one buffer for GPT-NeoX
	stat           []float32 // of the softmax
	att            []float32 // before dense
	x2             []float32 // input of the second norm
	n2, mean2, rs2 []float32
	gate, up       []float32
	act            []float32             // input of down
	u              map[*Linear][]float32 // x·Aᵀ of each LoRA [N, R]
	dropped        map[*Linear][]float32 // x after dropout, where there is any
}

// size returns a slice of n elements, using buf if it is large enough. The content is undefined.
func size(buf []float32, n int) []float32 {
	if cap(buf) < n {
		return make([]float32, n, n+n/8)
	}
	return buf[:n]
}

func zeroed(buf []float32, n int) []float32 {
	buf = size(buf, n)
	clear(buf)
	return buf
}

// output is where a linear layer's output goes: y [N, Out], which it is added to with add.
type output struct {
	*Linear
	y   []float32
	add bool
}

// apply computes linear layers of the same N rows: y = x·Wᵀ + b + s·(x·Aᵀ)·Bᵀ, or adds that to y.
func apply(x []float32, N int, acts *Acts, la *layerActs, outs ...output) {
	var few [3]tensor.Product // on the stack
	frozen := few[:0]
	for _, o := range outs {
		if o.Bias != nil {
			if o.add {
				tensor.AddRows(o.y, o.Bias.Data)
			} else {
				tensor.FillRows(o.y, o.Bias.Data)
			}
			o.add = true
		}
		if o.W.Grad != nil {
			o.W.multiply(o.y, x, N, o.add)
		} else {
			frozen = append(frozen, tensor.Product{Y: o.y, W: o.W.pack(), Add: o.add})
		}
	}
	if len(frozen) > 0 {
		tensor.MatMulAll(x, N, frozen...)
	}
	for _, o := range outs {
		members := acts.loras[o.Linear]
		if members == nil {
			o.applyLoRA(o.LoRA, o.y, x, N, acts, la)
			continue
		}
		n := N / len(members) // each has its share of the rows
		for k, a := range members {
			o.applyLoRA(a, o.y[k*n*o.Out:(k+1)*n*o.Out], x[k*n*o.In:(k+1)*n*o.In], n, acts, la)
		}
	}
}

// applyLoRA adds s·(x·Aᵀ)·Bᵀ to y.
func (l *Linear) applyLoRA(a *LoRA, y, x []float32, N int, acts *Acts, la *layerActs) {
	if a == nil {
		return
	}
	if la.u == nil {
		la.u, la.dropped = map[*Linear][]float32{}, map[*Linear][]float32{}
	}
	if a.Dropout > 0 && acts.Dropout != 0 {
		la.dropped[l] = size(la.dropped[l], len(x))
		a.drop(la.dropped[l], x, acts.Dropout, false)
		x = la.dropped[l]
	}
	u := size(la.u[l], N*a.R)
	la.u[l] = u
	tensor.MatMulNT(u, x, a.A.Data, N, a.R, l.In, false)
	acts.grads.small = size(acts.grads.small, N*a.R)
	su := acts.grads.small
	copy(su, u)
	tensor.Scale(su, a.Scale)
	tensor.MatMulNT(y, su, a.B.Data, N, l.Out, a.R, true)
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

// Forward computes the hidden states after the final norm, acts.Hidden, of the given rows of the batch, which ascend; with
// nil rows, of all. Behind its keys and values the last layer runs on those rows only. ctx is polled at every layer.
func (m *Model) Forward(ctx context.Context, acts *Acts, b Batch, rows []int) error {
	return ForwardMembers(ctx, acts, []*Model{m}, b, rows)
}

// ForwardMembers is Forward for models that share their base weights and differ in their LoRA parts; there is no backward
// through several. The layers below every LoRA run once for all. Above them each product with the base weights serves the rows of all
// members. acts.Hidden is [len(members), len(rows), C].
func ForwardMembers(ctx context.Context, acts *Acts, members []*Model, b Batch, rows []int) error {
	m := members[0]
	fork := 0 // layer before which the rows of several members part
	acts.loras = nil
	if len(members) > 1 {
		var err error
		if fork, acts.loras, err = join(members); err != nil {
			return err
		}
	}
	if err := m.check(b); err != nil {
		return err
	}
	if !slices.IsSorted(rows) || len(rows) > 0 && (rows[0] < 0 || rows[len(rows)-1] >= len(b.IDs)) {
		return fmt.Errorf("llm: forward: rows %v of a batch of %d must ascend", rows, len(b.IDs))
	}
	C, N := m.Config.Width, len(b.IDs)
	acts.batch, acts.rows = b, rows
	layers := len(m.blocks)
	if acts.Inference {
		layers = 1
	}
	if len(acts.layers) != layers {
		acts.layers = make([]layerActs, layers)
	}
	input := func(l int) *[]float32 {
		switch {
		case l == len(m.blocks):
			return &acts.xFinal
		case acts.Inference:
			return &acts.x[l%2]
		}
		return &acts.layers[l].x
	}
	x := size(*input(0), N*C)
	*input(0) = x
	m.embed.rows(x, b.IDs)
	split := func(l int) {
		if len(members) == 1 || l != fork {
			return
		}
		one := len(x)
		all := size(x, len(members)*one)
		for k := range members {
			copy(all[k*one:], x)
		}
		x, *input(l) = all, all
		b, rows = b.repeat(len(members)), repeat(rows, len(b.IDs), len(members))
		N = len(b.IDs)
	}
	for l, blk := range m.blocks {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("llm: forward: %w", err)
		}
		split(l)
		la, only := &acts.layers[l%layers], []int(nil)
		n := N
		if l == len(m.blocks)-1 && rows != nil {
			only, n = rows, len(rows)
		}
		la.x = x
		next := size(*input(l + 1), n*C)
		*input(l + 1) = next
		m.block(acts, blk, la, next, b, only)
		if acts.keep != nil {
			acts.keep(l, la.k, la.v)
		}
		x = next
	}
	split(len(m.blocks))
	n := len(x) / C
	acts.meanF, acts.rstdF, acts.Hidden = size(acts.meanF, n), size(acts.rstdF, n), size(acts.Hidden, n*C)
	m.final.apply(acts.Hidden, acts.meanF, acts.rstdF, x)
	return nil
}

// block computes one layer: out is its output, of the given rows.
func (m *Model) block(acts *Acts, blk *block, la *layerActs, out []float32, b Batch, rows []int) {
	C, N := m.Config.Width, len(b.IDs)
	la.n1, la.mean1, la.rs1 = size(la.n1, N*C), size(la.mean1, N), size(la.rs1, N)
	blk.norm1.apply(la.n1, la.mean1, la.rs1, la.x)
	m.project(acts, blk, la, N)
	m.rotate(la.q, la.k, b, false)
	R := len(out) / C
	la.stat, la.att = size(la.stat, R*m.Config.Heads), size(la.att, R*C)
	nn.Attention(la.att, la.stat, la.q, la.k, la.v, b.Layout, rows, m.heads)
	if rows == nil {
		copy(out, la.x)
	} else {
		gather(out, la.x, rows, C)
	}
	m.rest(acts, blk, la, out)
}

// project computes queries, keys and values from la.n1.
func (m *Model) project(acts *Acts, blk *block, la *layerActs, N int) {
	hs := m.heads
	la.q = size(la.q, N*hs.QRow)
	if blk.qkv != nil {
		apply(la.n1, N, acts, la, output{blk.qkv, la.q, false})
		la.k, la.v = la.q, la.q
		return
	}
	la.k, la.v = size(la.k, N*hs.KRow), size(la.v, N*hs.VRow)
	apply(la.n1, N, acts, la, output{blk.q, la.q, false}, output{blk.k, la.k, false}, output{blk.v, la.v, false})
}

// rest is what follows attention: out holds the layer's input and gets its output.
func (m *Model) rest(acts *Acts, blk *block, la *layerActs, out []float32) {
	C, F := m.Config.Width, m.Config.FeedForward
	R := len(out) / C
	la.n2, la.mean2, la.rs2 = size(la.n2, R*C), size(la.mean2, R), size(la.rs2, R)
	la.x2 = size(la.x2, R*C)
	if !m.Config.Parallel {
		apply(la.att, R, acts, la, output{blk.dense, out, true})
	}
	copy(la.x2, out)
	blk.norm2.apply(la.n2, la.mean2, la.rs2, la.x2)
	if m.Config.Parallel {
		apply(la.att, R, acts, la, output{blk.dense, out, true})
	}
	la.up, la.act = size(la.up, R*F), size(la.act, R*F)
	up := output{blk.up, la.up, false}
	if blk.gate != nil {
		la.gate = size(la.gate, R*F)
		apply(la.n2, R, acts, la, up, output{blk.gate, la.gate, false})
		tensor.SwiGLU(la.act, la.gate, la.up)
	} else {
		apply(la.n2, R, acts, la, up)
		if m.Config.GELUTanh {
			tensor.GELUTanh(la.act, la.up)
		} else {
			tensor.GELU(la.act, la.up)
		}
	}
	apply(la.act, R, acts, la, output{blk.down, out, true})
}

// gather copies the given rows of x.
func gather(y, x []float32, rows []int, C int) {
	for i, n := range rows {
		copy(y[i*C:(i+1)*C], x[n*C:(n+1)*C])
	}
}

// rotate applies the rotary embedding to the queries and keys of a batch.
func (m *Model) rotate(q, k []float32, b Batch, inverse bool) {
	hs := m.heads
	tensor.Parallel(b.Len(), func(s int) {
		_, P := b.Before(s)
		for n := b.Off[s]; n < b.Off[s+1]; n++ {
			m.rotateRow(q[n*hs.QRow:(n+1)*hs.QRow], k[n*hs.KRow:(n+1)*hs.KRow], P+n-b.Off[s], inverse)
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

// Logits returns the next-token logits [n, V] of rows of hidden states [n, C].
func (m *Model) Logits(hidden []float32) []float32 {
	n := len(hidden) / m.Config.Width
	y := make([]float32, n*m.Config.Vocab)
	m.unembed.multiply(y, hidden, n, false)
	return y
}

// Bytes is the memory that the activations and their gradients hold.
func (a *Acts) Bytes() int {
	n := 0
	add := func(xs ...[]float32) {
		for _, x := range xs {
			n += 4 * cap(x)
		}
	}
	for i := range a.layers {
		la := &a.layers[i]
		add(la.x, la.n1, la.mean1, la.rs1, la.q, la.stat, la.att, la.x2, la.n2, la.mean2, la.rs2, la.gate, la.up, la.act)
		if cap(la.k) > 0 && &la.k[0] != &la.q[0] {
			add(la.k, la.v)
		}
		for _, u := range la.u {
			add(u)
		}
		for _, d := range la.dropped {
			add(d)
		}
	}
	g := &a.grads
	add(a.x[0], a.x[1], a.xFinal, a.meanF, a.rstdF, a.Hidden, g.dx, g.dx2, g.wide, g.dact, g.dup, g.dgate, g.dn, g.datt, g.dq, g.dk, g.dv, g.gB, g.t, g.small)
	return n
}
