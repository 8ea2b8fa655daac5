package ppo

import (
	"bytes"
	"context"
	"encoding/gob"
	"fmt"
	"math"
	"math/rand/v2"

	"gobayes/bayesrm"
	"gobayes/bayesrm/llm"
	"gobayes/bayesrm/progress"
	"gobayes/bayesrm/train"
)

// Rollout is an answer that the policy drew.
type Rollout struct {
	Prompt, Answer   string
	Score, Proxy, SD float64 // as in Stats
	Gold             float64 // NaN where there is none
	KL               float64 // log π(answer) − log π_ref(answer) in nats
	Ended            bool
}

// String is the answer with its numbers.
func (r Rollout) String() string {
	return fmt.Sprintf("proxy %.2f ± %.2f, gold %.2f, KL %.1f nats: %q → %q", r.Proxy, r.SD, r.Gold, r.KL, r.Prompt, r.Answer)
}

// rollout is an answer with what learning from it needs, one number a token.
type rollout struct {
	Rollout
	IDs                []int // of prompt and answer
	From               int   // first of the answer
	LogP, Ref, Values  []float64
	Advantages, Return []float64
}

// trainer is a train.Stages whose items are the rollouts of an iteration.
type trainer struct {
	o                 Options
	policy, reference *llm.Model
	trained           []*llm.Param
	value             *valueHead // nil for RLOO
	scorer            bayesrm.Scorer
	texts             []string
	prompts           [][]int
	acts              llm.Acts
	s                 state
}

// state is what changes beside the weights.
type state struct {
	Control  Controller
	Offset   float64 // of the rewards
	Stats    []Stats
	Rollouts []rollout
	Steps    int // of the iteration, that the losses are means of
}

func (t *trainer) SaveStage() ([]byte, error) {
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(t.s)
	return b.Bytes(), err
}

func (t *trainer) LoadStage(b []byte) error { return gob.NewDecoder(bytes.NewReader(b)).Decode(&t.s) }

func (t *trainer) Note() string {
	s := t.s.Stats[len(t.s.Stats)-1]
	note := fmt.Sprintf("score %.2f, KL %.2f", s.Score, s.KL)
	if !math.IsNaN(s.Gold) {
		note += fmt.Sprintf(", gold %.2f", s.Gold)
	}
	return note
}

func (t *trainer) Weights() (params, grads [][]float32) {
	for _, p := range t.trained {
		params, grads = append(params, p.Data), append(grads, p.Grad)
	}
	if t.value != nil {
		params, grads = append(params, t.value.weights()...), append(grads, t.value.grads...)
	}
	return params, grads
}

// Stage draws the answers of an iteration when its epochs begin.
func (t *trainer) Stage(ctx context.Context, epoch int) error {
	if epoch%t.o.Epochs != 0 {
		return nil
	}
	iteration := epoch / t.o.Epochs
	rs, err := t.draw(ctx, iteration)
	if err != nil {
		return fmt.Errorf("iteration %d: draw answers: %w", iteration, err)
	}
	if err := t.judge(ctx, rs); err != nil {
		return fmt.Errorf("iteration %d: score answers: %w", iteration, err)
	}
	if err := t.read(ctx, rs); err != nil {
		return fmt.Errorf("iteration %d: %w", iteration, err)
	}
	s := stats(rs)
	if iteration == 0 && !t.o.KeepOffset {
		t.s.Offset = s.Score
	}
	t.advantages(rs)
	s.Beta = t.s.Control.Beta
	if !t.o.FixedKL {
		t.s.Control.Update(s.KL, len(rs))
	}
	t.s.Stats, t.s.Rollouts, t.s.Steps = append(t.s.Stats, s), rs, 0
	return nil
}

