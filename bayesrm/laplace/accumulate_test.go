package laplace

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gobayes/bayesrm/internal/check"
	"gobayes/bayesrm/metrics"
	"gobayes/bayesrm/nn"
	"gobayes/bayesrm/reward"

	"gonum.org/v1/gonum/mat"
)

// TestLowRank is METHODS §10.6 with the input side kept to one direction.
func TestLowRank(t *testing.T) {
	in := newSide(2, 1)
	in.add([]float32{1, 2, 0.5, -1}, 1)
	in.divide(2)
	h, err := kronecker([]factors{{out: &whole{rows(0.1, -0.02, -0.02, 0.2)}, in: in}})
	if err != nil {
		t.Fatal(err)
	}
	const delta = 0.1
	g, err := h.at(delta)
	if err != nil {
		t.Fatal(err)
	}
	check.Close(t, "log det", []float64{g.logDet() + 4*math.Log(delta)}, []float64{-6.02179354}, 5e-9, 0)
	check.Close(t, "variance", g.variances([]float32{0.5, 0.5, 0.5, 0.5}, 1), []float64{3.78478907}, 0, 1e-6)
}

// TestThin: what has the rank is kept whole, over several chunks; of more, the largest directions.
func TestThin(t *testing.T) {
	const d, rank, n = 20, 5, 1000
	rng := rand.New(rand.NewPCG(1, 5))
	basis := make([]float64, rank*d)
	for i := range basis {
		basis[i] = rng.NormFloat64()
	}
	x := make([]float32, n*d)
	for i := range n {
		for k := range rank {
			c := rng.NormFloat64()
			for j := range d {
				x[i*d+j] += float32(c * basis[k*d+j])
			}
		}
	}
	product := func(s side) *mat.Dense {
		values, u, err := s.eigen()
		if err != nil {
			t.Fatal(err)
		}
		out := mat.NewDense(d, d, nil)
		for k, v := range values {
			for i := range d {
				for j := range d {
					out.Set(i, j, out.At(i, j)+v*float64(u[i*len(values)+k])*float64(u[j*len(values)+k]))
				}
			}
		}
		return out
	}
	thin, whole := newSide(d, rank), newSide(d, 0)
	thin.add(x, 0.5)
	whole.add(x, 0.5)
	thin.divide(3)
	whole.divide(3)
	check.Close(t, "FFᵀ", product(thin).RawMatrix().Data, product(whole).RawMatrix().Data, 1e-2, 1e-5) // of entries in the hundreds
	less := newSide(d, 2)
	less.add(x, 1)
	values, _, err := less.eigen()
	if all, _, err := whole.eigen(); err != nil || len(values) != 2 || values[1] < 0.5*1.5*all[d-1] {
		t.Errorf("two directions: %v of %v, %v", values, all[d-5:], err)
	}
	if err != nil {
		t.Error(err)
	}
}

