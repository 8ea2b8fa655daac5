// Package laplace fits a Gaussian posterior over the LoRA weights of a reward model (paper eqs. 6–17).
//
// With d_n the gradient of r(chosen) − r(rejected) of pair n, p_n = σ of that difference, D [N, P] the rows d_n and
// W = diag(p(1−p)), the posterior precision is H + δI with the Gauss-Newton matrix H = DᵀWD. Exact uses all of it, of any
// number of weights, by way of the pairs: with M = I + W^½DDᵀW^½/δ = LLᵀ [N, N],
//
//	Λ(j) = (‖j‖² − ‖L⁻¹W^½Dj‖²/δ)/δ,   log det = P·log δ + log det M.
//
// A model that was trained with label noise keeps its likelihood: W is then the Fisher information of the noisy label.
//
// Every other curvature is an approximation of H whose eigenvectors are known; Compare holds it against the exact one.
package laplace

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gobayes/bayesrm/linalg"
	"gobayes/bayesrm/llm"
	"gobayes/bayesrm/nn"
	"gobayes/bayesrm/prefs"
	"gobayes/bayesrm/progress"
	"gobayes/bayesrm/reward"
	"gobayes/bayesrm/tensor"
)

// Curvature is the structure of the posterior's precision.
type Curvature int

// The curvatures (METHODS §4.2, 4.4). Auto is the exact matrix by the shorter way: Full if there are fewer weights than pairs and
// at most 8,192, Exact for up to 4,000 pairs; and EKFAC beyond.
const (
	Auto            Curvature = iota
	Exact                     // the true Gauss-Newton matrix, by way of the pairs: memory 4·N·P bytes
	Full                      // the same matrix, by way of the weights: for few weights
	EKFAC                     // the eigenvectors of Kron with the exact second moments of the pairs' gradients in them
	Kron                      // Kronecker factors of each LoRA matrix, a row per token ("expand"; inputs averaged over tokens)
	KronReduce                // the same, a row per text: summed gradients, averaged inputs
	KronLaplaceLoRA           // Kron with inputs averaged over pairs instead of tokens, as laplace-lora scales them
	Diag                      // the diagonal
	KronLowRank               // Kron with each side kept to Options.Rank (METHODS §4.5): memory d·Rank instead of d² for a side of length d
	Nystrom                   // H among the gradients of Options.Inducing pairs, 0 elsewhere: the cheap cousin of Exact (Deng et al. 2022, accelerated linearised Laplace)
	EmpiricalFisher           // Exact with the slopes of the likelihood squared, (1−p)² instead of p(1−p): to show why not (Kunstner et al. 2019)
)

var curvatureNames = []string{"auto", "exact", "full", "ekfac", "kron", "kron-reduce", "kron-laplace-lora", "diag", "kron-low-rank", "nystrom", "empirical-fisher"}

// String is the curvature's name.
func (c Curvature) String() string {
	if c < 0 || int(c) >= len(curvatureNames) {
		return fmt.Sprintf("Curvature(%d)", int(c))
	}
	return curvatureNames[c]
}

// Subset is a part of the weights that the posterior is over; the others count as known.
type Subset struct {
	head    bool
	indices []int
}

// LastLayer is the weights of the reward head.
func LastLayer() *Subset { return &Subset{head: true} }

// Subnetwork is the LoRA weights with these indices, in the order of reward.Model.Theta.
func Subnetwork(indices []int) *Subset { return &Subset{indices: slices.Clone(indices)} }

// Options configure Fit. A nil *Options, and every zero field, mean the default.
type Options struct {
	// PriorPrecision δ of the Gaussian prior on the weights, in 1/weight². Default 1. Higher is more certain.
	PriorPrecision float64
	// PriorAtInitial puts the prior's mean at the weights before training instead of 0. Only the evidence sees it: A starts
	// at random with a norm that says nothing about the data (METHODS §4.6).
	PriorAtInitial bool
	// Curvature of the posterior. Default Auto.
	Curvature Curvature
	// Weights that the posterior is over. Default all LoRA weights.
	Weights *Subset
	// Temperature T of the posterior: the likelihood counts to the power 1/T. Default 1. Below 1 the posterior is colder, more certain
	// than the pairs make it.
	Temperature float64
	// Rank to which KronLowRank keeps the sides of its factors. Default 10.
	Rank int
	// Inducing pairs of Nystrom, evenly spaced among all. Default 256.
	Inducing int
	// Checkpoint is a file from which a fit that was stopped or killed goes on, to the same bits; it is written about every Every pairs (default
	// 500) and removed at the end.
	Checkpoint string
	Every      int
}

