package world

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"gobayes/bayesrm/internal/sealed"
	"gobayes/bayesrm/llm"
	"gobayes/bayesrm/nn"
	"gobayes/bayesrm/progress"
	"gobayes/bayesrm/safetensors"
)

// MakeOptions configure Make. A nil *MakeOptions, and every zero field, mean the default.
type MakeOptions struct {
	// Policy is the folder of the model that answers. Default "data/world/policy".
	Policy string
	// Pairs to label. Default 1250.
	Pairs int
	// Prompts and Answers of the pool: P and M. Defaults 60 and 1024.
	Prompts, Answers int
	// Temperature of sampling. Default 1.
	Temperature float64
	// Noise is the temperature of the Bradley-Terry noise on the labels, in gold units. Default 1.07: about 27 % of the
	// labels disagree with gold. A negative value means none.
	Noise float64
	// Weights of gold's parts. Default W4.
	Weights Parts
	// Seed of prompts, answers and labels.
	Seed uint64
}

// Made says what Make has written.
type Made struct {
	PairsFile, PoolFile string
	Pairs               int
	Disagree            float64 // share of labels that disagree with gold
	Prompts, Answers    int
	Distinct            float64 // share of distinct answers per prompt
	GoldMean, GoldSD    float64
}

// String counts what was made.
func (m Made) String() string {
	return fmt.Sprintf("%d pairs (%.0f %% of the labels disagree with gold); pool of %d prompts × %d answers (%.0f %% distinct), gold %.2f ± %.2f",
		m.Pairs, 100*m.Disagree, m.Prompts, m.Answers, 100*m.Distinct, m.GoldMean, m.GoldSD)
}

// Make samples answers from the policy, labels them by gold, and writes pairs.jsonl and pool.jsonl to a folder. No prompt of
// the pool is in a pair. Another seed gives other prompts, answers and labels. A folder that holds what the same policy gave
// with the same options is left as it is.
func Make(ctx context.Context, dir string, opts *MakeOptions) (Made, error) {
	o := MakeOptions{}
	if opts != nil {
		o = *opts
	}
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&o.Pairs, 1250)
	def(&o.Prompts, 60)
	def(&o.Answers, 1024)
	if o.Policy == "" {
		o.Policy = "data/world/policy"
	}
	if o.Weights == (Parts{}) {
		o.Weights = W4
	}
	if o.Noise == 0 {
		o.Noise = 1.07
	}
	record := filepath.Join(dir, "made.json")
	key, err := o.key()
	if err != nil {
		return Made{}, fmt.Errorf("world: make: policy: %w", err)
	}
	var old recorded
	if err := sealed.ReadJSON(record, madeVersion, &old); err == nil && old.Key == key {
		return old.Made.in(dir), nil
	}
	policy, err := llm.Load(ctx, o.Policy)
	if err != nil {
		return Made{}, fmt.Errorf("world: make: policy: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Made{}, fmt.Errorf("world: make: %w", err)
	}
	if err := os.Remove(record); err != nil && !errors.Is(err, os.ErrNotExist) {
		return Made{}, fmt.Errorf("world: make: %w", err)
	}
	m := maker{o: o, policy: policy}
	made := Made{}.in(dir)
	if err := m.pool(ctx, &made); err != nil {
		return Made{}, fmt.Errorf("world: make: pool: %w", err)
	}
	if err := m.pairs(ctx, &made); err != nil {
		return Made{}, fmt.Errorf("world: make: pairs: %w", err)
	}
	return made, sealed.WriteJSON(record, madeVersion, recorded{key, made})
}

// recorded says what a folder holds.
type recorded struct {
	Key string
	Made
}

// in names the files in a folder.
func (m Made) in(dir string) Made {
	m.PairsFile, m.PoolFile = filepath.Join(dir, "pairs.jsonl"), filepath.Join(dir, "pool.jsonl")
	return m
}

// madeVersion changes when the same options give something else.
const madeVersion = 1

// key names everything that what is made depends on.
func (o MakeOptions) key() (string, error) {
	f, err := os.Open(filepath.Join(o.Policy, "model.safetensors"))
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // only read
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	o.Policy = ""
	return fmt.Sprintf("policy %x, %+v", h.Sum(nil), o), nil
}

type maker struct {
	o      MakeOptions
	policy *llm.Model
	inPool map[string]bool
}

// Streams of random numbers, one for each use of the seed.
const (
	poolStream = 1 + iota
	pairStream
	labelStream
)

// answers samples n answers to each prompt; item numbers the first. The texts keep the end token, so that gold can tell
// whether they ended.
func (m *maker) answers(ctx context.Context, prompts []Prompt, n, stream, item int) ([][]string, error) {
	ids, seeds := make([][]int, len(prompts)), make([]uint64, len(prompts))
	for i, p := range prompts {
		var err error
		if ids[i], err = m.policy.EncodePrompt(p.Text); err != nil {
			return nil, err
		}
		seeds[i] = m.itemSeed(stream, item+i)
	}
	out, err := m.policy.Generate(ctx, ids, &llm.GenerateOptions{Samples: n, MaxTokens: maxAnswer, Temperature: m.o.Temperature, Seeds: seeds})
	if err != nil {
		return nil, err
	}
	texts := make([][]string, len(prompts))
	for i := range out {
		for _, o := range out[i] {
			texts[i] = append(texts[i], m.policy.Tokenizer.Decode(o.IDs))
		}
	}
	return texts, nil
}

