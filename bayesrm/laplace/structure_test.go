package laplace

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"

	"gobayes/bayesrm/internal/check"
	"gobayes/bayesrm/llm"
	"gobayes/bayesrm/safetensors"

	"gonum.org/v1/gonum/mat"
)

func rows(data ...float64) *mat.SymDense {
	return mat.NewSymDense(int(math.Sqrt(float64(len(data)))), data)
}

// TestKronecker holds the factored curvature of one 2×2 layer with two rows against METHODS §10.6.
func TestKronecker(t *testing.T) {
	h, err := kronecker([]factors{{out: &whole{rows(0.1, -0.02, -0.02, 0.2)}, in: &whole{rows(0.625, 0.75, 0.75, 2.5)}}})
	if err != nil {
		t.Fatal(err)
	}
	const delta = 0.1
	G := []float32{0.5, 0.5, 0.5, 0.5}
	values := func(name string, logDet, variance float64) {
		t.Helper()
		g, _ := h.at(delta)
		check.Close(t, name+": log det", []float64{g.logDet() + 4*math.Log(delta)}, []float64{logDet}, 2e-7, 0) // float32 gradients
		check.Close(t, name+": variance", g.variances(G, 1), []float64{variance}, 0, 1e-6)
	}
	values("kron", -5.17058884, 3.20222672)
	// the exact second moments in the same basis: one gradient ĝaᵀ per row
	d := []float32{0.3 * 1, 0.3 * 2, -0.2 * 1, -0.2 * 2, 0.1 * 0.5, 0.1 * -1, 0.4 * 0.5, 0.4 * -1}
	T := h.basis.rotate(d, 2)
	for p := range 4 {
		h.values[p] = float64(T[p])*float64(T[p]) + float64(T[4+p])*float64(T[4+p])
	}
	values("ekfac", -5.22383201, 3.10295009)
}

// TestBasis: the blocks' rotation is orthogonal, back undoes it, and several rows are turned as each alone.
func TestBasis(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	random := func(n int) *mat.SymDense {
		b := mat.NewDense(n, n, nil)
		for i := range b.RawMatrix().Data {
			b.RawMatrix().Data[i] = rng.NormFloat64()
		}
		s := mat.NewSymDense(n, nil)
		s.SymOuterK(1, b)
		return s
	}
	h, err := kronecker([]factors{{&whole{random(3)}, &whole{random(5)}}, {&whole{random(7)}, &whole{random(3)}}})
	if err != nil {
		t.Fatal(err)
	}
	J := make([]float32, 4*36)
	for i := range J {
		J[i] = float32(rng.NormFloat64())
	}
	T := h.basis.rotate(J, 4)
	for i := range 4 {
		one := h.basis.rotate(J[i*36:(i+1)*36], 1)
		check.Norm(t, "alone", T[i*36:(i+1)*36], one, 1e-6)
		check.Norm(t, "back", h.basis.back(one), J[i*36:(i+1)*36], 1e-5)
	}
}

// TestSample: the covariance of many draws is the posterior's, for both forms.
func TestSample(t *testing.T) {
	d := []float32{1, 0.5, -0.3, 0.8, 2, 1}
	sw := []float64{0.5, 0.4, 0.3}
	H := mat.NewSymDense(2, nil)
	for n, s := range sw {
		H.SymRankOne(H, s*s, mat.NewVecDense(2, []float64{float64(d[2*n]), float64(d[2*n+1])}))
	}
	values, u, err := eigen(H)
	if err != nil {
		t.Fatal(err)
	}
	for name, h := range map[string]structure{"dual": newDual(d, sw), "full": &spectral{values: values, basis: dense{u}}} {
		g, err := h.at(0.7)
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(3, 4))
		const n = 100_000
		var xx, xy, yy float64
		for range n {
			x := g.sample(rng)
			xx, xy, yy = xx+x[0]*x[0]/n, xy+x[0]*x[1]/n, yy+x[1]*x[1]/n
		}
		want := g.covariance([]float32{1, 0, 0, 1}, 2)
		check.Close(t, name, []float64{xx, xy, yy}, []float64{want.At(0, 0), want.At(0, 1), want.At(1, 1)}, 0.02, 0)
	}
}

