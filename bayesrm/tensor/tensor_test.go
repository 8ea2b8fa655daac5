package tensor

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// everyLevel runs a test at each level that the processor has.
func everyLevel(t *testing.T, f func(t *testing.T)) {
	before := level
	defer use(before)
	for _, l := range levels() {
		use(l)
		t.Run(levelNames[l], f)
	}
}

func randn[T float](rng *rand.Rand, n int) []T {
	x := make([]T, n)
	for i := range x {
		x[i] = T(rng.NormFloat64())
	}
	return x
}

// guarded is a slice with canaries on both sides.
type guarded[T float] struct{ all, x []T }

func guard[T float](x []T) guarded[T] {
	all := make([]T, len(x)+64)
	for i := range all {
		all[i] = 7e7
	}
	copy(all[32:], x)
	return guarded[T]{all, all[32 : 32+len(x) : 32+len(x)]}
}

func (g guarded[T]) check(t *testing.T, what string) {
	t.Helper()
	for i, v := range g.all {
		if (i < 32 || i >= 32+len(g.x)) && v != 7e7 {
			t.Fatalf("%s: wrote beyond its buffer, at %d of %d", what, i-32, len(g.x))
		}
	}
}

// naive is Σ_k a(i,k)·b(k,j) in float64.
func naive(n, m, k int, a, b func(i, j int) float64) []float64 {
	y := make([]float64, n*m)
	for i := range n {
		for j := range m {
			for l := range k {
				y[i*m+j] += a(i, l) * b(l, j)
			}
		}
	}
	return y
}

func near[T float](t *testing.T, what string, got []T, want []float64, plus []T, tol float64) {
	t.Helper()
	for i := range want {
		w := want[i]
		if plus != nil {
			w += float64(plus[i])
		}
		if math.Abs(float64(got[i])-w) > tol*(1+math.Abs(w)) {
			t.Fatalf("%s: element %d is %v, want %v", what, i, got[i], w)
		}
	}
}

// shapes are all small sizes, each with inner dimensions that move with it, and some that straddle the blocks.
func shapes() [][3]int {
	s := [][3]int{{200, 250, 70}, {129, 385, 33}, {1, 1000, 5}, {400, 40, 1100}, {30, 3200, 20}, {17, 33, 577}, {5, 1030, 70}, {3, 0, 4}, {2, 3, 0}}
	for n := 1; n <= 70; n++ {
		for m := 1; m <= 70; m++ {
			if testing.Short() && (n*71+m)%17 != 0 {
				continue
			}
			s = append(s, [3]int{n, m, (n*7+m*3)%70 + 1})
		}
	}
	return s
}

func TestMatMul(t *testing.T) {
	everyLevel(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 0))
		for _, s := range shapes() {
			n, m, k := s[0], s[1], s[2]
			a, b, c := guard(randn[float32](rng, n*k)), guard(randn[float32](rng, k*m)), randn[float32](rng, n*m)
			tol := 1e-6 * float64(k+8)
			y := guard(c)
			result := func(what string, want []float64, plus []float32) {
				t.Helper()
				near(t, fmt.Sprint(what, s), y.x, want, plus, tol)
				y.check(t, fmt.Sprint(what, s))
			}
			at := func(x []float32, ld int) func(i, j int) float64 {
				return func(i, j int) float64 { return float64(x[i*ld+j]) }
			}
			turned := func(x []float32, ld int) func(i, j int) float64 {
				return func(i, j int) float64 { return float64(x[j*ld+i]) }
			}
			want := naive(n, m, k, at(a.x, k), turned(b.x, k))
			MatMulNT(y.x, a.x, b.x, n, m, k, true)
			result("NT add", want, c)
			MatMulNT(y.x, a.x, b.x, n, m, k, false)
			result("NT", want, nil)
			plain := slices.Clone(y.x)
			Pack(b.x, m, k).MatMul(y.x, a.x, n, false)
			for i, v := range y.x {
				if v != plain[i] {
					t.Fatalf("packed %v: element %d is %v, not packed %v", s, i, v, plain[i])
				}
			}
			MatMulNN(y.x, a.x, b.x, n, m, k, false)
			result("NN", naive(n, m, k, at(a.x, k), at(b.x, m)), nil)
			plain = slices.Clone(y.x)
			p := Pack(b.x, k, m)
			p.MatMulNN(y.x, a.x, n, false)
			if !slices.Equal(y.x, plain) || !slices.Equal(p.Unpack(), b.x) {
				t.Fatalf("packed NN %v differs", s)
			}
			copy(y.x, c)
			MatMulTN(y.x, a.x, b.x, k, n, m)
			result("TN", naive(n, m, k, turned(a.x, n), at(b.x, m)), c)
		}
	})
}

