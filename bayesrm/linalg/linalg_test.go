package linalg

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"
)

func random(rng *rand.Rand, n, m int) *mat.Dense {
	d := mat.NewDense(n, m, nil)
	for i := range d.RawMatrix().Data {
		d.RawMatrix().Data[i] = rng.NormFloat64()
	}
	return d
}

// spd is a random positive definite matrix with eigenvalues from about 1e-4 to 10.
func spd(rng *rand.Rand, n int) *mat.SymDense {
	a := random(rng, n, n)
	a.Scale(1/math.Sqrt(float64(n)), a)
	s := mat.NewSymDense(n, nil)
	AddGram(s, a)
	for i := range n {
		s.SetSym(i, i, s.At(i, i)+1e-4)
	}
	return s
}

// apart is the largest difference of two matrices.
func apart(a, b mat.Matrix) float64 {
	var d mat.Dense
	d.Sub(a, b)
	return mat.Max(absolute{&d})
}

type absolute struct{ mat.Matrix }

func (a absolute) At(i, j int) float64 { return math.Abs(a.Matrix.At(i, j)) }

var sizes = []int{1, 2, 3, 5, 31, 32, 33, 63, 64, 65, 100, 257, 300}

func TestProducts(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0))
	for _, n := range sizes {
		a, b := random(rng, n, n/2+1), random(rng, n/2+1, n+3)
		var want mat.Dense
		want.Mul(a, b)
		if d := apart(Mul(a, b, false, false), &want); d > 1e-12*float64(n) {
			t.Errorf("n = %d: off by %v", n, d)
		}
		if d := apart(Mul(mat.DenseCopyOf(a.T()), mat.DenseCopyOf(b.T()), true, true), &want); d > 1e-12*float64(n) {
			t.Errorf("n = %d, transposed: off by %v", n, d)
		}
		s := mat.NewSymDense(n, nil)
		AddGram(s, a)
		want.Reset()
		want.Mul(a, a.T())
		if d := apart(s, &want); d > 1e-12*float64(n) {
			t.Errorf("n = %d, gram: off by %v", n, d)
		}
	}
}

func TestCholesky(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 0))
	for _, n := range sizes {
		a := spd(rng, n)
		l, err := Cholesky(a)
		if err != nil {
			t.Fatal(err)
		}
		var back mat.Dense
		back.Mul(l, l.T())
		if d := apart(&back, a); d > 1e-13*float64(n) {
			t.Errorf("n = %d: L·Lᵀ is off by %v", n, d)
		}
		for _, trans := range []bool{false, true} {
			b := random(rng, n, 7)
			x := mat.DenseCopyOf(b)
			SolveLower(l, x, trans)
			m := mat.Matrix(l)
			if trans {
				m = l.T()
			}
			back.Reset()
			back.Mul(m, x)
			if d := apart(&back, b); d > 1e-11*float64(n) {
				t.Errorf("n = %d, transposed %t: L·x is off by %v", n, trans, d)
			}
		}
	}
	a := spd(rng, 100)
	a.SetSym(70, 70, -1)
	if _, err := Cholesky(a); !errors.Is(err, ErrNotPositive) {
		t.Errorf("a negative pivot: %v", err)
	}
	a.SetSym(70, 70, math.NaN())
	if _, err := Cholesky(a); !errors.Is(err, ErrNotPositive) {
		t.Errorf("NaN: %v", err)
	}
}

