package bestofn

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strconv"
	"testing"

	"gobayes/bayesrm/internal/check"

	"gonum.org/v1/gonum/stat/combin"
)

// TestFiniteSupport compares with METHODS §10.2.
func TestFiniteSupport(t *testing.T) {
	for _, tt := range []struct{ p, want []float64 }{
		{[]float64{.5, .5}, []float64{0.130812, 0.459356, 0.692963, 0.693147}},
		{[]float64{.25, .25, .25, .25}, []float64{0.173980, 0.590310, 1.330075, 1.386294}},
		{[]float64{.6, .3, .1}, []float64{0.120514, 0.522310, 1.617364, 2.292161}},
		{[]float64{.1, .3, .6}, []float64{0.155639, 0.408928, 0.510819, 0.510826}},
	} {
		for i, n := range []int{2, 4, 16, 64} {
			check.Close(t, fmt.Sprint(tt.p, n), []float64{ExactKL(tt.p, n)}, tt.want[i:i+1], 5e-7, 0)
		}
	}
}

// TestGoldenKL compares exact distances, Beirami's estimator and Gao's fits with golden/tables/kl.json.
func TestGoldenKL(t *testing.T) {
	b, err := os.ReadFile(check.Data(t, "golden", "tables", "kl.json"))
	if err != nil {
		t.Fatal(err)
	}
	var g struct {
		Finite []struct {
			P []float64 `json:"p_ascending_reward"`
			N map[string]struct {
				Exact   float64 `json:"exact_kl"`
				Beirami float64 `json:"expected_beirami"`
			}
		} `json:"finite_support"`
		Single []struct {
			N       int
			Epsilon float64
			KL      float64
		} `json:"beirami_single"`
		Fits []struct {
			Form        string
			D, R        []float64
			Alpha, Beta float64
			PeakD       float64 `json:"d_star"`
			PeakR       float64 `json:"R_star"`
		} `json:"gao_fits"`
	}
	if err := json.Unmarshal(b, &g); err != nil {
		t.Fatal(err)
	}
	for _, f := range g.Finite {
		for s, want := range f.N {
			n, _ := strconv.Atoi(s)
			check.Close(t, "exact", []float64{ExactKL(f.P, n)}, []float64{want.Exact}, 1e-12, 1e-12)
			var mean, below float64 // of the estimator over what best-of-n selects
			for _, p := range f.P {
				mean += (math.Pow(below+p, float64(n)) - math.Pow(below, float64(n))) * BeiramiKL(n, p)
				below += p
			}
			check.Close(t, "Beirami "+s, []float64{mean}, []float64{want.Beirami}, 1e-12, 1e-12)
		}
	}
	for _, s := range g.Single {
		check.Close(t, fmt.Sprintf("Beirami n=%d ε=%g", s.N, s.Epsilon), []float64{BeiramiKL(s.N, s.Epsilon)}, []float64{s.KL}, 1e-12, 1e-9)
	}
	for _, f := range g.Fits {
		fit := FitBoN
		if f.Form == "rl" {
			fit = FitRL
		}
		got, err := fit(f.D, f.R)
		if err != nil {
			t.Fatal(err)
		}
		check.Close(t, f.Form, []float64{got.Alpha, got.Beta, got.PeakD, got.PeakReward}, []float64{f.Alpha, f.Beta, f.PeakD, f.PeakR}, 0, 1e-8)
	}
	if _, err := FitBoN([]float64{1}, []float64{1}); err == nil {
		t.Error("one point is accepted")
	}
}

// TestSamePick counts over all subsets.
func TestSamePick(t *testing.T) {
	a, b := []float64{3, 1, 2, 2, 5, 0}, []float64{2, 6, 1, 4, 4, 0}
	pick := func(x []float64, s []int) int {
		best := s[0]
		for _, i := range s {
			if x[i] > x[best] {
				best = i
			}
		}
		return best
	}
	for n := 1; n <= len(a); n++ {
		subsets := combin.Combinations(len(a), n)
		var same float64
		for _, s := range subsets {
			if pick(a, s) == pick(b, s) {
				same++
			}
		}
		check.Close(t, fmt.Sprint("n = ", n), []float64{SamePick(a, b, n)}, []float64{same / float64(len(subsets))}, 1e-12, 0)
	}
}
