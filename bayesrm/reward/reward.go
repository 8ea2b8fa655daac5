// Package reward trains Bradley-Terry reward models: a scalar head on the last token of a language model with LoRA.
package reward

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gobayes/bayesrm"
	"gobayes/bayesrm/llm"
	"gobayes/bayesrm/metrics"
	"gobayes/bayesrm/nn"
	"gobayes/bayesrm/optim"
	"gobayes/bayesrm/prefs"
	"gobayes/bayesrm/tensor"
	"gobayes/bayesrm/train"

	"gonum.org/v1/gonum/stat"
)

// Options configure Train. A nil *Options, and every zero field, mean the default: the paper's value (Tables 2–4) where it
// prints one.
type Options struct {
	// Rank and Alpha of the LoRA. Defaults 8 and 16.
	Rank  int
	Alpha float64
	// Targets are the layers that carry LoRA, by PEFT's names. Default: the fused attention of GPT-NeoX, queries and
	// values of Llama.
	Targets []string
	// LearningRate falls to 0 in a straight line. Default 5e-5.
	LearningRate float64
	// Batch is pairs per step. Default 8.
	Batch int
	// Epochs over the pairs. Default 1.
	Epochs int
	// WeightDecay of AdamW. Default 0.
	WeightDecay float64
	// MaxTokens of prompt and answer together. Default: the model's context. Longer texts lose the prompt's start beyond
	// MaxPrompt tokens, then the answer's end.
	MaxTokens int
	// MaxPrompt is how much of the prompt is kept when a text is too long. Default a quarter of MaxTokens.
	MaxPrompt int
	// Dropout of the LoRA's input in training, in [0, 1). Default 0.
	Dropout float64
	// LabelSmoothing ε in [0, ½): each label counts with ε as the opposite one. Default 0.
	LabelSmoothing float64
	// LabelNoise q in [0, ½): the likelihood of labels that are flipped with this probability. Default 0.
	LabelNoise float64
	// Centring c adds c·(r_w + r_l)² to the loss of each pair (Eisenstein et al., arXiv 2312.09244, with 0.01). Default 0.
	Centring float64
	// L2 β adds β·(r_w² + r_l²)/2 to the loss of each pair (Open-Assistant, with 0.001). Default 0.
	L2 float64
	// Prior δ is the precision of a Gaussian prior on the LoRA weights that training counts: −log N(θ; μ, I/δ) is added to the
	// loss of all pairs, so that it ends at the mode of a posterior with this precision. Default 0: the paper trains without,
	// and adds the prior afterwards. WeightDecay is not the same: AdamW's does not pass through its moments.
	Prior float64
	// PriorAtInitial puts the mean μ of that prior at the initial weights instead of 0.
	PriorAtInitial bool
	// Seed of the LoRA, the head and the order of the pairs.
	Seed uint64
}

func (o *Options) check() error {
	if o == nil {
		return nil
	}
	for name, v := range map[string]float64{"LabelSmoothing": o.LabelSmoothing, "LabelNoise": o.LabelNoise} {
		if !(v >= 0 && v < 0.5) {
			return fmt.Errorf("%s %v: must be at least 0 and below 0.5", name, v)
		}
	}
	if !(o.Dropout >= 0 && o.Dropout < 1) {
		return fmt.Errorf("Dropout %v: must be at least 0 and below 1", o.Dropout)
	}
	for name, v := range map[string]float64{"LearningRate": o.LearningRate, "WeightDecay": o.WeightDecay, "Centring": o.Centring, "L2": o.L2, "Prior": o.Prior} {
		if !(v >= 0) || math.IsInf(v, 0) {
			return fmt.Errorf("%s %v: must be a number that is not negative", name, v)
		}
	}
	return nil
}

func (o *Options) resolve(m *llm.Model) Options {
	r := Options{}
	if o != nil {
		r = *o
	}
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&r.Rank, 8)
	def(&r.Batch, 8)
	def(&r.Epochs, 1)
	if r.Alpha == 0 {
		r.Alpha = 16
	}
	if r.LearningRate == 0 {
		r.LearningRate = 5e-5
	}
	if r.Targets == nil {
		r.Targets = m.DefaultTargets()
	}
	if r.MaxTokens <= 0 || r.MaxTokens > m.Config.Context {
		r.MaxTokens = m.Config.Context
	}
	def(&r.MaxPrompt, r.MaxTokens/4)
	return r
}

