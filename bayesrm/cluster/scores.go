package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"gobayes/bayesrm"
	"gobayes/bayesrm/bestofn"
	"gobayes/bayesrm/ensemble"
	"gobayes/bayesrm/internal/sealed"
	"gobayes/bayesrm/penalty"
	"gobayes/bayesrm/sample"
)

// BeliefRow is a row of a part of scores: the belief about an answer of a shard, and those of an ensemble's members.
type BeliefRow struct {
	ID string `parquet:"id,dict"` // prompt/answer, as in the shard's pool
	MemberRow
	Members []MemberRow `parquet:"members,list"`
}

// MemberRow is a belief: see bayesrm.Belief.
type MemberRow struct {
	Mean        float64 `parquet:"mean"`
	Var         float64 `parquet:"var"`
	RelVar      float64 `parquet:"rel_var"`
	PriorVar    float64 `parquet:"prior_var"`
	PriorRelVar float64 `parquet:"prior_rel_var"`
}

func row(b bayesrm.Belief) MemberRow {
	return MemberRow{b.Mean, b.Var, b.RelVar, b.PriorVar, b.PriorRelVar}
}

func (r MemberRow) belief(id string) bayesrm.Belief {
	return bayesrm.Belief{ID: id, Mean: r.Mean, Var: r.Var, RelVar: r.RelVar, PriorVar: r.PriorVar, PriorRelVar: r.PriorRelVar}
}

// Scores are beliefs about the answers of shards, a Parquet part for each shard.
type Scores struct {
	Dir    string
	Shards *sample.Shards
	key    string
}

// scoresManifest is manifest.json of a folder of scores.
type scoresManifest struct {
	Key    string // of the shards and the models
	Shards string // folder of the answers
	Models []string
	Parts  int
}

// scoresVersion is raised when the meaning of the parts changes.
const scoresVersion = 1

type scoreSpec struct {
	Shards, Dir, Key string
	Models           []string
	Shard            int
}

// Score is ensemble.ScorePool by all workers, shard by shard: beliefs of a model, or of an ensemble of several, which are folders of
// posteriors or reward models. It is an error if dir holds scores of other answers or models.
func (c *Cluster) Score(ctx context.Context, shards *sample.Shards, models []string, dir string) (*Scores, error) {
	if len(models) == 0 {
		return nil, errors.New("cluster: score: no models: give the folders of posteriors or reward models")
	}
	from := shards.Dir
	models = append([]string{}, models...)
	if err := absolute(&from, &dir); err != nil {
		return nil, fmt.Errorf("cluster: score: %w", err)
	}
	key := shards.Key
	for i := range models {
		if err := absolute(&models[i]); err != nil {
			return nil, fmt.Errorf("cluster: score: %w", err)
		}
		print, err := fingerprint(models[i])
		if err != nil {
			return nil, fmt.Errorf("cluster: score: model %d: %w", i, err)
		}
		key += "\n" + print
	}
	s := &Scores{Dir: dir, Shards: shards, key: hash(key)}
	if err := s.begin(from, models); err != nil {
		return nil, fmt.Errorf("cluster: score: %w", err)
	}
	err := c.q.run(ctx, work{task: "score shards", kind: "score", key: dir + "\n" + s.key, total: shards.Len(), done: s.has,
		spec: func(i int) any { return scoreSpec{from, dir, s.key, models, i} }})
	if err == nil {
		err = sealed.Sweep(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("cluster: score: %w", err)
	}
	return s, nil
}

func (s *Scores) begin(from string, models []string) error {
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return err
	}
	path := filepath.Join(s.Dir, "manifest.json")
	var found scoresManifest
	switch err := sealed.ReadJSON(path, scoresVersion, &found); {
	case errors.Is(err, os.ErrNotExist):
		return sealed.WriteJSON(path, scoresVersion, scoresManifest{s.key, from, models, s.Shards.Len()})
	case err != nil:
		return err
	case found.Key != s.key:
		return fmt.Errorf("%s holds scores of other answers or models; take another folder or remove it", s.Dir)
	}
	return nil
}

