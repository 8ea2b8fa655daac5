// Package sft fine-tunes a language model on demonstrations: prompts with the answers it should give.
package sft

import (
	"context"
	"errors"
	"fmt"
	"math"

	"gobayes/bayesrm/llm"
	"gobayes/bayesrm/optim"
	"gobayes/bayesrm/prefs"
	"gobayes/bayesrm/train"
)

// Options configure Train. A nil *Options, and every zero field, mean the default: the paper's value (its Tables 2 and 3), or
// that of Coste et al. (arXiv 2310.02743), whom it follows, where the paper prints none.
type Options struct {
	// LearningRate falls to 0 along half a cosine. Default 8e-6.
	LearningRate float64
	// WarmUp is the number of steps in which it rises. Default 10.
	WarmUp int
	// Batch is demonstrations per step. Default 4.
	Batch int
	// Epochs over the demonstrations. Default 3.
	Epochs int
	// Beta2 of AdamW. Default 0.95.
	Beta2 float64
	// WeightDecay of AdamW. Default 0.
	WeightDecay float64
	// Clip is the largest norm of a step's gradient. Default 2.
	Clip float64
	// MaxTokens of a text; a longer one loses its end. Default 520, or the model's context if that is less.
	MaxTokens int
	// Prompts makes the tokens of the prompt targets too, not those of the answer only.
	Prompts bool
	// Rank of a LoRA on Targets, with Alpha, that is trained instead of all weights. Default 0: all weights. Defaults of the
	// others: 2·Rank, and the attention as reward.Options has it.
	Rank    int
	Alpha   float64
	Targets []string
	// Seed of the order and of the LoRA.
	Seed uint64
	// Checkpoint is a file from which a run that was stopped goes on. See train.Options.
	Checkpoint string
}

func (o *Options) resolve(m *llm.Model) (Options, error) {
	r := Options{}
	if o != nil {
		r = *o
	}
	for name, v := range map[string]float64{"LearningRate": r.LearningRate, "WeightDecay": r.WeightDecay, "Clip": r.Clip, "Beta2": r.Beta2, "Rank": float64(r.Rank)} {
		if !(v >= 0) || math.IsInf(v, 0) {
			return r, fmt.Errorf("%s %v: must be a number that is not negative", name, v)
		}
	}
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&r.WarmUp, 10)
	def(&r.Batch, 4)
	def(&r.Epochs, 3)
	def(&r.MaxTokens, 520)
	r.MaxTokens = min(r.MaxTokens, m.Config.Context)
	for _, v := range []struct {
		p *float64
		d float64
	}{{&r.LearningRate, 8e-6}, {&r.Beta2, 0.95}, {&r.Clip, 2}, {&r.Alpha, 2 * float64(r.Rank)}} {
		if *v.p == 0 {
			*v.p = v.d
		}
	}
	if r.Targets == nil {
		r.Targets = m.DefaultTargets()
	}
	return r, nil
}

// Result is a fine-tuned model.
type Result struct {
	Model   *llm.Model
	Log     train.Log // loss of each step, in nats per token
	Options Options   // as resolved
	// Texts and Cut count the demonstrations and those that were too long.
	Texts, Cut int
}

// String is what was trained on and how training went.
func (r *Result) String() string {
	what := "all weights"
	if r.Options.Rank > 0 {
		what = fmt.Sprintf("LoRA rank %d on %v", r.Options.Rank, r.Options.Targets)
	}
	s := fmt.Sprintf("fine-tuned %s: %d demonstrations, %d epochs, loss %.3f nats per token at the end", what, r.Texts, r.Options.Epochs, r.Log.Tail(50))
	if r.Cut > 0 {
		s += fmt.Sprintf("; %.0f %% of the texts were cut to %d tokens", 100*float64(r.Cut)/float64(r.Texts), r.Options.MaxTokens)
	}
	return s
}

