package llm

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"gobayes/bayesrm/internal/check"
)

// TestSmolLM2 compares the real SmolLM2-135M-Instruct, from its GGUF, with transformers on the same dequantised weights.
func TestSmolLM2(t *testing.T) {
	if testing.Short() {
		t.Skip("135 million weights")
	}
	dir := check.Data(t, "models", "smollm2-135m-instruct")
	m, err := Load(t.Context(), filepath.Join(dir, "SmolLM2-135M-Instruct.Q4_1.gguf"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "reference.json"))
	if err != nil {
		t.Fatal(err)
	}
	var ref struct {
		Prompts []struct {
			Prompt string
			IDs    []int
			Greedy []int `json:"greedy_ids"`
			Top    struct {
				IDs    []int
				Logits []float64
			} `json:"last_top20"`
			LogProbs []float64 `json:"token_logprobs"`
		}
	}
	if err := json.Unmarshal(b, &ref); err != nil {
		t.Fatal(err)
	}
	var prompts [][]int
	for _, p := range ref.Prompts {
		ids, err := m.Tokenizer.Encode(p.Prompt)
		if err != nil || !slices.Equal(ids, p.IDs) {
			t.Errorf("%q: ids %v, %v; want %v", p.Prompt, ids, err, p.IDs)
		}
		prompts = append(prompts, p.IDs)
	}
	out, err := m.Generate(t.Context(), prompts, &GenerateOptions{Greedy: true, MaxTokens: 40})
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range ref.Prompts {
		if got := out[i][0].IDs; !slices.Equal(got, p.Greedy[:min(len(got), len(p.Greedy))]) {
			t.Errorf("%q: greedy %v, want %v", p.Prompt, got, p.Greedy)
		}
		acts := Acts{Inference: true}
		if err := m.Forward(t.Context(), &acts, Pack([][]int{p.IDs}), nil); err != nil {
			t.Fatal(err)
		}
		V := m.Config.Vocab
		logits := m.Logits(acts.Hidden)
		last := logits[(len(p.IDs)-1)*V:]
		for k, id := range p.Top.IDs {
			if got, want := float64(last[id]), p.Top.Logits[k]; math.Abs(got-want) > 1e-3 {
				t.Errorf("%q: logit of token %d is %v, want %v", p.Prompt, id, got, want)
			}
		}
		lp := p.LogProbs[len(p.LogProbs)-(len(p.IDs)-1):]
		for k := range len(p.IDs) - 1 {
			l := logits[k*V : (k+1)*V]
			var z float64
			for _, v := range l {
				z += math.Exp(float64(v - l[p.IDs[k+1]]))
			}
			if got := -math.Log(z); math.Abs(got-lp[k]) > 1e-4 {
				t.Errorf("%q: log-probability of token %d is %v, want %v", p.Prompt, k+1, got, lp[k])
			}
		}
	}
	want := "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
	if got := m.Template.Prompt + "Hi" + m.Template.Answer; got != want {
		t.Errorf("chat %q, want %q", got, want)
	}
}

// ggufWriter writes a small GGUF file.
type ggufWriter struct {
	kv, infos, data bytes.Buffer
	nkv, ntensors   uint64
}

func (w *ggufWriter) str(b *bytes.Buffer, s string) {
	binary.Write(b, binary.LittleEndian, uint64(len(s)))
	b.WriteString(s)
}

func (w *ggufWriter) set(key string, v any) {
	w.nkv++
	w.str(&w.kv, key)
	switch v := v.(type) {
	case string:
		binary.Write(&w.kv, binary.LittleEndian, uint32(8))
		w.str(&w.kv, v)
	case uint32:
		binary.Write(&w.kv, binary.LittleEndian, uint32(4))
		binary.Write(&w.kv, binary.LittleEndian, v)
	case float32:
		binary.Write(&w.kv, binary.LittleEndian, uint32(6))
		binary.Write(&w.kv, binary.LittleEndian, v)
	case bool:
		binary.Write(&w.kv, binary.LittleEndian, uint32(7))
		binary.Write(&w.kv, binary.LittleEndian, v)
	}
}

func (w *ggufWriter) tensor(name string, shape []int, kind uint32, data []byte) {
	w.ntensors++
	w.str(&w.infos, name)
	binary.Write(&w.infos, binary.LittleEndian, uint32(len(shape)))
	for _, d := range slices.Backward(shape) {
		binary.Write(&w.infos, binary.LittleEndian, uint64(d))
	}
	binary.Write(&w.infos, binary.LittleEndian, kind)
	binary.Write(&w.infos, binary.LittleEndian, uint64(w.data.Len()))
	w.data.Write(data)
	for w.data.Len()%32 != 0 {
		w.data.WriteByte(0)
	}
}

