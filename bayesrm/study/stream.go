package study

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"gobayes/bayesrm"
	"gobayes/bayesrm/bestofn"
	"gobayes/bayesrm/figures"
	"gobayes/bayesrm/internal/sealed"
	"gobayes/bayesrm/llm"
	"gobayes/bayesrm/progress"
	"gobayes/bayesrm/sample"
)

// StreamOptions configure Stream. A nil *StreamOptions, and every zero field, mean the default.
type StreamOptions struct {
	sample.Options
	// Prompts answered, scored and reduced at once: what is in memory, and what a run that was killed does again. Default 4.
	Prompts int
	// First is the number of the first part, where the prompts are some of a larger run's, which other processes make the other parts
	// of. Default 0.
	First int
	// Dir keeps what the parts came to; a run goes on with the parts that are missing. Default: none is kept.
	Dir string
}

// partVersion is raised when the meaning of a part changes.
const partVersion = 1

// part is what some prompts came to: the gains of each selector.
type part struct {
	Key    string
	Curves []*bestofn.Result
}

// Stream is Compare over more answers than memory holds: a few prompts at a time are answered by the policy, scored by gold and
// by the trial's ensemble, and reduced to their gains. k is chosen once, on the trial's development prompts at the largest n
// that they have answers for. When ctx ends the error wraps ctx's.
func Stream(ctx context.Context, t *Trial, policy *llm.Model, gold bayesrm.Scorer, prompts []string, ns []int, opts *StreamOptions, selectors ...Selector) (*Comparison, error) {
	o := StreamOptions{}
	if opts != nil {
		o = *opts
	}
	if o.Prompts <= 0 {
		o.Prompts = 4
	}
	if len(prompts) == 0 || len(ns) == 0 || len(selectors) == 0 {
		return nil, fmt.Errorf("study: stream: %d prompts, %d n and %d selectors: none may be 0", len(prompts), len(ns), len(selectors))
	}
	c := &Comparison{K: map[string][]float64{}}
	ks := make([]float64, len(selectors))
	for i, s := range selectors {
		var err error
		if ks[i], err = s.choose(t, min(ns[len(ns)-1], t.Dev.Least())); err != nil {
			return nil, fmt.Errorf("study: stream: %s: %w", s.Label, err)
		}
		if s.K != nil {
			c.K[s.Label] = []float64{ks[i]}
		}
	}
	key := streamKey(t, policy, ns, ks, selectors, o)
	parts := (len(prompts) + o.Prompts - 1) / o.Prompts
	curves := make([][]*bestofn.Result, len(selectors))
	for i := range parts {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("study: stream: stopped after %d of %d parts: %w", i, parts, err)
		}
		of := prompts[i*o.Prompts : min(len(prompts), (i+1)*o.Prompts)]
		p, err := o.part(o.First+i, fmt.Sprintf("%s, prompts %x", key, sha256.Sum256(fmt.Appendf(nil, "%q", of))), func() ([]*bestofn.Result, error) {
			return reduce(ctx, t, policy, gold, of, ns, ks, selectors, &o.Options)
		})
		if err != nil {
			return nil, fmt.Errorf("study: stream: part %d of %d: %w", i, parts, err)
		}
		for k, r := range p {
			curves[k] = append(curves[k], r)
		}
		progress.Report(ctx, progress.Event{Task: "best of n, in parts", Done: i + 1, Total: parts})
	}
	for k, s := range selectors {
		all, err := bestofn.Concat(curves[k]...)
		if err != nil {
			return nil, fmt.Errorf("study: stream: %w", err)
		}
		c.Lines = append(c.Lines, figures.Line{Label: s.Label, Curve: all})
	}
	return c, nil
}

// reduce answers some prompts, scores the answers and returns the curve of each selector.
func reduce(ctx context.Context, t *Trial, policy *llm.Model, gold bayesrm.Scorer, prompts []string, ns []int, ks []float64, selectors []Selector, o *sample.Options) ([]*bestofn.Result, error) {
	silent := progress.Silent(ctx)
	pool, err := sample.Pool(silent, policy, prompts, o)
	if err != nil {
		return nil, err
	}
	if err := sample.Label(silent, pool, gold); err != nil {
		return nil, err
	}
	beliefs, err := t.Ensemble.ScorePool(silent, pool)
	if err != nil {
		return nil, err
	}
	var out []*bestofn.Result
	for i, s := range selectors {
		r, err := bestofn.Curve(pool, s.scores(pool, beliefs, ks[i]), ns)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.Label, err)
		}
		out = append(out, r)
	}
	return out, nil
}

// part returns what is kept of a part, or makes and keeps it.
func (o *StreamOptions) part(i int, key string, make func() ([]*bestofn.Result, error)) ([]*bestofn.Result, error) {
	path := filepath.Join(o.Dir, fmt.Sprintf("part-%05d.json", i))
	if o.Dir != "" {
		var p part
		err := sealed.ReadJSON(path, partVersion, &p)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		if err == nil {
			if p.Key != key {
				return nil, fmt.Errorf("%s is of other prompts, models, selectors or options; take another folder or remove it", path)
			}
			return p.Curves, nil
		}
	}
	curves, err := make()
	if err != nil || o.Dir == "" {
		return curves, err
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, err
	}
	return curves, sealed.WriteJSON(path, partVersion, part{key, curves})
}

// streamKey names what all parts depend on; what a selector's function does it cannot know, only its label.
func streamKey(t *Trial, policy *llm.Model, ns []int, ks []float64, selectors []Selector, o StreamOptions) string {
	h := sha256.New()
	fmt.Fprint(h, policy.Fingerprint(), ns, ks, fmt.Sprintf("%+v", o.Options))
	for _, l := range t.Posteriors {
		fmt.Fprint(h, l.Model.Base.Fingerprint(), l.Model.Head, l.Model.Theta(), l)
	}
	for _, s := range selectors {
		fmt.Fprint(h, s.Label)
	}
	return fmt.Sprintf("version 2, %x", h.Sum(nil)[:16])
}
