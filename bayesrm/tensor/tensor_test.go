package tensor

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"
)

func randn(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

// naive is Σ_k a(i,k)·b(k,j) in float64.
func naive(n, m, k int, a, b func(i, j int) float32) []float64 {
	y := make([]float64, n*m)
	for i := range n {
		for j := range m {
			for l := range k {
				y[i*m+j] += float64(a(i, l)) * float64(b(l, j))
			}
		}
	}
	return y
}

func TestMatMul(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0))
	sizes := []int{1, 2, 3, 7, 16, 63, 64, 65, 70}
	shapes := [][3]int{{200, 250, 70}, {129, 385, 33}, {1, 1000, 5}}
	for _, n := range sizes {
		for _, m := range sizes {
			shapes = append(shapes, [3]int{n, m, sizes[(n+m)%len(sizes)]})
		}
	}
	for _, s := range shapes {
		n, m, k := s[0], s[1], s[2]
		a, b, c := randn(rng, n*k), randn(rng, k*m), randn(rng, n*m)
		tol := 1e-6 * float64(k+8)
		equal := func(what string, got []float32, want []float64, plus []float32) {
			t.Helper()
			for i := range got {
				w := want[i]
				if plus != nil {
					w += float64(plus[i])
				}
				if math.Abs(float64(got[i])-w) > tol*(1+math.Abs(w)) {
					t.Fatalf("%s %v: element %d is %v, want %v", what, s, i, got[i], w)
				}
			}
		}
		// y = a[n,k]·b[m,k]ᵀ
		y := append([]float32{}, c...)
		want := naive(n, m, k, func(i, l int) float32 { return a[i*k+l] }, func(l, j int) float32 { return b[j*k+l] })
		MatMulNT(y, a, b, n, m, k, true)
		equal("NT add", y, want, c)
		MatMulNT(y, a, b, n, m, k, false)
		equal("NT", y, want, nil)
		// y = a[n,k]·b[k,m]
		want = naive(n, m, k, func(i, l int) float32 { return a[i*k+l] }, func(l, j int) float32 { return b[l*m+j] })
		MatMulNN(y, a, b, n, m, k, false)
		equal("NN", y, want, nil)
		// y += a[k,n]ᵀ·b[k,m]
		copy(y, c)
		want = naive(n, m, k, func(i, l int) float32 { return a[l*n+i] }, func(l, j int) float32 { return b[l*m+j] })
		MatMulTN(y, a, b, k, n, m)
		equal("TN", y, want, c)
	}
}

// TestRowsAlone: a row's product is the same bits alone, among others, and for any number of processors.
func TestRowsAlone(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 0))
	const N, out, in = 300, 200, 256
	x, w := randn(rng, N*in), randn(rng, out*in)
	all := make([]float32, N*out)
	MatMulNT(all, x, w, N, out, in, false)
	one := make([]float32, out)
	for _, n := range []int{0, 63, 64, 299} {
		MatMulNT(one, x[n*in:(n+1)*in], w, 1, out, in, false)
		for j := range one {
			if one[j] != all[n*out+j] {
				t.Fatalf("row %d, column %d: %v alone, %v among %d", n, j, one[j], all[n*out+j], N)
			}
		}
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	again := make([]float32, N*out)
	MatMulNT(again, x, w, N, out, in, false)
	if fmt.Sprint(again) != fmt.Sprint(all) {
		t.Error("one processor gives other bits than several")
	}
}

func TestExpErf(t *testing.T) {
	for x := -90.0; x < 90; x += 0.0137 {
		got, want := float64(Exp(float32(x))), math.Exp(float64(float32(x)))
		if x > 88.7 {
			if got < 3e38 {
				t.Fatalf("exp(%v) = %v", x, got)
			}
			continue
		}
		if x < -87.3 {
			want = 0
		}
		if math.Abs(got-want) > 2e-7*want {
			t.Fatalf("exp(%v) = %v, want %v", x, got, want)
		}
		if e := float64(Erf(float32(x / 20))); math.Abs(e-math.Erf(float64(float32(x/20)))) > 5e-7 {
			t.Fatalf("erf(%v) = %v, want %v", x/20, e, math.Erf(x/20))
		}
	}
	if v := Exp(float32(math.NaN())); v == v {
		t.Error("exp(NaN) is a number")
	}
}

func TestSoftmax(t *testing.T) {
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
}

func BenchmarkMatMulNT(b *testing.B) {
	for _, s := range [][3]int{{500, 144, 48}, {500, 256, 64}, {500, 1536, 512}} {
		b.Run(fmt.Sprintf("N=%d/out=%d/in=%d", s[0], s[1], s[2]), func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, 0))
			x, w, y := randn(rng, s[0]*s[2]), randn(rng, s[1]*s[2]), make([]float32, s[0]*s[1])
			for b.Loop() {
				MatMulNT(y, x, w, s[0], s[1], s[2], false)
			}
			b.ReportMetric(2*float64(s[0]*s[1]*s[2])*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
	}
}
