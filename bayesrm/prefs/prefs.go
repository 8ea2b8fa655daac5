// Package prefs reads preference pairs and pools of answers: JSON lines, gzipped or not, joined by id.
package prefs

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"sort"
	"strings"

	"gobayes/bayesrm"
)

// Pair is a prompt with a preferred and a rejected answer.
type Pair struct {
	Prompt, Chosen, Rejected string
	// Margin by which the chosen answer should win, in logits; the Bradley-Terry loss of a pair is −log σ(r_w − r_l − Margin).
	Margin float64
	// Subset that the pair belongs to, where the file names one.
	Subset string
}

// Pairs is a set of preference pairs.
type Pairs struct {
	Rows []Pair
	// Skipped says which lines of the file were left out, and why.
	Skipped []string
}

// Len is the number of pairs.
func (p *Pairs) Len() int { return len(p.Rows) }

// String is the number of pairs and of prompts, and of lines that were left out.
func (p *Pairs) String() string {
	prompts := map[string]bool{}
	for _, r := range p.Rows {
		prompts[r.Prompt] = true
	}
	s := fmt.Sprintf("%d pairs of %d prompts", len(p.Rows), len(prompts))
	if n := len(p.Skipped); n > 0 {
		s += fmt.Sprintf("; %d lines left out, the first: %s", n, p.Skipped[0])
	}
	return s
}

// Split divides the pairs by prompt, never by pair: about the given share of the prompts comes first. The order of the
// prompts is shuffled by the seed.
func (p *Pairs) Split(share float64, seed uint64) (first, rest *Pairs) {
	byPrompt := map[string][]Pair{}
	var prompts []string
	for _, r := range p.Rows {
		if byPrompt[r.Prompt] == nil {
			prompts = append(prompts, r.Prompt)
		}
		byPrompt[r.Prompt] = append(byPrompt[r.Prompt], r)
	}
	rng := rand.New(rand.NewPCG(seed, 0x73706c6974))
	rng.Shuffle(len(prompts), func(i, j int) { prompts[i], prompts[j] = prompts[j], prompts[i] })
	first, rest = &Pairs{}, &Pairs{}
	for i, q := range prompts {
		side := rest
		if float64(i) < share*float64(len(prompts)) {
			side = first
		}
		side.Rows = append(side.Rows, byPrompt[q]...)
	}
	return first, rest
}

// Without leaves out the pairs whose prompt is in the pool, so that a model is not judged on prompts it was trained on.
func (p *Pairs) Without(pool *bayesrm.Pool) *Pairs {
	in := map[string]bool{}
	for _, q := range pool.Questions {
		in[q.Prompt] = true
	}
	out := &Pairs{Skipped: p.Skipped}
	for _, r := range p.Rows {
		if !in[r.Prompt] {
			out.Rows = append(out.Rows, r)
		}
	}
	return out
}

// Flip exchanges chosen and rejected in about the given share of the pairs, drawn by the seed: label noise.
func (p *Pairs) Flip(share float64, seed uint64) *Pairs {
	rng := rand.New(rand.NewPCG(seed, 0x666c6970))
	out := &Pairs{Rows: slices.Clone(p.Rows), Skipped: p.Skipped}
	for i, r := range out.Rows {
		if rng.Float64() < share {
			out.Rows[i].Chosen, out.Rows[i].Rejected = r.Rejected, r.Chosen
		}
	}
	return out
}

// Bootstrap draws as many pairs as there are, with replacement: the data of a member of a bagged ensemble.
func (p *Pairs) Bootstrap(seed uint64) *Pairs {
	out := &Pairs{Skipped: p.Skipped}
	for _, i := range BootstrapIndices(len(p.Rows), seed) {
		out.Rows = append(out.Rows, p.Rows[i])
	}
	return out
}

// BootstrapIndices are the indices that Bootstrap draws from n pairs.
func BootstrapIndices(n int, seed uint64) []int {
	rng := rand.New(rand.NewPCG(seed, 0x626167))
	out := make([]int, n)
	for i := range out {
		out[i] = rng.IntN(n)
	}
	return out
}

// Ranking is a prompt with K ≥ 2 answers, best first.
type Ranking struct {
	Prompt  string
	Answers []string
}

// Rankings is a set of rankings.
type Rankings struct{ Rows []Ranking }

// Pairs returns every pair of each ranking: K(K−1)/2 of K answers.
func (r *Rankings) Pairs() *Pairs {
	out := &Pairs{}
	for _, row := range r.Rows {
		for i, better := range row.Answers {
			for _, worse := range row.Answers[i+1:] {
				out.Rows = append(out.Rows, Pair{Prompt: row.Prompt, Chosen: better, Rejected: worse})
			}
		}
	}
	return out
}

// String is the number of rankings and of their answers.
func (r *Rankings) String() string {
	n := 0
	for _, row := range r.Rows {
		n += len(row.Answers)
	}
	return fmt.Sprintf("%d rankings of %d answers", len(r.Rows), n)
}

