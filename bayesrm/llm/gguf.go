package llm

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes/bfloat16"
	"github.com/gomlx/compute/dtypes/float16"
	"github.com/gomlx/go-huggingface/models/gguf"
	"github.com/gomlx/gomlx/core/tensors"

	"gobayes/bayesrm/safetensors"
	"gobayes/bayesrm/tokenizer"
)

// ggufNames are GGUF's names of the weights, by the name in Hugging Face's models; %d is the layer.
var ggufNames = map[string][][2]string{
	"llama": {
		{"model.embed_tokens", "token_embd"}, {"model.norm", "output_norm"}, {"lm_head", "output"},
		{"model.layers.%d.input_layernorm", "blk.%d.attn_norm"}, {"model.layers.%d.post_attention_layernorm", "blk.%d.ffn_norm"},
		{"model.layers.%d.self_attn.q_proj", "blk.%d.attn_q"}, {"model.layers.%d.self_attn.k_proj", "blk.%d.attn_k"},
		{"model.layers.%d.self_attn.v_proj", "blk.%d.attn_v"}, {"model.layers.%d.self_attn.o_proj", "blk.%d.attn_output"},
		{"model.layers.%d.mlp.gate_proj", "blk.%d.ffn_gate"}, {"model.layers.%d.mlp.up_proj", "blk.%d.ffn_up"}, {"model.layers.%d.mlp.down_proj", "blk.%d.ffn_down"},
	},
	"gpt_neox": {
		{"gpt_neox.embed_in", "token_embd"}, {"gpt_neox.final_layer_norm", "output_norm"}, {"embed_out", "output"},
		{"gpt_neox.layers.%d.input_layernorm", "blk.%d.attn_norm"}, {"gpt_neox.layers.%d.post_attention_layernorm", "blk.%d.ffn_norm"},
		{"gpt_neox.layers.%d.attention.query_key_value", "blk.%d.attn_qkv"}, {"gpt_neox.layers.%d.attention.dense", "blk.%d.attn_output"},
		{"gpt_neox.layers.%d.mlp.dense_h_to_4h", "blk.%d.ffn_up"}, {"gpt_neox.layers.%d.mlp.dense_4h_to_h", "blk.%d.ffn_down"},
	},
}

// ggufFile reads values of one file; the first error stays.
type ggufFile struct {
	*gguf.File
	arch string
	err  error
}

// number returns the value ARCH.key, or the default d; without a default it must be there.
func (f *ggufFile) number(key string, d ...float64) float64 {
	kv, ok := f.GetKeyValue(f.arch + "." + key)
	if !ok {
		if len(d) == 0 && f.err == nil {
			f.err = fmt.Errorf("the field %s.%s is missing", f.arch, key)
		}
		return append(d, 0)[0]
	}
	switch v := kv.Raw().(type) {
	case float32:
		return float64(v)
	case float64:
		return v
	case bool:
		if v {
			return 1
		}
		return 0
	}
	return float64(kv.Int64())
}

func (f *ggufFile) size(key string, d ...float64) int {
	v := f.number(key, d...)
	if v < 0 || v > 1<<22 {
		if f.err == nil {
			f.err = fmt.Errorf("the field %s.%s is %v", f.arch, key, v)
		}
		return 0
	}
	return int(v)
}

