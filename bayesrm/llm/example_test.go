package llm_test

import (
	"context"
	"fmt"
	"log"

	"gobayes/bayesrm/llm"
	"gobayes/bayesrm/optim"
	"gobayes/bayesrm/train"
)

// Load a chat model by name, draw three answers to one prompt, and print them.
func ExampleModel_Generate() {
	ctx := context.Background()
	m, err := llm.Load(ctx, "hf:HuggingFaceTB/SmolLM2-135M-Instruct")
	if err != nil {
		log.Fatal(err)
	}
	text, err := m.Chat([]llm.Message{{Role: "user", Content: "Name a river."}})
	if err != nil {
		log.Fatal(err)
	}
	prompt, err := m.Tokenizer.Encode(text)
	if err != nil {
		log.Fatal(err)
	}
	out, err := m.Generate(ctx, [][]int{prompt}, &llm.GenerateOptions{Samples: 3, MaxTokens: 40, TopP: 0.9, Seed: 1})
	if err != nil {
		log.Fatal(err)
	}
	for _, c := range out[0] {
		fmt.Println(m.Tokenizer.Decode(c.IDs))
	}
}

// texts trains the LoRA of a model to continue token sequences.
type texts struct {
	m    *llm.Model
	acts llm.Acts
	seqs [][]int
}

func (t *texts) Weights() (params, grads [][]float32) {
	for _, a := range t.m.LoRAs() {
		params, grads = append(params, a.A.Data, a.B.Data), append(grads, a.A.Grad, a.B.Grad)
	}
	return params, grads
}

func (t *texts) Step(ctx context.Context, s train.Step) (float64, error) {
	var seqs [][]int
	var targets []int
	for _, i := range s.Items {
		seqs = append(seqs, t.seqs[i])
		targets = append(append(targets, t.seqs[i][1:]...), -1) // nothing follows the last token
	}
	t.acts.Dropout = s.Seed
	return t.m.LMLoss(ctx, &t.acts, llm.Pack(seqs), targets, s.Weight)
}

// Fine-tune a model with LoRA on token sequences and save the adapter for PEFT. A run that is stopped goes on where it was.
func ExampleModel_LMLoss() {
	ctx := context.Background()
	m, err := llm.New(llm.Config{Arch: "llama", Width: 32, Layers: 2, Heads: 4, KVHeads: 2, FeedForward: 64, Vocab: 16, Context: 32, RotaryDim: 8, RotaryBase: 10000, NormEps: 1e-5, EOS: 0, BOS: -1}, 1)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := m.AddLoRA([]string{"all-linear"}, 4, 8, 1); err != nil {
		log.Fatal(err)
	}
	t := &texts{m: m, seqs: [][]int{{1, 2, 3, 4, 5, 0}, {6, 7, 8, 9, 0}}}
	l, err := train.Run(ctx, t, train.Options{Task: "fine-tune", Items: 2, Batch: 2, Epochs: 150, Schedule: optim.Cosine(0.03, 5), Clip: 1, Seed: 1})
	if err != nil {
		log.Fatal(err)
	}
	out, err := m.Generate(ctx, [][]int{{6, 7}}, &llm.GenerateOptions{Greedy: true, MaxTokens: 3})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("learned:", l.Tail(1) < l.Loss[0], out[0][0].IDs)
	// Output: learned: true [8 9 0]
}
