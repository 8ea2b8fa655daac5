package llm

import (
	"context"
	"fmt"

	"gobayes/bayesrm/nn"
	"gobayes/bayesrm/tensor"
)

// Sink receives, for each LoRA in the order of the backward pass, what its gradients are made of: the rows of its input
// x [n, In] (after dropout), of u = x·Aᵀ [n, R], of the output gradient g [n, Out] and of gB = g·B [n, R]. Sequence b has
// the rows off[b] … off[b+1], and for them dA = s·gBᵀ·x and dB = s·gᵀ·u. The slices are valid during the call only.
type Sink func(l *Linear, off []int, x, u, g, gB []float32)

// Accumulate is the Sink that adds the gradients of the whole batch to A.Grad and B.Grad.
func Accumulate(l *Linear, _ []int, x, u, g, gB []float32) {
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
			p.unpack()
			p.Grad = make([]float32, len(p.Data))
		}
	}
}

// TrainLast makes the weights of the last k layers trainable, with the final norm and an output projection that is not the
// embedding. A model that shares weights with others gets copies of these. It returns them; the others are frozen.
func (m *Model) TrainLast(k int) ([]*Param, error) {
	if k <= 0 || k > len(m.blocks) {
		return nil, fmt.Errorf("llm: train the last %d layers: the model has %d", k, len(m.blocks))
	}
	m.source = "" // it is about to become another model
	var trained []*Param
	for _, p := range m.weights(len(m.blocks) - k) {
		*p = (*p).clone()
		(*p).Grad = make([]float32, (*p).Len())
		trained = append(trained, *p)
	}
	return trained, nil
}

// gradBuffers are the gradients of one layer's activations.
type gradBuffers struct {
	dx, dx2, wide, dact, dup, dgate, dn, datt, dq, dk, dv []float32
	gB, t, small                                          []float32
}

// Backward takes the gradient of acts.Hidden, dhidden, through the forward pass that acts recorded. Base weights with a
// gradient slice accumulate into it; LoRA parts go to sink. What lies below the lowest trained layer is not computed. ctx is
// polled at every layer; gradients are incomplete after an error.
func (m *Model) Backward(ctx context.Context, acts *Acts, dhidden []float32, sink Sink) error {
	if acts.Inference {
		panic("llm: Backward after a forward pass for inference")
	}
	c, b, g := m.Config, acts.batch, &acts.grads
	C, F, N := c.Width, c.FeedForward, len(b.IDs)
	g.dx = zeroed(g.dx, len(dhidden))
	dx := g.dx
	m.final.grad(dx, dhidden, acts.xFinal, acts.meanF, acts.rstdF)
	lowest := m.lowestTrained()
	for l := len(m.blocks) - 1; l >= 0; l-- {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("llm: backward: %w", err)
		}
		blk, la := m.blocks[l], &acts.layers[l]
		rows := []int(nil)
		if l == len(m.blocks)-1 {
			rows = acts.rows
		}
		R := len(dx) / C
		back := &pass{acts: acts, la: la, off: b.offsetsOf(rows), sink: sink}
		below := l > lowest || blk.norm1.w.Grad != nil // the gradient of the first norm's output is of use
		// dx is the gradient of the layer's output: x + attention + mlp
		g.dx2 = zeroed(g.dx2, R*C)
		if below || !c.Parallel || blk.mlpTrained() {
			g.dact, g.dup, g.dn = size(g.dact, R*F), size(g.dup, R*F), size(g.dn, R*C)
			back.linear(blk.down, g.dact, dx, la.act, false)
			if blk.gate != nil {
				g.dgate = size(g.dgate, R*F)
				tensor.SwiGLUGrad(g.dgate, g.dup, g.dact, la.gate, la.up)
				back.linear(blk.gate, g.dn, g.dgate, la.n2, false)
			} else if c.GELUTanh {
				tensor.GELUTanhGrad(g.dup, g.dact, la.up)
			} else {
				tensor.GELUGrad(g.dup, g.dact, la.up)
			}
			back.linear(blk.up, g.dn, g.dup, la.n2, blk.gate != nil)
			blk.norm2.grad(g.dx2, g.dn, la.x2, la.mean2, la.rs2)
		}
		if !c.Parallel { // the second norm's input is x + attention; for parallel blocks it is x itself
			tensor.Axpy(dx, 1, g.dx2)
		}
		g.datt = size(g.datt, R*C)
		back.linear(blk.dense, g.datt, dx, la.att, false)
		hs := m.heads
		dq := zeroed(g.dq, N*hs.QRow)
		dk, dv := dq, dq
		if blk.qkv == nil {
			dk, dv = zeroed(g.dk, N*hs.KRow), zeroed(g.dv, N*hs.VRow)
			g.dk, g.dv = dk, dv
		}
		g.dq = dq
		nn.AttentionGrad(dq, dk, dv, g.datt, la.att, la.stat, la.q, la.k, la.v, b.Layout, rows, hs)
		m.rotate(dq, dk, b, true)
		back.off = b.Off
		dn := []float32(nil)
		if below {
			g.dn = size(g.dn, N*C)
			dn = g.dn
		}
		if blk.qkv != nil {
			back.linear(blk.qkv, dn, dq, la.n1, false)
		} else {
			back.linear(blk.q, dn, dq, la.n1, false)
			back.linear(blk.k, dn, dk, la.n1, true)
			back.linear(blk.v, dn, dv, la.n1, true)
		}
		if !below {
			return nil
		}
		if c.Parallel {
			tensor.Axpy(dx, 1, g.dx2)
		}
		if rows != nil { // from here on all rows
			g.wide = zeroed(g.wide, N*C)
			for i, n := range rows {
				copy(g.wide[n*C:(n+1)*C], dx[i*C:(i+1)*C])
			}
			dx = g.wide
		}
		blk.norm1.grad(dx, dn, la.x, la.mean1, la.rs1)
		if l == lowest {
			return nil
		}
	}
	if m.embed.Grad != nil {
		for n, id := range b.IDs {
			tensor.Axpy(m.embed.Grad[id*C:(id+1)*C], 1, dx[n*C:(n+1)*C])
		}
	}
	return nil
}

