package ppo

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"gobayes/bayesrm"
	"gobayes/bayesrm/internal/check"
	"gobayes/bayesrm/llm"
	"gobayes/bayesrm/penalty"
	"gobayes/bayesrm/progress"
	"gobayes/bayesrm/tokenizer"
	"gobayes/bayesrm/train"
)

// TestGolden compares the arithmetic with PyTorch's on a batch of four answers.
func TestGolden(t *testing.T) {
	b, err := os.ReadFile(check.Data(t, "golden", "ppo.json"))
	if err != nil {
		t.Fatal(err)
	}
	var g struct {
		Beta, Gamma, Lambda, Clip float64
		ValueClip                 float64 `json:"value_clip"`
		VF                        float64 `json:"vf_coef"`
		Lengths                   []int
		Old                       [][]float64 `json:"old_logprobs"`
		Ref                       [][]float64 `json:"ref_logprobs"`
		New                       [][]float64 `json:"new_logprobs"`
		OldValues                 [][]float64 `json:"old_values"`
		NewValues                 [][]float64 `json:"new_values"`
		Rewards                   [][]float64 `json:"token_rewards"`
		Whitened                  [][]float64 `json:"advantages_whitened_ddof1"`
		GradLogP                  [][]float64 `json:"grad_new_logprobs"`
		GradValues                [][]float64 `json:"grad_new_values"`
		Scores                    []float64
		Advantages, Returns       [][]float64
		PolicyLoss                float64            `json:"policy_loss"`
		ValueLoss                 float64            `json:"value_loss"`
		ClipFraction              float64            `json:"policy_clip_fraction"`
		KL                        map[string]float64 `json:"kl_estimators_of_new"`
		Controller                []struct {
			KL, Target, Beta float64
			Horizon          int
			N                int     `json:"n_steps"`
			New              float64 `json:"new_beta"`
		} `json:"adaptive_controller"`
		RLOO struct{ Rewards, Advantages [][]float64 }
	}
	if err := json.Unmarshal(b, &g); err != nil {
		t.Fatal(err)
	}
	const tol = 1e-12
	var advantages, returns [][]float64
	tokens := 0.0
	for i, n := range g.Lengths {
		r := tokenRewards(g.Old[i][:n], g.Ref[i][:n], K1, g.Beta, g.Scores[i])
		check.Close(t, "token rewards", r, g.Rewards[i][:n], tol, 0)
		a, ret := GAE(r, g.OldValues[i][:n], g.Gamma, g.Lambda)
		check.Close(t, "advantages", a, g.Advantages[i][:n], tol, 0)
		check.Close(t, "returns", ret, g.Returns[i][:n], tol, 0)
		advantages, returns = append(advantages, a), append(returns, ret)
		tokens += float64(n)
	}
	Whiten(advantages)
	var policy, value, clips, k1, k2, k3 float64
	for i, n := range g.Lengths {
		check.Close(t, "whitened", advantages[i], g.Whitened[i][:n], tol, 0)
		for k := range n {
			l, d, clipped := policyLoss(g.New[i][k], g.Old[i][k], advantages[i][k], g.Clip)
			check.Close(t, "∂/∂logp", []float64{d / tokens}, []float64{g.GradLogP[i][k]}, tol, 0)
			vl, dv := valueLoss(g.NewValues[i][k], g.OldValues[i][k], returns[i][k], g.ValueClip)
			check.Close(t, "∂/∂V", []float64{g.VF * dv / tokens}, []float64{g.GradValues[i][k]}, tol, 0)
			policy, value = policy+l/tokens, value+vl/tokens
			if clipped {
				clips += 1 / tokens
			}
			ratio := g.New[i][k] - g.Ref[i][k]
			k1, k2, k3 = k1+K1.KL(ratio)/tokens, k2+K2.KL(ratio)/tokens, k3+K3.KL(ratio)/tokens
		}
	}
	check.Close(t, "policy loss, value loss, clipped share", []float64{policy, value, clips}, []float64{g.PolicyLoss, g.ValueLoss, g.ClipFraction}, tol, 0)
	check.Close(t, "k1, k2, k3", []float64{k1, k2, k3}, []float64{g.KL["k1"], g.KL["k2"], g.KL["k3"]}, tol, 0)
	for _, c := range g.Controller {
		now := Controller{c.Beta, c.Target, c.Horizon}
		now.Update(c.KL, c.N)
		check.Close(t, "β", []float64{now.Beta}, []float64{c.New}, tol, 0)
	}
	for i, r := range g.RLOO.Rewards {
		check.Close(t, "leave one out", LeaveOneOut(r), g.RLOO.Advantages[i], tol, 0)
	}
}

