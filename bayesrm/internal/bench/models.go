package main

import (
	"math/rand/v2"
	"path/filepath"
	"slices"

	"gobayes/bayesrm/laplace"
	"gobayes/bayesrm/llm"
	"gobayes/bayesrm/nn"
	"gobayes/bayesrm/optim"
	"gobayes/bayesrm/prefs"
	"gobayes/bayesrm/reward"
	"gobayes/bayesrm/tensor"
)

// pythia has the shape of Pythia-70M and random weights, LoRA of rank 8 on the attention projection, and a head.
type pythia struct {
	m    *llm.Model
	head []float32
	acts llm.Acts
	opt  *optim.AdamW
}

func newPythia(inference bool) (*pythia, error) {
	m, err := llm.New(llm.Config{Arch: "gpt_neox", Width: 512, Layers: 6, Heads: 8, KVHeads: 8, FeedForward: 2048, Vocab: 50304, Context: 2048, RotaryDim: 16, RotaryBase: 10000, NormEps: 1e-5, Parallel: true, EOS: 0, BOS: -1}, 1)
	if err != nil {
		return nil, err
	}
	p := &pythia{m: m, head: random(rand.New(rand.NewPCG(2, 0)), 512)}
	p.acts.Inference = inference
	if inference {
		return p, nil
	}
	as, err := m.AddLoRA([]string{"query_key_value"}, 8, 16, 1)
	var sizes []int
	for _, a := range as {
		sizes = append(sizes, len(a.A.Data), len(a.B.Data))
	}
	p.opt = optim.NewAdamW(sizes, 0.9, 0.999, 1e-8, 0.01)
	return p, err
}

// step is one training step on pairs: sequences 2i and 2i+1.
func (p *pythia) step(r *run, seqs [][]int) error {
	b := llm.Pack(seqs)
	if err := p.m.Forward(r.ctx, &p.acts, b, b.Lasts()); err != nil {
		return err
	}
	C := len(p.head)
	dh := make([]float32, len(p.acts.Hidden))
	reward := func(i int) float64 { return float64(tensor.Dot(p.head, p.acts.Hidden[i*C:(i+1)*C])) }
	for i := 0; i < len(seqs); i += 2 {
		g := float32(-nn.Sigmoid(reward(i+1)-reward(i)) / float64(len(seqs)/2))
		tensor.Axpy(dh[i*C:(i+1)*C], g, p.head)
		tensor.Axpy(dh[(i+1)*C:(i+2)*C], -g, p.head)
	}
	var params, grads [][]float32
	for _, a := range p.m.LoRAs() {
		params, grads = append(params, a.A.Data, a.B.Data), append(grads, a.A.Grad, a.B.Grad)
		clear(a.A.Grad)
		clear(a.B.Grad)
	}
	if err := p.m.Backward(r.ctx, &p.acts, dh, llm.Accumulate); err != nil {
		return err
	}
	p.opt.Update(params, grads, 1e-5)
	return nil
}

func rows(rng *rand.Rand, n, T int) [][]int {
	s := make([][]int, n)
	for i := range s {
		for range T {
			s[i] = append(s[i], 10+rng.IntN(50000))
		}
	}
	return s
}

func (r *run) forward() error {
	p, err := newPythia(true)
	if err != nil {
		return err
	}
	b := llm.Pack(rows(rand.New(rand.NewPCG(3, 0)), 8, 512))
	return r.timed(8*512, func() error { return p.m.Forward(r.ctx, &p.acts, b, b.Lasts()) })
}

func (r *run) lora() error {
	p, err := newPythia(false)
	if err != nil {
		return err
	}
	seqs := rows(rand.New(rand.NewPCG(3, 0)), 8, 512)
	return r.timed(8*512, func() error { return p.step(r, seqs) })
}

