package reward

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gobayes/bayesrm"
	"gobayes/bayesrm/internal/check"
	"gobayes/bayesrm/llm"
)

func tinyModel(t *testing.T, seed uint64) *llm.Model {
	t.Helper()
	m, err := llm.New(llm.Config{Arch: "gpt_neox", Vocab: 40, Width: 16, Layers: 2, Heads: 2, KVHeads: 2, FeedForward: 32, Context: 32,
		RotaryDim: 4, RotaryBase: 10000, NormEps: 1e-5, Parallel: true, BOS: -1, EOS: 0}, seed)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestFolder: a model that was saved is the same when it is loaded, and so are the weights it began with; a folder without a
// head, and another base model, are refused.
func TestFolder(t *testing.T) {
	base := tinyModel(t, 1)
	m, err := newModel(base, &Options{Rank: 2, Seed: 5, LearningRate: 1e-3})
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for _, a := range m.Base.LoRAs() {
		for _, p := range []*llm.Param{a.A, a.B} {
			for i := range p.Data {
				p.Data[i] += float32(rng.NormFloat64())
			}
		}
	}
	m.Normalizer = &bayesrm.Normalizer{Mean: 0.5, Std: 2}
	m.pairs, m.Log.Loss = 3, []float64{0.7, 0.1}
	dir := t.TempDir()
	if err := m.Save(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	seqs := [][]int{{1, 2, 3}, {5, 9, 30, 2, 0}}
	want, err := m.Rewards(t.Context(), seqs)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]*llm.Model{"its own base": nil, "the base at hand": base} {
		l, err := Load(t.Context(), dir, b)
		if err != nil {
			t.Fatal(err)
		}
		got, err := l.Rewards(t.Context(), seqs)
		if err != nil {
			t.Fatal(err)
		}
		check.Close(t, name, got, want, 0, 0)
		check.Close(t, "θ", l.Theta(), m.Theta(), 0, 0)
		check.Close(t, "θ before training", l.initial, m.initial, 0, 0)
		if *l.Normalizer != *m.Normalizer || l.String() != m.String() {
			t.Errorf("loaded %v %v, saved %v %v", l, l.Normalizer, m, m.Normalizer)
		}
	}
	refuse := func(what, want string, b *llm.Model) {
		t.Helper()
		if _, err := Load(t.Context(), dir, b); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", what, err, want)
		}
	}
	refuse("another base", "the base model base is another one", tinyModel(t, 2))
	if err := m.Base.SaveAdapter(dir, "base", nil); err != nil {
		t.Fatal(err)
	}
	refuse("no head", "score.weight", nil)
	if err := os.WriteFile(filepath.Join(dir, folderName), []byte(`{"version":99}`), 0o644); err != nil {
		t.Fatal(err)
	}
	refuse("another version", "version 99, want 1", nil)
}
