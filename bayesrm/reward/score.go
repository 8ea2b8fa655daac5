package reward

import (
	"context"
	"fmt"
	"slices"

	"gobayes/bayesrm"
	"gobayes/bayesrm/llm"
	"gobayes/bayesrm/prefs"
	"gobayes/bayesrm/tensor"

	"gonum.org/v1/gonum/stat"
)

// read reads r off the hidden states of last tokens.
func (m *Model) read(hidden []float32) []float64 {
	C := len(m.Head)
	r := make([]float64, len(hidden)/C)
	for i := range r {
		r[i] = tensor.DotWide(hidden[i*C:(i+1)*C], m.Head)
	}
	return r
}

// Rewards returns the reward of each token sequence. What neighbouring sequences share at their start, a prompt, is computed
// once a batch.
func (m *Model) Rewards(ctx context.Context, seqs [][]int) ([]float64, error) {
	r, err := rewards(ctx, []*Model{m}, seqs)
	if err != nil {
		return nil, err
	}
	return r[0], nil
}

// rewards is Rewards of each of several models that share a backbone [len(models)][len(seqs)], in one pass over it.
func rewards(ctx context.Context, models []*Model, seqs [][]int) ([][]float64, error) {
	var members []*llm.Model
	for _, m := range models {
		members = append(members, m.Base)
	}
	out := make([][]float64, len(models))
	acts := llm.Acts{Inference: true}
	err := llm.Batches(ctx, "score", seqs, llm.MaxTokens, true, func(i, j int) error {
		b, last := llm.PackShared(seqs[i:j])
		if err := llm.ForwardMembers(ctx, &acts, members, b, last); err != nil {
			return err
		}
		n := len(acts.Hidden) / len(models)
		for k, m := range models {
			out[k] = append(out[k], m.read(acts.Hidden[k*n:(k+1)*n])...)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reward: %w", err)
	}
	return out, nil
}

// Backprop runs a batch of sequences forward and, for the seeds that seed returns for their rewards, Σ seed_b·r_b backward:
// sink sees what the gradients of the LoRA weights are made of. With all, layers run on every token, also where nothing
// depends on it, so that sink sees the inputs of all tokens.
func (m *Model) Backprop(ctx context.Context, acts *llm.Acts, seqs [][]int, all bool, seed func(rewards []float64) []float64, sink llm.Sink) ([]float64, error) {
	b := llm.Pack(seqs)
	last := b.Lasts()
	rows := last
	if all {
		rows = nil
	}
	if err := m.Base.Forward(ctx, acts, b, rows); err != nil {
		return nil, fmt.Errorf("reward: %w", err)
	}
	at := func(i int) int { // row of acts.Hidden that sequence i is read from
		if all {
			return last[i]
		}
		return i
	}
	C := len(m.Head)
	r := make([]float64, len(seqs))
	for i := range r {
		r[i] = tensor.DotWide(acts.Hidden[at(i)*C:(at(i)+1)*C], m.Head)
	}
	dhidden := make([]float32, len(acts.Hidden))
	for i, v := range seed(r) {
		tensor.Axpy(dhidden[at(i)*C:(at(i)+1)*C], float32(v), m.Head)
	}
	if err := m.Base.Backward(ctx, acts, dhidden, sink); err != nil {
		return nil, fmt.Errorf("reward: %w", err)
	}
	return r, nil
}

// DropoutRewards returns the reward of each token sequence with dropout on, drawn by a seed that is not 0. A text's mask is
// its own: texts are run one by one.
func (m *Model) DropoutRewards(ctx context.Context, seqs [][]int, seed uint64) ([]float64, error) {
	if m.Options.Dropout == 0 {
		return nil, fmt.Errorf("reward: the model was trained without dropout; set Options.Dropout, for example to 0.1")
	}
	out := make([]float64, len(seqs))
	acts := llm.Acts{Inference: true, Dropout: seed}
	for i, s := range seqs {
		b := llm.Pack([][]int{s})
		if err := m.Base.Forward(ctx, &acts, b, b.Lasts()); err != nil {
			return nil, fmt.Errorf("reward: %w", err)
		}
		out[i] = m.read(acts.Hidden)[0]
	}
	return out, nil
}

// NewNormalizer standardises by the mean and standard deviation of rewards. It is an error if they do not vary.
func NewNormalizer(rewards []float64) (bayesrm.Normalizer, error) {
	mean, std := stat.MeanStdDev(rewards, nil)
	if !(std > 0) {
		return bayesrm.Normalizer{}, fmt.Errorf("the rewards of %d texts have standard deviation %v: more different texts are needed", len(rewards), std)
	}
	return bayesrm.Normalizer{Mean: mean, Std: std}, nil
}

// Standardise sets the normaliser to the mean and standard deviation of the rewards of both texts of the pairs.
func (m *Model) Standardise(ctx context.Context, pairs *prefs.Pairs) error {
	seqs, err := m.EncodePairs(pairs)
	if err != nil {
		return fmt.Errorf("reward: standardise: %w", err)
	}
	r, err := m.Rewards(ctx, seqs)
	if err != nil {
		return fmt.Errorf("reward: standardise: %w", err)
	}
	n, err := NewNormalizer(r)
	if err != nil {
		return fmt.Errorf("reward: standardise: %w", err)
	}
	m.Normalizer = &n
	return nil
}

// Score returns the reward of each answer to a prompt as a belief without variance: MAP.
func (m *Model) Score(ctx context.Context, prompt string, answers []string) ([]bayesrm.Belief, error) {
	bs, err := m.ScoreMany(ctx, []string{prompt}, [][]string{answers})
	if err != nil {
		return nil, err
	}
	return bs[0], nil
}

// ScoreMany is Score for several prompts.
func (m *Model) ScoreMany(ctx context.Context, prompts []string, answers [][]string) ([][]bayesrm.Belief, error) {
	bs, err := ScoreTogether(ctx, []*Model{m}, prompts, answers)
	if err != nil {
		return nil, err
	}
	return bs[0], nil
}

// Together says whether models read texts alike and through the same backbone: ScoreTogether takes them.
func Together(models []*Model) bool {
	for _, m := range models {
		a, b := m.Options, models[0].Options
		if a.MaxTokens != b.MaxTokens || a.MaxPrompt != b.MaxPrompt || m.Base.Template != models[0].Base.Template || !m.Base.Shares(models[0].Base) {
			return false
		}
	}
	return true
}

// ScoreTogether is ScoreMany of each of several models that share a backbone, in one pass over it: beliefs of each model
// [len(models)][len(prompts)][answers].
func ScoreTogether(ctx context.Context, models []*Model, prompts []string, answers [][]string) ([][][]bayesrm.Belief, error) {
	if !Together(models) {
		return nil, fmt.Errorf("reward: score: the %d models differ in their backbone, template or longest text: score them one by one", len(models))
	}
	var seqs [][]int
	for i, p := range prompts {
		s, err := models[0].EncodeAnswers(p, answers[i])
		if err != nil {
			return nil, fmt.Errorf("reward: score: %w", err)
		}
		seqs = append(seqs, s...)
	}
	r, err := rewards(ctx, models, seqs)
	if err != nil {
		return nil, err
	}
	out := make([][][]bayesrm.Belief, len(models))
	for k, m := range models {
		for _, a := range answers {
			out[k] = append(out[k], m.Beliefs(r[k][:len(a)]))
			r[k] = r[k][len(a):]
		}
	}
	return out, nil
}

// Beliefs are rewards of answers, standardised if there is a normaliser and without variance. The ids are their numbers.
func (m *Model) Beliefs(rewards []float64) []bayesrm.Belief {
	out := make([]bayesrm.Belief, len(rewards))
	for i, v := range rewards {
		out[i] = m.Standardised(bayesrm.Belief{ID: fmt.Sprint(i), Mean: v})
	}
	return out
}

// Standardised applies the normaliser, if there is one.
func (m *Model) Standardised(b bayesrm.Belief) bayesrm.Belief {
	if m.Normalizer == nil {
		return b
	}
	return m.Normalizer.Belief(b)
}

// Jacobians returns the rewards of a batch of sequences and their gradients with respect to the LoRA weights, J [B, P], in
// the order of Theta. One backward pass serves all: nothing is summed over sequences.
func (m *Model) Jacobians(ctx context.Context, acts *llm.Acts, seqs [][]int) (rewards []float64, J []float32, err error) {
	P := m.NumWeights()
	J = make([]float32, len(seqs)*P)
	at := map[*llm.LoRA]int{}
	n := 0
	for _, a := range m.Base.LoRAs() {
		at[a] = n
		n += a.Len()
	}
	ones := func(r []float64) []float64 {
		s := make([]float64, len(r))
		for i := range s {
			s[i] = 1
		}
		return s
	}
	rewards, err = m.Backprop(ctx, acts, seqs, false, ones, func(l *llm.Linear, off []int, x, u, g, gB []float32) {
		a := l.LoRA
		o := at[a]
		tensor.Parallel(len(seqs), func(i int) {
			from, to := off[i], off[i+1]
			dA := J[i*P+o : i*P+o+len(a.A.Data)]
			dB := J[i*P+o+len(a.A.Data) : i*P+o+a.Len()]
			tensor.MatMulTN(dA, gB[from*a.R:to*a.R], x[from*l.In:to*l.In], to-from, a.R, l.In)
			tensor.MatMulTN(dB, g[from*l.Out:to*l.Out], u[from*a.R:to*a.R], to-from, l.Out, a.R)
			tensor.Scale(dA, a.Scale)
			tensor.Scale(dB, a.Scale)
		})
	})
	return rewards, J, err
}

// Features returns the rewards of a batch of sequences and the last hidden states that they are read from [B, C]: the
// gradients with respect to the head.
func (m *Model) Features(ctx context.Context, acts *llm.Acts, seqs [][]int) (rewards []float64, H []float32, err error) {
	b := llm.Pack(seqs)
	if err := m.Base.Forward(ctx, acts, b, b.Lasts()); err != nil {
		return nil, nil, fmt.Errorf("reward: %w", err)
	}
	return m.read(acts.Hidden), slices.Clone(acts.Hidden), nil
}
