package llm

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"gobayes/bayesrm/nn"
	"gobayes/bayesrm/tensor"
)

// GenerateOptions configure Generate. A nil *GenerateOptions, and every zero field, mean the default.
type GenerateOptions struct {
	// Samples is the number of answers to the prompt. Default 1.
	Samples int
	// MaxTokens is the most tokens of an answer. Default: what the context leaves.
	MaxTokens int
	// Temperature divides the logits. Default 1. Greedy decoding has a field of its own.
	Temperature float64
	// Greedy takes the likeliest token each time; one sample is all there is then.
	Greedy bool
	// Seed starts one stream of random numbers per answer: an answer does not depend on how many are drawn beside it.
	Seed uint64
	// First is the number of the first answer, for drawing the answers of one seed in several calls.
	First int
}

// Generate continues a prompt, which is read once for all answers. Each answer ends with the end token, if it came.
func (m *Model) Generate(ctx context.Context, prompt []int, opts *GenerateOptions) ([][]int, error) {
	o := GenerateOptions{}
	if opts != nil {
		o = *opts
	}
	if o.Samples <= 0 {
		o.Samples = 1
	}
	if o.Temperature == 0 {
		o.Temperature = 1
	}
	room := m.Config.Context - len(prompt)
	if o.MaxTokens <= 0 || o.MaxTokens > room {
		o.MaxTokens = room
	}
	if o.MaxTokens <= 0 {
		return nil, fmt.Errorf("llm: generate: the prompt has %d tokens and the context is %d", len(prompt), m.Config.Context)
	}
	if m.unembed == nil {
		return nil, fmt.Errorf("llm: generate: the model has no output projection")
	}
	d, err := m.newDecoder(prompt, o.Samples, o.MaxTokens)
	if err != nil {
		return nil, err
	}
	out := make([][]int, o.Samples)
	rngs := make([]*rand.Rand, o.Samples)
	for i := range rngs {
		rngs[i] = rand.New(rand.NewPCG(o.Seed, uint64(o.First+i)))
	}
	active := make([]int, o.Samples)
	for i := range active {
		active[i] = i
	}
	V := m.Config.Vocab
	logits := m.Logits(d.last)
	first := logits
	for step := range o.MaxTokens {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("llm: generate: stopped after %d of %d tokens: %w", step, o.MaxTokens, err)
		}
		next := make([]int, len(active))
		tensor.Parallel(len(active), func(k int) {
			l := append([]float32{}, first...) // the first token of every answer has the same logits
			if step > 0 {
				l = logits[k*V : (k+1)*V]
			}
			if o.Greedy {
				next[k] = argmax(l)
			} else {
				next[k] = draw(l, o.Temperature, rngs[active[k]])
			}
		})
		var keep, ids []int
		for k, i := range active {
			out[i] = append(out[i], next[k])
			if next[k] != m.Config.EOS {
				keep = append(keep, i)
				ids = append(ids, next[k])
			}
		}
		active = keep
		if len(active) == 0 || step == o.MaxTokens-1 {
			break
		}
		logits = m.Logits(d.step(active, ids, step))
	}
	return out, nil
}

func argmax(l []float32) int {
	best := 0
	for i, v := range l {
		if v > l[best] {
			best = i
		}
	}
	return best
}

// draw returns the smallest id whose cumulative probability exceeds a uniform number. It overwrites l.
func draw(l []float32, temperature float64, rng *rand.Rand) int {
	if temperature != 1 {
		t := float32(1 / temperature)
		for i := range l {
			l[i] *= t
		}
	}
	tensor.Softmax(l)
	u := rng.Float64()
	var c float64
	for i, p := range l {
		if c += float64(p); c > u {
			return i
		}
	}
	return argmax(l)
}

// decoder holds the keys and values of a prompt, and of the answers to it.
type decoder struct {
	m      *Model
	P, max int
	prompt *Acts       // one forward pass of the prompt
	k, v   [][]float32 // per layer: answers' keys and values [samples, max, KV·D]
	last   []float32   // hidden state after the prompt [C]
}

func (m *Model) newDecoder(prompt []int, samples, maxTokens int) (*decoder, error) {
	d := &decoder{m: m, P: len(prompt), max: maxTokens, prompt: &Acts{}}
	if err := m.Forward(d.prompt, Pack([][]int{prompt})); err != nil {
		return nil, err
	}
	C := m.Config.Width
	d.last = d.prompt.Hidden[(d.P-1)*C : d.P*C]
	kv := m.heads.KV * m.heads.D
	for range m.blocks {
		d.k = append(d.k, make([]float32, samples*maxTokens*kv))
		d.v = append(d.v, make([]float32, samples*maxTokens*kv))
	}
	return d, nil
}