func (w *ggufWriter) bytes() []byte {
	var b bytes.Buffer
	b.WriteString("GGUF")
	binary.Write(&b, binary.LittleEndian, uint32(3))
	binary.Write(&b, binary.LittleEndian, w.ntensors)
	binary.Write(&b, binary.LittleEndian, w.nkv)
	b.Write(w.kv.Bytes())
	b.Write(w.infos.Bytes())
	for b.Len()%32 != 0 {
		b.WriteByte(0)
	}
	b.Write(w.data.Bytes())
	return b.Bytes()
}

// quantised returns random blocks of a type and the numbers that they stand for, by the formulas of the format.
func quantised(rng *rand.Rand, kind uint32, n int) (data []byte, x []float32) {
	half := func() ([]byte, float32) { // a small positive float16 that is exact
		h := uint16(0x2000 + rng.IntN(0x800))
		return binary.LittleEndian.AppendUint16(nil, h), float32(math.Ldexp(1+float64(h&0x3ff)/1024, int(h>>10)-15))
	}
	some := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}
	for len(x) < n {
		switch kind {
		case 0:
			v := float32(rng.NormFloat64() / 10)
			data, x = binary.LittleEndian.AppendUint32(data, math.Float32bits(v)), append(x, v)
		case 1, 30: // F16, BF16
			h, v := half()
			if kind == 30 {
				bits := uint16(0x3d00 + rng.IntN(0x80))
				h, v = binary.LittleEndian.AppendUint16(nil, bits), math.Float32frombits(uint32(bits)<<16)
			}
			data, x = append(data, h...), append(x, v)
		case 2, 3: // Q4_0: d(q − 8); Q4_1: d·q + m
			d, dv := half()
			data = append(data, d...)
			off := -8 * dv
			if kind == 3 {
				m, mv := half()
				data, off = append(data, m...), mv
			}
			q := some(16)
			data = append(data, q...)
			for _, shift := range []int{0, 4} {
				for _, b := range q {
					x = append(x, dv*float32(b>>shift&15)+off)
				}
			}
		case 8: // Q8_0: d·q
			d, dv := half()
			q := some(32)
			data = append(append(data, d...), q...)
			for _, b := range q {
				x = append(x, dv*float32(int8(b)))
			}
		case 12: // Q4_K: 8 groups of 32, d·scale·q − dmin·min
			d, dv := half()
			m, mv := half()
			sc, q := some(12), some(128)
			data = append(append(append(append(data, d...), m...), sc...), q...)
			for g := range 8 {
				var s, mn byte
				if g < 4 {
					s, mn = sc[g]&63, sc[g+4]&63
				} else {
					s, mn = sc[g+4]&15|sc[g-4]>>6<<4, sc[g+4]>>4|sc[g]>>6<<4
				}
				for i := range 32 {
					x = append(x, dv*float32(s)*float32(q[g/2*32+i]>>(g%2*4)&15)-mv*float32(mn))
				}
			}
		case 14: // Q6_K: 16 groups of 16, d·scale·(q − 32)
			ql, qh, sc := some(128), some(64), some(16)
			d, dv := half()
			data = append(append(append(append(data, ql...), qh...), sc...), d...)
			for k := range 256 {
				h, r := k/128, k%128
				part, l := r/32, r%32
				lo := ql[h*64+part%2*32+l] >> (part / 2 * 4) & 15
				hi := qh[h*32+l] >> (2 * part) & 3
				x = append(x, dv*float32(int8(sc[h*8+part*2+l/16]))*float32(int(lo|hi<<4)-32))
			}
		}
	}
	return data, x
}

// TestGGUFTypes writes models with random blocks of every type and reads them back.
func TestGGUFTypes(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 0))
	for name, kind := range map[string]uint32{"F32": 0, "F16": 1, "BF16": 30, "Q4_0": 2, "Q4_1": 3, "Q8_0": 8, "Q4_K": 12, "Q6_K": 14} {
		for _, arch := range []string{"llama", "gpt_neox"} {
			t.Run(name+"/"+arch, func(t *testing.T) { testGGUF(t, rng, kind, arch) })
		}
	}
}

