// Package laplace fits a Gaussian posterior over the LoRA weights of a reward model (paper eqs. 6–17), exactly: the
// generalised Gauss-Newton matrix of all LoRA weights, by way of its dual.
//
// With d_n the gradient of r(chosen) − r(rejected) of pair n, p_n = σ of that difference, D [N, P] the rows d_n and
// W = diag(p(1−p)), the posterior precision is DᵀWD + δI. Nothing of size P×P is formed: with
// M = I + W^½DDᵀW^½/δ = LLᵀ [N, N],
//
//	Λ(j) = (‖j‖² − ‖L⁻¹W^½Dj‖²/δ)/δ,   log det = P·log δ + log det M.
package laplace

import (
	"context"
	"errors"
	"fmt"
	"math"

	"gobayes/bayesrm"
	"gobayes/bayesrm/linalg"
	"gobayes/bayesrm/llm"
	"gobayes/bayesrm/nn"
	"gobayes/bayesrm/prefs"
	"gobayes/bayesrm/progress"
	"gobayes/bayesrm/reward"
	"gobayes/bayesrm/tensor"

	"gonum.org/v1/gonum/mat"
)

// Curvature is the structure of the posterior's precision.
type Curvature int

// The curvatures. Auto is Exact.
const (
	Auto  Curvature = iota
	Exact           // the true Gauss-Newton matrix of all LoRA weights, in dual form
)

// String is the curvature's name.
func (c Curvature) String() string {
	if c == Exact {
		return "exact"
	}
	return "auto"
}

// Options configure Fit. A nil *Options, and every zero field, mean the default.
type Options struct {
	// PriorPrecision δ of the Gaussian prior N(0, I/δ) on the LoRA weights, in 1/weight². Default 1. Higher is more certain.
	PriorPrecision float64
	// Curvature of the posterior. Default Auto.
	Curvature Curvature
}

// Posterior is a reward model with a Gaussian over its LoRA weights. The head is fixed.
type Posterior struct {
	Model          *reward.Model
	Curvature      Curvature
	PriorPrecision float64 // δ
	Pairs          int     // N
	Weights        int     // P
	LogLikelihood  float64 // Σ log p_n at the trained weights
	ThetaNorm2     float64 // ‖θ‖²
	Informative    float64 // Σ p_n(1−p_n): how many pairs still carry curvature, times ¼ at most
	LogEvidence    float64 // Laplace's approximation at δ (METHODS §4.6)
	NullEvidence   float64 // log evidence of a model that knows nothing: −N log 2
	Gamma          float64 // effective number of parameters, Σ λ/(λ+δ)

	sw     []float64     // √(p(1−p)) [N]
	d      []float32     // D [N, P]
	kernel *mat.SymDense // W^½DDᵀW^½ [N, N]
	proj   []float32     // L⁻¹W^½D [N, P]
}

// ErrSeparable is the error of pairs that the model separates so well that no curvature is left.
var ErrSeparable = errors.New("no pair carries curvature")

// Fit computes the posterior of a trained model on the pairs that it was trained on.
func Fit(ctx context.Context, m *reward.Model, pairs *prefs.Pairs, opts *Options) (*Posterior, error) {
	o := Options{}
	if opts != nil {
		o = *opts
	}
	if o.PriorPrecision == 0 {
		o.PriorPrecision = 1
	}
	if !(o.PriorPrecision > 0) {
		return nil, fmt.Errorf("laplace: fit: prior precision %v: must be positive", o.PriorPrecision)
	}
	if pairs.Len() == 0 {
		return nil, fmt.Errorf("laplace: fit: no pairs")
	}
	l := &Posterior{Model: m, Curvature: Exact, Pairs: pairs.Len(), Weights: m.NumWeights()}
	D, diff, err := pairGradients(ctx, m, pairs, "fit Laplace")
	if err != nil {
		return nil, fmt.Errorf("laplace: fit: %w", err)
	}
	l.sw = make([]float64, l.Pairs)
	for n, f := range diff {
		w := nn.Sigmoid(f) * nn.Sigmoid(-f)
		l.sw[n] = math.Sqrt(w)
		l.Informative += w
		l.LogLikelihood += nn.LogSigmoid(f)
	}
	if l.Informative < 1e-9*float64(l.Pairs) {
		return nil, fmt.Errorf("laplace: fit: Σ p(1−p) = %.3g over %d pairs: %w; train for fewer epochs or with weight decay", l.Informative, l.Pairs, ErrSeparable)
	}
	l.d = D
	for _, v := range m.Theta() {
		l.ThetaNorm2 += v * v
	}
	l.NullEvidence = -float64(l.Pairs) * math.Ln2
	l.kernel = gram(D, l.sw, l.Weights)
	if err := l.set(o.PriorPrecision); err != nil {
		return nil, fmt.Errorf("laplace: fit: %w", err)
	}
	return l, nil
}

