package laplace

import (
	"slices"
	"testing"

	"gobayes/bayesrm"
	"gobayes/bayesrm/internal/check"
	"gobayes/bayesrm/prefs"
	"gobayes/bayesrm/reward"
)

// TestProperties is METHODS §10.7: what every posterior of pairs must do, whatever its structure.
func TestProperties(t *testing.T) {
	m, train, held := trained(t)
	curvatures := []Curvature{Exact, Full, EKFAC, Kron, KronReduce, Diag}
	fit := func(pairs *prefs.Pairs, c Curvature, delta float64) []PairBelief {
		t.Helper()
		l, err := Fit(t.Context(), m, pairs, &Options{Curvature: c, PriorPrecision: delta})
		if err != nil {
			t.Fatal(err)
		}
		bs, err := l.ScorePairs(t.Context(), held)
		if err != nil {
			t.Fatal(err)
		}
		return bs
	}
	variances := func(bs []PairBelief) (vs []float64) {
		for _, b := range bs {
			vs = append(vs, b.Var)
		}
		return vs
	}
	swapped, twice := &prefs.Pairs{}, &prefs.Pairs{Rows: slices.Concat(train.Rows, train.Rows)}
	for _, r := range train.Rows {
		r.Chosen, r.Rejected = r.Rejected, r.Chosen
		swapped.Rows = append(swapped.Rows, r)
	}
	for _, c := range curvatures {
		want := variances(fit(train, c, 1))
		check.Close(t, c.String()+": labels swapped", variances(fit(swapped, c, 1)), want, 0, 1e-4)
		half := variances(fit(twice, c, 2)) // (2H + 2δI)⁻¹
		for i := range half {
			half[i] *= 2
		}
		check.Close(t, c.String()+": pairs twice, prior twice", half, want, 0, 1e-4)
	}
	fewer := variances(fit(&prefs.Pairs{Rows: train.Rows[:30]}, Exact, 1))
	for i, v := range variances(fit(train, Exact, 1)) {
		if v > fewer[i]*(1+1e-6) {
			t.Errorf("pair %d: variance %v with 40 pairs, %v with 30 of them", i, v, fewer[i])
		}
	}

	l, err := Fit(t.Context(), m, train, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := held.Rows[0]
	bs, err := l.Score(t.Context(), p.Prompt, []string{p.Chosen, p.Rejected})
	if err != nil {
		t.Fatal(err)
	}
	plain, err := m.Score(t.Context(), p.Prompt, []string{p.Chosen, p.Rejected})
	if err != nil {
		t.Fatal(err)
	}
	seqs, err := m.EncodeAnswers(p.Prompt, []string{p.Chosen, p.Rejected})
	if err != nil {
		t.Fatal(err)
	}
	cov, err := l.Covariance(t.Context(), seqs)
	if err != nil {
		t.Fatal(err)
	}
	for i := range bs {
		check.Close(t, "the mean is the network's reward", []float64{bs[i].Mean}, []float64{plain[i].Mean}, 1e-5, 0)
		check.Close(t, "the diagonal of the covariance", []float64{cov.At(i, i)}, []float64{bs[i].Var}, 0, 1e-6)
	}
}

// TestFreshLoRA: B = 0 at the start, so that nothing depends on A yet: its variance is 0, and B has all of it.
func TestFreshLoRA(t *testing.T) {
	old, train, held := trained(t)
	fresh, err := reward.NewTrainer(old.Base.Copy(), train, &reward.Options{Rank: 2})
	if err != nil {
		t.Fatal(err)
	}
	var as, bs []int
	n := 0
	for _, a := range fresh.Model.Base.LoRAs() {
		for i := range a.Len() {
			if i < len(a.A.Data) {
				as = append(as, n+i)
			} else {
				bs = append(bs, n+i)
			}
		}
		n += a.Len()
	}
	score := func(weights *Subset) []bayesrm.Belief {
		t.Helper()
		l, err := Fit(t.Context(), fresh.Model, train, &Options{Curvature: Exact, Weights: weights})
		if err != nil {
			t.Fatal(err)
		}
		out, err := l.Score(t.Context(), held.Rows[0].Prompt, []string{held.Rows[0].Chosen})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if v := score(Subnetwork(as))[0].Var; v != 0 {
		t.Errorf("variance %v over A alone", v)
	}
	check.Close(t, "over B alone", []float64{score(Subnetwork(bs))[0].Var}, []float64{score(nil)[0].Var}, 0, 1e-6)
}