// lowestTrained is the lowest layer that has weights to train, -1 when the embedding has.
func (m *Model) lowestTrained() int {
	if m.embed.Grad != nil {
		return -1
	}
	for l, b := range m.blocks {
		if b.norm1.w.Grad != nil {
			return l
		}
		for _, lin := range b.linears() {
			if lin.LoRA != nil {
				return l
			}
		}
	}
	return len(m.blocks) - 1
}

// mlpTrained says whether the feed-forward part has weights to train.
func (b *block) mlpTrained() bool {
	for _, l := range []*Linear{b.up, b.gate, b.down} {
		if l != nil && (l.LoRA != nil || l.W.Grad != nil) {
			return true
		}
	}
	return false
}

// pass is what the backward of a linear layer needs beside its own arguments.
type pass struct {
	acts *Acts
	la   *layerActs
	off  []int
	sink Sink
}

// linear is the backward of apply: dx = dy·W + s·(dy·B)·A, or dx += that, unless dx is nil; gradients of trained weights
// are added to.
func (p *pass) linear(l *Linear, dx, dy, x []float32, add bool) {
	N := len(dy) / l.Out
	if dx != nil {
		l.W.multiplyBack(dx, dy, N, add)
	}
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
	g := &p.acts.grads
	drop := a.Dropout > 0 && p.acts.Dropout != 0
	if drop {
		x = p.la.dropped[l]
	}
	g.gB = size(g.gB, N*a.R)
	tensor.MatMulNN(g.gB, dy, a.B.Data, N, a.R, l.Out, false)
	if p.sink != nil {
		p.sink(l, p.off, x, p.la.u[l], dy, g.gB)
	}
	if dx == nil {
		return
	}
	tensor.Scale(g.gB, a.Scale)
	if !drop {
		tensor.MatMulNN(dx, g.gB, a.A.Data, N, l.In, a.R, true)
		return
	}
	g.t = size(g.t, len(dx))
	tensor.MatMulNN(g.t, g.gB, a.A.Data, N, l.In, a.R, false)
	a.drop(dx, g.t, p.acts.Dropout, true)
}

// LMLoss computes the mean next-token loss over the targets of the batch that are not negative and adds the gradients of
// all trained weights, unless acts are for inference. targets [N] is the token that follows each position. scale multiplies
// the gradients only.
func (m *Model) LMLoss(ctx context.Context, acts *Acts, b Batch, targets []int, scale float64) (loss float64, err error) {
	rows, wanted := []int{}, []int{}
	for n, t := range targets {
		if t >= 0 {
			rows, wanted = append(rows, n), append(wanted, t)
		}
	}
	if err := m.Forward(ctx, acts, b, rows); err != nil {
		return 0, err
	}
	count := float64(max(1, len(rows)))
	var seed func(int, float64) float64
	var dhidden []float32
	if !acts.Inference {
		seed = func(int, float64) float64 { return -scale / count }
		dhidden = make([]float32, len(acts.Hidden))
	}
	for _, l := range m.LogProbs(acts.Hidden, wanted, seed, dhidden) {
		loss -= l / count
	}
	if acts.Inference {
		return loss, nil
	}
	return loss, m.Backward(ctx, acts, dhidden, Accumulate)
}

// LogProbs returns the log-probability of a token, next [n], after each row of hidden states [n, C]. With seed, the derivative
// of a loss with respect to each of them, that loss's gradient is added to dhidden [n, C] and to the gradient of the output
// projection if it is trained. seed is called from several goroutines.
func (m *Model) LogProbs(hidden []float32, next []int, seed func(n int, logp float64) float64, dhidden []float32) []float64 {
	C, V := m.Config.Width, m.Config.Vocab
	logp := make([]float64, 0, len(next))
	const block = 512 // rows of logits in memory
	for i := 0; i < len(next); i += block {
		n := min(block, len(next)-i)
		h := hidden[i*C : (i+n)*C]
		logits := m.Logits(h)
		at := seed
		if seed != nil {
			at = func(k int, logp float64) float64 { return seed(i+k, logp) }
		}
		logp = append(logp, nn.LogProbs(logits, next[i:i+n], V, at)...)
		if seed == nil {
			continue
		}
		m.unembed.multiplyBack(dhidden[i*C:(i+n)*C], logits, n, true)
		if m.unembed.Grad != nil {
			tensor.MatMulTN(m.unembed.Grad, logits, h, n, V, C)
		}
	}
	return logp
}