func (s *Scores) path(i int) string { return filepath.Join(s.Dir, fmt.Sprintf("part-%05d.parquet", i)) }

// has says whether a part is there.
func (s *Scores) has(i int) (bool, error) { return sealed.HasParquet(s.path(i), s.key) }

func scoreJob(ctx context.Context, t *tools, spec json.RawMessage) error {
	var s scoreSpec
	if err := json.Unmarshal(spec, &s); err != nil {
		return err
	}
	out := &Scores{Dir: s.Dir, key: s.Key}
	if ok, err := out.has(s.Shard); ok || err != nil {
		return err
	}
	shards, err := sample.Open(s.Shards)
	if err != nil {
		return fmt.Errorf("%w; does this machine see the same folders?", err)
	}
	pool, err := shards.Pool(s.Shard)
	if err != nil {
		return err
	}
	scorer, err := t.ensemble(ctx, s.Models)
	if err != nil {
		return err
	}
	beliefs, err := ensemble.ScorePool(ctx, scorer, pool)
	if err != nil {
		return err
	}
	rows := make([]BeliefRow, len(beliefs))
	for i, b := range beliefs {
		rows[i] = BeliefRow{ID: b.ID, MemberRow: row(b)}
		for _, m := range b.Members {
			rows[i].Members = append(rows[i].Members, row(m))
		}
	}
	return sealed.WriteParquet(out.path(s.Shard), s.Key, rows)
}

// ensemble loads the scorer of some folders: that of one, or the ensemble of several.
func (t *tools) ensemble(ctx context.Context, models []string) (bayesrm.Scorer, error) {
	var members []bayesrm.Scorer
	for _, m := range models {
		s, err := t.scorer(ctx, m)
		if err != nil {
			return nil, err
		}
		members = append(members, s)
	}
	if len(members) == 1 {
		return members[0], nil
	}
	return ensemble.New(members...)
}

// Part returns the answers of a shard and the beliefs about them, in the same order.
func (s *Scores) Part(i int) (*bayesrm.Pool, []bayesrm.Belief, error) {
	pool, err := s.Shards.Pool(i)
	if err != nil {
		return nil, nil, fmt.Errorf("cluster: scores: %w", err)
	}
	if ok, err := s.has(i); err != nil || !ok {
		return nil, nil, fmt.Errorf("cluster: scores: part %d: it is not there (%v); Score makes it", i, err)
	}
	var out []bayesrm.Belief
	if err := sealed.Rows(s.path(i), func(_ int, r BeliefRow) error {
		b := r.belief(r.ID)
		for _, m := range r.Members {
			b.Members = append(b.Members, m.belief(r.ID))
		}
		out = append(out, b)
		return nil
	}); err != nil {
		return nil, nil, fmt.Errorf("cluster: scores: part %d: %w", i, err)
	}
	return pool, out, nil
}

// Penalised streams the prompts with their penalised scores, for bestofn.CurveOf: one shard is in memory.
func (s *Scores) Penalised(f penalty.Func) iter.Seq2[bestofn.Scored, error] {
	return func(yield func(bestofn.Scored, error) bool) {
		for i := range s.Shards.Len() {
			pool, beliefs, err := s.Part(i)
			if err != nil {
				yield(bestofn.Scored{}, err)
				return
			}
			for _, q := range pool.Questions {
				n := len(q.Answers)
				if n > len(beliefs) {
					yield(bestofn.Scored{}, fmt.Errorf("cluster: scores: part %d ends within prompt %s", i, q.ID))
					return
				}
				if !yield(bestofn.Scored{Question: q, Scores: penalty.Apply(f, beliefs[:n])}, nil) {
					return
				}
				beliefs = beliefs[n:]
			}
		}
	}
}

// fingerprint is a hash of the files of a model's folder, or the name of the world's gold.
func fingerprint(dir string) (string, error) {
	if dir == World {
		return dir, nil
	}
	var parts []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if e.IsDir() || e.Name() == jobName {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return "", err
		}
		parts = append(parts, e.Name()+" "+hash(string(b)))
	}
	return strings.Join(parts, "\n"), nil
}
