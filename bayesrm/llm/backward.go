package llm

import (
	"gobayes/bayesrm/nn"
	"gobayes/bayesrm/tensor"
)

// Sink receives, for each LoRA in the order of the backward pass, what its gradients are made of: the rows of its input
// x [N, In], of u = x·Aᵀ [N, R], of the output gradient g [N, Out] and of gB = g·B [N, R]. For rows of one sequence,
// dA = s·gBᵀ·x and dB = s·gᵀ·u. The slices are valid during the call only.
type Sink func(l *Linear, x, u, g, gB []float32)

// Accumulate is the Sink that adds the gradients of the whole batch to A.Grad and B.Grad.
func Accumulate(l *Linear, x, u, g, gB []float32) {
	a := l.LoRA
	N := len(u) / a.R
	t := make([]float32, max(len(a.A.Data), len(a.B.Data)))
	dA := t[:len(a.A.Data)]
	tensor.MatMulTN(dA, gB, x, N, a.R, l.In)
	tensor.Axpy(a.A.Grad, a.Scale, dA)
	dB := t[:len(a.B.Data)]
	clear(dB)
	tensor.MatMulTN(dB, g, u, N, l.Out, a.R)
	tensor.Axpy(a.B.Grad, a.Scale, dB)
}

// Train makes the base weights trainable (full fine-tuning) or freezes them.
func (m *Model) Train(on bool) {
	for _, p := range m.Params() {
		p.Grad = nil
		if on {
			p.Grad = make([]float32, len(p.Data))
		}
	}
}

// Backward takes the gradient of the hidden states after the final norm, dhidden [N, C], through the forward pass that
// acts recorded. Base weights with a gradient slice accumulate into it; LoRA parts go to sink.
func (m *Model) Backward(acts *Acts, dhidden []float32, sink Sink) {
	c := m.Config
	b := acts.batch
	C, F, N := c.Width, c.FeedForward, len(b.IDs)
	dx := make([]float32, N*C)
	m.final.grad(dx, dhidden, acts.xFinal, acts.meanF, acts.rstdF)
	var dact, dup, dgate, dn, datt, dq, dk, dv []float32
	lowest := m.lowestTrained()
	for l := len(m.blocks) - 1; l >= 0; l-- {
		blk, la := m.blocks[l], &acts.layers[l]
		// dx is the gradient of the layer's output: x + attention + mlp
		dact = zeroed(dact, N*F)
		blk.down.grad(dact, dx, la.act, N, la, sink)
		dup = zeroed(dup, N*F)
		dn = zeroed(dn, N*C)
		if blk.gate != nil {
			dgate = zeroed(dgate, N*F)
			nn.SwiGLUGrad(dgate, dup, dact, la.gate, la.up)
			blk.gate.grad(dn, dgate, la.n2, N, la, sink)
		} else {
			nn.GELUGrad(dup, dact, la.up)
		}
		blk.up.grad(dn, dup, la.n2, N, la, sink)
		dres := dx // gradient of x + attention; for parallel blocks the second norm's input is x itself
		dx2 := make([]float32, N*C)
		blk.norm2.grad(dx2, dn, la.x2, la.mean2, la.rs2)
		if !c.Parallel {
			tensor.Axpy(dres, 1, dx2)
		}
		datt = zeroed(datt, N*C)
		blk.dense.grad(datt, dres, la.att, N, la, sink)
		dn = zeroed(dn, N*C)
		if blk.qkv != nil {
			dq = zeroed(dq, N*3*C)
			nn.AttentionGrad(dq, dq, dq, datt, la.probs, la.q, la.k, la.v, b.Off, m.heads)
			m.rotate(dq, dq, b, true)
			blk.qkv.grad(dn, dq, la.n1, N, la, sink)
		} else {
			kv := m.heads.KRow
			dq, dk, dv = zeroed(dq, N*C), zeroed(dk, N*kv), zeroed(dv, N*kv)
			nn.AttentionGrad(dq, dk, dv, datt, la.probs, la.q, la.k, la.v, b.Off, m.heads)
			m.rotate(dq, dk, b, true)
			blk.q.grad(dn, dq, la.n1, N, la, sink)
			blk.k.grad(dn, dk, la.n1, N, la, sink)
			blk.v.grad(dn, dv, la.n1, N, la, sink)
		}
		if l == lowest { // nothing below is trained
			return
		}
		if c.Parallel {
			tensor.Axpy(dx, 1, dx2)
		}
		blk.norm1.grad(dx, dn, la.x, la.mean1, la.rs1)
	}
	if m.embed.Grad != nil {
		for n, id := range b.IDs {
			tensor.Axpy(m.embed.Grad[id*C:(id+1)*C], 1, dx[n*C:(n+1)*C])
		}
	}
}

// lowestTrained is the lowest layer that has a LoRA, or -1 when the base weights are trained.
func (m *Model) lowestTrained() int {
	if m.embed.Grad != nil {
		return -1
	}
	for l, b := range m.blocks {
		for _, lin := range b.linears() {
			if lin.LoRA != nil {
				return l
			}
		}
	}
	return len(m.blocks) - 1
}

// grad is the backward of apply: it adds to dx and to the gradients of trained weights.
func (l *Linear) grad(dx, dy, x []float32, N int, la *layerActs, sink Sink) {
	tensor.MatMulNN(dx, dy, l.W.Data, N, l.In, l.Out, true)
	if l.W.Grad != nil {
		tensor.MatMulTN(l.W.Grad, dy, x, N, l.Out, l.In)
		if l.Bias != nil {
			for n := range N {
				tensor.Axpy(l.Bias.Grad, 1, dy[n*l.Out:(n+1)*l.Out])
			}
		}
	}
	a := l.LoRA
	if a == nil {
		return
	}
	gB := make([]float32, N*a.R)
	tensor.MatMulNN(gB, dy, a.B.Data, N, a.R, l.Out, false)
	if sink != nil {
		sink(l, x, la.u[l], dy, gB)
	}
	t := make([]float32, N*l.In)
	tensor.MatMulNN(t, gB, a.A.Data, N, l.In, a.R, false)
	tensor.Axpy(dx, a.Scale, t)
}

// LMLoss computes the mean next-token loss over the targets of the batch that are not negative and adds the gradients of
// all trained weights. targets [N] is the token that follows each position. scale multiplies the gradients only.
func (m *Model) LMLoss(acts *Acts, b Batch, targets []int, scale float64) (loss float64, err error) {
	if err := m.Forward(acts, b); err != nil {
		return 0, err
	}
	count := 0
	for _, t := range targets {
		if t >= 0 {
			count++
		}
	}
	logits := m.Logits(acts.Hidden)
	sum, _ := nn.CrossEntropy(logits, targets, m.Config.Vocab, float32(scale/float64(max(1, count))))
	dhidden := make([]float32, len(acts.Hidden))
	N, C, V := len(b.IDs), m.Config.Width, m.Config.Vocab
	tensor.MatMulNN(dhidden, logits, m.unembed.Data, N, C, V, false)
	if m.unembed.Grad != nil {
		tensor.MatMulTN(m.unembed.Grad, logits, acts.Hidden, N, V, C)
	}
	m.Backward(acts, dhidden, Accumulate)
	return sum / float64(max(1, count)), nil
}
