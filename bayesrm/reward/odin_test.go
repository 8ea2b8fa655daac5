package reward

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gobayes/bayesrm/internal/check"
	"gobayes/bayesrm/llm"
	"gobayes/bayesrm/prefs"
	"gobayes/bayesrm/tensor"
	"gobayes/bayesrm/tokenizer"
	"gobayes/bayesrm/train"
)

// wordModel is a tiny model over the words w0, w1, ….
func wordModel(t *testing.T) *llm.Model {
	t.Helper()
	m := tinyModel(t, 1)
	words := []string{"<eos>", "<unk>"}
	for i := range 38 {
		words = append(words, fmt.Sprint("w", i))
	}
	m.Tokenizer = tokenizer.NewWords(words)
	return m
}

// longPairs prefers answers with more of the good words w0 to w4, which are mostly the longer ones.
func longPairs(n int) *prefs.Pairs {
	rng := rand.New(rand.NewPCG(1, 2))
	answer := func(length int) (string, int) {
		var w []string
		good := 0
		for range length {
			k := rng.IntN(15)
			if k < 5 {
				good++
			}
			w = append(w, fmt.Sprint("w", k))
		}
		return strings.Join(w, " "), good
	}
	p := &prefs.Pairs{}
	for p.Len() < n {
		a, ga := answer(3 + rng.IntN(18))
		b, gb := answer(3 + rng.IntN(18))
		if ga < gb {
			a, b = b, a
		}
		if ga != gb {
			p.Rows = append(p.Rows, prefs.Pair{Prompt: "w20 w21", Chosen: a, Rejected: b})
		}
	}
	return p
}

