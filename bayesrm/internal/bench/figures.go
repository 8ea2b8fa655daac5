package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"gobayes/bayesrm/bestofn"
	"gobayes/bayesrm/cluster"
	"gobayes/bayesrm/laplace"
	"gobayes/bayesrm/linalg"
	"gobayes/bayesrm/llm"
	"gobayes/bayesrm/nn"
	"gobayes/bayesrm/optim"
	"gobayes/bayesrm/prefs"
	"gobayes/bayesrm/reward"
	"gobayes/bayesrm/sample"
	"gobayes/bayesrm/tensor"
	"gobayes/bayesrm/tokenizer"
	"gobayes/bayesrm/world"

	"gonum.org/v1/gonum/mat"
)

// gemmShapes are the products of Pythia-70M and SmolLM2-135M: rows, columns, inner dimension (COMPUTE's table).
var gemmShapes = []struct {
	name    string
	m, n, k int
	kind    string // of the product: forward x·wᵀ, dX dy·w, dW dyᵀ·x
	goal    float64
}{
	{"qkv-4000", 4000, 1536, 512, "forward", 0.97}, {"qkv-500", 500, 1536, 512, "forward", 0.97},
	{"up-4000", 4000, 2048, 512, "forward", 0.97}, {"up-500", 500, 2048, 512, "forward", 0.97},
	{"down-4000", 4000, 512, 2048, "forward", 0.97}, {"down-500", 500, 512, 2048, "forward", 0.97},
	{"logits-500", 500, 50304, 512, "forward", 0.97}, {"smol-up-4000", 4000, 1536, 576, "forward", 0.97}, {"smol-down-4000", 4000, 576, 1536, "forward", 0.97},
	{"dx-4000", 4000, 512, 1536, "dx", 0.97}, {"dw-4000", 4000, 2048, 512, "dw", 0},
	{"lora-down-4000", 4000, 8, 512, "skinny", 0}, {"lora-up-4000", 4000, 512, 8, "skinny", 0}, {"lora-da-4000", 4000, 8, 512, "dw", 0},
}

func figures() []figure {
	var fs []figure
	fs = append(fs, figure{name: "peak", unit: "GFLOP/s", threads: 1, ours: func(r *run) error {
		r.best(30, func() float64 { return tensor.PeakFLOPs() / 1e9 })
		return nil
	}})
	for _, s := range gemmShapes {
		fs = append(fs, figure{name: "gemm-" + s.name, unit: "GFLOP/s", peer: fmt.Sprintf("gemm:%d:%d:%d:%s", s.m, s.n, s.k, s.kind), goal: s.goal, threads: 1,
			ours: func(r *run) error { r.gemm(s.m, s.n, s.k, s.kind); return nil }})
	}
	for _, n := range []int{512, 1024, 2048} {
		fs = append(fs,
			figure{name: fmt.Sprintf("product64-%d", n), unit: "/s", peer: fmt.Sprintf("lapack:product:%d", n), goal: 1. / 3, ours: func(r *run) error { return r.lapack("product", n) }},
			figure{name: fmt.Sprintf("cholesky-%d", n), unit: "/s", peer: fmt.Sprintf("lapack:cholesky:%d", n), goal: 1. / 3, ours: func(r *run) error { return r.lapack("cholesky", n) }},
			figure{name: fmt.Sprintf("eigen-%d", n), unit: "/s", peer: fmt.Sprintf("lapack:eigen:%d", n), goal: 1. / 6, ours: func(r *run) error { return r.lapack("eigen", n) }})
	}
	return append(fs,
		figure{name: "forward-70m", unit: "tokens/s", peer: "forward", goal: 1.25, ours: (*run).forward},
		figure{name: "lora-70m", unit: "tokens/s", peer: "lora", goal: 1.45, ours: (*run).lora},
		figure{name: "lora-hh", unit: "tokens/s", peer: "lora_hh", goal: 2.2, ours: (*run).loraHH},
		figure{name: "laplace-fit", unit: "pairs/s", peer: "laplace:fit", goal: 1.8, ours: func(r *run) error { return r.laplace("fit", laplace.Exact) }},
		figure{name: "laplace-var", unit: "texts/s", peer: "laplace:var", goal: 1.8, ours: func(r *run) error { return r.laplace("var", laplace.Exact) }},
		figure{name: "laplace-torch-fit", unit: "pairs/s", peer: "laplace_torch:fit", goal: 4, ours: func(r *run) error { return r.laplace("fit", laplace.Exact) }},
		figure{name: "laplace-torch-var", unit: "texts/s", peer: "laplace_torch:var", goal: 4, ours: func(r *run) error { return r.laplace("var", laplace.Exact) }},
		figure{name: "laplace-kron-fit", unit: "pairs/s", peer: "laplace_torch:fit", ours: func(r *run) error { return r.laplace("fit", laplace.Kron) }},
		figure{name: "laplace-kron-var", unit: "texts/s", peer: "laplace_torch:var", ours: func(r *run) error { return r.laplace("var", laplace.Kron) }},
		figure{name: "variance-exact", unit: "texts/s", peer: "own:texts", goal: 1 / 2.4, ours: func(r *run) error { return r.variance(laplace.Exact, 2000) }},
		figure{name: "variance-kron", unit: "texts/s", peer: "own:texts", goal: 1 / 2.2, ours: func(r *run) error { return r.variance(laplace.Kron, laplacePairs) }},
		figure{name: "variance-ekfac", unit: "texts/s", peer: "own:texts", goal: 1 / 2.2, ours: func(r *run) error { return r.variance(laplace.EKFAC, laplacePairs) }},
		figure{name: "score-members", unit: "answers/s", peer: "members", ours: (*run).members},
		figure{name: "score-shared", unit: "answers/s", peer: "score", goal: 3, ours: (*run).score},
		figure{name: "decode-1", unit: "tokens/s", peer: "llama_cpp", goal: 1, ours: func(r *run) error { return r.decode(1) }},
		figure{name: "decode-64", unit: "tokens/s", peer: "own:decode", goal: 15, ours: func(r *run) error { return r.decode(64) }},
		figure{name: "decode-limit", unit: "tokens/s", peer: "own:decode", ours: (*run).decodeLimit},
		figure{name: "cluster-1", unit: "answers/s", threads: 1, ours: func(r *run) error { return r.cluster(1) }},
		figure{name: "cluster-2", unit: "answers/s", peer: "own:cluster", threads: 1, ours: func(r *run) error { return r.cluster(2) }},
		figure{name: "cluster-4", unit: "answers/s", peer: "own:cluster", threads: 1, ours: func(r *run) error { return r.cluster(4) }},
		figure{name: "bestofn", unit: "prompts/s", peer: "bestofn", goal: 2, threads: 1, ours: (*run).bestofn},
		figure{name: "tokenise", unit: "MB/s", peer: "tokenise", goal: 2, threads: 1, ours: (*run).tokenise},
	)
}