// pairGradients returns D [N, P] and the reward differences [N].
func pairGradients(ctx context.Context, m *reward.Model, pairs *prefs.Pairs, task string) (D []float32, diff []float64, err error) {
	P := m.NumWeights()
	seqs := make([][]int, 0, 2*pairs.Len())
	for i, p := range pairs.Rows {
		for _, a := range []string{p.Chosen, p.Rejected} {
			ids, _, err := m.Encode(p.Prompt, a)
			if err != nil {
				return nil, nil, fmt.Errorf("pair %d: %w", i, err)
			}
			seqs = append(seqs, ids)
		}
	}
	D = make([]float32, pairs.Len()*P)
	diff = make([]float64, pairs.Len())
	var acts llm.Acts
	err = reward.Batches(ctx, task, seqs, false, func(from, to int) error {
		r, J, err := m.Jacobians(ctx, &acts, seqs[from:to])
		if err != nil {
			return err
		}
		for i := from; i < to; i++ {
			sign := 1 - 2*(i%2) // chosen rows add, rejected rows subtract
			tensor.Axpy(D[i/2*P:(i/2+1)*P], float32(sign), J[(i-from)*P:(i-from+1)*P])
			diff[i/2] += float64(sign) * r[i-from]
		}
		return nil
	})
	return D, diff, err
}

// gram returns W^½DDᵀW^½ in float64.
func gram(D []float32, sw []float64, P int) *mat.SymDense {
	N := len(sw)
	const block = 512 // columns of D that are widened at a time
	k := mat.NewSymDense(N, nil)
	part := mat.NewDense(N, min(block, P), nil)
	for c := 0; c < P; c += block {
		w := min(block, P-c)
		b := part.Slice(0, N, 0, w).(*mat.Dense)
		for n := range N {
			row := b.RawRowView(n)
			for i, v := range D[n*P+c : n*P+c+w] {
				row[i] = float64(v) * sw[n]
			}
		}
		linalg.AddGram(k, b)
	}
	return k
}

// factor returns the Cholesky factor L of M = I + kernel/δ.
func (l *Posterior) factor(delta float64) (*mat.TriDense, error) {
	N := l.Pairs
	m := mat.NewSymDense(N, nil)
	for i := range N {
		for j := i; j < N; j++ {
			m.SetSym(i, j, l.kernel.At(i, j)/delta)
		}
		m.SetSym(i, i, m.At(i, i)+1)
	}
	L, err := linalg.Cholesky(m)
	if err != nil {
		return nil, fmt.Errorf("I + W^½DDᵀW^½/δ at δ = %g: the gradients hold infinities or NaN: %w", delta, err)
	}
	return L, nil
}

// evidence is log p(pairs|θ) − ½[log det(H + δI) − P log δ + δ‖θ‖²].
func (l *Posterior) evidence(L *mat.TriDense, delta float64) float64 {
	var half float64 // of log det M
	for i := range l.Pairs {
		half += math.Log(L.At(i, i))
	}
	return l.LogLikelihood - half - 0.5*delta*l.ThetaNorm2
}

