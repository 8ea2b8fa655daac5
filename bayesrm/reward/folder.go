package reward

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"gobayes/bayesrm"
	"gobayes/bayesrm/internal/sealed"
	"gobayes/bayesrm/llm"
	"gobayes/bayesrm/safetensors"
	"gobayes/bayesrm/train"
)

// folderVersion is raised when the meaning of reward.json changes.
const folderVersion = 1

// folder is reward.json, which stands beside the adapter in PEFT's format.
type folder struct {
	Base       string              `json:"base"` // what llm.Load is given; "base" is the folder beside this file
	Template   llm.Template        `json:"template"`
	Options    Options             `json:"options"`
	Normalizer *bayesrm.Normalizer `json:"normalizer,omitempty"`
	Pairs      int                 `json:"pairs"`
	Texts      int                 `json:"texts"`
	Cut        int                 `json:"cut"`
	Loss       []float64           `json:"loss"`
	Epochs     []Epoch             `json:"epochs,omitempty"`
	Probe      float64             `json:"probe"` // the reward of probe's tokens: another base model gives another
}

const (
	folderName = "reward.json"
	ownBase    = "base"
	headName   = "head.safetensors" // of a model without an adapter
	headTensor = "score.weight"
)

// probe returns the reward of fixed tokens.
func (m *Model) probe(ctx context.Context) (float64, error) {
	ids := make([]int, min(16, m.Base.Config.Context))
	for i := range ids {
		ids[i] = (7*i + 3) % m.Base.Config.Vocab
	}
	r, err := m.Rewards(ctx, [][]int{ids})
	if err != nil {
		return 0, err
	}
	return r[0], nil
}

// Save writes the model to a folder: the adapter and the head in PEFT's format, and reward.json with the rest. A base model
// that llm.Load read is named there; one that was made here is written to the subfolder base.
func (m *Model) Save(ctx context.Context, dir string) error {
	f := folder{Base: m.Base.Source(), Template: m.Base.Template, Options: m.Options, Normalizer: m.Normalizer,
		Pairs: m.pairs, Texts: m.Texts, Cut: m.Cut, Loss: m.Log.Loss, Epochs: m.Epochs}
	var err error
	if f.Probe, err = m.probe(ctx); err != nil {
		return fmt.Errorf("reward: save %s: %w", dir, err)
	}
	if f.Base == "" {
		f.Base = ownBase
		if err := m.Base.Copy().Save(filepath.Join(dir, ownBase)); err != nil {
			return fmt.Errorf("reward: save %s: %w", dir, err)
		}
	}
	if m.Options.AllWeights {
		head := map[string]safetensors.Tensor{headTensor: {Shape: []int{1, len(m.Head)}, Data: m.Head}}
		if err := safetensors.Write(filepath.Join(dir, headName), head, nil); err != nil {
			return fmt.Errorf("reward: save: %w", err)
		}
	} else if err := m.Base.SaveAdapter(dir, f.Base, m.Head); err != nil {
		return fmt.Errorf("reward: save: %w", err)
	}
	if err := sealed.WriteJSON(filepath.Join(dir, folderName), folderVersion, f); err != nil {
		return fmt.Errorf("reward: save: %w", err)
	}
	return nil
}

// Load reads a folder that Save wrote. With a nil base the base model is loaded from where the folder says.
func Load(ctx context.Context, dir string, base *llm.Model) (*Model, error) {
	name := filepath.Join(dir, folderName)
	var f folder
	err := sealed.ReadJSON(name, folderVersion, &f)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("reward: load: %w; give a folder that reward.Model.Save wrote", err)
	}
	if err != nil {
		return nil, fmt.Errorf("reward: load: %w", err)
	}
	if base == nil {
		path := f.Base
		if path == ownBase {
			path = filepath.Join(dir, ownBase)
		}
		if base, err = llm.Load(ctx, path); err != nil {
			return nil, fmt.Errorf("reward: load %s: its base model: %w", dir, err)
		}
	}
	m := &Model{Base: base.Copy(), Options: f.Options, Normalizer: f.Normalizer, Log: train.Log{Loss: f.Loss}, Epochs: f.Epochs, Texts: f.Texts, Cut: f.Cut, pairs: f.Pairs}
	m.Base.Template = f.Template
	if o := f.Options; o.Rank > 0 { // trained here: A began as the seed says
		if _, err := m.Base.AddLoRA(o.Targets, o.Rank, o.Alpha, o.Seed); err != nil {
			return nil, fmt.Errorf("reward: load %s: %w", name, err)
		}
		m.initial = m.Theta()
	}
	file := "adapter_model.safetensors"
	if f.Options.AllWeights {
		file = headName
		ts, err := safetensors.Read(filepath.Join(dir, headName))
		if err != nil {
			return nil, fmt.Errorf("reward: load: %w", err)
		}
		m.Head = ts[headTensor].Data
	} else if m.Head, err = m.Base.LoadAdapter(dir); err != nil {
		return nil, fmt.Errorf("reward: load: %w", err)
	}
	if C := base.Config.Width; len(m.Head) != C {
		return nil, fmt.Errorf("reward: load %s: %s has a head (score.weight) of %d weights, want %d: without it there is no reward", dir, file, len(m.Head), C)
	}
	m.headGrad = make([]float32, len(m.Head))
	r, err := m.probe(ctx)
	if err != nil {
		return nil, fmt.Errorf("reward: load %s: %w", dir, err)
	}
	if math.Abs(r-f.Probe) > 1e-3*(1+math.Abs(f.Probe)) {
		return nil, fmt.Errorf("reward: load %s: the reward of a fixed text is %g, was %g when it was saved: the base model %s is another one", dir, r, f.Probe, f.Base)
	}
	return m, nil
}
