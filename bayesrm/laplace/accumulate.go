package laplace

import (
	"context"
	"errors"
	"fmt"
	"math"

	"gobayes/bayesrm/linalg"
	"gobayes/bayesrm/llm"
	"gobayes/bayesrm/tensor"

	"gonum.org/v1/gonum/mat"
)

// accumulator gathers a curvature in one pass over the pairs.
type accumulator interface {
	// done says that add needs no gradients: it gets none then.
	done() bool
	// add takes the gradients d [n, P] of pairs and the weights of their likelihoods [n]: p(1−p), or what stands for it. d may be
	// overwritten afterwards.
	add(d []float32, weights []float64)
	structure() (structure, error)
	// state is what it has gathered, as pointers to be saved and read again.
	state() (rows *[]float32, sums *[]float64)
}

// newAccumulator makes the accumulator of l's curvature; some need a pass of their own before.
func (l *Posterior) newAccumulator(ctx context.Context, seqs [][]int, o *Options) (accumulator, error) {
	P := l.Weights
	switch l.Curvature {
	case EKFAC, Kron, KronReduce, KronLaplaceLoRA, KronLowRank:
		if l.subset != nil {
			return nil, fmt.Errorf("curvature %s needs whole weight matrices; use exact, full or diag for a part of the weights", l.Curvature)
		}
		rank := 0
		if l.Curvature == KronLowRank {
			rank = o.Rank
		}
		fs, err := kronFactors(ctx, l.Model, seqs, l.Curvature, rank, l.Temperature)
		if err != nil {
			return nil, err
		}
		h, err := kronecker(fs)
		if err != nil {
			return nil, err
		}
		if l.Curvature == EKFAC {
			clear(h.values) // Σ p(1−p)(Uᵀd)² instead
			return &moments{h}, nil
		}
		return known{h}, nil
	case Diag:
		return &moments{&spectral{values: make([]float64, P), basis: standard{}}}, nil
	case Full:
		if P > maxFullWeights {
			return nil, fmt.Errorf("curvature full of %d weights: at most %d; exact gives the same posterior", P, maxFullWeights)
		}
		return &products{P: P, h: mat.NewSymDense(P, nil)}, nil
	case Exact, EmpiricalFisher:
		return &gradients{d: make([]float32, 0, l.Pairs*P)}, nil
	case Nystrom:
		u, err := l.inducing(ctx, seqs, min(o.Inducing, l.Pairs))
		if err != nil {
			return nil, err
		}
		K := len(u) / P
		return &products{P: P, h: mat.NewSymDense(K, nil), u: u}, nil
	}
	return nil, fmt.Errorf("curvature %v is unknown", l.Curvature)
}

// known is a curvature that needs no more than it had from the start.
type known struct{ h *spectral }

func (a known) done() bool                    { return true }
func (a known) add([]float32, []float64)      {}
func (a known) structure() (structure, error) { return a.h, nil }
func (a known) state() (*[]float32, *[]float64) {
	return new([]float32), new([]float64)
}

// moments gathers the second moments of the gradients along known eigenvectors.
type moments struct{ h *spectral }

func (a *moments) done() bool { return false }

func (a *moments) add(d []float32, weights []float64) {
	P := len(a.h.values)
	T := a.h.basis.rotate(d, len(weights))
	for i, w := range weights {
		for p, t := range T[i*P : (i+1)*P] {
			a.h.values[p] += w * float64(t) * float64(t)
		}
	}
}

func (a *moments) structure() (structure, error) { return a.h, nil }

func (a *moments) state() (*[]float32, *[]float64) { return new([]float32), &a.h.values }

// gradients keeps the gradients themselves.
type gradients struct {
	d  []float32
	sw []float64
}

func (a *gradients) done() bool { return false }

func (a *gradients) add(d []float32, weights []float64) {
	a.d = append(a.d, d...)
	for _, w := range weights {
		a.sw = append(a.sw, math.Sqrt(w))
	}
}

func (a *gradients) structure() (structure, error) { return newDual(a.d, a.sw), nil }

func (a *gradients) state() (*[]float32, *[]float64) { return &a.d, &a.sw }

// products gathers Σ w·tᵀt of the gradients t = d, or of their coordinates t = d·u in a subspace.
type products struct {
	P int
	h *mat.SymDense
	u []float32 // [P, K], or nil
}

func (a *products) done() bool { return false }

func (a *products) add(d []float32, weights []float64) {
	n, K := len(weights), a.h.SymmetricDim()
	if a.u != nil {
		d = dense{a.u}.rotate(d, n)
	}
	sw := make([]float64, n)
	for i, w := range weights {
		sw[i] = math.Sqrt(w)
	}
	b := mat.NewDense(n, K, nil)
	widen(b, d, sw, 0)
	linalg.AddGram(a.h, mat.DenseCopyOf(b.T()))
}

func (a *products) state() (*[]float32, *[]float64) {
	raw := a.h.RawSymmetric()
	return new([]float32), &raw.Data // reading goes into the array itself: it has the same length
}

