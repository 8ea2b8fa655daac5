// Command makeworld trains the world's policy and backbone on its demonstrations and writes them to a folder:
//
//	go run ./bayesrm/internal/makeworld notebooks/data/world
//
// Two small GPT-NeoX language models, of width 64 with 3 layers (policy) and width 48 with 2 layers (backbone), each read
// the same 24,000 demonstrations four times. A few minutes on two cores.
package main

import (
	"context"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gobayes/bayesrm/llm"
	"gobayes/bayesrm/optim"
	"gobayes/bayesrm/progress"
	"gobayes/bayesrm/train"
	"gobayes/bayesrm/world"
)

const (
	demonstrations = 24000
	seed           = 11
)

// lm trains on whole sequences; only the answer's tokens are targets.
type lm struct {
	m    *llm.Model
	acts llm.Acts
	seqs [][]int
	from []int // first token of the answer
}

func (l *lm) Step(ctx context.Context, s train.Step) (float64, error) {
	var seqs [][]int
	var targets []int
	for _, i := range s.Items {
		ids := l.seqs[i]
		seqs = append(seqs, ids)
		for t := range ids {
			next := -1
			if t+1 < len(ids) && t+1 >= l.from[i] {
				next = ids[t+1]
			}
			targets = append(targets, next)
		}
	}
	return l.m.LMLoss(ctx, &l.acts, llm.Pack(seqs), targets, s.Weight)
}

func (l *lm) Weights() (params, grads [][]float32) {
	for _, p := range l.m.Params() {
		params, grads = append(params, p.Data), append(grads, p.Grad)
	}
	return params, grads
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: makeworld FOLDER")
	}
	tok := world.Tokenizer()
	tmpl := llm.Template{Prompt: "<p> ", Answer: " <a> "}
	rng := rand.New(rand.NewPCG(seed, 0))
	var seqs [][]int
	var from []int
	for range demonstrations {
		p := world.NewPrompt(rng)
		head := tmpl.Prompt + p.Text + tmpl.Answer
		ids, err := tok.Encode(head + world.Demonstration(rng, p))
		if err != nil {
			log.Fatal(err)
		}
		seqs, from = append(seqs, ids), append(from, len(strings.Fields(head)))
	}
	for _, c := range []struct {
		name          string
		width, layers int
		rotary        int
	}{{"policy", 64, 3, 16}, {"backbone", 48, 2, 12}} {
		m, err := llm.New(llm.Config{Arch: "gpt_neox", Width: c.width, Layers: c.layers, Heads: 4, KVHeads: 4, FeedForward: 4 * c.width, Vocab: tok.Size(), Context: 64,
			RotaryDim: c.rotary, RotaryBase: 10000, NormEps: 1e-5, EOS: tok.ID("<eos>"), BOS: -1}, seed)
		if err != nil {
			log.Fatal(err)
		}
		m.Tokenizer, m.Template = tok, tmpl
		m.Train(true)
		start := time.Now()
		ctx := progress.WithReporter(context.Background(), progress.NewMeter(5*time.Second, func(b progress.Bar) { fmt.Println(b) }).Report)
		l, err := train.Run(ctx, &lm{m: m, seqs: seqs, from: from}, train.Options{Task: c.name, Items: len(seqs), Batch: 32, Epochs: 4,
			Schedule: optim.Cosine(3e-3, 50), Beta2: .98, WeightDecay: .01, Clip: 1, Seed: seed})
		if err != nil {
			log.Fatal(err)
		}
		if err := m.Save(filepath.Join(os.Args[1], c.name)); err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s: loss %.4f, %v\n", m, l.Tail(100), time.Since(start).Round(time.Second))
	}
}
