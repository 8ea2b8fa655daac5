package llm

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"gobayes/bayesrm/safetensors"
	"gobayes/bayesrm/tokenizer"
)

// Load reads a model: a Hugging Face folder (config.json, model.safetensors or its shards, or PyTorch's
// pytorch_model.bin, tokenizer.json), a GGUF file, a
// folder or file in llama2.c's format (stories260K.bin with tok512.bin beside it), or hf:ORG/NAME and hf:ORG/NAME/FILE.gguf from
// Hugging Face's hub, which is asked only for what its local cache lacks. HF_TOKEN, HF_HOME, HF_HUB_CACHE, HF_ENDPOINT and
// HF_HUB_OFFLINE mean what they mean to its own tools.
//
// A missing or misshapen tensor, a NaN and an unknown architecture are errors that name what was expected and found.
func Load(ctx context.Context, path string) (*Model, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("llm: load %s: %w", path, err)
	}
	source := path
	path, err := locate(ctx, path)
	if err != nil {
		return nil, err
	}
	st, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("llm: load: %w; give a folder with config.json and model.safetensors, a GGUF file, a llama2.c .bin file, or hf:ORG/NAME", err)
	}
	var m *Model
	bins, _ := filepath.Glob(filepath.Join(path, "*.bin")) // a wrong pattern is the only error
	ggufs, _ := filepath.Glob(filepath.Join(path, "*.gguf"))
	switch {
	case isGGUF(path):
		m, err = loadGGUF(ctx, path)
	case !st.IsDir():
		m, err = loadLlama2C(path)
	case exists(filepath.Join(path, "config.json")):
		m, err = loadFolder(ctx, path)
	case len(ggufs) == 1:
		m, err = loadGGUF(ctx, ggufs[0])
	case len(ggufs) > 1:
		err = fmt.Errorf("llm: load %s: the folder has %d GGUF files; name one", path, len(ggufs))
	case len(bins) > 0:
		for _, b := range bins {
			if !strings.HasPrefix(filepath.Base(b), "tok") {
				m, err = loadLlama2C(b)
			}
		}
	default:
		err = fmt.Errorf("llm: load %s: no config.json, .gguf or .bin file in the folder", path)
	}
	if err != nil {
		return nil, err
	}
	m.source = source
	return m, nil
}

