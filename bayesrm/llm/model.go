// Package llm holds GPT-NeoX and Llama language models: load, forward, backward, LoRA, generate.
//
// Sequences of different lengths lie end to end in one packed batch, with no padding anywhere.
package llm

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"

	"gobayes/bayesrm/nn"
	"gobayes/bayesrm/tensor"
	"gobayes/bayesrm/tokenizer"
)

// Config is the shape of a model.
type Config struct {
	Arch        string // "gpt_neox" or "llama"
	Width       int    // C
	Layers      int    // L
	Heads       int    // H
	KVHeads     int    // key/value heads; equal to Heads but for grouped queries
	FeedForward int    // F
	Vocab       int    // V
	Context     int    // longest sequence, in tokens
	RotaryDim   int    // rotated part of each head
	RotaryBase  float64
	Rope        *RopeScaling // nil: none
	NormEps     float32
	GELUTanh    bool // GPT-NeoX: the tanh approximation of GELU instead of the exact one
	Parallel    bool // GPT-NeoX: attention and MLP read the same input
	TiedEmbed   bool // the output projection is the embedding
	EOS         int  // token that ends a text
	BOS         int  // token that starts a text, -1 for none
}

// RopeScaling stretches the rotary embedding to longer texts than the model was first trained on.
type RopeScaling struct {
	Type   string // "linear": positions are divided by Factor; "llama3": low frequencies are, as Llama 3.1 does
	Factor float64
	// LowFreq and HighFreq bound, as Original divided by a wavelength, where "llama3" goes from one to the other.
	LowFreq, HighFreq, Original float64
}

// frequency scales one frequency of the rotary embedding.
func (r *RopeScaling) frequency(f float64) float64 {
	switch {
	case r == nil:
		return f
	case r.Type == "linear":
		return f / r.Factor
	}
	turns := r.Original * f / (2 * math.Pi)
	switch {
	case turns < r.LowFreq:
		return f / r.Factor
	case turns > r.HighFreq:
		return f
	}
	s := (turns - r.LowFreq) / (r.HighFreq - r.LowFreq)
	return (1-s)*f/r.Factor + s*f
}

// Param is a weight with its gradient.
type Param struct {
	Name  string // as Hugging Face names it
	Shape []int
	// Data is the weight. A matrix that is not trained is laid out for products when it is first used, and Data is nil then:
	// Values gives a copy.
	Data []float32
	Grad []float32 // nil while the parameter is frozen

	packing sync.Mutex
	packed  *tensor.Packed
}

func newParam(name string, shape ...int) *Param {
	p := &Param{Name: name, Shape: shape}
	p.allocate()
	return p
}

func (p *Param) allocate() { p.Data = make([]float32, p.Len()) }

// Len is the number of elements.
func (p *Param) Len() int {
	n := 1
	for _, d := range p.Shape {
		n *= d
	}
	return n
}

// Values is the weight; the slice may be a copy.
func (p *Param) Values() []float32 {
	p.packing.Lock()
	defer p.packing.Unlock()
	if p.packed != nil {
		return p.packed.Unpack()
	}
	return p.Data
}

// pack lays out a matrix for products and gives up Data.
func (p *Param) pack() *tensor.Packed {
	p.packing.Lock()
	defer p.packing.Unlock()
	if p.packed == nil {
		p.packed = tensor.Pack(p.Data, p.Shape[0], p.Shape[1])
		p.Data = nil
	}
	return p.packed
}

// unpack makes Data the weight again.
func (p *Param) unpack() {
	p.packing.Lock()
	defer p.packing.Unlock()
	if p.packed != nil {
		p.Data, p.packed = p.packed.Unpack(), nil
	}
}

// multiply computes y = x·Wᵀ, or y += x·Wᵀ with add, for the matrix W [Out, In].
func (p *Param) multiply(y, x []float32, N int, add bool) {
	if p.Grad != nil {
		tensor.MatMulNT(y, x, p.Data, N, p.Shape[0], p.Shape[1], add)
		return
	}
	p.pack().MatMul(y, x, N, add)
}

// multiplyBack computes y = x·W, or y += x·W with add.
func (p *Param) multiplyBack(y, x []float32, N int, add bool) {
	if p.Grad != nil {
		tensor.MatMulNN(y, x, p.Data, N, p.Shape[1], p.Shape[0], add)
		return
	}
	p.pack().MatMulNN(y, x, N, add)
}