// Model is a reward model: r(x, y) = w · hidden state of the last token, in logits.
type Model struct {
	Base    *llm.Model // with LoRA
	Head    []float32  // w [C]; no bias, which Bradley-Terry cannot see
	Options Options    // as resolved
	Log     train.Log
	// Normalizer standardises the beliefs that the model gives; nil leaves them in logits. See Standardise.
	Normalizer *bayesrm.Normalizer
	// Texts and Cut count the texts of the training pairs and those that were too long.
	Texts, Cut int

	pairs    int
	headGrad []float32
	initial  []float64 // θ before training, nil where it is not known
}

// Train fits a reward model to preference pairs (paper eq. 3) on a copy of base: its own weights stay as they are. When ctx
// ends the error wraps ctx's.
func Train(ctx context.Context, base *llm.Model, pairs *prefs.Pairs, opts *Options) (*Model, error) {
	t, err := NewTrainer(base, pairs, opts)
	if err != nil {
		return nil, err
	}
	m := t.Model
	if m.Log, err = train.Run(ctx, t, m.Options.Schedule("train reward model", pairs.Len())); err != nil {
		return nil, fmt.Errorf("reward: %w", err)
	}
	return m, nil
}

// Schedule is what train.Run needs to know.
func (o Options) Schedule(task string, pairs int) train.Options {
	return train.Options{Task: task, Items: pairs, Batch: o.Batch, Epochs: o.Epochs,
		Schedule: optim.Linear(o.LearningRate, 0), WeightDecay: o.WeightDecay, Seed: o.Seed}
}

// Trainer is a reward model in training: a train.Model whose items are the pairs. Train runs one by itself; ensembles with a
// common loss run several.
type Trainer struct {
	Model   *Model
	acts    llm.Acts
	seqs    [][]int   // chosen and rejected of each pair in turn
	margins []float64 // of each pair
}

// NewTrainer puts a new LoRA and a new head on a copy of base and encodes the pairs.
func NewTrainer(base *llm.Model, pairs *prefs.Pairs, opts *Options) (*Trainer, error) {
	if base.Tokenizer == nil {
		return nil, fmt.Errorf("reward: train: the model has no tokenizer; load one from a folder with tokenizer.json")
	}
	if pairs.Len() == 0 {
		return nil, fmt.Errorf("reward: train: no pairs")
	}
	if len(base.LoRAs()) > 0 {
		return nil, fmt.Errorf("reward: train: the model carries LoRA, which a reward model would replace; give its Merge()")
	}
	if err := opts.check(); err != nil {
		return nil, fmt.Errorf("reward: train: %w", err)
	}
	m, err := newModel(base, opts)
	if err != nil {
		return nil, err
	}
	t := &Trainer{Model: m}
	if t.seqs, m.Cut, err = m.encodePairs(pairs); err != nil {
		return nil, fmt.Errorf("reward: train: %w", err)
	}
	m.Texts = len(t.seqs)
	for _, p := range pairs.Rows {
		t.margins = append(t.margins, p.Margin)
	}
	m.pairs = pairs.Len()
	return t, nil
}

// newModel puts LoRA and a random head, N(0, 1/(C+1)), on a copy of base.
func newModel(base *llm.Model, opts *Options) (*Model, error) {
	m := &Model{Base: base.Copy(), Options: opts.resolve(base)}
	o := m.Options
	as, err := m.Base.AddLoRA(o.Targets, o.Rank, o.Alpha, o.Seed)
	if err != nil {
		return nil, fmt.Errorf("reward: %w", err)
	}
	for _, a := range as {
		a.Dropout = o.Dropout
	}
	C := base.Config.Width
	m.Head, m.headGrad = NewHead(C, o.Seed), make([]float32, C)
	m.initial = m.Theta()
	return m, nil
}

// NewHead is the head [C] that training with a seed begins from.
func NewHead(C int, seed uint64) []float32 { return newHead(C, seed, 0x68656164) }

func newHead(C int, seed, stream uint64) []float32 {
	rng := rand.New(rand.NewPCG(seed, stream))
	w := make([]float32, C)
	for i := range w {
		w[i] = float32(rng.NormFloat64() / math.Sqrt(float64(C+1)))
	}
	return w
}

// Encode returns the tokens of a prompt with an answer: template, end token and truncation are the same for training, the
// posterior and every score. cut says that the text was too long.
func (m *Model) Encode(prompt, answer string) (ids []int, cut bool, err error) {
	b, o := m.Base, m.Options
	p, err := b.EncodePrompt(prompt)
	if err != nil {
		return nil, false, err
	}
	a, err := b.Tokenizer.Encode(answer)
	if err != nil {
		return nil, false, err
	}
	limit := o.MaxTokens
	if b.Config.EOS >= 0 {
		limit--
	}
	if len(p)+len(a) > limit {
		cut = true
		p = p[max(0, len(p)-o.MaxPrompt):]
		a = a[:min(len(a), max(0, limit-len(p)))]
	}
	ids = append(append([]int{}, p...), a...)
	if b.Config.EOS >= 0 {
		ids = append(ids, b.Config.EOS)
	}
	return ids, cut, nil
}

