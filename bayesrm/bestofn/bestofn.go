// Package bestofn computes what best-of-n selection gains, exactly: the expected reward of the best of n answers under a
// score, from a fixed pool, without drawing subsets.
package bestofn

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"sort"

	"gobayes/bayesrm"
	"gobayes/bayesrm/metrics"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/stat"
)

// Weights returns the probability that the i-th smallest of N is the largest of n drawn without replacement (paper
// eq. 25): C(i−1, n−1) / C(N, n), computed by w_N = n/N, w_(i−1) = w_i·(i−n)/(i−1). The slice has length N.
func Weights(N, n int) []float64 {
	w := make([]float64, N)
	v := float64(n) / float64(N)
	for i := N; i >= n; i-- {
		w[i-1] = v
		if i > 1 {
			v *= float64(i-n) / float64(i-1)
		}
	}
	return w
}

// Estimate returns the expected value of the best of n by score, for each n. Answers of equal score share their values:
// ties are broken at random.
func Estimate(score, value []float64, ns []int) []float64 {
	return new(Estimator).Estimate(score, [][]float64{value}, ns)[0]
}

// Estimator is Estimate for many prompts: it keeps the weights, and room to sort in. The zero value is ready. It is not safe for
// concurrent use.
type Estimator struct {
	weights   map[[2]int][]float64 // of (N, n), from the first that counts to the last
	keys, tmp []uint64
	sorted    []float64
}

// negligible is a weight that N of which do not change a sum.
const negligible = 1e-22

// tail returns the weights of the largest answers, without those that are negligible.
func (e *Estimator) tail(N, n int) []float64 {
	w, ok := e.weights[[2]int{N, n}]
	if ok {
		return w
	}
	w = Weights(N, n)
	for len(w) > 1 && w[0] < negligible {
		w = w[1:]
	}
	if e.weights == nil {
		e.weights = map[[2]int][]float64{}
	}
	e.weights[[2]int{N, n}] = w
	return w
}

// Estimate returns, for each slice of values of the same answers, the expected value of the best of n by score, for each n.
func (e *Estimator) Estimate(score []float64, values [][]float64, ns []int) [][]float64 {
	N := len(score)
	order := e.ascending(score)
	if len(e.sorted) != N {
		e.sorted = make([]float64, N)
	}
	out := make([][]float64, len(values))
	for k, value := range values {
		for i := 0; i < N; {
			first := score[uint32(order[i])]
			s, j := value[uint32(order[i])], i+1
			for j < N && score[uint32(order[j])] == first {
				s += value[uint32(order[j])]
				j++
			}
			for l := i; l < j; l++ {
				e.sorted[l] = s / float64(j-i)
			}
			i = j
		}
		for _, n := range ns {
			w := e.tail(N, n)
			out[k] = append(out[k], floats.Dot(w, e.sorted[N-len(w):]))
		}
	}
	return out
}

// ascending returns the answers in ascending order of score: the number of each in the low half of an entry. The high half
// is the start of the score, by which a radix sort goes; where that is equal the scores are compared.
func (e *Estimator) ascending(score []float64) []uint64 {
	const digit, passes = 11, 3
	N := len(score)
	if len(e.keys) != N {
		e.keys, e.tmp = make([]uint64, N), make([]uint64, N)
	}
	var count [passes][1 << digit]uint32
	for i, s := range score {
		bits := math.Float64bits(s + 0) // no −0
		if bits>>63 == 1 {
			bits = ^bits
		} else {
			bits |= 1 << 63
		}
		key := bits >> 32
		e.keys[i] = key<<32 | uint64(i)
		for p := range passes {
			count[p][key>>(digit*p)&(1<<digit-1)]++
		}
	}
	for p := range passes {
		var at uint32
		for d, n := range count[p] {
			count[p][d] = at
			at += n
		}
		shift := 32 + digit*p
		for _, k := range e.keys {
			c := &count[p][k>>shift&(1<<digit-1)]
			e.tmp[*c] = k
			*c++
		}
		e.keys, e.tmp = e.tmp, e.keys
	}
	less := func(a, b uint64) int { return cmp.Compare(score[uint32(a)], score[uint32(b)]) }
	for i := 0; i < N; {
		j := i + 1
		for j < N && e.keys[j]>>32 == e.keys[i]>>32 {
			j++
		}
		if run := e.keys[i:j]; len(run) > 1 && !slices.IsSortedFunc(run, less) {
			slices.SortFunc(run, less)
		}
		i = j
	}
	return e.keys
}

