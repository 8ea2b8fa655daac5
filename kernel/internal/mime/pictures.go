package mime

import (
	"math"

	"gobayes/bayesrm"
	"gobayes/bayesrm/bestofn"
	"gobayes/bayesrm/figures"
	"gobayes/bayesrm/laplace"
	"gobayes/bayesrm/reward"
)

// picture is what a person wants to see of a result of the engine, or nil.
func picture(v any) *figures.Figure {
	switch x := v.(type) {
	case *bestofn.Result:
		if x != nil && len(x.N) > 1 {
			return figures.BestOfN(figures.Line{Label: "selected", Curve: x})
		}
	case *reward.Model:
		if x != nil && len(x.Log.Loss) > 1 {
			return training(x)
		}
	case *laplace.Posterior:
		if x != nil {
			return spectrum(x)
		}
	case *bayesrm.Pool:
		if x != nil {
			return goldHistogram(x)
		}
	}
	return nil
}

// training is the loss of each step, smoothed, and of held-out pairs before, between and after the epochs.
func training(m *reward.Model) *figures.Figure {
	loss := m.Log.Loss
	window := max(1, len(loss)/40)
	s := figures.Series{Label: "training pairs"}
	var sum float64
	for i, l := range loss {
		sum += l
		if i >= window {
			sum -= loss[i-window]
		}
		s.X, s.Y = append(s.X, float64(i+1)), append(s.Y, sum/float64(min(i+1, window)))
	}
	panel := figures.Panel{Title: "Training", X: "step", Y: "loss (nats per pair)", Series: []figures.Series{s}}
	if n := len(m.Epochs); n > 0 {
		held := figures.Series{Label: "held-out pairs"}
		for i, e := range m.Epochs {
			held.X, held.Y = append(held.X, float64(len(loss)*i)/float64(max(1, n-1))), append(held.Y, e.HeldOut.NLL)
		}
		panel.Series = append(panel.Series, held)
	}
	return figures.Panels(panel)
}

// maxExact is the number of pairs up to which the eigenvalues of an exact posterior are computed to be shown.
const maxExact = 1200

// spectrum is the eigenvalues of the curvature beside the prior precision: those above it are what the pairs have determined.
func spectrum(l *laplace.Posterior) *figures.Figure {
	if l.Curvature == laplace.Exact && l.Pairs > maxExact {
		return nil
	}
	values, err := l.Spectrum()
	if err != nil || len(values) < 2 || values[0] <= 0 {
		return nil
	}
	s := figures.Series{Label: "curvature"}
	for i, v := range values {
		if v < 1e-9*values[0] {
			break
		}
		s.X, s.Y = append(s.X, float64(i+1)), append(s.Y, math.Log10(v))
	}
	prior := figures.Series{Label: "prior precision δ", X: []float64{1, float64(len(s.X))}}
	prior.Y = []float64{math.Log10(l.PriorPrecision), math.Log10(l.PriorPrecision)}
	return figures.Panels(figures.Panel{Title: "Posterior", X: "eigenvalue, largest first", Y: "log10", LogX: true, Series: []figures.Series{s, prior}})
}

// bins of a histogram.
const bins = 40

// goldHistogram is how the gold of a pool's answers is spread.
func goldHistogram(p *bayesrm.Pool) *figures.Figure {
	var gold []float64
	low, high := math.Inf(1), math.Inf(-1)
	for _, q := range p.Questions {
		for _, a := range q.Answers {
			if !math.IsNaN(a.Gold) {
				gold = append(gold, a.Gold)
				low, high = min(low, a.Gold), max(high, a.Gold)
			}
		}
	}
	if len(gold) < bins || low == high {
		return nil
	}
	s := figures.Series{Label: "answers", X: make([]float64, bins), Y: make([]float64, bins)}
	width := (high - low) / bins
	for i := range bins {
		s.X[i] = low + (float64(i)+0.5)*width
	}
	for _, g := range gold {
		s.Y[min(bins-1, int((g-low)/width))] += 1 / float64(len(gold))
	}
	return figures.Panels(figures.Panel{Title: "Pool", X: "gold reward", Y: "share of the answers", Series: []figures.Series{s}})
}
