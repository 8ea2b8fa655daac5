package laplace

import (
	"context"
	"errors"
	"fmt"
	"math"

	"gobayes/bayesrm/linalg"
	"gobayes/bayesrm/progress"

	"gonum.org/v1/gonum/mat"
)

// Groups says which LoRA weights share a prior precision.
type Groups int

// The groupings.
const (
	OneGroup     Groups = iota // all weights
	FactorGroups               // all A, all B
	LayerGroups                // A and B of each LoRA
)

// Group is a set of weights with a prior precision of its own.
type Group struct {
	Name           string
	PriorPrecision float64 // in 1/weight²
}

// grouping assigns a group to each weight.
type grouping struct {
	names []string
	of    []int // [P]
}

func (l *Posterior) grouping(g Groups) (grouping, error) {
	if l.subset != nil {
		return grouping{}, errors.New("groups are for posteriors over all LoRA weights")
	}
	var out grouping
	add := func(group, n int) {
		for range n {
			out.of = append(out.of, group)
		}
	}
	switch g {
	case FactorGroups:
		out.names = []string{"A", "B"}
	case LayerGroups:
	default:
		return grouping{}, fmt.Errorf("groups %d are unknown", g)
	}
	for i, a := range l.Model.Base.LoRAs() {
		if g == LayerGroups {
			out.names = append(out.names, a.A.Name[:len(a.A.Name)-len(".lora_A.weight")])
			add(i, a.Len())
			continue
		}
		add(0, len(a.A.Data))
		add(1, len(a.B.Data))
	}
	return out, nil
}

// tuneGroups maximises the evidence by MacKay's fixed point with extrapolation, δ_g ← γ_g/‖θ_g − μ_g‖² with γ_g the effective number of parameters of
// the group, and returns the posterior in the weights √(δ_g/δ)·θ, whose prior precision is the geometric mean δ.
func (l *Posterior) tuneGroups(ctx context.Context, kind Groups) (*Posterior, error) {
	const (
		steps     = 100
		tolerance = 1e-5 // of log δ
	)
	g, err := l.grouping(kind)
	if err != nil {
		return nil, err
	}
	theta, err := l.theta(l.atInitial)
	if err != nil {
		return nil, err
	}
	norm2 := make([]float64, len(g.names))
	for p, v := range theta {
		norm2[g.of[p]] += v * v
	}
	gammas, err := groupGammas(l.h, g)
	if err != nil {
		return nil, err
	}
	delta := make([]float64, len(g.names))
	for i := range delta {
		delta[i] = l.PriorPrecision
	}
	next := func(delta []float64) ([]float64, error) {
		gamma, err := gammas(delta)
		if err != nil {
			return nil, err
		}
		for i, n := range norm2 {
			gamma[i] = min(max(gamma[i]/n, minDelta), maxDelta)
		}
		return gamma, nil
	}
	for k := range steps {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("stopped at step %d of at most %d: %w", k, steps, err)
		}
		first, err := next(delta)
		if err != nil {
			return nil, err
		}
		second, err := next(first)
		if err != nil {
			return nil, err
		}
		var moved float64
		for i := range delta {
			a, b, c := math.Log(delta[i]), math.Log(first[i]), math.Log(second[i])
			moved = max(moved, math.Abs(b-a))
			delta[i] = math.Exp(extrapolate(a, b, c))
		}
		progress.Report(ctx, progress.Event{Task: "tune prior precisions", Done: k + 1, Total: steps, Note: fmt.Sprintf("change %.1g", moved)})
		if moved < tolerance {
			break
		}
	}
	t := *l
	t.kind = kind
	if err := t.regroup(g, delta); err != nil {
		return nil, err
	}
	if t.h, err = scaled(l.h, t.scale); err != nil {
		return nil, err
	}
	t.ThetaNorm2 = 0
	for p, v := range theta {
		t.ThetaNorm2 += v * v / (float64(t.scale[p]) * float64(t.scale[p]))
	}
	return &t, t.set(t.PriorPrecision)
}