// locate is where a model lies: path itself, or where the hub's cache has hf:ORG/NAME.
func locate(ctx context.Context, path string) (string, error) {
	if name, ok := strings.CutPrefix(path, "hf:"); ok {
		return hubPath(ctx, name)
	}
	return path, nil
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

// hfConfig is the part of config.json that is used, in the spellings of transformers 4 and 5.
type hfConfig struct {
	ModelType     string   `json:"model_type"`
	Hidden        int      `json:"hidden_size"`
	Layers        int      `json:"num_hidden_layers"`
	Heads         int      `json:"num_attention_heads"`
	KVHeads       int      `json:"num_key_value_heads"`
	HeadDim       int      `json:"head_dim"`
	Intermediate  int      `json:"intermediate_size"`
	Vocab         int      `json:"vocab_size"`
	Context       int      `json:"max_position_embeddings"`
	LayerNormEps  *float64 `json:"layer_norm_eps"`
	RMSNormEps    *float64 `json:"rms_norm_eps"`
	HiddenAct     string   `json:"hidden_act"`
	AttentionBias *bool    `json:"attention_bias"`
	MLPBias       bool     `json:"mlp_bias"`
	Parallel      *bool    `json:"use_parallel_residual"`
	Tied          bool     `json:"tie_word_embeddings"`
	EOS           any      `json:"eos_token_id"`
	BOS           *int     `json:"bos_token_id"`
	RotaryPct     *float64 `json:"rotary_pct"`
	RotaryBase    *float64 `json:"rotary_emb_base"`
	RopeTheta     *float64 `json:"rope_theta"`
	RopeScaling   *hfRope  `json:"rope_scaling"`
	Rope          *hfRope  `json:"rope_parameters"`
}

// hfRope is rope_scaling of transformers 4, or rope_parameters of 5.
type hfRope struct {
	Theta    *float64 `json:"rope_theta"`
	Partial  *float64 `json:"partial_rotary_factor"`
	Type     string   `json:"rope_type"`
	OldType  string   `json:"type"`
	Factor   float64  `json:"factor"`
	LowFreq  float64  `json:"low_freq_factor"`
	HighFreq float64  `json:"high_freq_factor"`
	Original float64  `json:"original_max_position_embeddings"`
}

// scaling reads what is known and refuses the rest.
func (r *hfRope) scaling() (*RopeScaling, error) {
	kind := r.Type
	if kind == "" {
		kind = r.OldType
	}
	s := &RopeScaling{Type: kind, Factor: r.Factor, LowFreq: r.LowFreq, HighFreq: r.HighFreq, Original: r.Original}
	switch kind {
	case "", "default":
		return nil, nil
	case "linear":
		if r.Factor > 0 {
			return s, nil
		}
	case "llama3":
		if r.Factor > 0 && r.LowFreq > 0 && r.HighFreq > r.LowFreq && r.Original > 0 {
			return s, nil
		}
	default:
		return nil, fmt.Errorf("rope_scaling: rope_type %q: default, linear and llama3 are known", kind)
	}
	return nil, fmt.Errorf("rope_scaling of type %q is incomplete: %+v", kind, *r)
}

func (h hfConfig) config() (Config, error) {
	c := Config{Arch: h.ModelType, Width: h.Hidden, Layers: h.Layers, Heads: h.Heads, KVHeads: h.KVHeads, FeedForward: h.Intermediate, Vocab: h.Vocab,
		Context: h.Context, RotaryBase: 10000, NormEps: 1e-5, TiedEmbed: h.Tied, EOS: -1, BOS: -1}
	if c.Heads == 0 {
		return c, errors.New("num_attention_heads is missing")
	}
	if c.KVHeads == 0 {
		c.KVHeads = c.Heads
	}
	D := c.Width / c.Heads
	if h.HeadDim != 0 && h.HeadDim != D {
		return c, fmt.Errorf("head_dim %d is not hidden_size / num_attention_heads = %d", h.HeadDim, D)
	}
	partial := 1.0
	switch h.ModelType {
	case "gpt_neox":
		partial = 0.25
		c.Parallel = h.Parallel == nil || *h.Parallel
		switch h.HiddenAct {
		case "gelu":
		case "gelu_new", "gelu_fast", "gelu_pytorch_tanh":
			c.GELUTanh = true
		default:
			return c, fmt.Errorf("hidden_act %q: gelu, gelu_new, gelu_fast and gelu_pytorch_tanh are known for gpt_neox", h.HiddenAct)
		}
		if h.AttentionBias != nil && !*h.AttentionBias {
			return c, fmt.Errorf("attention_bias false: only gpt_neox with biases is supported")
		}
		if h.LayerNormEps != nil {
			c.NormEps = float32(*h.LayerNormEps)
		}
	case "llama":
		if h.HiddenAct != "silu" {
			return c, fmt.Errorf("hidden_act %q: only silu is supported for llama", h.HiddenAct)
		}
		if h.AttentionBias != nil && *h.AttentionBias || h.MLPBias {
			return c, fmt.Errorf("attention_bias or mlp_bias true: only llama without biases is supported")
		}
		if h.RMSNormEps != nil {
			c.NormEps = float32(*h.RMSNormEps)
		}
	default:
		return c, fmt.Errorf("model_type %q: only gpt_neox and llama are known", h.ModelType)
	}
	for _, b := range []*float64{h.RotaryBase, h.RopeTheta} {
		if b != nil {
			c.RotaryBase = *b
		}
	}
	if h.RotaryPct != nil {
		partial = *h.RotaryPct
	}
	for _, r := range []*hfRope{h.RopeScaling, h.Rope} {
		if r == nil {
			continue
		}
		var err error
		if c.Rope, err = r.scaling(); err != nil {
			return c, err
		}
		if r.Theta != nil {
			c.RotaryBase = *r.Theta
		}
		if r.Partial != nil {
			partial = *r.Partial
		}
	}
	c.RotaryDim = int(float64(D) * partial)
	switch e := h.EOS.(type) {
	case float64:
		c.EOS = int(e)
	case []any:
		if len(e) > 0 {
			if f, ok := e[0].(float64); ok {
				c.EOS = int(f)
			}
		}
	}
	if h.BOS != nil && h.ModelType == "llama" {
		c.BOS = *h.BOS
	}
	return c, nil
}

func readConfig(dir string) (Config, error) {
	name := filepath.Join(dir, "config.json")
	b, err := os.ReadFile(name)
	if err != nil {
		return Config{}, err
	}
	var h hfConfig
	if err := json.Unmarshal(b, &h); err != nil {
		return Config{}, fmt.Errorf("%s: %w", name, err)
	}
	c, err := h.config()
	if err != nil {
		return c, fmt.Errorf("%s: %w", name, err)
	}
	return c, nil
}

func loadFolder(ctx context.Context, dir string) (*Model, error) {
	c, err := readConfig(dir)
	if err != nil {
		return nil, fmt.Errorf("llm: load: %w", err)
	}
	w, err := openWeights(dir)
	if err != nil {
		return nil, fmt.Errorf("llm: load: %w", err)
	}
	defer w.close()
	m, err := shape(c)
	if err == nil {
		err = m.fill(func(p *Param) (t safetensors.Tensor, ok bool, err error) {
			t, ok, err = w.Tensor(p.Name)
			return t, ok, errors.Join(err, ctx.Err())
		})
	}
	if err == nil {
		err = m.readText(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("llm: load %s: %w", dir, err)
	}
	return m, nil
}

// readText reads the tokenizer and the templates of a folder, as far as it has them.
func (m *Model) readText(dir string) error {
	m.Template = plainTemplate
	own := filepath.Join(dir, "template.json")
	if exists(own) {
		b, err := os.ReadFile(own)
		if err == nil {
			err = json.Unmarshal(b, &m.Template)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", own, err)
		}
	}
	template, err := chatTemplate(dir)
	if err == nil && !exists(own) {
		err = m.setChat(template)
	}
	if err != nil {
		return err
	}
	if t := filepath.Join(dir, "tokenizer.json"); exists(t) {
		if m.Tokenizer, err = tokenizer.Load(t); err != nil {
			return err
		}
		if m.Tokenizer.Size() > m.Config.Vocab {
			return fmt.Errorf("the tokenizer has %d tokens, the model %d", m.Tokenizer.Size(), m.Config.Vocab)
		}
	}
	return nil
}

// chatTemplate reads the chat template of a folder, "" for none.
func chatTemplate(dir string) (string, error) {
	if b, err := os.ReadFile(filepath.Join(dir, "chat_template.jinja")); err == nil {
		return string(b), nil
	}
	b, err := os.ReadFile(filepath.Join(dir, "tokenizer_config.json"))
	if err != nil {
		return "", nil
	}
	var c struct {
		Template any `json:"chat_template"`
	}
	if err := json.Unmarshal(b, &c); err != nil {
		return "", fmt.Errorf("tokenizer_config.json: %w", err)
	}
	s, _ := c.Template.(string)
	return s, nil
}

// plainTemplate is used for models that bring none.
var plainTemplate = Template{Answer: "\n\n"}

// collectAbove is how much may be read between two collections of garbage while loading: reading makes as much again.
const collectAbove = 16 << 20

// fill reads the weights one at a time and lays out the matrices, so that little more than the model is ever in memory. A
// model without an output projection (a reward model's body) keeps none.
func (m *Model) fill(get func(p *Param) (t safetensors.Tensor, ok bool, err error)) error {
	read := 0
	for _, p := range m.Params() {
		t, ok, err := get(p)
		switch {
		case err != nil:
			return err
		case !ok && p == m.unembed:
			m.unembed = nil
			continue
		case !ok:
			return fmt.Errorf("tensor %s %v is missing", p.Name, p.Shape)
		case fmt.Sprint(t.Shape) != fmt.Sprint(p.Shape):
			return fmt.Errorf("tensor %s has shape %v, want %v", p.Name, t.Shape, p.Shape)
		}
		if err := finite(t.Data); err != nil {
			return fmt.Errorf("tensor %s: %w", p.Name, err)
		}
		p.Data = t.Data
		if len(p.Shape) == 2 {
			p.pack()
		}
		if read += 4 * p.Len(); read > collectAbove {
			read = 0
			runtime.GC()
		}
	}
	return nil
}

// Save writes the model as a Hugging Face folder that transformers opens: config.json, model.safetensors, and the
// tokenizer and template if it has them.
func (m *Model) Save(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("llm: save: %w", err)
	}
	c := m.Config
	h := map[string]any{
		"model_type": c.Arch, "hidden_size": c.Width, "num_hidden_layers": c.Layers, "num_attention_heads": c.Heads, "intermediate_size": c.FeedForward,
		"vocab_size": c.Vocab, "max_position_embeddings": c.Context, "tie_word_embeddings": c.TiedEmbed, "torch_dtype": "float32",
	}
	if c.EOS >= 0 {
		h["eos_token_id"] = c.EOS
	}
	if c.Arch == "gpt_neox" {
		h["architectures"] = []string{"GPTNeoXForCausalLM"}
		h["hidden_act"], h["use_parallel_residual"], h["layer_norm_eps"] = "gelu", c.Parallel, c.NormEps
		if c.GELUTanh {
			h["hidden_act"] = "gelu_new"
		}
		h["rotary_pct"], h["rotary_emb_base"] = float64(c.RotaryDim)/float64(c.Width/c.Heads), c.RotaryBase
	} else {
		h["architectures"] = []string{"LlamaForCausalLM"}
		h["hidden_act"], h["rms_norm_eps"], h["num_key_value_heads"], h["rope_theta"] = "silu", c.NormEps, c.KVHeads, c.RotaryBase
		if c.BOS >= 0 {
			h["bos_token_id"] = c.BOS
		}
	}
	if r := c.Rope; r != nil {
		scaling := map[string]any{"rope_type": r.Type, "factor": r.Factor}
		if r.Type == "llama3" {
			scaling["low_freq_factor"], scaling["high_freq_factor"], scaling["original_max_position_embeddings"] = r.LowFreq, r.HighFreq, int(r.Original)
		}
		h["rope_scaling"] = scaling
	}
	b, err := json.MarshalIndent(h, "", "  ")
	if err != nil {
		return fmt.Errorf("llm: save %s: %w", dir, err)
	}
	if err := safetensors.WriteFile(filepath.Join(dir, "config.json"), append(b, '\n')); err != nil {
		return err
	}
	if b, err = json.Marshal(m.Template); err != nil {
		return fmt.Errorf("llm: save %s: %w", dir, err)
	}
	if err := safetensors.WriteFile(filepath.Join(dir, "template.json"), append(b, '\n')); err != nil {
		return err
	}
	if t, ok := m.Tokenizer.(interface{ Save(path string) error }); ok {
		if err := t.Save(filepath.Join(dir, "tokenizer.json")); err != nil {
			return err
		}
	}
	ts := map[string]safetensors.Tensor{}
	for _, p := range m.Params() {
		if p != nil {
			ts[p.Name] = safetensors.Tensor{Shape: p.Shape, Data: p.Values()}
		}
	}
	return safetensors.Write(filepath.Join(dir, "model.safetensors"), ts, map[string]string{"format": "pt"})
}

// loadLlama2C reads llama2.c's format: seven int32, then float32 tensors. Query and key rows are permuted from adjacent
// pairs to the half-split rotary form.
func loadLlama2C(path string) (*Model, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("llm: load: %w", err)
	}
	if len(b) < 28 {
		return nil, fmt.Errorf("llm: load %s: %d bytes are no llama2.c model", path, len(b))
	}
	h := make([]int, 7)
	for i := range h {
		h[i] = int(int32(binary.LittleEndian.Uint32(b[4*i:])))
	}
	vocab := h[5]
	c := Config{Arch: "llama", Width: h[0], FeedForward: h[1], Layers: h[2], Heads: h[3], KVHeads: h[4], Vocab: max(vocab, -vocab), Context: h[6], RotaryBase: 10000, NormEps: 1e-5, TiedEmbed: vocab > 0, EOS: 2, BOS: 1}
	if c.Heads <= 0 {
		return nil, fmt.Errorf("llm: load %s: sizes %v are no llama2.c header", path, h)
	}
	c.RotaryDim = c.Width / c.Heads
	m, err := shape(c)
	if err != nil {
		return nil, fmt.Errorf("llm: load %s: %w", path, err)
	}
	if n := 28 + 4*m.NumParams(); n > len(b) {
		return nil, fmt.Errorf("llm: load %s: the file ends at byte %d, want at least %d", path, len(b), n)
	}
	for _, p := range m.Params() {
		p.allocate()
	}
	at := 28
	read := func(dst []float32) {
		if err != nil {
			return
		}
		if at+4*len(dst) > len(b) {
			err = fmt.Errorf("llm: load %s: the file ends at byte %d, want at least %d", path, len(b), at+4*len(dst))
			return
		}
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[at:]))
			at += 4
		}
	}
	each := func(f func(*block) *Param) {
		for _, blk := range m.blocks {
			read(f(blk).Data)
		}
	}
	read(m.embed.Data)
	each(func(b *block) *Param { return b.norm1.w })
	each(func(b *block) *Param { return b.q.W })
	each(func(b *block) *Param { return b.k.W })
	each(func(b *block) *Param { return b.v.W })
	each(func(b *block) *Param { return b.dense.W })
	each(func(b *block) *Param { return b.norm2.w })
	each(func(b *block) *Param { return b.gate.W })
	each(func(b *block) *Param { return b.down.W })
	each(func(b *block) *Param { return b.up.W })
	read(m.final.w.Data)
	if !c.TiedEmbed {
		at += 4 * 2 * c.Context * (c.Width / c.Heads) / 2
		read(m.unembed.Data)
	}
	if err != nil {
		return nil, err
	}
	for _, blk := range m.blocks {
		halfSplit(blk.q.W.Data, c.Heads, c.Width)
		halfSplit(blk.k.W.Data, c.KVHeads, c.Width)
	}
	if toks, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "tok*.bin")); len(toks) > 0 {
		t, err := tokenizer.LoadLlama2C(toks[0], c.Vocab)
		if err != nil {
			return nil, err
		}
		m.Tokenizer = t
	}
	m.Template = plainTemplate
	return m, nil
}

// halfSplit reorders the rows of each head from (0, 1), (2, 3), … to 0, 2, …, 1, 3, ….
func halfSplit(w []float32, heads, in int) {
	D := len(w) / in / heads
	t := make([]float32, D*in)
	for h := range heads {
		src := w[h*D*in : (h+1)*D*in]
		copy(t, src)
		for i := range D / 2 {
			copy(src[i*in:(i+1)*in], t[2*i*in:(2*i+1)*in])
			copy(src[(i+D/2)*in:(i+D/2+1)*in], t[(2*i+1)*in:(2*i+2)*in])
		}
	}
}
