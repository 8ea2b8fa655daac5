package llm

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"

	"gobayes/bayesrm/safetensors"
)

// LoadAdapter puts the LoRA of a PEFT folder (adapter_config.json, adapter_model.safetensors) on the model. It returns the
// head that PEFT saved with it (score.weight), nil if there is none.
func (m *Model) LoadAdapter(dir string) (head []float32, err error) {
	name := filepath.Join(dir, "adapter_config.json")
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("llm: adapter: %w", err)
	}
	var c struct {
		Type    string   `json:"peft_type"`
		R       int      `json:"r"`
		Alpha   float64  `json:"lora_alpha"`
		Targets []string `json:"target_modules"`
		RSLoRA  bool     `json:"use_rslora"`
		DoRA    bool     `json:"use_dora"`
		Bias    string   `json:"bias"`
	}
	if err := json.Unmarshal(b, &c); err != nil {
		return nil, fmt.Errorf("llm: adapter %s: %w", name, err)
	}
	if c.Type != "LORA" || c.DoRA || c.Bias != "none" {
		return nil, fmt.Errorf("llm: adapter %s: peft_type %s, use_dora %t, bias %q: only plain LoRA is supported", name, c.Type, c.DoRA, c.Bias)
	}
	if _, err := m.AddLoRA(c.Targets, c.R, c.Alpha, 0); err != nil {
		return nil, err
	}
	ts, err := safetensors.Read(filepath.Join(dir, "adapter_model.safetensors"))
	if err != nil {
		return nil, fmt.Errorf("llm: adapter: %w", err)
	}
	for _, a := range m.LoRAs() {
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
