package train

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gobayes/bayesrm/optim"
	"gobayes/bayesrm/progress"
	"gobayes/bayesrm/safetensors"
)

// quadratic has the loss Σ (w − item)² / 2 over a batch.
type quadratic struct {
	w, g  []float32
	seen  []int
	after int // the step after which the loss is NaN, if positive
}

func (q *quadratic) Weights() (params, grads [][]float32) { return [][]float32{q.w}, [][]float32{q.g} }

func (q *quadratic) Step(_ context.Context, s Step) (float64, error) {
	items := s.Items
	q.seen = append(q.seen, items...)
	var loss float64
	for _, i := range items {
		d := float64(q.w[0]) - float64(i)
		loss += d * d / 2 / float64(len(items))
		q.g[0] += float32(s.Weight * d / float64(len(items)))
	}
	if q.after > 0 && len(q.seen) > q.after {
		return math.NaN(), nil
	}
	return loss, nil
}

func TestRun(t *testing.T) {
	q := &quadratic{w: []float32{0}, g: []float32{0}}
	l, err := Run(context.Background(), q, Options{Items: 11, Batch: 4, Epochs: 300, Schedule: optim.Linear(0.5, 0), Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Loss) != 900 || math.Abs(float64(q.w[0])-5) > 0.3 {
		t.Errorf("%d steps, w = %v, want 900 and about 5", len(l.Loss), q.w[0])
	}
	count := map[int]int{}
	for _, i := range q.seen {
		count[i]++
	}
	for i := range 11 {
		if count[i] != 300 {
			t.Errorf("item %d was seen %d times in 300 epochs", i, count[i])
		}
	}
	same := &quadratic{w: []float32{0}, g: []float32{0}}
	if _, err := Run(context.Background(), same, Options{Items: 11, Batch: 4, Epochs: 300, Schedule: optim.Linear(0.5, 0), Seed: 1}); err != nil || same.w[0] != q.w[0] {
		t.Errorf("the same seed gives %v, then %v (error %v)", q.w[0], same.w[0], err)
	}
}

func TestRunStops(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Run(ctx, &quadratic{w: []float32{0}, g: []float32{0}}, Options{Items: 3, Schedule: optim.Linear(1, 0)}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	q := &quadratic{w: []float32{0}, g: []float32{0}, after: 2}
	if _, err := Run(context.Background(), q, Options{Items: 9, Batch: 1, Schedule: optim.Linear(0.1, 0)}); err == nil || !strings.Contains(err.Error(), "NaN at step 2") {
		t.Errorf("error %v", err)
	}
	if _, err := Run(context.Background(), q, Options{}); err == nil {
		t.Error("nothing to train on was no error")
	}
}

// TestAccumulation: parts of a batch give the gradients of the whole.
func TestAccumulation(t *testing.T) {
	var w []float32
	var losses [][]float64
	for _, micro := range []int{0, 1, 3} {
		q := &quadratic{w: []float32{0}, g: []float32{0}}
		l, err := Run(t.Context(), q, Options{Items: 11, Batch: 4, Micro: micro, Epochs: 3, Schedule: optim.Linear(0.5, 0), Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		w, losses = append(w, q.w[0]), append(losses, l.Loss)
	}
	if math.Abs(float64(w[0]-w[1])) > 1e-5 || math.Abs(float64(w[0]-w[2])) > 1e-5 {
		t.Errorf("parts of 4, 1 and 3 items give %v", w)
	}
	for i, l := range losses[0] {
		if math.Abs(losses[1][i]-l) > 1e-4*(1+l) || math.Abs(losses[2][i]-l) > 1e-4*(1+l) {
			t.Errorf("step %d: losses %v, %v and %v", i, l, losses[1][i], losses[2][i])
		}
	}
}

// TestResume: a run that is stopped at any step and started again ends with the bits of an undisturbed one.
func TestResume(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.safetensors")
	options := Options{Items: 11, Batch: 4, Epochs: 5, Schedule: optim.Cosine(0.3, 2), WeightDecay: 0.1, Clip: 1, Seed: 3, Checkpoint: path, Every: 2, Key: "a"}
	whole := &quadratic{w: []float32{1}, g: []float32{0}}
	want, err := Run(t.Context(), whole, options)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the checkpoint of a finished run is still there: %v", err)
	}
	for stop := range 15 {
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		broken := &quadratic{w: []float32{1}, g: []float32{0}}
		_, err := Run(progress.WithReporter(ctx, func(progress.Event) {
			if n++; n == stop {
				cancel()
			}
		}), broken, options)
		cancel()
		if stop > 0 && stop < 15 && !errors.Is(err, context.Canceled) {
			t.Fatalf("stopped after %d steps: %v", stop, err)
		}
		again := &quadratic{w: []float32{1}, g: []float32{0}}
		log, err := Run(t.Context(), again, options)
		if err != nil {
			t.Fatal(err)
		}
		if again.w[0] != whole.w[0] || !slices.Equal(log.Loss, want.Loss) {
			t.Errorf("stopped after %d steps: w = %v, want %v", stop, again.w[0], whole.w[0])
		}
		if stop > 1 && len(again.seen) >= len(whole.seen) {
			t.Errorf("stopped after %d steps: all items were seen again", stop)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	_, _ = Run(progress.WithReporter(ctx, func(progress.Event) {
		if n++; n == 5 {
			cancel()
		}
	}), &quadratic{w: []float32{1}, g: []float32{0}}, options)
	cancel()
	options.Key = "b"
	if _, err := Run(t.Context(), &quadratic{w: []float32{1}, g: []float32{0}}, options); err == nil || !strings.Contains(err.Error(), "another run") || !strings.Contains(err.Error(), path) {
		t.Errorf("another run's checkpoint: %v", err)
	}
	if err := os.WriteFile(path, []byte("rubbish"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), &quadratic{w: []float32{1}, g: []float32{0}}, options); !errors.Is(err, safetensors.ErrFormat) {
		t.Errorf("a broken checkpoint: %v", err)
	}
}
