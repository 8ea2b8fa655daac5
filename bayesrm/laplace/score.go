package laplace

import (
	"context"
	"fmt"
	"math"
	"sync"

	"gobayes/bayesrm"
	"gobayes/bayesrm/llm"
	"gobayes/bayesrm/progress"
	"gobayes/bayesrm/tensor"

	"gonum.org/v1/gonum/mat"
)

// variances returns Λ and the prior variance of each gradient row of J [B, P].
func (l *Posterior) variances(J []float32, B int) (post, prior []float64) {
	prior = make([]float64, B)
	for i := range B {
		row := J[i*l.Weights : (i+1)*l.Weights]
		prior[i] = tensor.DotWide(row, row) / l.PriorPrecision
	}
	return l.post.variances(J, B), prior
}

// Score returns the belief about each answer to a prompt, by itself: relative variances are NaN.
func (l *Posterior) Score(ctx context.Context, prompt string, answers []string) ([]bayesrm.Belief, error) {
	bs, err := l.question(ctx, asked(prompt, answers), nil)
	if err != nil {
		return nil, fmt.Errorf("laplace: score: %w", err)
	}
	return bs, nil
}

// asked is a prompt with answers whose ids are their numbers.
func asked(prompt string, answers []string) bayesrm.Question {
	q := bayesrm.Question{ID: prompt, Prompt: prompt}
	for i, a := range answers {
		q.Answers = append(q.Answers, bayesrm.Answer{ID: fmt.Sprint(i), Text: a})
	}
	return q
}

// Centred is a posterior whose relative variances are those of the difference to the mean reward of a few reference answers to
// the prompt: where there is no pool to choose from, as in reinforcement learning.
type Centred struct {
	*Posterior
	references map[string]bayesrm.Question // by prompt
	mu         sync.Mutex
	origins    map[string][]float64 // mean gradient of the references of a prompt [P]
}

// Against makes the answers to each prompt of a pool the references of that prompt.
func (l *Posterior) Against(references *bayesrm.Pool) *Centred {
	c := &Centred{Posterior: l, references: map[string]bayesrm.Question{}, origins: map[string][]float64{}}
	for _, q := range references.Questions {
		c.references[q.Prompt] = q
	}
	return c
}

// String is the posterior and the number of prompts with references.
func (c *Centred) String() string {
	return fmt.Sprintf("%v; relative to reference answers of %d prompts", c.Posterior, len(c.references))
}

// Score returns the belief about each answer to a prompt. It is an error if the prompt has no references.
func (c *Centred) Score(ctx context.Context, prompt string, answers []string) ([]bayesrm.Belief, error) {
	at, err := c.origin(ctx, prompt)
	if err != nil {
		return nil, fmt.Errorf("laplace: score: references: %w", err)
	}
	bs, err := c.question(ctx, asked(prompt, answers), func([]float32, []float64) []float64 { return at })
	if err != nil {
		return nil, fmt.Errorf("laplace: score: %w", err)
	}
	return bs, nil
}

func (c *Centred) origin(ctx context.Context, prompt string) ([]float64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := c.origins[prompt]; at != nil {
		return at, nil
	}
	q, ok := c.references[prompt]
	if !ok || len(q.Answers) == 0 {
		return nil, fmt.Errorf("the prompt %.60q has none", prompt)
	}
	var at []float64
	_, err := c.question(ctx, q, func(J []float32, count []float64) []float64 {
		at = c.mean(J, count)
		return at
	})
	if err == nil {
		c.origins[prompt] = at
	}
	return at, err
}

// ScoreOptions configure ScorePool. A nil *ScoreOptions means the default.
type ScoreOptions struct {
	// Single leaves out the relative variances, which need every gradient of a prompt in memory at once.
	Single bool
}

// ScorePool returns the beliefs about all answers of a pool, in its order, with variances of the single response and
// relative to the mean over the prompt's answers (METHODS §4.3). Equal answers to a prompt are computed once.
func (l *Posterior) ScorePool(ctx context.Context, pool *bayesrm.Pool, opts *ScoreOptions) ([]bayesrm.Belief, error) {
	origin := l.mean
	if opts != nil && opts.Single {
		origin = nil
	}
	var out []bayesrm.Belief
	for i, q := range pool.Questions {
		bs, err := l.question(ctx, q, origin)
		if err != nil {
			return nil, fmt.Errorf("laplace: score pool: prompt %d of %d (%s): %w", i, len(pool.Questions), q.ID, err)
		}
		out = append(out, bs...)
		progress.Report(ctx, progress.Event{Task: "score pool", Done: i + 1, Total: len(pool.Questions)})
	}
	return out, nil
}

// question computes the beliefs about the answers to one prompt. Relative variances, if origin is given, are those of the
// distance from the gradient [P] that it returns, which is told those of the distinct answers and how often each comes.
func (l *Posterior) question(ctx context.Context, q bayesrm.Question, origin func(J []float32, count []float64) []float64) ([]bayesrm.Belief, error) {
	row := map[string]int{} // text → row among the distinct ones
	var seqs [][]int
	var count []float64
	for _, a := range q.Answers {
		i, ok := row[a.Text]
		if !ok {
			ids, _, err := l.Model.Encode(q.Prompt, a.Text)
			if err != nil {
				return nil, fmt.Errorf("answer %s: %w", a.ID, err)
			}
			i = len(seqs)
			row[a.Text] = i
			seqs, count = append(seqs, ids), append(count, 0)
		}
		count[i]++
	}
	P, n := l.Weights, len(seqs)
	bs := make([]bayesrm.Belief, n)
	var all []float32
	if origin != nil {
		all = make([]float32, n*P)
	}
	var acts llm.Acts
	err := llm.Batches(progress.Silent(ctx), "score", seqs, false, func(from, to int) error {
		r, J, err := l.jacobians(ctx, &acts, seqs[from:to])
		if err != nil {
			return err
		}
		post, prior := l.variances(J, to-from)
		for i := from; i < to; i++ {
			bs[i] = bayesrm.Belief{Mean: r[i-from], Var: post[i-from], PriorVar: prior[i-from], RelVar: math.NaN(), PriorRelVar: math.NaN()}
		}
		if origin != nil {
			copy(all[from*P:], J)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if origin != nil {
		for p, o := range origin(all, count) {
			for i := range n {
				all[i*P+p] -= float32(o)
			}
		}
		post, prior := l.variances(all, n)
		for i := range bs {
			bs[i].RelVar, bs[i].PriorRelVar = post[i], prior[i]
		}
	}
	out := make([]bayesrm.Belief, len(q.Answers))
	for k, a := range q.Answers {
		out[k] = l.Model.Standardised(bs[row[a.Text]])
		out[k].ID = a.ID
	}
	return out, nil
}

// mean is the mean of gradients J [n, P], weighted by count.
func (l *Posterior) mean(J []float32, count []float64) []float64 {
	P := l.Weights
	mean := make([]float64, P)
	var total float64
	for i, c := range count {
		total += c
		for p, v := range J[i*P : (i+1)*P] {
			mean[p] += c * float64(v)
		}
	}
	for p := range mean {
		mean[p] /= total
	}
	return mean
}

// Covariance returns the posterior covariance matrix of the rewards of token sequences [n, n].
func (l *Posterior) Covariance(ctx context.Context, seqs [][]int) (*mat.SymDense, error) {
	var acts llm.Acts
	_, J, err := l.jacobians(ctx, &acts, seqs)
	if err != nil {
		return nil, fmt.Errorf("laplace: covariance: %w", err)
	}
	return l.post.covariance(J, len(seqs)), nil
}
