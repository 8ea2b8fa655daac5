package train

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"gobayes/bayesrm/optim"
	"gobayes/bayesrm/safetensors"
)

// checkpoint is what a run needs to go on as if nothing had happened: weights, moments and losses. The order of the items
// follows from seed and step.
type checkpoint struct {
	Version int
	Run     string // what must be the same
	Loss    []float64
	Stage   []byte // of a model that has stages
}

const checkpointVersion = 1

// fingerprint names everything that a run depends on.
func (o *Options) fingerprint(sizes []int, total int) string {
	s := fmt.Sprintf("task %q, key %q, items %d, batch %d, micro %d, epochs %d, betas %v %v, weight decay %v, clip %v, seed %d, sizes %v, rates", o.Task, o.Key, o.Items, o.Batch, o.Micro, o.Epochs, o.Beta1, o.Beta2, o.WeightDecay, o.Clip, o.Seed, sizes)
	for _, step := range []int{0, 1, total / 3, total / 2, total - 1} {
		s += fmt.Sprintf(" %v", o.Schedule(step, total))
	}
	return s
}

// Key is a hash of what a run depends on, for Options.Key. The parts are those that JSON can spell.
func Key(parts ...any) (string, error) {
	h := sha256.New()
	if err := json.NewEncoder(h).Encode(parts); err != nil {
		return "", fmt.Errorf("train: key: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)[:16]), nil
}

// state lists what a run changes, by name.
func state(params [][]float32, opt *optim.AdamW) map[string][]float32 {
	all := map[string][]float32{}
	for i, p := range params {
		all[fmt.Sprint("weight.", i)], all[fmt.Sprint("m.", i)], all[fmt.Sprint("v.", i)] = p, opt.M[i], opt.V[i]
	}
	return all
}

// save writes the state of a run after len(c.Loss) steps.
func (c checkpoint) save(path string, params [][]float32, opt *optim.AdamW, stages Stages) (err error) {
	if stages != nil {
		if c.Stage, err = stages.SaveStage(); err != nil {
			return fmt.Errorf("train: checkpoint: %w", err)
		}
	}
	b, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("train: checkpoint: %w", err)
	}
	ts := map[string]safetensors.Tensor{}
	for name, x := range state(params, opt) {
		ts[name] = safetensors.Tensor{Shape: []int{len(x)}, Data: x}
	}
	return safetensors.Write(path, ts, map[string]string{"train": string(b)})
}

// restore reads the state of a run, if there is one, and returns its losses.
func (c checkpoint) restore(path string, params [][]float32, opt *optim.AdamW, stages Stages) ([]float64, error) {
	f, err := safetensors.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("train: checkpoint: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	var old checkpoint
	if err := json.Unmarshal([]byte(f.Metadata()["train"]), &old); err != nil {
		return nil, fmt.Errorf("train: checkpoint %s: %w", path, err)
	}
	if old.Version != checkpointVersion || old.Run != c.Run {
		return nil, fmt.Errorf("train: checkpoint %s belongs to another run; remove it to start anew\n  it was: version %d, %s\n  now:    version %d, %s", path, old.Version, old.Run, checkpointVersion, c.Run)
	}
	now, was := state(params, opt), map[string][]float32{}
	for name, x := range now {
		t, _, err := f.Tensor(name)
		if err != nil || len(t.Data) != len(x) {
			return nil, fmt.Errorf("train: checkpoint %s: tensor %s has %d elements, want %d: %w", path, name, len(t.Data), len(x), err)
		}
		was[name] = t.Data
	}
	for name, x := range now { // only when all of it is there
		copy(x, was[name])
	}
	if stages != nil {
		if err := stages.LoadStage(old.Stage); err != nil {
			return nil, fmt.Errorf("train: checkpoint %s: %w", path, err)
		}
	}
	opt.Step = len(old.Loss)
	return old.Loss, nil
}
