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
	kept kept // what an earlier trial with the same members left, completed by this one
	made bool // something had to be
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
	if err := w.heldOut(ctx, t.Posteriors); err != nil {
		return nil, err
	}
	k := &w.kept
	if err := w.score(ctx, t.Posteriors, d.Dev, &k.Dev); err != nil {
		return nil, err
	}
	if err := w.score(ctx, t.Posteriors, d.Test, &k.Test); err != nil {
		return nil, err
	}
	t.MAPPairs, t.PosteriorPairs, t.DevBeliefs, t.TestBeliefs = k.MAPPairs, k.PosteriorPairs, k.Dev.Beliefs, k.Test.Beliefs
	return t, nil
}

// heldOut computes each member's probabilities of the held-out pairs' labels, at the trained weights and averaged, if they are not there.
func (w *workshop) heldOut(ctx context.Context, ls []*laplace.Posterior) error {
	if w.kept.MAPPairs != nil {
		return nil
	}
	var at, averaged [][]float64
	for i, l := range ls {
		pairs, err := l.ScorePairs(ctx, w.d.HeldOut)
		if err != nil {
			return fmt.Errorf("member %d of %d: %w", i, len(ls), err)
		}
		var m, p []float64
		for _, b := range pairs {
			m, p = append(m, b.MAP()), append(p, b.Probability())
		}
		at, averaged = append(at, m), append(averaged, p)
	}
	w.kept.MAPPairs, w.kept.PosteriorPairs, w.made = at, averaged, true
	return nil
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

// score is the ensemble's ScorePool, of which each member's beliefs are kept, if there are none of this pool.
func (w *workshop) score(ctx context.Context, ls []*laplace.Posterior, pool *bayesrm.Pool, into *scored) error {
	key := poolKey(pool)
	if into.Pool == key {
		return nil
	}
	var all [][]bayesrm.Belief
	for i, l := range ls {
		bs, err := l.ScorePool(ctx, pool, &laplace.ScoreOptions{Checkpoint: w.path(i, scoresName(key))})
		if err != nil {
			return fmt.Errorf("member %d of %d: %w", i, len(ls), err)
		}
		all = append(all, bs)
	}
	*into, w.made = scored{key, ensemble.Average(all)}, true
	return nil
}

func scoresName(poolKey string) string { return hash(poolKey) + ".scores" }

// keep moves the members of a trial to where recall finds them, in place of others; the file that makes it count goes first and comes last.
func (w *workshop) keep() error {
	dir := w.o.Keep
	if w.dir != dir {
		if err := os.RemoveAll(filepath.Join(dir, beliefsName)); err != nil {
			return err
		}
	}
	for i := range w.o.Members {
		for _, part := range []string{"trained", scoresName(w.kept.Dev.Pool), scoresName(w.kept.Test.Pool)} {
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
	if err := sealed.WriteGob(filepath.Join(dir, beliefsName), keptVersion, w.kept); err != nil || w.dir == dir {
		return err
	}
	return os.RemoveAll(w.dir)
}