// Posterior is a reward model with a Gaussian over its weights.
type Posterior struct {
	Model          *reward.Model
	Curvature      Curvature
	PriorPrecision float64 // δ
	Pairs          int     // N
	Weights        int     // P
	Temperature    float64 // of the likelihood; LogLikelihood, the evidences and the curvature are divided by it
	LogLikelihood  float64 // Σ log p_n at the trained weights
	ThetaNorm2     float64 // ‖θ − μ‖², from the prior's mean μ
	Informative    float64 // Σ p_n(1−p_n): how many pairs still carry curvature, times ¼ at most
	LogEvidence    float64 // Laplace's approximation at δ (METHODS §4.6)
	NullEvidence   float64 // log evidence of a model that knows nothing: −N log 2
	Gamma          float64 // effective number of parameters, Σ λ/(λ+δ)

	// Groups of weights with prior precisions of their own, nil for one; PriorPrecision is then their geometric mean over weights.
	Groups []Group

	subset    *Subset
	atInitial bool
	kind      Groups
	scale     []float32 // [P]: h and post are over the weights divided by it; nil is 1
	h         structure
	post      gaussian
}

// ErrSeparable is the error of pairs that the model separates so well that no curvature is left.
var ErrSeparable = errors.New("no pair carries curvature")

// The sizes up to which a curvature is offered.
const (
	maxExactPairs  = 4000
	maxFullWeights = 8192
)

// Fit computes the posterior of a trained model on the pairs that it was trained on.
func Fit(ctx context.Context, m *reward.Model, pairs *prefs.Pairs, opts *Options) (*Posterior, error) {
	seqs, err := m.EncodePairs(pairs)
	if err != nil {
		return nil, fmt.Errorf("laplace: fit: %w", err)
	}
	l, err := fit(ctx, m, seqs, opts)
	if err != nil {
		return nil, fmt.Errorf("laplace: fit: %w", err)
	}
	return l, nil
}

// fit is Fit on token sequences, chosen and rejected in turn.
func fit(ctx context.Context, m *reward.Model, seqs [][]int, opts *Options) (*Posterior, error) {
	o := Options{}
	if opts != nil {
		o = *opts
	}
	if o.PriorPrecision == 0 {
		o.PriorPrecision = 1
	}
	if o.Temperature == 0 {
		o.Temperature = 1
	}
	if o.Rank == 0 {
		o.Rank = 10
	}
	if o.Inducing == 0 {
		o.Inducing = 256
	}
	if !(o.Temperature > 0) || o.Rank < 0 || o.Inducing < 0 {
		return nil, fmt.Errorf("temperature %v, rank %d, inducing pairs %d: must be positive", o.Temperature, o.Rank, o.Inducing)
	}
	if !(o.PriorPrecision > 0) {
		return nil, fmt.Errorf("prior precision %v: must be positive", o.PriorPrecision)
	}
	if len(seqs) == 0 {
		return nil, errors.New("no pairs")
	}
	l := &Posterior{Model: m, Curvature: o.Curvature, Pairs: len(seqs) / 2, Temperature: o.Temperature, subset: o.Weights, atInitial: o.PriorAtInitial}
	theta, err := l.theta(o.PriorAtInitial)
	if err != nil {
		return nil, err
	}
	if l.Weights = len(theta); l.Weights == 0 {
		return nil, errors.New("the model has no LoRA weights: all of its weights were trained; give Weights: laplace.LastLayer()")
	}
	for _, v := range theta {
		l.ThetaNorm2 += v * v
	}
	if l.Curvature == Auto {
		switch {
		case l.Weights < l.Pairs && l.Weights <= maxFullWeights:
			l.Curvature = Full
		case l.Pairs <= maxExactPairs || l.subset != nil:
			l.Curvature = Exact
		default:
			l.Curvature = EKFAC
		}
	}
	if l.h, err = l.curvature(ctx, seqs, &o); err != nil {
		return nil, err
	}
	l.NullEvidence = -float64(l.Pairs) * math.Ln2 / l.Temperature
	return l, l.set(o.PriorPrecision)
}

