// Package linalg holds the float64 algebra of the posteriors at the sizes where gonum is too slow, above 256: products,
// Cholesky, triangular solves, the symmetric eigendecomposition. Results are the same bits for any GOMAXPROCS.
package linalg

import (
	"errors"
	"fmt"
	"math"

	"gobayes/bayesrm/tensor"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/mat"
)

// ErrNotPositive is the error of a matrix that is not positive definite.
var ErrNotPositive = errors.New("linalg: matrix is not positive definite")

// Mul returns op(a)·op(b), where op transposes if asked to.
func Mul(a, b *mat.Dense, transA, transB bool) *mat.Dense {
	ar, br := a.RawMatrix(), b.RawMatrix()
	m, k := ar.Rows, ar.Cols
	if transA {
		m, k = k, m
	}
	k2, n := br.Rows, br.Cols
	if transB {
		k2, n = n, k2
	}
	if k != k2 {
		panic(fmt.Sprintf("linalg: Mul: inner dimensions %d and %d", k, k2))
	}
	c := mat.NewDense(m, n, nil)
	tensor.MatMul64(c.RawMatrix().Data, n, m, n, k, ar.Data, ar.Stride, transA, br.Data, br.Stride, transB, false)
	return c
}

// gramBlock is the width of the column blocks of a product of which one triangle is needed.
const gramBlock = 256

// AddGram adds a·aᵀ to s, computing one triangle. a is [n, k], s is [n, n].
func AddGram(s *mat.SymDense, a *mat.Dense) {
	ar, sr := a.RawMatrix(), s.RawSymmetric()
	n := sr.N
	if ar.Rows != n {
		panic(fmt.Sprintf("linalg: AddGram: %d rows for a matrix of %d", ar.Rows, n))
	}
	for i := 0; i < n; i += gramBlock { // rows i … of the upper triangle, stored from column i on
		w := min(gramBlock, n-i)
		tensor.MatMul64(sr.Data[i*sr.Stride+i:], sr.Stride, w, n-i, ar.Cols, ar.Data[i*ar.Stride:], ar.Stride, false, ar.Data[i*ar.Stride:], ar.Stride, true, true)
	}
}

// cholBlock is the width of the columns that Cholesky eliminates at a time.
const cholBlock = 64

// Cholesky returns the lower triangular L with L·Lᵀ = a. The error wraps ErrNotPositive and names the first pivot that is
// not positive.
func Cholesky(a mat.Symmetric) (*mat.TriDense, error) {
	n := a.SymmetricDim()
	l := lower(a)
	inv := make([]float64, cholBlock*cholBlock)
	panel, minus := make([]float64, n*cholBlock), make([]float64, n*cholBlock)
	for k := 0; k < n; k += cholBlock {
		w := min(cholBlock, n-k)
		if err := cholSmall(l[k*n+k:], n, w, k); err != nil {
			return nil, err
		}
		m := n - k - w
		if m == 0 {
			break
		}
		invert(inv, l[k*n+k:], n, w)
		// the columns below: A·L⁻ᵀ
		below := l[(k+w)*n+k:]
		tensor.MatMul64(panel, w, m, w, w, below, n, false, inv, w, true, false)
		for i := range m {
			copy(below[i*n:i*n+w], panel[i*w:(i+1)*w])
			for j := range w {
				minus[i*w+j] = -panel[i*w+j]
			}
		}
		for j := 0; j < m; j += gramBlock { // what remains: A − P·Pᵀ, its lower triangle by column blocks
			b := min(gramBlock, m-j)
			tensor.MatMul64(l[(k+w+j)*n+k+w+j:], n, m-j, b, w, minus[j*w:], w, false, panel[j*w:], w, true, true)
		}
	}
	for i := range n {
		clear(l[i*n+i+1 : (i+1)*n])
	}
	return mat.NewTriDense(n, mat.Lower, l), nil
}

