package laplace

import (
	"fmt"
	"math"
	"math/rand/v2"

	"gobayes/bayesrm/linalg"
	"gobayes/bayesrm/tensor"

	"gonum.org/v1/gonum/mat"
)

// structure is the curvature H [P, P] of the likelihood of the pairs at the trained weights, in a form that makes the
// inverse of H + δI cheap.
type structure interface {
	// sweep returns the variances j(H + δI)⁻¹jᵀ of the rows of J [n, P] as a function of δ.
	sweep(J []float32, n int) func(delta float64) ([]float64, error)
	at(delta float64) (gaussian, error)
}

// gaussian is N(0, (H + δI)⁻¹) at one δ.
type gaussian interface {
	logDet() float64                             // log det(H + δI) − P·log δ
	gamma() float64                              // tr H(H + δI)⁻¹
	variances(J []float32, n int) []float64      // jΣjᵀ of the rows of J [n, P]
	covariance(J []float32, n int) *mat.SymDense // JΣJᵀ [n, n]
	sample(rng *rand.Rand) []float64             // a draw [P]
}

// dual is the true Gauss-Newton matrix DᵀWD, of any number of weights, by way of the pairs.
type dual struct {
	sw     []float64     // √(p(1−p)) [N]
	d      []float32     // D [N, P]
	kernel *mat.SymDense // W^½DDᵀW^½ [N, N]
}

func newDual(d []float32, sw []float64) *dual {
	return &dual{sw: sw, d: d, kernel: gram(d, sw)}
}

// gram returns W^½DDᵀW^½ in float64.
func gram(D []float32, sw []float64) *mat.SymDense {
	N := len(sw)
	P := len(D) / N
	const block = 512 // columns of D that are widened at a time
	k := mat.NewSymDense(N, nil)
	part := mat.NewDense(N, min(block, P), nil)
	for c := 0; c < P; c += block {
		b := part.Slice(0, N, 0, min(block, P-c)).(*mat.Dense)
		widen(b, D, sw, c)
		linalg.AddGram(k, b)
	}
	return k
}

// widen copies columns of W^½D, from column c on, into b [N, w].
func widen(b *mat.Dense, D []float32, sw []float64, c int) {
	P := len(D) / len(sw)
	_, w := b.Dims()
	for n, s := range sw {
		row := b.RawRowView(n)
		for i, v := range D[n*P+c : n*P+c+w] {
			row[i] = float64(v) * s
		}
	}
}

// factor returns the Cholesky factor L of M = I + kernel/δ.
func factor(kernel *mat.SymDense, delta float64) (*mat.TriDense, error) {
	N := kernel.SymmetricDim()
	m := mat.NewSymDense(N, nil)
	m.ScaleSym(1/delta, kernel)
	for i := range N {
		m.SetSym(i, i, m.At(i, i)+1)
	}
	L, err := linalg.Cholesky(m)
	if err != nil {
		return nil, fmt.Errorf("I + W^½DDᵀW^½/δ at δ = %g: the gradients hold infinities or NaN: %w", delta, err)
	}
	return L, nil
}

// against returns W^½D·Jᵀ [N, n] of the rows of J [n, P].
func (h *dual) against(J []float32, n int) *mat.Dense {
	N := len(h.sw)
	y := make([]float32, N*n)
	tensor.MatMulNT(y, h.d, J, N, n, len(J)/n, false)
	u := mat.NewDense(N, n, nil)
	for i, s := range h.sw {
		for j, v := range y[i*n : (i+1)*n] {
			u.Set(i, j, float64(v)*s)
		}
	}
	return u
}

func (h *dual) sweep(J []float32, n int) func(delta float64) ([]float64, error) {
	u := h.against(J, n)
	return func(delta float64) ([]float64, error) {
		L, err := factor(h.kernel, delta)
		if err != nil {
			return nil, err
		}
		v := mat.DenseCopyOf(u)
		linalg.SolveLower(L, v, false)
		return reduced(J, v, delta), nil
	}
}

