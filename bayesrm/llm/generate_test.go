package llm

import (
	"context"
	"encoding/json"
	"os"
	"reflect"
	"runtime"
	"testing"

	"gobayes/bayesrm/internal/check"
)

func TestGreedyStories(t *testing.T) {
	m, err := Load(context.Background(), check.Data(t, "models", "stories260K"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(check.Data(t, "golden", "generation.json"))
	if err != nil {
		t.Fatal(err)
	}
	var g struct {
		Greedy []struct {
			Prompt    string
			PromptIDs []int `json:"prompt_ids"`
			NewIDs    []int `json:"new_ids"`
		}
	}
	if err := json.Unmarshal(b, &g); err != nil {
		t.Fatal(err)
	}
	for _, tt := range g.Greedy {
		ids, err := m.Tokenizer.Encode(tt.Prompt)
		if err != nil {
			t.Fatal(err)
		}
		if got := append([]int{1}, ids...); !reflect.DeepEqual(got, tt.PromptIDs) {
			t.Errorf("%q: ids %v, want %v", tt.Prompt, got, tt.PromptIDs)
		}
		out, err := m.Generate(context.Background(), [][]int{tt.PromptIDs}, &GenerateOptions{Greedy: true, MaxTokens: len(tt.NewIDs)})
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(out[0][0].IDs, tt.NewIDs) {
			t.Errorf("%q: continuation %v, want %v", tt.Prompt, out[0][0].IDs, tt.NewIDs)
		}
	}
}

// TestSamplesAlone: an answer does not depend on the answers drawn beside it, nor on the number of processors.
func TestSamplesAlone(t *testing.T) {
	c := Config{Arch: "gpt_neox", Width: 32, Layers: 2, Heads: 4, KVHeads: 4, FeedForward: 128, Vocab: 50, Context: 40, RotaryDim: 4, RotaryBase: 10000, NormEps: 1e-5, Parallel: true, EOS: 3, BOS: -1}
	m, err := New(c, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range m.Params() { // larger weights: distributions that are not flat
		if len(p.Shape) == 2 {
			for i := range p.Data {
				p.Data[i] *= 10
			}
		}
	}
	gen := func(first, n int) []Completion {
		out, err := m.Generate(context.Background(), [][]int{{1, 5, 9}}, &GenerateOptions{Samples: n, First: first, Seed: 7, LogProbs: true})
		if err != nil {
			t.Fatal(err)
		}
		return out[0]
	}
	all := gen(0, 100)
	for _, i := range []int{0, 1, 50, 99} {
		if one := gen(i, 1); !reflect.DeepEqual(one[0], all[i]) {
			t.Errorf("answer %d alone is %v, among 100 it is %v", i, one[0], all[i])
		}
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	if got := gen(0, 100); !reflect.DeepEqual(got, all) {
		t.Error("one processor gives other answers than several")
	}
}
