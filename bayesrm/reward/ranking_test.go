package reward

import (
	"slices"
	"strings"
	"testing"

	"gobayes/bayesrm/internal/check"
	"gobayes/bayesrm/prefs"
	"gobayes/bayesrm/train"
)

// TestRankingsOfTwo: with two answers each, rankings train bit for bit what pairs train.
func TestRankingsOfTwo(t *testing.T) {
	base, pairs := wordModel(t), longPairs(20)
	rankings := &prefs.Rankings{}
	for _, p := range pairs.Rows {
		rankings.Rows = append(rankings.Rows, prefs.Ranking{Prompt: p.Prompt, Answers: []string{p.Chosen, p.Rejected}})
	}
	o := &Options{Rank: 2, LearningRate: 1e-2, Epochs: 2, LabelSmoothing: 0.1, Seed: 3, HeldOut: pairs}
	want, err := Train(t.Context(), base, pairs, o)
	if err != nil {
		t.Fatal(err)
	}
	got, err := TrainRankings(t.Context(), base, rankings, o)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.Theta(), want.Theta()) || !slices.Equal(got.Head, want.Head) || len(got.Epochs) != 3 || got.Epochs[2] != want.Epochs[2] {
		t.Errorf("rankings of two end elsewhere than pairs: loss %g, %g", got.Log.Tail(1), want.Log.Tail(1))
	}
}

// TestRankingGradient: the loss of a ranking, and its gradient, are the means over its pairs.
func TestRankingGradient(t *testing.T) {
	base := wordModel(t)
	rankings := &prefs.Rankings{}
	for _, p := range longPairs(3).Rows {
		rankings.Rows = append(rankings.Rows, prefs.Ranking{Prompt: p.Prompt, Answers: []string{p.Chosen, p.Rejected, p.Chosen + " " + p.Rejected, p.Rejected + " " + p.Chosen}})
	}
	o := &Options{Rank: 2, Centring: 0.1, Seed: 3}
	a, err := newRankingTrainer(base, rankings, o)
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewTrainer(base, rankings.Pairs(), o)
	if err != nil {
		t.Fatal(err)
	}
	if b.Model.pairs != 18 || len(a.seqs) != 12 {
		t.Fatalf("%d pairs, %d texts", b.Model.pairs, len(a.seqs))
	}
	for _, x := range []*Trainer{a.Trainer, b} { // B begins at 0, and with it the gradient of A
		for _, l := range x.Model.Base.LoRAs() {
			for i := range l.B.Data {
				l.B.Data[i] = 0.1 * float32(i%7-3)
			}
		}
	}
	all := train.Step{Weight: 1}
	for i := range 3 {
		all.Items = append(all.Items, i)
	}
	got, err := a.Step(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	for i := 3; i < 18; i++ {
		all.Items = append(all.Items, i)
	}
	want, err := b.Step(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	check.Close(t, "loss", []float64{got}, []float64{want}, 1e-6, 0)
	_, ga := a.Weights()
	_, gb := b.Weights()
	for i := range ga {
		check.Norm(t, "gradient", ga[i], gb[i], 1e-4)
	}
	for _, bad := range []prefs.Ranking{{Prompt: "p", Answers: []string{"good"}}, {Prompt: "p", Answers: []string{"good", "good"}}, {Prompt: "p", Answers: []string{"good", ""}}} {
		if _, err := TrainRankings(t.Context(), base, &prefs.Rankings{Rows: []prefs.Ranking{bad}}, nil); err == nil || !strings.Contains(err.Error(), "ranking 0") {
			t.Errorf("%q: error %v", bad.Answers, err)
		}
	}
}

// TestAllWeights: every weight that pairs can see moves, the base stays, and the model is the same when it is loaded.
func TestAllWeights(t *testing.T) {
	base, pairs := wordModel(t), longPairs(30)
	before := base.Fingerprint()
	m, err := Train(t.Context(), base, pairs, &Options{AllWeights: true, LearningRate: 3e-3, Epochs: 4})
	if err != nil {
		t.Fatal(err)
	}
	if base.Fingerprint() != before {
		t.Error("the base model was changed")
	}
	ps := m.Base.Params()
	for i, p := range ps[:len(ps)-2] { // pairs do not see the last norm's bias, and the head stands for the output projection
		if slices.Equal(p.Data, base.Params()[i].Data) {
			t.Errorf("weights %d did not move", i)
		}
	}
	if first, last := m.Log.Loss[0], m.Log.Tail(3); last > 0.8*first {
		t.Errorf("loss %g, then %g", first, last)
	}
	dir := t.TempDir()
	if err := m.Save(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	seqs, err := m.EncodePairs(pairs)
	if err != nil {
		t.Fatal(err)
	}
	want, err := m.Rewards(t.Context(), seqs)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Load(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := again.Rewards(t.Context(), seqs)
	if err != nil {
		t.Fatal(err)
	}
	check.Close(t, "loaded", got, want, 0, 0)
	if _, err := Load(t.Context(), dir, base); err == nil {
		t.Error("the head on the model before training")
	}
	if _, err := Train(t.Context(), base, pairs, &Options{AllWeights: true, Rank: 4}); err == nil {
		t.Error("all weights, and a LoRA")
	}
}