// set makes δ the prior precision.
func (l *Posterior) set(delta float64) error {
	L, err := l.factor(delta)
	if err != nil {
		return err
	}
	l.PriorPrecision = delta
	l.LogEvidence = l.evidence(L, delta)
	inv := mat.NewDense(l.Pairs, l.Pairs, nil)
	for i := range l.Pairs {
		inv.Set(i, i, 1)
	}
	linalg.SolveLower(L, inv, false)
	norm := mat.Norm(inv, 2)
	l.Gamma = float64(l.Pairs) - norm*norm // tr M⁻¹ = ‖L⁻¹‖²
	l.proj = l.project(L)
	return nil
}

// project returns L⁻¹W^½D [N, P].
func (l *Posterior) project(L *mat.TriDense) []float32 {
	N, P := l.Pairs, l.Weights
	const block = 1024 // columns at a time, independent of each other
	out := make([]float32, N*P)
	for from := 0; from < P; from += block {
		w := min(block, P-from)
		b := mat.NewDense(N, w, nil)
		for n := range N {
			row := b.RawRowView(n)
			for i, v := range l.d[n*P+from : n*P+from+w] {
				row[i] = float64(v) * l.sw[n]
			}
		}
		linalg.SolveLower(L, b, false)
		for n := range N {
			for i, v := range b.RawRowView(n) {
				out[n*P+from+i] = float32(v)
			}
		}
	}
	return out
}

// TuneOptions configure TunePrior. A nil *TuneOptions means the evidence.
type TuneOptions struct {
	// HeldOut pairs: δ maximises their likelihood, with the probability of a pair averaged over the posterior (probit
	// approximation). Default nil: δ maximises the evidence, as the paper does.
	HeldOut *prefs.Pairs
}

// The range in which δ is searched, in 1/weight².
const (
	minDelta = 1e-4
	maxDelta = 1e6
)

// TunePrior returns the posterior with the best prior precision δ. The trained weights and the curvature stay.
func (l *Posterior) TunePrior(ctx context.Context, opts *TuneOptions) (*Posterior, error) {
	objective := func(delta float64) (float64, error) {
		L, err := l.factor(delta)
		if err != nil {
			return 0, err
		}
		return l.evidence(L, delta), nil
	}
	if opts != nil && opts.HeldOut != nil {
		held, diff, err := pairGradients(ctx, l.Model, opts.HeldOut, "gradients of held-out pairs")
		if err != nil {
			return nil, fmt.Errorf("laplace: tune prior: %w", err)
		}
		u, norm := l.against(held, len(diff))
		objective = func(delta float64) (float64, error) { return l.heldOut(u, norm, diff, delta) }
	}
	best, err := golden(ctx, math.Log(minDelta), math.Log(maxDelta), objective)
	if err != nil {
		return nil, fmt.Errorf("laplace: tune prior: %w", err)
	}
	t := *l
	if err := t.set(math.Exp(best)); err != nil {
		return nil, fmt.Errorf("laplace: tune prior: %w", err)
	}
	return &t, nil
}

// against returns W^½D·hᵀ [N, n] and ‖h‖² [n] for the rows h of held [n, P].
func (l *Posterior) against(held []float32, n int) (u *mat.Dense, norm []float64) {
	N, P := l.Pairs, l.Weights
	y := make([]float32, N*n)
	tensor.MatMulNT(y, l.d, held, N, n, P, false)
	u = mat.NewDense(N, n, nil)
	for i := range N {
		for j := range n {
			u.Set(i, j, float64(y[i*n+j])*l.sw[i])
		}
	}
	norm = make([]float64, n)
	for j := range n {
		norm[j] = square(held[j*P : (j+1)*P])
	}
	return u, norm
}

func square(x []float32) float64 {
	var s float64
	for _, v := range x {
		s += float64(v) * float64(v)
	}
	return s
}

