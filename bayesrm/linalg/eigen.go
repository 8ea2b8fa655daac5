package linalg

import (
	"errors"
	"math"
	"slices"

	"gobayes/bayesrm/tensor"

	"gonum.org/v1/gonum/mat"
)

// ErrNoConvergence is the error of an eigendecomposition that does not end, which happens for matrices with NaN only.
var ErrNoConvergence = errors.New("linalg: eigenvalues do not converge; the matrix holds NaN or Inf")

// EigenSym returns the eigenvalues of a symmetric matrix, ascending, and its eigenvectors as the columns of a matrix.
//
// Householder reflections in blocks make it tridiagonal; implicit QR sweeps with Wilkinson's shift (Golub and Van Loan,
// §8.3) make that diagonal. The sweeps' rotations are collected and applied to the vectors a strip of columns at a time.
func EigenSym(a mat.Symmetric) (values []float64, vectors *mat.Dense, err error) {
	n := a.SymmetricDim()
	if n == 0 {
		return nil, nil, errors.New("linalg: EigenSym: an empty matrix")
	}
	t := tridiagonal(lower(a), n)
	z := t.basis()
	if err := diagonalise(t.d, t.e, z, n); err != nil {
		return nil, nil, err
	}
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int {
		switch {
		case t.d[i] < t.d[j]:
			return -1
		case t.d[i] > t.d[j]:
			return 1
		}
		return 0
	})
	vectors = mat.NewDense(n, n, nil)
	v := vectors.RawMatrix().Data
	const tile = 32
	tensor.Parallel((n+tile-1)/tile, func(k int) {
		for p := 0; p < n; p += tile {
			for q := k * tile; q < min(n, (k+1)*tile); q++ {
				for i := p; i < min(n, p+tile); i++ {
					v[i*n+q] = z[order[q]*n+i]
				}
			}
		}
	})
	for _, i := range order {
		values = append(values, t.d[i])
	}
	return values, vectors, nil
}

// reduction is a = Q·T·Qᵀ: T has the diagonal d and beside it e; Q is the product of the reflections 1 − τ·v·vᵀ, whose
// vectors are the rows of v, from element j+1 on.
type reduction struct {
	n    int
	d, e []float64
	v    []float64 // [n, n]
	tau  []float64
}

// triBlock is the number of columns that are reduced between two updates of the rest.
const triBlock = 32

// tridiagonal reduces the lower triangle a [n, n], which it overwrites.
func tridiagonal(a []float64, n int) *reduction {
	t := &reduction{n: n, d: make([]float64, n), e: make([]float64, n), v: make([]float64, n*n), tau: make([]float64, n)}
	w := make([]float64, triBlock*n) // the w of each column of a block, as rows
	col := make([]float64, n)
	left, right := make([]float64, n*2*triBlock), make([]float64, n*2*triBlock)
	var mv symv
	for k := 0; k < n; k += triBlock {
		nb := min(triBlock, n-k)
		for j := k; j < k+nb; j++ {
			for i := j; i < n; i++ {
				col[i] = a[i*n+j]
			}
			for p := k; p < j; p++ { // what the block's earlier columns do to this one
				vp, wp := t.v[p*n:(p+1)*n], w[(p-k)*n:(p-k+1)*n]
				tensor.Axpy64(col[j:], -wp[j], vp[j:])
				tensor.Axpy64(col[j:], -vp[j], wp[j:])
			}
			t.d[j] = col[j]
			if j == n-1 {
				break
			}
			v := t.v[j*n : (j+1)*n]
			t.e[j], t.tau[j] = reflector(v[j+1:], col[j+1:])
			wj := w[(j-k)*n : (j-k+1)*n]
			clear(wj)
			if t.tau[j] == 0 {
				continue
			}
			mv.apply(wj, a, v, n, j+1)
			for p := k; p < j; p++ {
				vp, wp := t.v[p*n:(p+1)*n], w[(p-k)*n:(p-k+1)*n]
				cw, cv := tensor.Dot64(wp[j+1:], v[j+1:]), tensor.Dot64(vp[j+1:], v[j+1:])
				tensor.Axpy64(wj[j+1:], -cw, vp[j+1:])
				tensor.Axpy64(wj[j+1:], -cv, wp[j+1:])
			}
			for i := j + 1; i < n; i++ {
				wj[i] *= t.tau[j]
			}
			tensor.Axpy64(wj[j+1:], -t.tau[j]/2*tensor.Dot64(wj[j+1:], v[j+1:]), v[j+1:])
		}
		rest := n - k - nb
		if rest == 0 {
			break
		}
		for i := range rest { // a −= V·Wᵀ + W·Vᵀ, as one product of width 2·nb
			l, r := left[i*2*nb:(i+1)*2*nb], right[i*2*nb:(i+1)*2*nb]
			for p := range nb {
				v, w := t.v[(k+p)*n+k+nb+i], w[p*n+k+nb+i]
				l[p], l[nb+p] = -v, -w
				r[p], r[nb+p] = w, v
			}
		}
		for i := 0; i < rest; i += gramBlock {
			b := min(gramBlock, rest-i)
			at := k + nb + i
			tensor.MatMul64(a[at*n+at:], n, rest-i, b, 2*nb, left[i*2*nb:], 2*nb, false, right[i*2*nb:], 2*nb, true, true)
		}
	}
	return t
}