// rows copies the rows of W that ids name to y: the embedding of tokens.
func (p *Param) rows(y []float32, ids []int) {
	C := p.Shape[1]
	if p.Grad != nil {
		for n, id := range ids {
			copy(y[n*C:(n+1)*C], p.Data[id*C:(id+1)*C])
		}
		return
	}
	w := p.pack()
	tensor.Parallel(len(ids), func(n int) { w.Row(y[n*C:(n+1)*C], ids[n]) })
}

// Linear is y = x·Wᵀ + b, with W [Out, In], and the low-rank addition s·(x·Aᵀ)·Bᵀ when it carries a LoRA.
type Linear struct {
	Name    string
	W, Bias *Param // Bias may be nil
	LoRA    *LoRA
	Out, In int
}

// LoRA is the trainable part of a linear layer: A [R, In], B [Out, R], s = α/R (paper eq. 5).
type LoRA struct {
	A, B  *Param
	R     int
	Scale float32
	// Dropout is the probability that an element of the input is left out while training.
	Dropout float64
	index   int // among the model's LoRAs
}

// norm is a layer norm, or an RMS norm when B is nil.
type norm struct {
	w, b *Param
	eps  float32
}

type block struct {
	norm1, norm2   norm
	qkv            *Linear // GPT-NeoX
	q, k, v        *Linear // Llama
	dense          *Linear
	up, gate, down *Linear // gate is nil for GPT-NeoX
}

// Model is a language model. Its weights may be shared by several copies made with Copy.
type Model struct {
	Config    Config
	Tokenizer tokenizer.Tokenizer // nil for a model loaded without one
	Template  Template

	embed, unembed *Param // unembed is embed when tied, nil for a model without one
	blocks         []*block
	final          norm
	rotary         *nn.Rotary
	heads          nn.Heads
	chat           *chat  // nil: none that is known
	source         string // as given to Load
}

// Source is what Load was given, empty for a model that was made here.
func (m *Model) Source() string { return m.source }

// Template says how a prompt and an answer become one text: Prompt + prompt + Answer + answer, and then EOS.
type Template struct {
	Prompt string `json:"prompt"`
	Answer string `json:"answer"`
}

// New returns a model of the given shape with random weights: matrices and embeddings N(0, 0.02²), the projections into
// the residual stream divided by √(2L), norms 1, biases 0.
func New(c Config, seed uint64) (*Model, error) {
	m, err := build(c)
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(seed, 0x6c6c6d))
	for _, p := range m.Params() {
		if len(p.Shape) < 2 {
			continue
		}
		std := 0.02
		if p.Shape[0] == c.Width && p != m.embed && p != m.unembed {
			std /= math.Sqrt(2 * float64(c.Layers))
		}
		for i := range p.Data {
			p.Data[i] = float32(rng.NormFloat64() * std)
		}
	}
	return m, nil
}

// build allocates a model; norms are 1, everything else 0.
func build(c Config) (*Model, error) {
	m, err := shape(c)
	if err != nil {
		return nil, err
	}
	for _, p := range m.Params() {
		p.allocate()
	}
	norms := []norm{m.final}
	for _, b := range m.blocks {
		norms = append(norms, b.norm1, b.norm2)
	}
	for _, n := range norms {
		for i := range n.w.Data {
			n.w.Data[i] = 1
		}
	}
	return m, nil
}

