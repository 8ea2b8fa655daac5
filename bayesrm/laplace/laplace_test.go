package laplace

import (
	"cmp"
	"context"
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"

	"gobayes/bayesrm/internal/check"
	"gobayes/bayesrm/llm"
	"gobayes/bayesrm/nn"
	"gobayes/bayesrm/prefs"
	"gobayes/bayesrm/reward"
	"gobayes/bayesrm/safetensors"

	"gonum.org/v1/gonum/mat"
)

// linear is the posterior of a reward r = w·φ from pair differences d (METHODS §10.4).
func linear(t *testing.T, d [][2]float64, delta float64) (*Posterior, [2]float64) {
	t.Helper()
	var w [2]float64
	for range 50 { // Newton's method for the MAP under prior precision δ
		h := [3]float64{delta, 0, delta} // Hessian: xx, xy, yy
		g := [2]float64{-delta * w[0], -delta * w[1]}
		for _, x := range d {
			f := w[0]*x[0] + w[1]*x[1]
			p := nn.Sigmoid(f)
			for i := range g {
				g[i] += (1 - p) * x[i]
			}
			c := p * (1 - p)
			h[0] += c * x[0] * x[0]
			h[1] += c * x[0] * x[1]
			h[2] += c * x[1] * x[1]
		}
		det := h[0]*h[2] - h[1]*h[1]
		w[0] += (h[2]*g[0] - h[1]*g[1]) / det
		w[1] += (h[0]*g[1] - h[1]*g[0]) / det
	}
	l := &Posterior{Pairs: len(d), Weights: 2, ThetaNorm2: w[0]*w[0] + w[1]*w[1]}
	var sw []float64
	var D []float32
	for _, x := range d {
		f := w[0]*x[0] + w[1]*x[1]
		sw = append(sw, math.Sqrt(nn.Sigmoid(f)*nn.Sigmoid(-f)))
		D = append(D, float32(x[0]), float32(x[1]))
		l.LogLikelihood += nn.LogSigmoid(f)
	}
	l.h = newDual(D, sw)
	if err := l.set(delta); err != nil {
		t.Fatal(err)
	}
	return l, w
}

func TestLinearBradleyTerry(t *testing.T) {
	l, w := linear(t, [][2]float64{{1, 0.5}, {0.5, -1}, {-0.3, 0.8}, {2, 1}}, 1)
	check.Close(t, "w", w[:], []float64{0.70817756, 0.24303723}, 5e-9, 0)
	check.Close(t, "log-likelihood", []float64{l.LogLikelihood}, []float64{-1.87751695}, 5e-9, 0)
	// the pair differences −0.3 and 0.8 are rounded to float32: 1e-8
	check.Close(t, "evidence", []float64{l.LogEvidence}, []float64{-2.68859058}, 3e-8, 0)
	post, prior := l.variances([]float32{1, 0, 0, 1, 1, 1, 3, -2}, 4)
	check.Close(t, "variances", post, []float64{0.55221002, 0.63421636, 1.05517849, 8.29424308}, 1e-7, 2e-7)
	check.Close(t, "prior variances", prior, []float64{1, 1, 2, 13}, 1e-12, 0)
	tuned, err := l.TunePrior(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	check.Close(t, "δ*", []float64{tuned.PriorPrecision}, []float64{1.26117780}, 2e-6, 0)
	check.Close(t, "evidence at δ*", []float64{tuned.LogEvidence}, []float64{-2.67364056}, 3e-8, 0)
	// MacKay's fixed point: δ = γ/‖θ‖²
	check.Close(t, "γ", []float64{tuned.Gamma}, []float64{tuned.PriorPrecision * l.ThetaNorm2}, 1e-5, 0)
}

// TestLinearGaussian is METHODS §10.5: with a Gaussian likelihood the approximation is exact. Rows X/σ stand for the pairs' gradients.
func TestLinearGaussian(t *testing.T) {
	X, y := [][2]float64{{1, 0}, {1, 1}, {1, 2}}, []float64{0.9, 2.1, 2.9}
	theta := [2]float64{0.93184855, 0.99599109}
	const variance, delta = 0.25, 0.5
	var d []float32
	var sw []float64
	l := &Posterior{Pairs: 3, Weights: 2, ThetaNorm2: theta[0]*theta[0] + theta[1]*theta[1]}
	for i, x := range X {
		d, sw = append(d, float32(x[0]), float32(x[1])), append(sw, 1/math.Sqrt(variance))
		e := y[i] - x[0]*theta[0] - x[1]*theta[1]
		l.LogLikelihood -= e*e/(2*variance) + math.Log(2*math.Pi*variance)/2
	}
	h := mat.NewSymDense(2, nil)
	full := &products{P: 2, h: h}
	full.add(slices.Clone(d), []float64{1 / variance, 1 / variance, 1 / variance})
	primal, err := full.structure()
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]structure{"dual": newDual(d, sw), "primal": primal} {
		l.h = s
		if err := l.set(delta); err != nil {
			t.Fatal(err)
		}
		check.Close(t, name+": evidence", []float64{l.LogEvidence}, []float64{-4.25841334}, 2e-8, 0)
		c := l.post.covariance([]float32{1, 0, 0, 1}, 2)
		check.Close(t, name+": covariance", []float64{c.At(0, 0), c.At(0, 1), c.At(1, 1)}, []float64{0.18262806, -0.10690423, 0.11135857}, 1e-7, 0)
		post, _ := l.variances([]float32{1, 3}, 1)
		check.Close(t, name+": variance", post, []float64{0.54342984}, 2e-7, 0)
	}
}