// onPairs is a reward model of Pythia-70M's shape, and real pairs of mixed length.
func (r *run) onPairs(n int) (*reward.Model, *prefs.Pairs, error) {
	p, err := newPythia(true)
	if err != nil {
		return nil, nil, err
	}
	if p.m.Tokenizer, err = r.neox(); err != nil {
		return nil, nil, err
	}
	pairs, err := prefs.Load(filepath.Join(r.shared, "data", "hh_harmless_pairs.jsonl.gz"))
	if err != nil {
		return nil, nil, err
	}
	pairs = pairs.Sample(n, 1)
	t, err := reward.NewTrainer(p.m, pairs, &reward.Options{MaxTokens: laplaceTokens})
	if err != nil {
		return nil, nil, err
	}
	return t.Model, pairs, nil
}

// laplacePairs is the number of real pairs, of at most laplaceTokens tokens a text, of the figures on the posterior.
const (
	laplacePairs  = 48
	laplaceTokens = 128
)

// laplace fits a posterior on real pairs, or scores both texts of each.
func (r *run) laplace(what string, curvature laplace.Curvature) error {
	m, pairs, err := r.onPairs(laplacePairs)
	if err != nil {
		return err
	}
	seqs, err := m.EncodePairs(pairs)
	if err != nil {
		return err
	}
	if err := r.give("laplace.json", seqs); err != nil {
		return err
	}
	fit := func() (*laplace.Posterior, error) {
		return laplace.Fit(r.ctx, m, pairs, &laplace.Options{Curvature: curvature})
	}
	if what == "fit" {
		return r.timed(laplacePairs, func() error { _, err := fit(); return err })
	}
	l, err := fit()
	if err != nil {
		return err
	}
	return r.scorePairs(l, pairs)
}

// scorePairs scores both texts of each pair.
func (r *run) scorePairs(l *laplace.Posterior, pairs *prefs.Pairs) error {
	var prompts []string
	var answers [][]string
	for _, p := range pairs.Rows {
		prompts, answers = append(prompts, p.Prompt), append(answers, []string{p.Chosen, p.Rejected})
	}
	return r.timed(float64(2*pairs.Len()), func() error {
		_, err := l.ScoreMany(r.ctx, prompts, answers)
		return err
	})
}

// variance scores both texts of real pairs with a posterior of a number of pairs, and leaves the rate of plain forwards of the
// same texts for comparison. The posterior is fitted on texts cut to a quarter: its size is what matters.
func (r *run) variance(curvature laplace.Curvature, n int) error {
	m, pairs, err := r.onPairs(n)
	if err != nil {
		return err
	}
	m.Options.MaxTokens, m.Options.MaxPrompt = laplaceTokens/4, laplaceTokens/16
	l, err := laplace.Fit(r.ctx, m, pairs, &laplace.Options{Curvature: curvature})
	if err != nil {
		return err
	}
	m.Options.MaxTokens, m.Options.MaxPrompt = laplaceTokens, laplaceTokens/4
	pairs = pairs.Sample(laplacePairs, 2)
	seqs, err := m.EncodePairs(pairs)
	if err != nil {
		return err
	}
	acts := llm.Acts{Inference: true}
	if err := r.timed(float64(len(seqs)), func() error {
		return llm.Batches(r.ctx, "forward", seqs, llm.MaxTokens, false, func(i, j int) error {
			b := llm.Pack(seqs[i:j])
			return m.Base.Forward(r.ctx, &acts, b, b.Lasts())
		})
	}); err != nil {
		return err
	}
	if err := r.own("texts"); err != nil {
		return err
	}
	return r.scorePairs(l, pairs)
}

// members scores 16 answers to a prompt with five LoRA models on one backbone.
func (r *run) members() error {
	p, err := newPythia(true)
	if err != nil {
		return err
	}
	var members []*llm.Model
	for k := range 5 {
		m := p.m.Copy()
		if _, err := m.AddLoRA([]string{"query_key_value"}, 8, 16, uint64(k)); err != nil {
			return err
		}
		members = append(members, m)
	}
	seqs := r.answers(16)
	acts := llm.Acts{Inference: true}
	return r.timed(float64(len(seqs)), func() error {
		b, last := llm.PackShared(seqs)
		return llm.ForwardMembers(r.ctx, &acts, members, b, last)
	})
}

