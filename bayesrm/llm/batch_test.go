package llm

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
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

// TestMembers: several models on one backbone give in one pass the bits of a pass each, with LoRA on other layers in each, on the
// last layer alone, and nowhere.
func TestMembers(t *testing.T) {
	eachTiny(t, func(t *testing.T, base *Model) {
		rng := rand.New(rand.NewPCG(9, 0))
		last := base.blocks[base.Config.Layers-1].linears()
		prompt := someTokens(rng, 20, base.Config.Vocab)
		b, rows := PackShared([][]int{append(slices.Clone(prompt), 5, 6), append(slices.Clone(prompt), 7, 8, 9), someTokens(rng, 4, base.Config.Vocab)})
		for name, targets := range map[string][][]string{
			"all":    {{"all-linear"}, {"all-linear"}, {"all-linear"}},
			"mixed":  {{last[0].Name}, base.DefaultTargets(), {"all-linear"}},
			"last":   {{last[0].Name}, {last[1].Name}, {last[len(last)-1].Name}},
			"absent": {nil, nil},
		} {
			var members []*Model
			for k, ts := range targets {
				m := base.Copy()
				if ts != nil {
					if _, err := m.AddLoRA(ts, 2+k, 8, uint64(k)); err != nil {
						t.Fatal(err)
					}
				}
				for _, a := range m.LoRAs() {
					for i := range a.B.Data {
						a.B.Data[i] = float32(rng.NormFloat64()) / 10
					}
				}
				members = append(members, m)
			}
			together := Acts{Inference: true}
			for range 2 { // the second pass has the buffers of the first
				if err := ForwardMembers(t.Context(), &together, members, b, rows); err != nil {
					t.Fatal(err)
				}
			}
			n := len(rows) * base.Config.Width
			for k, m := range members {
				alone := Acts{Inference: true}
				if err := m.Forward(t.Context(), &alone, b, rows); err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(alone.Hidden, together.Hidden[k*n:(k+1)*n]) {
					t.Errorf("%s: member %d: %v together, %v alone", name, k, together.Hidden[k*n:k*n+3], alone.Hidden[:3])
				}
				if k > 0 && slices.Equal(alone.Hidden, together.Hidden[:n]) != (name == "absent") {
					t.Errorf("%s: members 0 and %d: equal hidden states only where there is no LoRA", name, k)
				}
			}
		}
		if err := ForwardMembers(t.Context(), &Acts{Inference: true}, []*Model{base, newTiny(t, base.Config)}, b, rows); err == nil {
			t.Error("members on two backbones: no error")
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

// TestDropout: gradients are those of the loss with the same mask, and a mask leaves out the share that it should.
func TestDropout(t *testing.T) {
	m := newTiny(t, tinyConfigs[2])
	as, err := m.AddLoRA([]string{"q_proj", "down_proj"}, 3, 6, 1)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(4, 0))
	for _, a := range as {
		a.Dropout = 0.3
		for i := range a.B.Data {
			a.B.Data[i] = float32(rng.NormFloat64()) / 10
		}
	}
	b := Pack([][]int{someTokens(rng, 9, 50)})
	acts := Acts{Dropout: 11}
	var dh []float32
	loss := func() float64 {
		if err := m.Forward(t.Context(), &acts, b, nil); err != nil {
			t.Fatal(err)
		}
		if dh == nil {
			for range acts.Hidden {
				dh = append(dh, float32(rng.NormFloat64()))
			}
		}
		var s float64
		for i, h := range acts.Hidden {
			s += float64(h) * float64(dh[i])
		}
		return s
	}
	with := loss()
	if err := m.Backward(t.Context(), &acts, dh, Accumulate); err != nil {
		t.Fatal(err)
	}
	for _, a := range as[:3] {
		check.Close(t, a.A.Name, a.A.Grad, check.Grad(loss, a.A.Data, 1e-2), 2e-2, 5e-2)
		check.Close(t, a.B.Name, a.B.Grad, check.Grad(loss, a.B.Data, 1e-2), 2e-2, 5e-2)
	}
	acts.Dropout = 0
	if without := loss(); without == with {
		t.Error("dropout changes nothing")
	}
	x, y := make([]float32, 100000), make([]float32, 100000)
	for i := range x {
		x[i] = 1
	}
	as[0].drop(y, x, 5, false)
	zero := 0
	for _, v := range y {
		if v == 0 {
			zero++
		} else if math.Abs(float64(v)-1/0.7) > 1e-6 {
			t.Fatalf("kept element %v, want 1/0.7", v)
		}
	}
	if zero < 29300 || zero > 30700 {
		t.Errorf("%d of 100000 dropped, want about 30000", zero)
	}
}

// TestDecodeEqualsForward: greedy decoding of several prompts at once takes the tokens that a full pass would, and its
// log-probabilities are those of the full pass.
func TestDecodeEqualsForward(t *testing.T) {
	eachTiny(t, func(t *testing.T, m *Model) {
		rng := rand.New(rand.NewPCG(5, 0))
		prompts := [][]int{someTokens(rng, 40, 50), someTokens(rng, 1, 50), someTokens(rng, 7, 50)}
		out, err := m.Generate(t.Context(), prompts, &GenerateOptions{Greedy: true, MaxTokens: 45, LogProbs: true})
		if err != nil {
			t.Fatal(err)
		}
		for p, prompt := range prompts {
			c := out[p][0]
			full := append(slices.Clone(prompt), c.IDs...)
			acts := Acts{Inference: true}
			if err := m.Forward(t.Context(), &acts, Pack([][]int{full}), nil); err != nil {
				t.Fatal(err)
			}
			V := m.Config.Vocab
			logits := m.Logits(acts.Hidden)
			for i, id := range c.IDs {
				l := logits[(len(prompt)+i-1)*V:][:V]
				if best := argmax(l); best != id {
					t.Fatalf("prompt %d, token %d: %d, the full pass gives %d", p, i, id, best)
				}
				var z float64
				for _, v := range l {
					z += math.Exp(float64(v - l[id]))
				}
				if want := -math.Log(z); math.Abs(c.LogProbs[i]-want) > 1e-4 {
					t.Fatalf("prompt %d, token %d: log-probability %v, want %v", p, i, c.LogProbs[i], want)
				}
			}
			if reason := c.Reason; (c.IDs[len(c.IDs)-1] == 3) != (reason == "end") {
				t.Errorf("prompt %d ends for reason %q with token %d", p, reason, c.IDs[len(c.IDs)-1])
			}
		}
	})
}

// TestPick draws from a known distribution under each truncation.
func TestPick(t *testing.T) {
	p := []float64{0.05, 0.4, 0.1, 0.3, 0.15}
	for _, tt := range []struct {
		name string
		o    GenerateOptions
		want []float64
	}{
		{"plain", GenerateOptions{}, p},
		{"top-k", GenerateOptions{TopK: 2}, []float64{0, 4. / 7, 0, 3. / 7, 0}},
		{"top-p", GenerateOptions{TopP: 0.65}, []float64{0, 4. / 7, 0, 3. / 7, 0}},
		{"top-p of top-k", GenerateOptions{TopK: 3, TopP: 0.9}, []float64{0, 40. / 85, 0, 30. / 85, 15. / 85}},
		{"min-p", GenerateOptions{MinP: 0.3}, []float64{0, 40. / 85, 0, 30. / 85, 15. / 85}},
		{"temperature", GenerateOptions{Temperature: 0.5}, []float64{0.0025 / 0.285, 0.16 / 0.285, 0.01 / 0.285, 0.09 / 0.285, 0.0225 / 0.285}},
		{"greedy", GenerateOptions{Greedy: true}, []float64{0, 1, 0, 0, 0}},
		{"penalty", GenerateOptions{RepetitionPenalty: 2, Greedy: true}, []float64{0, 0, 0, 1, 0}},
	} {
		o := tt.o
		if o.Temperature == 0 {
			o.Temperature = 1
		}
		if o.RepetitionPenalty == 0 {
			o.RepetitionPenalty = 1
		}
		rng := rand.New(rand.NewPCG(6, 0))
		const n = 20000
		got := make([]float64, 5)
		for range n {
			l := make([]float32, 5)
			for i := range l {
				l[i] = float32(math.Log(p[i]))
			}
			got[o.pick(l, rng, []int{1}, nil)] += 1. / n
		}
		for i := range got {
			if sd := math.Sqrt(tt.want[i] * (1 - tt.want[i]) / n); math.Abs(got[i]-tt.want[i]) > 4*sd+1e-9 {
				t.Errorf("%s: token %d has frequency %.4f, want %.4f", tt.name, i, got[i], tt.want[i])
			}
		}
	}
}

func TestGenerateErrors(t *testing.T) {
	m := newTiny(t, tinyConfigs[0])
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Generate(ctx, [][]int{{4, 5}}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	for _, tt := range []struct {
		prompts [][]int
		o       *GenerateOptions
	}{
		{[][]int{{}}, nil}, {[][]int{{99}}, nil}, {[][]int{make([]int, 90)}, nil},
		{[][]int{{4}}, &GenerateOptions{TopP: 2}}, {[][]int{{4}}, &GenerateOptions{Stop: []string{"x"}}}, {[][]int{{4}}, &GenerateOptions{Seeds: []uint64{1, 2}}},
	} {
		if _, err := m.Generate(t.Context(), tt.prompts, tt.o); err == nil {
			t.Errorf("prompts %v, options %+v: no error", tt.prompts, tt.o)
		}
	}
	a, err := m.Generate(t.Context(), [][]int{{4, 5}, {6}}, &GenerateOptions{Samples: 3, MaxTokens: 8, Seed: 2})
	if err != nil {
		t.Fatal(err)
	}
	b, err := m.Generate(t.Context(), [][]int{{6}}, &GenerateOptions{Samples: 3, MaxTokens: 8, Seed: 2})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(a[1], b[0]) {
		t.Error("the answers to a prompt depend on the prompts beside it")
	}
}

// TestAdapter: what SaveAdapter writes, LoadAdapter reads; adapters that are not plain LoRA are refused.
func TestAdapter(t *testing.T) {
	m := newTiny(t, tinyConfigs[2])
	as, err := m.AddLoRA([]string{"q_proj", "down_proj"}, 3, 6, 1)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(7, 0))
	head := make([]float32, m.Config.Width)
	for i := range head {
		head[i] = float32(rng.NormFloat64())
	}
	for _, a := range as {
		a.Dropout = 0.1
		for i := range a.B.Data {
			a.B.Data[i] = float32(rng.NormFloat64())
		}
	}
	dir := t.TempDir()
	if err := m.SaveAdapter(dir, "base", head); err != nil {
		t.Fatal(err)
	}
	back := m.Copy()
	h, err := back.LoadAdapter(dir)
	if err != nil || !slices.Equal(h, head) {
		t.Fatalf("head %v, %v", h, err)
	}
	for i, a := range back.LoRAs() {
		if !slices.Equal(a.A.Data, as[i].A.Data) || !slices.Equal(a.B.Data, as[i].B.Data) || a.Scale != as[i].Scale || a.Dropout != 0.1 {
			t.Errorf("%s differs", a.A.Name)
		}
	}
	for _, bad := range []string{`"use_dora": true`, `"bias": "all"`, `"target_modules": ".*proj"`, `"rank_pattern": {"q": 2}`, `"lora_dropout": 1`} {
		c := fmt.Sprintf(`{"peft_type": "LORA", "r": 3, "lora_alpha": 6, "bias": "none", "target_modules": ["q_proj"], %s}`, bad)
		if err := os.WriteFile(dir+"/adapter_config.json", []byte(c), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Copy().LoadAdapter(dir); err == nil {
			t.Errorf("an adapter with %s was loaded", bad)
		}
	}
	if err := m.Copy().SaveAdapter(t.TempDir(), "", nil); err == nil {
		t.Error("a model without LoRA was saved as an adapter")
	}
	// what does not fit leaves the model as it was
	for _, r := range []string{"4", "1000000000000"} {
		c := fmt.Sprintf(`{"peft_type": "LORA", "r": %s, "lora_alpha": 6, "bias": "none", "target_modules": ["q_proj", "up_proj"]}`, r)
		if err := os.WriteFile(dir+"/adapter_config.json", []byte(c), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := m.LoadAdapter(dir); err == nil || !strings.Contains(err.Error(), "rank "+r) {
			t.Errorf("rank %s: %v", r, err)
		}
	}
	if err := os.WriteFile(dir+"/adapter_config.json", []byte(`{"peft_type": "LORA", "r": 3, "lora_alpha": 6, "bias": "none", "target_modules": ["q_proj", "up_proj"]}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := m.LoadAdapter(dir); err == nil || !slices.Equal(m.LoRAs(), as) {
		t.Errorf("an adapter without up_proj: %v; the model has %d LoRA, had %d", err, len(m.LoRAs()), len(as))
	}
}

// FuzzAdapter: any adapter_config.json is an adapter or an error.
func FuzzAdapter(f *testing.F) {
	m := newTiny(f, tinyConfigs[2])
	if _, err := m.AddLoRA([]string{"q_proj", "down_proj"}, 3, 6, 1); err != nil {
		f.Fatal(err)
	}
	dir := f.TempDir()
	if err := m.SaveAdapter(dir, "base", nil); err != nil {
		f.Fatal(err)
	}
	b, err := os.ReadFile(dir + "/adapter_config.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"peft_type": "LORA", "r": 3, "bias": "none", "target_modules": "all-linear", "use_rslora": true}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(dir+"/adapter_config.json", b, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Copy().LoadAdapter(dir); err != nil && !strings.Contains(err.Error(), "llm: ") {
			t.Errorf("error %v", err)
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

// TestMerge: a model with LoRA and what it merges into say the same, and the merged one keeps its own weights.
func TestMerge(t *testing.T) {
	eachTiny(t, func(t *testing.T, m *Model) {
		rng := rand.New(rand.NewPCG(10, 0))
		as, err := m.AddLoRA([]string{"all-linear"}, 3, 6, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range as {
			for i := range a.B.Data {
				a.B.Data[i] = float32(rng.NormFloat64()) * 0.1
			}
		}
		b := Pack([][]int{someTokens(rng, 9, 50)})
		hidden := func(m *Model) []float32 {
			var acts Acts
			if err := m.Forward(t.Context(), &acts, b, nil); err != nil {
				t.Fatal(err)
			}
			return acts.Hidden
		}
		merged := m.Merge()
		if len(merged.LoRAs()) != 0 {
			t.Error("the merged model still has LoRA")
		}
		check.Close(t, "hidden", hidden(merged), hidden(m), 1e-4, 1e-4)
		bare := hidden(m.Copy())
		if slices.Equal(bare, hidden(merged)) {
			t.Error("nothing was merged")
		}
		check.Close(t, "clone", hidden(m.Clone()), bare, 1e-6, 0)
		if m.Clone().Fingerprint() != m.Fingerprint() || merged.Fingerprint() == m.Fingerprint() {
			t.Error("a clone has another fingerprint, or the merged model the same")
		}
	})
}