// reflector finds v (v[0] = 1) and τ with (1 − τ·v·vᵀ)·x = β·e₁, and returns β and τ.
func reflector(v, x []float64) (beta, tau float64) {
	alpha := x[0]
	scale := 0.0
	for _, f := range x {
		scale = max(scale, math.Abs(f))
	}
	v[0] = 1
	if len(x) == 1 || scale == 0 {
		return alpha, 0
	}
	var ss float64
	for _, f := range x {
		ss += f / scale * (f / scale)
	}
	norm := scale * math.Sqrt(ss)
	beta = -math.Copysign(norm, alpha)
	if norm == math.Abs(alpha) {
		return alpha, 0
	}
	for i, f := range x[1:] {
		v[i+1] = f / (alpha - beta)
	}
	return beta, (beta - alpha) / beta
}

// symvParts is how many parts the rows are cut into: fixed, so that sums do not depend on the number of processors.
const symvParts = 8

// symv multiplies a symmetric matrix, of which the lower triangle is stored, with a vector.
type symv struct{ part [symvParts][]float64 }

// apply writes y = a·v for rows and columns from … n.
func (s *symv) apply(y, a, v []float64, n, from int) {
	m := n - from
	parts := symvParts
	if m < 256 {
		parts = 1
	}
	row := func(p int) int { return from + int(float64(m)*math.Sqrt(float64(p)/float64(parts))) } // equal areas
	tensor.Parallel(parts, func(p int) {
		if cap(s.part[p]) < n {
			s.part[p] = make([]float64, n)
		}
		acc := s.part[p][:n]
		clear(acc)
		last := row(p + 1)
		if p == parts-1 {
			last = n
		}
		for i := row(p); i < last; i++ {
			r := a[i*n+from : i*n+i]
			acc[i] += tensor.Dot64(r, v[from:i]) + a[i*n+i]*v[i]
			tensor.Axpy64(acc[from:i], v[i], r)
		}
	})
	for p := range parts {
		tensor.Axpy64(y[from:n], 1, s.part[p][from:n])
	}
}

// basis returns Qᵀ [n, n].
func (t *reduction) basis() []float64 {
	n := t.n
	q := make([]float64, n*n)
	for i := range n {
		q[i*n+i] = 1
	}
	qv, f := make([]float64, n*triBlock), make([]float64, triBlock*triBlock)
	vt := make([]float64, triBlock*n)
	for k := (n - 1) / triBlock * triBlock; k >= 0; k -= triBlock {
		nb := min(triBlock, n-k)
		// H_k … H_{k+nb−1} = 1 − V·F·Vᵀ, V as the rows k … of t.v
		rows := t.v[k*n : (k+nb)*n]
		for j := range nb {
			f[j*nb+j] = t.tau[k+j]
			for i := range j {
				f[i*nb+j], f[j*nb+i] = 0, 0
			}
			for i := range j { // column j: −τ·F·(Vᵀ·v_j)
				var s float64
				for p := i; p < j; p++ {
					s += f[i*nb+p] * tensor.Dot64(rows[p*n+k:(p+1)*n], rows[j*n+k:(j+1)*n])
				}
				f[i*nb+j] = -t.tau[k+j] * s
			}
		}
		// the rows and columns before k+1 are still those of the identity
		m := n - k - 1
		if m == 0 {
			continue
		}
		at := k + 1
		tensor.MatMul64(qv, nb, m, nb, m, q[at*n+at:], n, false, rows[at:], n, true, false)
		// Qᵀ·(1 − V·Fᵀ·Vᵀ): vt = −Fᵀ·Vᵀ, [nb, m]
		for i := range nb * nb {
			f[i] = -f[i]
		}
		tensor.MatMul64(vt, m, nb, m, nb, f, nb, true, rows[at:], n, false, false)
		tensor.MatMul64(q[at*n+at:], n, m, m, nb, qv, nb, false, vt, m, false, true)
	}
	return q
}

