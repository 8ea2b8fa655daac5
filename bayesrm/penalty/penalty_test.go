package penalty

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"testing"

	"gobayes/bayesrm"
	"gobayes/bayesrm/internal/check"
)

// TestGolden compares equations 18 and 19 with exact arithmetic (golden/tables/penalties.json).
func TestGolden(t *testing.T) {
	b, err := os.ReadFile(check.Data(t, "golden", "tables", "penalties.json"))
	if err != nil {
		t.Fatal(err)
	}
	var g struct {
		Rewards, Variances [][]float64
		Single             []struct {
			K   float64
			Std []float64 `json:"std_penalised_eq18"`
			Var []float64 `json:"variance_penalised_eq19"`
		}
	}
	if err := json.Unmarshal(b, &g); err != nil {
		t.Fatal(err)
	}
	var beliefs []bayesrm.Belief
	for i, r := range g.Rewards[0] {
		beliefs = append(beliefs, bayesrm.Belief{ID: fmt.Sprint(i), Mean: r, Var: g.Variances[0][i]})
	}
	values := func(ss []bayesrm.Score) (vs []float64) {
		for i, s := range ss {
			if s.ID != fmt.Sprint(i) || s.Mean != g.Rewards[0][i] {
				t.Errorf("score %d is %+v", i, s)
			}
			vs = append(vs, s.Value)
		}
		return vs
	}
	for _, s := range g.Single {
		check.Close(t, fmt.Sprintf("std k=%g", s.K), values(Std(s.K, beliefs)), s.Std, 1e-12, 1e-12)
		check.Close(t, fmt.Sprintf("var k=%g", s.K), values(Var(s.K, beliefs)), s.Var, 1e-12, 1e-12)
	}
}

func TestRelativeAndControls(t *testing.T) {
	b := bayesrm.Belief{Mean: 2, Var: 9, RelVar: 4, PriorVar: 25, PriorRelVar: 16}
	for _, tt := range []struct {
		name string
		f    Func
		want float64
	}{
		{"mean", Mean(), 2},
		{"std", StdOf(2), 2 - 2*3},
		{"relative std", Relative(StdOf(2)), 2 - 2*2},
		{"relative var", Relative(VarOf(2)), 2 - 2*4},
		{"−Λ", Certainty(), -9},
		{"relative −Λ", Relative(Certainty()), -4},
		{"prior std", Prior(StdOf(2)), 2 - 2*5},
		{"relative prior std", Relative(Prior(StdOf(2))), 2 - 2*4},
		{"prior of relative std", Prior(Relative(StdOf(2))), 2 - 2*4},
	} {
		if got := tt.f(b); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	b.RelVar = math.NaN()
	if got := Relative(StdOf(1))(b); !math.IsNaN(got) {
		t.Errorf("a relative penalty without a pool gives %v", got)
	}
}
