package reward

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gobayes/bayesrm/llm"
	"gobayes/bayesrm/safetensors"
)

// TestAlpacaFarm: a small difference made by PyTorch (testdata/wdiff/make.py) is recovered, with PyTorch's rewards; what does not belong
// together is refused by the sum.
func TestAlpacaFarm(t *testing.T) {
	var golden struct {
		Cases []struct {
			IDs    []int
			Reward float64
		}
	}
	b, err := os.ReadFile(filepath.Join("testdata", "wdiff", "golden.json"))
	if err == nil {
		err = json.Unmarshal(b, &golden)
	}
	if err != nil {
		t.Fatal(err)
	}
	raw, diff := filepath.Join("testdata", "wdiff", "raw"), filepath.Join("testdata", "wdiff", "diff")
	m, err := LoadAlpacaFarm(t.Context(), raw, diff)
	if err != nil {
		t.Fatal(err)
	}
	agree := func(m *Model, what string) {
		t.Helper()
		for _, c := range golden.Cases {
			r, err := m.Rewards(t.Context(), [][]int{c.IDs})
			if err != nil {
				t.Fatal(err)
			}
			if got := r[0] - m.Normalizer.Mean; math.Abs(got-c.Reward) > 2e-5 {
				t.Errorf("%s: the reward of %v is %v, PyTorch says %v", what, c.IDs, got, c.Reward)
			}
		}
	}
	agree(m, "recovered")
	if len(golden.Cases) < 2 || m.Base.Config.Vocab != 12 || m.Base.Config.EOS != -1 {
		t.Errorf("%d cases, %d tokens, end token %d", len(golden.Cases), m.Base.Config.Vocab, m.Base.Config.EOS)
	}
	dir := t.TempDir()
	if err := m.Save(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	again, err := Load(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	agree(again, "saved and loaded")

	changed := func(of string, change func(dir string)) error {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(of)); err != nil {
			t.Fatal(err)
		}
		change(dir)
		from, with := raw, diff
		if of == raw {
			from = dir
		} else {
			with = dir
		}
		_, err := LoadAlpacaFarm(t.Context(), from, with)
		return err
	}
	for _, tt := range []struct {
		name, of, want string
		change         func(dir string)
	}{
		{"another raw model", raw, "the sum of all weights", func(dir string) {
			path := filepath.Join(dir, "model.safetensors")
			ts, err := safetensors.Read(path)
			if err != nil {
				t.Fatal(err)
			}
			ts["model.norm.weight"].Data[3] += 0.5
			if err := safetensors.Write(path, ts, nil); err != nil {
				t.Fatal(err)
			}
		}},
		{"another sum", diff, "the sum of all weights", func(dir string) { os.WriteFile(filepath.Join(dir, "model_sum.txt"), []byte("12.5\n"), 0o644) }},
		{"no number", diff, "model_sum.txt", func(dir string) { os.WriteFile(filepath.Join(dir, "model_sum.txt"), []byte("many\n"), 0o644) }},
		{"no sum", diff, "model_sum.txt", func(dir string) { os.Remove(filepath.Join(dir, "model_sum.txt")) }},
		{"no weights", diff, "no pytorch_model.bin", func(dir string) { os.Remove(filepath.Join(dir, "pytorch_model.bin")) }},
		{"half a file", diff, "pytorch_model.bin", func(dir string) { os.Truncate(filepath.Join(dir, "pytorch_model.bin"), 7000) }},
	} {
		if err := changed(tt.of, tt.change); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.want)
		}
	}
	if _, _, err := llm.LoadDiff(t.Context(), raw, diff, ""); err == nil || !strings.Contains(err.Error(), "no embedding") {
		t.Errorf("without the prefix: %v", err)
	}
}