// theta is the part of the weights that the posterior is over, from the prior's mean.
func (l *Posterior) theta(fromInitial bool) ([]float64, error) {
	theta := l.Model.Theta()
	if l.subset != nil && l.subset.head {
		if fromInitial {
			return nil, errors.New("a prior at the initial weights is for LoRA weights, not for the head")
		}
		theta = nil
		for _, v := range l.Model.Head {
			theta = append(theta, float64(v))
		}
		return theta, nil
	}
	if fromInitial {
		initial, err := l.Model.Initial()
		if err != nil {
			return nil, err
		}
		for i, v := range initial {
			theta[i] -= v
		}
	}
	if l.subset == nil {
		return theta, nil
	}
	seen := map[int]bool{}
	part := make([]float64, len(l.subset.indices))
	for k, i := range l.subset.indices {
		if i < 0 || i >= len(theta) || seen[i] {
			return nil, fmt.Errorf("weight %d of the subnetwork: indices must be distinct and below %d", i, len(theta))
		}
		part[k], seen[i] = theta[i], true
	}
	return part, nil
}

// jacobians returns rewards and their gradients with respect to the posterior's weights [B, P].
func (l *Posterior) jacobians(ctx context.Context, acts *llm.Acts, seqs [][]int) (r []float64, J []float32, err error) {
	if l.subset != nil && l.subset.head {
		return l.Model.Features(ctx, acts, seqs)
	}
	r, all, err := l.Model.Jacobians(ctx, acts, seqs)
	if err != nil {
		return nil, nil, err
	}
	if l.subset != nil {
		n := l.Model.NumWeights()
		for b := range seqs {
			for _, i := range l.subset.indices {
				J = append(J, all[b*n+i])
			}
		}
		return r, J, nil
	}
	if l.scale != nil {
		for i := range all {
			all[i] *= l.scale[i%len(l.scale)]
		}
	}
	return r, all, nil
}

// curvature passes over the pairs and returns H, after which the likelihood is known too.
func (l *Posterior) curvature(ctx context.Context, seqs [][]int, o *Options) (structure, error) {
	defer tighten()()
	acc, err := l.newAccumulator(ctx, seqs, o)
	if err != nil {
		return nil, err
	}
	c, err := l.resume(seqs, o, acc)
	if err != nil {
		return nil, err
	}
	pass := l.pairGradients
	if acc.done() {
		pass = l.pairRewards
	}
	err = pass(ctx, "fit Laplace", seqs, c.done, func(diff []float64, d []float32) error {
		weights := make([]float64, len(diff))
		for i, f := range diff {
			ll, slope := nn.LogLikelihood(f, l.Model.Options.LabelNoise)
			weights[i] = nn.Information(f, l.Model.Options.LabelNoise)
			l.Informative += weights[i]
			l.LogLikelihood += ll / l.Temperature
			if l.Curvature == EmpiricalFisher {
				weights[i] = slope * slope
			}
			weights[i] /= l.Temperature
		}
		acc.add(d, weights)
		return c.passed(l, acc, len(diff))
	})
	if err != nil {
		return nil, err
	}
	if err := c.remove(); err != nil {
		return nil, err
	}
	if l.Informative < 1e-9*float64(l.Pairs) {
		return nil, fmt.Errorf("Σ p(1−p) = %.3g over %d pairs: %w; train for fewer epochs or with weight decay", l.Informative, l.Pairs, ErrSeparable)
	}
	return acc.structure()
}

// gradientTokens is how many tokens are packed into a batch whose activations are kept for the backward pass.
const gradientTokens = 1024

// enough says whether so many gradients of P weights are enough to be worked on together: what they are multiplied with is read once
// for all of them, and they take 64 MiB at most, or one batch.
func enough(n, P int) bool { return n >= 128 || n*P >= 1<<24 }

// pairGradients calls f with the reward differences of some pairs [n] and their gradients [n, P], until all had their turn. The first pairs, as
// many as earlier calls of f had, are left out.
func (l *Posterior) pairGradients(ctx context.Context, task string, seqs [][]int, first int, f func(diff []float64, d []float32) error) error {
	var acts llm.Acts
	var diff []float64
	var d []float32
	err := llm.Batches(ctx, task, pairwise(seqs), gradientTokens, false, func(from, to int) error {
		if to <= first {
			return nil
		}
		r, J, err := l.jacobians(ctx, &acts, seqs[2*from:2*to])
		if err != nil {
			return err
		}
		more, err := differences(r, from)
		if err != nil {
			return err
		}
		P := l.Weights
		for i := range more {
			d = append(d, J[2*i*P:(2*i+1)*P]...)
			tensor.Axpy(d[len(d)-P:], -1, J[(2*i+1)*P:(2*i+2)*P])
		}
		if diff = append(diff, more...); !enough(len(diff), P) {
			return nil
		}
		err = f(diff, d)
		diff, d = nil, nil
		return err
	})
	if err != nil || len(diff) == 0 {
		return err
	}
	return f(diff, d)
}