// extrapolate is where a sequence that converges geometrically will end, from three members of it (Aitken's Δ²), at most a factor
// of e² from the last.
func extrapolate(a, b, c float64) float64 {
	if d := (c - b) - (b - a); d != 0 {
		if x := c - (c-b)*(c-b)/d; math.Abs(x-c) <= 2 {
			return min(max(x, math.Log(minDelta)), math.Log(maxDelta))
		}
	}
	return c
}

// regroup sets the prior precisions of the groups and the scale of the weights, √(δ/δ_g).
func (l *Posterior) regroup(g grouping, delta []float64) error {
	if len(delta) != len(g.names) {
		return fmt.Errorf("%d prior precisions for %d groups", len(delta), len(g.names))
	}
	var mean float64
	for _, i := range g.of {
		mean += math.Log(delta[i]) / float64(len(g.of))
	}
	l.PriorPrecision, l.Groups = math.Exp(mean), nil
	for i, n := range g.names {
		l.Groups = append(l.Groups, Group{n, delta[i]})
	}
	l.scale = make([]float32, len(g.of))
	for p, i := range g.of {
		l.scale[p] = float32(math.Sqrt(l.PriorPrecision / delta[i]))
	}
	return nil
}

// scaled is the curvature in weights that are divided by scale [P].
func scaled(h structure, scale []float32) (structure, error) {
	switch h := h.(type) {
	case *dual:
		d := make([]float32, len(h.d))
		for i, v := range h.d {
			d[i] = v * scale[i%len(scale)]
		}
		return newDual(d, h.sw), nil
	case *spectral:
		if err := h.separable(); err != nil {
			return nil, err
		}
		out := &spectral{basis: h.basis, values: make([]float64, len(h.values))}
		for p, v := range h.values {
			out.values[p] = v * float64(scale[p]) * float64(scale[p])
		}
		return out, nil
	}
	panic("laplace: unknown structure")
}

// separable says whether the eigenvectors stay within the weight matrices.
func (h *spectral) separable() error {
	if h.partial {
		return errors.New("this curvature knows some directions only, and they mix the groups; use kron or exact")
	}
	if _, ok := h.basis.(dense); ok {
		return errors.New("curvature full mixes the weights of all groups; exact is the same posterior and takes groups")
	}
	return nil
}

// groupGammas returns the effective number of parameters of each group as a function of the groups' prior precisions.
func groupGammas(h structure, g grouping) (func(delta []float64) ([]float64, error), error) {
	switch h := h.(type) {
	case *spectral:
		return func(delta []float64) ([]float64, error) {
			gamma := make([]float64, len(delta))
			for p, v := range h.values {
				gamma[g.of[p]] += v / (v + delta[g.of[p]])
			}
			return gamma, nil
		}, h.separable()
	case *dual: // tr M⁻¹K_g/δ_g with M = I + Σ K_g/δ_g
		N, P := len(h.sw), len(g.of)
		kernels := make([]*mat.SymDense, len(g.names))
		for i := range kernels {
			var part []float32
			for n := range N {
				for p, v := range h.d[n*P : (n+1)*P] {
					if g.of[p] == i {
						part = append(part, v)
					}
				}
			}
			kernels[i] = gram(part, h.sw)
		}
		return func(delta []float64) ([]float64, error) {
			sum := mat.NewSymDense(N, nil)
			var k mat.SymDense
			for i, d := range delta {
				k.ScaleSym(1/d, kernels[i])
				sum.AddSym(sum, &k)
			}
			L, err := factor(sum, 1)
			if err != nil {
				return nil, err
			}
			inv := inverse(L)
			linalg.SolveLower(L, inv, true)
			gamma := make([]float64, len(delta))
			for i, d := range delta {
				for r := range N {
					for c := range N {
						gamma[i] += inv.At(r, c) * kernels[i].At(r, c) / d
					}
				}
			}
			return gamma, nil
		}, nil
	}
	panic("laplace: unknown structure")
}