func testGGUF(t *testing.T, rng *rand.Rand, kind uint32, arch string) {
	c := Config{Arch: arch, Width: 256, Layers: 2, Heads: 4, KVHeads: 2, FeedForward: 512, Vocab: 64, Context: 32, RotaryDim: 64, RotaryBase: 10000, NormEps: 1e-5, EOS: -1, BOS: -1, Parallel: arch != "llama"}
	if arch != "llama" {
		c.KVHeads, c.RotaryDim = 4, 16
	}
	model, err := New(c, 1)
	if err != nil {
		t.Fatal(err)
	}
	w := &ggufWriter{}
	prefix := strings.ReplaceAll(arch, "_", "") + "."
	w.set("general.architecture", prefix[:len(prefix)-1])
	for k, v := range map[string]int{"embedding_length": c.Width, "block_count": c.Layers, "attention.head_count": c.Heads, "attention.head_count_kv": c.KVHeads, "feed_forward_length": c.FeedForward, "context_length": c.Context, "rope.dimension_count": c.RotaryDim} {
		w.set(prefix+k, uint32(v))
	}
	w.set(prefix+"attention.layer_norm_epsilon", float32(1e-5))
	w.set(prefix+"attention.layer_norm_rms_epsilon", float32(1e-5))
	w.set(prefix+"use_parallel_residual", true)
	want := map[string][]float32{}
	for _, p := range model.Params() {
		k := kind
		if len(p.Shape) == 1 {
			k = 0
		}
		data, x := quantised(rng, k, p.Len())
		want[p.Name] = x
		w.tensor(ggufName(c.Arch, p.Name), p.Shape, k, data)
	}
	path := filepath.Join(t.TempDir(), "m.gguf")
	if err := os.WriteFile(path, w.bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	m, err := Load(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if m.Config != c {
		t.Errorf("config %+v, want %+v", m.Config, c)
	}
	for _, p := range m.Params() {
		x, D, data := want[p.Name], c.Width/c.Heads, p.Values()
		row := len(data) / p.Shape[0]
		for i := range data {
			at := i
			switch r := i / row; { // the file's order of rows
			case strings.HasSuffix(p.Name, "q_proj.weight"), strings.HasSuffix(p.Name, "k_proj.weight"): // adjacent pairs
				at = (r/D*D+r%D%(D/2)*2+r%D/(D/2))*row + i%row
			case strings.Contains(p.Name, "query_key_value"): // all queries, all keys, all values
				at = ((r/D%3*c.Heads+r/D/3)*D+r%D)*row + i%row
			}
			if data[i] != x[at] && math.Abs(float64(data[i]-x[at])) > 1e-6*math.Abs(float64(x[at])) {
				t.Fatalf("%s: element %d is %v, want %v", p.Name, i, data[i], x[at])
			}
		}
	}
	// a folder with one such file is that model; with two, one must be named
	if same, err := Load(t.Context(), filepath.Dir(path)); err != nil || same.NumParams() != m.NumParams() {
		t.Errorf("the folder: %v, %v", same, err)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(path), "other.gguf"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(t.Context(), filepath.Dir(path)); err == nil || !strings.Contains(err.Error(), "2 GGUF files") {
		t.Errorf("two files: %v", err)
	}
	// saved and loaded again, it is the same model
	dir := t.TempDir()
	if err := m.Save(dir); err != nil {
		t.Fatal(err)
	}
	back, err := Load(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range back.Params() {
		if !reflect.DeepEqual(p.Values(), m.Params()[i].Values()) {
			t.Fatalf("%s differs after saving", p.Name)
		}
	}
}

// TestGGUFErrors: broken files are errors that name the file and what is wrong.
func TestGGUFErrors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.gguf")
	load := func(b []byte) error {
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := Load(t.Context(), path)
		return err
	}
	w := &ggufWriter{}
	w.set("general.architecture", "mamba")
	if err := load(w.bytes()); err == nil || !strings.Contains(err.Error(), `"mamba"`) && !strings.Contains(err.Error(), "mamba.") {
		t.Errorf("another architecture: %v", err)
	}
	w = &ggufWriter{}
	w.set("general.architecture", "llama")
	if err := load(w.bytes()); err == nil || !strings.Contains(err.Error(), "llama.") || !strings.Contains(err.Error(), path) {
		t.Errorf("no fields: %v", err)
	}
	for k, v := range map[string]int{"embedding_length": 32, "block_count": 1, "attention.head_count": 2, "feed_forward_length": 32, "context_length": 8} {
		w.set("llama."+k, uint32(v))
	}
	w.set("llama.attention.layer_norm_rms_epsilon", float32(1e-5))
	w.tensor("token_embd.weight", []int{4, 32}, 0, make([]byte, 4*4*32))
	if err := load(w.bytes()); err == nil || !strings.Contains(err.Error(), "output_norm.weight") && !strings.Contains(err.Error(), "blk.0") {
		t.Errorf("missing tensors: %v", err)
	}
	if err := load(w.bytes()[:w.data.Len()]); err == nil {
		t.Error("a truncated file was loaded")
	}
}

func FuzzGGUF(f *testing.F) {
	w := &ggufWriter{}
	w.set("general.architecture", "llama")
	w.tensor("token_embd.weight", []int{4, 32}, 8, make([]byte, 4*34))
	f.Add(w.bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "m.gguf")
		if err := os.WriteFile(path, append([]byte("GGUF"), b...), 0o644); err != nil {
			t.Fatal(err)
		}
		_, _ = Load(t.Context(), path)
	})
}
