package llm

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"gobayes/bayesrm/safetensors"
)

// LoadDiff recovers a model that was published as the difference to another one, as AlpacaFarm's are (Dubois et al., arXiv 2305.14387):
// a tensor whose shape is that of the raw model's is the sum of both, any other is the difference's own. raw and diff are folders or
// hf:ORG/NAME; the names in diff may begin with prefix ("backbone_model."). rest are the tensors of diff that are no weights of the
// model, like the head of a reward model. The sum of all numbers must be the one in diff's model_sum.txt.
//
// Tokenizer and configuration are those of raw, with as many tokens as diff's embedding has rows.
func LoadDiff(ctx context.Context, raw, diff, prefix string) (m *Model, rest map[string]safetensors.Tensor, err error) {
	if m, rest, err = loadDiff(ctx, raw, diff, prefix); err != nil {
		return nil, nil, fmt.Errorf("llm: recover %s from %s: %w", diff, raw, err)
	}
	return m, rest, nil
}

func loadDiff(ctx context.Context, raw, diff, prefix string) (*Model, map[string]safetensors.Tensor, error) {
	raw, err := locate(ctx, raw)
	if err != nil {
		return nil, nil, err
	}
	if diff, err = locate(ctx, diff); err != nil {
		return nil, nil, err
	}
	want, err := readSum(filepath.Join(diff, sumName))
	if err != nil {
		return nil, nil, err
	}
	c, err := readConfig(raw)
	if err != nil {
		return nil, nil, err
	}
	before, err := openWeights(raw)
	if err != nil {
		return nil, nil, err
	}
	defer before.close()
	after, err := openWeights(diff)
	if err != nil {
		return nil, nil, err
	}
	defer after.close()
	m, err := shape(c)
	if err != nil {
		return nil, nil, err
	}
	embed, ok, err := after.Tensor(prefix + m.embed.Name)
	if err != nil || !ok || len(embed.Shape) != 2 {
		return nil, nil, errors.Join(err, fmt.Errorf("%s has no embedding %s%s", diff, prefix, m.embed.Name))
	}
	c.Vocab = embed.Shape[0]
	if m, err = shape(c); err != nil {
		return nil, nil, err
	}
	sum, known := 0.0, map[string]bool{}
	join := func(name string, base safetensors.Tensor) (t safetensors.Tensor, ok bool, err error) {
		known[name] = true
		if t, ok, err = after.Tensor(name); !ok || err != nil {
			return t, ok, err
		}
		if slices.Equal(t.Shape, base.Shape) {
			for i, v := range base.Data {
				t.Data[i] += v
			}
		}
		for _, v := range t.Data {
			sum += float64(v)
		}
		return t, true, ctx.Err()
	}
	if err := m.fill(func(p *Param) (t safetensors.Tensor, ok bool, err error) {
		base, _, err := before.Tensor(p.Name)
		if err != nil {
			return t, false, err
		}
		return join(prefix+p.Name, base)
	}); err != nil {
		return nil, nil, err
	}
	rest := map[string]safetensors.Tensor{}
	for _, name := range after.Names() {
		switch {
		case known[name]:
		case strings.HasSuffix(name, rotaryTable): // older transformers stored it, and the sum has it
			if _, _, err := join(name, m.rotaryTable()); err != nil {
				return nil, nil, err
			}
		default:
			t, _, err := join(name, safetensors.Tensor{})
			if err != nil {
				return nil, nil, err
			}
			rest[name] = t
		}
	}
	if math.Abs(sum-want) > 1e-8+1e-5*math.Abs(want) { // as AlpacaFarm compares
		return nil, nil, fmt.Errorf("the sum of all weights is %v, model_sum.txt says %v: the raw model is another one, or a file is damaged", sum, want)
	}
	return m, rest, m.readText(raw)
}

func readSum(path string) (float64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("%w; the sum of all weights must be known", err)
	}
	line, _, _ := strings.Cut(string(b), "\n")
	v, err := strconv.ParseFloat(strings.TrimSpace(line), 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return v, nil
}

// sumName is the file that holds the sum of all weights of a recovered model.
const sumName = "model_sum.txt"

// rotaryTable ends the name of the table of frequencies of a layer.
const rotaryTable = "rotary_emb.inv_freq"

func (m *Model) rotaryTable() safetensors.Tensor {
	D := m.Config.RotaryDim
	t := safetensors.Tensor{Shape: []int{D / 2}, Data: make([]float32, D/2)}
	for i := range t.Data {
		t.Data[i] = float32(math.Pow(m.Config.RotaryBase, -2*float64(i)/float64(D)))
	}
	return t
}
