package sample

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	"gobayes/bayesrm"
	"gobayes/bayesrm/llm"
)

// TestPool: an answer is that of its prompt and number, whatever is beside it; the end token is no text.
func TestPool(t *testing.T) {
	policy, err := llm.Load(t.Context(), "../../notebooks/data/world/policy")
	if err != nil {
		t.Fatal(err)
	}
	prompts := []string{"sort three one two .", "name two animals ."}
	p, err := Pool(t.Context(), policy, prompts, &Options{Answers: 20, MaxTokens: 48, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	one, err := Pool(t.Context(), policy, prompts[1:], &Options{Answers: 5, MaxTokens: 48, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	if p.Len() != 40 || p.Questions[1].Answers[7].ID != "1/7" || !math.IsNaN(p.Questions[0].Answers[0].Gold) {
		t.Errorf("%v: %+v", p, p.Questions[1].Answers[7])
	}
	for i, a := range one.Questions[0].Answers {
		if a.Text != p.Questions[1].Answers[i].Text || strings.Contains(a.Text, "<eos>") {
			t.Errorf("answer %d: %q beside others, %q alone", i, p.Questions[1].Answers[i].Text, a.Text)
		}
	}
	calls := scorer{}
	if err := Label(t.Context(), p, calls); err != nil {
		t.Fatal(err)
	}
	for _, q := range p.Questions {
		distinct := map[string]bool{}
		for _, a := range q.Answers {
			distinct[a.Text] = true
			if a.Gold != float64(len(a.Text)) {
				t.Errorf("gold %v of %q", a.Gold, a.Text)
			}
		}
		if calls[q.Prompt] != len(distinct) {
			t.Errorf("%d answers scored, %d are distinct", calls[q.Prompt], len(distinct))
		}
	}
	if _, err := Pool(t.Context(), policy, []string{"no such words"}, nil); err == nil {
		t.Error("a prompt of other words")
	}
	if err := Label(t.Context(), p, failing{}); err == nil || !strings.Contains(err.Error(), "prompt 0 of 2") {
		t.Errorf("error %v", err)
	}
}

// scorer rewards length and counts.
type scorer map[string]int

func (s scorer) Score(_ context.Context, prompt string, answers []string) ([]bayesrm.Belief, error) {
	s[prompt] += len(answers)
	out := make([]bayesrm.Belief, len(answers))
	for i, a := range answers {
		out[i].Mean = float64(len(a))
	}
	return out, nil
}

type failing struct{}

func (failing) Score(context.Context, string, []string) ([]bayesrm.Belief, error) {
	return nil, fmt.Errorf("nothing")
}