// lower copies a symmetric matrix; its lower triangle is what is used.
func lower(a mat.Symmetric) []float64 {
	n := a.SymmetricDim()
	l := make([]float64, n*n)
	if s, ok := a.(mat.RawSymmetricer); ok && s.RawSymmetric().Uplo == blas.Upper {
		r := s.RawSymmetric()
		const tile = 32
		for i := 0; i < n; i += tile {
			for j := i; j < n; j += tile {
				for p := i; p < min(i+tile, n); p++ {
					for q := max(j, p); q < min(j+tile, n); q++ {
						l[q*n+p] = r.Data[p*r.Stride+q]
					}
				}
			}
		}
		return l
	}
	for i := range n {
		for j := range i + 1 {
			l[i*n+j] = a.At(i, j)
		}
	}
	return l
}

// cholSmall factors the leading w × w block in place; first is the number of its first row, for the error.
func cholSmall(a []float64, ld, w, first int) error {
	for i := range w {
		for j := range i + 1 {
			s := a[i*ld+j] - tensor.Dot64(a[i*ld:i*ld+j], a[j*ld:j*ld+j])
			if j < i {
				a[i*ld+j] = s / a[j*ld+j]
				continue
			}
			if s <= 0 || math.IsNaN(s) || math.IsInf(s, 0) {
				return fmt.Errorf("%w: pivot %d is %v", ErrNotPositive, first+i, s)
			}
			a[i*ld+i] = math.Sqrt(s)
		}
	}
	return nil
}

// invert writes the inverse [w, w] of the lower triangle l.
func invert(inv, l []float64, ld, w int) {
	clear(inv[:w*w])
	for i := range w {
		r := 1 / l[i*ld+i]
		row := inv[i*w : (i+1)*w]
		for j := range i {
			tensor.Axpy64(row[:j+1], -l[i*ld+j]*r, inv[j*w:j*w+j+1])
		}
		row[i] = r
	}
}

// SolveLower replaces b by L⁻¹·b, or by L⁻ᵀ·b with trans. b is [n, m].
func SolveLower(l *mat.TriDense, b *mat.Dense, trans bool) {
	lr, br := l.RawTriangular(), b.RawMatrix()
	n, m := lr.N, br.Cols
	if br.Rows != n || lr.Uplo != blas.Lower {
		panic(fmt.Sprintf("linalg: SolveLower: a right side of %d rows for a lower triangle of %d", br.Rows, n))
	}
	inv, x := make([]float64, cholBlock*cholBlock), make([]float64, cholBlock*m)
	starts := make([]int, 0, n/cholBlock+1)
	for k := 0; k < n; k += cholBlock {
		starts = append(starts, k)
	}
	if trans {
		for i, j := 0, len(starts)-1; i < j; i, j = i+1, j-1 {
			starts[i], starts[j] = starts[j], starts[i]
		}
	}
	for _, k := range starts {
		w := min(cholBlock, n-k)
		invert(inv, lr.Data[k*lr.Stride+k:], lr.Stride, w)
		rows := br.Data[k*br.Stride:]
		tensor.MatMul64(x, m, w, m, w, inv, w, trans, rows, br.Stride, false, false)
		for i := range w {
			copy(rows[i*br.Stride:i*br.Stride+m], x[i*m:(i+1)*m])
		}
		for i := range x[:w*m] {
			x[i] = -x[i]
		}
		if trans { // rows above: b −= L[k…, :k]ᵀ·x
			tensor.MatMul64(br.Data, br.Stride, k, m, w, lr.Data[k*lr.Stride:], lr.Stride, true, x, m, false, true)
			continue
		}
		if rest := n - k - w; rest > 0 { // rows below
			tensor.MatMul64(br.Data[(k+w)*br.Stride:], br.Stride, rest, m, w, lr.Data[(k+w)*lr.Stride+k:], lr.Stride, false, x, m, false, true)
		}
	}
}