// TestOffset: pairs never identify a shift that both answers share; it keeps its prior variance (METHODS §10.6b).
func TestOffset(t *testing.T) {
	// θ = (w1, w2, b) at 0: the pairs differ in the first feature alone
	l := &Posterior{Pairs: 2, Weights: 3, h: newDual([]float32{1, 0, 0, 1, 0, 0}, []float64{.5, .5})}
	if err := l.set(1); err != nil {
		t.Fatal(err)
	}
	post, _ := l.variances([]float32{1, 2, 1, 0, 2, 1, 0, 0, 1, 1, 0, 0}, 4)
	check.Close(t, "variances", post, []float64{5.66666667, 5, 1, 0.66666667}, 1e-7, 0)
}

// TestMean: the mean gradient counts every answer, equal ones as often as they come.
func TestMean(t *testing.T) {
	l := &Posterior{Weights: 2}
	check.Close(t, "mean", l.mean([]float32{1, 2, 3, 5, 3, 2}, []float64{1, 2, 1}), []float64{2.5, 3.5}, 1e-12, 0)
}

func goldenModel(t *testing.T, dir string) *reward.Model {
	t.Helper()
	base, err := llm.Load(context.Background(), dir+"/base")
	if err != nil {
		t.Fatal(err)
	}
	m := &reward.Model{Base: base.Copy()}
	if m.Head, err = m.Base.LoadAdapter(dir + "/adapter"); err != nil {
		t.Fatal(err)
	}
	return m
}

// readGolden reads the JSON beside a golden model.
func readGolden(t *testing.T, dir string, v any) {
	t.Helper()
	b, err := os.ReadFile(dir + "/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatal(err)
	}
}

func flat(pairs [][2][]int) (seqs [][]int) {
	for _, p := range pairs {
		seqs = append(seqs, p[0], p[1])
	}
	return seqs
}

