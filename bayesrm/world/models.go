package world

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"

	"gobayes/bayesrm"
	"gobayes/bayesrm/llm"
	"gobayes/bayesrm/prefs"
	"gobayes/bayesrm/sft"
)

// Demonstrations writes n demonstrations to n prompts.
func Demonstrations(n int, seed uint64) *prefs.Demos {
	rng := rand.New(rand.NewPCG(seed, 0))
	d := &prefs.Demos{}
	for range n {
		p := NewPrompt(rng)
		d.Rows = append(d.Rows, prefs.Demo{Prompt: p.Text, Answer: text(Demonstration(rng, p))})
	}
	return d
}

// Shape is the size of a model of the world.
type Shape struct {
	Width, Layers int
}

// The shapes of the models that the notebooks use: 170,000 and 71,000 weights.
var (
	PolicyShape   = Shape{64, 3}
	BackboneShape = Shape{48, 2}
)

// TrainModel trains a GPT-NeoX model from scratch on demonstrations: a policy that answers, or a backbone of reward models.
// opts are sft's, with other defaults: rate 3e-3, 50 steps of warm-up, batch 32, 4 epochs, β₂ 0.98, weight decay 0.01 and
// gradients up to 1. 24,000 demonstrations take the policy a minute on two cores.
func TrainModel(ctx context.Context, s Shape, demos *prefs.Demos, opts *sft.Options) (*sft.Result, error) {
	o := sft.Options{}
	if opts != nil {
		o = *opts
	}
	for _, v := range []struct {
		p *float64
		d float64
	}{{&o.LearningRate, 3e-3}, {&o.Beta2, .98}, {&o.WeightDecay, .01}, {&o.Clip, 1}} {
		if *v.p == 0 {
			*v.p = v.d
		}
	}
	for _, v := range []struct {
		p *int
		d int
	}{{&o.WarmUp, 50}, {&o.Batch, 32}, {&o.Epochs, 4}} {
		if *v.p == 0 {
			*v.p = v.d
		}
	}
	tok := Tokenizer()
	const heads = 4
	m, err := llm.New(llm.Config{Arch: "gpt_neox", Width: s.Width, Layers: s.Layers, Heads: heads, KVHeads: heads, FeedForward: 4 * s.Width, Vocab: tok.Size(), Context: 64,
		RotaryDim: s.Width / heads, RotaryBase: 10000, NormEps: 1e-5, EOS: tok.ID("<eos>"), BOS: -1}, o.Seed)
	if err != nil {
		return nil, fmt.Errorf("world: train model: %w", err)
	}
	m.Tokenizer, m.Template = tok, llm.Template{Prompt: "<p> ", Answer: " <a> "}
	r, err := sft.Train(ctx, m, demos, &o)
	if err != nil {
		return nil, fmt.Errorf("world: train model: %w", err)
	}
	return r, nil
}

// numDemonstrations is how many a world's models learn from.
const numDemonstrations = 24000

// TrainModels trains a policy and a backbone on demonstrations of their own and writes them to the folders policy and backbone
// of dir: another seed gives another world to repeat an experiment in. A few minutes on two cores.
func TrainModels(ctx context.Context, dir string, seed uint64) error {
	demos := Demonstrations(numDemonstrations, seed)
	for name, s := range map[string]Shape{"policy": PolicyShape, "backbone": BackboneShape} {
		r, err := TrainModel(ctx, s, demos, &sft.Options{Seed: seed})
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := r.Model.Save(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("world: %s: %w", name, err)
		}
	}
	return nil
}

// Scorer is a bayesrm.Scorer whose mean is the exact gold, without variance. An answer of maxAnswer words counts as cut.
type Scorer struct{}

// Score returns the gold of each answer to a prompt of this world.
func (Scorer) Score(_ context.Context, prompt string, answers []string) ([]bayesrm.Belief, error) {
	p, err := ParsePrompt(prompt)
	if err != nil {
		return nil, fmt.Errorf("world: score: %w", err)
	}
	out := make([]bayesrm.Belief, len(answers))
	for i, a := range answers {
		out[i].ID = fmt.Sprint(i)
		out[i].Mean, _ = p.Gold(closed(a))
	}
	return out, nil
}