// shape makes a model whose weights have no data yet.
func shape(c Config) (*Model, error) {
	if c.Width <= 0 || c.Layers <= 0 || c.Heads <= 0 || c.Vocab <= 0 || c.FeedForward <= 0 || c.Context <= 0 || c.Width%c.Heads != 0 || c.KVHeads <= 0 || c.Heads%c.KVHeads != 0 {
		return nil, fmt.Errorf("llm: config %+v: sizes must be positive and Width a multiple of Heads", c)
	}
	if c.Width > 1<<16 || c.FeedForward > 1<<18 || c.Layers > 1<<10 || c.Vocab > 1<<22 || c.Context > 1<<24 {
		return nil, fmt.Errorf("llm: config %+v: sizes beyond what any model has", c)
	}
	D := c.Width / c.Heads
	if c.RotaryDim < 0 || c.RotaryDim%2 != 0 || c.RotaryDim > D {
		return nil, fmt.Errorf("llm: config: %d rotary dimensions of a head of %d: must be even and at most the head", c.RotaryDim, D)
	}
	m := &Model{Config: c, rotary: nn.NewRotary(c.RotaryDim, c.RotaryBase, c.Rope.frequency)}
	neox := c.Arch == "gpt_neox"
	if !neox && c.Arch != "llama" {
		return nil, fmt.Errorf("llm: model type %q: only gpt_neox and llama are known", c.Arch)
	}
	param := func(name string, shape ...int) *Param { return &Param{Name: name, Shape: shape} }
	newNorm := func(name string) norm {
		n := norm{w: param(name+".weight", c.Width), eps: c.NormEps}
		if neox {
			n.b = param(name+".bias", c.Width)
		}
		return n
	}
	linear := func(name string, out, in int) *Linear {
		l := &Linear{Name: name, W: param(name+".weight", out, in), Out: out, In: in}
		if neox {
			l.Bias = param(name+".bias", out)
		}
		return l
	}
	kv := c.KVHeads * D
	if neox {
		m.embed = param("gpt_neox.embed_in.weight", c.Vocab, c.Width)
		m.unembed = param("embed_out.weight", c.Vocab, c.Width)
		m.heads = nn.Heads{H: c.Heads, KV: c.Heads, D: D, QRow: 3 * c.Width, KRow: 3 * c.Width, VRow: 3 * c.Width,
			Q: func(h int) int { return h * 3 * D }, K: func(h int) int { return h*3*D + D }, V: func(h int) int { return h*3*D + 2*D }}
	} else {
		m.embed = param("model.embed_tokens.weight", c.Vocab, c.Width)
		m.unembed = param("lm_head.weight", c.Vocab, c.Width)
		col := func(h int) int { return h * D }
		m.heads = nn.Heads{H: c.Heads, KV: c.KVHeads, D: D, QRow: c.Width, KRow: kv, VRow: kv, Q: col, K: col, V: col}
	}
	if c.TiedEmbed {
		m.unembed = m.embed
	}
	for l := range c.Layers {
		b := &block{}
		if neox {
			p := fmt.Sprintf("gpt_neox.layers.%d.", l)
			b.norm1, b.norm2 = newNorm(p+"input_layernorm"), newNorm(p+"post_attention_layernorm")
			b.qkv = linear(p+"attention.query_key_value", 3*c.Width, c.Width)
			b.dense = linear(p+"attention.dense", c.Width, c.Width)
			b.up = linear(p+"mlp.dense_h_to_4h", c.FeedForward, c.Width)
			b.down = linear(p+"mlp.dense_4h_to_h", c.Width, c.FeedForward)
		} else {
			p := fmt.Sprintf("model.layers.%d.", l)
			b.norm1, b.norm2 = newNorm(p+"input_layernorm"), newNorm(p+"post_attention_layernorm")
			b.q, b.k, b.v = linear(p+"self_attn.q_proj", c.Width, c.Width), linear(p+"self_attn.k_proj", kv, c.Width), linear(p+"self_attn.v_proj", kv, c.Width)
			b.dense = linear(p+"self_attn.o_proj", c.Width, c.Width)
			b.gate, b.up = linear(p+"mlp.gate_proj", c.FeedForward, c.Width), linear(p+"mlp.up_proj", c.FeedForward, c.Width)
			b.down = linear(p+"mlp.down_proj", c.Width, c.FeedForward)
		}
		m.blocks = append(m.blocks, b)
	}
	m.final = newNorm(map[bool]string{true: "gpt_neox.final_layer_norm", false: "model.norm"}[neox])
	return m, nil
}

// linears lists the linear layers of a block in a fixed order.
func (b *block) linears() []*Linear {
	var ls []*Linear
	for _, l := range b.slots() {
		if *l != nil {
			ls = append(ls, *l)
		}
	}
	return ls
}

// slots are the places of a block's linear layers; some are nil.
func (b *block) slots() []**Linear {
	return []**Linear{&b.qkv, &b.q, &b.k, &b.v, &b.dense, &b.gate, &b.up, &b.down}
}

// Linears lists the model's linear layers, the output projection left out.
func (m *Model) Linears() []*Linear {
	var ls []*Linear
	for _, b := range m.blocks {
		ls = append(ls, b.linears()...)
	}
	return ls
}

