package ensemble

import (
	"context"
	"fmt"

	"gobayes/bayesrm"
	"gobayes/bayesrm/llm"
	"gobayes/bayesrm/nn"
	"gobayes/bayesrm/penalty"
	"gobayes/bayesrm/prefs"
	"gobayes/bayesrm/reward"
	"gobayes/bayesrm/tensor"
	"gobayes/bayesrm/train"
)

// Heads is an ensemble of linear heads on one frozen backbone (Zhang et al., arXiv 2401.16635): an answer is read once for all
// members.
type Heads struct {
	Model      *reward.Model // encodes and reads; its own head is not used
	Heads      [][]float32   // [M][C]
	Normalizer []bayesrm.Normalizer
}

// TrainHeads trains the heads on the hidden states of the pairs, which are computed once. Members differ in their start, the
// order of the pairs and, with Bagging, their data; each is standardised on the pairs. LoRA options and Bases do not apply.
func TrainHeads(ctx context.Context, base *llm.Model, pairs *prefs.Pairs, opts *Options) (*Heads, error) {
	o, ros := opts.resolve()
	if len(o.Bases) > 0 {
		return nil, fmt.Errorf("ensemble: heads share one backbone: leave out Bases")
	}
	t, err := reward.NewTrainer(base, pairs, ros[0]) // LoRA starts at 0 and stays there
	if err != nil {
		return nil, fmt.Errorf("ensemble: heads: %w", err)
	}
	h := &Heads{Model: t.Model}
	seqs, err := h.Model.EncodePairs(pairs)
	if err != nil {
		return nil, fmt.Errorf("ensemble: heads: %w", err)
	}
	features, err := h.features(ctx, "read pairs", seqs)
	if err != nil {
		return nil, fmt.Errorf("ensemble: heads: %w", err)
	}
	for i := range ros {
		member := h.Model.Options
		member.Seed = ros[i].Seed
		w := reward.NewHead(len(h.Model.Head), member.Seed)
		m := &headTrainer{features: features, w: w, grad: make([]float32, len(w))}
		if o.Bagging {
			m.rows = prefs.BootstrapIndices(pairs.Len(), member.Seed)
		}
		if _, err := train.Run(ctx, m, member.Schedule(fmt.Sprintf("train head %d of %d", i+1, len(ros)), pairs.Len())); err != nil {
			return nil, fmt.Errorf("ensemble: heads: %w", err)
		}
		n, err := reward.NewNormalizer(product(features, w))
		if err != nil {
			return nil, fmt.Errorf("ensemble: heads: member %d: %w", i, err)
		}
		h.Heads, h.Normalizer = append(h.Heads, w), append(h.Normalizer, n)
	}
	return h, nil
}

// features returns the last hidden states of sequences [n, C].
func (h *Heads) features(ctx context.Context, task string, seqs [][]int) ([]float32, error) {
	var acts llm.Acts
	var out []float32
	err := llm.Batches(ctx, task, seqs, llm.MaxTokens, false, func(from, to int) error {
		_, H, err := h.Model.Features(ctx, &acts, seqs[from:to])
		out = append(out, H...)
		return err
	})
	return out, err
}

// product is H·w of the rows of H [n, C].
func product(H, w []float32) []float64 {
	n := len(H) / len(w)
	y := make([]float32, n)
	tensor.MatMulNT(y, H, w, n, 1, len(w), false)
	out := make([]float64, n)
	for i, v := range y {
		out[i] = float64(v)
	}
	return out
}

// Score returns the belief about each answer to a prompt, with the heads' rewards as members.
func (h *Heads) Score(ctx context.Context, prompt string, answers []string) ([]bayesrm.Belief, error) {
	seqs, err := h.Model.EncodeAnswers(prompt, answers)
	if err != nil {
		return nil, fmt.Errorf("ensemble: heads: %w", err)
	}
	H, err := h.features(ctx, "score", seqs)
	if err != nil {
		return nil, fmt.Errorf("ensemble: heads: %w", err)
	}
	members := make([][]bayesrm.Belief, len(answers))
	for k, w := range h.Heads {
		for i, r := range product(H, w) {
			members[i] = append(members[i], h.Normalizer[k].Belief(bayesrm.Belief{ID: fmt.Sprint(i), Mean: r}))
		}
	}
	out := make([]bayesrm.Belief, len(answers))
	for i, ms := range members {
		out[i] = penalty.Average(ms)
	}
	return out, nil
}

// headTrainer is one head on given features.
type headTrainer struct {
	features []float32 // of both texts of each pair in turn [2N, C]
	rows     []int     // the pairs of this member; nil is all
	w, grad  []float32
}

func (t *headTrainer) Weights() (params, grads [][]float32) {
	return [][]float32{t.w}, [][]float32{t.grad}
}

func (t *headTrainer) Step(_ context.Context, s train.Step) (float64, error) {
	C := len(t.w)
	var loss float64
	for _, item := range s.Items {
		k := item
		if t.rows != nil {
			k = t.rows[item]
		}
		chosen, rejected := t.features[2*k*C:(2*k+1)*C], t.features[(2*k+1)*C:(2*k+2)*C]
		d := product(chosen, t.w)[0] - product(rejected, t.w)[0]
		l, g := nn.LogLikelihood(d, 0)
		loss -= l / float64(len(s.Items))
		c := float32(-s.Weight * g / float64(len(s.Items)))
		tensor.Axpy(t.grad, c, chosen)
		tensor.Axpy(t.grad, -c, rejected)
	}
	return loss, nil
}
