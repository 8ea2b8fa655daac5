package reward

import (
	"context"
	"fmt"

	"gobayes/bayesrm"
	"gobayes/bayesrm/llm"
)

// alpacaTemplate is the text around an instruction without an input (Taori et al., Stanford Alpaca).
var alpacaTemplate = llm.Template{
	Prompt: "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n### Instruction:\n",
	Answer: "\n\n### Response:",
}

// LoadAlpacaFarm recovers AlpacaFarm's reward model of human preferences (Dubois et al., arXiv 2305.14387), the gold of Coste et al. and
// of the paper: raw is LLaMA-7B (a folder or hf:ORG/NAME), diff the published difference, hf:tatsu-lab/alpaca-farm-reward-model-human-wdiff.
// See llm.LoadDiff. The reward is the head on the last token of instruction and answer, without an end token; its bias is kept as the
// Normalizer's mean. Save keeps what was recovered, so that the sum is made once. In float32 the model takes 27 GB.
func LoadAlpacaFarm(ctx context.Context, raw, diff string) (*Model, error) {
	base, rest, err := llm.LoadDiff(ctx, raw, diff, "backbone_model.")
	if err != nil {
		return nil, fmt.Errorf("reward: %w", err)
	}
	head, bias := rest["reward_head.weight"], rest["reward_head.bias"]
	if C := base.Config.Width; len(head.Data) != C || len(bias.Data) != 1 {
		return nil, fmt.Errorf("reward: %s: reward_head has %d weights and %d biases, want %d and 1", diff, len(head.Data), len(bias.Data), C)
	}
	base.Template, base.Config.EOS = alpacaTemplate, -1
	m := &Model{Base: base, Head: head.Data, Options: (&Options{AllWeights: true}).resolve(base), Normalizer: &bayesrm.Normalizer{Mean: -float64(bias.Data[0]), Std: 1}}
	m.headGrad = make([]float32, len(m.Head))
	return m, nil
}