// config reads the shape of the model.
func (f *ggufFile) config() (Config, error) {
	c := Config{Width: f.size("embedding_length"), Layers: f.size("block_count"), Heads: f.size("attention.head_count"), FeedForward: f.size("feed_forward_length"),
		Context: f.size("context_length"), RotaryBase: f.number("rope.freq_base", 10000), BOS: -1, EOS: -1}
	c.KVHeads = f.size("attention.head_count_kv", float64(c.Heads))
	switch f.arch {
	case "llama":
		c.Arch, c.NormEps = "llama", float32(f.number("attention.layer_norm_rms_epsilon"))
	case "gptneox":
		c.Arch, c.NormEps = "gpt_neox", float32(f.number("attention.layer_norm_epsilon"))
		c.Parallel = f.number("use_parallel_residual", 1) != 0
	default:
		return c, fmt.Errorf("architecture %q: llama and gptneox are known", f.arch)
	}
	if c.Heads > 0 {
		c.RotaryDim = f.size("rope.dimension_count", float64(c.Width/c.Heads))
		if k := f.size("attention.key_length", float64(c.Width/c.Heads)); k != c.Width/c.Heads {
			return c, fmt.Errorf("heads of %d in a width of %d with %d heads are not supported", k, c.Width, c.Heads)
		}
	}
	if f.err != nil {
		return c, f.err
	}
	if kv, ok := f.GetKeyValue(f.arch + ".rope.scaling.type"); ok && kv.String() != "none" {
		if kv.String() != "linear" {
			return c, fmt.Errorf("rope scaling %q: linear is known", kv.String())
		}
		c.Rope = &RopeScaling{Type: "linear", Factor: f.number("rope.scaling.factor")}
	}
	if _, ok := f.GetTensorInfo("rope_freqs.weight"); ok {
		return c, fmt.Errorf("a table of rotary frequencies (rope_freqs.weight) is not supported; use the Hugging Face folder of this model")
	}
	emb, ok := f.GetTensorInfo("token_embd.weight")
	if !ok || len(emb.Shape) != 2 {
		return c, fmt.Errorf("tensor token_embd.weight is missing")
	}
	if c.Vocab = int(emb.Shape[1]); emb.Shape[1] > 1<<22 {
		return c, fmt.Errorf("tensor token_embd.weight has shape %v", emb.Shape)
	}
	_, untied := f.GetTensorInfo("output.weight")
	c.TiedEmbed = !untied
	if kv, ok := f.GetKeyValue("tokenizer.ggml.eos_token_id"); ok {
		c.EOS = int(kv.Int64())
	}
	if kv, ok := f.GetKeyValue("tokenizer.ggml.bos_token_id"); ok && c.Arch == "llama" {
		c.BOS = int(kv.Int64())
	}
	return c, f.err
}

// loadGGUF reads a GGUF file: F32, F16, BF16 and quantised blocks, which become float32.
func loadGGUF(ctx context.Context, path string) (*Model, error) {
	m, err := readGGUF(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("llm: load %s: %w", path, err)
	}
	return m, nil
}