// SamePick is the probability that two scores choose the same of n answers drawn without replacement, exactly. Of equal
// scores the earlier answer wins.
func SamePick(a, b []float64, n int) float64 {
	N := len(a)
	rank := func(x []float64) []int {
		order := make([]int, N)
		for i := range order {
			order[i] = i
		}
		sort.SliceStable(order, func(i, j int) bool { return x[order[i]] > x[order[j]] })
		r := make([]int, N) // 0 is the smallest
		for k, i := range order {
			r[i] = N - 1 - k
		}
		return r
	}
	ra, rb := rank(a), rank(b)
	byA := make([]int, N)
	for i, r := range ra {
		byA[r] = rb[i]
	}
	// An answer is the pick of both if it is drawn and the other n−1 are below it in both: C(below, n−1)/C(N, n).
	w := Weights(N, n) // w[c] = C(c, n−1)/C(N, n)
	tree := make([]int, N+1)
	var p float64
	for _, r := range byA {
		c := 0
		for i := r; i > 0; i -= i & -i {
			c += tree[i]
		}
		p += w[c]
		for i := r + 1; i <= N; i += i & -i {
			tree[i]++
		}
	}
	return p
}

// Result is a best-of-n curve. The slices over n have the length of N; the matrices are [P][len(N)].
type Result struct {
	N  []int
	KL []float64
	// Proxy is the selecting score itself, Mean the unpenalised reward and Gold the true reward of what is selected,
	// each as the gain over one answer (n = 1), averaged over prompts, with bootstrap intervals over prompts.
	Proxy, Mean, Gold []metrics.Interval
	// Per prompt, the same gains.
	PromptProxy, PromptMean, PromptGold [][]float64
	// Groups of prompts by the curves that were merged; intervals draw groups first. nil is one.
	Groups []int
}

// Curve returns the best-of-n curve of a pool under scores, which are joined by answer id. It is an error if a score is
// missing, NaN or superfluous, if gold is missing, or if some n exceeds the answers of a prompt.
func Curve(pool *bayesrm.Pool, scores []bayesrm.Score, ns []int) (*Result, error) {
	if len(scores) != pool.Len() {
		return nil, fmt.Errorf("bestofn: curve: %d scores for a pool of %d answers; score the same pool", len(scores), pool.Len())
	}
	byID := make(map[string]bayesrm.Score, len(scores))
	for _, s := range scores {
		if _, dup := byID[s.ID]; dup {
			return nil, fmt.Errorf("bestofn: curve: answer %q is scored twice", s.ID)
		}
		byID[s.ID] = s
	}
	return CurveOf(func(yield func(Scored, error) bool) {
		for _, q := range pool.Questions {
			of := Scored{Question: q}
			for _, a := range q.Answers {
				if s, ok := byID[a.ID]; ok {
					of.Scores = append(of.Scores, s)
				}
			}
			if !yield(of, nil) {
				return
			}
		}
	}, ns)
}

// Scored is a prompt with its answers and a score of each, in any order.
type Scored struct {
	bayesrm.Question
	Scores []bayesrm.Score
}

// CurveOf is Curve of prompts that come one at a time and are forgotten: a pool of any size. An error in the sequence ends it.
func CurveOf(scored iter.Seq2[Scored, error], ns []int) (*Result, error) {
	r := &Result{N: ns}
	for _, n := range ns {
		if n < 1 {
			return nil, fmt.Errorf("bestofn: curve: n = %d: must be at least 1", n)
		}
		r.KL = append(r.KL, KL(n))
	}
	grid := append([]int{1}, ns...) // gains are over n = 1
	var e Estimator
	for q, err := range scored {
		if err == nil {
			err = r.add(&e, q, grid)
		}
		if err != nil {
			return nil, fmt.Errorf("bestofn: curve: prompt %d: %w", len(r.PromptGold)+1, err)
		}
	}
	if len(r.PromptGold) == 0 {
		return nil, fmt.Errorf("bestofn: curve: no prompts")
	}
	r.setIntervals()
	return r, nil
}

// add computes the gains of one prompt.
func (r *Result) add(e *Estimator, q Scored, grid []int) error {
	for _, n := range grid {
		if n > len(q.Answers) {
			return fmt.Errorf("n = %d, but prompt %q has %d answers", n, q.ID, len(q.Answers))
		}
	}
	byID := make(map[string]bayesrm.Score, len(q.Scores))
	for _, s := range q.Scores {
		if _, dup := byID[s.ID]; dup {
			return fmt.Errorf("answer %q is scored twice", s.ID)
		}
		if math.IsNaN(s.Value) {
			return fmt.Errorf("the score of answer %q is NaN; a relative variance needs beliefs from ScorePool", s.ID)
		}
		byID[s.ID] = s
	}
	var score, mean, gold []float64
	for _, a := range q.Answers {
		s, ok := byID[a.ID]
		if !ok {
			return fmt.Errorf("answer %q of prompt %q has no score, or comes twice", a.ID, q.ID)
		}
		if math.IsNaN(a.Gold) {
			return fmt.Errorf("answer %q of prompt %q has no gold", a.ID, q.ID)
		}
		delete(byID, a.ID)
		score, mean, gold = append(score, s.Value), append(mean, s.Mean), append(gold, a.Gold)
	}
	for id := range byID {
		return fmt.Errorf("answer %q is scored, but is none of prompt %q", id, q.ID)
	}
	v := e.Estimate(score, [][]float64{score, mean, gold}, grid)
	r.PromptProxy = append(r.PromptProxy, gains(v[0]))
	r.PromptMean = append(r.PromptMean, gains(v[1]))
	r.PromptGold = append(r.PromptGold, gains(v[2]))
	return nil
}