var words = []string{"<eos>", "go", "a", "b", "c", "d"}

// small is a model of one or two layers over six words.
func small(t *testing.T, arch string, layers int) *llm.Model {
	t.Helper()
	m, err := llm.New(llm.Config{Arch: arch, Width: 16, Layers: layers, Heads: 2, KVHeads: 2, FeedForward: 32, Vocab: len(words), Context: 12,
		RotaryDim: 8, RotaryBase: 10000, NormEps: 1e-5, EOS: 0, BOS: -1}, 5)
	if err != nil {
		t.Fatal(err)
	}
	m.Tokenizer = tokenizer.NewWords(words)
	return m
}

// count rewards by the words of an answer, and is less sure the more there are.
type count map[string]float64

func (c count) Score(_ context.Context, _ string, answers []string) ([]bayesrm.Belief, error) {
	out := make([]bayesrm.Belief, len(answers))
	for i, a := range answers {
		for _, w := range strings.Fields(a) {
			out[i].Mean += c[w]
			out[i].Var++
		}
	}
	return out, nil
}

// TestBandit: with one token to choose and a fixed β, the best policy is π_ref·exp(r/β), and both algorithms find it.
func TestBandit(t *testing.T) {
	if testing.Short() {
		t.Skip("learns for seconds")
	}
	ref := small(t, "gpt_neox", 1)
	reward := count{"a": 1, "b": 0.5, "c": -1, "d": 0.2}
	const beta = 0.4
	at := func(m *llm.Model) []float64 {
		acts := llm.Acts{Inference: true}
		if err := m.Forward(t.Context(), &acts, llm.Pack([][]int{{1}}), nil); err != nil {
			t.Fatal(err)
		}
		p := make([]float64, len(words))
		var z float64
		for i, l := range m.Logits(acts.Hidden) {
			p[i] = math.Exp(float64(l))
			z += p[i]
		}
		for i := range p {
			p[i] /= z
		}
		return p
	}
	want := at(ref)
	var z float64
	for i, w := range words {
		want[i] *= math.Exp(reward[w] / beta)
		z += want[i]
	}
	for i := range want {
		want[i] /= z
	}
	for name, f := range map[string]func(context.Context, *llm.Model, []string, bayesrm.Scorer, *Options) (*Result, error){"PPO": Train, "RLOO": TrainRLOO} {
		r, err := f(t.Context(), ref, []string{"go"}, reward, &Options{Iterations: 300, Batch: 128, MaxTokens: 1, KL: beta, FixedKL: true, LearningRate: 3e-3, Seed: 1, Gold: reward})
		if err != nil {
			t.Fatal(name, err)
		}
		check.Close(t, name+": π", at(r.Policy), want, 0.03, 0)
		first, last := r.Stats[0], r.Stats[len(r.Stats)-1]
		if last.Gold < first.Gold+0.3 || last.KL < 0.1 || first.KL != 0 || last.Beta != beta {
			t.Errorf("%s: %+v, then %+v", name, first, last)
		}
	}
}

