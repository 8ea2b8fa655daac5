package study

import (
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"testing"

	"gobayes/bayesrm"
	"gobayes/bayesrm/bestofn"
	"gobayes/bayesrm/ensemble"
	"gobayes/bayesrm/laplace"
	"gobayes/bayesrm/llm"
	"gobayes/bayesrm/penalty"
	"gobayes/bayesrm/reward"
	"gobayes/bayesrm/sample"
	"gobayes/bayesrm/world"
)

// TestMetamorphic: what must not matter does not: the order of prompts and of answers, how a pool is cut, the number of threads, and whether a
// model was saved and loaded in between. Beliefs are equal bit for bit.
func TestMetamorphic(t *testing.T) {
	if testing.Short() {
		t.Skip("trains several models")
	}
	d, err := World(t.Context(), &WorldOptions{Seed: 3, Dir: t.TempDir(), Policy: models + "policy", Backbone: models + "backbone", Make: world.MakeOptions{Pairs: 80, Prompts: 12, Answers: 32}})
	if err != nil {
		t.Fatal(err)
	}
	tr, err := Fit(t.Context(), d, &Options{Members: 2, Reward: &reward.Options{Rank: 2, LearningRate: 3e-3, Epochs: 2, Batch: 16}})
	if err != nil {
		t.Fatal(err)
	}
	score := func(pool *bayesrm.Pool) []bayesrm.Belief {
		t.Helper()
		bs, err := tr.Ensemble.ScorePool(t.Context(), pool)
		if err != nil {
			t.Fatal(err)
		}
		return bs
	}
	pool := d.Test
	want := map[string]bayesrm.Belief{}
	for _, b := range score(pool) {
		want[b.ID] = b
	}
	same := func(what string, bs []bayesrm.Belief) {
		t.Helper()
		worst, n := 0.0, 0
		differ := func(a, b bayesrm.Belief) {
			for _, x := range [][2]float64{{a.Mean, b.Mean}, {a.Var, b.Var}, {a.RelVar, b.RelVar}, {a.PriorVar, b.PriorVar}, {a.PriorRelVar, b.PriorRelVar}} {
				worst = max(worst, abs(x[0]-x[1])/(abs(x[1])+1))
			}
		}
		for _, b := range bs {
			w, ok := want[b.ID]
			if !ok {
				t.Fatalf("%s: answer %s is new", what, b.ID)
			}
			n++
			differ(b, w)
			for i := range b.Members {
				differ(b.Members[i], w.Members[i])
			}
		}
		if n != len(want) || worst > 0 {
			t.Errorf("%s: %d of %d answers, beliefs differ by up to %g", what, n, len(want), worst)
		}
	}
	rng := rand.New(rand.NewPCG(1, 0))
	mixed := &bayesrm.Pool{Questions: append([]bayesrm.Question{}, pool.Questions...)}
	rng.Shuffle(len(mixed.Questions), func(i, j int) { mixed.Questions[i], mixed.Questions[j] = mixed.Questions[j], mixed.Questions[i] })
	for i := range mixed.Questions {
		a := append([]bayesrm.Answer{}, mixed.Questions[i].Answers...)
		rng.Shuffle(len(a), func(x, y int) { a[x], a[y] = a[y], a[x] })
		mixed.Questions[i].Answers = a
	}
	shuffled := score(mixed)
	same("prompts and answers in another order", shuffled)
	first, rest := pool.Cut(len(pool.Questions) / 3)
	same("the pool in two parts", append(score(first), score(rest)...))
	procs := runtime.GOMAXPROCS(1)
	one := score(pool)
	runtime.GOMAXPROCS(7)
	seven := score(pool)
	runtime.GOMAXPROCS(procs)
	same("one thread", one)
	same("seven threads", seven)
	var loaded []*laplace.Posterior
	for i, l := range tr.Posteriors {
		dir := filepath.Join(t.TempDir(), "member")
		if err := l.Save(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
		l, err := laplace.Load(t.Context(), dir, nil)
		if err != nil {
			t.Fatalf("member %d: %v", i, err)
		}
		loaded = append(loaded, l)
	}
	kept := tr.Ensemble
	if tr.Ensemble, err = ensemble.FromPosteriors(loaded); err != nil {
		t.Fatal(err)
	}
	same("saved and loaded", score(pool))
	tr.Ensemble = kept

	ns := []int{1, 4, 32}
	curve := func(p *bayesrm.Pool, bs []bayesrm.Belief) *bestofn.Result {
		t.Helper()
		r, err := bestofn.Curve(p, penalty.Apply(penalty.StdOf(1), bs), ns)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	a, b := curve(pool, one), curve(mixed, shuffled)
	for i, n := range ns {
		if abs(a.Gold[i].Mean-b.Gold[i].Mean) > 1e-9 {
			t.Errorf("n = %d: gold %v, in another order %v", n, a.Gold[i].Mean, b.Gold[i].Mean)
		}
	}

	// answers: those of a prompt depend on the seed alone
	policy, err := llm.Load(t.Context(), models+"policy")
	if err != nil {
		t.Fatal(err)
	}
	draw := func(prompts ...string) *bayesrm.Pool {
		t.Helper()
		p, err := sample.Pool(t.Context(), policy, prompts, &sample.Options{Answers: 16, MaxTokens: 32, Seed: 9})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	among := draw(pool.Questions[0].Prompt, pool.Questions[1].Prompt, pool.Questions[2].Prompt).Questions[1]
	for k, x := range draw(pool.Questions[1].Prompt).Questions[0].Answers {
		if x.Text != among.Answers[k].Text {
			t.Errorf("answer %d alone is %q, among others %q", k, x.Text, among.Answers[k].Text)
		}
	}
}

func abs(x float64) float64 { return max(x, -x) }
