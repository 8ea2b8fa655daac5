package world

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

// TestGoldMatchesPrototype compares gold and its parts with the Python prototype (testdata/make_gold.py).
func TestGoldMatchesPrototype(t *testing.T) {
	b, err := os.ReadFile("testdata/gold.json")
	if err != nil {
		t.Fatal(err)
	}
	var g struct {
		Rows []struct {
			Prompt, Family, Answer string
			Parts                  map[string]float64
			Gold                   float64
		}
	}
	if err := json.Unmarshal(b, &g); err != nil {
		t.Fatal(err)
	}
	if len(g.Rows) < 300 {
		t.Fatalf("%d rows", len(g.Rows))
	}
	for i, r := range g.Rows {
		p, err := ParsePrompt(r.Prompt)
		if err != nil || p.Family != r.Family {
			t.Errorf("row %d: %q is %q, want %q (error %v)", i, r.Prompt, p.Family, r.Family, err)
			continue
		}
		got, parts := p.Gold(r.Answer)
		for name, v := range map[string]float64{"task": parts.Task, "facts": parts.Facts, "court": parts.Court, "order": parts.Order, "false": parts.False,
			"off": parts.Off, "rep": parts.Rep, "bad": parts.Bad, "length": parts.Length, "cut": parts.Cut, "cov": parts.Coverage} {
			if math.Abs(v-r.Parts[name]) > 1e-9 {
				t.Errorf("row %d: %q | %q: %s = %v, want %v", i, r.Prompt, r.Answer, name, v, r.Parts[name])
			}
		}
		if math.Abs(got-r.Gold) > 1e-9 {
			t.Errorf("row %d: %q | %q: gold %v, want %v", i, r.Prompt, r.Answer, got, r.Gold)
		}
	}
}

// TestPromptsParse: what NewPrompt makes, ParsePrompt reads back.
func TestPromptsParse(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0))
	tok := Tokenizer()
	seen := map[string]bool{}
	for range 3000 {
		p := NewPrompt(rng)
		q, err := ParsePrompt(p.Text)
		if err != nil {
			t.Fatal(err)
		}
		a := Demonstration(rng, p)
		if _, err := tok.Encode(p.Text + " " + a); err != nil {
			t.Fatal(err)
		}
		if g, h := first(p.Gold(a)), first(q.Gold(a)); g != h {
			t.Fatalf("%q: gold %v from the prompt, %v from its text", p.Text, g, h)
		}
		seen[p.Family] = true
	}
	if len(seen) != len(Families) {
		t.Errorf("%d families drawn", len(seen))
	}
}

func first(g float64, _ Parts) float64 { return g }

// TestAnyWords: whatever words an answer strings together, as a policy in training does, gold is a number.
func TestAnyWords(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 0))
	tok := Tokenizer()
	starts := []string{"use the", "the cat", "it", "it is bigger", "you could", "sure", "first", "hope this helps", "yes ,"}
	for range 20000 {
		p := NewPrompt(rng)
		var answer []string
		for range 1 + rng.IntN(6) {
			answer = append(answer, pick(rng, starts))
			for range rng.IntN(4) {
				answer = append(answer, tok.Decode([]int{4 + rng.IntN(tok.Size()-4)}))
			}
			answer = append(answer, ".")
		}
		if g, _ := p.Gold(strings.Join(answer, " ")); math.IsNaN(g) || g > 12 {
			t.Fatalf("%q → %q: gold %v", p.Text, answer, g)
		}
	}
}
