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
	Key                      string
	Members                  int
	DevBeliefs, TestBeliefs  []bayesrm.Belief
	MAPPairs, PosteriorPairs [][]float64
}

// keptVersion changes when the same options give another trial.
const keptVersion = 1

const beliefsName = "beliefs.gob"

// key names everything that a trial depends on.
func (d *Data) key(o Options) string {
	h := sha256.New()
	fmt.Fprint(h, d.Base.Fingerprint())
	for _, p := range d.Pairs.Rows {
		fmt.Fprintf(h, "%q %q %q %v\n", p.Prompt, p.Chosen, p.Rejected, p.Margin)
	}
	for _, p := range d.HeldOut.Rows {
		fmt.Fprintf(h, "%q %q %q\n", p.Prompt, p.Chosen, p.Rejected)
	}
	for _, pool := range []*bayesrm.Pool{d.Dev, d.Test} {
		for _, q := range pool.Questions {
			fmt.Fprintf(h, "%q %q\n", q.ID, q.Prompt)
			for _, a := range q.Answers {
				fmt.Fprintf(h, "%q %q\n", a.ID, a.Text)
			}
		}
	}
	return fmt.Sprintf("data %x, %s", h.Sum(nil), o.settings())
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

// recall reads a trial that was kept with this key; nil if there is none.
func recall(ctx context.Context, d *Data, dir, key string) (*Trial, error) {
	var k kept
	err := sealed.ReadGob(filepath.Join(dir, beliefsName), keptVersion, &k)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if k.Key != key {
		return nil, nil // of other options: made again
	}
	t := &Trial{Data: d, DevBeliefs: k.DevBeliefs, TestBeliefs: k.TestBeliefs, MAPPairs: k.MAPPairs, PosteriorPairs: k.PosteriorPairs}
	for i := range k.Members {
		l, err := laplace.Load(ctx, memberFolder(dir, i), d.Base)
		if err != nil {
			return nil, err
		}
		t.Models, t.Posteriors = append(t.Models, l.Model), append(t.Posteriors, l)
	}
	t.Ensemble, err = ensemble.FromPosteriors(t.Posteriors)
	return t, err
}

// workshop makes a trial in a folder, from which one that was stopped or killed goes on; "" keeps nothing.
type workshop struct {
	d   *Data
	o   Options
	dir string
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
		pairs, err := l.ScorePairs(ctx, d.HeldOut)
		if err != nil {
			return nil, fmt.Errorf("member %d of %d: %w", i, w.o.Members, err)
		}
		var at, averaged []float64
		for _, b := range pairs {
			at, averaged = append(at, b.MAP()), append(averaged, b.Probability())
		}
		t.MAPPairs, t.PosteriorPairs = append(t.MAPPairs, at), append(t.PosteriorPairs, averaged)
	}
	var err error
	if t.Ensemble, err = ensemble.FromPosteriors(t.Posteriors); err != nil {
		return nil, err
	}
	if t.DevBeliefs, err = w.score(ctx, t, d.Dev, "dev"); err != nil {
		return nil, err
	}
	t.TestBeliefs, err = w.score(ctx, t, d.Test, "test")
	return t, err
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
func (w *workshop) score(ctx context.Context, t *Trial, pool *bayesrm.Pool, name string) ([]bayesrm.Belief, error) {
	var all [][]bayesrm.Belief
	for i, l := range t.Posteriors {
		bs, err := l.ScorePool(ctx, pool, &laplace.ScoreOptions{Checkpoint: w.path(i, name+".scores")})
		if err != nil {
			return nil, fmt.Errorf("member %d of %d: %w", i, len(t.Posteriors), err)
		}
		all = append(all, bs)
	}
	return ensemble.Average(all), nil
}

// keep moves the members of a trial to where recall finds them; the file that makes it count comes last.
func (w *workshop) keep(t *Trial, key string) error {
	dir := w.o.Keep
	for i := range t.Posteriors {
		for _, part := range []string{"trained", "dev.scores", "test.scores"} {
			if err := os.RemoveAll(w.path(i, part)); err != nil {
				return err
			}
		}
		to := memberFolder(dir, i)
		if err := os.RemoveAll(to); err != nil {
			return err
		}
		if err := os.Rename(memberFolder(w.dir, i), to); err != nil {
			return err
		}
	}
	k := kept{key, len(t.Posteriors), t.DevBeliefs, t.TestBeliefs, t.MAPPairs, t.PosteriorPairs}
	if err := sealed.WriteGob(filepath.Join(dir, beliefsName), keptVersion, k); err != nil {
		return err
	}
	return os.RemoveAll(w.dir)
}
