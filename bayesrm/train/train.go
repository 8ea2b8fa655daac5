// Package train is the one training loop: batches in a seeded order, a schedule, clipping, AdamW, progress.
package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"

	"gobayes/bayesrm/optim"
	"gobayes/bayesrm/progress"
)

// Model is what can be trained.
type Model interface {
	// Step adds the gradients of the mean loss over the items, times the weight, to those that Weights returns, and returns
	// that mean loss.
	Step(ctx context.Context, s Step) (loss float64, err error)
	// Weights returns the trained weights and their gradients, in a fixed order.
	Weights() (params, grads [][]float32)
}

// Stages is a Model whose items change on the way, as in reinforcement learning.
type Stages interface {
	Model
	// Stage comes before each epoch, from 0.
	Stage(ctx context.Context, epoch int) error
	// SaveStage returns what a run that goes on from a checkpoint needs beside the weights; LoadStage takes it back.
	SaveStage() ([]byte, error)
	LoadStage(state []byte) error
	// Note is the latest figure, for progress events.
	Note() string
}

// Step is what a model is asked to do: a whole batch, or a part of one when gradients are accumulated.
type Step struct {
	Items  []int
	Weight float64 // the part's share of the batch
	Seed   uint64  // for what is random in this step, such as dropout; never 0
}

// Options configure Run. Zero fields mean the default.
type Options struct {
	Task        string // name in progress events
	Items       int    // number of training items; required
	Batch       int    // items per step; default 8
	Micro       int    // items per call of Model.Step, whose gradients are accumulated; default Batch
	Epochs      int    // default 1
	Schedule    optim.Schedule
	Beta1       float64 // default 0.9
	Beta2       float64 // default 0.999
	WeightDecay float64
	Clip        float64 // global gradient norm; 0 does not clip
	Seed        uint64  // order of the items
	// Checkpoint is a file that the state is written to every Every steps (default 100) and when ctx ends; a run that finds
	// it goes on from there and ends with the same bits. It is removed at the end.
	Checkpoint string
	Every      int
	// Key names what else a run depends on, such as a hash of the data: a checkpoint with another key is refused.
	Key string
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

// Run trains m. When ctx ends the error wraps ctx's, and m keeps what it has learned.
func Run(ctx context.Context, m Model, o Options) (log Log, err error) {
	if o.Items <= 0 {
		return Log{}, fmt.Errorf("train: %s: no items to train on", o.Task)
	}
	o.resolve()
	params, grads := m.Weights()
	var sizes []int
	for _, p := range params {
		sizes = append(sizes, len(p))
	}
	opt := optim.NewAdamW(sizes, o.Beta1, o.Beta2, 1e-8, o.WeightDecay)
	perEpoch := (o.Items + o.Batch - 1) / o.Batch
	total := perEpoch * o.Epochs
	state := checkpoint{Version: checkpointVersion}
	stages, _ := m.(Stages)
	if o.Checkpoint != "" {
		state.Run = o.fingerprint(sizes, total)
		if log.Loss, err = state.restore(o.Checkpoint, params, opt, stages); err != nil {
			return Log{}, err
		}
	}
	save := func() error {
		if o.Checkpoint == "" || len(log.Loss) == 0 {
			return nil
		}
		state.Loss = log.Loss
		return state.save(o.Checkpoint, params, opt, stages)
	}
	failed := func(err error) error {
		if ctx.Err() != nil {
			return fmt.Errorf("train: %s: stopped after %d of %d steps: %w", o.Task, len(log.Loss), total, errors.Join(ctx.Err(), save()))
		}
		return err
	}
	rng := rand.New(rand.NewPCG(o.Seed, 0x747261696e))
	for epoch := range o.Epochs {
		order := rng.Perm(o.Items)
		if stages != nil && len(log.Loss) == epoch*perEpoch {
			if err := stages.Stage(ctx, epoch); err != nil {
				return log, failed(err)
			}
		}
		for k := range perEpoch {
			step := len(log.Loss)
			if epoch*perEpoch+k < step {
				continue // before the checkpoint
			}
			items := order[k*o.Batch : min(len(order), (k+1)*o.Batch)]
			loss, err := o.gradients(ctx, m, grads, items, uint64(step))
			if err != nil {
				return log, failed(err)
			}
			if math.IsNaN(loss) || math.IsInf(loss, 0) {
				return log, fmt.Errorf("train: %s: the loss is %v at step %d of %d; lower the learning rate", o.Task, loss, step, total)
			}
			optim.Clip(grads, o.Clip)
			opt.Update(params, grads, o.Schedule(step, total))
			log.Loss = append(log.Loss, loss)
			note := fmt.Sprintf("loss %.3f", log.Tail(50))
			if stages != nil {
				note = stages.Note()
			}
			progress.Report(ctx, progress.Event{Task: o.Task, Done: step + 1, Total: total, Note: note})
			if (step+1)%o.Every == 0 && step+1 < total {
				if err := save(); err != nil {
					return log, err
				}
			}
		}
	}
	if o.Checkpoint != "" {
		if err := os.Remove(o.Checkpoint); err != nil && !errors.Is(err, os.ErrNotExist) {
			return log, fmt.Errorf("train: %s: %w", o.Task, err)
		}
	}
	return log, nil
}

func (o *Options) resolve() {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&o.Batch, 8)
	def(&o.Micro, o.Batch)
	def(&o.Epochs, 1)
	def(&o.Every, 100)
	if o.Beta1 == 0 {
		o.Beta1 = 0.9
	}
	if o.Beta2 == 0 {
		o.Beta2 = 0.999
	}
}

// gradients computes the gradients of one batch, in parts, and its loss.
func (o *Options) gradients(ctx context.Context, m Model, grads [][]float32, items []int, step uint64) (loss float64, err error) {
	for _, g := range grads {
		clear(g)
	}
	for i := 0; i < len(items); i += o.Micro {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		part := items[i:min(len(items), i+o.Micro)]
		w := float64(len(part)) / float64(len(items))
		l, err := m.Step(ctx, Step{Items: part, Weight: w, Seed: rand.New(rand.NewPCG(o.Seed, step<<20+uint64(i))).Uint64() | 1})
		if err != nil {
			return 0, err
		}
		loss += w * l
	}
	return loss, nil
}
