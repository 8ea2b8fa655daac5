package laplace

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"testing"

	"gobayes/bayesrm"
	"gobayes/bayesrm/prefs"
	"gobayes/bayesrm/progress"
)

// stopAfter returns a context that ends at the n-th event of a task.
func stopAfter(ctx context.Context, task string, n int) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	return progress.WithReporter(ctx, func(e progress.Event) {
		if e.Task == task {
			if n--; n == 0 {
				cancel()
			}
		}
	})
}

// TestTighten: the collector's setting comes back, also after fits side by side.
func TestTighten(t *testing.T) {
	before := debug.SetGCPercent(77)
	defer debug.SetGCPercent(before)
	a, b := tighten(), tighten()
	a()
	during := debug.SetGCPercent(tightPercent)
	b()
	if after := debug.SetGCPercent(77); during != tightPercent || after != 77 {
		t.Errorf("%d during, %d after", during, after)
	}
}

// TestResumeFit: a fit that is stopped after any batch, again and again, ends with the bits of an undisturbed one; another fit's
// checkpoint is refused.
func TestResumeFit(t *testing.T) {
	m, few, held := trained(t)
	train := &prefs.Pairs{}
	for range 24 { // several groups of 128 pairs, each of some batches
		train.Rows = append(train.Rows, few.Rows...)
	}
	for _, c := range []Curvature{Exact, EKFAC, Diag, Nystrom, EmpiricalFisher} {
		o := &Options{Curvature: c, Inducing: 10}
		want, err := Fit(t.Context(), m, train, o)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "fit")
		kept := &Options{Curvature: c, Inducing: 10, Checkpoint: path, Every: 1}
		stops := 0
		var got *Posterior
		for got == nil {
			l, err := Fit(stopAfter(t.Context(), "fit Laplace", 8+3*stops), m, train, kept)
			if err == nil {
				got = l
			} else if stops++; !errors.Is(err, context.Canceled) || stops > 50 {
				t.Fatalf("%v: %v after %d stops", c, err, stops)
			}
			if stops == 1 {
				if _, err := Fit(t.Context(), m, held, kept); err == nil {
					t.Errorf("%v: the checkpoint of other pairs was taken", c)
				}
			}
		}
		a, err := want.ScorePairs(t.Context(), held)
		if err != nil {
			t.Fatal(err)
		}
		b, err := got.ScorePairs(t.Context(), held)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(a, b) || got.LogEvidence != want.LogEvidence || got.Informative != want.Informative || stops == 0 {
			t.Errorf("%v: %d stops: evidence %v, %v", c, stops, got.LogEvidence, want.LogEvidence)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%v: the checkpoint is still there", c)
		}
	}
}

// TestResumeScores: as TestResumeFit; a line that was cut off is computed again, and another pool's file is refused.
func TestResumeScores(t *testing.T) {
	m, train, held := trained(t)
	l, err := Fit(t.Context(), m, train, nil)
	if err != nil {
		t.Fatal(err)
	}
	pool := &bayesrm.Pool{}
	for _, p := range held.Rows {
		pool.Questions = append(pool.Questions, bayesrm.Question{ID: p.Prompt, Prompt: p.Prompt, Answers: []bayesrm.Answer{{ID: "c", Text: p.Chosen, Gold: math.NaN()}, {ID: "r", Text: p.Rejected, Gold: math.NaN()}}})
	}
	for _, single := range []bool{false, true} {
		want, err := l.ScorePool(t.Context(), pool, &ScoreOptions{Single: single})
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "beliefs")
		o := &ScoreOptions{Single: single, Checkpoint: path}
		var got []bayesrm.Belief
		stops := 0
		for got == nil {
			bs, err := l.ScorePool(stopAfter(t.Context(), "score pool", 3+2*stops), pool, o)
			if err == nil {
				got = bs
				break
			}
			if stops++; !errors.Is(err, context.Canceled) || stops > 50 {
				t.Fatalf("%v after %d stops", err, stops)
			}
			b, err := os.ReadFile(path)
			if err == nil {
				err = os.WriteFile(path, b[:len(b)-7], 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		same := func(a, b bayesrm.Belief) bool {
			f := math.Float64bits
			return a.ID == b.ID && f(a.Mean) == f(b.Mean) && f(a.Var) == f(b.Var) && f(a.RelVar) == f(b.RelVar) && f(a.PriorVar) == f(b.PriorVar) && f(a.PriorRelVar) == f(b.PriorRelVar)
		}
		if !slices.EqualFunc(got, want, same) || stops < 3 {
			t.Errorf("%d stops: other beliefs", stops)
		}
		if again, err := l.ScorePool(t.Context(), pool, o); err != nil || !slices.EqualFunc(again, want, same) {
			t.Errorf("read again: %v", err)
		}
		if _, err := l.ScorePool(t.Context(), &bayesrm.Pool{Questions: pool.Questions[:2]}, o); err == nil {
			t.Error("the beliefs of another pool were taken")
		}
	}
}