func readGGUF(ctx context.Context, path string) (*Model, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	file, err := gguf.Open(path)
	if err != nil {
		return nil, err
	}
	f := &ggufFile{File: file, arch: file.Architecture()}
	c, err := f.config()
	if err != nil {
		return nil, err
	}
	for _, t := range file.TensorInfos { // before anything is allocated
		n := uint64(1)
		for _, d := range t.Shape {
			if d == 0 || n > 1<<40/d {
				return nil, fmt.Errorf("tensor %s has shape %v", t.Name, t.Shape)
			}
			n *= d
		}
		if end := file.DataOffset() + int64(t.Offset) + t.NumBytes(); t.Offset > 1<<50 || t.NumBytes() < 0 || end > st.Size() {
			return nil, fmt.Errorf("tensor %s ends at byte %d, the file has %d", t.Name, end, st.Size())
		}
	}
	m, err := shape(c)
	if err != nil {
		return nil, err
	}
	r, err := gguf.NewReader(file)
	if err != nil {
		return nil, err
	}
	defer r.Close() //nolint:errcheck // only read
	err = m.fill(func(p *Param) (t safetensors.Tensor, ok bool, err error) {
		name := ggufName(c.Arch, p.Name)
		info, ok := file.GetTensorInfo(name)
		if !ok {
			return t, false, fmt.Errorf("tensor %s %v is missing", name, p.Shape)
		}
		x, err := r.ReadTensor(nil, name)
		if err != nil {
			return t, true, err
		}
		if t.Data, err = floats(x); err != nil {
			return t, true, fmt.Errorf("tensor %s of type %s: %w", name, info.Type, err)
		}
		for _, d := range slices.Backward(info.Shape) { // innermost first
			t.Shape = append(t.Shape, int(d))
		}
		if len(t.Data) != p.Len() {
			return t, true, nil // fill says so
		}
		switch base := p.Name[:strings.LastIndex(p.Name, ".")]; {
		case strings.HasSuffix(base, "q_proj"):
			halfSplit(t.Data, c.Heads, c.Width)
		case strings.HasSuffix(base, "k_proj"):
			halfSplit(t.Data, c.KVHeads, c.Width)
		case strings.HasSuffix(base, "query_key_value"):
			interleave(t.Data, c.Heads, len(t.Data)/(3*c.Width))
		}
		return t, true, ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	m.Template = plainTemplate
	return m, m.ggufVocabulary(file)
}

// ggufName translates the name of a parameter.
func ggufName(arch, name string) string {
	base, suffix := name[:strings.LastIndex(name, ".")], name[strings.LastIndex(name, "."):]
	layer := -1
	for _, n := range ggufNames[arch] {
		if strings.Contains(n[0], "%d") {
			if _, err := fmt.Sscanf(base, n[0][:strings.Index(n[0], "%d")+2], &layer); err != nil || fmt.Sprintf(n[0], layer) != base {
				continue
			}
			return fmt.Sprintf(n[1], layer) + suffix
		}
		if n[0] == base {
			return n[1] + suffix
		}
	}
	return name
}

// interleave reorders the fused projection from all queries, all keys, all values to GPT-NeoX's order: queries, keys and
// values of each head. Rows are n elements long.
func interleave(w []float32, heads, n int) {
	D := len(w) / n / heads / 3
	old := append([]float32{}, w...)
	for h := range heads {
		for part := range 3 {
			copy(w[(h*3+part)*D*n:(h*3+part+1)*D*n], old[(part*heads+h)*D*n:])
		}
	}
}

// floats converts a tensor to float32; one that is float32 gives its memory away.
func floats(t *tensors.Tensor) (out []float32, err error) {
	e := t.ConstFlatData(func(flat any) {
		switch x := flat.(type) {
		case []float32:
			out = x
		case []float16.Float16:
			out = make([]float32, len(x))
			for i, v := range x {
				out[i] = v.Float32()
			}
		case []bfloat16.BFloat16:
			out = make([]float32, len(x))
			for i, v := range x {
				out[i] = v.Float32()
			}
		default:
			err = fmt.Errorf("F32, F16, BF16 and quantised blocks can be read, not %T", flat)
		}
	})
	return out, errors.Join(err, e)
}

// ggufVocabulary reads tokenizer and chat template.
func (m *Model) ggufVocabulary(f *gguf.File) error {
	get := func(key string) gguf.Value {
		kv, _ := f.GetKeyValue("tokenizer." + key)
		return kv.Value
	}
	v := tokenizer.GGUF{Model: get("ggml.model").String(), Pre: get("ggml.pre").String(), Tokens: get("ggml.tokens").Strings(), Merges: get("ggml.merges").Strings(),
		Scores: get("ggml.scores").Float64s(), BOS: m.Config.BOS, AddSpacePrefix: true}
	if kv, ok := f.GetKeyValue("tokenizer.ggml.add_space_prefix"); ok {
		v.AddSpacePrefix = kv.Bool()
	}
	for _, t := range get("ggml.token_type").Int64s() {
		v.Types = append(v.Types, int(t))
	}
	if v.Pre == "" && m.Config.Arch == "gpt_neox" {
		v.Pre = "gpt-neox"
	}
	if len(v.Tokens) == 0 {
		return nil
	}
	var err error
	if m.Tokenizer, err = tokenizer.FromGGUF(v); err != nil {
		return err
	}
	if m.Tokenizer.Size() > m.Config.Vocab {
		return fmt.Errorf("the tokenizer has %d tokens, the model %d", m.Tokenizer.Size(), m.Config.Vocab)
	}
	return m.setChat(get("chat_template").String())
}

// isGGUF looks at the first bytes of a file.
func isGGUF(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	b := make([]byte, 4)
	n, _ := f.Read(b)
	return string(b[:n]) == "GGUF"
}

// finite names the first element that is no number.
func finite(x []float32) error {
	for i, v := range x {
		if v != v || math.IsInf(float64(v), 0) {
			return fmt.Errorf("element %d is %v", i, v)
		}
	}
	return nil
}
