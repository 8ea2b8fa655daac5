package laplace

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gobayes/bayesrm"
	"gobayes/bayesrm/internal/check"
	"gobayes/bayesrm/llm"
	"gobayes/bayesrm/nn"
	"gobayes/bayesrm/prefs"
	"gobayes/bayesrm/reward"
	"gobayes/bayesrm/world"

	"gonum.org/v1/gonum/mat"
)

// trained is a small reward model of the world, and pairs of which it has seen the first 40.
func trained(t *testing.T) (*reward.Model, *prefs.Pairs, *prefs.Pairs) {
	t.Helper()
	base, err := llm.Load(context.Background(), "../../notebooks/data/world/backbone")
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	var rows []prefs.Pair
	for len(rows) < 60 {
		p := world.NewPrompt(rng)
		a, b := strings.TrimSuffix(world.Demonstration(rng, p), " <eos>"), strings.TrimSuffix(world.Demonstration(rng, p), " <eos>")
		if a != b {
			rows = append(rows, prefs.Pair{Prompt: p.Text, Chosen: a, Rejected: b})
		}
	}
	train, held := &prefs.Pairs{Rows: rows[:40]}, &prefs.Pairs{Rows: rows[40:]}
	m, err := reward.Train(t.Context(), base, train, &reward.Options{Rank: 2, LearningRate: 5e-3, Epochs: 3})
	if err != nil {
		t.Fatal(err)
	}
	return m, train, held
}

