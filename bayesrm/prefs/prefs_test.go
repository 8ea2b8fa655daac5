package prefs

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gobayes/bayesrm/internal/check"
)

func write(t *testing.T, name, text string) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestLoad(t *testing.T) {
	p, err := Load(write(t, "a.jsonl", `{"prompt":"p","chosen":"a","rejected":"b"}
{"prompt":"p","chosen":"","rejected":"b"}

{"prompt":"q","chosen":"c","rejected":"c"}
{"prompt":"q","chosen":"c","rejected":"d"}
`))
	if err != nil {
		t.Fatal(err)
	}
	if p.Len() != 2 || len(p.Skipped) != 2 || !strings.Contains(p.String(), "line 2") {
		t.Errorf("%v, skipped %v", p, p.Skipped)
	}
}

// TestVotesAndSubsets: the majority chooses, ties and draws are left out; subsets stay together.
func TestVotesAndSubsets(t *testing.T) {
	p, err := Load(write(t, "v.jsonl", `{"prompt":"p","a":"x","b":"y","votes":[1,1,2]}
{"prompt":"p","a":"x","b":"y","votes":[0,2,0]}
{"prompt":"p","a":"x","b":"y","votes":[1,2,0]}
{"prompt":"q","chosen":"c","rejected":"d","subset":"s"}
`))
	if err != nil {
		t.Fatal(err)
	}
	if p.Len() != 3 || p.Rows[0].Chosen != "x" || p.Rows[1].Chosen != "y" || len(p.Skipped) != 1 || !strings.Contains(p.Skipped[0], "line 3") {
		t.Errorf("%+v, skipped %v", p.Rows, p.Skipped)
	}
	if s := p.Subsets(); len(s) != 2 || s["s"].Len() != 1 || s[""].Len() != 2 {
		t.Errorf("subsets %v", s)
	}
}

