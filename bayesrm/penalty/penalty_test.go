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

// TestGoldenEnsemble compares equations 20–22, WCO, UWO, the total variance and the robust reward with exact arithmetic
// (golden/tables/penalties.json).
func TestGoldenEnsemble(t *testing.T) {
	b, err := os.ReadFile(check.Data(t, "golden", "tables", "penalties.json"))
	if err != nil {
		t.Fatal(err)
	}
	var g struct {
		Rewards, Variances [][]float64
		Ensemble           struct {
			Mean  []float64 `json:"mean_eq20"`
			Var   []float64 `json:"variance_eq20"`
			Total []float64 `json:"mixture_variance_total"`
			WCO   []float64 `json:"wco_min"`
		}
		Laplace []struct {
			K   float64
			Std []float64 `json:"std_eq21"`
			Var []float64 `json:"variance_eq22"`
		} `json:"laplace_ensemble"`
		UWO []struct {
			Lambda float64
			DDOF0  []float64
		}
		Pessimism struct {
			Beta   float64
			Reward []float64 `json:"minus_beta_log_E_exp_minus_r_over_beta"`
		}
	}
	if err := json.Unmarshal(b, &g); err != nil {
		t.Fatal(err)
	}
	var beliefs []bayesrm.Belief
	for i := range g.Rewards[0] {
		var ms []bayesrm.Belief
		for m := range g.Rewards {
			ms = append(ms, bayesrm.Belief{Mean: g.Rewards[m][i], Var: g.Variances[m][i]})
		}
		beliefs = append(beliefs, Average(ms))
	}
	values := func(bs []bayesrm.Belief, f Func) (vs []float64) {
		for _, s := range Apply(f, bs) {
			vs = append(vs, s.Value)
		}
		return vs
	}
	variance := func(b bayesrm.Belief) float64 { return b.Var }
	check.Close(t, "mean", values(beliefs, Mean()), g.Ensemble.Mean, 1e-12, 0)
	check.Close(t, "variance", values(beliefs, variance), g.Ensemble.Var, 1e-12, 0)
	check.Close(t, "total variance", values(beliefs, Total(variance)), g.Ensemble.Total, 1e-12, 0)
	check.Close(t, "WCO", values(beliefs, WCO()), g.Ensemble.WCO, 1e-12, 0)
	for _, l := range g.Laplace {
		check.Close(t, "eq. 21", values(beliefs, StdOf(l.K)), l.Std, 1e-12, 1e-12)
		check.Close(t, "eq. 22", values(beliefs, VarOf(l.K)), l.Var, 1e-12, 1e-12)
	}
	for _, u := range g.UWO {
		check.Close(t, "UWO", values(beliefs, UWO(u.Lambda)), u.DDOF0, 1e-12, 1e-12)
	}
	check.Close(t, "robust", values(beliefs, Total(Robust(g.Pessimism.Beta))), g.Pessimism.Reward, 1e-12, 1e-12)
}

// TestEnsembleOfEqualMembers: M equal members have the variance Λ/M and no disagreement; controls reach the members.
func TestEnsembleOfEqualMembers(t *testing.T) {
	m := bayesrm.Belief{ID: "a", Mean: 2, Var: 8, RelVar: 4, PriorVar: 16, PriorRelVar: 12}
	b := Average([]bayesrm.Belief{m, m, m, m})
	variance := func(b bayesrm.Belief) float64 { return b.Var }
	for _, tt := range []struct {
		name string
		f    Func
		want float64
	}{
		{"variance", variance, 2}, {"relative", Relative(variance), 1}, {"total", Total(variance), 8},
		{"relative total", Relative(Total(variance)), 4}, {"prior total", Prior(Total(variance)), 16},
		{"disagreement", Disagreement(variance), 0}, {"WCO", WCO(), 2},
		{"5 % quantile", Quantile(0.05), 2 - 1.6448536269514722*math.Sqrt2},
	} {
		if got := tt.f(b); math.Abs(got-tt.want) > 1e-12 {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	for name, f := range map[string]Func{"WCO": WCO(), "UWO": UWO(1), "total": Total(Mean())} {
		if got := f(m); !math.IsNaN(got) {
			t.Errorf("%s of a single model gives %v", name, got)
		}
	}
	if m.Var != 8 || b.Members[0].Var != 8 {
		t.Error("a penalty changed the belief that it was given")
	}
}

// TestMember: a member is penalised as if it were alone.
func TestMember(t *testing.T) {
	b := Average([]bayesrm.Belief{{Mean: 1, Var: 4}, {Mean: 3, Var: 1}})
	if got := Member(1, StdOf(2))(b); got != 1 {
		t.Errorf("%v, want 3 − 2·1", got)
	}
	if got := Member(0, Relative(VarOf(1)))(Average([]bayesrm.Belief{{Mean: 1, Var: 4, RelVar: 0.5}})); got != 0.5 {
		t.Errorf("%v, want 1 − 0.5", got)
	}
	if !math.IsNaN(Member(2, Mean())(b)) {
		t.Error("a member that is not there")
	}
}