// TestPartial holds a curvature of known directions against the inverse of the whole matrix.
func TestPartial(t *testing.T) {
	const P, K, delta = 5, 2, 0.7
	rng := rand.New(rand.NewPCG(2, 5))
	var qr mat.QR
	raw := mat.NewDense(P, K, nil)
	for i := range P * K {
		raw.RawMatrix().Data[i] = rng.NormFloat64()
	}
	qr.Factorize(raw)
	var q mat.Dense
	qr.QTo(&q)
	u := make([]float32, P*K)
	for i := range P {
		for k := range K {
			u[i*K+k] = float32(q.At(i, k))
		}
	}
	h := &spectral{values: []float64{3, 0.4}, basis: dense{u}, partial: true}
	precision := mat.NewSymDense(P, nil)
	for i := range P {
		for j := range P {
			s := 0.0
			for k, v := range h.values {
				s += v * q.At(i, k) * q.At(j, k)
			}
			if i == j {
				s += delta
			}
			precision.SetSym(i, j, s)
		}
	}
	var chol mat.Cholesky
	if !chol.Factorize(precision) {
		t.Fatal("not positive definite")
	}
	var want mat.SymDense
	if err := chol.InverseTo(&want); err != nil {
		t.Fatal(err)
	}
	g, err := h.at(delta)
	if err != nil {
		t.Fatal(err)
	}
	eye := make([]float32, P*P)
	for i := range P {
		eye[i*P+i] = 1
	}
	cov, v := g.covariance(eye, P), g.variances(eye, P)
	sweep, err := h.sweep(eye, P)(delta)
	if err != nil {
		t.Fatal(err)
	}
	for i := range P {
		check.Close(t, "variance", []float64{v[i], sweep[i]}, []float64{want.At(i, i), want.At(i, i)}, 1e-6, 0)
		for j := range P {
			check.Close(t, "covariance", []float64{cov.At(i, j)}, []float64{want.At(i, j)}, 1e-6, 0)
		}
	}
	check.Close(t, "log det", []float64{g.logDet()}, []float64{chol.LogDet() - P*math.Log(delta)}, 1e-9, 0)
	check.Close(t, "γ", []float64{g.gamma()}, []float64{3/3.7 + 0.4/1.1}, 1e-12, 0)
	draws := mat.NewSymDense(P, nil)
	const n = 50_000
	for range n {
		x := g.sample(rng)
		draws.SymRankOne(draws, 1./n, mat.NewVecDense(P, x))
	}
	for i := range P {
		for j := range P {
			check.Close(t, "draws", []float64{draws.At(i, j)}, []float64{want.At(i, j)}, 0.03, 0)
		}
	}
}

