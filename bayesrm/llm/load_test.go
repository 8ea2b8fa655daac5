package llm

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gobayes/bayesrm/safetensors"
	"gobayes/bayesrm/tokenizer"
)

func tiny(t *testing.T) *Model {
	t.Helper()
	m, err := New(Config{Arch: "gpt_neox", Width: 8, Layers: 1, Heads: 2, KVHeads: 2, FeedForward: 16, Vocab: 4, Context: 8, RotaryDim: 2, RotaryBase: 10000, NormEps: 1e-5, EOS: 3, BOS: -1}, 1)
	if err != nil {
		t.Fatal(err)
	}
	m.Tokenizer = tokenizer.NewWords([]string{"a", "b", "c", "<eos>"})
	return m
}

func TestSaveLoad(t *testing.T) {
	dir := t.TempDir()
	m := tiny(t)
	m.Template = Template{Prompt: "a ", Answer: " b "}
	if err := m.Save(dir); err != nil {
		t.Fatal(err)
	}
	back, err := Load(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if back.Config != m.Config || back.Template != m.Template || back.Tokenizer.ID("c") != 2 {
		t.Errorf("config %+v, template %+v", back.Config, back.Template)
	}
	var a, b Acts
	if err := m.Forward(t.Context(), &a, Pack([][]int{{0, 1, 2}}), nil); err != nil {
		t.Fatal(err)
	}
	if err := back.Forward(t.Context(), &b, Pack([][]int{{0, 1, 2}}), nil); err != nil {
		t.Fatal(err)
	}
	for i := range a.Hidden {
		if a.Hidden[i] != b.Hidden[i] {
			t.Fatal("the loaded model computes something else")
		}
	}
}

func TestLoadErrors(t *testing.T) {
	edit := func(f func(dir string, ts map[string]safetensors.Tensor)) string {
		dir := t.TempDir()
		if err := tiny(t).Save(dir); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "model.safetensors")
		ts, err := safetensors.Read(file)
		if err != nil {
			t.Fatal(err)
		}
		f(dir, ts)
		if ts != nil {
			if err := safetensors.Write(file, ts, nil); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	config := func(dir, old, new string) {
		p := filepath.Join(dir, "config.json")
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(strings.Replace(string(b), old, new, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const norm = "gpt_neox.final_layer_norm.weight"
	for _, tt := range []struct {
		name string
		edit func(dir string, ts map[string]safetensors.Tensor)
		want []string
	}{
		{"missing tensor", func(_ string, ts map[string]safetensors.Tensor) { delete(ts, norm) }, []string{norm, "[8]", "missing"}},
		{"misshapen tensor", func(_ string, ts map[string]safetensors.Tensor) {
			ts[norm] = safetensors.Tensor{Shape: []int{2}, Data: []float32{1, 2}}
		}, []string{norm, "[2]", "[8]"}},
		{"NaN", func(_ string, ts map[string]safetensors.Tensor) {
			z := float32(0)
			ts[norm].Data[3] = z / z
		}, []string{norm, "element 3", "NaN"}},
		{"unknown architecture", func(dir string, _ map[string]safetensors.Tensor) { config(dir, `"gpt_neox"`, `"mamba"`) }, []string{"config.json", "mamba", "gpt_neox"}},
		{"rope scaling", func(dir string, _ map[string]safetensors.Tensor) {
			config(dir, `"vocab_size"`, `"rope_scaling": {"type": "linear"}, "vocab_size"`)
		}, []string{"rope_scaling"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Load(context.Background(), edit(tt.edit))
			for _, w := range tt.want {
				if err == nil || !strings.Contains(err.Error(), w) {
					t.Errorf("error %v, want one with %q", err, w)
				}
			}
		})
	}
	t.Setenv("HF_HOME", t.TempDir())
	for _, path := range []string{"no/such/folder", t.TempDir(), "hf:nobody/nothing"} {
		if _, err := Load(context.Background(), path); err == nil {
			t.Errorf("%q was loaded", path)
		}
	}
	short := filepath.Join(t.TempDir(), "m.bin")
	if err := os.WriteFile(short, make([]byte, 28), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(context.Background(), short); err == nil {
		t.Error("an empty llama2.c file was loaded")
	}
}

func TestForwardRefuses(t *testing.T) {
	m := tiny(t)
	var a Acts
	for _, s := range [][]int{{}, {0, 1, 2, 3, 0, 1, 2, 3, 0}, {4}, {-1}} {
		if err := m.Forward(t.Context(), &a, Pack([][]int{{0}, s}), nil); err == nil || !strings.Contains(err.Error(), "sequence 1 of 2") {
			t.Errorf("%v: error %v", s, err)
		}
	}
}

func FuzzLlama2C(f *testing.F) {
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "models", "stories260K", "stories260K.bin"))
	if err == nil {
		f.Add(b[:200], uint16(0))
	}
	f.Add([]byte("\x08\x00\x00\x00\x08\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x02\x00\x00\x00\x04\x00\x00\x00\x08\x00\x00\x00"), uint16(4000))
	f.Fuzz(func(t *testing.T, b []byte, pad uint16) {
		path := filepath.Join(t.TempDir(), "m.bin")
		if err := os.WriteFile(path, append(b, make([]byte, pad)...), 0o644); err != nil {
			t.Fatal(err)
		}
		_, _ = Load(t.Context(), path)
	})
}

// FuzzConfig loads folders with any config.json: an error or a model, never a panic or memory without end.
func FuzzConfig(f *testing.F) {
	f.Add([]byte(`{"model_type":"gpt_neox","hidden_size":8,"num_hidden_layers":1,"num_attention_heads":2,"intermediate_size":8,"vocab_size":4,"max_position_embeddings":8,"hidden_act":"gelu"}`))
	f.Add([]byte(`{"model_type":"llama","hidden_size":8,"num_hidden_layers":1,"num_attention_heads":2,"intermediate_size":8,"vocab_size":4,"max_position_embeddings":8,"hidden_act":"silu","rope_scaling":{"rope_type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4,"original_max_position_embeddings":4}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		ts := map[string]safetensors.Tensor{"x": {Shape: []int{1}, Data: []float32{1}}}
		if err := safetensors.Write(filepath.Join(dir, "model.safetensors"), ts, nil); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "config.json"), b, 0o644); err != nil {
			t.Fatal(err)
		}
		_, _ = Load(t.Context(), dir)
	})
}

// TestRopeScaling: frequencies are those of transformers' formulas.
func TestRopeScaling(t *testing.T) {
	r := &RopeScaling{Type: "llama3", Factor: 8, LowFreq: 1, HighFreq: 4, Original: 8192}
	for _, tt := range []struct{ f, want float64 }{
		{1, 1},           // short waves stay
		{1e-5, 1e-5 / 8}, // long ones are stretched
		{2 * math.Pi * 2 / 8192, (1-1./3)*2*math.Pi*2/8192/8 + 2*math.Pi*2/8192/3}, // two turns: a third of the way
	} {
		if got := r.frequency(tt.f); math.Abs(got-tt.want) > 1e-12*tt.want {
			t.Errorf("frequency %v becomes %v, want %v", tt.f, got, tt.want)
		}
	}
	if got := (&RopeScaling{Type: "linear", Factor: 2}).frequency(3); got != 1.5 {
		t.Errorf("linear: %v", got)
	}
	if got := (*RopeScaling)(nil).frequency(3); got != 3 {
		t.Errorf("none: %v", got)
	}
}