// TestHeldOut: the objective at some δ is the mean log of the probabilities that ScorePairs gives there, and TunePrior finds where it
// is largest; the exact form and one with known eigenvectors alike.
func TestHeldOut(t *testing.T) {
	m, train, held := trained(t)
	for _, c := range []Curvature{Exact, EKFAC} {
		l, err := Fit(t.Context(), m, train, &Options{Curvature: c})
		if err != nil {
			t.Fatal(err)
		}
		f, err := l.heldOut(t.Context(), held)
		if err != nil {
			t.Fatal(err)
		}
		at := func(delta float64) float64 {
			v, err := f(delta)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		for _, delta := range []float64{0.05, 1, 30} {
			p := *l
			if err := p.set(delta); err != nil {
				t.Fatal(err)
			}
			bs, err := p.ScorePairs(t.Context(), held)
			if err != nil {
				t.Fatal(err)
			}
			var want float64
			for _, b := range bs {
				want += math.Log(b.Probit()) / float64(len(bs))
			}
			check.Close(t, c.String(), []float64{at(delta)}, []float64{want}, 0, 1e-5)
		}
		best, err := l.TunePrior(t.Context(), &TuneOptions{HeldOut: held})
		if err != nil {
			t.Fatal(err)
		}
		top := at(best.PriorPrecision)
		for x := math.Log(minDelta); x < math.Log(maxDelta); x += 0.5 {
			if v := at(math.Exp(x)); v > top+1e-6 {
				t.Errorf("%s: %g at δ = %g, but %g at the δ that was chosen, %g", c, v, math.Exp(x), top, best.PriorPrecision)
			}
		}
	}
}

// TestStandardised: with a normaliser beliefs are shifted and scaled, variances by its square.
func TestStandardised(t *testing.T) {
	m, train, held := trained(t)
	l, err := Fit(t.Context(), m, train, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := held.Rows[0]
	pool := &bayesrm.Pool{Questions: []bayesrm.Question{{ID: "q", Prompt: r.Prompt, Answers: []bayesrm.Answer{{ID: "a", Text: r.Chosen}, {ID: "b", Text: r.Rejected}}}}}
	score := func() bayesrm.Belief {
		bs, err := l.ScorePool(t.Context(), pool, nil)
		if err != nil {
			t.Fatal(err)
		}
		return bs[1]
	}
	raw := score()
	m.Normalizer = &bayesrm.Normalizer{Mean: 0.25, Std: 2}
	b := score()
	check.Close(t, "belief", []float64{b.Mean, b.Var, b.RelVar, b.PriorVar, b.PriorRelVar},
		[]float64{(raw.Mean - 0.25) / 2, raw.Var / 4, raw.RelVar / 4, raw.PriorVar / 4, raw.PriorRelVar / 4}, 0, 1e-6)
}

// TestPriorAtInitial: the evidence measures the weights from where they began, and variances stay.
func TestPriorAtInitial(t *testing.T) {
	m, train, held := trained(t)
	zero, err := Fit(t.Context(), m, train, nil)
	if err != nil {
		t.Fatal(err)
	}
	l, err := Fit(t.Context(), m, train, &Options{PriorAtInitial: true})
	if err != nil {
		t.Fatal(err)
	}
	initial, err := m.Initial()
	if err != nil {
		t.Fatal(err)
	}
	var moved float64
	for i, v := range m.Theta() {
		moved += (v - initial[i]) * (v - initial[i])
	}
	check.Close(t, "‖θ − θ₀‖²", []float64{l.ThetaNorm2}, []float64{moved}, 0, 1e-12)
	check.Close(t, "evidence", []float64{l.LogEvidence - zero.LogEvidence}, []float64{(zero.ThetaNorm2 - moved) / 2}, 1e-9, 1e-9)
	a, err := zero.ScorePairs(t.Context(), held)
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.ScorePairs(t.Context(), held)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := l.Save(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	back, err := Load(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	here, err := l.TunePrior(t.Context(), &TuneOptions{Groups: FactorGroups})
	if err != nil {
		t.Fatal(err)
	}
	there, err := back.TunePrior(t.Context(), &TuneOptions{Groups: FactorGroups})
	if err != nil {
		t.Fatal(err)
	}
	if here.String() != there.String() {
		t.Errorf("tuned before saving %v, after %v", here, there)
	}
	if a[0] != b[0] || moved == 0 {
		t.Errorf("beliefs %v and %v", a[0], b[0])
	}
	if _, err := Fit(t.Context(), m, train, &Options{PriorAtInitial: true, Weights: LastLayer()}); err == nil {
		t.Error("a head's prior at the initial LoRA weights is accepted")
	}
}

// TestGroups: at the optimum δ_g‖θ_g‖² = γ_g; evidence and variances are those of the dense matrix H + diag(δ_g), for the exact form
// and for one with known eigenvectors; the evidence is not below the best with one δ; and a saved posterior is the same.
func TestGroups(t *testing.T) {
	m, train, held := trained(t)
	seqs, err := m.EncodePairs(train)
	if err != nil {
		t.Fatal(err)
	}
	heldSeqs, err := m.EncodePairs(held)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []Curvature{Exact, Diag} {
		l, err := Fit(t.Context(), m, train, &Options{Curvature: c})
		if err != nil {
			t.Fatal(err)
		}
		P := l.Weights
		H := mat.NewSymDense(P, nil)
		err = l.pairGradients(t.Context(), "test", seqs, 0, func(diff []float64, d []float32) error {
			for n, f := range diff {
				v := mat.NewVecDense(P, nil)
				for p, x := range d[n*P : (n+1)*P] {
					v.SetVec(p, float64(x))
				}
				H.SymRankOne(H, nn.Information(f, 0), v)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		one, err := l.TunePrior(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, kind := range []Groups{FactorGroups, LayerGroups} {
			tuned, err := l.TunePrior(t.Context(), &TuneOptions{Groups: kind})
			if err != nil {
				t.Fatal(err)
			}
			g, err := l.grouping(kind)
			if err != nil {
				t.Fatal(err)
			}
			A := mat.NewSymDense(P, nil)
			norm2, priorLogDet, penalty := make([]float64, len(g.names)), 0., 0.
			for p, v := range m.Theta() {
				d := tuned.Groups[g.of[p]].PriorPrecision
				norm2[g.of[p]] += v * v
				priorLogDet += math.Log(d)
				penalty += d * v * v
				for q := range P {
					if c == Exact || p == q {
						A.SetSym(p, q, H.At(p, q))
					}
				}
				A.SetSym(p, p, A.At(p, p)+d)
			}
			var chol mat.Cholesky
			if !chol.Factorize(A) {
				t.Fatal("the precision is not positive")
			}
			check.Close(t, "evidence", []float64{tuned.LogEvidence}, []float64{l.LogLikelihood - (chol.LogDet()-priorLogDet+penalty)/2}, 1e-4, 1e-5)
			if tuned.LogEvidence < one.LogEvidence-1e-6 {
				t.Errorf("%s: evidence %v with groups %v, %v with one δ", c, tuned.LogEvidence, tuned.Groups, one.LogEvidence)
			}
			var S mat.SymDense
			if err := chol.InverseTo(&S); err != nil {
				t.Fatal(err)
			}
			gamma := make([]float64, len(g.names)) // P_g − δ_g tr Σ_gg
			for p := range P {
				gamma[g.of[p]] += 1 - tuned.Groups[g.of[p]].PriorPrecision*S.At(p, p)
			}
			for i, gr := range tuned.Groups {
				if gr.PriorPrecision > minDelta && gr.PriorPrecision < maxDelta {
					check.Close(t, "δ‖θ‖² of "+gr.Name, []float64{gr.PriorPrecision * norm2[i]}, gamma[i:i+1], 1e-6, 1e-3)
				}
			}
			var acts llm.Acts
			_, J, err := m.Jacobians(t.Context(), &acts, heldSeqs[:1])
			if err != nil {
				t.Fatal(err)
			}
			j := mat.NewVecDense(P, nil)
			for p, x := range J {
				j.SetVec(p, float64(x))
			}
			cov, err := tuned.Covariance(t.Context(), heldSeqs[:1])
			if err != nil {
				t.Fatal(err)
			}
			check.Close(t, "variance", []float64{cov.At(0, 0)}, []float64{mat.Inner(j, &S, j)}, 0, 1e-4)

			for _, o := range []*TuneOptions{nil, {Groups: kind}} {
				if _, err := tuned.TunePrior(t.Context(), o); err == nil || !strings.Contains(err.Error(), "groups already") {
					t.Errorf("tuned again with %+v: %v", o, err)
				}
			}
			dir := t.TempDir()
			if err := tuned.Save(t.Context(), dir); err != nil {
				t.Fatal(err)
			}
			back, err := Load(t.Context(), dir, nil)
			if err != nil {
				t.Fatal(err)
			}
			again, err := back.Covariance(t.Context(), heldSeqs[:1])
			if err != nil {
				t.Fatal(err)
			}
			if back.String() != tuned.String() || !mat.Equal(cov, again) {
				t.Errorf("loaded %v, saved %v", back, tuned)
			}
		}
	}
	full, err := Fit(t.Context(), m, train, &Options{Curvature: Full})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := full.TunePrior(t.Context(), &TuneOptions{Groups: FactorGroups}); err == nil || !strings.Contains(err.Error(), "exact") {
		t.Errorf("groups of a full matrix: %v", err)
	}
}