// TestChecked: an answer that can be checked has the gold 1 or 0; demonstrations are read with their answers.
func TestChecked(t *testing.T) {
	pool, err := LoadPool(write(t, "g.jsonl", `{"id":"p","prompt":"2+2?","responses":[{"model":"m","text":"4","correct":true},{"model":"n","text":"5","correct":false},{"model":"o","text":"?"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if a := pool.Questions[0].Answers; len(a) != 2 || a[0].Gold != 1 || a[1].Gold != 0 || a[1].ID != AnswerID("p", "n") {
		t.Errorf("%+v", a)
	}
	d, err := LoadDemos(write(t, "d.jsonl", `{"prompt":"a","response":"b","source":"s"}
{"prompt":"c","response":"d"}`))
	if err != nil || len(d.Rows) != 2 || d.Rows[1] != (Demo{"c", "d"}) {
		t.Errorf("%v, %v", d, err)
	}
	first, rest := d.Cut(1, 3)
	if len(first.Rows) != 1 || len(rest.Rows) != 1 || first.Rows[0] == rest.Rows[0] {
		t.Errorf("cut into %v and %v", first.Rows, rest.Rows)
	}
	for _, bad := range []string{`{"prompt":"a"}`, `{"prompt":"a","response":""}`, "\n"} {
		if _, err := LoadDemos(write(t, "bad.jsonl", bad)); err == nil {
			t.Errorf("%q was loaded", bad)
		}
	}
}

func TestLoadErrors(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"broken line", "{\"prompt\":\"p\",\"chosen\":\"a\",\"rejected\":\"b\"}\n{\"prompt\": \n", "line 2"},
		{"unknown fields", `{"question":"p","good":"a"}`, "fields found: good, question"},
		{"names of answers", `{"id":"p","chosen":"m1","rejected":"m2"}`, "prefs.LoadPairs"},
		{"empty file", "\n", "no pairs"},
		{"not text", `{"prompt":1,"chosen":"a","rejected":"b"}`, "line 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Load(write(t, "a.jsonl", tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none.jsonl")); err == nil {
		t.Error("a missing file was loaded")
	}
	if _, err := Load(write(t, "a.jsonl.gz", "not gzip")); err == nil {
		t.Error("a file that is not gzipped was loaded")
	}
}

func TestPoolAndJoin(t *testing.T) {
	pool, err := LoadPool(write(t, "pool.jsonl", `{"id":"1","prompt":"p","responses":[{"model":"a","text":"A","p_gpt4t":0.5},{"model":"b","text":"B","p_gpt4t":1},{"model":"c","text":"C"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	as := pool.Questions[0].Answers
	if len(as) != 2 || as[0].Gold != 0 || as[1].Gold != 16 || as[1].ID != "1/b" {
		t.Errorf("answers %+v", as)
	}
	pairs, err := LoadPairs(write(t, "pairs.jsonl", `{"id":"1","chosen":"b","rejected":"a"}`), pool)
	if err != nil || pairs.Rows[0] != (Pair{Prompt: "p", Chosen: "B", Rejected: "A"}) {
		t.Errorf("pairs %+v, error %v", pairs, err)
	}
	if _, err := LoadPairs(write(t, "pairs.jsonl", `{"id":"1","chosen":"b","rejected":"zz"}`), pool); err == nil || !strings.Contains(err.Error(), `"zz"`) {
		t.Errorf("error %v", err)
	}
}

func TestSplitByPrompt(t *testing.T) {
	p := &Pairs{}
	for i := range 100 {
		p.Rows = append(p.Rows, Pair{Prompt: string(rune('a' + i%20)), Chosen: "x", Rejected: "y"})
	}
	a, b := p.Split(0.7, 3)
	if a.Len() != 70 || b.Len() != 30 {
		t.Errorf("%d and %d pairs", a.Len(), b.Len())
	}
	in := map[string]bool{}
	for _, r := range a.Rows {
		in[r.Prompt] = true
	}
	for _, r := range b.Rows {
		if in[r.Prompt] {
			t.Fatalf("prompt %q is on both sides", r.Prompt)
		}
	}
}

// TestFlipAndBootstrap: about the asked share is flipped, the same pairs for the same seed; a bootstrap sample has about
// 1 − 1/e of the pairs, some more than once.
func TestFlipAndBootstrap(t *testing.T) {
	p := &Pairs{}
	for i := range 4000 {
		p.Rows = append(p.Rows, Pair{Prompt: "p", Chosen: "a", Rejected: fmt.Sprint(i)})
	}
	flipped := 0
	for i, r := range p.Flip(0.25, 7).Rows {
		if r.Rejected == "a" {
			flipped++
		}
		if again := p.Flip(0.25, 7).Rows[0]; i == 0 && again != r {
			t.Error("a seed flips other pairs the second time")
		}
	}
	if flipped < 900 || flipped > 1100 || p.Rows[0].Chosen != "a" {
		t.Errorf("%d of 4000 pairs are flipped, want about 1000", flipped)
	}
	in := map[string]bool{}
	b := p.Bootstrap(1)
	for _, r := range b.Rows {
		in[r.Rejected] = true
	}
	if share := float64(len(in)) / 4000; b.Len() != 4000 || math.Abs(share-(1-1/math.E)) > 0.02 {
		t.Errorf("a bootstrap sample of %d pairs has %.3f of them", b.Len(), share)
	}
	if r := (&Rankings{Rows: []Ranking{{"p", []string{"x", "y", "z"}}}}).Pairs().Rows; len(r) != 3 || r[1].Chosen != "x" || r[1].Rejected != "z" {
		t.Errorf("pairs of a ranking: %v", r)
	}
}

// TestRealSplit: no prompt that judges the model is among those that train it, on the real preferences.
func TestRealSplit(t *testing.T) {
	pool, err := LoadPool(check.Data(t, "data", "alpaca_eval_pool.jsonl.gz"))
	if err != nil {
		t.Fatal(err)
	}
	held, _ := pool.Split(0.2)
	all, err := LoadPairs(check.Data(t, "data", "alpaca_eval_pairs.jsonl.gz"), pool)
	if err != nil {
		t.Fatal(err)
	}
	pairs := all.Without(held)
	in := map[string]bool{}
	for _, q := range held.Questions {
		in[q.Prompt] = true
	}
	for _, r := range pairs.Rows {
		if in[r.Prompt] {
			t.Fatalf("prompt %.60q is in both", r.Prompt)
		}
	}
	if n := len(held.Questions); n < 100 || n > 165 {
		t.Errorf("%d of %d prompts are held out, want about a fifth", n, len(pool.Questions))
	}
	if pairs.Len() == all.Len() || pairs.Len() < all.Len()/2 {
		t.Errorf("%d of %d pairs are left", pairs.Len(), all.Len())
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(`{"prompt":"p","chosen":"a","rejected":"b"}`))
	f.Add([]byte(`{"id":"1","prompt":"p","answers":[{"id":"x","text":"y","gold":1}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "x.jsonl")
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		if p, err := Load(path); err == nil && p.Len() == 0 {
			t.Error("no pairs and no error")
		}
		if p, err := LoadPool(path); err == nil && len(p.Questions) == 0 {
			t.Error("no prompts and no error")
		}
	})
}