// EncodePairs returns the tokens of both texts of each pair, chosen and rejected in turn. A pair of equal answers, and an empty
// answer, are errors.
func (m *Model) EncodePairs(pairs *prefs.Pairs) ([][]int, error) {
	seqs, _, err := m.encodePairs(pairs)
	return seqs, err
}

func (m *Model) encodePairs(pairs *prefs.Pairs) (seqs [][]int, cut int, err error) {
	for i, p := range pairs.Rows {
		switch {
		case p.Chosen == p.Rejected:
			return nil, 0, fmt.Errorf("pair %d (prompt %.40q): chosen and rejected are the same text; leave the pair out", i, p.Prompt)
		case p.Chosen == "" || p.Rejected == "":
			return nil, 0, fmt.Errorf("pair %d (prompt %.40q): an answer is empty; leave the pair out", i, p.Prompt)
		}
		for _, answer := range []string{p.Chosen, p.Rejected} {
			ids, long, err := m.Encode(p.Prompt, answer)
			if err != nil {
				return nil, 0, fmt.Errorf("pair %d: %w", i, err)
			}
			if long {
				cut++
			}
			seqs = append(seqs, ids)
		}
	}
	return seqs, cut, nil
}

// EncodeAnswers returns the tokens of a prompt with each answer.
func (m *Model) EncodeAnswers(prompt string, answers []string) ([][]int, error) {
	var seqs [][]int
	for i, a := range answers {
		ids, _, err := m.Encode(prompt, a)
		if err != nil {
			return nil, fmt.Errorf("answer %d: %w", i, err)
		}
		seqs = append(seqs, ids)
	}
	return seqs, nil
}

// NumWeights is P, the number of LoRA weights.
func (m *Model) NumWeights() int {
	n := 0
	for _, a := range m.Base.LoRAs() {
		n += a.Len()
	}
	return n
}

// Theta returns the LoRA weights θ [P]: for each LoRA in model order A, then B, row-major.
func (m *Model) Theta() []float64 {
	var th []float64
	for _, a := range m.Base.LoRAs() {
		for _, p := range []*llm.Param{a.A, a.B} {
			for _, v := range p.Data {
				th = append(th, float64(v))
			}
		}
	}
	return th
}

// Initial returns θ before training [P], in the order of Theta. It is an error for a model that was not trained here.
func (m *Model) Initial() ([]float64, error) {
	if m.initial == nil {
		return nil, fmt.Errorf("reward: the initial weights are not known: the model was not trained by reward.Train")
	}
	return m.initial, nil
}

// rewards reads r off the hidden states of the last tokens.
func (m *Model) rewards(acts *llm.Acts) []float64 {
	C := len(m.Head)
	r := make([]float64, len(acts.Hidden)/C)
	for i := range r {
		r[i] = tensor.DotWide(acts.Hidden[i*C:(i+1)*C], m.Head)
	}
	return r
}

// Weights returns the LoRA weights and the head, and their gradients.
func (t *Trainer) Weights() (params, grads [][]float32) {
	for _, a := range t.Model.Base.LoRAs() {
		params = append(params, a.A.Data, a.B.Data)
		grads = append(grads, a.A.Grad, a.B.Grad)
	}
	return append(params, t.Model.Head), append(grads, t.Model.headGrad)
}

// Step computes the mean loss of the pairs and its gradients.
func (t *Trainer) Step(ctx context.Context, s train.Step) (float64, error) {
	items := s.Items
	m, n, C := t.Model, len(items), len(t.Model.Head)
	var seqs [][]int
	for _, i := range items {
		seqs = append(seqs, t.seqs[2*i], t.seqs[2*i+1])
	}
	b := llm.Pack(seqs)
	t.acts.Dropout = s.Seed
	if err := m.Base.Forward(ctx, &t.acts, b, b.Lasts()); err != nil {
		return 0, fmt.Errorf("reward: %w", err)
	}
	r := m.rewards(&t.acts)
	dhidden := make([]float32, len(t.acts.Hidden))
	var loss float64
	for k, item := range items {
		l, dw, dl := m.Options.loss(r[2*k], r[2*k+1], t.margins[item])
		loss += l / float64(n)
		for side, g := range []float64{dw, dl} {
			i, g := 2*k+side, float32(s.Weight*g/float64(n))
			tensor.Axpy(dhidden[i*C:(i+1)*C], g, m.Head)
			tensor.Axpy(m.headGrad, g, t.acts.Hidden[i*C:(i+1)*C])
		}
	}
	if err := m.Base.Backward(ctx, &t.acts, dhidden, llm.Accumulate); err != nil {
		return 0, fmt.Errorf("reward: %w", err)
	}
	return loss + t.prior(s.Weight), nil
}