// reduced returns (‖j‖² − ‖v_j‖²/δ)/δ for the rows j of J and the columns v_j of v = L⁻¹W^½DJᵀ.
func reduced(J []float32, v *mat.Dense, delta float64) []float64 {
	N, n := v.Dims()
	P := len(J) / n
	out := make([]float64, n)
	for i := range N {
		for j, x := range v.RawRowView(i) {
			out[j] += x * x
		}
	}
	for j, vv := range out {
		row := J[j*P : (j+1)*P]
		out[j] = max(0, (tensor.DotWide(row, row)-vv/delta)/delta)
	}
	return out
}

func (h *dual) at(delta float64) (gaussian, error) {
	L, err := factor(h.kernel, delta)
	return &dualGaussian{h, delta, L}, err
}

type dualGaussian struct {
	*dual
	delta  float64
	factor *mat.TriDense // L
}

func (g *dualGaussian) logDet() (s float64) {
	for i := range g.sw {
		s += 2 * math.Log(g.factor.At(i, i))
	}
	return s
}

func (g *dualGaussian) gamma() float64 {
	norm := mat.Norm(inverse(g.factor), 2)
	return float64(len(g.sw)) - norm*norm // tr M⁻¹ = ‖L⁻¹‖²
}

// inverse returns L⁻¹.
func inverse(L *mat.TriDense) *mat.Dense {
	N, _ := L.Dims()
	inv := mat.NewDense(N, N, nil)
	for i := range N {
		inv.Set(i, i, 1)
	}
	linalg.SolveLower(L, inv, false)
	return inv
}

func (g *dualGaussian) variances(J []float32, n int) []float64 {
	v := g.against(J, n)
	linalg.SolveLower(g.factor, v, false)
	return reduced(J, v, g.delta)
}

func (g *dualGaussian) covariance(J []float32, n int) *mat.SymDense {
	v, P := g.against(J, n), len(J)/n
	linalg.SolveLower(g.factor, v, false)
	vv := linalg.Mul(v, v, true, false)
	return symmetric(n, func(i, j int) float64 {
		return (tensor.DotWide(J[i*P:(i+1)*P], J[j*P:(j+1)*P]) - vv.At(i, j)/g.delta) / g.delta
	})
}

// sample corrects a draw of the prior by what the pairs say about it (Matheron's rule): with x ~ N(0, I/δ), e ~ N(0, I),
// x − DᵀW^½M⁻¹(W^½Dx + e)/δ.
func (g *dualGaussian) sample(rng *rand.Rand) []float64 {
	N := len(g.sw)
	P := len(g.d) / N
	x := make([]float64, P)
	for i := range x {
		x[i] = rng.NormFloat64() / math.Sqrt(g.delta)
	}
	y := mat.NewDense(N, 1, nil)
	for n, s := range g.sw {
		v := rng.NormFloat64()
		for i, d := range g.d[n*P : (n+1)*P] {
			v += s * float64(d) * x[i]
		}
		y.Set(n, 0, v)
	}
	linalg.SolveLower(g.factor, y, false)
	linalg.SolveLower(g.factor, y, true)
	for n, s := range g.sw {
		c := s * y.At(n, 0) / g.delta
		for i, d := range g.d[n*P : (n+1)*P] {
			x[i] -= c * float64(d)
		}
	}
	return x
}

// spectral is a curvature with known eigenvectors: H = U·diag(values)·Uᵀ.
type spectral struct {
	values  []float64 // [K]
	basis   basis
	partial bool // K < P: in the directions that U leaves out H is 0
}

// basis is orthonormal vectors U [P, K] in the space of weights.
type basis interface {
	rotate(J []float32, n int) []float32 // J·U of the rows of J [n, P]: [n, K]
	back(x []float32) []float32          // U·x
}

func (h *spectral) sweep(J []float32, n int) func(delta float64) ([]float64, error) {
	T := h.basis.rotate(J, n)
	return func(delta float64) ([]float64, error) { return (&spectralGaussian{h, delta}).squares(T, J, n), nil }
}

func (h *spectral) at(delta float64) (gaussian, error) { return &spectralGaussian{h, delta}, nil }

type spectralGaussian struct {
	*spectral
	delta float64
}

