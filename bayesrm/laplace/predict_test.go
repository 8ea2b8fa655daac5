package laplace

import (
	"math"
	"strings"
	"testing"

	"gobayes/bayesrm"
	"gobayes/bayesrm/internal/check"
	"gobayes/bayesrm/llm"
	"gobayes/bayesrm/nn"
	"gobayes/bayesrm/safetensors"

	"gonum.org/v1/gonum/mat"
)

// TestGoldenPairs compares the variances of differences and the probabilities with golden/laplace_tiny.
func TestGoldenPairs(t *testing.T) {
	dir := check.Data(t, "golden", "laplace_tiny")
	m := goldenModel(t, dir)
	var g struct {
		Pairs      [][2][]int `json:"pairs_tokens"`
		MAP        []float64  `json:"pair_probability_map"`
		Probit     []float64  `json:"pair_probability_probit_full_at_star"`
		Structures map[string]struct {
			Delta float64 `json:"delta_star"`
		}
	}
	readGolden(t, dir, &g)
	ts, err := safetensors.Read(dir + "/golden.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	l, err := fit(t.Context(), m, flat(g.Pairs), &Options{PriorPrecision: g.Structures["full"].Delta})
	if err != nil {
		t.Fatal(err)
	}
	var at, probit, variance []float64
	err = l.pairGradients(t.Context(), "test", flat(g.Pairs), 0, func(diff []float64, d []float32) error {
		for i, v := range l.post.variances(d, len(diff)) {
			b := PairBelief{diff[i], v}
			at, probit, variance = append(at, b.MAP()), append(probit, b.Probit()), append(variance, b.Var)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var want []float64
	for _, v := range ts["pair_variance_full_at_star"].Data {
		want = append(want, float64(v))
	}
	check.Close(t, "variance", variance, want, 0, 1e-4)
	check.Close(t, "MAP", at, g.MAP, 1e-5, 0)
	check.Close(t, "probit", probit, g.Probit, 1e-5, 0)
}

// TestProbability: quadrature against a fine sum, and probit near it; the average over the posterior is less sure.
func TestProbability(t *testing.T) {
	for _, b := range []PairBelief{{0, 1}, {1, 0.3}, {2, 9}, {-3, 4}, {5, 100}, {0.2, 0.99}, {30, 1e4}, {0.5, 0}} {
		var want, norm float64
		for z := -12.; z <= 12; z += 1e-4 {
			w := math.Exp(-z * z / 2)
			want += w * nn.Sigmoid(b.Mean+math.Sqrt(b.Var)*z)
			norm += w
		}
		check.Close(t, "quadrature", []float64{b.Probability()}, []float64{want / norm}, 1e-10, 0)
		check.Close(t, "probit", []float64{b.Probit()}, []float64{want / norm}, 0.02, 0)
	}
}

func TestProbBest(t *testing.T) {
	cov := mat.NewSymDense(3, []float64{1, 0, 0, 0, 1, 1, 0, 1, 1}) // the last two move together, one below the other
	p, err := ProbBest([]float64{0, 0, -0.1}, cov, 200_000, 1)
	if err != nil {
		t.Fatal(err)
	}
	check.Close(t, "best", p, []float64{0.5, 0.5, 0}, 5e-3, 0)
	if _, err := ProbBest([]float64{0, 0}, mat.NewSymDense(2, []float64{1, 2, 2, 1}), 10, 1); err == nil || !strings.Contains(err.Error(), "eigenvalue") {
		t.Errorf("an indefinite matrix: %v", err)
	}
}

// TestCompare: the exact posterior agrees with itself, and each approximation with the exact one in rank; without pairs'
// cross terms Kronecker factors are further away than their exact moments are.
func TestCompare(t *testing.T) {
	dir := check.Data(t, "golden", "laplace_tiny")
	m := goldenModel(t, dir)
	var g struct {
		Pairs [][2][]int `json:"pairs_tokens"`
		Test  [][]int    `json:"test_tokens"`
	}
	readGolden(t, dir, &g)
	beliefs := func(c Curvature) (bs []bayesrm.Belief) {
		l, err := fit(t.Context(), m, flat(g.Pairs), &Options{Curvature: c})
		if err != nil {
			t.Fatal(err)
		}
		var acts llm.Acts
		_, J, err := l.jacobians(t.Context(), &acts, g.Test)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range l.post.variances(J, len(g.Test)) {
			bs = append(bs, bayesrm.Belief{Var: v})
		}
		return bs
	}
	single := func(b bayesrm.Belief) float64 { return b.Var }
	exact := beliefs(Exact)
	for c, least := range map[Curvature]float64{Full: 0.9999, EKFAC: 0.9, Kron: 0.8, Diag: 0.8} {
		r, s, ratio := agree(exact, beliefs(c), single)
		t.Logf("%s: correlation %.3f, Spearman %.3f, ratio %.3f", c, r, s, ratio)
		if r < least || c == Full && math.Abs(ratio-1) > 1e-4 {
			t.Errorf("%s: correlation %.4f, ratio %.4f", c, r, ratio)
		}
	}
}

// TestAgainst: the relative variance is that of the difference to the references' mean by the joint covariance, and with the
// answers themselves as references that of a pool.
func TestAgainst(t *testing.T) {
	m, train, held := trained(t)
	l, err := Fit(t.Context(), m, train, nil)
	if err != nil {
		t.Fatal(err)
	}
	prompt := held.Rows[0].Prompt
	answers := []string{held.Rows[0].Chosen, held.Rows[0].Rejected, held.Rows[1].Chosen, held.Rows[1].Rejected, held.Rows[0].Chosen}
	q := asked([]string{prompt}, [][]string{answers})[0]
	pool := &bayesrm.Pool{Questions: []bayesrm.Question{q}}
	want, err := l.ScorePool(t.Context(), pool, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := l.Against(pool).Score(t.Context(), prompt, answers)
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		check.Close(t, "of a pool", []float64{got[i].RelVar, got[i].PriorRelVar, got[i].Var}, []float64{want[i].RelVar, want[i].PriorRelVar, want[i].Var}, 1e-9, 1e-6)
	}
	c := l.Against(&bayesrm.Pool{Questions: []bayesrm.Question{{Prompt: prompt, Answers: q.Answers[2:4]}}})
	for range 2 { // the second time from the gradient that was kept
		if got, err = c.Score(t.Context(), prompt, answers[:2]); err != nil {
			t.Fatal(err)
		}
	}
	seqs, err := m.EncodeAnswers(prompt, answers[:4])
	if err != nil {
		t.Fatal(err)
	}
	cov, err := l.Covariance(t.Context(), seqs)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		w := mat.NewVecDense(4, []float64{0, 0, -0.5, -0.5})
		w.SetVec(i, 1)
		check.Close(t, "two references", []float64{got[i].RelVar}, []float64{mat.Inner(w, cov, w)}, 1e-6, 1e-4)
	}
	// several prompts at once are as one by one
	many, err := l.ScoreMany(t.Context(), []string{prompt, held.Rows[1].Prompt}, [][]string{answers[:2], answers[2:4]})
	if err != nil {
		t.Fatal(err)
	}
	second, err := l.Score(t.Context(), held.Rows[1].Prompt, answers[2:4])
	if err != nil {
		t.Fatal(err)
	}
	check.Close(t, "several prompts", []float64{many[1][0].Mean, many[1][1].Var, many[0][1].Var}, []float64{second[0].Mean, second[1].Var, got[1].Var}, 1e-5, 1e-5)
	if _, err := c.Score(t.Context(), held.Rows[1].Prompt+" x", answers); err == nil {
		t.Error("a prompt without references is no error")
	}
}