// TestMatMulAll: several products of one x are the bits of each alone, for any number of processors.
func TestMatMulAll(t *testing.T) {
	everyLevel(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 2))
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
		for _, s := range [][2]int{{1, 70}, {1, 1200}, {9, 600}, {64, 600}, {450, 70}} {
			N, in := s[0], s[1]
			x := randn[float32](rng, N*in)
			var ys []guarded[float32]
			var want [][]float32
			var ps []Product
			for i, out := range []int{100, 5, 3300, 64} {
				w := Pack(randn[float32](rng, out*in), out, in)
				y := randn[float32](rng, N*out)
				ys = append(ys, guard(y))
				ps = append(ps, Product{Y: ys[i].x, W: w, Add: i%2 == 0})
				w.MatMul(y, x, N, i%2 == 0)
				want = append(want, y)
			}
			before := make([][]float32, len(ys))
			for i := range ys {
				before[i] = slices.Clone(ys[i].x)
			}
			for _, procs := range []int{1, 2, 3} {
				runtime.GOMAXPROCS(procs)
				for i := range ys {
					copy(ys[i].x, before[i])
				}
				MatMulAll(x, N, ps...)
				for i := range ys {
					ys[i].check(t, fmt.Sprint(s, i))
					if !slices.Equal(ys[i].x, want[i]) {
						t.Errorf("%v, %d processors: product %d differs from itself alone", s, procs, i)
					}
				}
			}
		}
	})
}

func TestMatMul64(t *testing.T) {
	everyLevel(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 1))
		for i, s := range shapes() {
			n, m, k := s[0], s[1], s[2]
			a, b, c := guard(randn[float64](rng, n*k)), guard(randn[float64](rng, k*m)), randn[float64](rng, n*m)
			transA, transB, add := i&1 != 0, i&2 != 0, i&4 != 0
			lda, ldb := k, m
			if transA {
				lda = n
			}
			if transB {
				ldb = k
			}
			y := guard(c)
			MatMul64(y.x, m, n, m, k, a.x, lda, transA, b.x, ldb, transB, add)
			at := func(x []float64, ld int, trans bool) func(i, j int) float64 {
				return func(i, j int) float64 {
					if trans {
						i, j = j, i
					}
					return x[i*ld+j]
				}
			}
			var plus []float64
			if add {
				plus = c
			}
			near(t, fmt.Sprint(s, transA, transB), y.x, naive(n, m, k, at(a.x, lda, transA), at(b.x, ldb, transB)), plus, 1e-13*float64(k+8))
			y.check(t, fmt.Sprint(s))
		}
	})
}