// TestGoldenStructures compares every curvature with an explicit float64 computation on the gradients of transformers and
// PEFT (golden/README.md): 256 LoRA weights, 24 pairs. Full and diag there agree with laplace-torch.
func TestGoldenStructures(t *testing.T) {
	dir := check.Data(t, "golden", "laplace_tiny")
	m := goldenModel(t, dir)
	var g struct {
		Pairs      [][2][]int `json:"pairs_tokens"`
		Test       [][]int    `json:"test_tokens"`
		Structures map[string]struct {
			Evidence map[string]float64 `json:"log_marginal_likelihood"`
			Delta    float64            `json:"delta_star"`
			Star     float64            `json:"log_marginal_likelihood_at_star"`
			Var1     []float64          `json:"variance_at_1"`
			VarStar  []float64          `json:"variance_at_star"`
			Gamma    float64            `json:"effective_parameters_at_star"`
		}
	}
	readGolden(t, dir, &g)
	ts, err := safetensors.Read(dir + "/golden.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	var acts llm.Acts
	_, J, err := m.Jacobians(t.Context(), &acts, g.Test)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		golden string
		Curvature
		covariance string
	}{
		{"full", Exact, ""}, {"full", Full, ""}, {"diag", Diag, ""},
		{"kron_expand", Kron, "kron_expand_at_1"}, {"kron_reduce", KronReduce, "kron_reduce_at_1"}, {"ekfac", EKFAC, "ekfac_at_1"},
	} {
		t.Run(tt.Curvature.String(), func(t *testing.T) {
			want := g.Structures[tt.golden]
			l, err := fit(t.Context(), m, flat(g.Pairs), &Options{Curvature: tt.Curvature})
			if err != nil {
				t.Fatal(err)
			}
			for s, w := range want.Evidence {
				var delta float64
				if err := json.Unmarshal([]byte(s), &delta); err != nil {
					t.Fatal(err)
				}
				e, err := l.evidence(delta)
				if err != nil {
					t.Fatal(err)
				}
				check.Close(t, "evidence at "+s, []float64{e}, []float64{w}, 0, 1e-5) // float32 gradients
			}
			v, _ := l.variances(J, len(g.Test))
			check.Close(t, "variance at 1", v, want.Var1, 0, 1e-4)
			if tt.covariance != "" {
				c, err := l.Covariance(t.Context(), g.Test)
				if err != nil {
					t.Fatal(err)
				}
				var got []float32
				for i := range len(g.Test) {
					for j := range len(g.Test) {
						got = append(got, float32(c.At(i, j)))
					}
				}
				check.Norm(t, "covariance", got, ts["reward_covariance_test_"+tt.covariance].Data, 1e-4)
			}
			star, err := l.TunePrior(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			check.Close(t, "δ*", []float64{star.PriorPrecision}, []float64{want.Delta}, 0, 1e-4)
			check.Close(t, "evidence at δ*", []float64{star.LogEvidence}, []float64{want.Star}, 0, 1e-5)
			check.Close(t, "γ", []float64{star.Gamma}, []float64{want.Gamma}, 0, 1e-4)
			v, _ = star.variances(J, len(g.Test))
			check.Close(t, "variance at δ*", v, want.VarStar, 0, 1e-4)
		})
	}
}

// TestLaplaceLoRAScale: laplace-lora averages the inputs over pairs instead of tokens.
func TestLaplaceLoRAScale(t *testing.T) {
	m := goldenModel(t, check.Data(t, "golden", "laplace_tiny"))
	seqs := [][]int{{5, 6, 7}, {5, 6, 8, 9}, {10, 11}, {12, 13, 14}}
	values := func(c Curvature) []float64 {
		fs, err := kronFactors(t.Context(), m, seqs, c, 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		h, err := kronecker(fs)
		if err != nil {
			t.Fatal(err)
		}
		return h.values
	}
	want := values(Kron)
	for i := range want {
		want[i] *= 12. / 2
	}
	check.Close(t, "eigenvalues", values(KronLaplaceLoRA), want, 1e-12, 1e-6)
}

// TestSubsets: a posterior over the head has the head's gradients, the last hidden states; a subnetwork of all weights is
// the whole; a bad index is refused.
func TestSubsets(t *testing.T) {
	m := goldenModel(t, check.Data(t, "golden", "laplace_tiny"))
	seqs := [][]int{{5, 6, 7}, {5, 6, 8, 9}, {10, 11}, {12, 13, 14}}
	get := func(o *Options) *mat.SymDense {
		l, err := fit(t.Context(), m, seqs, o)
		if err != nil {
			t.Fatal(err)
		}
		c, err := l.Covariance(t.Context(), seqs)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	near := func(a, b *mat.SymDense) bool { return mat.EqualApprox(a, b, 1e-4) }
	if !near(get(&Options{Weights: LastLayer()}), get(&Options{Weights: LastLayer(), Curvature: Full})) {
		t.Error("head: the two exact forms differ")
	}
	all := make([]int, m.NumWeights())
	for i := range all {
		all[i] = i
	}
	whole := get(nil)
	if !near(get(&Options{Weights: Subnetwork(all)}), whole) {
		t.Error("a subnetwork of all weights is not the whole")
	}
	if part := get(&Options{Weights: Subnetwork(all[:40])}); near(part, whole) || part.At(0, 0) > whole.At(0, 0) {
		t.Errorf("a part of the weights has the variance %g, the whole %g", part.At(0, 0), whole.At(0, 0))
	}
	for _, bad := range [][]int{{-1}, {len(all)}, {3, 3}} {
		if _, err := fit(t.Context(), m, seqs, &Options{Weights: Subnetwork(bad)}); err == nil {
			t.Errorf("subnetwork %v is accepted", bad)
		}
	}
	if _, err := fit(t.Context(), m, seqs, &Options{Weights: LastLayer(), Curvature: Kron}); err == nil {
		t.Error("Kronecker factors of the head are accepted")
	}
}