// best keeps the best of n measurements.
func (r *run) best(n int, rate func() float64) {
	for range n {
		r.rate = math.Max(r.rate, rate())
	}
}

// timed runs f, which does a number of units of work, for at least a second and, if that is soon done, three times, after one
// run to warm up.
func (r *run) timed(units float64, f func() error) error {
	if err := f(); err != nil {
		return err
	}
	for start, n := time.Now(), 0; time.Since(start) < time.Second || n < 3 && time.Since(start) < 15*time.Second; n++ {
		t := time.Now()
		if err := f(); err != nil {
			return err
		}
		r.rate = math.Max(r.rate, units/time.Since(t).Seconds())
	}
	return nil
}

func random(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

func (r *run) gemm(m, n, k int, kind string) {
	rng := rand.New(rand.NewPCG(1, 0))
	units := 2 * float64(m) * float64(n) * float64(k) / 1e9
	x, w, y := random(rng, m*k), random(rng, n*k), make([]float32, m*n)
	packed := tensor.Pack(w, n, k)
	_ = r.timed(units, func() error {
		switch kind {
		case "forward":
			packed.MatMul(y, x, m, false)
		case "skinny":
			tensor.MatMulNT(y, x, w, m, n, k, false)
		case "dx":
			tensor.MatMulNN(y, x, w, m, n, k, false)
		case "dw": // w [n, k] += yᵀ·x
			tensor.MatMulTN(w, y, x, m, n, k)
		}
		return nil
	})
}

func (r *run) lapack(what string, n int) error {
	rng := rand.New(rand.NewPCG(1, 0))
	a := mat.NewDense(n, n, nil)
	for i := range a.RawMatrix().Data {
		a.RawMatrix().Data[i] = rng.NormFloat64() / math.Sqrt(float64(n))
	}
	s := mat.NewSymDense(n, nil)
	linalg.AddGram(s, a)
	for i := range n {
		s.SetSym(i, i, s.At(i, i)+1e-3)
	}
	return r.timed(1, func() (err error) {
		switch what {
		case "product":
			linalg.Mul(a, a, false, false)
		case "cholesky":
			_, err = linalg.Cholesky(s)
		case "eigen":
			_, _, err = linalg.EigenSym(s)
		}
		return err
	})
}

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

// hhPairs is the number of pairs of the figure on real lengths, and those of a batch.
const (
	hhPairs = 24
	hhBatch = 8
)

// laplacePairs is the number of real pairs, of at most laplaceTokens tokens a text, of the figures on the posterior.
const (
	laplacePairs  = 48
	laplaceTokens = 128
)

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
	r.rate = 0
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

// bestofn is the curve of 30 values of n over 12,500 answers a prompt, with ties.
func (r *run) bestofn() error {
	const N, prompts = 12_500, 1000
	rng := rand.New(rand.NewPCG(1, 1))
	var score, gold [prompts][]float64
	for p := range prompts {
		score[p], gold[p] = make([]float64, N), make([]float64, N)
		for i := range N {
			score[p][i], gold[p][i] = math.Round(1000*rng.NormFloat64())/1000, rng.NormFloat64()
		}
	}
	var ns []int
	for k := range 30 {
		ns = append(ns, int(math.Pow(N, float64(k)/29)))
	}
	var e bestofn.Estimator
	return r.timed(prompts, func() error {
		for p := range prompts {
			e.Estimate(score[p], [][]float64{gold[p]}, ns)
		}
		return nil
	})
}

func gunzip(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

func (r *run) neox() (tokenizer.Tokenizer, error) {
	b, err := gunzip(filepath.Join(r.shared, "tokenizers", "gpt-neox-20b.tokenizer.json.gz"))
	if err != nil {
		return nil, err
	}
	return tokenizer.Parse(b)
}

// texts are the prompts and answers of the preference pairs.
func (r *run) texts(limit int) (out []string, err error) {
	b, err := gunzip(filepath.Join(r.shared, "data", "hh_harmless_pairs.jsonl.gz"))
	if err != nil {
		return nil, err
	}
	sc := bufio.NewScanner(bytes.NewReader(b))
	sc.Buffer(nil, 1<<24)
	for sc.Scan() && len(out) < limit {
		var p struct{ Prompt, Chosen, Rejected string }
		if err := json.Unmarshal(sc.Bytes(), &p); err != nil {
			return nil, err
		}
		out = append(out, p.Prompt+p.Chosen, p.Prompt+p.Rejected)
	}
	return out, sc.Err()
}

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

// own leaves the rate so far as a peer's.
func (r *run) own(name string) error {
	return r.give(fmt.Sprintf("%s-%d.json", name, r.threads), r.rate)
}

// give leaves data for the peer.
func (r *run) give(name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.tmp, name), b, 0o644)
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

func (r *run) smol() (*llm.Model, error) {
	return llm.Load(r.ctx, filepath.Join(r.shared, "models", "smollm2-135m-instruct", "SmolLM2-135M-Instruct.Q4_1.gguf"))
}

// decodeTokens is how many tokens each continuation has.
const decodeTokens = 64

func (r *run) decode(samples int) error {
	m, err := r.smol()
	if err != nil {
		return err
	}
	prompt, err := m.Tokenizer.Encode("Once upon a time, in a village by the sea,")
	if err != nil {
		return err
	}
	m.Config.EOS = -1 // no answer ends early
	o := &llm.GenerateOptions{Samples: samples, MaxTokens: decodeTokens, Seed: 1, Greedy: samples == 1}
	if err := r.timed(float64(samples*decodeTokens), func() error {
		_, err := m.Generate(r.ctx, [][]int{prompt}, o)
		return err
	}); err != nil || samples > 1 {
		return err
	}
	return r.own("decode")
}

// decodeLimit is the rate of many continuations if the products ran at the peak of all threads and nothing else took time:
// over the rate of one, which waits for memory, it bounds decode-64.
func (r *run) decodeLimit() error {
	m, err := r.smol()
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

func (r *run) tokenise() error {
	tok, err := r.neox()
	if err != nil {
		return err
	}
	texts, err := r.texts(4000)
	if err != nil {
		return err
	}
	n := 0
	for _, s := range texts {
		n += len(s)
	}
	if err := r.give("texts.json", texts); err != nil {
		return err
	}
	raw, err := gunzip(filepath.Join(r.shared, "tokenizers", "gpt-neox-20b.tokenizer.json.gz"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(r.tmp, "neox.json"), raw, 0o644); err != nil {
		return err
	}
	return r.timed(float64(n)/1e6, func() error {
		for _, s := range texts {
			if _, err := tok.Encode(s); err != nil {
				return err
			}
		}
		return nil
	})
}

// cluster draws answers of the small world's policy by so many worker processes of one thread each. The workers load the model in the
// warm-up.
func (r *run) cluster(workers int) error {
	c, err := cluster.Open(r.ctx, &cluster.Options{Listen: "127.0.0.1:0", Workers: -1})
	if err != nil {
		return err
	}
	defer c.Close() //nolint:errcheck // the process ends
	for range workers {
		w := exec.Command(os.Args[0], "-worker", c.URL())
		w.Env = append(os.Environ(), "GOMAXPROCS=1")
		if err := w.Start(); err != nil {
			return err
		}
		defer w.Wait()         //nolint:errcheck // killed
		defer w.Process.Kill() //nolint:errcheck // it may have ended
	}
	const prompts, answers = 16, 1000
	rng := rand.New(rand.NewPCG(1, 0))
	var ps []string
	for range prompts {
		ps = append(ps, world.NewPrompt(rng).Text)
	}
	n := 0
	err = r.timed(prompts*answers, func() error {
		n++
		_, err := c.Draw(r.ctx, filepath.Join("notebooks", "data", "world", "policy"), ps, filepath.Join(r.tmp, fmt.Sprintf("pool-%d-%d-%d", workers, os.Getpid(), n)),
			&cluster.DrawOptions{Options: sample.Options{Answers: answers, MaxTokens: 48, Seed: uint64(n)}, Prompts: 1, Gold: cluster.World})
		return err
	})
	if err != nil || workers > 1 {
		return err
	}
	return r.own("cluster")
}