// draw samples the answers of an iteration. The prompts come in an order that is drawn anew each time all have been used.
func (t *trainer) draw(ctx context.Context, iteration int) ([]rollout, error) {
	var seqs [][]int
	var seeds []uint64
	var which []int
	n := t.o.Batch / t.o.Samples
	for k := iteration * n; k < (iteration+1)*n; k++ {
		pass := k / len(t.prompts)
		order := rand.New(rand.NewPCG(t.o.Seed, 0x6f72646572+uint64(pass))).Perm(len(t.prompts))
		p := order[k%len(t.prompts)]
		which, seqs = append(which, p), append(seqs, t.prompts[p])
		seeds = append(seeds, rand.New(rand.NewPCG(t.o.Seed, 0x64726177<<20+uint64(k))).Uint64())
	}
	out, err := t.policy.Generate(progress.Silent(ctx), seqs, &llm.GenerateOptions{Samples: t.o.Samples, MaxTokens: t.o.MaxTokens, Seeds: seeds})
	if err != nil {
		return nil, err
	}
	var rs []rollout
	for i, answers := range out {
		for _, a := range answers {
			r := rollout{From: len(seqs[i]), IDs: append(append([]int{}, seqs[i]...), a.IDs...)}
			r.Prompt, r.Ended = t.texts[which[i]], a.Reason == "end"
			r.Answer = t.policy.Text(a)
			rs = append(rs, r)
		}
	}
	return rs, nil
}

// judge scores the answers, those of a prompt together.
func (t *trainer) judge(ctx context.Context, rs []rollout) error {
	var prompts []string
	var texts [][]string
	for i := 0; i < len(rs); i += t.o.Samples {
		var of []string
		for _, r := range rs[i : i+t.o.Samples] {
			of = append(of, r.Answer)
		}
		prompts, texts = append(prompts, rs[i].Prompt), append(texts, of)
	}
	beliefs, err := bayesrm.ScoreMany(progress.Silent(ctx), t.scorer, prompts, texts)
	if err != nil {
		return err
	}
	var gold [][]bayesrm.Belief
	if t.o.Gold != nil {
		if gold, err = bayesrm.ScoreMany(progress.Silent(ctx), t.o.Gold, prompts, texts); err != nil {
			return fmt.Errorf("gold: %w", err)
		}
	}
	for i := range rs {
		r, p, k := &rs[i], i/t.o.Samples, i%t.o.Samples
		b := beliefs[p][k]
		r.Score, r.Proxy, r.SD, r.Gold = t.o.Penalty(b), b.Mean, math.Sqrt(b.Var), math.NaN()
		if math.IsNaN(r.Score) {
			return fmt.Errorf("the penalty of the belief %v is NaN; a relative variance needs a scorer that has one, such as laplace.Posterior.Against", b)
		}
		if !r.Ended {
			r.Score -= t.o.MissingEnd
		}
		if gold != nil {
			r.Gold = gold[p][k].Mean
		}
	}
	return nil
}

// read computes log-probabilities by policy and reference, and values, before the policy changes.
func (t *trainer) read(ctx context.Context, rs []rollout) error {
	acts := llm.Acts{Inference: true}
	var seqs [][]int
	for _, r := range rs {
		seqs = append(seqs, r.IDs)
	}
	return llm.Batches(progress.Silent(ctx), "read answers", seqs, llm.MaxTokens, false, func(i, j int) error {
		b, rows, next := batch(rs, i, j)
		for _, m := range []*llm.Model{t.reference, t.policy} {
			if err := m.Forward(ctx, &acts, b, rows); err != nil {
				return err
			}
			logp := m.LogProbs(acts.Hidden, next, nil, nil)
			var values []float64
			if m == t.policy && t.value != nil {
				values = t.value.forward(acts.Hidden)
			}
			at := 0
			for k := i; k < j; k++ {
				r := &rs[k]
				to := at + len(r.IDs) - r.From
				if m == t.reference {
					r.Ref = logp[at:to]
				} else {
					r.LogP = logp[at:to]
				}
				if values != nil {
					r.Values = values[at:to]
				}
				at = to
			}
		}
		for k := i; k < j; k++ {
			for n, l := range rs[k].LogP {
				rs[k].KL += l - rs[k].Ref[n]
			}
		}
		return nil
	})
}

// batch packs the answers from i to j: the rows from which their tokens are drawn, and these tokens.
func batch(rs []rollout, i, j int) (b llm.Batch, rows, next []int) {
	var seqs [][]int
	at := 0
	for _, r := range rs[i:j] {
		seqs = append(seqs, r.IDs[:len(r.IDs)-1])
		for n := r.From; n < len(r.IDs); n++ {
			rows, next = append(rows, at+n-1), append(next, r.IDs[n])
		}
		at += len(r.IDs) - 1
	}
	return llm.Pack(seqs), rows, next
}