// heldOut is the mean log probability of held-out pairs under the posterior at δ.
func (l *Posterior) heldOut(u *mat.Dense, norm, diff []float64, delta float64) (float64, error) {
	L, err := l.factor(delta)
	if err != nil {
		return 0, err
	}
	v := mat.DenseCopyOf(u)
	linalg.SolveLower(L, v, false)
	var s float64
	for j, f := range diff {
		var vv float64
		for i := range l.Pairs {
			vv += v.At(i, j) * v.At(i, j)
		}
		s += nn.LogSigmoid(f / math.Sqrt(1+math.Pi/8*math.Max(0, (norm[j]-vv/delta)/delta)))
	}
	return s / float64(len(diff)), nil
}

// golden maximises f(exp x) over x by golden-section search.
func golden(ctx context.Context, a, b float64, f func(delta float64) (float64, error)) (float64, error) {
	const (
		ratio = 0.6180339887498949
		steps = 40 // the interval shrinks to 1e-7 of log δ
	)
	x1, x2 := b-ratio*(b-a), a+ratio*(b-a)
	f1, err := f(math.Exp(x1))
	if err != nil {
		return 0, err
	}
	f2, err := f(math.Exp(x2))
	if err != nil {
		return 0, err
	}
	for i := range steps {
		if err := ctx.Err(); err != nil {
			return 0, fmt.Errorf("stopped at step %d of %d: %w", i, steps, err)
		}
		if f1 < f2 {
			a, x1, f1 = x1, x2, f2
			x2 = a + ratio*(b-a)
			f2, err = f(math.Exp(x2))
		} else {
			b, x2, f2 = x2, x1, f1
			x1 = b - ratio*(b-a)
			f1, err = f(math.Exp(x1))
		}
		if err != nil {
			return 0, err
		}
		progress.Report(ctx, progress.Event{Task: "tune prior precision", Done: i + 1, Total: steps, Note: fmt.Sprintf("δ %.3g", math.Exp((a+b)/2))})
	}
	return (a + b) / 2, nil
}

// String is δ, the evidence beside that of knowing nothing, and how much the data says.
func (l *Posterior) String() string {
	return fmt.Sprintf("Laplace posterior (%s): %d LoRA weights, %d pairs, δ %.4g, log evidence %.1f (knowing nothing: %.1f), γ %.1f, Σp(1−p) %.1f",
		l.Curvature, l.Weights, l.Pairs, l.PriorPrecision, l.LogEvidence, l.NullEvidence, l.Gamma, l.Informative)
}

// variances returns Λ and the prior variance of each gradient row of J [B, P].
func (l *Posterior) variances(J []float32, B int) (post, prior []float64) {
	P, N, delta := l.Weights, l.Pairs, l.PriorPrecision
	v := make([]float32, B*N)
	tensor.MatMulNT(v, J, l.proj, B, N, P, false)
	post, prior = make([]float64, B), make([]float64, B)
	for i := range B {
		jj := square(J[i*P : (i+1)*P])
		prior[i] = jj / delta
		post[i] = math.Max(0, (jj-square(v[i*N:(i+1)*N])/delta)/delta)
	}
	return post, prior
}

// Score returns the belief about each answer to a prompt, by itself: relative variances are NaN.
func (l *Posterior) Score(ctx context.Context, prompt string, answers []string) ([]bayesrm.Belief, error) {
	q := bayesrm.Question{ID: prompt, Prompt: prompt}
	for i, a := range answers {
		q.Answers = append(q.Answers, bayesrm.Answer{ID: fmt.Sprint(i), Text: a})
	}
	bs, err := l.question(ctx, q, false)
	if err != nil {
		return nil, fmt.Errorf("laplace: score: %w", err)
	}
	return bs, nil
}

// ScoreOptions configure ScorePool. A nil *ScoreOptions means the default.
type ScoreOptions struct {
	// Single leaves out the relative variances, which need every gradient of a prompt in memory at once.
	Single bool
}

// ScorePool returns the beliefs about all answers of a pool, in its order, with variances of the single response and
// relative to the mean over the prompt's answers (METHODS §4.3). Equal answers to a prompt are computed once.
func (l *Posterior) ScorePool(ctx context.Context, pool *bayesrm.Pool, opts *ScoreOptions) ([]bayesrm.Belief, error) {
	relative := opts == nil || !opts.Single
	var out []bayesrm.Belief
	for i, q := range pool.Questions {
		bs, err := l.question(ctx, q, relative)
		if err != nil {
			return nil, fmt.Errorf("laplace: score pool: prompt %d of %d (%s): %w", i, len(pool.Questions), q.ID, err)
		}
		out = append(out, bs...)
		progress.Report(ctx, progress.Event{Task: "score pool", Done: i + 1, Total: len(pool.Questions)})
	}
	return out, nil
}

