package llm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"gobayes/bayesrm/internal/check"
)

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

// newTinyLoRA is a tiny Llama with LoRA on some layers.
func newTinyLoRA(t testing.TB) (*Model, []*LoRA) {
	t.Helper()
	m := newTiny(t, tinyConfigs[2])
	as, err := m.AddLoRA([]string{"q_proj", "down_proj"}, 3, 6, 1)
	if err != nil {
		t.Fatal(err)
	}
	return m, as
}

// TestDropout: gradients are those of the loss with the same mask, and a mask leaves out the share that it should.
func TestDropout(t *testing.T) {
	m, as := newTinyLoRA(t)
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

// TestAdapter: what SaveAdapter writes, LoadAdapter reads; adapters that are not plain LoRA are refused.
func TestAdapter(t *testing.T) {
	m, as := newTinyLoRA(t)
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
	m, _ := newTinyLoRA(f)
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
