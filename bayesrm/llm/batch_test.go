package llm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"testing"

	"gobayes/bayesrm/internal/check"
)

var tinyConfigs = []Config{
	{Arch: "gpt_neox", Width: 32, Layers: 3, Heads: 4, KVHeads: 4, FeedForward: 128, Vocab: 50, Context: 90, RotaryDim: 4, RotaryBase: 10000, NormEps: 1e-5, Parallel: true, EOS: 3, BOS: -1},
	{Arch: "gpt_neox", Width: 40, Layers: 2, Heads: 2, KVHeads: 2, FeedForward: 72, Vocab: 50, Context: 90, RotaryDim: 10, RotaryBase: 10000, NormEps: 1e-5, GELUTanh: true, EOS: 3, BOS: -1},
	{Arch: "llama", Width: 48, Layers: 3, Heads: 6, KVHeads: 2, FeedForward: 100, Vocab: 50, Context: 90, RotaryDim: 8, RotaryBase: 10000, NormEps: 1e-5, EOS: 3, BOS: 1},
}

// newTiny returns a model with weights large enough for distributions that are not flat.
func newTiny(t testing.TB, c Config) *Model {
	t.Helper()
	m, err := New(c, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range m.Params() {
		if len(p.Shape) == 2 {
			for i := range p.Data {
				p.Data[i] *= 8
			}
		}
	}
	return m
}

func eachTiny(t *testing.T, f func(t *testing.T, m *Model)) {
	for i, c := range tinyConfigs {
		t.Run(fmt.Sprintf("%s/%d", c.Arch, i), func(t *testing.T) { f(t, newTiny(t, c)) })
	}
}

func someTokens(rng *rand.Rand, n, vocab int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = 4 + rng.IntN(vocab-4)
	}
	return s
}

// TestSharedPrefix: scoring answers behind a prompt that is read once gives the bits of the separate runs.
func TestSharedPrefix(t *testing.T) {
	eachTiny(t, func(t *testing.T, m *Model) {
		rng := rand.New(rand.NewPCG(1, 0))
		C := m.Config.Width
		var seqs [][]int
		for range 3 { // three prompts; the second has one answer only
			prompt := someTokens(rng, 35, m.Config.Vocab)
			for k := range 5 {
				if len(seqs) == 5 && k > 0 {
					break
				}
				seqs = append(seqs, append(slices.Clone(prompt), someTokens(rng, 1+rng.IntN(30), m.Config.Vocab)...))
			}
		}
		seqs = append(seqs, seqs[len(seqs)-1], seqs[len(seqs)-1][:30]) // the same text twice, and its start alone
		b, last := PackShared(seqs)
		separate := 0
		for _, s := range seqs {
			separate += len(s)
		}
		if want := separate - (4+5)*35; len(b.IDs) > want {
			t.Errorf("%d rows packed, want at most %d of %d", len(b.IDs), want, separate)
		}
		shared, alone := Acts{Inference: true}, Acts{}
		if err := m.Forward(t.Context(), &shared, b, last); err != nil {
			t.Fatal(err)
		}
		for i, s := range seqs {
			if err := m.Forward(t.Context(), &alone, Pack([][]int{s}), nil); err != nil {
				t.Fatal(err)
			}
			if want := alone.Hidden[(len(s)-1)*C:]; !slices.Equal(shared.Hidden[i*C:(i+1)*C], want) {
				t.Fatalf("sequence %d: %v behind the shared prompt, %v alone", i, shared.Hidden[i*C:i*C+3], want[:3])
			}
		}
	})
}

// TestRows: with some rows only, hidden states are those of the whole pass, and so are the gradients of a loss on them.
func TestRows(t *testing.T) {
	eachTiny(t, func(t *testing.T, m *Model) {
		rng := rand.New(rand.NewPCG(2, 0))
		if _, err := m.AddLoRA([]string{"all-linear"}, 2, 4, 1); err != nil {
			t.Fatal(err)
		}
		for _, a := range m.LoRAs() {
			for i := range a.B.Data {
				a.B.Data[i] = float32(rng.NormFloat64()) / 10
			}
		}
		m.Train(true)
		C := m.Config.Width
		b := Pack([][]int{someTokens(rng, 40, 50), someTokens(rng, 3, 50), someTokens(rng, 33, 50)})
		grads := func(rows []int) (hidden []float32, g [][]float32) {
			var acts Acts
			if err := m.Forward(t.Context(), &acts, b, rows); err != nil {
				t.Fatal(err)
			}
			dh := make([]float32, len(acts.Hidden))
			rng := rand.New(rand.NewPCG(3, 0))
			for _, n := range b.Lasts() {
				i := n
				if rows != nil {
					i = slices.Index(rows, n)
				}
				for c := range C {
					dh[i*C+c] = float32(rng.NormFloat64())
				}
				hidden = append(hidden, acts.Hidden[i*C:(i+1)*C]...)
			}
			all := m.Params()
			for _, a := range m.LoRAs() {
				all = append(all, a.A, a.B)
			}
			for _, p := range all {
				clear(p.Grad)
			}
			if err := m.Backward(t.Context(), &acts, dh, Accumulate); err != nil {
				t.Fatal(err)
			}
			for _, p := range all {
				g = append(g, slices.Clone(p.Grad))
			}
			return hidden, g
		}
		h, g := grads(nil)
		procs := runtime.GOMAXPROCS(1)
		if h1, g1 := grads(nil); !slices.Equal(h, h1) || !reflect.DeepEqual(g, g1) {
			t.Error("one processor gives other hidden states or gradients than several")
		}
		runtime.GOMAXPROCS(procs)
		for _, rows := range [][]int{b.Lasts(), {5, 39, 41, 42, 75}} {
			h2, g2 := grads(rows)
			if !slices.Equal(h, h2) {
				t.Errorf("rows %v: other hidden states", rows)
			}
			for i := range g {
				check.Norm(t, fmt.Sprintf("rows %v, gradient %d", rows, i), g2[i], g[i], 1e-5)
			}
		}
		m.Train(false)
		frozen, _ := grads(b.Lasts())
		check.Close(t, "packed weights", frozen, h, 1e-6, 1e-5)
		if err := m.Forward(t.Context(), &Acts{}, b, []int{3, 1}); err == nil {
			t.Error("rows out of order were taken")
		}
	})
}

