package study

import (
	"fmt"
	"strings"

	"gobayes/bayesrm"
	"gobayes/bayesrm/bestofn"
	"gobayes/bayesrm/figures"
	"gobayes/bayesrm/metrics"
	"gobayes/bayesrm/penalty"
)

// Selector is a way to choose an answer by a trial's beliefs.
type Selector struct {
	Label string
	// Penalty of a belief with the weight k. nil chooses by gold: the oracle.
	Penalty func(k float64) penalty.Func
	// K are the weights to choose from on the trial's development prompts; with one it is that. nil: the penalty has none.
	K []float64
}

// Weights that suit standardised rewards.
var (
	KStd = []float64{0.1, 0.3, 1, 2, 3, 5, 10, 20}
	KVar = []float64{0.1, 0.3, 1, 2, 3, 5, 10, 30}
)

// plain is a penalty without a weight.
func plain(f penalty.Func) func(float64) penalty.Func {
	return func(float64) penalty.Func { return f }
}

// member is a penalty of one member's belief.
func member(f func(k float64) penalty.Func) func(float64) penalty.Func {
	return func(k float64) penalty.Func { return penalty.Member(0, f(k)) }
}

func relative(f func(k float64) penalty.Func) func(float64) penalty.Func {
	return func(k float64) penalty.Func { return penalty.Relative(f(k)) }
}

func prior(f func(k float64) penalty.Func) func(float64) penalty.Func {
	return func(k float64) penalty.Func { return penalty.Prior(f(k)) }
}

func certain(float64) penalty.Func { return penalty.Certainty() }

// Single are the selectors of the paper's Figure 2: one model, at its trained weights and with both penalties.
func Single() []Selector {
	return []Selector{
		{"MAP", member(plain(penalty.Mean())), nil},
		{"LA std", member(penalty.StdOf), KStd},
		{"LA var", member(penalty.VarOf), KVar},
	}
}

// SingleRelative are those of Single with the variance relative to the prompt's answers.
func SingleRelative() []Selector {
	return []Selector{
		{"MAP", member(plain(penalty.Mean())), nil},
		{"LA std, relative", member(relative(penalty.StdOf)), KStd},
		{"LA var, relative", member(relative(penalty.VarOf)), KVar},
	}
}

// Joint are the selectors of the paper's Figure 3: one model and the ensemble, with and without posteriors.
func Joint() []Selector {
	return []Selector{
		{"MAP", member(plain(penalty.Mean())), nil},
		{"LA", member(penalty.StdOf), KStd},
		{"Ens", plain(penalty.Mean()), nil},
		{"LA-Ens", penalty.StdOf, KStd},
	}
}

// JointRelative are those of Joint with the variance relative to the prompt's answers.
func JointRelative() []Selector {
	return []Selector{
		{"MAP", member(plain(penalty.Mean())), nil},
		{"LA, relative", member(relative(penalty.StdOf)), KStd},
		{"Ens", plain(penalty.Mean()), nil},
		{"LA-Ens, relative", relative(penalty.StdOf), KStd},
	}
}

// Controls belong on every figure: choosing by certainty alone, a penalty that sees the prior's variance as if there had been
// no data, and the oracle.
func Controls() []Selector {
	return []Selector{
		{"−Λ", member(certain), nil},
		{"prior variance", member(prior(penalty.StdOf)), KStd},
		{"oracle", nil, nil},
	}
}

// ControlsRelative are those of Controls with the variance relative to the prompt's answers.
func ControlsRelative() []Selector {
	return []Selector{
		{"−Λ, relative", member(relative(certain)), nil},
		{"prior variance, relative", member(relative(prior(penalty.StdOf))), KStd},
		{"oracle", nil, nil},
	}
}

// Comparison holds the curves of several selectors on the same trials.
type Comparison struct {
	Lines []figures.Line
	K     map[string][]float64 // chosen for each trial
}

