package metrics

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"gobayes/bayesrm/internal/check"
)

func TestGolden(t *testing.T) {
	b, err := os.ReadFile(check.Data(t, "golden", "tables", "metrics.json"))
	if err != nil {
		t.Fatal(err)
	}
	var g struct {
		Label       []int
		Probability []float64
		NLL         float64
		ECE         float64 `json:"ece_15_confidence"`
		Brier       float64
		AUROC       float64
		Score       []float64 `json:"score_with_ties"`
		Other       []float64 `json:"other_with_ties"`
		AUROCTies   float64   `json:"auroc_with_ties"`
		Spearman    float64   `json:"spearman_with_ties"`
		Kendall     float64   `json:"kendall_tau_b_with_ties"`
	}
	if err := json.Unmarshal(b, &g); err != nil {
		t.Fatal(err)
	}
	var right []float64
	var happened []bool
	for i, l := range g.Label {
		p := g.Probability[i]
		if l == 0 {
			p = 1 - p
		}
		right, happened = append(right, p), append(happened, l == 1)
	}
	check.Close(t, "NLL", []float64{NLL(right)}, []float64{g.NLL}, 1e-12, 0)
	check.Close(t, "Brier", []float64{Brier(g.Probability, happened)}, []float64{g.Brier}, 1e-12, 0)
	check.Close(t, "AUROC", []float64{AUROC(g.Probability, happened), AUROC(g.Score, happened)}, []float64{g.AUROC, g.AUROCTies}, 1e-12, 0)
	check.Close(t, "Spearman", []float64{Spearman(g.Score, g.Other)}, []float64{g.Spearman}, 1e-12, 0)
	check.Close(t, "Kendall", []float64{Kendall(g.Score, g.Other)}, []float64{g.Kendall}, 1e-12, 0)
	check.Close(t, "ECE", []float64{ECE(g.Probability, happened, 15)}, []float64{g.ECE}, 1e-12, 0)
}

// TestBootstrap: the interval of n values of standard deviation s is about ±1.96 s/√n wide, and depends on the seed alone.
func TestBootstrap(t *testing.T) {
	var x []float64
	for i := range 400 {
		x = append(x, math.Sin(float64(i)*1.7)*math.Sqrt2) // mean ≈ 0, sd ≈ 1
	}
	iv := Bootstrap(x, 3)
	if half := (iv.Hi - iv.Lo) / 2; math.Abs(half-1.96/20) > 0.012 || math.Abs(iv.Mean) > 0.02 {
		t.Errorf("interval %v, want 0 ± %.3f", iv, 1.96/20)
	}
	if again := Bootstrap(x, 3); again != iv {
		t.Errorf("%v, then %v", iv, again)
	}
	if !math.IsNaN(Bootstrap(nil, 1).Mean) {
		t.Error("the mean of nothing is a number")
	}
}

// TestReliability: two predictions of confidence 0.6, one right, and two of 0.9, both right.
func TestReliability(t *testing.T) {
	p, happened := []float64{0.9, 0.6, 0.1, 0.4}, []bool{true, true, false, true}
	bins := Reliability(p, happened, 2)
	want := []Bin{{0.6, 0.5, 2}, {0.9, 1, 2}}
	for i, b := range bins {
		check.Close(t, "bin", []float64{b.Confidence, b.Accuracy, float64(b.Count)}, []float64{want[i].Confidence, want[i].Accuracy, float64(want[i].Count)}, 1e-12, 0)
	}
	if len(bins) != 2 {
		t.Errorf("%d bins", len(bins))
	}
	check.Close(t, "error", []float64{AdaptiveECE(p, happened, 2)}, []float64{0.1}, 1e-12, 0)
}

// TestBootstrapGroups: one group is the plain bootstrap; where groups differ more than their members, they make the interval.
func TestBootstrapGroups(t *testing.T) {
	v := []float64{1, 5, 2, 8, 3, 3}
	if a, b := Bootstrap(v, 4), BootstrapGroups([][]float64{v}, 4); a != b {
		t.Errorf("%v and %v", a, b)
	}
	groups := [][]float64{make([]float64, 50), make([]float64, 50), make([]float64, 50), make([]float64, 50)}
	for i := range 50 {
		groups[2][i], groups[3][i] = 1, 1
	}
	g, flat := BootstrapGroups(groups, 1), Bootstrap(append(append(append(append([]float64{}, groups[0]...), groups[1]...), groups[2]...), groups[3]...), 1)
	if g.Mean != 0.5 || g.Lo != 0 || g.Hi != 1 || flat.Hi-flat.Lo > 0.2 {
		t.Errorf("groups %v, flat %v", g, flat)
	}
}
