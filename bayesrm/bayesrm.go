package bayesrm

import (
	"context"
	"fmt"
	"hash/fnv"
	"math"
)

// Answer is one response to a prompt. Gold is its true reward, NaN where none is known.
type Answer struct {
	ID   string
	Text string
	Gold float64
}

// Question is a prompt with its answers.
type Question struct {
	ID      string
	Prompt  string
	Answers []Answer
}

// Distinct returns the texts of the answers, equal ones once and in the order of their first, and the index there of each answer.
func (q Question) Distinct() (texts []string, index []int) {
	at := map[string]int{}
	for _, a := range q.Answers {
		i, ok := at[a.Text]
		if !ok {
			i = len(texts)
			at[a.Text] = i
			texts = append(texts, a.Text)
		}
		index = append(index, i)
	}
	return texts, index
}

// Pool is P prompts, each with its answers: what best-of-n chooses from.
type Pool struct {
	Questions []Question
}

// Len is the number of answers in the pool.
func (p *Pool) Len() int {
	n := 0
	for _, q := range p.Questions {
		n += len(q.Answers)
	}
	return n
}

// String is the number of prompts and of answers per prompt.
func (p *Pool) String() string {
	if len(p.Questions) == 0 {
		return "empty pool"
	}
	lo, hi := math.MaxInt, 0
	for _, q := range p.Questions {
		lo, hi = min(lo, len(q.Answers)), max(hi, len(q.Answers))
	}
	per := fmt.Sprint(lo)
	if hi > lo {
		per = fmt.Sprintf("%d to %d", lo, hi)
	}
	return fmt.Sprintf("pool: %d prompts × %s answers", len(p.Questions), per)
}

// Belief is what a model believes of the reward of one answer: a Gaussian (paper eq. 17). Rewards are in logits.
type Belief struct {
	ID   string // of the answer
	Mean float64
	Var  float64 // Λ, of the single response
	// RelVar is the variance of the reward relative to the mean over the prompt's pool, NaN where there was no pool.
	RelVar float64
	// PriorVar and PriorRelVar are the same under the prior alone, without data: controls.
	PriorVar, PriorRelVar float64
	Members               []Belief // of an ensemble
}

// String is mean ± standard deviation.
func (b Belief) String() string {
	s := fmt.Sprintf("%.3f ± %.3f", b.Mean, math.Sqrt(b.Var))
	if !math.IsNaN(b.RelVar) {
		s += fmt.Sprintf(" (relative ± %.3f)", math.Sqrt(b.RelVar))
	}
	return s
}

// Normalizer shifts and scales rewards to mean 0 and standard deviation 1 over some set of texts, so that models can be compared
// and averaged.
type Normalizer struct {
	Mean, Std float64
}

// Belief is the belief in standardised units: variances are divided by Std².
func (n Normalizer) Belief(b Belief) Belief {
	v := n.Std * n.Std
	b.Mean = (b.Mean - n.Mean) / n.Std
	b.Var, b.RelVar, b.PriorVar, b.PriorRelVar = b.Var/v, b.RelVar/v, b.PriorVar/v, b.PriorRelVar/v
	return b
}

// Score is the number by which an answer is chosen, and the mean reward behind it.
type Score struct {
	ID    string
	Value float64
	Mean  float64
}

// Scorer gives beliefs about the answers to a prompt.
type Scorer interface {
	Score(ctx context.Context, prompt string, answers []string) ([]Belief, error)
}

// Batcher is a Scorer that is faster with the answers to many prompts at once.
type Batcher interface {
	Scorer
	ScoreMany(ctx context.Context, prompts []string, answers [][]string) ([][]Belief, error)
}

// ScoreMany gives beliefs about the answers to several prompts, by any scorer.
func ScoreMany(ctx context.Context, s Scorer, prompts []string, answers [][]string) ([][]Belief, error) {
	if b, ok := s.(Batcher); ok {
		return b.ScoreMany(ctx, prompts, answers)
	}
	out := make([][]Belief, len(prompts))
	for i, p := range prompts {
		var err error
		if out[i], err = s.Score(ctx, p, answers[i]); err != nil {
			return nil, err
		}
		if len(out[i]) != len(answers[i]) {
			return nil, fmt.Errorf("bayesrm: score: %d beliefs about %d answers", len(out[i]), len(answers[i]))
		}
	}
	return out, nil
}

// Split divides the pool's prompts by a hash of their ids: about the given share comes first. The same prompt falls on the
// same side in every pool and every run.
func (p *Pool) Split(share float64) (first, rest *Pool) {
	first, rest = &Pool{}, &Pool{}
	for _, q := range p.Questions {
		h := fnv.New64a()
		h.Write([]byte(q.ID))
		if float64(mix(h.Sum64()))/math.MaxUint64 < share {
			first.Questions = append(first.Questions, q)
		} else {
			rest.Questions = append(rest.Questions, q)
		}
	}
	return first, rest
}

// mix spreads a hash over all its bits (the finaliser of MurmurHash3).
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// Cut divides the pool after n prompts.
func (p *Pool) Cut(n int) (first, rest *Pool) {
	n = min(max(n, 0), len(p.Questions))
	return &Pool{p.Questions[:n:n]}, &Pool{p.Questions[n:]}
}

// Least is the number of answers of the prompt that has fewest: the largest n of a best-of-n curve.
func (p *Pool) Least() int {
	n := 0
	for i, q := range p.Questions {
		if i == 0 || len(q.Answers) < n {
			n = len(q.Answers)
		}
	}
	return n
}
