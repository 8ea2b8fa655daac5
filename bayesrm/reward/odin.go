package reward

import (
	"context"
	"errors"
	"fmt"
	"math"

	"gobayes/bayesrm/llm"
	"gobayes/bayesrm/nn"
	"gobayes/bayesrm/prefs"
	"gobayes/bayesrm/tensor"
	"gobayes/bayesrm/train"
)

// ODINOptions configure TrainODIN. A nil *ODINOptions, and every zero field, mean the default.
type ODINOptions struct {
	// Length weighs the correlations of the heads with the length. Default 1.
	Length float64
	// Orthogonal weighs the cosine of the two heads. Default 1.
	Orthogonal float64
}

// TrainODIN trains a reward model with two heads, of which one takes up the length of the answer and is dropped at the end
// (ODIN, Chen et al., arXiv 2402.07319). Both heads are centred and of unit length; with q and l their rewards and ρ the correlation
// with the answers' lengths in tokens over a batch, the loss is
//
//	−log σ(Δq + Δl) + Length·[(1 − ρ_l) + |ρ_q| + |ρ_(q+l)|] + Orthogonal·|cos(w_q, w_l)|.
//
// The model that is returned has the quality head, centred and of unit length as in training. Of the options of the loss only
// the margins of the pairs are used.
func TrainODIN(ctx context.Context, base *llm.Model, pairs *prefs.Pairs, odin *ODINOptions, opts *Options) (*Model, error) {
	if opts != nil && (opts.LabelSmoothing != 0 || opts.LabelNoise != 0 || opts.Centring != 0 || opts.L2 != 0) {
		return nil, errors.New("reward: ODIN: LabelSmoothing, LabelNoise, Centring and L2 are not part of its loss; leave them out")
	}
	t, err := newODIN(base, pairs, odin, opts)
	if err != nil {
		return nil, err
	}
	m := t.Model
	if m.Log, err = train.Run(ctx, t, m.Options.Schedule("train ODIN", pairs.Len())); err != nil {
		return nil, fmt.Errorf("reward: ODIN: %w", err)
	}
	m.Head, _ = unit(m.Head)
	return m, nil
}

type odinTrainer struct {
	*Trainer
	ODINOptions
	length, lengthGrad []float32 // the head that is dropped
	tokens             []float64 // of the answers
}

func newODIN(base *llm.Model, pairs *prefs.Pairs, odin *ODINOptions, opts *Options) (*odinTrainer, error) {
	t := &odinTrainer{}
	var err error
	if t.Trainer, err = NewTrainer(base, pairs, opts); err != nil {
		return nil, err
	}
	if odin != nil {
		t.ODINOptions = *odin
	}
	if t.Length == 0 {
		t.Length = 1
	}
	if t.Orthogonal == 0 {
		t.Orthogonal = 1
	}
	for i, p := range pairs.Rows {
		for _, a := range []string{p.Chosen, p.Rejected} {
			ids, err := base.Tokenizer.Encode(a)
			if err != nil {
				return nil, fmt.Errorf("reward: ODIN: pair %d: %w", i, err)
			}
			t.tokens = append(t.tokens, float64(len(ids)))
		}
	}
	C := len(t.Model.Head)
	t.length, t.lengthGrad = newHead(C, t.Model.Options.Seed, 0x6c656e), make([]float32, C)
	return t, nil
}

func (t *odinTrainer) Weights() (params, grads [][]float32) {
	params, grads = t.Trainer.Weights()
	return append(params, t.length), append(grads, t.lengthGrad)
}

