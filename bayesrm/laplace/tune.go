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
	// Search for the δ of the evidence. Default GoldenSection.
	Search Search
	// Groups of weights that get a prior precision each, by the evidence. Default one for all.
	Groups Groups
}

// Search is a way to the δ at which the evidence is largest; all three find the same (METHODS §4.6).
type Search int

// The searches.
const (
	GoldenSection Search = iota // on log δ
	MacKay                      // the fixed point δ = γ/‖θ − μ‖²; golden section where it does not settle
	Gradient                    // Adam on log δ, as the paper's authors and laplace-torch do, with a step that shrinks
)

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
	best, err := l.bestDelta(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("laplace: tune prior: %w", err)
	}
	t := *l
	if err := t.set(math.Exp(best)); err != nil {
		return nil, fmt.Errorf("laplace: tune prior: %w", err)
	}
	return &t, nil
}

// bestDelta returns the log of the best δ.
func (l *Posterior) bestDelta(ctx context.Context, opts *TuneOptions) (float64, error) {
	objective := l.evidence
	if opts != nil && opts.HeldOut != nil {
		if opts.Search != GoldenSection {
			return 0, errors.New("held-out pairs are searched by golden section; leave out HeldOut or Search")
		}
		var err error
		if objective, err = l.heldOut(ctx, opts.HeldOut); err != nil {
			return 0, err
		}
	}
	search := GoldenSection
	if opts != nil {
		search = opts.Search
	}
	switch search {
	case GoldenSection:
	case MacKay:
		if best, settled, err := l.fixedPoint(ctx); err != nil || settled {
			return best, err
		}
	case Gradient:
		return l.ascend(ctx)
	default:
		return 0, fmt.Errorf("search %d is unknown", search)
	}
	return golden(ctx, math.Log(minDelta), math.Log(maxDelta), objective)
}

// maxSteps bounds the two searches that step until they settle; settledAt is the step of log δ at which they have.
const (
	maxSteps  = 600
	settledAt = 1e-9
)

// fixedPoint iterates δ ← γ/‖θ − μ‖² and reports whether it settled within the range of δ.
func (l *Posterior) fixedPoint(ctx context.Context) (best float64, settled bool, err error) {
	x := math.Log(l.PriorPrecision)
	for range maxSteps {
		if err := ctx.Err(); err != nil {
			return 0, false, err
		}
		g, err := l.h.at(math.Exp(x))
		if err != nil {
			return 0, false, err
		}
		next := math.Log(g.gamma() / l.ThetaNorm2)
		if math.IsNaN(next) || next < math.Log(minDelta) || next > math.Log(maxDelta) {
			return 0, false, nil
		}
		if math.Abs(next-x) < settledAt {
			return next, true, nil
		}
		x = next
	}
	return 0, false, nil
}

// ascend climbs the evidence by Adam on log δ; its slope there is ½(γ − δ‖θ − μ‖²).
func (l *Posterior) ascend(ctx context.Context) (float64, error) {
	const rate, beta1, beta2, eps = 0.1, 0.9, 0.99, 1e-12
	x := math.Log(l.PriorPrecision)
	var m, v float64
	for t := 1; t <= maxSteps; t++ {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		g, err := l.h.at(math.Exp(x))
		if err != nil {
			return 0, err
		}
		slope := 0.5 * (g.gamma() - math.Exp(x)*l.ThetaNorm2)
		m, v = beta1*m+(1-beta1)*slope, beta2*v+(1-beta2)*slope*slope
		n := float64(t)
		step := rate * math.Pow(0.98, max(0, n-150)) * (m / (1 - math.Pow(beta1, n))) / (math.Sqrt(v/(1-math.Pow(beta2, n))) + eps)
		x = min(max(x+step, math.Log(minDelta)), math.Log(maxDelta))
		if math.Abs(step) < settledAt {
			break
		}
	}
	return x, nil
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
	err = l.pairGradients(ctx, "gradients of held-out pairs", seqs, 0, func(diff []float64, d []float32) error {
		parts = append(parts, part{diff, l.h.sweep(d, len(diff))})
		return nil
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