// TestGradient compares the gradient of the whole loss with central differences, for every kind of trained weight.
func TestGradient(t *testing.T) {
	if testing.Short() {
		t.Skip("thousands of passes")
	}
	for name, tt := range map[string]struct {
		arch string
		h    float32
		o    Options
	}{
		"last layer": {"gpt_neox", 5e-4, Options{LastLayers: 1}},
		"LoRA":       {"llama", 2e-3, Options{Rank: 2, Targets: []string{"all-linear"}}},
	} {
		o := tt.o
		o.Batch, o.MaxTokens, o.Seed, o.KeepOffset, o.Clip, o.ValueClip = 6, 5, 3, true, 9, 9 // no kinks: TestGolden has them
		m := small(t, tt.arch, 2)
		for _, p := range m.Params() { // attention that attends: else the gradients of queries and keys are lost in rounding
			if len(p.Shape) == 2 {
				for i := range p.Data {
					p.Data[i] *= 12
				}
			}
		}
		tr, err := newTrainer(m, []string{"go", "go a"}, count{"a": 1, "b": -1}, &o, false)
		if err != nil {
			t.Fatal(err)
		}
		if err := tr.Stage(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		params, grads := tr.Weights()
		for i, p := range params { // away from where π = π_old and B = 0
			for k := range p {
				p[k] += 0.05 * float32(math.Sin(float64(7*k+i)))
			}
		}
		items := []int{0, 1, 2, 3, 4, 5}
		loss := func() float64 {
			l, err := tr.Step(t.Context(), train.Step{Items: items, Weight: 1})
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		loss()
		for i, g := range grads {
			grads[i] = append([]float32{}, g...)
		}
		for i, p := range params {
			check.Norm(t, name, grads[i], check.Grad(loss, p, tt.h), 0.02)
		}
	}
}

// TestParts: a batch in parts gives the gradients of the whole when all answers are equally long.
func TestParts(t *testing.T) {
	tr, err := newTrainer(small(t, "gpt_neox", 1), []string{"go"}, count{"a": 1}, &Options{Batch: 8, MaxTokens: 1, Seed: 2}, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.Stage(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	var all [2][]float32
	for k, parts := range [][][]int{{{0, 1, 2, 3, 4, 5, 6, 7}}, {{0, 1}, {2, 3}, {4, 5}, {6, 7}}} {
		_, grads := tr.Weights()
		for _, g := range grads {
			clear(g)
		}
		for _, p := range parts {
			if _, err := tr.Step(t.Context(), train.Step{Items: p, Weight: 1 / float64(len(parts))}); err != nil {
				t.Fatal(err)
			}
		}
		for _, g := range grads {
			all[k] = append(all[k], g...)
		}
	}
	check.Norm(t, "gradients", all[1], all[0], 1e-5)
}

// TestResume: a run that is stopped anywhere and started again ends as an undisturbed one.
func TestResume(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ppo.safetensors")
	reward := count{"a": 1, "b": -0.5}
	o := Options{Iterations: 3, Batch: 4, MiniBatch: 2, Epochs: 2, MaxTokens: 6, LearningRate: 1e-2, Rank: 2, Seed: 4, Checkpoint: path, Every: 1, Gold: reward}
	once := func(ctx context.Context) (*Result, error) {
		return Train(ctx, small(t, "gpt_neox", 2), []string{"go", "go b", "a"}, reward, &o)
	}
	want, err := once(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	every := 1
	if testing.Short() {
		every = 5
	}
	for stop := 1; stop < 12; stop += every {
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		_, err := once(progress.WithReporter(ctx, func(progress.Event) {
			if n++; n == stop {
				cancel()
			}
		}))
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("stopped at %d: %v", stop, err)
		}
		got, err := once(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got.Stats, want.Stats) || !reflect.DeepEqual(got.Rollouts, want.Rollouts) || !reflect.DeepEqual(got.Log, want.Log) {
			t.Errorf("stopped at %d:\n%+v, want\n%+v", stop, got.Stats, want.Stats)
		}
		for i, a := range got.Policy.LoRAs() {
			if b := want.Policy.LoRAs()[i]; !reflect.DeepEqual(a.A.Data, b.A.Data) || !reflect.DeepEqual(a.B.Data, b.B.Data) {
				t.Fatalf("stopped at %d: LoRA %d differs", stop, i)
			}
		}
		cancel()
	}
	o.KL = 0.3
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := once(t.Context()); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("an empty checkpoint: %v", err)
	}
}

// TestPenalty: what is maximised is the penalised reward, and what is missing is said.
func TestPenalty(t *testing.T) {
	p, reward := small(t, "gpt_neox", 1), count{"a": 1}
	r, err := Train(t.Context(), p, []string{"go"}, reward, &Options{Iterations: 1, MaxTokens: 4, Penalty: penalty.VarOf(2), MissingEnd: 5, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	cut := 0
	for _, x := range r.Rollouts {
		want := x.Proxy - 2*x.SD*x.SD
		if !x.Ended {
			want -= 5
			cut++
		}
		if math.Abs(x.Score-want) > 1e-9 || x.KL != 0 || !math.IsNaN(x.Gold) {
			t.Errorf("%+v: want the score %v", x, want)
		}
	}
	if s := r.Stats[0]; cut == 0 || cut == len(r.Rollouts) || math.Abs(s.Ended-1+float64(cut)/float64(len(r.Rollouts))) > 1e-9 {
		t.Errorf("%d of %d are cut; %+v", cut, len(r.Rollouts), s)
	}
	// a constant that is added to every reward changes nothing, unless it is kept
	shifted := func(b bayesrm.Belief) float64 { return b.Mean + 50 }
	for keep, same := range map[bool]bool{false: true, true: false} {
		var last [2]Stats
		for i, f := range []penalty.Func{penalty.Mean(), shifted} {
			r, err := Train(t.Context(), p, []string{"go"}, reward, &Options{Iterations: 3, MaxTokens: 4, Penalty: f, LearningRate: 1e-2, RewardClip: 1000, KeepOffset: keep, Seed: 1})
			if err != nil {
				t.Fatal(err)
			}
			last[i] = r.Stats[2]
		}
		if (math.Abs(last[0].KL-last[1].KL) < 1e-3*last[0].KL) != same {
			t.Errorf("offset kept: %v; KL %v and %v", keep, last[0].KL, last[1].KL)
		}
	}
	lora := p.Copy()
	if _, err := lora.AddLoRA([]string{"dense"}, 1, 1, 1); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]func() error{
		"no prompts": func() error { _, err := Train(t.Context(), p, nil, reward, nil); return err },
		"a long prompt": func() error {
			_, err := Train(t.Context(), p, []string{strings.Repeat("a ", 12)}, reward, nil)
			return err
		},
		"no scorer": func() error { _, err := Train(t.Context(), p, []string{"go"}, nil, nil); return err },
		"a relative one": func() error {
			_, err := Train(t.Context(), p, []string{"go"}, nan{}, &Options{Penalty: penalty.Relative(penalty.StdOf(1))})
			return err
		},
		"LoRA": func() error { _, err := Train(t.Context(), lora, []string{"go"}, reward, nil); return err },
		"samples": func() error {
			_, err := Train(t.Context(), p, []string{"go"}, reward, &Options{Batch: 3, Samples: 2})
			return err
		},
		"one sample": func() error {
			_, err := TrainRLOO(t.Context(), p, []string{"go"}, reward, &Options{Samples: 1})
			return err
		},
		"a negative KL": func() error { _, err := Train(t.Context(), p, []string{"go"}, reward, &Options{KL: -1}); return err },
	} {
		if f() == nil {
			t.Errorf("%s is no error", name)
		}
	}
}

// nan scores without a relative variance.
type nan struct{}

func (nan) Score(_ context.Context, _ string, answers []string) ([]bayesrm.Belief, error) {
	out := make([]bayesrm.Belief, len(answers))
	for i := range out {
		out[i].RelVar = math.NaN()
	}
	return out, nil
}
