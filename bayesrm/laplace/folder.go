package laplace

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"gobayes/bayesrm/internal/sealed"
	"gobayes/bayesrm/llm"
	"gobayes/bayesrm/reward"
	"gobayes/bayesrm/safetensors"
)

// folderVersion is raised when the meaning of posterior.json or of its tensors changes.
const folderVersion = 1

const (
	folderName  = "posterior.json"
	tensorsName = "posterior.safetensors"
)

// folder is posterior.json. The tensors beside it are D for the dual form, the eigenvectors for the others.
type folder struct {
	Curvature      string    `json:"curvature"`
	PriorPrecision float64   `json:"prior_precision"`
	Pairs          int       `json:"pairs"`
	Weights        int       `json:"weights"`
	LogLikelihood  float64   `json:"log_likelihood"`
	ThetaNorm2     float64   `json:"theta_norm_squared"`
	Informative    float64   `json:"informative"`
	NullEvidence   float64   `json:"null_evidence"`
	Temperature    float64   `json:"temperature,omitempty"` // 0 is 1
	AtInitial      bool      `json:"prior_at_initial,omitempty"`
	Head           bool      `json:"head,omitempty"`
	Indices        []int     `json:"indices,omitempty"`
	Groups         Groups    `json:"groups,omitempty"`
	Precisions     []float64 `json:"prior_precisions,omitempty"` // of the groups; the tensors are over the scaled weights
	SqrtWeights    []float64 `json:"sqrt_weights,omitempty"`     // √(p(1−p)) of the pairs
	Values         []float64 `json:"values,omitempty"`           // eigenvalues
}

// Save writes the posterior and its model to one folder, which reward.Load opens too.
func (l *Posterior) Save(ctx context.Context, dir string) error {
	if err := l.Model.Save(ctx, dir); err != nil {
		return fmt.Errorf("laplace: save: %w", err)
	}
	f := folder{Curvature: l.Curvature.String(), PriorPrecision: l.PriorPrecision, Pairs: l.Pairs, Weights: l.Weights,
		LogLikelihood: l.LogLikelihood, ThetaNorm2: l.ThetaNorm2, Informative: l.Informative, NullEvidence: l.NullEvidence, Temperature: l.Temperature, AtInitial: l.atInitial}
	if l.subset != nil {
		f.Head, f.Indices = l.subset.head, l.subset.indices
	}
	f.Groups = l.kind
	for _, g := range l.Groups {
		f.Precisions = append(f.Precisions, g.PriorPrecision)
	}
	ts := map[string]safetensors.Tensor{}
	add := func(name string, rows int, data []float32) {
		ts[name] = safetensors.Tensor{Shape: []int{rows, len(data) / rows}, Data: data}
	}
	switch h := l.h.(type) {
	case *dual:
		f.SqrtWeights = h.sw
		add("d", l.Pairs, h.d)
	case *spectral:
		f.Values = h.values
		switch b := h.basis.(type) {
		case dense:
			add("u", l.Weights, b.u)
		case blocks:
			for i, b := range b {
				add(fmt.Sprintf("%d.rows", i), b.m, b.rows)
				add(fmt.Sprintf("%d.cols", i), b.k, b.cols)
			}
		}
	}
	if err := safetensors.Write(filepath.Join(dir, tensorsName), ts, nil); err != nil {
		return fmt.Errorf("laplace: save: %w", err)
	}
	if err := sealed.WriteJSON(filepath.Join(dir, folderName), folderVersion, f); err != nil {
		return fmt.Errorf("laplace: save: %w", err)
	}
	return nil
}

// Load reads a folder that Save wrote. With a nil base the base model is loaded from where the folder says.
func Load(ctx context.Context, dir string, base *llm.Model) (*Posterior, error) {
	m, err := reward.Load(ctx, dir, base)
	if err != nil {
		return nil, fmt.Errorf("laplace: load: %w", err)
	}
	name := filepath.Join(dir, folderName)
	var f folder
	err = sealed.ReadJSON(name, folderVersion, &f)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("laplace: load: %w; the folder holds a reward model without a posterior: fit one", err)
	}
	if err != nil {
		return nil, fmt.Errorf("laplace: load: %w", err)
	}
	ts, err := safetensors.Read(filepath.Join(dir, tensorsName))
	if err != nil {
		return nil, fmt.Errorf("laplace: load: %w", err)
	}
	l, err := f.posterior(m, ts)
	if err != nil {
		return nil, fmt.Errorf("laplace: load %s: %w", name, err)
	}
	return l, nil
}

