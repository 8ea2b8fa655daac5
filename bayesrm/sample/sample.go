// Package sample draws answers from a policy: pools to choose from, reference answers, and pairs to prefer.
package sample

import (
	"context"
	"fmt"
	"math"

	"gobayes/bayesrm"
	"gobayes/bayesrm/llm"
)

// Options configure Pool. A nil *Options, and every zero field, mean the default.
type Options struct {
	// Answers to each prompt. Default 16.
	Answers int
	// MaxTokens, Temperature, TopK, TopP and MinP are those of llm.GenerateOptions.
	MaxTokens         int
	Temperature       float64
	TopK              int
	TopP, MinP        float64
	RepetitionPenalty float64
	// Seed of the answers. An answer depends on it, on its prompt and on its number, and on nothing beside it.
	Seed uint64
}

// Policy answers prompts: a *llm.Model in this process, or a *Server elsewhere.
type Policy interface {
	// Complete returns opts.Samples answers to each prompt.
	Complete(ctx context.Context, prompts []string, opts *llm.GenerateOptions) ([][]llm.Completion, error)
	// Fingerprint names everything that the answers depend on beside the prompts and the options.
	Fingerprint() string
}

// Pool draws answers to prompts, without gold. A question's id is its number, an answer's the question's and its own.
func Pool(ctx context.Context, policy Policy, prompts []string, opts *Options) (*bayesrm.Pool, error) {
	o := Options{}
	if opts != nil {
		o = *opts
	}
	if o.Answers <= 0 {
		o.Answers = 16
	}
	out, err := policy.Complete(ctx, prompts, &llm.GenerateOptions{Samples: o.Answers, MaxTokens: o.MaxTokens, Temperature: o.Temperature, TopK: o.TopK, TopP: o.TopP, MinP: o.MinP,
		RepetitionPenalty: o.RepetitionPenalty, Seed: o.Seed})
	if err != nil {
		return nil, fmt.Errorf("sample: %w", err)
	}
	pool := &bayesrm.Pool{}
	for i, p := range prompts {
		q := bayesrm.Question{ID: fmt.Sprint(i), Prompt: p}
		for k, c := range out[i] {
			q.Answers = append(q.Answers, bayesrm.Answer{ID: fmt.Sprintf("%d/%d", i, k), Text: c.Text, Gold: math.NaN()})
		}
		pool.Questions = append(pool.Questions, q)
	}
	return pool, nil
}

// Label sets the gold of every answer of a pool to the mean reward of a scorer: an exact function, or a larger reward model as
// in the paper. Equal answers to a prompt are scored once.
func Label(ctx context.Context, pool *bayesrm.Pool, gold bayesrm.Scorer) error {
	for i := range pool.Questions {
		q := &pool.Questions[i]
		texts, row := q.Distinct()
		bs, err := gold.Score(ctx, q.Prompt, texts)
		if err != nil {
			return fmt.Errorf("sample: label: prompt %d of %d (%s): %w", i, len(pool.Questions), q.ID, err)
		}
		for k, r := range row {
			q.Answers[k].Gold = bs[r].Mean
		}
	}
	return nil
}