// Step computes the loss over the pairs and its gradients. The correlations are those of the pairs it is given.
func (t *odinTrainer) Step(ctx context.Context, s train.Step) (float64, error) {
	m, n, C := t.Model, len(s.Items), len(t.Model.Head)
	var seqs [][]int
	var tokens []float64
	for _, i := range s.Items {
		seqs = append(seqs, t.seqs[2*i], t.seqs[2*i+1])
		tokens = append(tokens, t.tokens[2*i], t.tokens[2*i+1])
	}
	b := llm.Pack(seqs)
	t.acts.Dropout = s.Seed
	if err := m.Base.Forward(ctx, &t.acts, b, b.Lasts()); err != nil {
		return 0, fmt.Errorf("reward: %w", err)
	}
	wq, backQ := unit(m.Head)
	wl, backL := unit(t.length)
	q, l, sum := make([]float64, 2*n), make([]float64, 2*n), make([]float64, 2*n)
	for i := range q {
		h := t.acts.Hidden[i*C : (i+1)*C]
		q[i], l[i] = tensor.DotWide(h, wq), tensor.DotWide(h, wl)
		sum[i] = q[i] + l[i]
	}
	dq, dl := make([]float64, 2*n), make([]float64, 2*n)
	var loss float64
	for k, item := range s.Items {
		d := sum[2*k] - sum[2*k+1] - t.margins[item]
		loss -= nn.LogSigmoid(d) / float64(n)
		g := -nn.Sigmoid(-d) / float64(n)
		dq[2*k], dq[2*k+1] = g, -g
		dl[2*k], dl[2*k+1] = g, -g
	}
	rho, g := correlation(tokens, l)
	loss += t.Length * (1 - rho)
	addTo(dl, -t.Length, g)
	rho, g = correlation(tokens, q)
	loss += t.Length * math.Abs(rho)
	addTo(dq, t.Length*sign(rho), g)
	rho, g = correlation(tokens, sum)
	loss += t.Length * math.Abs(rho)
	addTo(dq, t.Length*sign(rho), g)
	addTo(dl, t.Length*sign(rho), g)
	cos := tensor.DotWide(wq, wl)
	loss += t.Orthogonal * math.Abs(cos)

	dhidden := make([]float32, len(t.acts.Hidden))
	dwq, dwl := make([]float32, C), make([]float32, C)
	for i := range q {
		h, dh := t.acts.Hidden[i*C:(i+1)*C], dhidden[i*C:(i+1)*C]
		gq, gl := float32(s.Weight*dq[i]), float32(s.Weight*dl[i])
		tensor.Axpy(dh, gq, wq)
		tensor.Axpy(dh, gl, wl)
		tensor.Axpy(dwq, gq, h)
		tensor.Axpy(dwl, gl, h)
	}
	c := float32(s.Weight * t.Orthogonal * sign(cos))
	tensor.Axpy(dwq, c, wl)
	tensor.Axpy(dwl, c, wq)
	backQ(m.headGrad, dwq)
	backL(t.lengthGrad, dwl)
	if err := m.Base.Backward(ctx, &t.acts, dhidden, llm.Accumulate); err != nil {
		return 0, fmt.Errorf("reward: %w", err)
	}
	return loss + t.prior(s.Weight), nil
}

// unit returns w without its mean, divided by its length, and a function that adds the gradient with respect to w, given that
// with respect to the result.
func unit(w []float32) (u []float32, back func(dw, du []float32)) {
	var mean float64
	for _, v := range w {
		mean += float64(v) / float64(len(w))
	}
	u = make([]float32, len(w))
	for i, v := range w {
		u[i] = v - float32(mean)
	}
	norm := math.Sqrt(tensor.DotWide(u, u))
	tensor.Scale(u, float32(1/norm))
	return u, func(dw, du []float32) {
		along := tensor.DotWide(u, du)
		var mean float64
		for _, v := range du {
			mean += float64(v) / float64(len(du))
		}
		for i, v := range du { // u has no mean, so the two projections do not meet
			dw[i] += float32((float64(v) - mean - along*float64(u[i])) / norm)
		}
	}
}

// correlation is Pearson's of x and y, and its gradient with respect to y. It is 0 if one of them does not vary.
func correlation(x, y []float64) (rho float64, dy []float64) {
	n := float64(len(x))
	var mx, my, xx, yy, xy float64
	for i := range x {
		mx, my = mx+x[i]/n, my+y[i]/n
	}
	for i := range x {
		a, b := x[i]-mx, y[i]-my
		xx, yy, xy = xx+a*a, yy+b*b, xy+a*b
	}
	dy = make([]float64, len(y))
	if xx == 0 || yy == 0 {
		return 0, dy
	}
	rho = xy / math.Sqrt(xx*yy)
	for i := range y {
		dy[i] = (x[i]-mx)/math.Sqrt(xx*yy) - rho*(y[i]-my)/yy
	}
	return rho, dy
}

func addTo(dst []float64, c float64, x []float64) {
	for i, v := range x {
		dst[i] += c * v
	}
}

func sign(x float64) float64 {
	if x < 0 {
		return -1
	}
	return 1
}
