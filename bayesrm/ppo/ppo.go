// Package ppo optimises a policy against any Scorer: proximal policy optimisation with a KL penalty, and RLOO beside it.
package ppo

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math"

	"gobayes/bayesrm"
	"gobayes/bayesrm/llm"
	"gobayes/bayesrm/penalty"
	"gobayes/bayesrm/train"
)

// Options configure Train and TrainRLOO. A nil *Options, and every zero field, mean the default: the settings of Coste et al.
// (arXiv 2310.02743), whom the paper follows.
type Options struct {
	// Penalty turns the scorer's belief about an answer into the reward that is maximised. Default penalty.Mean.
	Penalty penalty.Func
	// Gold scores every answer too, for the record only.
	Gold bayesrm.Scorer

	// Iterations of drawing answers and learning from them. Default 100.
	Iterations int
	// Batch is answers per iteration. Default 32.
	Batch int
	// Samples is answers per prompt. Default 1; RLOO: 4.
	Samples int
	// MaxTokens of an answer. Default 256, or what the context leaves.
	MaxTokens int
	// MissingEnd is taken from the reward of an answer that does not end by itself. Default 0.
	MissingEnd float64
	// KeepOffset leaves rewards as they are. Otherwise the mean over the first iteration's answers is taken from all: the value
	// head starts near 0, and until it has learned an offset, late tokens look worse than early ones (or better).
	KeepOffset bool
	// RewardClip bounds the reward of an answer on both sides, without the offset. Default 10.
	RewardClip float64

	// KL is β, the weight of the KL penalty, or its first value when it adapts. Default 0.1.
	KL float64
	// NoKL leaves the penalty out.
	NoKL bool
	// FixedKL keeps β as it is. Otherwise a Controller brings the KL to Target.
	FixedKL bool
	// Target of the KL of an answer in nats, and Horizon of the controller in answers. Defaults 6 and 10,000.
	Target  float64
	Horizon int
	// Estimator of the KL in the penalty. Default K1.
	Estimator Estimator

	// LastLayers is how many layers are trained. Default 2, or all if there are fewer. With Rank it is not used.
	LastLayers int
	// Rank of a LoRA on Targets, with Alpha, that is trained instead. Default 0: none. Defaults of the others: 2·Rank, and the
	// attention as reward.Options has it.
	Rank    int
	Alpha   float64
	Targets []string
	// LearningRate falls to a tenth along half a cosine. Default 1e-6.
	LearningRate float64
	// WeightDecay of AdamW. Default 1e-6.
	WeightDecay float64
	// Epochs over the answers of an iteration. Default 4; RLOO: 1.
	Epochs int
	// MiniBatch is answers per step. Default Batch.
	MiniBatch int
	// MicroBatch is answers per pass: it changes memory, and nothing else but rounding when answers are equally long. Default
	// MiniBatch.
	MicroBatch int
	// Clip is ε of the policy's ratio, ValueClip that of the values. Defaults 0.2.
	Clip, ValueClip float64
	// ValueWeight is the weight of the value loss. Default 1.
	ValueWeight float64
	// Gamma and Lambda of GAE. Defaults 1 and 0.95.
	Gamma, Lambda float64
	// MaxNorm is the largest norm of a step's gradient. Default 0: any.
	MaxNorm float64

	// Seed of prompts' order, answers and weights.
	Seed uint64
	// Checkpoint is a file from which a run that was stopped goes on, to the same result; it is written every Every steps. See
	// train.Options.
	Checkpoint string
	Every      int
}

