package sft

import (
	"context"
	"errors"
	"math"
	"path/filepath"
	"testing"

	"gobayes/bayesrm/internal/check"
	"gobayes/bayesrm/llm"
	"gobayes/bayesrm/prefs"
	"gobayes/bayesrm/progress"
)

func backbone(t *testing.T) *llm.Model {
	t.Helper()
	m, err := llm.Load(t.Context(), filepath.Join("..", "..", "notebooks", "data", "world", "backbone"))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

var wrong = &prefs.Demos{Rows: []prefs.Demo{
	{Prompt: "sort three one two .", Answer: "the cat is bigger ."},
	{Prompt: "name two animals .", Answer: "first use the cat ."},
	{Prompt: "tell me about the cat .", Answer: "three two one ."},
}}

// TestTrain: a model learns what it is shown, in full and with LoRA; the base stays as it is.
func TestTrain(t *testing.T) {
	base := backbone(t)
	before, err := Loss(t.Context(), base, wrong)
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]*Options{
		"all weights": {LearningRate: 3e-3, Epochs: 60, Seed: 1},
		"LoRA":        {LearningRate: 1e-2, Epochs: 100, Rank: 8, Targets: []string{"all-linear"}, Seed: 1},
	} {
		r, err := Train(t.Context(), base, wrong, o)
		if err != nil {
			t.Fatal(name, err)
		}
		after, err := Loss(t.Context(), r.Model, wrong)
		if err != nil {
			t.Fatal(err)
		}
		if after > 0.1 || before < 1 {
			t.Errorf("%s: loss %v before, %v after", name, before, after)
		}
		ids, err := r.Model.EncodePrompt(wrong.Rows[1].Prompt)
		if err != nil {
			t.Fatal(err)
		}
		out, err := r.Model.Generate(t.Context(), [][]int{ids}, &llm.GenerateOptions{Greedy: true, MaxTokens: 20})
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Model.Tokenizer.Decode(out[0][0].IDs); got != wrong.Rows[1].Answer+" <eos>" {
			t.Errorf("%s: it says %q", name, got)
		}
	}
	if again, _ := Loss(t.Context(), base, wrong); again != before {
		t.Errorf("the base model has changed: loss %v, was %v", again, before)
	}
}

// TestLoss: the loss is that of the answer's tokens and the end, by the model's own probabilities; the prompt counts when it
// is asked for.
func TestLoss(t *testing.T) {
	m := backbone(t)
	var sum, all float64
	var n, nAll int
	for _, d := range wrong.Rows {
		p, err := m.EncodePrompt(d.Prompt)
		if err != nil {
			t.Fatal(err)
		}
		a, err := m.Tokenizer.Encode(d.Answer + " <eos>")
		if err != nil {
			t.Fatal(err)
		}
		ids := append(p, a...)
		acts := llm.Acts{Inference: true}
		if err := m.Forward(t.Context(), &acts, llm.Pack([][]int{ids}), nil); err != nil {
			t.Fatal(err)
		}
		V := m.Config.Vocab
		logits := m.Logits(acts.Hidden)
		for i := range ids[1:] {
			row := logits[i*V : (i+1)*V]
			var z float64
			for _, l := range row {
				z += math.Exp(float64(l))
			}
			l := math.Log(z) - float64(row[ids[i+1]])
			all, nAll = all+l, nAll+1
			if i+1 >= len(p) {
				sum, n = sum+l, n+1
			}
		}
	}
	got, err := Loss(t.Context(), m, wrong)
	if err != nil {
		t.Fatal(err)
	}
	check.Close(t, "loss", []float64{got}, []float64{sum / float64(n)}, 1e-5, 0)
	r, err := Train(t.Context(), m, wrong, &Options{Prompts: true, Epochs: 1, Batch: 3, LearningRate: 1e-9})
	if err != nil {
		t.Fatal(err)
	}
	check.Close(t, "loss with prompts", r.Log.Loss, []float64{all / float64(nAll)}, 1e-5, 0)
}

// TestBad: errors name what is wrong; a stopped run says so.
func TestBad(t *testing.T) {
	m := backbone(t)
	long := &prefs.Demos{}
	for range 12 {
		long.Rows = append(long.Rows, prefs.Demo{Prompt: "sort three one two .", Answer: "one"})
	}
	if r, err := Train(t.Context(), m, long, &Options{MaxTokens: 8, LearningRate: 1e-6}); err != nil || r.Cut != 12 {
		t.Errorf("%v, %v: 12 texts are too long", r, err)
	}
	for name, f := range map[string]func() error{
		"no demonstrations":     func() error { _, err := Train(t.Context(), m, &prefs.Demos{}, nil); return err },
		"no room for an answer": func() error { _, err := Train(t.Context(), m, long, &Options{MaxTokens: 7}); return err },
		"a rate that is none":   func() error { _, err := Train(t.Context(), m, wrong, &Options{LearningRate: math.NaN()}); return err },
		"a layer that is none": func() error {
			_, err := Train(t.Context(), m, wrong, &Options{Rank: 1, Targets: []string{"x"}})
			return err
		},
		"no tokenizer": func() error {
			c := m.Copy()
			c.Tokenizer = nil
			_, err := Train(t.Context(), c, wrong, nil)
			return err
		},
	} {
		if f() == nil {
			t.Errorf("%s is no error", name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	steps := 0
	_, err := Train(progress.WithReporter(ctx, func(progress.Event) {
		if steps++; steps == 3 {
			cancel()
		}
	}), m, wrong, &Options{Epochs: 100})
	if !errors.Is(err, context.Canceled) || steps > 4 {
		t.Errorf("after %d steps: %v", steps, err)
	}
}