// weights are the places of the base weights of the layers from the given one on, with the embedding before layer 0, and of
// what follows the layers. Some layers and models have fewer.
func (m *Model) weights(from int) (ps []**Param) {
	add := func(p **Param) {
		if *p != nil {
			ps = append(ps, p)
		}
	}
	if from < 0 {
		add(&m.embed)
	}
	for _, b := range m.blocks[max(0, from):] {
		for _, n := range []*norm{&b.norm1, &b.norm2} {
			add(&n.w)
			add(&n.b)
		}
		for _, l := range b.linears() {
			add(&l.W)
			add(&l.Bias)
		}
	}
	add(&m.final.w)
	add(&m.final.b)
	if m.unembed != m.embed {
		add(&m.unembed)
	}
	return ps
}

// Params lists the base weights, LoRA left out, each once.
func (m *Model) Params() (ps []*Param) {
	for _, p := range m.weights(-1) {
		ps = append(ps, *p)
	}
	return ps
}

// Copy returns a model that shares the base weights but has LoRA of its own (none yet).
func (m *Model) Copy() *Model {
	c := *m
	c.blocks = nil
	for _, b := range m.blocks {
		nb := *b
		for _, l := range nb.slots() {
			if *l != nil {
				nl := **l
				nl.LoRA = nil
				*l = &nl
			}
		}
		c.blocks = append(c.blocks, &nb)
	}
	return &c
}

// Shares says whether two models have the same base weights in memory, as Copy leaves them.
func (m *Model) Shares(other *Model) bool {
	return slices.Equal(m.Params(), other.Params())
}

// join returns the first layer with a LoRA in any of the members, and the LoRA that each has on each linear layer of the first.
func join(members []*Model) (fork int, loras map[*Linear][]*LoRA, err error) {
	loras = map[*Linear][]*LoRA{}
	fork = len(members[0].blocks)
	for k, m := range members {
		if !m.Shares(members[0]) {
			return 0, nil, fmt.Errorf("llm: forward: member %d of %d does not share the base weights of the first; run it by itself", k, len(members))
		}
		for i, blk := range members[0].blocks {
			own := m.blocks[i].linears()
			for j, l := range blk.linears() {
				loras[l] = append(loras[l], own[j].LoRA)
				if own[j].LoRA != nil {
					fork = min(fork, i)
				}
			}
		}
	}
	return fork, loras, nil
}

// Clone returns a model with base weights of its own, and no LoRA.
func (m *Model) Clone() *Model {
	c := m.Copy()
	c.source = "" // it is about to become another model
	tied := c.unembed == c.embed
	for _, p := range c.weights(-1) {
		*p = (*p).clone()
	}
	if tied {
		c.unembed = c.embed
	}
	return c
}

// Fingerprint is a hash of all base weights: models that differ in one have others.
func (m *Model) Fingerprint() string {
	h := sha256.New()
	var b []byte
	for _, p := range m.Params() {
		for w := range slices.Chunk(p.Values(), 1<<14) {
			b = b[:0]
			for _, v := range w {
				b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
			}
			h.Write(b)
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:16])
}

func (p *Param) clone() *Param {
	return &Param{Name: p.Name, Shape: p.Shape, Data: slices.Clone(p.Values())}
}

// EncodePrompt returns the tokens of a prompt in the model's template, up to where the answer begins.
func (m *Model) EncodePrompt(prompt string) ([]int, error) {
	if m.Tokenizer == nil {
		return nil, fmt.Errorf("llm: encode: the model has no tokenizer; load one from a folder with tokenizer.json")
	}
	ids, err := m.Tokenizer.Encode(m.Template.Prompt + prompt + m.Template.Answer)
	if err != nil {
		return nil, err
	}
	if m.Config.BOS >= 0 {
		ids = append([]int{m.Config.BOS}, ids...)
	}
	return ids, nil
}

// NumParams is the number of base weights.
func (m *Model) NumParams() int {
	n := 0
	for _, p := range m.Params() {
		n += p.Len()
	}
	return n
}

// String names the architecture, its size and where it came from.
func (m *Model) String() string {
	s := fmt.Sprintf("%s model: %d parameters, %d layers, width %d, %d tokens", m.Config.Arch, m.NumParams(), m.Config.Layers, m.Config.Width, m.Config.Vocab)
	if m.source != "" {
		s += ", from " + filepath.Base(m.source)
	}
	return s
}