// advantages computes what each token was better than expected.
func (t *trainer) advantages(rs []rollout) {
	o, beta := t.o, t.s.Control.Beta
	var all [][]float64
	var whole []float64 // reward of each answer, for RLOO
	for k := range rs {
		r := &rs[k]
		rewards := tokenRewards(r.LogP, r.Ref, o.Estimator, beta, min(o.RewardClip, max(-o.RewardClip, r.Score-t.s.Offset)))
		if t.value == nil {
			var sum float64
			for _, v := range rewards {
				sum += v
			}
			whole = append(whole, sum)
			continue
		}
		r.Advantages, r.Return = GAE(rewards, r.Values, o.Gamma, o.Lambda)
		all = append(all, r.Advantages)
	}
	if t.value != nil {
		Whiten(all)
		return
	}
	for i := 0; i < len(rs); i += o.Samples {
		for k, a := range LeaveOneOut(whole[i : i+o.Samples]) {
			r := &rs[i+k]
			r.Advantages = make([]float64, len(r.LogP))
			for n := range r.Advantages {
				r.Advantages[n] = a
			}
		}
	}
}

func stats(rs []rollout) (s Stats) {
	w := 1 / float64(len(rs))
	for _, r := range rs {
		s.Score += w * r.Score
		s.Proxy += w * r.Proxy
		s.SD += w * r.SD
		s.Gold += w * r.Gold
		s.Tokens += w * float64(len(r.LogP))
		if r.Ended {
			s.Ended += w
		}
		for n, l := range r.LogP {
			s.KL += w * K1.KL(l-r.Ref[n])
			s.K2 += w * K2.KL(l-r.Ref[n])
			s.K3 += w * K3.KL(l-r.Ref[n])
		}
	}
	return s
}

// Step computes the mean loss of the tokens of some answers and its gradients.
func (t *trainer) Step(ctx context.Context, s train.Step) (float64, error) {
	rs := make([]rollout, len(s.Items))
	for i, k := range s.Items {
		rs[i] = t.s.Rollouts[k]
	}
	var old, adv, ret, values []float64
	for _, r := range rs {
		old, adv, ret, values = append(old, r.LogP...), append(adv, r.Advantages...), append(ret, r.Return...), append(values, r.Values...)
	}
	b, rows, next := batch(rs, 0, len(rs))
	if err := t.policy.Forward(ctx, &t.acts, b, rows); err != nil {
		return 0, err
	}
	N := float64(len(next))
	loss, clipped := make([]float64, len(next)), make([]bool, len(next))
	dhidden := make([]float32, len(t.acts.Hidden))
	t.policy.LogProbs(t.acts.Hidden, next, func(n int, logp float64) (d float64) {
		loss[n], d, clipped[n] = policyLoss(logp, old[n], adv[n], t.o.Clip)
		return s.Weight * d / N
	}, dhidden)
	var policy, value, clips float64
	for n, l := range loss {
		policy += l / N
		if clipped[n] {
			clips += 1 / N
		}
	}
	if t.value != nil {
		v := t.value.forward(t.acts.Hidden)
		for n := range v {
			l, d := valueLoss(v[n], values[n], ret[n], t.o.ValueClip)
			value += l / N
			v[n] = s.Weight * t.o.ValueWeight * d / N
		}
		t.value.backward(dhidden, t.acts.Hidden, v)
	}
	if err := t.policy.Backward(ctx, &t.acts, dhidden, llm.Accumulate); err != nil {
		return 0, err
	}
	now := &t.s.Stats[len(t.s.Stats)-1]
	t.s.Steps++
	w := 1 / float64(t.s.Steps)
	now.PolicyLoss += w * (policy - now.PolicyLoss)
	now.ValueLoss += w * (value - now.ValueLoss)
	now.ClipFraction += w * (clips - now.ClipFraction)
	return policy + t.o.ValueWeight*value, nil
}
