package reward

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"testing"

	"gobayes/bayesrm/internal/check"
	"gobayes/bayesrm/llm"
	"gobayes/bayesrm/optim"
	"gobayes/bayesrm/safetensors"
	"gobayes/bayesrm/train"
)

// loadGolden reads a PEFT adapter over the golden base model as a reward model.
func loadGolden(t *testing.T, adapter string) *Model {
	t.Helper()
	base, err := llm.Load(context.Background(), check.Data(t, "golden", "reward_base"))
	if err != nil {
		t.Fatal(err)
	}
	m := &Model{Base: base.Copy()}
	if m.Head, err = m.Base.LoadAdapter(check.Data(t, "golden", adapter)); err != nil {
		t.Fatal(err)
	}
	m.headGrad = make([]float32, len(m.Head))
	return m
}

// rows cuts padded rows to their real tokens.
func rows(ids, mask safetensors.Tensor) [][]int {
	var out [][]int
	T := ids.Shape[1]
	for b := range ids.Shape[0] {
		var s []int
		for i := range T {
			if mask.Data[b*T+i] != 0 {
				s = append(s, int(ids.Data[b*T+i]))
			}
		}
		out = append(out, s)
	}
	return out
}

// TestGolden compares rewards, the Bradley-Terry loss, gradients and a 20-step training run with PEFT (golden/README.md).
func TestGolden(t *testing.T) {
	base, err := safetensors.Read(check.Data(t, "golden", "reward_base", "golden.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	all := rows(base["input_ids"], base["attention_mask"]) // chosen and rejected of each pair in turn
	for _, name := range []string{"reward_lora_attn", "reward_lora_all_linear", "reward_lora_rslora_mlp"} {
		t.Run(name, func(t *testing.T) {
			m := loadGolden(t, name+"/adapter_initial")
			g, err := safetensors.Read(check.Data(t, "golden", name, "golden.safetensors"))
			if err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(check.Data(t, "golden", name, "golden.json"))
			if err != nil {
				t.Fatal(err)
			}
			var info struct {
				Head        bool    `json:"trains_score_head"`
				LR          float64 `json:"lr"`
				Betas       [2]float64
				Eps         float64
				WeightDecay float64 `json:"weight_decay"`
				Clip        float64 `json:"clip_grad_norm"`
				Warmup      int     `json:"warmup_steps"`
				Total       int     `json:"total_steps"`
				Loss        float64
				Margin      []float64
				WithMargin  float64 `json:"loss_with_margin"`
				Centre      float64 `json:"trl_center_coefficient"`
				Centred     float64 `json:"loss_centred"`
				L2          float64 `json:"loss_open_assistant_l2"`
				Trajectory  []struct {
					Pairs []int
					Loss  float64 `json:"loss_float64"`
				}
			}
			if err := json.Unmarshal(b, &info); err != nil {
				t.Fatal(err)
			}
			seqs := rows(g["input_ids"], g["attention_mask"]) // chosen first, then rejected
			n := len(seqs) / 2
			tr := &Trainer{Model: m, margins: make([]float64, len(all)/2)}
			var items []int
			for i := range n {
				tr.seqs = append(tr.seqs, seqs[i], seqs[n+i])
				items = append(items, i)
			}
			r, err := m.Rewards(context.Background(), seqs)
			if err != nil {
				t.Fatal(err)
			}
			var want []float64
			for _, v := range g["rewards"].Data {
				want = append(want, float64(v))
			}
			check.Close(t, "rewards", r, want, 2e-5, 0)
			loss, err := tr.Step(context.Background(), train.Step{Items: items, Weight: 1})
			if err != nil {
				t.Fatal(err)
			}
			check.Close(t, "loss", []float64{loss}, []float64{info.Loss}, 2e-6, 0)
			for _, a := range m.Base.LoRAs() {
				for _, p := range []*llm.Param{a.A, a.B} {
					check.Norm(t, p.Name, p.Grad, g["grad."+p.Name].Data, 2e-5)
				}
			}
			if info.Head {
				check.Norm(t, "head", m.headGrad, g["grad.score.weight"].Data, 2e-5)
			}

			variant := func(o Options, margins []float64) float64 {
				v := &Trainer{Model: m, seqs: tr.seqs, margins: margins}
				m.Options = o
				defer func() { m.Options = Options{} }()
				loss, err := v.Step(t.Context(), train.Step{Items: items, Weight: 1})
				if err != nil {
					t.Fatal(err)
				}
				return loss
			}
			none := make([]float64, n)
			check.Close(t, "loss with margins", []float64{variant(Options{}, info.Margin)}, []float64{info.WithMargin}, 2e-6, 0)
			check.Close(t, "centred loss", []float64{variant(Options{Centring: info.Centre}, none)}, []float64{info.Centred}, 2e-6, 0)
			check.Close(t, "loss with L2", []float64{variant(Options{L2: 0.001}, none)}, []float64{info.L2}, 2e-6, 0)

			tr.seqs = all
			params, grads := tr.Weights()
			if !info.Head {
				params, grads = params[:len(params)-1], grads[:len(grads)-1]
			}
			var sizes []int
			for _, p := range params {
				sizes = append(sizes, len(p))
			}
			opt := optim.NewAdamW(sizes, info.Betas[0], info.Betas[1], info.Eps, info.WeightDecay)
			lr := optim.Linear(info.LR, info.Warmup)
			for step, s := range info.Trajectory {
				for _, gr := range grads {
					clear(gr)
				}
				loss, err := tr.Step(context.Background(), train.Step{Items: s.Pairs, Weight: 1})
				if err != nil {
					t.Fatal(err)
				}
				check.Close(t, "trajectory", []float64{loss}, []float64{s.Loss}, 1e-4, 0)
				optim.Clip(grads, info.Clip)
				opt.Update(params, grads, lr(step, info.Total))
			}
			final, err := m.Rewards(context.Background(), all)
			if err != nil {
				t.Fatal(err)
			}
			var wantFinal []float64
			for _, v := range g["final_rewards_all_pairs"].Data {
				wantFinal = append(wantFinal, float64(v))
			}
			check.Close(t, "rewards after training", final, wantFinal, 1e-4, 0)
		})
	}
}

// TestJacobians: rows of J are the gradients that Backward accumulates for one sequence, whatever lies beside it.
func TestJacobians(t *testing.T) {
	m := loadGolden(t, "reward_lora_attn/adapter_initial")
	seqs := [][]int{{5, 9, 2, 0}, {7, 7, 11, 30, 41, 0}, {3, 0}}
	var acts llm.Acts
	r, J, err := m.Jacobians(t.Context(), &acts, seqs)
	if err != nil {
		t.Fatal(err)
	}
	P := m.NumWeights()
	for i, s := range seqs {
		one, J1, err := m.Jacobians(t.Context(), &acts, [][]int{s})
		if err != nil {
			t.Fatal(err)
		}
		check.Close(t, "reward alone", one, r[i:i+1], 1e-6, 0)
		check.Norm(t, "gradient alone", J1, J[i*P:(i+1)*P], 1e-6)
	}
	// central differences on a few weights
	a := m.Base.LoRAs()[1]
	f := func() float64 {
		r, err := m.Rewards(context.Background(), seqs[1:2])
		if err != nil {
			t.Fatal(err)
		}
		return r[0]
	}
	o := m.Base.LoRAs()[0].Len()
	check.Close(t, "A by differences", J[P+o:P+o+20], check.Grad(f, a.A.Data[:20], 1e-2), 2e-4, 1e-2)
	check.Close(t, "B by differences", J[P+o+len(a.A.Data):P+o+len(a.A.Data)+20], check.Grad(f, a.B.Data[:20], 1e-2), 2e-4, 1e-2)
}

// TestLossGradient: the gradient of the loss of a pair, with everything in it, by central differences; with noise q the loss of
// a pair is never above −log q.
func TestLossGradient(t *testing.T) {
	for _, o := range []Options{{}, {LabelSmoothing: 0.1}, {LabelNoise: 0.2}, {Centring: 0.3, L2: 0.2}, {LabelSmoothing: 0.1, LabelNoise: 0.1, Centring: 0.1}} {
		for _, r := range [][3]float64{{1, 0.3, 0}, {-2, 1.5, 0.7}, {4, -4, -1}} {
			const h = 1e-5
			at := func(w, l float64) float64 { v, _, _ := o.loss(w, l, r[2]); return v }
			_, dw, dl := o.loss(r[0], r[1], r[2])
			check.Close(t, "gradient", []float64{dw, dl}, []float64{(at(r[0]+h, r[1]) - at(r[0]-h, r[1])) / (2 * h), (at(r[0], r[1]+h) - at(r[0], r[1]-h)) / (2 * h)}, 1e-8, 1e-8)
		}
	}
	o := Options{LabelNoise: 0.25}
	if l, _, _ := o.loss(-50, 50, 0); l > -math.Log(0.25)+1e-9 {
		t.Errorf("loss %v with a quarter of the labels wrong", l)
	}
	for _, bad := range []Options{{LabelNoise: 0.5}, {LabelSmoothing: -1}, {L2: math.NaN()}} {
		if bad.check() == nil {
			t.Errorf("options %+v are accepted", bad)
		}
	}
}
