package study

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/gob"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"gobayes/bayesrm"
	"gobayes/bayesrm/ensemble"
	"gobayes/bayesrm/laplace"
	"gobayes/bayesrm/safetensors"
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
	return fmt.Sprintf("version %d, data %x, %s", keptVersion, h.Sum(nil), o.settings())
}

func memberFolder(dir string, i int) string { return filepath.Join(dir, fmt.Sprintf("member-%d", i)) }

// keep writes a trial to a folder; the file that makes it count comes last.
func (t *Trial) keep(ctx context.Context, dir, key string) error {
	for i, l := range t.Posteriors {
		if err := l.Save(ctx, memberFolder(dir, i)); err != nil {
			return err
		}
	}
	var b bytes.Buffer
	k := kept{key, len(t.Posteriors), t.DevBeliefs, t.TestBeliefs, t.MAPPairs, t.PosteriorPairs}
	if err := gob.NewEncoder(&b).Encode(k); err != nil {
		return err
	}
	return safetensors.WriteFile(filepath.Join(dir, "beliefs.gob"), b.Bytes())
}

// recall reads a trial that was kept with this key; nil if there is none.
func recall(ctx context.Context, d *Data, dir, key string) (*Trial, error) {
	f, err := os.Open(filepath.Join(dir, "beliefs.gob"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	var k kept
	if err := gob.NewDecoder(f).Decode(&k); err != nil || k.Key != key {
		return nil, nil // of another program or of other options: made again
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
