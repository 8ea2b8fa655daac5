package study

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"gobayes/bayesrm"
	"gobayes/bayesrm/ensemble"
	"gobayes/bayesrm/internal/sealed"
	"gobayes/bayesrm/laplace"
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

// keep writes a trial to a folder; the file that makes it count comes last.
func (t *Trial) keep(ctx context.Context, dir, key string) error {
	for i, l := range t.Posteriors {
		if err := l.Save(ctx, memberFolder(dir, i)); err != nil {
			return err
		}
	}
	k := kept{key, len(t.Posteriors), t.DevBeliefs, t.TestBeliefs, t.MAPPairs, t.PosteriorPairs}
	return sealed.WriteGob(filepath.Join(dir, beliefsName), keptVersion, k)
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
