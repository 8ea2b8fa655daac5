// Package reward trains Bradley-Terry reward models: a scalar head on the last token of a language model with LoRA.
package reward

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"gobayes/bayesrm"
	"gobayes/bayesrm/llm"
	"gobayes/bayesrm/optim"
	"gobayes/bayesrm/prefs"
	"gobayes/bayesrm/tensor"
	"gobayes/bayesrm/train"
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
	// AllWeights trains every weight of the base model instead of a LoRA. The posterior is then over the head alone: laplace.LastLayer.
	AllWeights bool
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
	// HeldOut pairs are watched in training: Model.Epochs holds how the model does on them, and on those it learns from, before
	// training and after each epoch. They change nothing else; only Train watches. Default: none.
	HeldOut *prefs.Pairs `json:"-"`
	// Seed of the LoRA, the head and the order of the pairs.
	Seed uint64
	// Checkpoint is a file from which a run that was stopped or killed goes on, to the same bits; it is written every Every steps
	// (default 100). See train.Options.
	Checkpoint string `json:"-"`
	Every      int    `json:"-"`
}

// Member returns the options of member i of an ensemble whose first has these: the i-th next seed, and the number behind the name of the
// Checkpoint.
func (o *Options) Member(i int) *Options {
	m := Options{}
	if o != nil {
		m = *o
	}
	m.Seed += uint64(i)
	if m.Checkpoint != "" {
		m.Checkpoint += fmt.Sprint("-", i)
	}
	return &m
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
	if o.AllWeights && (o.Rank > 0 || o.Targets != nil || o.Dropout > 0 || o.Prior > 0 || o.PriorAtInitial) {
		return fmt.Errorf("AllWeights: Rank, Targets, Dropout and Prior are of a LoRA; leave them out")
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
	if !r.AllWeights {
		def(&r.Rank, 8)
	}
	def(&r.Batch, 8)
	def(&r.Epochs, 1)
	if r.Alpha == 0 {
		r.Alpha = 16
	}
	if r.LearningRate == 0 {
		r.LearningRate = 5e-5
	}
	if r.Targets == nil && !r.AllWeights {
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
	Epochs  []Epoch // with Options.HeldOut
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
	if err := t.run(ctx, t, pairs); err != nil {
		return nil, err
	}
	return t.Model, nil
}

// run trains by trainer, which is t or stands on it, and watches the held-out pairs beside those that it learns from.
func (t *Trainer) run(ctx context.Context, trainer train.Model, pairs *prefs.Pairs) (err error) {
	m := t.Model
	defer m.Base.Train(false)
	o := m.Options.Schedule("train reward model", m.pairs)
	if o.Checkpoint, o.Every = m.Options.Checkpoint, m.Options.Every; o.Checkpoint != "" {
		if o.Key, err = train.Key(m.Base.Fingerprint(), m.Options, t.seqs, t.margins); err != nil {
			return fmt.Errorf("reward: %w", err)
		}
	}
	if m.Options.HeldOut == nil {
		m.Log, err = train.Run(ctx, trainer, o)
	} else {
		w := &watched{trainer, m, pairs}
		if m.Log, err = train.Run(ctx, w, o); err == nil {
			err = w.Stage(ctx, o.Epochs)
		}
	}
	if err != nil {
		return fmt.Errorf("reward: %w", err)
	}
	return nil
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
	if pairs.Len() == 0 {
		return nil, fmt.Errorf("reward: train: no pairs")
	}
	m, err := newModel(base, opts)
	if err != nil {
		return nil, fmt.Errorf("reward: train: %w", err)
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
	if len(base.LoRAs()) > 0 {
		return nil, fmt.Errorf("the model carries LoRA, which a reward model would replace; give its Merge()")
	}
	if err := opts.check(); err != nil {
		return nil, err
	}
	m := &Model{Options: opts.resolve(base)}
	o, C := m.Options, base.Config.Width
	m.Head, m.headGrad = NewHead(C, o.Seed), make([]float32, C)
	if o.AllWeights {
		m.Base = base.Clone()
		m.Base.Train(true)
		return m, nil
	}
	m.Base = base.Copy()
	as, err := m.Base.AddLoRA(o.Targets, o.Rank, o.Alpha, o.Seed)
	if err != nil {
		return nil, err
	}
	for _, a := range as {
		a.Dropout = o.Dropout
	}
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
	if b.Tokenizer == nil {
		return nil, false, fmt.Errorf("the model has no tokenizer; load one from a folder with tokenizer.json")
	}
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

// Weights returns the LoRA weights and the head, and their gradients.
func (t *Trainer) Weights() (params, grads [][]float32) {
	for _, a := range t.Model.Base.LoRAs() {
		params = append(params, a.A.Data, a.B.Data)
		grads = append(grads, a.A.Grad, a.B.Grad)
	}
	if t.Model.Options.AllWeights {
		for _, p := range t.Model.Base.Params() {
			params, grads = append(params, p.Data), append(grads, p.Grad)
		}
	}
	return append(params, t.Model.Head), append(grads, t.Model.headGrad)
}

// Step computes the mean loss of the pairs and its gradients.
func (t *Trainer) Step(ctx context.Context, s train.Step) (float64, error) {
	var seqs [][]int
	for _, i := range s.Items {
		seqs = append(seqs, t.seqs[2*i], t.seqs[2*i+1])
	}
	return t.step(ctx, s, seqs, func(r, dr []float64) (loss float64) {
		for k, item := range s.Items {
			l, dw, dl := t.Model.Options.loss(r[2*k], r[2*k+1], t.margins[item])
			loss, dr[2*k], dr[2*k+1] = loss+l, dw, dl
		}
		return loss
	})
}

// step computes a loss of the rewards r of texts, the sum over the items of s, and its gradients. loss writes those with respect to r
// into dr.
func (t *Trainer) step(ctx context.Context, s train.Step, seqs [][]int, loss func(r, dr []float64) float64) (float64, error) {
	m, C := t.Model, len(t.Model.Head)
	b := llm.Pack(seqs)
	t.acts.Dropout = s.Seed
	if err := m.Base.Forward(ctx, &t.acts, b, b.Lasts()); err != nil {
		return 0, fmt.Errorf("reward: %w", err)
	}
	n := float64(len(s.Items))
	dr := make([]float64, len(seqs))
	mean := loss(m.read(t.acts.Hidden), dr) / n
	dhidden := make([]float32, len(t.acts.Hidden))
	for i, d := range dr {
		g := float32(s.Weight * d / n)
		tensor.Axpy(dhidden[i*C:(i+1)*C], g, m.Head)
		tensor.Axpy(m.headGrad, g, t.acts.Hidden[i*C:(i+1)*C])
	}
	if err := m.Base.Backward(ctx, &t.acts, dhidden, llm.Accumulate); err != nil {
		return 0, fmt.Errorf("reward: %w", err)
	}
	return mean + t.prior(s.Weight), nil
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

// String is the size of the model and how training went.
func (m *Model) String() string {
	what := fmt.Sprintf("LoRA rank %d on %v, %d weights", m.Options.Rank, m.Options.Targets, m.NumWeights())
	if m.Options.AllWeights {
		what = "all weights trained"
	}
	s := fmt.Sprintf("reward model: %s and a head of %d; %d pairs, %d epochs, loss %.3f at the end", what, len(m.Head), m.pairs, m.Options.Epochs, m.Log.Tail(50))
	if m.Cut > 0 {
		s += fmt.Sprintf("; %.0f %% of the texts were cut to %d tokens", 100*float64(m.Cut)/float64(m.Texts), m.Options.MaxTokens)
	}
	return s
}