// hhPairs is the number of pairs of the figure on real lengths, and those of a batch.
const (
	hhPairs = 24
	hhBatch = 8
)

func (r *run) loraHH() error {
	tok, err := r.neox()
	if err != nil {
		return err
	}
	texts, err := r.texts(2 * hhPairs)
	if err != nil {
		return err
	}
	var seqs [][]int
	tokens := 0
	for _, s := range texts {
		ids, err := tok.Encode(s)
		if err != nil {
			return err
		}
		ids = ids[max(0, len(ids)-512):]
		seqs = append(seqs, ids)
		tokens += len(ids)
	}
	if err := r.give("hh.json", seqs); err != nil {
		return err
	}
	p, err := newPythia(false)
	if err != nil {
		return err
	}
	return r.timed(float64(tokens), func() error {
		for batch := range slices.Chunk(seqs, 2*hhBatch) {
			if err := p.step(r, batch); err != nil {
				return err
			}
		}
		return nil
	})
}

// answers are n texts: a prompt of 200 tokens with answers of 64.
func (r *run) answers(n int) [][]int {
	rng := rand.New(rand.NewPCG(4, 0))
	prompt := rows(rng, 1, 200)[0]
	seqs := rows(rng, n, 64)
	for i := range seqs {
		seqs[i] = append(slices.Clone(prompt), seqs[i]...)
	}
	return seqs
}

func (r *run) score() error {
	p, err := newPythia(true)
	if err != nil {
		return err
	}
	seqs := r.answers(64)
	return r.timed(64, func() error {
		b, last := llm.PackShared(seqs)
		return p.m.Forward(r.ctx, &p.acts, b, last)
	})
}

// decodeTokens is how many tokens each continuation has.
const decodeTokens = 64

// decode continues a prompt, once or many times.
func (r *run) decode(samples int) error {
	m, err := r.decodeOne()
	if err != nil || samples == 1 {
		return err
	}
	return r.generate(m, samples)
}

// decodeOne continues a prompt once and leaves the rate for the figures beside our own.
func (r *run) decodeOne() (*llm.Model, error) {
	m, err := llm.Load(r.ctx, filepath.Join(r.shared, "models", "smollm2-135m-instruct", "SmolLM2-135M-Instruct.Q4_1.gguf"))
	if err != nil {
		return nil, err
	}
	m.Config.EOS = -1 // no answer ends early
	if err := r.generate(m, 1); err != nil {
		return nil, err
	}
	return m, r.own("decode")
}

func (r *run) generate(m *llm.Model, samples int) error {
	prompt, err := m.Tokenizer.Encode("Once upon a time, in a village by the sea,")
	if err != nil {
		return err
	}
	o := &llm.GenerateOptions{Samples: samples, MaxTokens: decodeTokens, Seed: 1, Greedy: samples == 1}
	return r.timed(float64(samples*decodeTokens), func() error {
		_, err := m.Generate(r.ctx, [][]int{prompt}, o)
		return err
	})
}

// decodeLimit is the rate of many continuations if the products ran at the peak of all threads and nothing else took time:
// over the rate of one, which waits for memory, it bounds decode-64.
func (r *run) decodeLimit() error {
	m, err := r.decodeOne()
	if err != nil {
		return err
	}
	r.best(30, func() float64 {
		rates := make([]float64, r.threads)
		tensor.Parallel(r.threads, func(i int) { rates[i] = tensor.PeakFLOPs() })
		sum := 0.0
		for _, rate := range rates {
			sum += rate
		}
		return sum / float64(2*m.NumParams())
	})
	return nil
}
