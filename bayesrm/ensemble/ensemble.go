// Package ensemble joins several reward models into one belief: independent members, members on bootstrap samples or on
// several backbones, heads on one backbone, adapters that are pushed apart, dropout, and the average of weights.
package ensemble

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"gobayes/bayesrm"
	"gobayes/bayesrm/laplace"
	"gobayes/bayesrm/llm"
	"gobayes/bayesrm/penalty"
	"gobayes/bayesrm/prefs"
	"gobayes/bayesrm/progress"
	"gobayes/bayesrm/reward"
)

// Ensemble is a set of members whose beliefs are averaged (paper eq. 20).
type Ensemble struct {
	Members []bayesrm.Scorer
}

// New joins members: reward models, posteriors (a Laplace ensemble), or anything that scores. It is an error if a reward model
// among them is not standardised: the one with the lowest offset would then be the worst case of every answer. See
// reward.Model.Standardise; NewRaw does not ask.
func New(members ...bayesrm.Scorer) (*Ensemble, error) {
	for i, s := range members {
		var m *reward.Model
		switch s := s.(type) {
		case *reward.Model:
			m = s
		case *laplace.Posterior:
			m = s.Model
		}
		if m != nil && m.Normalizer == nil {
			return nil, fmt.Errorf("ensemble: member %d is not standardised: call its Standardise with held-out pairs, or use NewRaw", i)
		}
	}
	return NewRaw(members...)
}

// NewRaw is New for members in whatever units they have.
func NewRaw(members ...bayesrm.Scorer) (*Ensemble, error) {
	if len(members) == 0 {
		return nil, errors.New("ensemble: no members")
	}
	return &Ensemble{members}, nil
}

// String is the number of members.
func (e *Ensemble) String() string { return fmt.Sprintf("ensemble of %d members", len(e.Members)) }

// Score returns the belief about each answer to a prompt. The members' beliefs stay on it.
func (e *Ensemble) Score(ctx context.Context, prompt string, answers []string) ([]bayesrm.Belief, error) {
	bs, err := e.ScoreMany(ctx, []string{prompt}, [][]string{answers})
	if err != nil {
		return nil, err
	}
	return bs[0], nil
}

// ScoreMany is Score for several prompts. Reward models on one backbone go through it together.
func (e *Ensemble) ScoreMany(ctx context.Context, prompts []string, answers [][]string) ([][]bayesrm.Belief, error) {
	score := func(i int) ([][]bayesrm.Belief, error) { return bayesrm.ScoreMany(ctx, e.Members[i], prompts, answers) }
	if models := e.together(); models != nil {
		all, err := reward.ScoreTogether(ctx, models, prompts, answers)
		if err != nil {
			return nil, fmt.Errorf("ensemble: %w", err)
		}
		score = func(i int) ([][]bayesrm.Belief, error) { return all[i], nil }
	}
	flat, err := e.average(func(i int) ([]bayesrm.Belief, error) {
		bs, err := score(i)
		return slices.Concat(bs...), err
	})
	if err != nil {
		return nil, err
	}
	out := make([][]bayesrm.Belief, len(prompts))
	for i, a := range answers {
		out[i], flat = flat[:len(a)], flat[len(a):]
	}
	return out, nil
}

// together returns the members if they are reward models on one backbone.
func (e *Ensemble) together() []*reward.Model {
	var models []*reward.Model
	for _, s := range e.Members {
		m, ok := s.(*reward.Model)
		if !ok {
			return nil
		}
		models = append(models, m)
	}
	if !reward.Together(models) {
		return nil
	}
	return models
}

// ScorePool returns the beliefs about all answers of a pool, in its order. Posteriors give relative variances too; those of
// members without any variance are 0.
func (e *Ensemble) ScorePool(ctx context.Context, pool *bayesrm.Pool) ([]bayesrm.Belief, error) {
	if e.together() != nil {
		return scorePool(ctx, e, pool)
	}
	return e.average(func(i int) ([]bayesrm.Belief, error) {
		defer progress.Report(ctx, progress.Event{Task: "score with the members", Done: i + 1, Total: len(e.Members)})
		return ScorePool(ctx, e.Members[i], pool)
	})
}

// ScorePool scores all answers of a pool, in its order, with anything that scores; equal answers to a prompt once. A posterior, and
// an ensemble with posteriors in it, gives relative variances too.
func ScorePool(ctx context.Context, s bayesrm.Scorer, pool *bayesrm.Pool) ([]bayesrm.Belief, error) {
	switch s := s.(type) {
	case *laplace.Posterior:
		return s.ScorePool(ctx, pool, nil)
	case *Ensemble:
		return s.ScorePool(ctx, pool)
	}
	return scorePool(ctx, s, pool)
}

