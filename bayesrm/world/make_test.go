package world

import (
	"context"
	"errors"
	"os"
	"testing"

	"gobayes/bayesrm/prefs"
)

func TestMake(t *testing.T) {
	make := func(seed uint64) (pairs, pool string) {
		m, err := Make(context.Background(), t.TempDir(), &MakeOptions{Policy: "../../notebooks/data/world/policy", Pairs: 60, Prompts: 5, Answers: 40, Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		a, err := os.ReadFile(m.PairsFile)
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(m.PoolFile)
		if err != nil {
			t.Fatal(err)
		}
		ps, err := prefs.Load(m.PairsFile)
		if err != nil || ps.Len() != 60 {
			t.Fatalf("pairs %v, error %v", ps, err)
		}
		pl, err := prefs.LoadPool(m.PoolFile)
		if err != nil || pl.Len() != 200 {
			t.Fatalf("pool %v, error %v", pl, err)
		}
		if ps.Without(pl).Len() != 60 {
			t.Error("a prompt of the pool is in a pair")
		}
		return string(a), string(b)
	}
	a1, b1 := make(1)
	a2, b2 := make(1)
	a3, b3 := make(2)
	if a1 != a2 || b1 != b2 {
		t.Error("the same seed gives other files")
	}
	if a1 == a3 || b1 == b3 {
		t.Error("another seed gives the same files")
	}
}

func TestMakeStops(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	dir := t.TempDir()
	if _, err := Make(ctx, dir, &MakeOptions{Policy: "../../notebooks/data/world/policy"}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("%d files left, error %v", len(entries), err)
	}
}

// TestMadeOnce: what a folder holds is kept for the same options, and made again for others.
func TestMadeOnce(t *testing.T) {
	dir := t.TempDir()
	o := MakeOptions{Policy: "../../notebooks/data/world/policy", Pairs: 20, Prompts: 3, Answers: 8, Seed: 1}
	first, err := Make(t.Context(), dir, &o)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(first.PairsFile, []byte("kept"), 0o644); err != nil {
		t.Fatal(err)
	}
	if again, err := Make(t.Context(), dir, &o); err != nil || again != first {
		t.Errorf("%v, then %v, %v", first, again, err)
	}
	if b, _ := os.ReadFile(first.PairsFile); string(b) != "kept" {
		t.Error("the pairs were made again")
	}
	o.Weights = TruthHeavy
	other, err := Make(t.Context(), dir, &o)
	if err != nil || other.GoldMean == first.GoldMean {
		t.Errorf("other weights: %v, %v", other, err)
	}
	if b, _ := os.ReadFile(first.PairsFile); string(b) == "kept" {
		t.Error("the pairs of other options were kept")
	}
}