// step reads one token of each active answer (the t-th of each) and returns their hidden states [len(active), C].
func (d *decoder) step(active, ids []int, t int) []float32 {
	m, n := d.m, len(active)
	c, hs := m.Config, d.m.heads
	C, F := c.Width, c.FeedForward
	kv := hs.KV * hs.D
	x := make([]float32, n*C)
	for k, id := range ids {
		copy(x[k*C:(k+1)*C], m.embed.Data[id*C:(id+1)*C])
	}
	h, mean, rstd := make([]float32, n*C), make([]float32, n), make([]float32, n)
	att, res := make([]float32, n*C), make([]float32, n*C)
	up, gate, act := make([]float32, n*F), make([]float32, n*F), make([]float32, n*F)
	q, kk, vv := make([]float32, n*hs.QRow), make([]float32, n*hs.KRow), make([]float32, n*hs.VRow)
	var la layerActs
	for l, blk := range m.blocks {
		blk.norm1.apply(h, mean, rstd, x)
		if blk.qkv != nil {
			blk.qkv.apply(q, h, n, &la)
			kk, vv = q, q
		} else {
			blk.q.apply(q, h, n, &la)
			blk.k.apply(kk, h, n, &la)
			blk.v.apply(vv, h, n, &la)
		}
		pl := &d.prompt.layers[l]
		tensor.Parallel((n+7)/8, func(part int) {
			scores := make([]float32, d.P+t+1)
			for k := part * 8; k < min(part*8+8, n); k++ {
				m.rotateRow(q[k*hs.QRow:(k+1)*hs.QRow], kk[k*hs.KRow:(k+1)*hs.KRow], d.P+t, false)
				slot := (active[k]*d.max + t) * kv
				for g := range hs.KV {
					copy(d.k[l][slot+g*hs.D:slot+(g+1)*hs.D], kk[k*hs.KRow+hs.K(g):])
					copy(d.v[l][slot+g*hs.D:slot+(g+1)*hs.D], vv[k*hs.VRow+hs.V(g):])
				}
				d.attend(att[k*C:(k+1)*C], scores, q[k*hs.QRow:(k+1)*hs.QRow], pl, l, active[k], t)
			}
		})
		blk.dense.apply(res, att, n, &la)
		tensor.Axpy(res, 1, x)
		in := res
		if c.Parallel {
			in = x
		}
		blk.norm2.apply(h, mean, rstd, in)
		blk.up.apply(up, h, n, &la)
		if blk.gate != nil {
			blk.gate.apply(gate, h, n, &la)
			nn.SwiGLU(act, gate, up)
		} else {
			nn.GELU(act, up)
		}
		blk.down.apply(x, act, n, &la)
		tensor.Axpy(x, 1, res)
	}
	m.final.apply(h, mean, rstd, x)
	return h
}

// attend computes the attention of one row over the prompt and the answer so far.
func (d *decoder) attend(out, scores, q []float32, pl *layerActs, layer, sample, t int) {
	hs := d.m.heads
	kv := hs.KV * hs.D
	scale := float32(1 / math.Sqrt(float64(hs.D)))
	own := sample * d.max * kv
	for h := range hs.H {
		g := h * hs.KV / hs.H
		qh := q[hs.Q(h) : hs.Q(h)+hs.D]
		for j := range d.P {
			at := j*hs.KRow + hs.K(g)
			scores[j] = scale * tensor.Dot(qh, pl.k[at:at+hs.D])
		}
		for j := range t + 1 {
			at := own + j*kv + g*hs.D
			scores[d.P+j] = scale * tensor.Dot(qh, d.k[layer][at:at+hs.D])
		}
		tensor.Softmax(scores)
		o := out[h*hs.D : (h+1)*hs.D]
		clear(o)
		for j := range d.P {
			at := j*hs.VRow + hs.V(g)
			tensor.Axpy(o, scores[j], pl.v[at:at+hs.D])
		}
		for j := range t + 1 {
			at := own + j*kv + g*hs.D
			tensor.Axpy(o, scores[d.P+j], d.v[layer][at:at+hs.D])
		}
	}
}