// pairRewards is pairGradients without gradients: d is nil.
func (l *Posterior) pairRewards(ctx context.Context, task string, seqs [][]int, first int, f func(diff []float64, d []float32) error) error {
	return llm.Batches(ctx, task, pairwise(seqs), llm.MaxTokens, false, func(from, to int) error {
		if to <= first {
			return nil
		}
		r, err := l.Model.Rewards(progress.Silent(ctx), seqs[2*from:2*to])
		if err != nil {
			return err
		}
		diff, err := differences(r, from)
		if err != nil {
			return err
		}
		return f(diff, nil)
	})
}

// differences are those of the rewards of pairs, chosen and rejected in turn; the first pair has the given number.
func differences(r []float64, first int) ([]float64, error) {
	diff := make([]float64, len(r)/2)
	for i := range diff {
		diff[i] = r[2*i] - r[2*i+1]
		if math.IsNaN(diff[i]) || math.IsInf(diff[i], 0) {
			return nil, fmt.Errorf("pair %d: the rewards are %v and %v; the training diverged", first+i, r[2*i], r[2*i+1])
		}
	}
	return diff, nil
}

// evidence is log p(pairs|θ) − ½[log det(H + δI) − P log δ + δ‖θ − μ‖²].
func (l *Posterior) evidence(delta float64) (float64, error) {
	g, err := l.h.at(delta)
	if err != nil {
		return 0, err
	}
	return l.evidenceOf(g, delta), nil
}

func (l *Posterior) evidenceOf(g gaussian, delta float64) float64 {
	return l.LogLikelihood - 0.5*(g.logDet()+delta*l.ThetaNorm2)
}

// set makes δ the prior precision.
func (l *Posterior) set(delta float64) (err error) {
	if l.post, err = l.h.at(delta); err != nil {
		return err
	}
	l.PriorPrecision, l.LogEvidence, l.Gamma = delta, l.evidenceOf(l.post, delta), l.post.gamma()
	return nil
}

// String is δ, the evidence beside that of knowing nothing, and how much the data says.
func (l *Posterior) String() string {
	what := "LoRA weights"
	if l.subset != nil && l.subset.head {
		what = "weights of the head"
	}
	groups := ""
	for i, g := range l.Groups {
		if i == 3 && len(l.Groups) > 4 {
			groups += fmt.Sprintf(", and %d more", len(l.Groups)-i)
			break
		}
		groups += fmt.Sprintf(", %s %.4g", g.Name, g.PriorPrecision)
	}
	if groups != "" {
		groups = " (" + groups[2:] + ")"
	}
	return fmt.Sprintf("Laplace posterior (%s): %d %s, %d pairs, δ %.4g%s, log evidence %.1f (knowing nothing: %.1f), γ %.1f, Σp(1−p) %.1f",
		l.Curvature, l.Weights, what, l.Pairs, l.PriorPrecision, groups, l.LogEvidence, l.NullEvidence, l.Gamma, l.Informative)
}

// Sample draws a vector of the posterior's weights, as a difference from the trained ones [P].
func (l *Posterior) Sample(rng *rand.Rand) []float64 {
	x := l.post.sample(rng)
	for i, s := range l.scale {
		x[i] *= float64(s)
	}
	return x
}

// Spectrum returns the eigenvalues of the curvature H, largest first; those beyond the number of pairs are zero and left out when the
// exact matrix was taken by way of the pairs. Σ λ/(λ + δ) over them is Gamma, where there is one δ for all weights.
func (l *Posterior) Spectrum() ([]float64, error) {
	var values []float64
	switch h := l.h.(type) {
	case *dual:
		v, _, err := linalg.EigenSym(h.kernel)
		if err != nil {
			return nil, fmt.Errorf("laplace: spectrum: %w", err)
		}
		values = v
	case *spectral:
		values = slices.Clone(h.values)
	}
	slices.Sort(values)
	slices.Reverse(values)
	return values, nil
}
