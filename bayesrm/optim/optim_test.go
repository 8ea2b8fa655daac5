package optim

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"gobayes/bayesrm/internal/check"
)

// TestGolden compares AdamW and the schedules with PyTorch and transformers (golden/tables/optimisers.json).
func TestGolden(t *testing.T) {
	b, err := os.ReadFile(check.Data(t, "golden", "tables", "optimisers.json"))
	if err != nil {
		t.Fatal(err)
	}
	var g struct {
		AdamW []struct {
			Name  string
			LR    float64
			Betas [2]float64
			Eps   float64
			Decay float64     `json:"weight_decay"`
			Clip  *float64    `json:"clip_grad_norm"`
			After [][]float32 `json:"float32_after_25"`
			Norms []float64   `json:"grad_norms"`
		}
		Schedules map[string][]float64
		Initial   [][]float32
		Gradients [][][]float32
	}
	if err := json.Unmarshal(b, &g); err != nil {
		t.Fatal(err)
	}
	for _, c := range g.AdamW {
		switch c.Name {
		case "adam_l2", "sgd_momentum": // other optimisers
			continue
		case "adamw_default": // PyTorch's defaults
			c.Betas, c.Eps, c.Decay = [2]float64{0.9, 0.999}, 1e-8, 0.01
		}
		t.Run(c.Name, func(t *testing.T) {
			var params [][]float32
			var sizes []int
			for _, p := range g.Initial {
				params = append(params, append([]float32{}, p...))
				sizes = append(sizes, len(p))
			}
			o := NewAdamW(sizes, c.Betas[0], c.Betas[1], c.Eps, c.Decay)
			for k, grads := range g.Gradients {
				var gs [][]float32
				for _, x := range grads {
					gs = append(gs, append([]float32{}, x...))
				}
				if c.Clip != nil {
					norm := Clip(gs, *c.Clip)
					check.Close(t, "norm", []float64{norm}, []float64{c.Norms[k]}, 0, 1e-6)
				}
				o.Update(params, gs, c.LR)
			}
			for i, p := range params {
				check.Close(t, fmt.Sprint("parameter ", i), p, c.After[i], 2e-6, 2e-6) // float32 in another order
			}
		})
	}
	n := 0
	for name, want := range g.Schedules {
		var warmup, total int
		kind, rest, _ := strings.Cut(name, "_")
		if _, err := fmt.Sscanf(rest, "warmup%d_total%d", &warmup, &total); err != nil {
			t.Fatal(err)
		}
		s := Linear(1, warmup)
		if kind == "cosine" {
			s = Cosine(1, warmup)
		}
		var got []float64
		for i := range want {
			got = append(got, s(i, total))
		}
		check.Close(t, name, got, want, 1e-12, 1e-12)
		n++
	}
	if n < 6 {
		t.Errorf("%d schedules compared", n)
	}
}
