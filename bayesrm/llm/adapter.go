package llm

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gobayes/bayesrm/safetensors"
)

// LoadAdapter puts the LoRA of a PEFT folder (adapter_config.json, adapter_model.safetensors) on the model. It returns the
// head that PEFT saved with it (score.weight), nil if there is none. After an error the model is as it was.
func (m *Model) LoadAdapter(dir string) (head []float32, err error) {
	name := filepath.Join(dir, "adapter_config.json")
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("llm: adapter: %w", err)
	}
	var c peftConfig
	if err := json.Unmarshal(b, &c); err != nil {
		return nil, fmt.Errorf("llm: adapter %s: %w", name, err)
	}
	targets, err := c.check()
	if err != nil {
		return nil, fmt.Errorf("llm: adapter %s: %w", name, err)
	}
	ts, err := safetensors.Read(filepath.Join(dir, "adapter_model.safetensors"))
	if err != nil {
		return nil, fmt.Errorf("llm: adapter: %w", err)
	}
	found := 0
	for n, t := range ts { // before memory is taken for that rank
		if err := finite(t.Data); err != nil {
			return nil, fmt.Errorf("llm: adapter %s: tensor %s: %w", dir, n, err)
		}
		if !strings.HasSuffix(n, ".lora_A.weight") {
			continue
		}
		found++
		if len(t.Shape) != 2 || t.Shape[0] != c.R {
			return nil, fmt.Errorf("llm: adapter %s: tensor %s has shape %v, adapter_config.json says rank %d", dir, n, t.Shape, c.R)
		}
	}
	if found == 0 {
		return nil, fmt.Errorf("llm: adapter %s: adapter_model.safetensors holds no lora_A.weight among its %d tensors", dir, len(ts))
	}
	linears := m.Linears()
	before := make([]*LoRA, len(linears))
	for i, l := range linears {
		before[i] = l.LoRA
	}
	defer func() {
		if err == nil {
			return
		}
		for i, l := range linears {
			l.LoRA = before[i]
		}
	}()
	if _, err := m.AddLoRA(targets, c.R, c.Alpha, 0); err != nil {
		return nil, err
	}
	for _, a := range m.LoRAs() {
		a.Dropout = c.Dropout
		if c.RSLoRA {
			a.Scale = float32(c.Alpha / math.Sqrt(float64(c.R)))
		}
		for _, p := range []*Param{a.A, a.B} {
			t, ok := ts["base_model.model."+p.Name]
			if !ok || fmt.Sprint(t.Shape) != fmt.Sprint(p.Shape) {
				return nil, fmt.Errorf("llm: adapter %s: tensor %s has shape %v, want %v", dir, p.Name, t.Shape, p.Shape)
			}
			copy(p.Data, t.Data)
		}
	}
	for n, t := range ts {
		if strings.HasSuffix(n, "score.weight") {
			head = t.Data
		}
	}
	return head, nil
}

// peftConfig is the part of adapter_config.json that is used.
type peftConfig struct {
	Type    string         `json:"peft_type"`
	Task    string         `json:"task_type"`
	R       int            `json:"r"`
	Alpha   float64        `json:"lora_alpha"`
	Dropout float64        `json:"lora_dropout"`
	Targets any            `json:"target_modules"`
	Saved   []string       `json:"modules_to_save"`
	RSLoRA  bool           `json:"use_rslora"`
	DoRA    bool           `json:"use_dora"`
	Bias    string         `json:"bias"`
	Ranks   map[string]any `json:"rank_pattern"`
	Alphas  map[string]any `json:"alpha_pattern"`
	Layers  any            `json:"layers_to_transform"`
	FanIn   bool           `json:"fan_in_fan_out"`
	Base    string         `json:"base_model_name_or_path"`
	Infer   bool           `json:"inference_mode"`
}

// check refuses what is not plain LoRA and returns the target layers.
func (c peftConfig) check() (targets []string, err error) {
	if c.Type != "LORA" || c.DoRA || c.Bias != "none" || len(c.Ranks)+len(c.Alphas) > 0 || c.Layers != nil || c.FanIn {
		return nil, fmt.Errorf("peft_type %s, use_dora %t, bias %q, patterns %v %v, layers %v, fan_in_fan_out %t: only plain LoRA on whole models is supported",
			c.Type, c.DoRA, c.Bias, c.Ranks, c.Alphas, c.Layers, c.FanIn)
	}
	if c.Dropout < 0 || c.Dropout >= 1 {
		return nil, fmt.Errorf("lora_dropout %v: want 0 ≤ p < 1", c.Dropout)
	}
	switch t := c.Targets.(type) {
	case string:
		if t != "all-linear" {
			return nil, fmt.Errorf("target_modules %q: a list of names or all-linear is supported, not a pattern", t)
		}
		return []string{t}, nil
	case []any:
		for _, x := range t {
			s, ok := x.(string)
			if !ok {
				return nil, fmt.Errorf("target_modules holds %v", x)
			}
			targets = append(targets, s)
		}
	}
	return targets, nil
}

// SaveAdapter writes the LoRA in PEFT's format (adapter_config.json, adapter_model.safetensors), with the head of a reward
// model where PEFT puts it, so that Python opens it; a nil head saves a language model's adapter. base names the model
// below it, for PEFT.
func (m *Model) SaveAdapter(dir, base string, head []float32) error {
	as := m.LoRAs()
	if len(as) == 0 {
		return fmt.Errorf("llm: save adapter %s: the model has no LoRA", dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("llm: save adapter: %w", err)
	}
	c := peftConfig{Type: "LORA", Task: "CAUSAL_LM", R: as[0].R, Alpha: float64(as[0].Scale) * float64(as[0].R), Dropout: as[0].Dropout, Bias: "none", Base: base, Infer: true,
		Ranks: map[string]any{}, Alphas: map[string]any{}}
	ts := map[string]safetensors.Tensor{}
	if head != nil {
		c.Task, c.Saved = "SEQ_CLS", []string{"classifier", "score"}
		ts["base_model.model.score.weight"] = safetensors.Tensor{Shape: []int{1, len(head)}, Data: head}
	}
	var targets []string
	for _, l := range m.Linears() {
		a := l.LoRA
		if a == nil {
			continue
		}
		if a.R != as[0].R || a.Scale != as[0].Scale {
			return fmt.Errorf("llm: save adapter %s: %s has rank %d and scale %v, %s has %d and %v: one adapter has one of each", dir, l.Name, a.R, a.Scale, as[0].A.Name, as[0].R, as[0].Scale)
		}
		if t := l.Name[strings.LastIndex(l.Name, ".")+1:]; !slices.Contains(targets, t) {
			targets = append(targets, t)
		}
		for _, p := range []*Param{a.A, a.B} {
			ts["base_model.model."+p.Name] = safetensors.Tensor{Shape: p.Shape, Data: p.Data}
		}
	}
	for _, l := range m.Linears() {
		if l.LoRA == nil && slices.Contains(targets, l.Name[strings.LastIndex(l.Name, ".")+1:]) {
			return fmt.Errorf("llm: save adapter %s: %s has no LoRA but others of its name have; PEFT names layers by their last part", dir, l.Name)
		}
	}
	c.Targets = targets
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("llm: save adapter %s: %w", dir, err)
	}
	if err := safetensors.Write(filepath.Join(dir, "adapter_model.safetensors"), ts, map[string]string{"format": "pt"}); err != nil {
		return err
	}
	return safetensors.WriteFile(filepath.Join(dir, "adapter_config.json"), append(b, '\n'))
}