// TestRowsAlone: a row's product is the same bits alone, among others, and for any number of processors.
func TestRowsAlone(t *testing.T) {
	everyLevel(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(2, 0))
		const N, out, in = 300, 200, 600
		x, w := randn[float32](rng, N*in), randn[float32](rng, out*in)
		all := make([]float32, N*out)
		MatMulNT(all, x, w, N, out, in, false)
		for _, rows := range []int{1, 2, 9, 16, 23} {
			some := make([]float32, rows*out)
			for _, n := range []int{0, 63, 64, 277} {
				MatMulNT(some, x[n*in:(n+rows)*in], w, rows, out, in, false)
				if !slices.Equal(some, all[n*out:(n+rows)*out]) {
					t.Fatalf("%d rows from row %d differ alone and among %d", rows, n, N)
				}
			}
		}
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
		again := make([]float32, N*out)
		for _, procs := range []int{1, 2, 3, 7} {
			runtime.GOMAXPROCS(procs)
			MatMulNT(again, x, w, N, out, in, false)
			if !slices.Equal(again, all) {
				t.Errorf("%d processors give other bits", procs)
			}
		}
	})
}

// TestKernels compares every elementwise kernel with its plain version on lengths 1 to 70, with canaries, and checks that
// an element does not depend on where it lies.
func TestKernels(t *testing.T) {
	type call func(p [][]float32) []float32
	p := func(x []float32) *float32 { return &x[0] }
	list := func(x ...float32) []float32 { return x }
	two := func(a, b float32) []float32 { return []float32{a, b} }
	kernels := []struct {
		name        string
		ptrs, write int
		f, plain    call
	}{
		{"axpy", 2, 1, func(x [][]float32) []float32 { axpy(p(x[0]), p(x[1]), len(x[0]), 0.7); return nil }, func(x [][]float32) []float32 { axpyGo(p(x[0]), p(x[1]), len(x[0]), 0.7); return nil }},
		{"dot", 2, 0, func(x [][]float32) []float32 { return list(dot(p(x[0]), p(x[1]), len(x[0]))) }, func(x [][]float32) []float32 { return list(dotGo(p(x[0]), p(x[1]), len(x[0]))) }},
		{"scale", 1, 1, func(x [][]float32) []float32 { scale(p(x[0]), len(x[0]), 0.7); return nil }, func(x [][]float32) []float32 { scaleGo(p(x[0]), len(x[0]), 0.7); return nil }},
		{"sum", 1, 0, func(x [][]float32) []float32 { return list(sum(p(x[0]), len(x[0]))) }, func(x [][]float32) []float32 { return list(sumGo(p(x[0]), len(x[0]))) }},
		{"largest", 1, 0, func(x [][]float32) []float32 { return list(largest(p(x[0]), len(x[0]))) }, func(x [][]float32) []float32 { return list(largestGo(p(x[0]), len(x[0]))) }},
		{"expShift", 2, 1, func(x [][]float32) []float32 { return list(expShift(p(x[0]), p(x[1]), len(x[0]), 0.7)) }, func(x [][]float32) []float32 { return list(expShiftGo(p(x[0]), p(x[1]), len(x[0]), 0.7)) }},
		{"deviation", 1, 0, func(x [][]float32) []float32 { return list(deviation(p(x[0]), len(x[0]), 0.7)) }, func(x [][]float32) []float32 { return list(deviationGo(p(x[0]), len(x[0]), 0.7)) }},
		{"normalise", 4, 1, func(x [][]float32) []float32 {
			normalise(p(x[0]), p(x[1]), p(x[2]), p(x[3]), len(x[0]), 0.3, 0.7)
			return nil
		}, func(x [][]float32) []float32 {
			normaliseGo(p(x[0]), p(x[1]), p(x[2]), p(x[3]), len(x[0]), 0.3, 0.7)
			return nil
		}},
		{"normaliseRMS", 3, 1, func(x [][]float32) []float32 { normaliseRMS(p(x[0]), p(x[1]), p(x[2]), len(x[0]), 0.7); return nil }, func(x [][]float32) []float32 { normaliseRMSGo(p(x[0]), p(x[1]), p(x[2]), len(x[0]), 0.7); return nil }},
		{"normSums", 3, 0, func(x [][]float32) []float32 { return two(normSums(p(x[0]), p(x[1]), p(x[2]), len(x[0]), 0.3, 0.7)) }, func(x [][]float32) []float32 { return two(normSumsGo(p(x[0]), p(x[1]), p(x[2]), len(x[0]), 0.3, 0.7)) }},
		{"normGrad", 4, 1, func(x [][]float32) []float32 {
			normGrad(p(x[0]), p(x[1]), p(x[2]), p(x[3]), len(x[0]), 0.3, 0.7, 0.2, 0.4)
			return nil
		}, func(x [][]float32) []float32 {
			normGradGo(p(x[0]), p(x[1]), p(x[2]), p(x[3]), len(x[0]), 0.3, 0.7, 0.2, 0.4)
			return nil
		}},
		{"normGradWeight", 3, 1, func(x [][]float32) []float32 {
			normGradWeight(p(x[0]), p(x[1]), p(x[2]), len(x[0]), 0.3, 0.7)
			return nil
		}, func(x [][]float32) []float32 {
			normGradWeightGo(p(x[0]), p(x[1]), p(x[2]), len(x[0]), 0.3, 0.7)
			return nil
		}},
		{"gelu", 2, 1, func(x [][]float32) []float32 { gelu(p(x[0]), p(x[1]), len(x[0])); return nil }, func(x [][]float32) []float32 { geluGo(p(x[0]), p(x[1]), len(x[0])); return nil }},
		{"geluGrad", 3, 1, func(x [][]float32) []float32 { geluGrad(p(x[0]), p(x[1]), p(x[2]), len(x[0])); return nil }, func(x [][]float32) []float32 { geluGradGo(p(x[0]), p(x[1]), p(x[2]), len(x[0])); return nil }},
		{"geluTanh", 2, 1, func(x [][]float32) []float32 { geluTanh(p(x[0]), p(x[1]), len(x[0])); return nil }, func(x [][]float32) []float32 { geluTanhGo(p(x[0]), p(x[1]), len(x[0])); return nil }},
		{"geluTanhGrad", 3, 1, func(x [][]float32) []float32 { geluTanhGrad(p(x[0]), p(x[1]), p(x[2]), len(x[0])); return nil }, func(x [][]float32) []float32 { geluTanhGradGo(p(x[0]), p(x[1]), p(x[2]), len(x[0])); return nil }},
		{"swiglu", 3, 1, func(x [][]float32) []float32 { swiglu(p(x[0]), p(x[1]), p(x[2]), len(x[0])); return nil }, func(x [][]float32) []float32 { swigluGo(p(x[0]), p(x[1]), p(x[2]), len(x[0])); return nil }},
		{"swigluGrad", 5, 2, func(x [][]float32) []float32 {
			swigluGrad(p(x[0]), p(x[1]), p(x[2]), p(x[3]), p(x[4]), len(x[0]))
			return nil
		}, func(x [][]float32) []float32 {
			swigluGradGo(p(x[0]), p(x[1]), p(x[2]), p(x[3]), p(x[4]), len(x[0]))
			return nil
		}},
		{"rotate", 4, 2, func(x [][]float32) []float32 { rotate(p(x[0]), p(x[1]), p(x[2]), p(x[3]), len(x[0])); return nil }, func(x [][]float32) []float32 { rotateGo(p(x[0]), p(x[1]), p(x[2]), p(x[3]), len(x[0])); return nil }},
		{"adamw", 4, 3, func(x [][]float32) []float32 {
			adamw(p(x[0]), p(x[1]), p(x[2]), p(x[3]), len(x[0]), 0.9, 0.1, 0.99, 0.01, 0.3, 1.2, 1e-3, 0.98)
			return nil
		}, func(x [][]float32) []float32 {
			adamwGo(p(x[0]), p(x[1]), p(x[2]), p(x[3]), len(x[0]), 0.9, 0.1, 0.99, 0.01, 0.3, 1.2, 1e-3, 0.98)
			return nil
		}},
	}
	everyLevel(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(3, 0))
		for _, k := range kernels {
			for n := 1; n <= 70; n++ {
				var got, want [][]float32
				var gs []guarded[float32]
				for i := range k.ptrs {
					x := randn[float32](rng, n)
					for j := range x {
						x[j] *= 3
						if i == 2 && k.name == "adamw" {
							x[j] *= x[j] // a second moment
						}
					}
					g := guard(x)
					gs, got, want = append(gs, g), append(got, g.x), append(want, x)
				}
				first := make([][]float32, k.ptrs) // the last element alone
				for i := range first {
					first[i] = slices.Clone(want[i][n-1:])
				}
				r, rw := k.f(got), k.plain(want)
				what := fmt.Sprintf("%s on %d elements", k.name, n)
				for i, g := range gs {
					g.check(t, what)
					if i >= k.write && !slices.Equal(got[i], want[i]) {
						t.Fatalf("%s: operand %d has changed", what, i)
					}
				}
				for i := range k.write {
					for j := range got[i] {
						if d := math.Abs(float64(got[i][j] - want[i][j])); d > 2e-6*(1+math.Abs(float64(want[i][j]))) {
							t.Fatalf("%s: operand %d, element %d: %v, want %v", what, i, j, got[i][j], want[i][j])
						}
					}
				}
				for i := range r {
					if d := math.Abs(float64(r[i] - rw[i])); d > 3e-6*float64(n)*(1+math.Abs(float64(rw[i]))) {
						t.Fatalf("%s: result %d: %v, want %v", what, i, r[i], rw[i])
					}
				}
				k.f(first)
				for i := range k.write {
					if first[i][0] != got[i][n-1] {
						t.Fatalf("%s: operand %d: the last element is %v, alone %v", what, i, got[i][n-1], first[i][0])
					}
				}
			}
		}
	})
}