func (g *spectralGaussian) logDet() (s float64) {
	for _, v := range g.values {
		s += math.Log1p(v / g.delta)
	}
	return s
}

func (g *spectralGaussian) gamma() (s float64) {
	for _, v := range g.values {
		s += v / (v + g.delta)
	}
	return s
}

// squares returns the variances of the rows of J [n, P], whose coordinates are T [n, K].
func (g *spectralGaussian) squares(T, J []float32, n int) []float64 {
	out := make([]float64, n)
	tensor.Parallel(n, func(i int) { out[i] = g.product(T, J, n, i, i) })
	return out
}

// product returns jᵢΣjⱼᵀ: Σ TᵢTⱼ/(values + δ), and where U leaves directions out, what the prior says less what U's directions take
// from it, (jᵢ·jⱼ − Σ TᵢTⱼ·values/(values + δ))/δ.
func (g *spectralGaussian) product(T, J []float32, n, i, j int) (s float64) {
	K := len(g.values)
	a, b := T[i*K:(i+1)*K], T[j*K:(j+1)*K]
	if !g.partial {
		for p, t := range a {
			s += float64(t) * float64(b[p]) / (g.values[p] + g.delta)
		}
		return s
	}
	for p, t := range a {
		s += float64(t) * float64(b[p]) * g.values[p] / (g.values[p] + g.delta)
	}
	P := len(J) / n
	return (tensor.DotWide(J[i*P:(i+1)*P], J[j*P:(j+1)*P]) - s) / g.delta
}

func (g *spectralGaussian) variances(J []float32, n int) []float64 {
	return g.squares(g.basis.rotate(J, n), J, n)
}

func (g *spectralGaussian) covariance(J []float32, n int) *mat.SymDense {
	T := g.basis.rotate(J, n)
	return symmetric(n, func(i, j int) float64 { return g.product(T, J, n, i, j) })
}

func (g *spectralGaussian) sample(rng *rand.Rand) []float64 {
	z := make([]float32, len(g.values))
	for i, v := range g.values {
		z[i] = float32(rng.NormFloat64() / math.Sqrt(v+g.delta))
	}
	x := g.basis.back(z)
	out := make([]float64, len(x))
	if g.partial { // a draw of the prior, less its part along U
		prior := make([]float32, len(x))
		for i := range prior {
			prior[i] = float32(rng.NormFloat64() / math.Sqrt(g.delta))
			out[i] = float64(prior[i])
		}
		for i, v := range g.basis.back(g.basis.rotate(prior, 1)) {
			out[i] -= float64(v)
		}
	}
	for i, v := range x {
		out[i] += float64(v)
	}
	return out
}

// standard is the basis of the weights themselves.
type standard struct{}

func (standard) rotate(J []float32, _ int) []float32 { return J }
func (standard) back(x []float32) []float32          { return x }

// dense is a basis given by its matrix U [P, K].
type dense struct{ u []float32 }

func (b dense) rotate(J []float32, n int) []float32 {
	P := len(J) / n
	K := len(b.u) / P
	T := make([]float32, n*K)
	tensor.MatMulNN(T, J, b.u, n, K, P, false)
	return T
}

func (b dense) back(x []float32) []float32 {
	P := len(b.u) / len(x)
	y := make([]float32, P)
	tensor.MatMulNT(y, x, b.u, 1, P, len(x), false)
	return y
}

// symmetric is the matrix [n, n] of f.
func symmetric(n int, f func(i, j int) float64) *mat.SymDense {
	out := mat.NewSymDense(n, nil)
	for i := range n {
		for j := i; j < n; j++ {
			out.SetSym(i, j, f(i, j))
		}
	}
	return out
}

// eigen is the eigendecomposition of a positive semidefinite matrix: what rounding made negative counts as 0. The vectors
// are the columns of u [n, n].
func eigen(a *mat.SymDense) (values []float64, u []float32, err error) {
	values, vectors, err := linalg.EigenSym(a)
	if err != nil {
		return nil, nil, err
	}
	for i, v := range values {
		values[i] = max(0, v)
	}
	for _, v := range vectors.RawMatrix().Data {
		u = append(u, float32(v))
	}
	return values, u, nil
}