func (f *folder) posterior(m *reward.Model, ts map[string]safetensors.Tensor) (*Posterior, error) {
	c := slices.Index(curvatureNames, f.Curvature)
	if c <= int(Auto) {
		return nil, fmt.Errorf("curvature %q, want one of %v", f.Curvature, curvatureNames[1:])
	}
	l := &Posterior{Model: m, Curvature: Curvature(c), Pairs: f.Pairs, LogLikelihood: f.LogLikelihood, ThetaNorm2: f.ThetaNorm2,
		Informative: f.Informative, NullEvidence: f.NullEvidence, Temperature: f.Temperature, atInitial: f.AtInitial}
	if l.Temperature == 0 {
		l.Temperature = 1
	}
	switch {
	case f.Head:
		l.subset = LastLayer()
	case f.Indices != nil:
		l.subset = Subnetwork(f.Indices)
	}
	theta, err := l.theta(false)
	if err != nil {
		return nil, err
	}
	if l.Weights = len(theta); l.Weights != f.Weights || f.Pairs <= 0 || !(f.PriorPrecision > 0) {
		return nil, fmt.Errorf("%d weights, %d pairs, prior precision %g: want %d weights, and positive numbers", f.Weights, f.Pairs, f.PriorPrecision, l.Weights)
	}
	if f.Groups != OneGroup {
		l.kind = f.Groups
		g, err := l.grouping(f.Groups)
		if err != nil {
			return nil, err
		}
		if err := l.regroup(g, f.Precisions); err != nil {
			return nil, err
		}
	}
	get := func(name string, n int) ([]float32, error) {
		if t := ts[name]; len(t.Data) == n {
			return t.Data, nil
		}
		return nil, fmt.Errorf("tensor %s of %s has %d numbers, want %d", name, tensorsName, len(ts[name].Data), n)
	}
	if l.Curvature == Exact || l.Curvature == EmpiricalFisher {
		if len(f.SqrtWeights) != l.Pairs {
			return nil, fmt.Errorf("%d weights of pairs, want %d", len(f.SqrtWeights), l.Pairs)
		}
		d, err := get("d", l.Pairs*l.Weights)
		if err != nil {
			return nil, err
		}
		l.h = newDual(d, f.SqrtWeights)
		return l, l.set(f.PriorPrecision)
	}
	h := &spectral{values: f.Values, basis: standard{}, partial: len(f.Values) < l.Weights}
	if some := l.Curvature == Nystrom || l.Curvature == KronLowRank; len(h.values) == 0 || len(h.values) > l.Weights || h.partial && !some {
		return nil, fmt.Errorf("%d eigenvalues for %d weights", len(h.values), l.Weights)
	}
	switch l.Curvature {
	case Full, Nystrom:
		u, err := get("u", l.Weights*len(h.values))
		if err != nil {
			return nil, err
		}
		h.basis = dense{u}
	case EKFAC, Kron, KronReduce, KronLaplaceLoRA, KronLowRank:
		if l.subset != nil {
			return nil, errors.New("Kronecker factors of a part of the weights")
		}
		var bs blocks
		for i, shape := range matrices(m.Base) {
			b := block{m: shape[0], k: shape[1]}
			for name, side := range map[string]struct {
				n  int
				to *[]float32
			}{"rows": {b.m, &b.rows}, "cols": {b.k, &b.cols}} {
				name = fmt.Sprintf("%d.%s", i, name)
				kept := side.n
				if t := ts[name]; h.partial && len(t.Shape) == 2 {
					kept = min(side.n, t.Shape[1])
				}
				if *side.to, err = get(name, side.n*kept); err != nil {
					return nil, err
				}
			}
			bs = append(bs, b)
		}
		if bs.known() != len(h.values) {
			return nil, fmt.Errorf("%d eigenvalues for %d eigenvectors", len(h.values), bs.known())
		}
		h.basis = bs
	}
	l.h = h
	return l, l.set(f.PriorPrecision)
}