// TestExp compares exp and erf with package math over their range, and at its ends.
func TestExp(t *testing.T) {
	everyLevel(t, func(t *testing.T) {
		one := func(x float32) float64 {
			y := x
			expShift(&y, &x, 1, 0)
			return float64(y)
		}
		for x := -90.0; x < 90; x += 0.0137 {
			got, want := one(float32(x)), math.Exp(float64(float32(x)))
			if x > 88.72 {
				if !math.IsInf(got, 1) && math.Abs(got-want) > 2e-7*want {
					t.Fatalf("exp(%v) = %v", x, got)
				}
				continue
			}
			if x < -86.9 {
				if got > 3e-38 {
					t.Fatalf("exp(%v) = %v", x, got)
				}
				continue
			}
			if math.Abs(got-want) > 2.4e-7*want {
				t.Fatalf("exp(%v) = %v, want %v", x, got, want)
			}
			v := float32(x / 15)
			y := v
			gelu(&y, &v, 1)
			if want := float64(v) * 0.5 * math.Erfc(-float64(v)/math.Sqrt2); math.Abs(float64(y)-want) > 1.5e-6 {
				t.Fatalf("gelu(%v) = %v, want %v", v, y, want)
			}
		}
		for _, x := range []float64{math.Inf(-1), math.Inf(1), math.NaN()} {
			if got, want := one(float32(x)), math.Exp(x); got != want && !(math.IsNaN(got) && math.IsNaN(want)) {
				t.Errorf("exp(%v) = %v", x, got)
			}
		}
	})
}