// question computes the beliefs about the answers to one prompt.
func (l *Posterior) question(ctx context.Context, q bayesrm.Question, relative bool) ([]bayesrm.Belief, error) {
	row := map[string]int{} // text → row among the distinct ones
	var seqs [][]int
	var count []float64
	for _, a := range q.Answers {
		i, ok := row[a.Text]
		if !ok {
			ids, _, err := l.Model.Encode(q.Prompt, a.Text)
			if err != nil {
				return nil, fmt.Errorf("answer %s: %w", a.ID, err)
			}
			i = len(seqs)
			row[a.Text] = i
			seqs, count = append(seqs, ids), append(count, 0)
		}
		count[i]++
	}
	P, n := l.Weights, len(seqs)
	bs := make([]bayesrm.Belief, n)
	var all []float32
	if relative {
		all = make([]float32, n*P)
	}
	var acts llm.Acts
	err := reward.Batches(withoutProgress(ctx), "score", seqs, false, func(from, to int) error {
		r, J, err := l.Model.Jacobians(ctx, &acts, seqs[from:to])
		if err != nil {
			return err
		}
		post, prior := l.variances(J, to-from)
		for i := from; i < to; i++ {
			bs[i] = bayesrm.Belief{Mean: r[i-from], Var: post[i-from], PriorVar: prior[i-from], RelVar: math.NaN(), PriorRelVar: math.NaN()}
		}
		if relative {
			copy(all[from*P:], J)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if relative {
		centre(all, count, P)
		post, prior := l.variances(all, n)
		for i := range bs {
			bs[i].RelVar, bs[i].PriorRelVar = post[i], prior[i]
		}
	}
	out := make([]bayesrm.Belief, len(q.Answers))
	for k, a := range q.Answers {
		out[k] = bs[row[a.Text]]
		out[k].ID = a.ID
	}
	return out, nil
}

// centre subtracts from the rows of J [n, P] their mean, weighted by count.
func centre(J []float32, count []float64, P int) {
	mean := make([]float64, P)
	var total float64
	for i, c := range count {
		total += c
		for p, v := range J[i*P : (i+1)*P] {
			mean[p] += c * float64(v)
		}
	}
	for i := range count {
		for p := range P {
			J[i*P+p] -= float32(mean[p] / total)
		}
	}
}

// withoutProgress keeps the inner loops of a larger task from drawing bars of their own.
func withoutProgress(ctx context.Context) context.Context {
	return progress.WithReporter(ctx, func(progress.Event) {})
}

// Covariance returns the posterior covariance matrix of the rewards of token sequences [n, n].
func (l *Posterior) Covariance(ctx context.Context, seqs [][]int) (*mat.SymDense, error) {
	var acts llm.Acts
	_, J, err := l.Model.Jacobians(ctx, &acts, seqs)
	if err != nil {
		return nil, fmt.Errorf("laplace: covariance: %w", err)
	}
	n, P, N, delta := len(seqs), l.Weights, l.Pairs, l.PriorPrecision
	v := make([]float32, n*N)
	tensor.MatMulNT(v, J, l.proj, n, N, P, false)
	out := mat.NewSymDense(n, nil)
	for i := range n {
		for j := i; j < n; j++ {
			out.SetSym(i, j, (dot64(J[i*P:(i+1)*P], J[j*P:(j+1)*P])-dot64(v[i*N:(i+1)*N], v[j*N:(j+1)*N])/delta)/delta)
		}
	}
	return out, nil
}

func dot64(a, b []float32) float64 {
	var s float64
	for i, x := range a {
		s += float64(x) * float64(b[i])
	}
	return s
}
