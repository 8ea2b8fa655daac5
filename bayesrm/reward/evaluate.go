package reward

import (
	"context"
	"encoding/json"
	"fmt"

	"gobayes/bayesrm/metrics"
	"gobayes/bayesrm/nn"
	"gobayes/bayesrm/prefs"
	"gobayes/bayesrm/progress"
	"gobayes/bayesrm/train"
)

// Evaluation is how well a model predicts preference pairs.
type Evaluation struct {
	Pairs    int
	Accuracy metrics.Interval
	Margin   float64 // mean of r(chosen) − r(rejected), in logits
	NLL, ECE float64
}

// String is accuracy with its interval, loss, margin and calibration error.
func (e Evaluation) String() string {
	return fmt.Sprintf("%d pairs: accuracy %v, loss %.3f, margin %.2f, calibration error %.3f", e.Pairs, e.Accuracy, e.NLL, e.Margin, e.ECE)
}

// Evaluate measures the model on pairs that it was not trained on.
func (m *Model) Evaluate(ctx context.Context, pairs *prefs.Pairs) (Evaluation, error) {
	seqs, err := m.EncodePairs(pairs)
	if err != nil {
		return Evaluation{}, fmt.Errorf("reward: evaluate: %w", err)
	}
	if len(seqs) == 0 {
		return Evaluation{}, fmt.Errorf("reward: evaluate: no pairs")
	}
	r, err := m.Rewards(ctx, seqs)
	if err != nil {
		return Evaluation{}, err
	}
	n := len(pairs.Rows)
	right, p, happened := make([]float64, n), make([]float64, n), make([]bool, n)
	e := Evaluation{Pairs: n}
	for i := range n {
		d := r[2*i] - r[2*i+1]
		switch {
		case d > 0:
			right[i] = 1
		case d == 0:
			right[i] = 0.5
		}
		e.NLL -= nn.LogSigmoid(d) / float64(n)
		e.Margin += d / float64(n)
		p[i], happened[i] = nn.Sigmoid(d), true
	}
	e.Accuracy = metrics.Bootstrap(right, 1)
	e.ECE = metrics.ECE(p, happened, 15)
	return e, nil
}

// Epoch is how a model does at one point of its training.
type Epoch struct {
	Train, HeldOut Evaluation
}

// watched evaluates the model in training before each epoch.
type watched struct {
	train.Model
	m     *Model
	pairs *prefs.Pairs
}

func (w *watched) Stage(ctx context.Context, epoch int) (err error) {
	var e Epoch
	m := w.m
	if e.Train, err = m.Evaluate(progress.Silent(ctx), w.pairs); err != nil {
		return fmt.Errorf("before epoch %d: %w", epoch, err)
	}
	if e.HeldOut, err = m.Evaluate(progress.Silent(ctx), m.Options.HeldOut); err != nil {
		return fmt.Errorf("before epoch %d: held out: %w", epoch, err)
	}
	m.Epochs = append(m.Epochs, e)
	return nil
}

func (w *watched) SaveStage() ([]byte, error) { return json.Marshal(w.m.Epochs) }

func (w *watched) LoadStage(b []byte) error { return json.Unmarshal(b, &w.m.Epochs) }

func (w *watched) Note() string {
	e := w.m.Epochs[len(w.m.Epochs)-1]
	return fmt.Sprintf("at the last epoch: loss %.3f, held out %.3f, accuracy %.2f", e.Train.NLL, e.HeldOut.NLL, e.HeldOut.Accuracy.Mean)
}
