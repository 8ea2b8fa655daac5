package llm

import (
	"context"
	"strings"
	"testing"

	"gobayes/bayesrm/internal/check"
	"gobayes/bayesrm/safetensors"
)

// TestGolden compares logits, hidden states, loss and the gradient of every weight with transformers (golden/README.md).
func TestGolden(t *testing.T) {
	for _, tt := range []struct {
		name   string
		logits float64 // absolute tolerance; the tied Llama's logits reach 21
	}{{"neox_parallel", 2e-5}, {"neox_sequential", 2e-5}, {"llama_gqa_untied", 2e-5}, {"llama_gqa_tied", 4e-5}} {
		t.Run(tt.name, func(t *testing.T) {
			dir := check.Data(t, "golden", tt.name)
			m, err := Load(context.Background(), dir)
			if err != nil {
				t.Fatal(err)
			}
			g, err := safetensors.Read(dir + "/golden.safetensors")
			if err != nil {
				t.Fatal(err)
			}
			ids, mask, logits := g["right.input_ids"], g["right.attention_mask"], g["right.logits"]
			B, T, V, C := ids.Shape[0], ids.Shape[1], m.Config.Vocab, m.Config.Width
			var seqs [][]int
			var targets []int
			var want, hidden []float32
			for b := range B {
				var s []int
				for i := range T {
					if mask.Data[b*T+i] == 0 {
						break
					}
					s = append(s, int(ids.Data[b*T+i]))
					want = append(want, logits.Data[(b*T+i)*V:(b*T+i+1)*V]...)
					hidden = append(hidden, g["right.last_hidden"].Data[(b*T+i)*C:(b*T+i+1)*C]...)
				}
				seqs = append(seqs, s)
				targets = append(append(targets, s[1:]...), -1)
			}
			var acts Acts
			for _, frozen := range []bool{false, true} {
				m.Train(!frozen)
				if err := m.Forward(t.Context(), &acts, Pack(seqs), nil); err != nil {
					t.Fatal(err)
				}
				check.Close(t, "hidden", acts.Hidden, hidden, tt.logits, 0)
				check.Close(t, "logits", m.Logits(acts.Hidden), want, tt.logits, 0)
			}
			m.Train(true)
			loss, err := m.LMLoss(t.Context(), &acts, Pack(seqs), targets, 1)
			if err != nil {
				t.Fatal(err)
			}
			check.Close(t, "loss", []float64{loss}, []float64{float64(g["right.loss"].Data[0])}, 0, 2e-6)
			n := 0
			for _, p := range m.Params() {
				name := p.Name
				if name == "embed_out.weight" {
					name = "lm_head.weight" // its name inside transformers 5; the file keeps the old one
				}
				w, ok := g["grad."+name]
				if !ok {
					t.Errorf("no golden gradient of %s", p.Name)
					continue
				}
				n++
				check.Norm(t, p.Name, p.Grad, w.Data, 2e-5)
			}
			for name := range g {
				if strings.HasPrefix(name, "grad.") {
					n--
				}
			}
			if n != 0 {
				t.Errorf("%d golden gradients were not compared", -n)
			}
		})
	}
}