// TestEigenSym checks residuals, orthogonality and eigenvalues, also of matrices that are hard: equal, zero, tiny and very
// different eigenvalues.
func TestEigenSym(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 0))
	cases := map[string]*mat.SymDense{}
	for _, n := range sizes {
		cases[fmt.Sprint("random ", n)] = spd(rng, n)
	}
	diag := func(name string, f func(i int) float64) {
		const n = 80
		q, _, err := eigenvectors(rng, n)
		if err != nil {
			t.Fatal(err)
		}
		s := mat.NewSymDense(n, nil)
		for i := range n {
			for j := i; j < n; j++ {
				var v float64
				for k := range n {
					v += q.At(i, k) * f(k) * q.At(j, k)
				}
				s.SetSym(i, j, v)
			}
		}
		cases[name] = s
	}
	diag("equal", func(int) float64 { return 2 })
	diag("zero", func(int) float64 { return 0 })
	diag("low rank", func(i int) float64 { return float64(max(0, i-70)) })
	diag("wide", func(i int) float64 { return math.Pow(10, float64(i)/8-5) })
	diag("tiny", func(i int) float64 { return 1e-200 * float64(i) })
	cases["identity"] = mat.NewSymDense(3, []float64{1, 0, 0, 0, 1, 0, 0, 0, 1})
	for name, a := range cases {
		n := a.SymmetricDim()
		w, z, err := EigenSym(a)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		norm := math.Max(math.Abs(w[0]), math.Abs(w[n-1]))
		var az, zw, zz mat.Dense
		az.Mul(a, z)
		zw.Apply(func(_, j int, v float64) float64 { return v * w[j] }, z)
		if d := apart(&az, &zw); d > 2e-14*norm*math.Sqrt(float64(n))+1e-300 {
			t.Errorf("%s: residual %v, norm %v", name, d, norm)
		}
		zz.Mul(z.T(), z)
		id := mat.NewDiagDense(n, nil)
		for i := range n {
			id.SetDiag(i, 1)
		}
		if d := apart(&zz, id); d > 2e-14*math.Sqrt(float64(n)) {
			t.Errorf("%s: vectors are off orthogonality by %v", name, d)
		}
		if !slices.IsSorted(w) {
			t.Errorf("%s: eigenvalues do not ascend", name)
		}
		var g mat.EigenSym
		if name != "tiny" && g.Factorize(a, false) { // gonum fails on numbers that it must scale
			for i, v := range g.Values(nil) {
				if math.Abs(v-w[i]) > 1e-13*norm*float64(n) {
					t.Errorf("%s: eigenvalue %d is %v, gonum has %v", name, i, w[i], v)
				}
			}
		}
	}
	bad := spd(rng, 20)
	bad.SetSym(3, 4, math.NaN())
	if _, _, err := EigenSym(bad); !errors.Is(err, ErrNoConvergence) {
		t.Errorf("NaN: %v", err)
	}
}

func eigenvectors(rng *rand.Rand, n int) (*mat.Dense, []float64, error) {
	w, z, err := EigenSym(spd(rng, n))
	return z, w, err
}

// TestProcessors: the same bits for any number of processors.
func TestProcessors(t *testing.T) {
	a := spd(rand.New(rand.NewPCG(4, 0)), 300)
	run := func() []float64 {
		l, err := Cholesky(a)
		if err != nil {
			t.Fatal(err)
		}
		_, z, err := EigenSym(a)
		if err != nil {
			t.Fatal(err)
		}
		return append(slices.Clone(l.RawTriangular().Data), z.RawMatrix().Data...)
	}
	want := run()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, p := range []int{1, 3} {
		runtime.GOMAXPROCS(p)
		if !slices.Equal(run(), want) {
			t.Errorf("%d processors give other bits", p)
		}
	}
}

func BenchmarkCholesky(b *testing.B) {
	for _, n := range []int{512, 1024, 2048} {
		a := spd(rand.New(rand.NewPCG(5, 0)), n)
		b.Run(fmt.Sprint("n=", n), func(b *testing.B) {
			for b.Loop() {
				if _, err := Cholesky(a); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEigenSym(b *testing.B) {
	for _, n := range []int{512, 1024, 2048} {
		a := spd(rand.New(rand.NewPCG(5, 0)), n)
		b.Run(fmt.Sprint("n=", n), func(b *testing.B) {
			for b.Loop() {
				if _, _, err := EigenSym(a); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkMul(b *testing.B) {
	for _, n := range []int{512, 1024, 2048} {
		a := random(rand.New(rand.NewPCG(5, 0)), n, n)
		b.Run(fmt.Sprint("n=", n), func(b *testing.B) {
			for b.Loop() {
				Mul(a, a, false, false)
			}
		})
	}
}