// TestBadPairs: what cannot teach anything is refused, with the row.
func TestBadPairs(t *testing.T) {
	good := prefs.Pair{Prompt: "w1", Chosen: "w2 w3", Rejected: "w4"}
	for want, bad := range map[string]prefs.Pair{
		"pair 1 (prompt \"w5\"): chosen and rejected are the same": {Prompt: "w5", Chosen: "w2", Rejected: "w2"},
		"pair 1 (prompt \"w6\"): an answer is empty":               {Prompt: "w6", Chosen: "w2"},
	} {
		if _, err := Train(t.Context(), wordModel(t), &prefs.Pairs{Rows: []prefs.Pair{good, bad}}, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	if _, err := Train(t.Context(), wordModel(t), &prefs.Pairs{}, nil); err == nil || !strings.Contains(err.Error(), "no pairs") {
		t.Errorf("no pairs: %v", err)
	}
	if _, err := Train(t.Context(), wordModel(t), &prefs.Pairs{Rows: []prefs.Pair{good}}, &Options{LearningRate: 1e30, Epochs: 50}); err == nil || !strings.Contains(err.Error(), "lower the learning rate") {
		t.Errorf("a training that diverges: %v", err)
	}
}

// TestPrior: the prior's share of the loss is δ/2N·‖θ − μ‖², and its gradient that of the differences, also with ODIN.
func TestPrior(t *testing.T) {
	for _, atInitial := range []bool{false, true} {
		const delta, N = 7, 6
		plain, err := NewTrainer(wordModel(t), longPairs(N), &Options{Rank: 2, Seed: 3})
		if err != nil {
			t.Fatal(err)
		}
		o := &Options{Rank: 2, Seed: 3, Prior: delta, PriorAtInitial: atInitial}
		with, err := NewTrainer(wordModel(t), longPairs(N), o)
		if err != nil {
			t.Fatal(err)
		}
		odin, err := newODIN(wordModel(t), longPairs(N), &ODINOptions{}, o)
		if err != nil {
			t.Fatal(err)
		}
		initial := plain.Model.Theta()
		var norm float64
		for _, tr := range []*Trainer{plain, with, odin.Trainer} {
			norm = 0
			for _, a := range tr.Model.Base.LoRAs() {
				for i := range a.B.Data {
					a.B.Data[i] = float32(i%7)/10 - 0.3
				}
				for i := range a.A.Data {
					a.A.Data[i] += float32(i%5)/20 - 0.1
				}
			}
			for i, v := range tr.Model.Theta() {
				if atInitial {
					v -= initial[i]
				}
				norm += v * v
			}
		}
		step := func(m train.Model) func() float64 {
			return func() float64 {
				l, err := m.Step(t.Context(), train.Step{Items: []int{0, 1, 2, 3, 4, 5}, Weight: 1})
				if err != nil {
					t.Fatal(err)
				}
				return l
			}
		}
		check.Close(t, "loss", []float64{step(with)()}, []float64{step(plain)() + delta*norm/(2*N)}, 1e-5, 1e-5)
		for _, m := range []train.Model{with, odin} {
			params, grads := m.Weights()
			for _, g := range grads {
				clear(g)
			}
			step(m)()
			var once [][]float32 // every call adds to grads
			for _, g := range grads {
				once = append(once, slices.Clone(g))
			}
			for k := range params {
				n := min(8, len(params[k]))
				check.Close(t, fmt.Sprint("weights ", k), once[k][:n], check.Grad(step(m), params[k][:n], 3e-3), 3e-4, 3e-2)
			}
		}
	}
}

// TestEpochs: held-out pairs are watched and change nothing; the records are those of Evaluate.
func TestEpochs(t *testing.T) {
	train, held := longPairs(24), longPairs(40)
	held.Rows = held.Rows[24:]
	o := Options{Rank: 2, LearningRate: 1e-2, Epochs: 3, Seed: 5}
	plain, err := Train(t.Context(), wordModel(t), train, &o)
	if err != nil {
		t.Fatal(err)
	}
	o.HeldOut = held
	m, err := Train(t.Context(), wordModel(t), train, &o)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(m.Theta(), plain.Theta()) || plain.Epochs != nil || len(m.Epochs) != 4 {
		t.Errorf("%d epochs on record; the weights are the same: %v", len(m.Epochs), slices.Equal(m.Theta(), plain.Theta()))
	}
	last, err := m.Evaluate(t.Context(), held)
	if err != nil {
		t.Fatal(err)
	}
	if e := m.Epochs[3]; e.HeldOut != last || e.Train.NLL >= m.Epochs[0].Train.NLL || e.Train.Pairs != 24 {
		t.Errorf("first %+v, last %+v, want %+v held out", m.Epochs[0], e, last)
	}
	o.HeldOut = &prefs.Pairs{}
	if _, err := Train(t.Context(), wordModel(t), train, &o); err == nil {
		t.Error("no pairs to watch is no error")
	}
}

// TestODINGradient: the gradients of a step by differences, of both heads and of LoRA weights.
func TestODINGradient(t *testing.T) {
	tr, err := newODIN(wordModel(t), longPairs(6), &ODINOptions{Length: 0.7, Orthogonal: 0.4}, &Options{Rank: 2, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range tr.Model.Base.LoRAs() {
		for i := range a.B.Data {
			a.B.Data[i] = float32(i%7)/10 - 0.3
		}
	}
	items := []int{0, 1, 2, 3, 4, 5}
	f := func() float64 {
		l, err := tr.Step(t.Context(), train.Step{Items: items, Weight: 1})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	params, grads := tr.Weights()
	f()
	var once [][]float32 // every call adds to grads
	for _, g := range grads {
		once = append(once, slices.Clone(g))
	}
	for k := range params {
		n := min(8, len(params[k]))
		got := once[k][:n]
		check.Close(t, fmt.Sprint("weights ", k), got, check.Grad(f, params[k][:n], 1e-2), 3e-4, 3e-2)
	}
}

// TestUnit: the gradient through centring and scaling, by differences.
func TestUnit(t *testing.T) {
	w, c := []float32{0.3, -1, 2, 0.5, 0.1}, []float32{1, 2, -0.5, 0.7, 3}
	f := func() float64 { u, _ := unit(w); return tensor.DotWide(u, c) }
	_, back := unit(w)
	got := make([]float32, len(w))
	back(got, c)
	check.Close(t, "gradient", got, check.Grad(f, w, 1e-2), 1e-3, 0)
}

// TestODIN: the quality head correlates less with the length than a plain head does.
func TestODIN(t *testing.T) {
	pairs := longPairs(200)
	o := &Options{Rank: 4, LearningRate: 1e-2, Epochs: 6, Batch: 16, Seed: 1}
	correlate := func(m *Model) float64 {
		seqs, err := m.EncodePairs(pairs)
		if err != nil {
			t.Fatal(err)
		}
		r, err := m.Rewards(t.Context(), seqs)
		if err != nil {
			t.Fatal(err)
		}
		var n []float64
		for _, s := range seqs {
			n = append(n, float64(len(s)))
		}
		rho, _ := correlation(n, r)
		return rho
	}
	plain, err := Train(t.Context(), wordModel(t), pairs, o)
	if err != nil {
		t.Fatal(err)
	}
	odin, err := TrainODIN(t.Context(), wordModel(t), pairs, nil, o)
	if err != nil {
		t.Fatal(err)
	}
	a, b := correlate(plain), correlate(odin)
	t.Logf("correlation with the length: plain %.3f, ODIN %.3f", a, b)
	if a < 0.4 || math.Abs(b) > a/2 {
		t.Errorf("correlation with the length: plain %.3f, ODIN %.3f", a, b)
	}
	if _, err := TrainODIN(t.Context(), wordModel(t), pairs, nil, &Options{L2: 1}); err == nil {
		t.Error("an option that ODIN's loss ignores is accepted")
	}
}
