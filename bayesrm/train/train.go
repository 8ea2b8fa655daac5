// Package train is the one training loop: batches in a seeded order, a schedule, clipping, AdamW, progress.
package train

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"gobayes/bayesrm/optim"
	"gobayes/bayesrm/progress"
)

// Model is what can be trained.
type Model interface {
	// Step adds the gradients of the mean loss over the given items to Grads and returns that loss.
	Step(ctx context.Context, items []int) (loss float64, err error)
	// Weights returns the trained weights and their gradients, in a fixed order.
	Weights() (params, grads [][]float32)
}

// Options configure Run. Zero fields mean the default.
type Options struct {
	Task        string // name in progress events
	Items       int    // number of training items; required
	Batch       int    // items per step; default 8
	Epochs      int    // default 1
	Schedule    optim.Schedule
	Beta1       float64 // default 0.9
	Beta2       float64 // default 0.999
	WeightDecay float64
	Clip        float64 // global gradient norm; 0 does not clip
	Seed        uint64  // order of the items
}

// Log is the record of a training run.
type Log struct {
	Loss []float64 // of each step
}

// Tail is the mean loss of the last steps, at most n.
func (l Log) Tail(n int) float64 {
	n = min(n, len(l.Loss))
	var s float64
	for _, v := range l.Loss[len(l.Loss)-n:] {
		s += v
	}
	return s / float64(max(1, n))
}

// Run trains m. When ctx ends between two steps the error wraps ctx's, and m keeps what it has learned.
func Run(ctx context.Context, m Model, o Options) (Log, error) {
	if o.Items <= 0 {
		return Log{}, fmt.Errorf("train: %s: no items to train on", o.Task)
	}
	if o.Batch <= 0 {
		o.Batch = 8
	}
	if o.Epochs <= 0 {
		o.Epochs = 1
	}
	if o.Beta1 == 0 {
		o.Beta1 = 0.9
	}
	if o.Beta2 == 0 {
		o.Beta2 = 0.999
	}
	params, grads := m.Weights()
	var sizes []int
	for _, p := range params {
		sizes = append(sizes, len(p))
	}
	opt := optim.NewAdamW(sizes, o.Beta1, o.Beta2, 1e-8, o.WeightDecay)
	rng := rand.New(rand.NewPCG(o.Seed, 0x747261696e))
	perEpoch := (o.Items + o.Batch - 1) / o.Batch
	total := perEpoch * o.Epochs
	var log Log
	for range o.Epochs {
		order := rng.Perm(o.Items)
		for len(order) > 0 {
			step := len(log.Loss)
			if err := ctx.Err(); err != nil {
				return log, fmt.Errorf("train: %s: stopped after %d of %d steps: %w", o.Task, step, total, err)
			}
			n := min(o.Batch, len(order))
			for _, g := range grads {
				clear(g)
			}
			loss, err := m.Step(ctx, order[:n])
			if err != nil {
				return log, err
			}
			if math.IsNaN(loss) || math.IsInf(loss, 0) {
				return log, fmt.Errorf("train: %s: the loss is %v at step %d of %d; lower the learning rate", o.Task, loss, step, total)
			}
			order = order[n:]
			optim.Clip(grads, o.Clip)
			opt.Update(params, grads, o.Schedule(step, total))
			log.Loss = append(log.Loss, loss)
			progress.Report(ctx, progress.Event{Task: o.Task, Done: step + 1, Total: total, Note: fmt.Sprintf("loss %.3f", log.Tail(50))})
		}
	}
	return log, nil
}