// itemSeed derives the seed of one prompt's answers.
func (m *maker) itemSeed(stream, i int) uint64 {
	return rand.New(rand.NewPCG(m.o.Seed, uint64(stream)<<40|uint64(i))).Uint64()
}

const end = " <eos>"

// closed puts the end token back that text dropped, unless the answer was cut at the length limit.
func closed(text string) string {
	if len(strings.Fields(text)) < maxAnswer {
		return text + end
	}
	return text
}

// text drops the end token: templates add it.
func text(answer string) string {
	if len(answer) >= len(end) && answer[len(answer)-len(end):] == end {
		return answer[:len(answer)-len(end)]
	}
	if answer == end[1:] {
		return ""
	}
	return answer
}

type poolAnswer struct {
	ID   string  `json:"id"`
	Text string  `json:"text"`
	Gold float64 `json:"gold"`
}

func (m *maker) pool(ctx context.Context, made *Made) error {
	rng := rand.New(rand.NewPCG(m.o.Seed, poolStream))
	m.inPool = map[string]bool{}
	var prompts []Prompt
	for len(prompts) < m.o.Prompts {
		if p := NewPrompt(rng); !m.inPool[p.Text] {
			m.inPool[p.Text] = true
			prompts = append(prompts, p)
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	distinct, sum, sum2 := 0, 0.0, 0.0
	all, err := m.answers(ctx, prompts, m.o.Answers, poolStream, 0)
	if err != nil {
		return err
	}
	for i, p := range prompts {
		texts := all[i]
		seen := map[string]float64{}
		row := struct {
			ID      string       `json:"id"`
			Prompt  string       `json:"prompt"`
			Answers []poolAnswer `json:"answers"`
		}{ID: fmt.Sprintf("w%d", i), Prompt: p.Text}
		for k, t := range texts {
			g, ok := seen[t]
			if !ok {
				g, _ = p.GoldOf(t, m.o.Weights)
				seen[t] = g
			}
			sum += g
			sum2 += g * g
			row.Answers = append(row.Answers, poolAnswer{fmt.Sprintf("w%d/%d", i, k), text(t), g})
		}
		distinct += len(seen)
		if err := enc.Encode(row); err != nil {
			return err
		}
	}
	n := float64(m.o.Prompts * m.o.Answers)
	made.Prompts, made.Answers = m.o.Prompts, m.o.Answers
	made.Distinct, made.GoldMean = float64(distinct)/n, sum/n
	made.GoldSD = math.Sqrt(math.Max(0, sum2/n-made.GoldMean*made.GoldMean))
	return safetensors.WriteFile(made.PoolFile, b.Bytes())
}

// chunkPrompts is how many prompts' pairs are sampled between two looks at ctx.
const chunkPrompts = 64

func (m *maker) pairs(ctx context.Context, made *Made) error {
	rng, labels := rand.New(rand.NewPCG(m.o.Seed, pairStream)), rand.New(rand.NewPCG(m.o.Seed, labelStream))
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	flipped := 0
	for next := 0; made.Pairs < m.o.Pairs; {
		var prompts []Prompt
		for len(prompts) < chunkPrompts {
			if p := NewPrompt(rng); !m.inPool[p.Text] {
				prompts = append(prompts, p)
			}
		}
		two, err := m.answers(ctx, prompts, 2, pairStream, next)
		if err != nil {
			return err
		}
		next += len(prompts)
		for i, p := range prompts {
			ga, _ := p.GoldOf(two[i][0], m.o.Weights)
			gb, _ := p.GoldOf(two[i][1], m.o.Weights)
			if math.Abs(ga-gb) < 1e-6 || text(two[i][0]) == "" || text(two[i][1]) == "" || made.Pairs == m.o.Pairs {
				continue
			}
			chosen, rejected := two[i][0], two[i][1]
			if gb > ga {
				chosen, rejected = rejected, chosen
			}
			if m.o.Noise > 0 && labels.Float64() < nn.Sigmoid(-math.Abs(ga-gb)/m.o.Noise) {
				chosen, rejected = rejected, chosen
				flipped++
			}
			made.Pairs++
			if err := enc.Encode(map[string]string{"prompt": p.Text, "chosen": text(chosen), "rejected": text(rejected)}); err != nil {
				return err
			}
		}
		progress.Report(ctx, progress.Event{Task: "sample pairs", Done: made.Pairs, Total: m.o.Pairs})
	}
	made.Disagree = float64(flipped) / float64(made.Pairs)
	return safetensors.WriteFile(made.PairsFile, b.Bytes())
}