// TestGoldenDual compares kernels, evidence, δ*, variances and covariances with an explicit float64 computation on the
// gradients of transformers and PEFT (golden/README.md): 9,216 LoRA weights, 48 pairs.
func TestGoldenDual(t *testing.T) {
	dir := check.Data(t, "golden", "laplace_dual")
	m := goldenModel(t, dir)
	var g struct {
		LogLikelihood float64    `json:"log_likelihood"`
		Theta2        float64    `json:"theta_norm_squared"`
		Pairs         [][2][]int `json:"pairs_tokens"`
		TestTokens    [][]int    `json:"test_tokens"`
		Dual          struct {
			Evidence     map[string]float64 `json:"log_marginal_likelihood"`
			DeltaStar    float64            `json:"delta_star"`
			EvidenceStar float64            `json:"log_marginal_likelihood_at_star"`
			Var1         []float64          `json:"variance_at_1"`
			VarStar      []float64          `json:"variance_at_star"`
			Gamma        float64            `json:"effective_parameters_at_star"`
		}
	}
	readGolden(t, dir, &g)
	l, err := fit(t.Context(), m, flat(g.Pairs), nil)
	if err != nil {
		t.Fatal(err)
	}
	check.Close(t, "log-likelihood", []float64{l.LogLikelihood}, []float64{g.LogLikelihood}, 0, 1e-5)
	check.Close(t, "‖θ‖²", []float64{l.ThetaNorm2}, []float64{g.Theta2}, 0, 1e-9)
	ts, err := safetensors.Read(dir + "/golden.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	var k []float32
	for i := range l.Pairs {
		for j := range l.Pairs {
			k = append(k, float32(l.h.(*dual).kernel.At(i, j)))
		}
	}
	check.Norm(t, "kernel", k, ts["kernel_weighted_pairs"].Data, 1e-5)
	for s, want := range g.Dual.Evidence {
		var delta float64
		if err := json.Unmarshal([]byte(s), &delta); err != nil {
			t.Fatal(err)
		}
		if err := l.set(delta); err != nil {
			t.Fatal(err)
		}
		// float32 gradients: 1e-5
		check.Close(t, "evidence at "+s, []float64{l.LogEvidence}, []float64{want}, 0, 1e-5)
	}
	var acts llm.Acts
	J := func(seqs [][]int) []float32 {
		_, J, err := m.Jacobians(t.Context(), &acts, seqs)
		if err != nil {
			t.Fatal(err)
		}
		return J
	}
	if err := l.set(1); err != nil {
		t.Fatal(err)
	}
	post, _ := l.variances(J(g.TestTokens), len(g.TestTokens))
	check.Close(t, "variance at 1", post, g.Dual.Var1, 0, 1e-4)
	star, err := l.TunePrior(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	check.Close(t, "δ*", []float64{star.PriorPrecision}, []float64{g.Dual.DeltaStar}, 0, 1e-4)
	check.Close(t, "evidence at δ*", []float64{star.LogEvidence}, []float64{g.Dual.EvidenceStar}, 0, 1e-5)
	check.Close(t, "γ", []float64{star.Gamma}, []float64{g.Dual.Gamma}, 0, 1e-4)
	if err := star.set(g.Dual.DeltaStar); err != nil {
		t.Fatal(err)
	}
	post, _ = star.variances(J(g.TestTokens), len(g.TestTokens))
	check.Close(t, "variance at δ*", post, g.Dual.VarStar, 0, 1e-4)
	cov, err := star.Covariance(t.Context(), g.TestTokens)
	if err != nil {
		t.Fatal(err)
	}
	var c []float32
	for i := range len(g.TestTokens) {
		for j := range len(g.TestTokens) {
			c = append(c, float32(mat.Matrix(cov).At(i, j)))
		}
	}
	check.Norm(t, "covariance", c, ts["reward_covariance_test_at_star"].Data, 1e-4)
}

// TestAuto: the exact matrix is taken by its shorter side, and both sides give the same beliefs.
func TestAuto(t *testing.T) {
	m, train, held := trained(t)
	train = &prefs.Pairs{Rows: slices.Concat(train.Rows, held.Rows)}       // 60 pairs
	few, err := Fit(t.Context(), m, train, &Options{Weights: LastLayer()}) // 48 weights
	if err != nil {
		t.Fatal(err)
	}
	dual, err := Fit(t.Context(), m, train, &Options{Weights: LastLayer(), Curvature: Exact})
	if err != nil {
		t.Fatal(err)
	}
	all, err := Fit(t.Context(), m, train, nil)
	if err != nil {
		t.Fatal(err)
	}
	if few.Curvature != Full || all.Curvature != Exact {
		t.Errorf("%d weights and %d pairs: %s; %d weights: %s", few.Weights, train.Len(), few.Curvature, all.Weights, all.Curvature)
	}
	a, err := few.ScorePairs(t.Context(), held)
	if err != nil {
		t.Fatal(err)
	}
	b, err := dual.ScorePairs(t.Context(), held)
	if err != nil {
		t.Fatal(err)
	}
	for i := range a {
		check.Close(t, "variance", []float64{a[i].Var}, []float64{b[i].Var}, 1e-9, 1e-5)
	}
	for name, l := range map[string]*Posterior{"full": few, "dual": dual} {
		values, err := l.Spectrum()
		if err != nil || !slices.IsSortedFunc(values, func(x, y float64) int { return cmp.Compare(y, x) }) {
			t.Errorf("%s: spectrum %v, %v", name, values[:3], err)
		}
		var gamma float64
		for _, v := range values {
			gamma += v / (v + l.PriorPrecision)
		}
		check.Close(t, name+": Σ λ/(λ + δ)", []float64{gamma}, []float64{l.Gamma}, 1e-9, 1e-9)
	}
	check.Close(t, "evidence", []float64{few.LogEvidence}, []float64{dual.LogEvidence}, 1e-6, 1e-6)
}