// TestColumns: a column kernel, a transposition and a sweep of rotations equal their plain versions.
func TestColumns(t *testing.T) {
	everyLevel(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(4, 0))
		for n := 1; n < 40; n++ {
			ld := lanes + n%3
			x, d := guard(randn[float32](rng, n*ld)), guard(randn[float32](rng, n*ld))
			m, s := randn[float32](rng, lanes), make([]float32, lanes)
			xw, dw, mw, sw := slices.Clone(x.x), slices.Clone(d.x), slices.Clone(m), slices.Clone(s)
			colMax(&x.x[0], &m[0], n, 4*ld)
			colMaxGo(&xw[0], &mw[0], n, 4*ld)
			colExp(&x.x[0], &m[0], &s[0], n, 4*ld, 0.7)
			colExpGo(&xw[0], &mw[0], &sw[0], n, 4*ld, 0.7)
			colGrad(&d.x[0], &x.x[0], &m[0], n, 4*ld, 0.7)
			colGradGo(&dw[0], &xw[0], &mw[0], n, 4*ld, 0.7)
			x.check(t, "colExp")
			d.check(t, "colGrad")
			for _, p := range [][2][]float32{{m, mw}, {s, sw}, {x.x, xw}, {d.x, dw}} {
				for i := range p[0] {
					if math.Abs(float64(p[0][i]-p[1][i])) > 1e-5 {
						t.Fatalf("%d rows: %v, want %v", n, p[0][i], p[1][i])
					}
				}
			}
		}
		for blocks := 1; blocks < 4; blocks++ {
			src, dst := randn[float32](rng, lanes*(blocks*lanes+3)), guard(make([]float32, blocks*lanes*(lanes+1)))
			transpose(&dst.x[0], &src[0], blocks, 4*(lanes+1), 4*(blocks*lanes+3))
			dst.check(t, "transpose")
			for i := range lanes {
				for j := range blocks * lanes {
					if dst.x[j*(lanes+1)+i] != src[i*(blocks*lanes+3)+j] {
						t.Fatalf("transpose of %d blocks: element %d, %d", blocks, i, j)
					}
				}
			}
		}
		for _, f := range []struct {
			width    int
			fast, of func(z, c, s *float64, n, ld int)
		}{{8 * lanes64, rotations8, rotations8Go}, {lanes64, rotations1, rotations1Go}} {
			const n = 9
			z, c, s := guard(randn[float64](rng, (n+1)*f.width)), randn[float64](rng, n), randn[float64](rng, n)
			want := slices.Clone(z.x)
			f.fast(&z.x[0], &c[0], &s[0], n, 8*f.width)
			f.of(&want[0], &c[0], &s[0], n, 8*f.width)
			z.check(t, "rotations")
			for i := range want {
				if math.Abs(z.x[i]-want[i]) > 1e-12*(1+math.Abs(want[i])) {
					t.Fatalf("rotations of %d columns: element %d is %v, want %v", f.width, i, z.x[i], want[i])
				}
			}
		}
	})
}