// prior adds the gradient of the prior's share in the mean loss, times weight, and returns that share.
func (t *Trainer) prior(weight float64) (loss float64) {
	m := t.Model
	if m.Options.Prior == 0 {
		return 0
	}
	share, at := m.Options.Prior/float64(m.pairs), 0
	for _, a := range m.Base.LoRAs() {
		for _, p := range []*llm.Param{a.A, a.B} {
			for i, v := range p.Data {
				d := float64(v)
				if m.Options.PriorAtInitial {
					d -= m.initial[at]
				}
				loss += share * d * d / 2
				p.Grad[i] += float32(weight * share * d)
				at++
			}
		}
	}
	return loss
}

// Rewards returns the reward of each token sequence. What neighbouring sequences share at their start, a prompt, is computed
// once a batch.
func (m *Model) Rewards(ctx context.Context, seqs [][]int) ([]float64, error) {
	out := make([]float64, 0, len(seqs))
	acts := llm.Acts{Inference: true}
	err := llm.Batches(ctx, "score", seqs, true, func(i, j int) error {
		b, last := llm.PackShared(seqs[i:j])
		if err := m.Base.Forward(ctx, &acts, b, last); err != nil {
			return err
		}
		out = append(out, m.rewards(&acts)...)
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
		out[i] = m.rewards(&acts)[0]
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
	var seqs [][]int
	for i, p := range prompts {
		s, err := m.EncodeAnswers(p, answers[i])
		if err != nil {
			return nil, fmt.Errorf("reward: score: %w", err)
		}
		seqs = append(seqs, s...)
	}
	r, err := m.Rewards(ctx, seqs)
	if err != nil {
		return nil, err
	}
	out := make([][]bayesrm.Belief, len(prompts))
	for i, a := range answers {
		out[i] = m.Beliefs(r[:len(a)])
		r = r[len(a):]
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
	return m.rewards(acts), slices.Clone(acts.Hidden), nil
}

// Evaluation is how well a model predicts preference pairs.
type Evaluation struct {
	Pairs    int
	Accuracy metrics.Interval
	NLL, ECE float64
}

// String is accuracy with its interval, loss and calibration error.
func (e Evaluation) String() string {
	return fmt.Sprintf("%d pairs: accuracy %v, loss %.3f, calibration error %.3f", e.Pairs, e.Accuracy, e.NLL, e.ECE)
}

// Evaluate measures the model on pairs that it was not trained on.
func (m *Model) Evaluate(ctx context.Context, pairs *prefs.Pairs) (Evaluation, error) {
	seqs, err := m.EncodePairs(pairs)
	if err != nil {
		return Evaluation{}, fmt.Errorf("reward: evaluate: %w", err)
	}
	if len(seqs) == 0 {
		return Evaluation{}, fmt.Errorf("reward: evaluate: no pairs")
	}
	r, err := m.Rewards(ctx, seqs)
	if err != nil {
		return Evaluation{}, err
	}
	n := len(pairs.Rows)
	right, p, happened := make([]float64, n), make([]float64, n), make([]bool, n)
	e := Evaluation{Pairs: n}
	for i := range n {
		d := r[2*i] - r[2*i+1]
		switch {
		case d > 0:
			right[i] = 1
		case d == 0:
			right[i] = 0.5
		}
		e.NLL -= nn.LogSigmoid(d) / float64(n)
		p[i], happened[i] = nn.Sigmoid(d), true
	}
	e.Accuracy = metrics.Bootstrap(right, 1)
	e.ECE = metrics.ECE(p, happened, 15)
	return e, nil
}

// String is the size of the model and how training went.
func (m *Model) String() string {
	s := fmt.Sprintf("reward model: LoRA rank %d on %v, %d weights and a head of %d; %d pairs, %d epochs, loss %.3f at the end",
		m.Options.Rank, m.Options.Targets, m.NumWeights(), len(m.Head), m.pairs, m.Options.Epochs, m.Log.Tail(50))
	if m.Cut > 0 {
		s += fmt.Sprintf("; %.0f %% of the texts were cut to %d tokens", 100*float64(m.Cut)/float64(m.Texts), m.Options.MaxTokens)
	}
	return s
}
