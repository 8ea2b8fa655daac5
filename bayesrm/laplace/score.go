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
	return one(l.ScoreMany(ctx, []string{prompt}, [][]string{answers}))
}

// ScoreMany is Score for several prompts.
func (l *Posterior) ScoreMany(ctx context.Context, prompts []string, answers [][]string) ([][]bayesrm.Belief, error) {
	bs, err := l.questions(ctx, asked(prompts, answers), nil)
	if err != nil {
		return nil, fmt.Errorf("laplace: score: %w", err)
	}
	return bs, nil
}

func one(bs [][]bayesrm.Belief, err error) ([]bayesrm.Belief, error) {
	if err != nil {
		return nil, err
	}
	return bs[0], nil
}

// asked are prompts with answers whose ids are their numbers.
func asked(prompts []string, answers [][]string) (qs []bayesrm.Question) {
	for i, p := range prompts {
		q := bayesrm.Question{ID: p, Prompt: p}
		for k, a := range answers[i] {
			q.Answers = append(q.Answers, bayesrm.Answer{ID: fmt.Sprint(k), Text: a})
		}
		qs = append(qs, q)
	}
	return qs
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
	return one(c.ScoreMany(ctx, []string{prompt}, [][]string{answers}))
}

// ScoreMany is Score for several prompts.
func (c *Centred) ScoreMany(ctx context.Context, prompts []string, answers [][]string) ([][]bayesrm.Belief, error) {
	at := make([][]float64, len(prompts))
	for i, p := range prompts {
		var err error
		if at[i], err = c.origin(ctx, p); err != nil {
			return nil, fmt.Errorf("laplace: score: references: %w", err)
		}
	}
	bs, err := c.questions(ctx, asked(prompts, answers), func(q int, _ []float32, _ []float64) []float64 { return at[q] })
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
	_, err := c.questions(ctx, []bayesrm.Question{q}, func(_ int, J []float32, count []float64) []float64 {
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
	// Checkpoint is a file that keeps the beliefs of each prompt as soon as they are there: a run that was stopped or killed goes on with the
	// prompts that are missing. It stays: a later call reads its beliefs.
	Checkpoint string
}

// ScorePool returns the beliefs about all answers of a pool, in its order, with variances of the single response and
// relative to the mean over the prompt's answers (METHODS §4.3). Equal answers to a prompt are computed once.
func (l *Posterior) ScorePool(ctx context.Context, pool *bayesrm.Pool, opts *ScoreOptions) ([]bayesrm.Belief, error) {
	from := func(_ int, J []float32, count []float64) []float64 { return l.mean(J, count) }
	if opts != nil && opts.Single {
		from = nil
	}
	var kept *kept
	if opts != nil && opts.Checkpoint != "" {
		var err error
		if kept, err = l.openKept(opts.Checkpoint, pool, opts.Single); err != nil {
			return nil, fmt.Errorf("laplace: score pool: %w", err)
		}
		defer kept.Close() //nolint:errcheck // every line has been written
	}
	var out []bayesrm.Belief
	for i, q := range pool.Questions {
		bs, ok := kept.beliefs(i)
		if !ok {
			var err error
			if bs, err = one(l.questions(ctx, []bayesrm.Question{q}, from)); err == nil {
				err = kept.add(i, bs)
			}
			if err != nil {
				return nil, fmt.Errorf("laplace: score pool: prompt %d of %d (%s): %w", i, len(pool.Questions), q.ID, err)
			}
		}
		out = append(out, bs...)
		progress.Report(ctx, progress.Event{Task: "score pool", Done: i + 1, Total: len(pool.Questions)})
	}
	return out, nil
}

// origin returns the gradient [P] that relative variances are distances from, for question q; it is told those of the
// question's distinct answers and how often each comes.
type origin func(q int, J []float32, count []float64) []float64

// questions computes the beliefs about the answers to several prompts, with relative variances if from is given.
func (l *Posterior) questions(ctx context.Context, qs []bayesrm.Question, from origin) ([][]bayesrm.Belief, error) {
	rows := make([][]int, len(qs)) // of each answer, among the distinct ones of all questions
	first := []int{0}              // row of each question
	var seqs [][]int
	var count []float64
	for i, q := range qs {
		texts, index := q.Distinct()
		for _, text := range texts {
			ids, _, err := l.Model.Encode(q.Prompt, text)
			if err != nil {
				return nil, fmt.Errorf("answer %.40q: %w", text, err)
			}
			seqs, count = append(seqs, ids), append(count, 0)
		}
		for _, k := range index {
			r := first[i] + k
			count[r]++
			rows[i] = append(rows[i], r)
		}
		first = append(first, len(seqs))
	}
	P, n := l.Weights, len(seqs)
	bs := make([]bayesrm.Belief, n)
	var all []float32
	if from != nil {
		all = make([]float32, n*P)
	}
	var acts llm.Acts
	var some []float32 // gradients whose variances are not yet known
	err := llm.Batches(progress.Silent(ctx), "score", seqs, gradientTokens, false, func(i, j int) error {
		r, J, err := l.jacobians(ctx, &acts, seqs[i:j])
		if err != nil {
			return err
		}
		for k := range r {
			bs[i+k] = bayesrm.Belief{Mean: r[k], RelVar: math.NaN(), PriorRelVar: math.NaN()}
		}
		if from != nil {
			copy(all[i*P:], J)
		}
		if some = append(some, J...); j == n || enough(len(some)/P, P) {
			m := len(some) / P
			post, prior := l.variances(some, m)
			for k := range post {
				bs[j-m+k].Var, bs[j-m+k].PriorVar = post[k], prior[k]
			}
			some = some[:0]
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if from != nil {
		for q := range qs {
			a, b := first[q], first[q+1]
			for p, o := range from(q, all[a*P:b*P], count[a:b]) {
				for i := a; i < b; i++ {
					all[i*P+p] -= float32(o)
				}
			}
		}
		post, prior := l.variances(all, n)
		for i := range bs {
			bs[i].RelVar, bs[i].PriorRelVar = post[i], prior[i]
		}
	}
	out := make([][]bayesrm.Belief, len(qs))
	for i, q := range qs {
		for k, a := range q.Answers {
			b := l.Model.Standardised(bs[rows[i][k]])
			b.ID = a.ID
			out[i] = append(out[i], b)
		}
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