// TestGradients compares the gradient of every kind of weight with central differences.
func TestGradients(t *testing.T) {
	eachTiny(t, func(t *testing.T, m *Model) {
		m.Train(true)
		rng := rand.New(rand.NewPCG(8, 0))
		b := Pack([][]int{someTokens(rng, 7, 50), someTokens(rng, 4, 50)})
		targets := make([]int, len(b.IDs))
		for i := range targets {
			targets[i] = 4 + rng.IntN(40)
		}
		targets[3] = -1 // masked
		var acts Acts
		loss := func() float64 {
			l, err := m.LMLoss(t.Context(), &acts, b, targets, 0)
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		if _, err := m.LMLoss(t.Context(), &acts, b, targets, 1); err != nil {
			t.Fatal(err)
		}
		for _, p := range m.Params() {
			got := slices.Clone(p.Grad)
			var a, n, ab float64 // along a random direction, which is less noisy than element by element
			dir := make([]float32, len(got))
			for i := range dir {
				dir[i] = float32(rng.NormFloat64())
				a += float64(dir[i]) * float64(got[i])
			}
			const h = 3e-3
			at := slices.Clone(p.Data)
			for _, side := range []float64{1, -1} {
				for i := range dir {
					p.Data[i] = at[i] + float32(side*h)*dir[i]*0.1
				}
				n += side * loss() / (2 * h * 0.1)
			}
			copy(p.Data, at)
			for _, g := range got {
				ab += float64(g) * float64(g)
			}
			if math.Abs(a-n) > 2e-2*math.Sqrt(ab)+2e-3 {
				t.Errorf("%s: slope %v, by differences %v", p.Name, a, n)
			}
		}
	})
}

// BenchmarkStep is a LoRA step on 2,048 tokens of Pythia-14M's shape; it prints the memory of the activations.
func BenchmarkStep(b *testing.B) {
	m, err := New(Config{Arch: "gpt_neox", Width: 128, Layers: 6, Heads: 4, KVHeads: 4, FeedForward: 512, Vocab: 1000, Context: 512, RotaryDim: 8, RotaryBase: 10000, NormEps: 1e-5, Parallel: true, EOS: 0, BOS: -1}, 1)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := m.AddLoRA([]string{"query_key_value"}, 8, 16, 1); err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(9, 0))
	batch := Pack([][]int{someTokens(rng, 512, 1000), someTokens(rng, 512, 1000), someTokens(rng, 512, 1000), someTokens(rng, 512, 1000)})
	var acts Acts
	dh := make([]float32, 4*128)
	b.ReportAllocs()
	for b.Loop() {
		if err := m.Forward(b.Context(), &acts, batch, batch.Lasts()); err != nil {
			b.Fatal(err)
		}
		if err := m.Backward(b.Context(), &acts, dh, Accumulate); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(acts.Bytes())/float64(len(batch.IDs)), "activation-B/token")
	b.ReportMetric(float64(len(batch.IDs)*b.N)/b.Elapsed().Seconds(), "tokens/s")
}

// TestTrainLast: the gradients of the last layers are those of full training, and a model that shares the weights keeps its own.
func TestTrainLast(t *testing.T) {
	eachTiny(t, func(t *testing.T, m *Model) {
		rng := rand.New(rand.NewPCG(9, 0))
		b := Pack([][]int{someTokens(rng, 7, 50), someTokens(rng, 4, 50)})
		targets := make([]int, len(b.IDs))
		for i := range targets {
			targets[i] = 4 + rng.IntN(40)
		}
		var acts Acts
		loss := func(m *Model) {
			t.Helper()
			if _, err := m.LMLoss(t.Context(), &acts, b, targets, 1); err != nil {
				t.Fatal(err)
			}
		}
		c := m.Copy()
		trained, err := c.TrainLast(1)
		if err != nil {
			t.Fatal(err)
		}
		loss(c)
		if c.embed.Grad != nil || c.blocks[0].norm1.w.Grad != nil || c.final.w.Grad == nil {
			t.Error("other weights are trained than those of the last layer")
		}
		m.Train(true)
		loss(m)
		want := map[string]*Param{}
		for _, p := range m.Params() {
			want[p.Name] = p
		}
		for _, p := range trained {
			check.Norm(t, p.Name, p.Grad, want[p.Name].Grad, 1e-5)
			p.Data[0]++
			if want[p.Name].Data[0] == p.Data[0] {
				t.Errorf("%s is shared with the model that was copied", p.Name)
			}
		}
		if _, err := m.TrainLast(m.Config.Layers + 1); err == nil {
			t.Error("more layers than there are")
		}
	})
}