func (a *products) structure() (structure, error) {
	values, v, err := eigen(a.h)
	if err != nil {
		return nil, fmt.Errorf("the Gauss-Newton matrix: %w", err)
	}
	if a.u == nil {
		return &spectral{values: values, basis: dense{v}}, nil
	}
	K := len(values)
	turned := make([]float32, a.P*K)
	tensor.MatMulNN(turned, a.u, v, a.P, K, K, false)
	return &spectral{values: values, basis: dense{turned}, partial: K < a.P}, nil
}

// smallest is the share of the largest eigenvalue below which a direction of the inducing gradients is left out.
const smallest = 1e-10

// inducing returns an orthonormal basis [P, K] of the gradients of m pairs, evenly spaced.
func (l *Posterior) inducing(ctx context.Context, seqs [][]int, m int) ([]float32, error) {
	var chosen [][]int
	for i := range m {
		n := i * l.Pairs / m
		chosen = append(chosen, seqs[2*n], seqs[2*n+1])
	}
	var d []float32
	err := l.pairGradients(ctx, "gradients of the inducing pairs", chosen, 0, func(_ []float64, rows []float32) error {
		d = append(d, rows...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	one := make([]float64, m)
	for i := range one {
		one[i] = 1
	}
	values, v, err := linalg.EigenSym(gram(d, one))
	if err != nil {
		return nil, err
	}
	largest := values[len(values)-1]
	if !(largest > 0) {
		return nil, errors.New("the gradients of the inducing pairs are all zero")
	}
	var keep []int
	for k, x := range values {
		if x > smallest*largest {
			keep = append(keep, k)
		}
	}
	c := make([]float32, m*len(keep)) // coefficients of the basis in the gradients
	for i := range m {
		for j, k := range keep {
			c[i*len(keep)+j] = float32(v.At(i, k) / math.Sqrt(values[k]))
		}
	}
	u := make([]float32, l.Weights*len(keep))
	tensor.MatMulTN(u, d, c, m, l.Weights, len(keep))
	return u, nil
}

// side is one side of the Kronecker-factored curvature of a weight matrix: a sum of outer products.
type side interface {
	add(x []float32, scale float64) // scale·xᵀx for x [n, d]
	divide(by float64)
	eigen() (values []float64, u []float32, err error) // of the directions that are known, u [d, K]
}

// newSide returns the side of length d, kept whole, or with a rank below d to that rank.
func newSide(d, rank int) side {
	if rank > 0 && rank < d {
		return &thin{d: d, rank: rank}
	}
	return &whole{mat.NewSymDense(d, nil)}
}

// whole is a side [d, d].
type whole struct{ *mat.SymDense }

func (s *whole) add(x []float32, scale float64) { addOuter(s.SymDense, x, scale) }
func (s *whole) divide(by float64)              { s.ScaleSym(1/by, s.SymDense) }
func (s *whole) eigen() ([]float64, []float32, error) {
	return eigen(s.SymDense)
}

// thin is a side FFᵀ of low rank, F [d, K]: an incremental singular value decomposition (METHODS §4.5). Memory d·K.
type thin struct {
	d, rank int
	f       *mat.Dense
	err     error
}

// chunk is how many rows thin takes in at a time.
const chunk = 128

func (s *thin) add(x []float32, scale float64) {
	for len(x) > 0 && s.err == nil {
		n := min(chunk, len(x)/s.d)
		k := 0
		if s.f != nil {
			_, k = s.f.Dims()
		}
		joined := mat.NewDense(s.d, k+n, nil) // [F, Xᵀ]
		if k > 0 {
			joined.Slice(0, s.d, 0, k).(*mat.Dense).Copy(s.f)
		}
		root := math.Sqrt(scale)
		for i := range n {
			for j := range s.d {
				joined.Set(j, k+i, root*float64(x[i*s.d+j]))
			}
		}
		x = x[n*s.d:]
		// the left singular vectors times the singular values are [F, Xᵀ]·V, V the eigenvectors of its Gram matrix
		g := mat.NewSymDense(k+n, nil)
		linalg.AddGram(g, mat.DenseCopyOf(joined.T()))
		values, v, err := linalg.EigenSym(g)
		if err != nil {
			s.err = err
			return
		}
		keep := min(s.rank, len(values), s.d)
		s.f = linalg.Mul(joined, mat.DenseCopyOf(v.Slice(0, k+n, len(values)-keep, len(values))), false, false)
	}
}

func (s *thin) divide(by float64) {
	if s.f != nil {
		s.f.Scale(1/math.Sqrt(by), s.f)
	}
}

func (s *thin) eigen() (values []float64, u []float32, err error) {
	if s.err != nil || s.f == nil {
		return nil, nil, errors.Join(s.err, errors.New("a factor of low rank saw no data"))
	}
	_, k := s.f.Dims()
	for j := range k {
		norm := mat.Norm(s.f.ColView(j), 2)
		values = append(values, norm*norm)
	}
	u = make([]float32, s.d*k)
	for i := range s.d {
		for j := range k {
			if values[j] > 0 {
				u[i*k+j] = float32(s.f.At(i, j) / math.Sqrt(values[j]))
			}
		}
	}
	return values, u, nil
}

// matrices lists the shapes of the LoRA matrices in the order of the weights.
func matrices(m *llm.Model) (shapes [][]int) {
	for _, a := range m.LoRAs() {
		shapes = append(shapes, a.A.Shape, a.B.Shape)
	}
	return shapes
}
