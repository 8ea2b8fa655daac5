package study

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sort"

	"gobayes/bayesrm/safetensors"
	"gobayes/bayesrm/tensor"
)

// The claims of the paper that contrasts speak to.
const (
	OverOptimisation = "Best of n by the MAP reward over-optimises"
	PosteriorHelps   = "The posterior's penalty (LA) beats MAP"
	EnsembleHelps    = "The ensemble (Ens) beats MAP"
	JointBest        = "LA-Ens beats Ens"
	VarianceRobust   = "The variance penalty is more robust than std at large k"
	RLHFHelps        = "RLHF without a KL penalty: LA beats MAP"
)

// Claims are the claims in the order of the paper.
var Claims = []string{OverOptimisation, PosteriorHelps, EnsembleHelps, JointBest, VarianceRobust, RLHFHelps}

// Record is what a notebook found, for the tables of results.
type Record struct {
	Notebook  string
	Setup     string // what it was found on
	Command   string // that gives it again
	Seconds   float64
	Machine   string // set by Write
	Contrasts []Contrast
}

// For marks contrasts as speaking to a claim.
func For(claim string, cs ...Contrast) []Contrast {
	for i := range cs {
		cs[i].Claim = claim
	}
	return cs
}

// Write writes the record as JSON.
func (r Record) Write(path string) error {
	r.Machine = fmt.Sprintf("%s/%s, %d threads, %s", runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), tensor.Level())
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("study: record: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("study: record: %w", err)
	}
	if err := safetensors.WriteFile(path, append(b, '\n')); err != nil {
		return fmt.Errorf("study: record: %w", err)
	}
	return nil
}

// ReadRecords reads the records of a folder, by name.
func ReadRecords(dir string) ([]Record, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("study: records: %w", err)
	}
	sort.Strings(names)
	var out []Record
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("study: records: %w", err)
		}
		var r Record
		if err := json.Unmarshal(b, &r); err != nil {
			return nil, fmt.Errorf("study: records: %s: %w", name, err)
		}
		out = append(out, r)
	}
	return out, nil
}
