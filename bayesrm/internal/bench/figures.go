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
	"time"

	"gobayes/bayesrm/bestofn"
	"gobayes/bayesrm/cluster"
	"gobayes/bayesrm/laplace"
	"gobayes/bayesrm/linalg"
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
	r.rate = 0
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
	r.rate = 0
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
