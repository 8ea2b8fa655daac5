package train

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"gobayes/bayesrm/optim"
)

// quadratic has the loss Σ (w − item)² / 2 over a batch.
type quadratic struct {
	w, g  []float32
	seen  []int
	after int // the step after which the loss is NaN, if positive
}

func (q *quadratic) Weights() (params, grads [][]float32) { return [][]float32{q.w}, [][]float32{q.g} }

func (q *quadratic) Step(_ context.Context, items []int) (float64, error) {
	q.seen = append(q.seen, items...)
	var loss float64
	for _, i := range items {
		d := float64(q.w[0]) - float64(i)
		loss += d * d / 2 / float64(len(items))
		q.g[0] += float32(d / float64(len(items)))
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