func (o *Options) resolve(m *llm.Model, rloo bool) (Options, error) {
	r := Options{}
	if o != nil {
		r = *o
	}
	for _, v := range []struct {
		name string
		p    *float64
		d    float64
	}{{"MissingEnd", &r.MissingEnd, 0}, {"RewardClip", &r.RewardClip, 10}, {"KL", &r.KL, 0.1}, {"Target", &r.Target, 6}, {"Alpha", &r.Alpha, 2 * float64(r.Rank)},
		{"LearningRate", &r.LearningRate, 1e-6}, {"WeightDecay", &r.WeightDecay, 1e-6}, {"Clip", &r.Clip, 0.2}, {"ValueClip", &r.ValueClip, 0.2},
		{"ValueWeight", &r.ValueWeight, 1}, {"Gamma", &r.Gamma, 1}, {"Lambda", &r.Lambda, 0.95}, {"MaxNorm", &r.MaxNorm, 0}} {
		if !(*v.p >= 0) || math.IsInf(*v.p, 0) {
			return r, fmt.Errorf("%s %v: must be a number that is not negative", v.name, *v.p)
		}
		if *v.p == 0 {
			*v.p = v.d
		}
	}
	samples, epochs := 1, 4
	if rloo {
		samples, epochs = 4, 1
	}
	for _, v := range []struct {
		name string
		p    *int
		d    int
	}{{"Iterations", &r.Iterations, 100}, {"Batch", &r.Batch, 32}, {"Samples", &r.Samples, samples}, {"MaxTokens", &r.MaxTokens, 256}, {"Horizon", &r.Horizon, 10000},
		{"LastLayers", &r.LastLayers, min(2, m.Config.Layers)}, {"Epochs", &r.Epochs, epochs}, {"MiniBatch", &r.MiniBatch, 0}, {"MicroBatch", &r.MicroBatch, 0}, {"Rank", &r.Rank, 0}} {
		if *v.p < 0 {
			return r, fmt.Errorf("%s %d: must not be negative", v.name, *v.p)
		}
		if *v.p == 0 {
			*v.p = v.d
		}
	}
	if r.MiniBatch == 0 {
		r.MiniBatch = r.Batch
	}
	if r.MicroBatch == 0 {
		r.MicroBatch = r.MiniBatch
	}
	switch {
	case r.Batch%r.Samples != 0:
		return r, fmt.Errorf("Batch %d: must be a multiple of Samples, %d", r.Batch, r.Samples)
	case rloo && r.Samples < 2:
		return r, fmt.Errorf("Samples %d: RLOO compares the answers to one prompt and needs at least 2", r.Samples)
	case r.Estimator < K1 || r.Estimator > K3:
		return r, fmt.Errorf("Estimator %d: there are K1, K2 and K3", r.Estimator)
	}
	if r.NoKL {
		r.KL, r.FixedKL = 0, true
	}
	if r.Penalty == nil {
		r.Penalty = penalty.Mean()
	}
	if r.Targets == nil {
		r.Targets = m.DefaultTargets()
	}
	return r, nil
}

// Stats are means over the answers of an iteration, which the policy of its beginning drew.
type Stats struct {
	Score, Proxy, SD float64 // what is maximised, before the clip; the scorer's mean; the root of its variance
	Gold             float64 // NaN where there is none
	KL, K2, K3       float64 // from the reference, of a whole answer in nats, by the three estimators
	Beta             float64
	Tokens, Ended    float64 // length, and share of the answers that end by themselves
	PolicyLoss       float64
	ValueLoss        float64 // 0 for RLOO
	ClipFraction     float64 // of the tokens
}

// Result is an optimised policy.
type Result struct {
	Policy *llm.Model
	// Stats of each iteration, and the answers of the last.
	Stats    []Stats
	Rollouts []Rollout
	Log      train.Log
	Options  Options // as resolved
}

// String says how the first and the last iterations compare.
func (r *Result) String() string {
	if len(r.Stats) == 0 {
		return "policy optimisation: no iterations"
	}
	n := max(1, min(10, len(r.Stats)/4))
	first, last := mean(r.Stats[:n]), mean(r.Stats[len(r.Stats)-n:])
	s := fmt.Sprintf("policy optimisation: %d iterations × %d answers; first and last %d: score %.2f → %.2f, proxy %.2f → %.2f",
		len(r.Stats), r.Options.Batch, n, first.Score, last.Score, first.Proxy, last.Proxy)
	if !math.IsNaN(last.Gold) {
		s += fmt.Sprintf(", gold %.2f → %.2f", first.Gold, last.Gold)
	}
	return s + fmt.Sprintf(", KL %.2f nats, %.0f → %.0f tokens", last.KL, first.Tokens, last.Tokens)
}

func mean(all []Stats) (m Stats) {
	n := float64(len(all))
	for _, s := range all {
		m.Score += s.Score / n
		m.Proxy += s.Proxy / n
		m.Gold += s.Gold / n
		m.KL += s.KL / n
		m.Tokens += s.Tokens / n
	}
	return m
}