// TestAttendStep: each query sees the shared keys and its own, as a softmax over both in float64 says.
func TestAttendStep(t *testing.T) {
	everyLevel(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(6, 0))
		for D := 1; D <= 80; D++ {
			prefix, n := rng.IntN(40), 1+rng.IntN(QueryBlock)
			keys, values := randn[float32](rng, D*200), randn[float32](rng, D*200)
			var shared KV
			shared.Reset(D, prefix)
			shared.Append(keys, D, values, D, prefix)
			own := make([]KV, n)
			var q Queries
			queries := randn[float32](rng, n*D)
			q.Load(n, D, func(i int) []float32 { return queries[i*D:] }, func(int) int { return 0 })
			for i := range own {
				own[i].Reset(D, 1)
				for k := range 1 + rng.IntN(130) { // a row at a time, each at another place of keys
					own[i].Append(keys[(prefix+(i+k)%160)*D:], D, values[(prefix+(i+k)%160)*D:], D, 1)
				}
			}
			out := guard(make([]float32, n*D))
			q.AttendStep(&shared, func(i int) *KV { return &own[i] }, func(i int) []float32 { return out.x[i*D:] })
			out.check(t, "AttendStep")
			for i := range own {
				want, sum := make([]float64, D), 0.0
				for j := range prefix + own[i].Len {
					at, score := j, 0.0
					if j >= prefix {
						at = prefix + (i+j-prefix)%160
					}
					for d := range D {
						score += float64(queries[i*D+d]) * float64(keys[at*D+d])
					}
					w := math.Exp(score / math.Sqrt(float64(D)))
					sum += w
					for d := range want {
						want[d] += w * float64(values[at*D+d])
					}
				}
				for d := range want {
					want[d] /= sum
				}
				near(t, fmt.Sprintf("width %d, query %d", D, i), out.x[i*D:(i+1)*D], want, nil, 1e-5)
			}
		}
	})
}