// TestApproximations: each with everything kept is what it approximates; with less, the variances of low-rank Kronecker factors are never
// too small, and both still rank answers like their twins.
func TestApproximations(t *testing.T) {
	m, train, held := trained(t)
	variances := func(o *Options) []float64 {
		l, err := Fit(t.Context(), m, train, o)
		if err != nil {
			t.Fatalf("%v: %v", o.Curvature, err)
		}
		dir := t.TempDir()
		if err := l.Save(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
		again, err := Load(t.Context(), dir, nil)
		if err != nil {
			t.Fatalf("%v: %v", o.Curvature, err)
		}
		var out []float64
		for _, l := range []*Posterior{l, again} {
			vs, err := l.ScorePairs(t.Context(), held)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range vs {
				out = append(out, v.Var)
			}
		}
		n := len(out) / 2
		check.Close(t, o.Curvature.String()+": saved and loaded", out[n:], out[:n], 0, 0)
		return out[:n]
	}
	exact, kron := variances(&Options{Curvature: Exact}), variances(&Options{Curvature: Kron})
	check.Close(t, "all pairs", variances(&Options{Curvature: Nystrom, Inducing: train.Len()}), exact, 1e-7, 1e-4)
	check.Close(t, "all directions", variances(&Options{Curvature: KronLowRank, Rank: 1000}), kron, 1e-7, 1e-5)
	few, low := variances(&Options{Curvature: Nystrom, Inducing: 20}), variances(&Options{Curvature: KronLowRank, Rank: 3})
	if r := metrics.Spearman(few, exact); r < 0.8 {
		t.Errorf("half of the pairs: rank correlation %.2f with the exact variances", r)
	}
	if r := metrics.Spearman(low, kron); r < 0.8 {
		t.Errorf("rank 3: rank correlation %.2f with the variances of whole factors", r)
	}
	smaller := 0
	for i, v := range low {
		if v < kron[i]*(1-1e-5) {
			t.Errorf("pair %d: variance %g at rank 3, %g with whole factors", i, v, kron[i])
		}
		if v > kron[i]*1.001 {
			smaller++
		}
	}
	if smaller == 0 {
		t.Error("rank 3 changes nothing")
	}
}

// TestTemperature: (H/T + δI)⁻¹ = T(H + TδI)⁻¹, and the likelihood is divided by T.
func TestTemperature(t *testing.T) {
	m, train, held := trained(t)
	const T, delta = 2.5, 3.0
	for _, c := range []Curvature{Exact, EKFAC, Kron, Diag, KronLowRank, Nystrom} {
		hot, err := Fit(t.Context(), m, train, &Options{Curvature: c, PriorPrecision: delta, Temperature: T, Inducing: 20, Rank: 3})
		if err != nil {
			t.Fatal(err)
		}
		plain, err := Fit(t.Context(), m, train, &Options{Curvature: c, PriorPrecision: T * delta, Inducing: 20, Rank: 3})
		if err != nil {
			t.Fatal(err)
		}
		a, err := hot.ScorePairs(t.Context(), held)
		if err != nil {
			t.Fatal(err)
		}
		b, err := plain.ScorePairs(t.Context(), held)
		if err != nil {
			t.Fatal(err)
		}
		for i := range a {
			check.Close(t, c.String(), []float64{a[i].Var}, []float64{T * b[i].Var}, 0, 1e-4)
		}
		check.Close(t, "log likelihood", []float64{hot.LogLikelihood}, []float64{plain.LogLikelihood / T}, 0, 1e-12)
		check.Close(t, "γ", []float64{hot.Gamma}, []float64{plain.Gamma}, 0, 1e-5)
	}
	if _, err := Fit(t.Context(), m, train, &Options{Temperature: -1}); err == nil {
		t.Error("a negative temperature")
	}
}

// TestEmpiricalFisher: the weights of the pairs are (1 − p)², and the posterior is another than the exact one.
func TestEmpiricalFisher(t *testing.T) {
	m, train, _ := trained(t)
	l, err := Fit(t.Context(), m, train, &Options{Curvature: EmpiricalFisher})
	if err != nil {
		t.Fatal(err)
	}
	exact, err := Fit(t.Context(), m, train, &Options{Curvature: Exact})
	if err != nil {
		t.Fatal(err)
	}
	ps, err := exact.ScorePairs(t.Context(), train)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range ps {
		q := 1 - nn.Sigmoid(p.Mean)
		check.Close(t, "√weight", []float64{l.h.(*dual).sw[i]}, []float64{q}, 1e-6, 1e-4)
		check.Close(t, "exact √weight", []float64{exact.h.(*dual).sw[i]}, []float64{math.Sqrt(q * (1 - q))}, 1e-6, 1e-4)
	}
}

// TestAllWeights: of a model whose weights were all trained, the posterior is over the head.
func TestAllWeights(t *testing.T) {
	some, train, held := trained(t)
	m, err := reward.Train(t.Context(), some.Base.Copy(), train, &reward.Options{AllWeights: true, LearningRate: 1e-3})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Fit(t.Context(), m, train, nil); err == nil || !strings.Contains(err.Error(), "LastLayer") {
		t.Errorf("error %v", err)
	}
	l, err := Fit(t.Context(), m, train, &Options{Weights: LastLayer()})
	if err != nil {
		t.Fatal(err)
	}
	if bs, err := l.ScorePairs(t.Context(), held); err != nil || !(bs[0].Var > 0) {
		t.Errorf("%v, %v", bs, err)
	}
}

// TestSearches: the three ways to the best δ agree, on METHODS §10.4's numbers and on a trained model.
func TestSearches(t *testing.T) {
	l := &Posterior{h: &spectral{values: []float64{0.93861357, 0.49121563}, basis: standard{}}, ThetaNorm2: 0.56058255, PriorPrecision: 1, LogLikelihood: -1.87751695, Temperature: 1}
	m, train, held := trained(t)
	fitted, err := Fit(t.Context(), m, train, &Options{Curvature: EKFAC})
	if err != nil {
		t.Fatal(err)
	}
	golden, err := fitted.TunePrior(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]Search{"golden section": GoldenSection, "MacKay": MacKay, "Adam": Gradient} {
		a, err := l.TunePrior(t.Context(), &TuneOptions{Search: s})
		if err != nil {
			t.Fatal(err)
		}
		check.Close(t, name, []float64{a.PriorPrecision, a.LogEvidence}, []float64{1.26117780, -2.67364056}, 1e-7, 1e-6)
		b, err := fitted.TunePrior(t.Context(), &TuneOptions{Search: s})
		if err != nil {
			t.Fatal(err)
		}
		check.Close(t, name+": trained", []float64{b.PriorPrecision}, []float64{golden.PriorPrecision}, 0, 1e-5)
	}
	if _, err := fitted.TunePrior(t.Context(), &TuneOptions{Search: MacKay, HeldOut: held}); err == nil {
		t.Error("held-out pairs by a fixed point of the evidence")
	}
}