// Compare computes the best-of-n curves of selectors over all trials. k is chosen for each trial at the largest n on its
// development prompts, which the curves do not see.
func Compare(trials []*Trial, ns []int, selectors ...Selector) (*Comparison, error) {
	c := &Comparison{K: map[string][]float64{}}
	if len(trials) == 0 || len(ns) == 0 {
		return nil, fmt.Errorf("study: compare: %d trials and %d n", len(trials), len(ns))
	}
	for _, s := range selectors {
		var curves []*bestofn.Result
		for i, t := range trials {
			k, err := s.choose(t, ns[len(ns)-1])
			if err != nil {
				return nil, fmt.Errorf("study: compare: %s: trial %d: %w", s.Label, i, err)
			}
			if s.K != nil {
				c.K[s.Label] = append(c.K[s.Label], k)
			}
			r, err := bestofn.Curve(t.Test, s.scores(t.Test, t.TestBeliefs, k), ns)
			if err != nil {
				return nil, fmt.Errorf("study: compare: %s: trial %d: %w", s.Label, i, err)
			}
			curves = append(curves, r)
		}
		all, err := bestofn.Merge(curves...)
		if err != nil {
			return nil, fmt.Errorf("study: compare: %w", err)
		}
		c.Lines = append(c.Lines, figures.Line{Label: s.Label, Curve: all})
	}
	return c, nil
}

// choose picks k on the development prompts.
func (s Selector) choose(t *Trial, n int) (float64, error) {
	switch len(s.K) {
	case 0:
		return 0, nil
	case 1:
		return s.K[0], nil
	}
	return bestofn.ChooseK(t.Dev, n, s.K, func(k float64) []bayesrm.Score { return s.scores(t.Dev, t.DevBeliefs, k) })
}

func (s Selector) scores(pool *bayesrm.Pool, beliefs []bayesrm.Belief, k float64) []bayesrm.Score {
	if s.Penalty == nil {
		return bestofn.Oracle(pool)
	}
	return penalty.Apply(s.Penalty(k), beliefs)
}

// Line returns the curve of a selector.
func (c *Comparison) Line(label string) (*bestofn.Result, error) {
	var labels []string
	for _, l := range c.Lines {
		if l.Label == label {
			return l.Curve, nil
		}
		labels = append(labels, l.Label)
	}
	return nil, fmt.Errorf("study: no selector %q; there are: %s", label, strings.Join(labels, "; "))
}

// Figure draws the curves as the paper's figures are.
func (c *Comparison) Figure() *figures.Figure { return figures.BestOfN(c.Lines...) }

// Contrast is the paired difference of gold between two selectors, or between two points of one curve.
type Contrast struct {
	Claim  string `json:",omitempty"` // that it speaks to
	What   string // a − b
	N      int
	Effect metrics.Interval
}

// Contrasts returns the differences a − b of gold at each of the given n that the curves have.
func (c *Comparison) Contrasts(a, b string, ns ...int) ([]Contrast, error) {
	la, err := c.Line(a)
	if err != nil {
		return nil, err
	}
	lb, err := c.Line(b)
	if err != nil {
		return nil, err
	}
	d, err := bestofn.Difference(la, lb)
	if err != nil {
		return nil, err
	}
	var out []Contrast
	for i, n := range la.N {
		for _, want := range ns {
			if n == want {
				out = append(out, Contrast{What: a + " − " + b, N: n, Effect: d[i]})
			}
		}
	}
	return out, nil
}

// Fall is how far a selector's gold at the last n lies below that at its peak; the peak is that of the mean curve.
func (c *Comparison) Fall(label string) (Contrast, error) {
	l, err := c.Line(label)
	if err != nil {
		return Contrast{}, err
	}
	last, peak := len(l.N)-1, 0
	for i, n := range l.N {
		if n == l.Summary().PeakN {
			peak = i
		}
	}
	at := func(k int) *bestofn.Result { // the curve as one point
		r := &bestofn.Result{N: []int{l.N[last]}, Groups: l.Groups}
		for _, row := range l.PromptGold {
			r.PromptGold = append(r.PromptGold, []float64{row[k]})
		}
		return r
	}
	d, err := bestofn.Difference(at(last), at(peak))
	if err != nil {
		return Contrast{}, err
	}
	return Contrast{What: fmt.Sprintf("%s: end − peak (n = %d)", label, l.N[peak]), N: l.N[last], Effect: d[0]}, nil
}

// String is the gold gain of each selector at the last n, with the k that were chosen.
func (c *Comparison) String() string {
	var b strings.Builder
	for _, l := range c.Lines {
		last := len(l.Curve.N) - 1
		fmt.Fprintf(&b, "%-26s gold at n = %d: %v", l.Label, l.Curve.N[last], l.Curve.Gold[last])
		if ks := c.K[l.Label]; ks != nil {
			fmt.Fprintf(&b, "  k = %v", ks)
		}
		b.WriteByte('\n')
	}
	return strings.TrimSuffix(b.String(), "\n")
}
