package ensemble

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gobayes/bayesrm"
	"gobayes/bayesrm/internal/check"
	"gobayes/bayesrm/laplace"
	"gobayes/bayesrm/llm"
	"gobayes/bayesrm/metrics"
	"gobayes/bayesrm/penalty"
	"gobayes/bayesrm/prefs"
	"gobayes/bayesrm/reward"
	"gobayes/bayesrm/world"

	"gonum.org/v1/gonum/mat"
)

func load(t *testing.T, name string) *llm.Model {
	t.Helper()
	m, err := llm.Load(context.Background(), "../../notebooks/data/world/"+name)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// worldPairs are answers of the world, the one with more gold chosen.
func worldPairs(t *testing.T, n int, seed uint64) *prefs.Pairs {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	out := &prefs.Pairs{}
	for out.Len() < n {
		p := world.NewPrompt(rng)
		a, b := world.Demonstration(rng, p), world.Demonstration(rng, p)
		ga, _, err := world.Gold(p.Text, strings.TrimSuffix(a, " <eos>"))
		if err != nil {
			t.Fatal(err)
		}
		gb, _, err := world.Gold(p.Text, strings.TrimSuffix(b, " <eos>"))
		if err != nil {
			t.Fatal(err)
		}
		if ga < gb {
			a, b = b, a
		}
		if ga != gb {
			out.Rows = append(out.Rows, prefs.Pair{Prompt: p.Text, Chosen: strings.TrimSuffix(a, " <eos>"), Rejected: strings.TrimSuffix(b, " <eos>")})
		}
	}
	return out
}

var fast = &reward.Options{Rank: 2, LearningRate: 3e-3, Epochs: 2, Seed: 3}

func pool(pairs *prefs.Pairs) *bayesrm.Pool {
	p := &bayesrm.Pool{}
	for _, r := range pairs.Rows {
		p.Questions = append(p.Questions, bayesrm.Question{ID: r.Prompt, Prompt: r.Prompt, Answers: []bayesrm.Answer{{ID: r.Prompt + "/a", Text: r.Chosen}, {ID: r.Prompt + "/b", Text: r.Rejected}}})
	}
	return p
}

// TestTrain: members differ, the ensemble is their mean, raw members are refused, and posteriors join to a Laplace ensemble.
func TestTrain(t *testing.T) {
	ctx := t.Context()
	pairs := worldPairs(t, 48, 1)
	ms, err := Train(ctx, load(t, "backbone"), pairs, &Options{Members: 3, Reward: fast})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := FromModels(ms); err == nil || !strings.Contains(err.Error(), "Standardise") {
		t.Errorf("members in logits: %v", err)
	}
	for _, m := range ms {
		if err := m.Standardise(ctx, pairs); err != nil {
			t.Fatal(err)
		}
	}
	e, err := FromModels(ms)
	if err != nil {
		t.Fatal(err)
	}
	r := pairs.Rows[0]
	bs, err := e.Score(ctx, r.Prompt, []string{r.Chosen, r.Rejected})
	if err != nil {
		t.Fatal(err)
	}
	var mean float64
	for _, m := range ms {
		one, err := m.Score(ctx, r.Prompt, []string{r.Chosen})
		if err != nil {
			t.Fatal(err)
		}
		mean += one[0].Mean / 3
	}
	check.Close(t, "mean", []float64{bs[0].Mean}, []float64{mean}, 1e-6, 0)
	if m := bs[0].Members; m[0].Mean == m[1].Mean || penalty.WCO()(bs[0]) >= bs[0].Mean {
		t.Errorf("members %v, worst case %v", m, penalty.WCO()(bs[0]))
	}

	var ls []*laplace.Posterior
	for _, m := range ms {
		l, err := laplace.Fit(ctx, m, pairs, nil)
		if err != nil {
			t.Fatal(err)
		}
		ls = append(ls, l)
	}
	la, err := FromPosteriors(ls)
	if err != nil {
		t.Fatal(err)
	}
	p := pool(&prefs.Pairs{Rows: pairs.Rows[:2]})
	got, err := la.ScorePool(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	var single, relative float64
	for _, l := range ls {
		b, err := l.ScorePool(ctx, p, nil)
		if err != nil {
			t.Fatal(err)
		}
		single, relative = single+b[3].Var/9, relative+b[3].RelVar/9
	}
	check.Close(t, "Laplace ensemble", []float64{got[3].Var, got[3].RelVar}, []float64{single, relative}, 0, 1e-6)
	if got[3].ID != p.Questions[1].Answers[1].ID {
		t.Errorf("the id of the last answer is %q", got[3].ID)
	}
}

// TestBagging: members of a bagged ensemble see other data; a member's pairs repeat and leave some out.
func TestBagging(t *testing.T) {
	pairs := worldPairs(t, 24, 2)
	one := &Options{Members: 1, Reward: fast}
	plain, err := Train(t.Context(), load(t, "backbone"), pairs, one)
	if err != nil {
		t.Fatal(err)
	}
	bagged, err := Train(t.Context(), load(t, "backbone"), pairs, &Options{Members: 1, Reward: fast, Bagging: true})
	if err != nil {
		t.Fatal(err)
	}
	byHand, err := reward.Train(t.Context(), load(t, "backbone"), pairs.Bootstrap(fast.Seed), fast)
	if err != nil {
		t.Fatal(err)
	}
	check.Close(t, "bagged", bagged[0].Theta(), byHand.Theta(), 0, 0)
	if plain[0].Theta()[0] == bagged[0].Theta()[0] {
		t.Error("the seed is the same and so are the weights: the data did not differ")
	}
}

// TestBases: members take the backbones in turn.
func TestBases(t *testing.T) {
	ms, err := Train(t.Context(), nil, worldPairs(t, 8, 3), &Options{Members: 3, Reward: fast, Bases: []*llm.Model{load(t, "backbone"), load(t, "policy")}})
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"backbone", "policy", "backbone"} {
		if s := ms[i].Base.Source(); !strings.HasSuffix(s, name) {
			t.Errorf("member %d stands on %s, want %s", i, s, name)
		}
	}
}

// TestWARM: the average of equal members is the member; of others, each layer's s·B·A is the mean of theirs, which the product
// of the means is not.
func TestWARM(t *testing.T) {
	ctx := t.Context()
	pairs := worldPairs(t, 32, 4)
	ms, err := Train(ctx, load(t, "backbone"), pairs, &Options{Members: 2, Reward: fast})
	if err != nil {
		t.Fatal(err)
	}
	rewards := func(m *reward.Model) []float64 {
		seqs, err := m.EncodePairs(pairs)
		if err != nil {
			t.Fatal(err)
		}
		r, err := m.Rewards(ctx, seqs)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	same, err := WARM([]*reward.Model{ms[0], ms[0], ms[0]})
	if err != nil {
		t.Fatal(err)
	}
	check.Close(t, "equal members", rewards(same), rewards(ms[0]), 1e-4, 0)

	w, err := WARM(ms)
	if err != nil {
		t.Fatal(err)
	}
	product := func(a *llm.LoRA, A, B []float32) *mat.Dense {
		wide := func(x []float32) (y []float64) {
			for _, v := range x {
				y = append(y, float64(v))
			}
			return y
		}
		var p mat.Dense
		p.Mul(mat.NewDense(len(B)/a.R, a.R, wide(B)), mat.NewDense(a.R, len(A)/a.R, wide(A)))
		p.Scale(float64(a.Scale), &p)
		return &p
	}
	a, b, avg := ms[0].Base.LoRAs()[1], ms[1].Base.LoRAs()[1], w.Base.LoRAs()[1]
	var want mat.Dense
	want.Add(product(a, a.A.Data, a.B.Data), product(b, b.A.Data, b.B.Data))
	want.Scale(0.5, &want)
	if !mat.EqualApprox(product(avg, avg.A.Data, avg.B.Data), &want, 1e-6*mat.Max(&want)) {
		t.Error("the averaged layer is not the mean of the products")
	}
	half := func(x, y []float32) []float32 {
		z := make([]float32, len(x))
		for i := range z {
			z[i] = (x[i] + y[i]) / 2
		}
		return z
	}
	if mat.EqualApprox(product(a, half(a.A.Data, b.A.Data), half(a.B.Data, b.B.Data)), &want, 0.1*mat.Max(&want)) {
		t.Error("the product of the means is as good: this test cannot tell them apart")
	}
	if _, err := WARM(nil); err == nil {
		t.Error("no members are averaged")
	}
}

// TestDiversity: the gradient by differences with the Frobenius norm held; training with it raises the nuclear norm and lowers
// the correlation of the members, which start equal when their seeds are.
func TestDiversity(t *testing.T) {
	base := load(t, "backbone")
	pairs := worldPairs(t, 240, 5)
	score := func(coefficient float64) (nuclear, correlation float64) {
		ms, err := TrainDiverse(t.Context(), base, pairs, coefficient, &Options{Members: 3, Reward: &reward.Options{Rank: 4, LearningRate: 1e-2, Epochs: 6, Seed: 3}})
		if err != nil {
			t.Fatal(err)
		}
		for l := range ms[0].Base.LoRAs() {
			var stack []*llm.LoRA
			for _, m := range ms {
				stack = append(stack, m.Base.LoRAs()[l])
			}
			v, _, err := Diversity(stack)
			if err != nil {
				t.Fatal(err)
			}
			nuclear += v
		}
		held := worldPairs(t, 200, 6)
		var diffs [][]float64
		for _, m := range ms {
			seqs, err := m.EncodePairs(held)
			if err != nil {
				t.Fatal(err)
			}
			r, err := m.Rewards(t.Context(), seqs)
			if err != nil {
				t.Fatal(err)
			}
			var d []float64
			for i := 0; i < len(r); i += 2 {
				d = append(d, r[i]-r[i+1])
			}
			diffs = append(diffs, d)
		}
		for i := range diffs {
			for j := range i {
				correlation += metrics.Spearman(diffs[i], diffs[j]) / 3
			}
		}
		return nuclear, correlation
	}
	n0, c0 := score(0)
	n1, c1 := score(1)
	t.Logf("nuclear norm %.3f and correlation %.3f without, %.3f and %.3f with the penalty", n0, c0, n1, c1)
	if n1 <= n0 {
		t.Errorf("the nuclear norm fell from %v to %v", n0, n1)
	}
	if c1 >= c0 {
		t.Errorf("the correlation of the members rose from %v to %v", c0, c1)
	}

	m, err := base.Copy().AddLoRA([]string{"query_key_value"}, 2, 2, 1)
	if err != nil {
		t.Fatal(err)
	}
	n, err := base.Copy().AddLoRA([]string{"query_key_value"}, 2, 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	stack := []*llm.LoRA{m[0], n[0]}
	norm := func() float64 {
		var s float64
		for _, a := range stack {
			for _, v := range a.A.Data {
				s += float64(v) * float64(v)
			}
		}
		return math.Sqrt(s)
	}
	held := norm()
	_, g, err := Diversity(stack)
	if err != nil {
		t.Fatal(err)
	}
	f := func() float64 {
		v, _, err := Diversity(stack)
		if err != nil {
			t.Fatal(err)
		}
		return v * norm() / held
	}
	check.Close(t, "gradient", g[:10], check.Grad(f, m[0].A.Data[:10], 1e-3), 1e-3, 1e-2)
}

// TestDropout: masks give different rewards to a model that was trained with dropout, equal texts get equal ones, and other
// models are refused.
func TestDropout(t *testing.T) {
	pairs := worldPairs(t, 16, 7)
	o := *fast
	o.Dropout = 0.2
	m, err := reward.Train(t.Context(), load(t, "backbone"), pairs, &o)
	if err != nil {
		t.Fatal(err)
	}
	e, err := Dropout(m, 4)
	if err != nil {
		t.Fatal(err)
	}
	r := pairs.Rows[0]
	bs, err := e.Score(t.Context(), r.Prompt, []string{r.Chosen, r.Rejected, r.Chosen})
	if err != nil {
		t.Fatal(err)
	}
	if bs[0].Mean != bs[2].Mean || bs[0].Members[0].Mean == bs[0].Members[1].Mean {
		t.Errorf("beliefs %v", bs)
	}
	plain, err := reward.Train(t.Context(), load(t, "backbone"), pairs, fast)
	if err != nil {
		t.Fatal(err)
	}
	e, err = Dropout(plain, 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Score(t.Context(), r.Prompt, []string{"a"}); err == nil || !strings.Contains(err.Error(), "Options.Dropout") {
		t.Errorf("a model without dropout: %v", err)
	}
}

// TestHeads: heads fit the pairs they are trained on, differ, and read a text once; a head on bootstrap samples differs in data.
func TestHeads(t *testing.T) {
	ctx := t.Context()
	pairs := worldPairs(t, 200, 8)
	o := &Options{Members: 3, Reward: &reward.Options{LearningRate: 1e-2, Epochs: 20}}
	h, err := TrainHeads(ctx, load(t, "backbone"), pairs, o)
	if err != nil {
		t.Fatal(err)
	}
	right := 0
	for _, r := range pairs.Rows {
		bs, err := h.Score(ctx, r.Prompt, []string{r.Chosen, r.Rejected})
		if err != nil {
			t.Fatal(err)
		}
		if bs[0].Mean > bs[1].Mean {
			right++
		}
		if len(bs[0].Members) != 3 || bs[0].Members[0].Mean == bs[0].Members[1].Mean {
			t.Fatalf("members %v", bs[0].Members)
		}
	}
	t.Logf("%d of %d pairs right", right, pairs.Len())
	if right < 130 {
		t.Errorf("%d of %d pairs right", right, pairs.Len())
	}
	o.Bagging = true
	b, err := TrainHeads(ctx, load(t, "backbone"), pairs, o)
	if err != nil {
		t.Fatal(err)
	}
	if b.Heads[0][0] == h.Heads[0][0] {
		t.Error("bagging changed nothing")
	}
}

// TestScoreMany: several prompts at once are as one by one, for members that can and members that cannot.
func TestScoreMany(t *testing.T) {
	one := fixed{1, 0.5}
	e, err := NewRaw(one, fixed{3, 0.1})
	if err != nil {
		t.Fatal(err)
	}
	got, err := e.ScoreMany(t.Context(), []string{"p", "q"}, [][]string{{"a", "bb"}, {"ccc"}})
	if err != nil {
		t.Fatal(err)
	}
	for i, q := range []struct {
		prompt  string
		answers []string
	}{{"p", []string{"a", "bb"}}, {"q", []string{"ccc"}}} {
		want, err := e.Score(t.Context(), q.prompt, q.answers)
		if err != nil {
			t.Fatal(err)
		}
		for k := range want {
			if got[i][k].Mean != want[k].Mean || got[i][k].Var != want[k].Var || len(got[i][k].Members) != 2 {
				t.Errorf("%s, answer %d: %v, want %v", q.prompt, k, got[i][k], want[k])
			}
		}
	}
}

// fixed rewards length.
type fixed struct{ scale, variance float64 }

func (f fixed) Score(_ context.Context, prompt string, answers []string) ([]bayesrm.Belief, error) {
	out := make([]bayesrm.Belief, len(answers))
	for i, a := range answers {
		out[i] = bayesrm.Belief{Mean: f.scale * float64(len(prompt)+len(a)), Var: f.variance}
	}
	return out, nil
}
