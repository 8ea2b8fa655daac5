package llm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"

	"gobayes/bayesrm/tensor"
)

// AddLoRA puts a LoRA of rank r on every linear layer whose name ends in one of targets, as PEFT names them
// ("query_key_value", "q_proj"; "all-linear" is every one), and returns them in model order. A ~ U(−1/√in, 1/√in), B = 0; s = alpha/r. Gradients
// are allocated; the base weights stay frozen. It is an error if no layer matches.
func (m *Model) AddLoRA(targets []string, r int, alpha float64, seed uint64) ([]*LoRA, error) {
	if r <= 0 {
		return nil, fmt.Errorf("llm: LoRA: rank %d: must be positive", r)
	}
	rng := rand.New(rand.NewPCG(seed, 0x6c6f7261))
	var all []*LoRA
	var names []string
	for _, l := range m.Linears() {
		names = append(names, l.Name)
		for _, t := range targets {
			if t != "all-linear" && l.Name != t && !strings.HasSuffix(l.Name, "."+t) {
				continue
			}
			a := &LoRA{A: newParam(l.Name+".lora_A.weight", r, l.In), B: newParam(l.Name+".lora_B.weight", l.Out, r), R: r, Scale: float32(alpha / float64(r)), index: len(all)}
			bound := 1 / math.Sqrt(float64(l.In))
			for i := range a.A.Data {
				a.A.Data[i] = float32((2*rng.Float64() - 1) * bound)
			}
			a.A.Grad, a.B.Grad = make([]float32, len(a.A.Data)), make([]float32, len(a.B.Data))
			l.LoRA = a
			all = append(all, a)
			break
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("llm: LoRA: no linear layer is named like %v; the first layers are %v", targets, names[:min(len(names), 7)])
	}
	return all, nil
}

// Merge returns a model with weights of its own to which the LoRA parts are added, W + s·B·A, and no LoRA.
func (m *Model) Merge() *Model {
	c := m.Clone()
	to := c.Linears()
	for i, l := range m.Linears() {
		if a := l.LoRA; a != nil {
			b := make([]float32, len(a.B.Data))
			tensor.Axpy(b, a.Scale, a.B.Data)
			tensor.MatMulNN(to[i].W.Data, b, a.A.Data, l.Out, l.In, a.R, true)
		}
	}
	return c
}

// LoRAs lists the model's LoRA parts in model order.
func (m *Model) LoRAs() []*LoRA {
	var all []*LoRA
	for _, l := range m.Linears() {
		if l.LoRA != nil {
			all = append(all, l.LoRA)
		}
	}
	return all
}

// DefaultTargets are the layers that LoRA goes on when none are named: the fused attention of GPT-NeoX, queries and
// values of Llama (PEFT's defaults).
func (m *Model) DefaultTargets() []string {
	if m.Config.Arch == "gpt_neox" {
		return []string{"query_key_value"}
	}
	return []string{"q_proj", "v_proj"}
}

// Len is the number of weights of the LoRA.
func (a *LoRA) Len() int { return len(a.A.Data) + len(a.B.Data) }

// drop writes y = mask·x/(1−p), or adds that to y. The mask is a function of the seed, the LoRA and the element.
func (a *LoRA) drop(y, x []float32, seed uint64, add bool) {
	keep := float32(1 / (1 - a.Dropout))
	limit := uint64(a.Dropout * (1 << 32))
	const block = 1 << 12
	tensor.Parallel((len(x)+block-1)/block, func(k int) {
		rng := rand.NewPCG(seed, uint64(a.index)<<40|uint64(k))
		for i := k * block; i < min(len(x), (k+1)*block); i += 2 {
			r := rng.Uint64()
			for j, bits := i, r; j < min(i+2, len(x)); j, bits = j+1, bits>>32 {
				v := float32(0)
				if bits&(1<<32-1) >= limit {
					v = keep * x[j]
				}
				if add {
					v += y[j]
				}
				y[j] = v
			}
		}
	})
}
