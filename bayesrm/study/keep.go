package study

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"gobayes/bayesrm"
	"gobayes/bayesrm/ensemble"
	"gobayes/bayesrm/internal/sealed"
	"gobayes/bayesrm/laplace"
	"gobayes/bayesrm/reward"

	"github.com/gofrs/flock"
)

// kept is what a folder holds beside the members' posteriors.
type kept struct {
	Key                      string // of the members
	MAPPairs, PosteriorPairs [][]float64
	Dev, Test                scored
}

// scored are the beliefs about the pool of a key.
type scored struct {
	Pool    string
	Beliefs []bayesrm.Belief
}

// keptVersion changes when the same options give another trial.
const keptVersion = 2

const beliefsName = "beliefs.gob"

// key names everything that the members depend on. They do not depend on the pools: another pool takes no other training.
func (d *Data) key(o Options) string {
	h := sha256.New()
	fmt.Fprint(h, d.Base.Fingerprint())
	for _, p := range d.Pairs.Rows {
		fmt.Fprintf(h, "%q %q %q %v\n", p.Prompt, p.Chosen, p.Rejected, p.Margin)
	}
	for _, p := range d.HeldOut.Rows {
		fmt.Fprintf(h, "%q %q %q\n", p.Prompt, p.Chosen, p.Rejected)
	}
	return fmt.Sprintf("data %x, %s", h.Sum(nil), o.settings())
}