// Join gives each prompt of a stream its scores from another, by answer id: prompts in the order of the scores, and those of one
// prompt together in any order. Only one prompt is in memory. A score that belongs to another prompt is an error that names its row.
func Join(questions iter.Seq2[bayesrm.Question, error], scores iter.Seq2[bayesrm.Score, error]) iter.Seq2[Scored, error] {
	return func(yield func(Scored, error) bool) {
		next, stop := iter.Pull2(scores)
		defer stop()
		row := 0
		for q, err := range questions {
			of := Scored{Question: q}
			if err != nil {
				yield(of, err)
				return
			}
			wanted := map[string]bool{}
			for _, a := range q.Answers {
				wanted[a.ID] = true
			}
			for range q.Answers {
				s, err, ok := next()
				row++
				switch {
				case !ok:
					err = fmt.Errorf("the scores end after %d, within the answers of prompt %q", row-1, q.ID)
				case err == nil && !wanted[s.ID]:
					err = fmt.Errorf("score %d is of %q, want an answer of prompt %q: scores follow the order of the prompts, one an answer", row, s.ID, q.ID)
				}
				if err != nil {
					yield(of, err)
					return
				}
				of.Scores = append(of.Scores, s)
			}
			if !yield(of, nil) {
				return
			}
		}
		if s, err, ok := next(); ok {
			if err == nil {
				err = fmt.Errorf("score %d is of %q, behind the last prompt", row+1, s.ID)
			}
			yield(Scored{}, err)
		}
	}
}

func (r *Result) setIntervals() {
	r.Proxy, r.Mean, r.Gold = r.intervals(r.PromptProxy), r.intervals(r.PromptMean), r.intervals(r.PromptGold)
}

// Merge joins the curves of one selector over several trials, such as seeds, each with prompts of its own. Intervals are then
// over trials and over prompts within them. It is an error if the n differ.
func Merge(curves ...*Result) (*Result, error) {
	out, err := join(curves)
	if err != nil {
		return nil, fmt.Errorf("bestofn: merge: %w", err)
	}
	for _, c := range curves {
		out.Groups = append(out.Groups, c.groups()...)
	}
	out.setIntervals()
	return out, nil
}

// Concat joins the curves of one selector over parts of a pool: intervals are over all prompts alike. It is an error if the n
// differ.
func Concat(curves ...*Result) (*Result, error) {
	out, err := join(curves)
	if err != nil {
		return nil, fmt.Errorf("bestofn: concat: %w", err)
	}
	out.setIntervals()
	return out, nil
}

// join puts the prompts of curves together, without intervals.
func join(curves []*Result) (*Result, error) {
	if len(curves) == 0 {
		return nil, errors.New("no curves")
	}
	out := &Result{N: curves[0].N, KL: curves[0].KL}
	for i, c := range curves {
		if !slices.Equal(c.N, out.N) {
			return nil, fmt.Errorf("curve 0 has n = %v, curve %d has %v", out.N, i, c.N)
		}
		out.PromptProxy = append(out.PromptProxy, c.PromptProxy...)
		out.PromptMean = append(out.PromptMean, c.PromptMean...)
		out.PromptGold = append(out.PromptGold, c.PromptGold...)
	}
	return out, nil
}

func (r *Result) groups() []int {
	if r.Groups == nil {
		return []int{len(r.PromptGold)}
	}
	return r.Groups
}

// gains subtracts the first value, that of n = 1, from the others.
func gains(v []float64) []float64 {
	out := make([]float64, len(v)-1)
	for i := range out {
		out[i] = v[i+1] - v[0]
	}
	return out
}

// intervals averages [P][len(N)] over prompts.
func (r *Result) intervals(perPrompt [][]float64) []metrics.Interval {
	out := make([]metrics.Interval, len(r.N))
	for k := range out {
		var groups [][]float64
		at := 0
		for _, n := range r.groups() {
			col := make([]float64, n)
			for p := range col {
				col[p] = perPrompt[at+p][k]
			}
			groups = append(groups, col)
			at += n
		}
		out[k] = metrics.BootstrapGroups(groups, uint64(k))
	}
	return out
}