func scorePool(ctx context.Context, s bayesrm.Scorer, pool *bayesrm.Pool) ([]bayesrm.Belief, error) {
	var out []bayesrm.Belief
	for i, q := range pool.Questions {
		texts, row := q.Distinct()
		bs, err := s.Score(progress.Silent(ctx), q.Prompt, texts)
		if err != nil {
			return nil, fmt.Errorf("prompt %s: %w", q.ID, err)
		}
		for k, a := range q.Answers {
			b := bs[row[k]]
			b.ID = a.ID
			out = append(out, b)
		}
		progress.Report(ctx, progress.Event{Task: "score pool", Done: i + 1, Total: len(pool.Questions)})
	}
	return out, nil
}

func (e *Ensemble) average(score func(member int) ([]bayesrm.Belief, error)) ([]bayesrm.Belief, error) {
	var all [][]bayesrm.Belief
	for i := range e.Members {
		bs, err := score(i)
		if err != nil {
			return nil, fmt.Errorf("ensemble: member %d: %w", i, err)
		}
		all = append(all, bs)
	}
	return Average(all), nil
}

// Average returns the ensemble's beliefs about some answers; all holds those of each member, about the same answers.
func Average(all [][]bayesrm.Belief) []bayesrm.Belief {
	out := make([]bayesrm.Belief, len(all[0]))
	for k := range out {
		members := make([]bayesrm.Belief, len(all))
		for i := range all {
			members[i] = all[i][k]
		}
		out[k] = penalty.Average(members)
	}
	return out
}

// Options configure Train. A nil *Options, and every zero field, mean the default.
type Options struct {
	// Members is M. Default 5.
	Members int
	// Reward is how the first member is trained; the next are trained as its Member says.
	Reward *reward.Options
	// Bagging trains each member on its own bootstrap sample of the pairs (Gleave and Irving, arXiv 2203.07472).
	Bagging bool
	// Bases are backbones that the members take in turn, instead of the one that Train is given: with backbones of several
	// pretraining runs, a pretrain-seed ensemble (Eisenstein et al., arXiv 2312.09244; they also set Reward.Centring to 0.01).
	Bases []*llm.Model
}

// Train trains independent members that differ in their seeds: LoRA, head and order of the pairs.
func Train(ctx context.Context, base *llm.Model, pairs *prefs.Pairs, opts *Options) ([]*reward.Model, error) {
	o, ros := opts.resolve()
	var out []*reward.Model
	for i, ro := range ros {
		b, data := base, pairs
		if len(o.Bases) > 0 {
			b = o.Bases[i%len(o.Bases)]
		}
		if o.Bagging {
			data = pairs.Bootstrap(ro.Seed)
		}
		m, err := reward.Train(ctx, b, data, ro)
		if err != nil {
			return out, fmt.Errorf("ensemble: train member %d of %d: %w", i, o.Members, err)
		}
		out = append(out, m)
	}
	return out, nil
}

// resolve returns the options and those of each member.
func (o *Options) resolve() (Options, []*reward.Options) {
	r := Options{}
	if o != nil {
		r = *o
	}
	if r.Members <= 0 {
		r.Members = 5
	}
	ros := make([]*reward.Options, r.Members)
	for i := range ros {
		ros[i] = r.Reward.Member(i)
	}
	return r, ros
}

// FromModels is New of reward models.
func FromModels(models []*reward.Model) (*Ensemble, error) {
	var ms []bayesrm.Scorer
	for _, m := range models {
		ms = append(ms, m)
	}
	return New(ms...)
}

// FromPosteriors is New of posteriors: the Laplace ensemble of the paper (eqs. 20–22).
func FromPosteriors(posteriors []*laplace.Posterior) (*Ensemble, error) {
	var ms []bayesrm.Scorer
	for _, l := range posteriors {
		ms = append(ms, l)
	}
	return New(ms...)
}

// Dropout is an ensemble of one model: each member is the model with another mask (MC dropout, Gal and Ghahramani 2016). The
// model must have been trained with reward.Options.Dropout.
func Dropout(m *reward.Model, members int) (*Ensemble, error) {
	out := make([]bayesrm.Scorer, members)
	for i := range out {
		out[i] = masked{m, uint64(i + 1)}
	}
	return NewRaw(out...)
}

type masked struct {
	model *reward.Model
	seed  uint64
}

func (s masked) Score(ctx context.Context, prompt string, answers []string) ([]bayesrm.Belief, error) {
	seqs, err := s.model.EncodeAnswers(prompt, answers)
	if err != nil {
		return nil, err
	}
	r, err := s.model.DropoutRewards(ctx, seqs, s.seed)
	if err != nil {
		return nil, err
	}
	return s.model.Beliefs(r), nil
}
