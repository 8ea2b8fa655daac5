package reward

import (
	"context"
	"fmt"

	"gobayes/bayesrm/llm"
	"gobayes/bayesrm/prefs"
	"gobayes/bayesrm/train"
)

// TrainRankings fits a reward model to rankings of K answers each (Ouyang et al., arXiv 2203.02155, eq. 1): the loss of a ranking is the mean
// over its K(K−1)/2 pairs, and each of its texts is read once. Options.Batch counts rankings. With K = 2 it is Train.
func TrainRankings(ctx context.Context, base *llm.Model, rankings *prefs.Rankings, opts *Options) (*Model, error) {
	t, err := newRankingTrainer(base, rankings, opts)
	if err != nil {
		return nil, fmt.Errorf("reward: train rankings: %w", err)
	}
	if err := t.run(ctx, t, rankings.Pairs()); err != nil {
		return nil, err
	}
	return t.Model, nil
}

// rankingTrainer is a Trainer whose items are rankings: the texts of item i are seqs[from[i]:from[i+1]], best first.
type rankingTrainer struct {
	*Trainer
	from []int
}

func newRankingTrainer(base *llm.Model, rankings *prefs.Rankings, opts *Options) (*rankingTrainer, error) {
	if len(rankings.Rows) == 0 {
		return nil, fmt.Errorf("no rankings")
	}
	m, err := newModel(base, opts)
	if err != nil {
		return nil, err
	}
	t := &rankingTrainer{&Trainer{Model: m}, []int{0}}
	for i, r := range rankings.Rows {
		if len(r.Answers) < 2 {
			return nil, fmt.Errorf("ranking %d (prompt %.40q): %d answers, want at least 2", i, r.Prompt, len(r.Answers))
		}
		seen := map[string]bool{}
		for _, a := range r.Answers {
			if a == "" || seen[a] {
				return nil, fmt.Errorf("ranking %d (prompt %.40q): an answer is empty or stands twice; leave it out", i, r.Prompt)
			}
			seen[a] = true
			ids, long, err := m.Encode(r.Prompt, a)
			if err != nil {
				return nil, fmt.Errorf("ranking %d: %w", i, err)
			}
			if long {
				m.Cut++
			}
			t.seqs = append(t.seqs, ids)
		}
		t.from = append(t.from, len(t.seqs))
	}
	m.Texts, m.pairs = len(t.seqs), len(rankings.Rows)
	return t, nil
}

// Step computes the mean loss of the rankings and its gradients.
func (t *rankingTrainer) Step(ctx context.Context, s train.Step) (float64, error) {
	var seqs [][]int
	for _, i := range s.Items {
		seqs = append(seqs, t.seqs[t.from[i]:t.from[i+1]]...)
	}
	return t.step(ctx, s, seqs, func(r, dr []float64) (loss float64) {
		at := 0
		for _, item := range s.Items {
			K := t.from[item+1] - t.from[item]
			share := 2 / float64(K*(K-1))
			for i := at; i < at+K; i++ {
				for j := i + 1; j < at+K; j++ {
					l, dw, dl := t.Model.Options.loss(r[i], r[j], 0)
					loss += share * l
					dr[i] += share * dw
					dr[j] += share * dl
				}
			}
			at += K
		}
		return loss
	})
}