// String is the gold gain at its peak and at the end.
func (r *Result) String() string {
	if len(r.N) == 0 || len(r.Gold) == 0 {
		return "empty best-of-n curve"
	}
	s, last := r.Summary(), len(r.N)-1
	return fmt.Sprintf("best of n: gold gain %.3f at its peak n = %d, %v at n = %d", s.Peak, s.PeakN, r.Gold[last], r.N[last])
}

// Summary is what a curve of gold gains comes to.
type Summary struct {
	Peak, Final float64 // the largest gain and that at the last n
	PeakN       int
	PeakKL      float64 // in nats
	Gap         float64 // Peak − Final: what over-optimisation costs
	Area        float64 // under the gain over KL, by trapezoids, divided by the range of KL
}

// Summary returns peak, end, gap and area of the gold gains. The n of the curve must ascend.
func (r *Result) Summary() Summary {
	best, last := 0, len(r.N)-1
	var area float64
	for i, g := range r.Gold {
		if g.Mean > r.Gold[best].Mean {
			best = i
		}
		if i > 0 {
			area += (r.KL[i] - r.KL[i-1]) * (g.Mean + r.Gold[i-1].Mean) / 2
		}
	}
	if last > 0 {
		area /= r.KL[last] - r.KL[0]
	}
	s := Summary{Peak: r.Gold[best].Mean, Final: r.Gold[last].Mean, PeakN: r.N[best], PeakKL: r.KL[best], Area: area}
	s.Gap = s.Peak - s.Final
	return s
}

// Difference returns the paired difference a − b of two curves' gold gains at each n, with intervals over prompts.
func Difference(a, b *Result) ([]metrics.Interval, error) {
	if !slices.Equal(a.groups(), b.groups()) || !slices.Equal(a.N, b.N) {
		return nil, fmt.Errorf("bestofn: difference: the curves are of %d and %d prompts with n = %v and %v; they must be of the same pool", len(a.PromptGold), len(b.PromptGold), a.N, b.N)
	}
	var d [][]float64
	for p := range a.PromptGold {
		row := make([]float64, len(a.N))
		for k := range row {
			row[k] = a.PromptGold[p][k] - b.PromptGold[p][k]
		}
		d = append(d, row)
	}
	return a.intervals(d), nil
}

// ErrorCorrelation returns, for each prompt, Spearman's rank correlation of √Λ with the error |gold − proxy| of its answers, where the proxy is the
// mean after an affine fit to gold (METHODS §9.14): whether the posterior knows where the reward is wrong. NaN where all are equal. The
// beliefs are in the order of the pool.
func ErrorCorrelation(pool *bayesrm.Pool, beliefs []bayesrm.Belief) ([]float64, error) {
	if len(beliefs) != pool.Len() {
		return nil, fmt.Errorf("bestofn: error correlation: %d beliefs about a pool of %d answers; score the same pool", len(beliefs), pool.Len())
	}
	var out []float64
	for _, q := range pool.Questions {
		var proxy, gold, std, wrong []float64
		for i, a := range q.Answers {
			if math.IsNaN(a.Gold) {
				return nil, fmt.Errorf("bestofn: error correlation: answer %q of prompt %q has no gold", a.ID, q.ID)
			}
			proxy, gold, std = append(proxy, beliefs[i].Mean), append(gold, a.Gold), append(std, math.Sqrt(beliefs[i].Var))
		}
		beliefs = beliefs[len(q.Answers):]
		alpha, beta := stat.LinearRegression(proxy, gold, nil, false)
		for i, r := range proxy {
			wrong = append(wrong, math.Abs(gold[i]-alpha-beta*r))
		}
		out = append(out, metrics.Spearman(std, wrong))
	}
	return out, nil
}

// Oracle scores every answer of a pool by its gold: the most that any selector could gain.
func Oracle(pool *bayesrm.Pool) []bayesrm.Score {
	var out []bayesrm.Score
	for _, q := range pool.Questions {
		for _, a := range q.Answers {
			out = append(out, bayesrm.Score{ID: a.ID, Value: a.Gold, Mean: a.Gold})
		}
	}
	return out
}

// ChooseK returns the k whose scores gain most gold on a pool at the given n. The pool must hold other prompts than those
// the choice is judged on.
func ChooseK(pool *bayesrm.Pool, n int, ks []float64, scores func(k float64) []bayesrm.Score) (float64, error) {
	best, at := math.Inf(-1), math.NaN()
	for _, k := range ks {
		r, err := Curve(pool, scores(k), []int{n})
		if err != nil {
			return 0, fmt.Errorf("bestofn: choose k: k = %g: %w", k, err)
		}
		if g := r.Gold[0].Mean; g > best {
			best, at = g, k
		}
	}
	if len(ks) == 0 {
		return 0, fmt.Errorf("bestofn: choose k: no k to choose from")
	}
	return at, nil
}