// Subsets divides the pairs by their subset.
func (p *Pairs) Subsets() map[string]*Pairs {
	out := map[string]*Pairs{}
	for _, r := range p.Rows {
		if out[r.Subset] == nil {
			out[r.Subset] = &Pairs{}
		}
		out[r.Subset].Rows = append(out[r.Subset].Rows, r)
	}
	return out
}

// Sample returns n pairs drawn without replacement, or all if there are fewer.
func (p *Pairs) Sample(n int, seed uint64) *Pairs {
	rng := rand.New(rand.NewPCG(seed, 0x73616d706c65))
	out := &Pairs{Skipped: p.Skipped}
	for _, i := range rng.Perm(len(p.Rows))[:min(max(n, 0), len(p.Rows))] {
		out.Rows = append(out.Rows, p.Rows[i])
	}
	return out
}

// lines calls f with each line of a file that is not empty, from 1.
func lines(path string, f func(n int, line []byte) error) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	var r io.Reader = bufio.NewReader(file)
	if strings.HasSuffix(path, ".gz") {
		if r, err = gzip.NewReader(r); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	b := bufio.NewReaderSize(r, 1<<20)
	for n := 1; ; n++ {
		line, err := b.ReadBytes('\n')
		if len(strings.TrimSpace(string(line))) > 0 {
			if e := f(n, line); e != nil {
				return fmt.Errorf("%s: line %d: %w", path, n, e)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: line %d: %w", path, n, err)
		}
	}
}

// fields lists the names of a line's fields.
func fields(line []byte) string {
	var m map[string]json.RawMessage
	if json.Unmarshal(line, &m) != nil {
		return "none"
	}
	var ns []string
	for n := range m {
		ns = append(ns, n)
	}
	sort.Strings(ns)
	return strings.Join(ns, ", ")
}

// Load reads pairs from a .jsonl or .jsonl.gz file whose lines have prompt, chosen and rejected, and perhaps subset; or prompt,
// a, b and votes, each 1 for a, 2 for b or another number for a tie: then the majority chooses, and without one the line is
// left out.
func Load(path string) (*Pairs, error) {
	p, err := load(path, nil)
	if err != nil {
		return nil, fmt.Errorf("prefs: load: %w", err)
	}
	return p, nil
}

// LoadPairs reads pairs from a file like Load's, or from one whose lines have id, chosen and rejected: the id of a prompt
// of the pool and the names of two of its answers.
func LoadPairs(path string, pool *bayesrm.Pool) (*Pairs, error) {
	p, err := load(path, pool)
	if err != nil {
		return nil, fmt.Errorf("prefs: load pairs: %w", err)
	}
	return p, nil
}

func load(path string, pool *bayesrm.Pool) (*Pairs, error) {
	out := &Pairs{}
	answers := map[string]string{}
	prompts := map[string]string{}
	if pool != nil {
		for _, q := range pool.Questions {
			prompts[q.ID] = q.Prompt
			for _, a := range q.Answers {
				answers[a.ID] = a.Text
			}
		}
	}
	err := lines(path, func(n int, line []byte) error {
		var r struct {
			ID, Prompt, Chosen, Rejected, A, B *string
			Subset                             string
			Votes                              []int
		}
		if err := json.Unmarshal(line, &r); err != nil {
			return fmt.Errorf("not a JSON object with text fields: %w", err)
		}
		if r.A != nil && r.B != nil && r.Votes != nil {
			balance := 0
			for _, v := range r.Votes {
				switch v {
				case 1:
					balance++
				case 2:
					balance--
				}
			}
			switch {
			case balance > 0:
				r.Chosen, r.Rejected = r.A, r.B
			case balance < 0:
				r.Chosen, r.Rejected = r.B, r.A
			default:
				out.Skipped = append(out.Skipped, fmt.Sprintf("line %d: the votes have no majority", n))
				return nil
			}
		}
		if r.Chosen == nil || r.Rejected == nil || r.Prompt == nil && (r.ID == nil || pool == nil) {
			hint := ""
			if r.ID != nil && r.Chosen != nil && pool == nil {
				hint = "; a file that names answers of a pool is read by prefs.LoadPairs(path, pool)"
			}
			return fmt.Errorf("fields found: %s; wanted: prompt, chosen, rejected%s", fields(line), hint)
		}
		p := Pair{Chosen: *r.Chosen, Rejected: *r.Rejected, Subset: r.Subset}
		if r.Prompt != nil {
			p.Prompt = *r.Prompt
		} else {
			prompt, ok := prompts[*r.ID]
			if !ok {
				return fmt.Errorf("prompt %q is not in the pool", *r.ID)
			}
			p.Prompt = prompt
			for _, side := range []*string{&p.Chosen, &p.Rejected} {
				text, ok := answers[AnswerID(*r.ID, *side)]
				if !ok {
					return fmt.Errorf("prompt %q has no answer %q in the pool", *r.ID, *side)
				}
				*side = text
			}
		}
		switch {
		case strings.TrimSpace(p.Chosen) == "" || strings.TrimSpace(p.Rejected) == "":
			out.Skipped = append(out.Skipped, fmt.Sprintf("line %d: an answer is empty", n))
		case p.Chosen == p.Rejected:
			out.Skipped = append(out.Skipped, fmt.Sprintf("line %d: chosen equals rejected", n))
		default:
			out.Rows = append(out.Rows, p)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(out.Rows) == 0 {
		return nil, fmt.Errorf("%s: no pairs", path)
	}
	return out, nil
}

// Demo is a prompt with the answer that a model should learn to give.
type Demo struct {
	Prompt, Answer string
}

// Demos is a set of demonstrations.
type Demos struct {
	Rows []Demo
}

// String is the number of demonstrations.
func (d *Demos) String() string { return fmt.Sprintf("%d demonstrations", len(d.Rows)) }

// Cut divides the demonstrations after n, in an order drawn by the seed.
func (d *Demos) Cut(n int, seed uint64) (first, rest *Demos) {
	rows := slices.Clone(d.Rows)
	rng := rand.New(rand.NewPCG(seed, 0x64656d6f))
	rng.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	n = min(max(n, 0), len(rows))
	return &Demos{rows[:n:n]}, &Demos{rows[n:]}
}

// LoadDemos reads demonstrations from a .jsonl or .jsonl.gz file whose lines have prompt and response.
func LoadDemos(path string) (*Demos, error) {
	out := &Demos{}
	err := lines(path, func(n int, line []byte) error {
		var r struct{ Prompt, Response *string }
		if err := json.Unmarshal(line, &r); err != nil {
			return fmt.Errorf("not a JSON object with text fields: %w", err)
		}
		if r.Prompt == nil || r.Response == nil || *r.Response == "" {
			return fmt.Errorf("fields found: %s; wanted: prompt and a response that is not empty", fields(line))
		}
		out.Rows = append(out.Rows, Demo{*r.Prompt, *r.Response})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("prefs: load demonstrations: %w", err)
	}
	if len(out.Rows) == 0 {
		return nil, fmt.Errorf("prefs: load demonstrations: %s: none", path)
	}
	return out, nil
}

// AnswerID is the id of an answer that a pool names by its prompt and its model.
func AnswerID(prompt, model string) string { return prompt + "/" + model }

// goldLimit is where log(p / (1−p)) is clipped.
const goldLimit = 16

// LoadPool reads a whole pool from a .jsonl, .jsonl.gz or .parquet file; Questions reads it a prompt at a time. A line of JSON has id, prompt and answers (each with id, text and
// gold), or id, prompt and responses, each with model, text and how good it is: p_gpt4t, the probability that a judge prefers
// it to a baseline, whose log(p / (1−p)), clipped at ±16, is gold; or correct, for an answer that can be checked: gold is 1 or
// 0. Responses with neither are left out. A row of Parquet is an AnswerRow.
func LoadPool(path string) (*bayesrm.Pool, error) {
	pool := &bayesrm.Pool{}
	for q, err := range Questions(path) {
		if err != nil {
			return nil, err
		}
		pool.Questions = append(pool.Questions, q)
	}
	if len(pool.Questions) == 0 {
		return nil, fmt.Errorf("prefs: read pool: %s: no prompts", path)
	}
	return pool, nil
}

// question reads a line of a pool.
func question(line []byte) (bayesrm.Question, error) {
	var r struct {
		ID, Prompt *string
		Answers    []struct {
			ID, Text string
			Gold     *float64
		}
		Responses []struct {
			Model, Text string
			P           *float64 `json:"p_gpt4t"`
			Correct     *bool
		}
	}
	if err := json.Unmarshal(line, &r); err != nil {
		return bayesrm.Question{}, fmt.Errorf("not a line of a pool: %w", err)
	}
	if r.ID == nil || r.Prompt == nil || r.Answers == nil && r.Responses == nil {
		return bayesrm.Question{}, fmt.Errorf("fields found: %s; wanted: id, prompt, answers (or responses)", fields(line))
	}
	q := bayesrm.Question{ID: *r.ID, Prompt: *r.Prompt}
	for _, a := range r.Answers {
		gold := math.NaN()
		if a.Gold != nil {
			gold = *a.Gold
		}
		q.Answers = append(q.Answers, bayesrm.Answer{ID: a.ID, Text: a.Text, Gold: gold})
	}
	for _, a := range r.Responses {
		gold := 0.0
		switch {
		case a.P != nil:
			gold = math.Max(-goldLimit, math.Min(goldLimit, math.Log(*a.P/(1-*a.P))))
		case a.Correct != nil && *a.Correct:
			gold = 1
		case a.Correct == nil:
			continue
		}
		q.Answers = append(q.Answers, bayesrm.Answer{ID: AnswerID(q.ID, a.Model), Text: a.Text, Gold: gold})
	}
	return q, nil
}