// Train fine-tunes a copy of base on demonstrations: its own weights stay as they are. When ctx ends the error wraps ctx's.
func Train(ctx context.Context, base *llm.Model, demos *prefs.Demos, opts *Options) (*Result, error) {
	o, err := opts.resolve(base)
	if err != nil {
		return nil, fmt.Errorf("sft: train: %w", err)
	}
	if len(base.LoRAs()) > 0 {
		return nil, errors.New("sft: train: the model carries LoRA, which would be lost; give its Merge()")
	}
	t := &trainer{all: o.Prompts}
	if t.texts, err = encode(base, demos, o.MaxTokens); err != nil {
		return nil, fmt.Errorf("sft: train: %w", err)
	}
	if o.Rank > 0 {
		t.m = base.Copy()
		as, err := t.m.AddLoRA(o.Targets, o.Rank, o.Alpha, o.Seed)
		if err != nil {
			return nil, fmt.Errorf("sft: %w", err)
		}
		for _, a := range as {
			t.trained = append(t.trained, a.A, a.B)
		}
	} else {
		t.m = base.Clone()
		t.m.Train(true)
		t.trained = t.m.Params()
		defer t.m.Train(false)
	}
	r := &Result{Model: t.m, Options: o, Texts: len(t.texts)}
	for _, x := range t.texts {
		if x.cut {
			r.Cut++
		}
	}
	key := ""
	if o.Checkpoint != "" {
		var ids [][]int
		for _, x := range t.texts {
			ids = append(ids, x.ids)
		}
		if key, err = train.Key(base.Fingerprint(), o.Targets, o.Rank, o.Alpha, o.Prompts, ids); err != nil {
			return nil, fmt.Errorf("sft: %w", err)
		}
	}
	r.Log, err = train.Run(ctx, t, train.Options{Task: "fine-tune", Items: len(t.texts), Batch: o.Batch, Epochs: o.Epochs, Schedule: optim.Cosine(o.LearningRate, o.WarmUp),
		Beta2: o.Beta2, WeightDecay: o.WeightDecay, Clip: o.Clip, Seed: o.Seed, Checkpoint: o.Checkpoint, Key: key})
	if err != nil {
		return nil, fmt.Errorf("sft: %w", err)
	}
	return r, nil
}

// Loss is a model's mean loss on the tokens of the demonstrations' answers, in nats per token.
func Loss(ctx context.Context, m *llm.Model, demos *prefs.Demos) (float64, error) {
	texts, err := encode(m, demos, m.Config.Context)
	if err != nil {
		return 0, fmt.Errorf("sft: loss: %w", err)
	}
	acts := llm.Acts{Inference: true}
	var sum float64
	var count int
	var seqs [][]int
	for _, x := range texts {
		seqs = append(seqs, x.ids)
	}
	err = llm.Batches(ctx, "loss", seqs, llm.MaxTokens, false, func(i, j int) error {
		b, targets, k := batch(texts[i:j], false)
		l, err := m.LMLoss(ctx, &acts, b, targets, 1)
		sum += l * float64(k)
		count += k
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("sft: loss: %w", err)
	}
	return sum / float64(count), nil
}

// text is an encoded demonstration.
type text struct {
	ids    []int
	answer int // index of the answer's first token
	cut    bool
}

func encode(m *llm.Model, demos *prefs.Demos, limit int) ([]text, error) {
	if m.Tokenizer == nil {
		return nil, fmt.Errorf("the model has no tokenizer; load one from a folder with tokenizer.json")
	}
	if len(demos.Rows) == 0 {
		return nil, fmt.Errorf("no demonstrations")
	}
	var texts []text
	for i, d := range demos.Rows {
		p, err := m.EncodePrompt(d.Prompt)
		if err != nil {
			return nil, fmt.Errorf("demonstration %d: %w", i, err)
		}
		a, err := m.Tokenizer.Encode(d.Answer)
		if err != nil {
			return nil, fmt.Errorf("demonstration %d: %w", i, err)
		}
		if m.Config.EOS >= 0 {
			a = append(a, m.Config.EOS)
		}
		x := text{ids: append(p, a...), answer: len(p)}
		if x.cut = len(x.ids) > limit; x.cut {
			x.ids = x.ids[:limit]
		}
		if x.answer == 0 || x.answer >= len(x.ids) {
			return nil, fmt.Errorf("demonstration %d (prompt %.40q): %d tokens of the prompt leave no answer within %d; leave it out or raise MaxTokens", i, d.Prompt, len(p), limit)
		}
		texts = append(texts, x)
	}
	return texts, nil
}

// batch packs texts; targets is what follows each of their tokens, -1 where that is not learned, and count how much is.
func batch(texts []text, prompts bool) (b llm.Batch, targets []int, count int) {
	var seqs [][]int
	for _, x := range texts {
		seqs = append(seqs, x.ids)
		for t := range x.ids {
			next := -1
			if t+1 < len(x.ids) && (prompts || t+1 >= x.answer) {
				next = x.ids[t+1]
				count++
			}
			targets = append(targets, next)
		}
	}
	return llm.Pack(seqs), targets, count
}

// trainer is a train.Model whose items are the demonstrations.
type trainer struct {
	m       *llm.Model
	acts    llm.Acts
	texts   []text
	trained []*llm.Param
	all     bool // prompts are targets too
}

func (t *trainer) Weights() (params, grads [][]float32) {
	for _, p := range t.trained {
		params, grads = append(params, p.Data), append(grads, p.Grad)
	}
	return params, grads
}

func (t *trainer) Step(ctx context.Context, s train.Step) (float64, error) {
	var texts []text
	for _, i := range s.Items {
		texts = append(texts, t.texts[i])
	}
	b, targets, _ := batch(texts, t.all)
	return t.m.LMLoss(ctx, &t.acts, b, targets, s.Weight)
}
