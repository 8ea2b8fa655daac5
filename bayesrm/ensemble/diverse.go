package ensemble

import (
	"context"
	"fmt"
	"math"

	"gobayes/bayesrm/llm"
	"gobayes/bayesrm/prefs"
	"gobayes/bayesrm/reward"
	"gobayes/bayesrm/tensor"
	"gobayes/bayesrm/train"

	"gonum.org/v1/gonum/mat"
)

// TrainDiverse trains members together, with a loss that pushes their adapters apart (UP-RLHF, Zhai et al., arXiv
// 2401.00243): less coefficient times the mean over layers of √max(Kr, in)·‖W‖_*/‖W‖_F, where W [K·r, in] stacks the members' A
// and the Frobenius norm counts as a constant. The members see the same pairs in the same order.
func TrainDiverse(ctx context.Context, base *llm.Model, pairs *prefs.Pairs, coefficient float64, opts *Options) ([]*reward.Model, error) {
	if !(coefficient >= 0) {
		return nil, fmt.Errorf("ensemble: coefficient %v: must not be negative", coefficient)
	}
	o, ros := opts.resolve()
	if o.Bagging || len(o.Bases) > 0 {
		return nil, fmt.Errorf("ensemble: members that are trained together share their pairs and their base: leave out Bagging and Bases")
	}
	t := &diverse{coefficient: coefficient}
	var models []*reward.Model
	for _, ro := range ros {
		m, err := reward.NewTrainer(base, pairs, ro)
		if err != nil {
			return nil, fmt.Errorf("ensemble: %w", err)
		}
		t.members = append(t.members, m)
		models = append(models, m.Model)
	}
	log, err := train.Run(ctx, t, models[0].Options.Schedule("train diverse reward models", pairs.Len()))
	for _, m := range models {
		m.Log = log
	}
	if err != nil {
		return models, fmt.Errorf("ensemble: %w", err)
	}
	return models, nil
}

type diverse struct {
	members     []*reward.Trainer
	coefficient float64
}

func (t *diverse) Weights() (params, grads [][]float32) {
	for _, m := range t.members {
		p, g := m.Weights()
		params, grads = append(params, p...), append(grads, g...)
	}
	return params, grads
}

// Step returns the mean of the members' losses, with the diversity in it.
func (t *diverse) Step(ctx context.Context, s train.Step) (float64, error) {
	var loss float64
	for _, m := range t.members {
		l, err := m.Step(ctx, s)
		if err != nil {
			return 0, err
		}
		loss += l / float64(len(t.members))
	}
	layers := make([][]*llm.LoRA, len(t.members))
	for k, m := range t.members {
		layers[k] = m.Model.Base.LoRAs()
	}
	for l := range layers[0] {
		stack := make([]*llm.LoRA, len(layers))
		for k := range layers {
			stack[k] = layers[k][l]
		}
		value, sub, err := Diversity(stack)
		if err != nil {
			return 0, err
		}
		c := t.coefficient / float64(len(layers[0]))
		loss -= c * value
		for k, a := range stack {
			n := len(a.A.Data)
			tensor.Axpy(a.A.Grad, float32(-s.Weight*c), sub[k*n:(k+1)*n])
		}
	}
	return loss, nil
}

// Diversity is √max(Kr, in)·‖W‖_*/‖W‖_F of the stacked A [K·r, in] of one layer, and its gradient [K·r·in] with the Frobenius norm
// held constant: U·Vᵀ of the singular value decomposition, times the same factor.
func Diversity(stack []*llm.LoRA) (value float64, gradient []float32, err error) {
	in := stack[0].A.Shape[1]
	var data []float64
	for _, a := range stack {
		for _, v := range a.A.Data {
			data = append(data, float64(v))
		}
	}
	W := mat.NewDense(len(data)/in, in, data)
	rows, _ := W.Dims()
	scale := math.Sqrt(float64(max(rows, in))) / mat.Norm(W, 2)
	var svd mat.SVD
	if !svd.Factorize(W, mat.SVDThin) {
		return 0, nil, fmt.Errorf("ensemble: the singular values of %s do not converge: the weights hold infinities or NaN", stack[0].A.Name)
	}
	for _, v := range svd.Values(nil) {
		value += scale * v
	}
	var u, v, g mat.Dense
	svd.UTo(&u)
	svd.VTo(&v)
	g.Mul(&u, v.T())
	gradient = make([]float32, len(data))
	for i := range rows {
		for j := range in {
			gradient[i*in+j] = float32(scale * g.At(i, j))
		}
	}
	return value, gradient, nil
}
