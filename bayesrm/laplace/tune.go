package laplace

import (
	"context"
	"errors"
	"fmt"
	"math"

	"gobayes/bayesrm/nn"
	"gobayes/bayesrm/prefs"
	"gobayes/bayesrm/progress"
)

// TuneOptions configure TunePrior. A nil *TuneOptions means the evidence.
type TuneOptions struct {
	// HeldOut pairs: δ maximises their likelihood, with the probability of a pair averaged over the posterior (probit
	// approximation). Default nil: δ maximises the evidence, as the paper does.
	HeldOut *prefs.Pairs
	// Groups of weights that get a prior precision each, by the evidence. Default one for all.
	Groups Groups
}

// The range in which δ is searched, in 1/weight².
const (
	minDelta = 1e-4
	maxDelta = 1e6
)

// TunePrior returns the posterior with the best prior precision δ. The trained weights and the curvature stay.
func (l *Posterior) TunePrior(ctx context.Context, opts *TuneOptions) (*Posterior, error) {
	if l.Groups != nil {
		return nil, errors.New("laplace: tune prior: the posterior has groups already; fit it again")
	}
	if opts != nil && opts.Groups != OneGroup {
		if opts.HeldOut != nil {
			return nil, errors.New("laplace: tune prior: groups are tuned by the evidence; leave out HeldOut or Groups")
		}
		t, err := l.tuneGroups(ctx, opts.Groups)
		if err != nil {
			return nil, fmt.Errorf("laplace: tune prior: %w", err)
		}
		return t, nil
	}
	objective := l.evidence
	if opts != nil && opts.HeldOut != nil {
		var err error
		if objective, err = l.heldOut(ctx, opts.HeldOut); err != nil {
			return nil, fmt.Errorf("laplace: tune prior: %w", err)
		}
	}
	best, err := golden(ctx, math.Log(minDelta), math.Log(maxDelta), objective)
	if err != nil {
		return nil, fmt.Errorf("laplace: tune prior: %w", err)
	}
	t := *l
	if err := t.set(math.Exp(best)); err != nil {
		return nil, fmt.Errorf("laplace: tune prior: %w", err)
	}
	return &t, nil
}

// heldOut returns the mean log probability of held-out pairs under the posterior as a function of δ.
func (l *Posterior) heldOut(ctx context.Context, pairs *prefs.Pairs) (func(delta float64) (float64, error), error) {
	seqs, err := l.Model.EncodePairs(pairs)
	if err != nil {
		return nil, err
	}
	if len(seqs) == 0 {
		return nil, fmt.Errorf("no held-out pairs")
	}
	type part struct {
		diff      []float64
		variances func(delta float64) ([]float64, error)
	}
	var parts []part
	err = l.pairGradients(ctx, "gradients of held-out pairs", seqs, func(diff []float64, d []float32) {
		parts = append(parts, part{diff, l.h.sweep(d, len(diff))})
	})
	if err != nil {
		return nil, err
	}
	return func(delta float64) (float64, error) {
		var s float64
		for _, p := range parts {
			v, err := p.variances(delta)
			if err != nil {
				return 0, err
			}
			for i, f := range p.diff {
				ll, _ := nn.LogLikelihood(f/math.Sqrt(1+math.Pi/8*v[i]), l.Model.Options.LabelNoise)
				s += ll
			}
		}
		return s / float64(pairs.Len()), nil
	}, nil
}

// golden maximises f(exp x) over x by golden-section search.
func golden(ctx context.Context, a, b float64, f func(delta float64) (float64, error)) (float64, error) {
	const (
		ratio = 0.6180339887498949
		steps = 40 // the interval shrinks to 1e-7 of log δ
	)
	x1, x2 := b-ratio*(b-a), a+ratio*(b-a)
	f1, err := f(math.Exp(x1))
	if err != nil {
		return 0, err
	}
	f2, err := f(math.Exp(x2))
	if err != nil {
		return 0, err
	}
	for i := range steps {
		if err := ctx.Err(); err != nil {
			return 0, fmt.Errorf("stopped at step %d of %d: %w", i, steps, err)
		}
		if f1 < f2 {
			a, x1, f1 = x1, x2, f2
			x2 = a + ratio*(b-a)
			f2, err = f(math.Exp(x2))
		} else {
			b, x2, f2 = x2, x1, f1
			x1 = b - ratio*(b-a)
			f1, err = f(math.Exp(x1))
		}
		if err != nil {
			return 0, err
		}
		progress.Report(ctx, progress.Event{Task: "tune prior precision", Done: i + 1, Total: steps, Note: fmt.Sprintf("δ %.3g", math.Exp((a+b)/2))})
	}
	return (a + b) / 2, nil
}