// sweep is the rotations of one QR sweep, of rows from, from+1, ….
type sweep struct {
	from int
	c, s []float64
}

// sweepBatch is how many rotations are collected before they are applied.
const sweepBatch = 1 << 16

// diagonalise turns the tridiagonal matrix (d, e) into its eigenvalues d, applying the rotations to the rows of z [n, n].
func diagonalise(d, e, z []float64, n int) error {
	var sweeps []sweep
	count := 0
	apply := func() {
		const strip = 64
		tensor.Parallel((n+strip-1)/strip, func(k int) {
			for _, s := range sweeps {
				tensor.RotateRows(z[s.from*n:], n, k*strip, min(n, (k+1)*strip), s.c, s.s)
			}
		})
		sweeps, count = sweeps[:0], 0
	}
	small := func(i int) bool {
		return math.Abs(e[i]) <= 2.3e-16*math.Sqrt(math.Abs(d[i]*d[i+1])) || math.Abs(e[i]) < 1e-290
	}
	var norm float64
	for i := range n {
		norm = max(norm, math.Abs(d[i]), math.Abs(e[i]))
	}
	tiny := func(i int) bool { return small(i) || math.Abs(e[i]) <= 1.1e-16*norm }
	steps := 0
	for hi := n - 1; hi > 0; {
		if tiny(hi - 1) {
			e[hi-1] = 0
			hi--
			continue
		}
		if steps++; steps > 60*n || math.IsNaN(d[hi]) || math.IsInf(norm, 0) {
			return ErrNoConvergence
		}
		lo := hi - 1
		for lo > 0 && !tiny(lo-1) {
			lo--
		}
		s := sweep{from: lo, c: make([]float64, hi-lo), s: make([]float64, hi-lo)}
		qrSweep(d, e, lo, hi, s)
		sweeps = append(sweeps, s)
		if count += hi - lo; count > sweepBatch {
			apply()
		}
	}
	apply()
	return nil
}

// qrSweep chases the bulge of one implicit QR step from lo to hi.
func qrSweep(d, e []float64, lo, hi int, rot sweep) {
	half := (d[hi-1] - d[hi]) / 2
	shift := d[hi] - e[hi-1]*e[hi-1]/(half+math.Copysign(math.Hypot(half, e[hi-1]), half))
	x, z := d[lo]-shift, e[lo]
	for k := lo; k < hi; k++ {
		c, s, r := givens(x, z)
		if k > lo {
			e[k-1] = r
		}
		dk, next, ek := d[k], d[k+1], e[k]
		d[k] = c*c*dk + 2*c*s*ek + s*s*next
		d[k+1] = s*s*dk - 2*c*s*ek + c*c*next
		e[k] = c*s*(next-dk) + (c*c-s*s)*ek
		x = e[k]
		if k < hi-1 {
			z = s * e[k+1]
			e[k+1] *= c
		}
		rot.c[k-lo], rot.s[k-lo] = c, s
	}
}

// givens returns the rotation that turns (x, z) into (r, 0).
func givens(x, z float64) (c, s, r float64) {
	if z == 0 {
		return 1, 0, x
	}
	m := max(math.Abs(x), math.Abs(z))
	a, b := x/m, z/m
	h := math.Sqrt(a*a + b*b)
	return a / h, b / h, m * h
}