// poolKey names the prompts and answers of a pool.
func poolKey(pool *bayesrm.Pool) string {
	h := sha256.New()
	for _, q := range pool.Questions {
		fmt.Fprintf(h, "%q %q\n", q.ID, q.Prompt)
		for _, a := range q.Answers {
			fmt.Fprintf(h, "%q %q\n", a.ID, a.Text)
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

func memberFolder(dir string, i int) string { return filepath.Join(dir, fmt.Sprintf("member-%d", i)) }

// reserve waits until no other process makes a trial in the folder, which it makes if need be; free lets others in.
func reserve(ctx context.Context, dir string) (free func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	l := flock.New(filepath.Join(dir, "lock"))
	if _, err := l.TryLockContext(ctx, 100*time.Millisecond); err != nil {
		return nil, fmt.Errorf("wait for %s: %w", dir, err)
	}
	return func() { _ = l.Unlock() }, nil // the system lets go with the process at the latest
}

// has says whether the trial's beliefs are there too.
func (k *kept) has(d *Data) bool {
	return k.Dev.Pool == poolKey(d.Dev) && k.Test.Pool == poolKey(d.Test)
}

// recall reads what is kept of members with this key; nil if there are none, or others, or those of another version.
func recall(dir, key string) (*kept, error) {
	var k kept
	err := sealed.ReadGob(filepath.Join(dir, beliefsName), keptVersion, &k)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, sealed.ErrVersion) || err == nil && k.Key != key {
		return nil, nil
	}
	return &k, err
}

// workshop makes a trial in a folder, from which one that was stopped or killed goes on; "" keeps nothing.
type workshop struct {
	d    *Data
	o    Options
	dir  string
	kept kept // of an earlier trial with the same members
}

// path is where a member's part is kept.
func (w *workshop) path(member int, part string) string {
	if w.dir == "" {
		return ""
	}
	return filepath.Join(memberFolder(w.dir, member), part)
}

func (w *workshop) trial(ctx context.Context) (*Trial, error) {
	d := w.d
	t := &Trial{Data: d}
	for i := range w.o.Members {
		if w.dir != "" {
			if err := os.MkdirAll(memberFolder(w.dir, i), 0o755); err != nil {
				return nil, err
			}
		}
		l, err := w.posterior(ctx, i)
		if err != nil {
			return nil, fmt.Errorf("member %d of %d: %w", i, w.o.Members, err)
		}
		t.Models, t.Posteriors = append(t.Models, l.Model), append(t.Posteriors, l)
	}
	var err error
	if t.Ensemble, err = ensemble.FromPosteriors(t.Posteriors); err != nil {
		return nil, err
	}
	if t.MAPPairs, t.PosteriorPairs, err = w.heldOut(ctx, t.Posteriors); err != nil {
		return nil, err
	}
	if t.DevBeliefs, err = w.score(ctx, t, d.Dev, w.kept.Dev); err != nil {
		return nil, err
	}
	t.TestBeliefs, err = w.score(ctx, t, d.Test, w.kept.Test)
	return t, err
}

// heldOut are each member's probabilities of the held-out pairs' labels, at the trained weights and averaged.
func (w *workshop) heldOut(ctx context.Context, ls []*laplace.Posterior) (at, averaged [][]float64, err error) {
	if w.kept.Key != "" {
		return w.kept.MAPPairs, w.kept.PosteriorPairs, nil
	}
	for i, l := range ls {
		pairs, err := l.ScorePairs(ctx, w.d.HeldOut)
		if err != nil {
			return nil, nil, fmt.Errorf("member %d of %d: %w", i, len(ls), err)
		}
		var m, p []float64
		for _, b := range pairs {
			m, p = append(m, b.MAP()), append(p, b.Probability())
		}
		at, averaged = append(at, m), append(averaged, p)
	}
	return at, averaged, nil
}

// posterior makes a member, or reads it if it is there.
func (w *workshop) posterior(ctx context.Context, i int) (*laplace.Posterior, error) {
	if w.dir != "" {
		if l, err := laplace.Load(ctx, memberFolder(w.dir, i), w.d.Base); !errors.Is(err, os.ErrNotExist) {
			return l, err
		}
	}
	m, err := w.model(ctx, i)
	if err != nil {
		return nil, err
	}
	o := laplace.Options{}
	if w.o.Laplace != nil {
		o = *w.o.Laplace
	}
	if w.dir != "" {
		o.Checkpoint = w.path(i, "fit")
	}
	l, err := laplace.Fit(ctx, m, w.d.Pairs, &o)
	if err != nil {
		return nil, err
	}
	tune := &laplace.TuneOptions{HeldOut: w.d.HeldOut}
	if w.o.ByEvidence {
		tune = nil
	}
	if l, err = l.TunePrior(ctx, tune); err != nil || w.dir == "" {
		return l, err
	}
	return l, l.Save(ctx, memberFolder(w.dir, i))
}

// trainedEvery is how many steps of training a killed run can lose.
const trainedEvery = 20

// model trains a member's reward model, or reads it if it is there.
func (w *workshop) model(ctx context.Context, i int) (*reward.Model, error) {
	trained := w.path(i, "trained")
	if w.dir != "" {
		if m, err := reward.Load(ctx, trained, w.d.Base); !errors.Is(err, os.ErrNotExist) {
			return m, err
		}
	}
	o := w.o.Reward.Member(i)
	if w.dir != "" {
		o.Checkpoint, o.Every = w.path(i, "training"), trainedEvery
	}
	m, err := reward.Train(ctx, w.d.Base, w.d.Pairs, o)
	if err != nil {
		return nil, err
	}
	if err := m.Standardise(ctx, w.d.HeldOut); err != nil || w.dir == "" {
		return m, err
	}
	return m, m.Save(ctx, trained)
}

// score is the ensemble's ScorePool, of which each member's beliefs are kept.
func (w *workshop) score(ctx context.Context, t *Trial, pool *bayesrm.Pool, earlier scored) ([]bayesrm.Belief, error) {
	key := poolKey(pool)
	if earlier.Pool == key {
		return earlier.Beliefs, nil
	}
	var all [][]bayesrm.Belief
	for i, l := range t.Posteriors {
		bs, err := l.ScorePool(ctx, pool, &laplace.ScoreOptions{Checkpoint: w.path(i, scoresName(key))})
		if err != nil {
			return nil, fmt.Errorf("member %d of %d: %w", i, len(t.Posteriors), err)
		}
		all = append(all, bs)
	}
	return ensemble.Average(all), nil
}

func scoresName(poolKey string) string { return hash(poolKey) + ".scores" }

// keep moves the members of a trial to where recall finds them, in place of others; the file that makes it count goes first and comes last.
func (w *workshop) keep(t *Trial, key string) error {
	dir := w.o.Keep
	k := kept{key, t.MAPPairs, t.PosteriorPairs, scored{poolKey(t.Dev), t.DevBeliefs}, scored{poolKey(t.Test), t.TestBeliefs}}
	if w.dir != dir {
		if err := os.RemoveAll(filepath.Join(dir, beliefsName)); err != nil {
			return err
		}
	}
	for i := range t.Posteriors {
		for _, part := range []string{"trained", scoresName(k.Dev.Pool), scoresName(k.Test.Pool)} {
			if err := os.RemoveAll(w.path(i, part)); err != nil {
				return err
			}
		}
		if w.dir == dir {
			continue
		}
		to := memberFolder(dir, i)
		if err := os.RemoveAll(to); err != nil {
			return err
		}
		if err := os.Rename(memberFolder(w.dir, i), to); err != nil {
			return err
		}
	}
	if err := sealed.WriteGob(filepath.Join(dir, beliefsName), keptVersion, k); err != nil || w.dir == dir {
		return err
	}
	return os.RemoveAll(w.dir)
}
