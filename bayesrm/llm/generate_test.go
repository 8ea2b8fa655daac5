package llm

import (
	"context"
	"encoding/json"
	"errors"
	"gobayes/bayesrm/internal/check"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"runtime"
	"slices"
	"testing"
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

// TestDecodeEqualsForward: greedy decoding of several prompts at once takes the tokens that a full pass would, and its
// log-probabilities are those of the full pass.
func TestDecodeEqualsForward(t *testing.T) {
	eachTiny(t, func(t *testing.T, m *Model) {
		rng := rand.New(rand.NewPCG(5, 0))
		prompts := [][]int{someTokens(rng, 40, 50), someTokens(rng, 1, 50), someTokens(rng, 7, 50)}
		out, err := m.Generate(t.Context(), prompts, &GenerateOptions{Greedy: true, MaxTokens: 45, LogProbs: true})
		if err != nil {
			t.Fatal(err)
		}
		for p, prompt := range prompts {
			c := out[p][0]
			full := append(slices.Clone(prompt), c.IDs...)
			acts := Acts{Inference: true}
			if err := m.Forward(t.Context(), &acts, Pack([][]int{full}), nil); err != nil {
				t.Fatal(err)
			}
			V := m.Config.Vocab
			logits := m.Logits(acts.Hidden)
			for i, id := range c.IDs {
				l := logits[(len(prompt)+i-1)*V:][:V]
				if best := argmax(l); best != id {
					t.Fatalf("prompt %d, token %d: %d, the full pass gives %d", p, i, id, best)
				}
				var z float64
				for _, v := range l {
					z += math.Exp(float64(v - l[id]))
				}
				if want := -math.Log(z); math.Abs(c.LogProbs[i]-want) > 1e-4 {
					t.Fatalf("prompt %d, token %d: log-probability %v, want %v", p, i, c.LogProbs[i], want)
				}
			}
			if reason := c.Reason; (c.IDs[len(c.IDs)-1] == 3) != (reason == "end") {
				t.Errorf("prompt %d ends for reason %q with token %d", p, reason, c.IDs[len(c.IDs)-1])
			}
		}
	})
}

// TestPick draws from a known distribution under each truncation.
func TestPick(t *testing.T) {
	p := []float64{0.05, 0.4, 0.1, 0.3, 0.15}
	for _, tt := range []struct {
		name string
		o    GenerateOptions
		want []float64
	}{
		{"plain", GenerateOptions{}, p},
		{"top-k", GenerateOptions{TopK: 2}, []float64{0, 4. / 7, 0, 3. / 7, 0}},
		{"top-p", GenerateOptions{TopP: 0.65}, []float64{0, 4. / 7, 0, 3. / 7, 0}},
		{"top-p of top-k", GenerateOptions{TopK: 3, TopP: 0.9}, []float64{0, 40. / 85, 0, 30. / 85, 15. / 85}},
		{"min-p", GenerateOptions{MinP: 0.3}, []float64{0, 40. / 85, 0, 30. / 85, 15. / 85}},
		{"temperature", GenerateOptions{Temperature: 0.5}, []float64{0.0025 / 0.285, 0.16 / 0.285, 0.01 / 0.285, 0.09 / 0.285, 0.0225 / 0.285}},
		{"greedy", GenerateOptions{Greedy: true}, []float64{0, 1, 0, 0, 0}},
		{"penalty", GenerateOptions{RepetitionPenalty: 2, Greedy: true}, []float64{0, 0, 0, 1, 0}},
	} {
		o := tt.o
		if o.Temperature == 0 {
			o.Temperature = 1
		}
		if o.RepetitionPenalty == 0 {
			o.RepetitionPenalty = 1
		}
		rng := rand.New(rand.NewPCG(6, 0))
		const n = 20000
		got := make([]float64, 5)
		for range n {
			l := make([]float32, 5)
			for i := range l {
				l[i] = float32(math.Log(p[i]))
			}
			got[o.pick(l, rng, []int{1}, nil)] += 1. / n
		}
		for i := range got {
			if sd := math.Sqrt(tt.want[i] * (1 - tt.want[i]) / n); math.Abs(got[i]-tt.want[i]) > 4*sd+1e-9 {
				t.Errorf("%s: token %d has frequency %.4f, want %.4f", tt.name, i, got[i], tt.want[i])
			}
		}
	}
}

func TestGenerateErrors(t *testing.T) {
	m := newTiny(t, tinyConfigs[0])
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Generate(ctx, [][]int{{4, 5}}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	for _, tt := range []struct {
		prompts [][]int
		o       *GenerateOptions
	}{
		{[][]int{{}}, nil}, {[][]int{{99}}, nil}, {[][]int{make([]int, 90)}, nil},
		{[][]int{{4}}, &GenerateOptions{TopP: 2}}, {[][]int{{4}}, &GenerateOptions{Stop: []string{"x"}}}, {[][]int{{4}}, &GenerateOptions{Seeds: []uint64{1, 2}}},
	} {
		if _, err := m.Generate(t.Context(), tt.prompts, tt.o); err == nil {
			t.Errorf("prompts %v, options %+v: no error", tt.prompts, tt.o)
		}
	}
	a, err := m.Generate(t.Context(), [][]int{{4, 5}, {6}}, &GenerateOptions{Samples: 3, MaxTokens: 8, Seed: 2})
	if err != nil {
		t.Fatal(err)
	}
	b, err := m.Generate(t.Context(), [][]int{{6}}, &GenerateOptions{Samples: 3, MaxTokens: 8, Seed: 2})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(a[1], b[0]) {
		t.Error("the answers to a prompt depend on the prompts beside it")
	}
}