func TestSoftmax(t *testing.T) {
	everyLevel(t, func(t *testing.T) {
		x := []float32{1000, 1001, 999}
		lse := Softmax(x)
		want := []float64{0.24472847, 0.66524096, 0.09003057}
		for i := range x {
			if math.Abs(float64(x[i])-want[i]) > 1e-6 {
				t.Errorf("softmax[%d] = %v, want %v", i, x[i], want[i])
			}
		}
		if math.Abs(float64(lse)-1001.4076) > 1e-3 {
			t.Errorf("log-sum-exp %v", lse)
		}
	})
}

// TestForcedLevel: BAYESRM_CPU chooses the level of a process; a level that the processor lacks is an error that says so.
func TestForcedLevel(t *testing.T) {
	if os.Getenv("TENSOR_TEST_CHILD") != "" {
		fmt.Println("level", Level())
		return
	}
	for _, name := range append(Levels(), "avx1024") {
		cmd := exec.Command(os.Args[0], "-test.run=TestForcedLevel", "-test.v")
		cmd.Env = append(os.Environ(), "TENSOR_TEST_CHILD=1", "BAYESRM_CPU="+name)
		out, err := cmd.CombinedOutput()
		if errors.Is(err, syscall.ENOEXEC) {
			t.Skip("an emulated program cannot start itself")
		}
		if name == "avx1024" {
			if err == nil || !strings.Contains(string(out), "this processor has "+strings.Join(Levels(), ", ")) {
				t.Errorf("a level that is not there: %v\n%s", err, out)
			}
		} else if err != nil || !strings.Contains(string(out), "level "+name) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

func BenchmarkMatMulNT(b *testing.B) {
	for _, s := range [][3]int{{500, 144, 48}, {500, 256, 64}, {500, 1536, 512}, {4000, 512, 2048}, {4000, 2048, 512}, {1, 1536, 576}, {64, 1536, 576}, {4000, 8, 512}} {
		b.Run(fmt.Sprintf("N=%d/out=%d/in=%d", s[0], s[1], s[2]), func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, 0))
			x, w, y := randn[float32](rng, s[0]*s[2]), Pack(randn[float32](rng, s[1]*s[2]), s[1], s[2]), make([]float32, s[0]*s[1])
			for b.Loop() {
				w.MatMul(y, x, s[0], false)
			}
			b.ReportMetric(2*float64(s[0]*s[1]*s[2])*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
	}
}

// TestParallel: every number once, also nested and from many goroutines; a panic comes out in the caller.
func TestParallel(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for n := range 200 {
				seen := make([]atomic.Int32, n*3)
				Parallel(n, func(i int) {
					Parallel(3, func(k int) { seen[i*3+k].Add(1) })
				})
				for i := range seen {
					if v := seen[i].Load(); v != 1 {
						t.Errorf("number %d of %d was called %d times", i, len(seen), v)
					}
				}
			}
		})
	}
	wg.Wait()
	defer func() {
		if p := recover(); p != "oh" {
			t.Errorf("recovered %v", p)
		}
		Parallel(3, func(int) {}) // still works
	}()
	Parallel(10, func(i int) {
		if i == 7 {
			panic("oh")
		}
	})
}
