package sample

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"gobayes/bayesrm/internal/check"
	"gobayes/bayesrm/llm"
	"gobayes/bayesrm/progress"
)

// TestShards: a shard holds what Pool draws; runs that were stopped anywhere end with the bytes of an undisturbed one.
func TestShards(t *testing.T) {
	policy, err := llm.Load(t.Context(), "../../notebooks/data/world/policy")
	if err != nil {
		t.Fatal(err)
	}
	prompts := []string{"sort three one two .", "name two animals .", "tell me about the cat .", "name three foods .", "how do i make tea ?"}
	o := &ShardOptions{Options: Options{Answers: 30, MaxTokens: 48, Seed: 2}, Prompts: 2, Gold: scorer{}, GoldName: "length"}
	whole := t.TempDir()
	s, err := Draw(t.Context(), policy, prompts, whole, o)
	if err != nil {
		t.Fatal(err)
	}
	want := check.Files(t, whole)
	if s.Len() != 3 || len(want) != 4 {
		t.Fatalf("%v; files %d", s, len(want))
	}
	pool, err := Pool(t.Context(), policy, prompts, &o.Options)
	if err != nil {
		t.Fatal(err)
	}
	count := func(texts map[string]int, id, text string, n int) { texts[id+" "+text] += n }
	drawn, stored := map[string]int{}, map[string]int{}
	for _, q := range pool.Questions {
		for _, a := range q.Answers {
			count(drawn, q.ID, a.Text, 1)
		}
	}
	for i := range s.Len() {
		p, err := s.Pool(i)
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range p.Questions {
			if len(q.Answers) != 30 || q.Prompt != prompts[int(q.ID[0]-'0')] {
				t.Errorf("question %s: %d answers to %q", q.ID, len(q.Answers), q.Prompt)
			}
			for _, a := range q.Answers {
				count(stored, q.ID, a.Text, 1)
				if a.Gold != float64(len(a.Text)) {
					t.Errorf("gold %v of %q", a.Gold, a.Text)
				}
			}
		}
	}
	if !reflect.DeepEqual(drawn, stored) {
		t.Error("the shards hold other answers than Pool draws")
	}
	for stop := range 3 {
		dir := t.TempDir()
		ctx, cancel := context.WithCancel(t.Context())
		if stop == 0 {
			cancel()
		}
		n := 0
		if _, err := Draw(progress.WithReporter(ctx, func(progress.Event) {
			if n++; n == stop {
				cancel()
			}
		}), policy, prompts, dir, o); !errors.Is(err, context.Canceled) {
			t.Fatalf("stopped at %d: %v", stop, err)
		}
		cancel()
		if stop == 2 { // killed while it wrote
			if err := os.WriteFile(filepath.Join(dir, "part-00002.parquet.tmp"), []byte("half"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Draw(t.Context(), policy, prompts, dir, o); err != nil {
			t.Fatal(err)
		}
		got := check.Files(t, dir)
		delete(got, "part-00002.parquet.tmp")
		if !reflect.DeepEqual(got, want) {
			t.Errorf("stopped at %d: other bytes", stop)
		}
	}
	other := *o
	other.Seed++
	if _, err := Draw(t.Context(), policy, prompts, whole, &other); err == nil || !strings.Contains(err.Error(), whole) {
		t.Errorf("another seed in the same folder: %v", err)
	}
	if err := os.WriteFile(filepath.Join(whole, "part-00001.parquet"), []byte(want["part-00002.parquet"]), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Pool(1); err == nil || !strings.Contains(err.Error(), "shard 1") {
		t.Errorf("a shard under another's name: %v", err)
	}
	if err := os.WriteFile(filepath.Join(whole, "part-00001.parquet"), []byte(want["part-00001.parquet"])[:100], 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Draw(t.Context(), policy, prompts, whole, o); err == nil || !strings.Contains(err.Error(), "part-00001") {
		t.Errorf("a truncated shard: %v", err)
	}
	if _, err := Open(t.TempDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an empty folder: %v", err)
	}
}
