package laplace

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sort"
	"strings"

	"gobayes/bayesrm"
	"gobayes/bayesrm/linalg"
	"gobayes/bayesrm/metrics"
	"gobayes/bayesrm/nn"
	"gobayes/bayesrm/prefs"

	"gonum.org/v1/gonum/integrate/quad"
	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// PairBelief is what the posterior believes of the difference r(chosen) − r(rejected).
type PairBelief struct {
	Mean, Var float64
}

// MAP is the probability that chosen wins at the trained weights.
func (b PairBelief) MAP() float64 { return nn.Sigmoid(b.Mean) }

// Probit approximates the probability that chosen wins, averaged over the posterior: σ(μ/√(1 + πΛ/8)).
func (b PairBelief) Probit() float64 { return nn.Sigmoid(b.Mean / math.Sqrt(1+math.Pi/8*b.Var)) }

// Probability is the probability that chosen wins, averaged over the posterior: E σ(Δ) by Gauss-Legendre quadrature, to 1e-12.
// A narrow Gaussian is integrated against the smooth σ, a wide one against the density of the logistic distribution, of which
// σ is the cumulative: P(Δ > L) for logistic L.
func (b PairBelief) Probability() float64 {
	const points = 200
	if b.Var == 0 {
		return b.MAP()
	}
	sd := math.Sqrt(b.Var)
	if sd < 1 {
		return quad.Fixed(func(z float64) float64 {
			return nn.Sigmoid(b.Mean+sd*z) * distuv.UnitNormal.Prob(z)
		}, -8.5, 8.5, points, quad.Legendre{}, 0)
	}
	return quad.Fixed(func(l float64) float64 {
		return nn.Sigmoid(l) * nn.Sigmoid(-l) * distuv.UnitNormal.CDF((b.Mean-l)/sd)
	}, -36, 36, points, quad.Legendre{}, 0)
}

// ScorePairs returns the beliefs about preference pairs, in their order. The variance is that of the difference: what both
// answers share is gone from it.
func (l *Posterior) ScorePairs(ctx context.Context, pairs *prefs.Pairs) ([]PairBelief, error) {
	seqs, err := l.Model.EncodePairs(pairs)
	if err != nil {
		return nil, fmt.Errorf("laplace: score pairs: %w", err)
	}
	out := make([]PairBelief, 0, pairs.Len())
	err = l.pairGradients(ctx, "score pairs", seqs, 0, func(diff []float64, d []float32) error {
		for i, v := range l.post.variances(d, len(diff)) {
			out = append(out, PairBelief{diff[i], v})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("laplace: score pairs: %w", err)
	}
	return out, nil
}

// ProbBest returns the probability of each of n rewards to be the largest, with means [n] and a covariance matrix [n, n],
// by so many draws from the joint Gaussian. It is an error if the covariance is not a covariance.
func ProbBest(mean []float64, cov *mat.SymDense, draws int, seed uint64) ([]float64, error) {
	n := len(mean)
	if cov.SymmetricDim() != n || draws < 1 {
		return nil, fmt.Errorf("laplace: best: %d means, a covariance of side %d and %d draws: sides must agree and draws be positive", n, cov.SymmetricDim(), draws)
	}
	values, u, err := linalg.EigenSym(cov)
	if err != nil {
		return nil, fmt.Errorf("laplace: best: %w", err)
	}
	if values[0] < -1e-4*math.Abs(values[n-1]) {
		return nil, fmt.Errorf("laplace: best: the covariance has the eigenvalue %g: it must not be negative", values[0])
	}
	root := mat.DenseCopyOf(u)
	for j, v := range values {
		s := math.Sqrt(max(0, v))
		for i := range n {
			root.Set(i, j, root.At(i, j)*s)
		}
	}
	rng := rand.New(rand.NewPCG(seed, 0x62657374))
	p := make([]float64, n)
	const block = 256
	for done := 0; done < draws; done += block {
		m := min(block, draws-done)
		z := mat.NewDense(m, n, nil)
		for i := range z.RawMatrix().Data {
			z.RawMatrix().Data[i] = rng.NormFloat64()
		}
		x := linalg.Mul(z, root, false, true)
		for i := range m {
			best := 0
			for j, v := range x.RawRowView(i) {
				if mean[j]+v > mean[best]+x.At(i, best) {
					best = j
				}
			}
			p[best] += 1 / float64(draws)
		}
	}
	return p, nil
}

// Agreement is how the variances of an approximation compare with the exact ones, over the answers of a pool.
type Agreement struct {
	Curvature
	Correlation float64 // of the variances
	Spearman    float64 // of their ranks
	Ratio       float64 // median of approximate / exact
	// Relative are the same three for the variances relative to the prompt's pool.
	RelCorrelation, RelSpearman, RelRatio float64
}

// Comparison lists approximations beside the exact posterior.
type Comparison []Agreement

// String is a table.
func (c Comparison) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-18s %11s %9s %9s | relative %11s %9s %9s", "curvature", "correlation", "Spearman", "ratio", "correlation", "Spearman", "ratio")
	for _, a := range c {
		fmt.Fprintf(&b, "\n%-18s %11.3f %9.3f %9.3f | %20.3f %9.3f %9.3f", a.Curvature, a.Correlation, a.Spearman, a.Ratio, a.RelCorrelation, a.RelSpearman, a.RelRatio)
	}
	return b.String()
}

// Compare scores a pool with the exact posterior and with others of the same model, each at its own prior precision.
func Compare(ctx context.Context, exact *Posterior, others []*Posterior, pool *bayesrm.Pool) (Comparison, error) {
	if exact.Curvature != Exact && exact.Curvature != Full {
		return nil, fmt.Errorf("laplace: compare: the first posterior is %s; fit one with laplace.Exact", exact.Curvature)
	}
	truth, err := exact.ScorePool(ctx, pool, nil)
	if err != nil {
		return nil, fmt.Errorf("laplace: compare: %w", err)
	}
	single := func(b bayesrm.Belief) float64 { return b.Var }
	relative := func(b bayesrm.Belief) float64 { return b.RelVar }
	var out Comparison
	for _, o := range others {
		bs, err := o.ScorePool(ctx, pool, nil)
		if err != nil {
			return nil, fmt.Errorf("laplace: compare: %s: %w", o.Curvature, err)
		}
		a := Agreement{Curvature: o.Curvature}
		a.Correlation, a.Spearman, a.Ratio = agree(truth, bs, single)
		a.RelCorrelation, a.RelSpearman, a.RelRatio = agree(truth, bs, relative)
		out = append(out, a)
	}
	return out, nil
}

func agree(truth, other []bayesrm.Belief, of func(bayesrm.Belief) float64) (correlation, spearman, ratio float64) {
	x, y, r := make([]float64, len(truth)), make([]float64, len(truth)), make([]float64, 0, len(truth))
	for i := range truth {
		x[i], y[i] = of(truth[i]), of(other[i])
		if x[i] > 0 {
			r = append(r, y[i]/x[i])
		}
	}
	ratio = math.NaN()
	if len(r) > 0 {
		sort.Float64s(r)
		ratio = stat.Quantile(0.5, stat.Empirical, r, nil)
	}
	return stat.Correlation(x, y, nil), metrics.Spearman(x, y), ratio
}