// Train optimises a copy of policy on prompts by PPO against the reward of scorer. The policy as it is given is the reference
// of the KL penalty, and stays as it is. When ctx ends the error wraps ctx's, and the result is what was reached.
func Train(ctx context.Context, policy *llm.Model, prompts []string, scorer bayesrm.Scorer, opts *Options) (*Result, error) {
	return run(ctx, policy, prompts, scorer, opts, false)
}

// TrainRLOO is Train without a value head: the advantage of all tokens of an answer is its reward, less the KL penalty of the
// whole answer, over the mean of the other answers to the prompt. See LeaveOneOut.
func TrainRLOO(ctx context.Context, policy *llm.Model, prompts []string, scorer bayesrm.Scorer, opts *Options) (*Result, error) {
	return run(ctx, policy, prompts, scorer, opts, true)
}

func run(ctx context.Context, policy *llm.Model, prompts []string, scorer bayesrm.Scorer, opts *Options, rloo bool) (*Result, error) {
	t, err := newTrainer(policy, prompts, scorer, opts, rloo)
	if err != nil {
		return nil, fmt.Errorf("ppo: %w", err)
	}
	o := t.o
	r := &Result{Policy: t.policy, Options: o}
	schedule := func(step, total int) float64 {
		return o.LearningRate * (0.55 + 0.45*math.Cos(math.Pi*float64(step)/float64(total)))
	}
	r.Log, err = train.Run(ctx, t, train.Options{Task: "optimise policy", Items: o.Batch, Batch: o.MiniBatch, Micro: o.MicroBatch, Epochs: o.Iterations * o.Epochs,
		Schedule: schedule, Beta2: 0.95, WeightDecay: o.WeightDecay, Clip: o.MaxNorm, Seed: o.Seed, Checkpoint: o.Checkpoint, Every: o.Every, Key: t.key(rloo)})
	t.policy.Train(false) // weights are laid out for use again
	r.Stats = t.s.Stats
	for _, x := range t.s.Rollouts {
		r.Rollouts = append(r.Rollouts, x.Rollout)
	}
	if err != nil {
		err = fmt.Errorf("ppo: %w", err)
	}
	return r, err
}

// key names what a checkpoint depends on beside train's options.
func (t *trainer) key(rloo bool) string {
	o := t.o
	o.Penalty, o.Gold, o.Checkpoint, o.Every = nil, nil, "", 0
	h := fnv.New64a()
	for _, p := range t.texts {
		fmt.Fprintf(h, "%d %s", len(p), p)
	}
	return fmt.Sprintf("rloo %v, %d prompts %x, options %+v", rloo, len(t.texts), h.Sum64(), o)
}

func newTrainer(policy *llm.Model, prompts []string, scorer bayesrm.Scorer, opts *Options, rloo bool) (*trainer, error) {
	switch {
	case len(prompts) == 0:
		return nil, errors.New("no prompts")
	case scorer == nil:
		return nil, errors.New("no scorer")
	case len(policy.LoRAs()) > 0:
		return nil, errors.New("the policy carries LoRA; give its Merge()")
	}
	o, err := opts.resolve(policy, rloo)
	if err != nil {
		return nil, err
	}
	t := &trainer{o: o, policy: policy.Copy(), reference: policy, scorer: scorer, texts: prompts}
	for i, p := range prompts {
		ids, err := policy.EncodePrompt(p)
		if err != nil {
			return nil, fmt.Errorf("prompt %d (%.40q): %w", i, p, err)
		}
		if len(ids) == 0 || len(ids) >= policy.Config.Context {
			return nil, fmt.Errorf("prompt %d (%.40q) has %d tokens; at least 1 is needed, and the context of %d must leave an answer", i, p, len(ids), policy.Config.Context)
		}
		t.prompts = append(t.prompts, ids)
	}
	if o.Rank > 0 {
		as, err := t.policy.AddLoRA(o.Targets, o.Rank, o.Alpha, o.Seed)
		if err != nil {
			return nil, err
		}
		for _, a := range as {
			t.trained = append(t.trained, a.A, a.B)
		}
	} else if t.trained, err = t.policy.TrainLast(o.LastLayers); err != nil {
		return nil, err
	}
	if !rloo {
		t.value = newValueHead(policy.Config.Width, o.Seed)
	}
	t.s.Control = Controller{Beta: o.KL, Target: o.Target, Horizon: o.Horizon}
	return t, nil
}
