package bestofn

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"gobayes/bayesrm"
	"gobayes/bayesrm/internal/check"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/combin"
)

// METHODS §10.1.
func TestKL(t *testing.T) {
	for n, want := range map[int]float64{1: 0, 2: 0.193147, 4: 0.636294, 8: 1.204442, 16: 1.835089, 64: 3.174508, 256: 4.549084, 1024: 5.932448, 4096: 7.318010, 8192: 8.011035, 12500: 8.433564} {
		if got := KL(n); math.Abs(got-want) > 5e-7 {
			t.Errorf("KL(%d) = %v, want %v", n, got, want)
		}
	}
}

// METHODS §10.3.
func TestWeights(t *testing.T) {
	for n, want := range map[int][]float64{
		2: {0, 1. / 15, 2. / 15, 1. / 5, 4. / 15, 1. / 3},
		3: {0, 0, 1. / 20, 3. / 20, 3. / 10, 1. / 2},
		4: {0, 0, 0, 1. / 15, 4. / 15, 2. / 3},
		5: {0, 0, 0, 0, 1. / 6, 5. / 6},
	} {
		check.Close(t, fmt.Sprintf("n=%d", n), Weights(6, n), want, 1e-15, 0)
	}
	var s float64
	for _, w := range Weights(12500, 500) {
		s += w
	}
	if math.Abs(s-1) > 1e-12 {
		t.Errorf("weights of 12,500 sum to %v", s)
	}
}

func TestEstimate(t *testing.T) {
	sel := []float64{.1, .4, .5, .9, 1.3, 2}
	eval := []float64{1, 3, 2, 5, 4, 0}
	ns := []int{1, 2, 3, 4, 5, 6}
	check.Close(t, "evaluator", Estimate(sel, eval, ns), []float64{2.5, 2.533333, 2.05, 1.4, 0.666667, 0}, 5e-7, 0)
	check.Close(t, "selector", Estimate(sel, sel, ns), []float64{0.866667, 1.286667, 1.55, 1.74, 1.883333, 2.0}, 5e-7, 0)
}

// TestBruteForce compares with the mean over all subsets, ties broken at random.
func TestBruteForce(t *testing.T) {
	score := []float64{2, 1, 2, 3, 1, 3, 2}
	value := []float64{1, -2, 4, 0.5, 3, 7, -1}
	for n := 1; n <= len(score); n++ {
		var sum float64
		subsets := combin.Combinations(len(score), n)
		for _, s := range subsets {
			best := math.Inf(-1)
			for _, i := range s {
				best = max(best, score[i])
			}
			var v, c float64
			for _, i := range s {
				if score[i] == best {
					v += value[i]
					c++
				}
			}
			sum += v / c
		}
		if got, want := Estimate(score, value, []int{n})[0], sum/float64(len(subsets)); math.Abs(got-want) > 1e-12 {
			t.Errorf("n = %d: %v, want %v", n, got, want)
		}
	}
}

func testPool() (*bayesrm.Pool, []bayesrm.Score) {
	pool := &bayesrm.Pool{}
	var scores []bayesrm.Score
	for p := range 3 {
		q := bayesrm.Question{ID: fmt.Sprint(p)}
		for a := range 4 {
			id := fmt.Sprintf("%d/%d", p, a)
			q.Answers = append(q.Answers, bayesrm.Answer{ID: id, Gold: float64((a + p) % 4)})
			scores = append(scores, bayesrm.Score{ID: id, Value: float64(a), Mean: float64(a)})
		}
		pool.Questions = append(pool.Questions, q)
	}
	return pool, scores
}

func TestCurveRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		break_ func(*bayesrm.Pool, []bayesrm.Score) (*bayesrm.Pool, []bayesrm.Score, []int)
		want   string
	}{
		{"a score too few", func(p *bayesrm.Pool, s []bayesrm.Score) (*bayesrm.Pool, []bayesrm.Score, []int) {
			return p, s[1:], []int{1}
		}, "11 scores for a pool of 12"},
		{"NaN", func(p *bayesrm.Pool, s []bayesrm.Score) (*bayesrm.Pool, []bayesrm.Score, []int) {
			s[3].Value = math.NaN()
			return p, s, []int{1}
		}, `"0/3" is NaN`},
		{"no gold", func(p *bayesrm.Pool, s []bayesrm.Score) (*bayesrm.Pool, []bayesrm.Score, []int) {
			p.Questions[1].Answers[2].Gold = math.NaN()
			return p, s, []int{1}
		}, `"1/2"`},
		{"twice", func(p *bayesrm.Pool, s []bayesrm.Score) (*bayesrm.Pool, []bayesrm.Score, []int) {
			s[1].ID = s[0].ID
			return p, s, []int{1}
		}, "scored twice"},
		{"n too large", func(p *bayesrm.Pool, s []bayesrm.Score) (*bayesrm.Pool, []bayesrm.Score, []int) {
			return p, s, []int{5}
		}, "has 4 answers"},
		{"another pool", func(p *bayesrm.Pool, s []bayesrm.Score) (*bayesrm.Pool, []bayesrm.Score, []int) {
			s[0].ID = "x"
			return p, s, []int{1}
		}, "has no score"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pool, scores := testPool()
			if _, err := Curve(tt.break_(pool, scores)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

// TestCurveIgnoresOrder: scores are joined by id.
func TestCurveIgnoresOrder(t *testing.T) {
	pool, scores := testPool()
	a, err := Curve(pool, scores, []int{1, 2, 4})
	if err != nil {
		t.Fatal(err)
	}
	for i, j := 0, len(scores)-1; i < j; i, j = i+1, j-1 {
		scores[i], scores[j] = scores[j], scores[i]
	}
	b, err := Curve(pool, scores, []int{1, 2, 4})
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(a) != fmt.Sprint(b) || a.Proxy[2].Mean != 1.5 {
		t.Errorf("%v and %v, proxy gain %v", a, b, a.Proxy[2].Mean)
	}
}

// TestRealPool: with the length in code points as the score, best-of-n on the judged answers of alpaca_eval_pool is what exact
// rational arithmetic gives, with the probabilities of equally long answers averaged.
func TestRealPool(t *testing.T) {
	f, err := os.Open(check.Data(t, "data", "alpaca_eval_pool.jsonl.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	ns := []int{1, 32, 56}
	sum, prompts := make([]float64, len(ns)), 0.
	for dec := json.NewDecoder(z); dec.More(); prompts++ {
		var q struct {
			Responses []struct {
				Text string
				P    *float64 `json:"p_gpt4t"`
			}
		}
		if err := dec.Decode(&q); err != nil {
			t.Fatal(err)
		}
		var length, gold []float64
		for _, a := range q.Responses {
			if a.P != nil {
				length, gold = append(length, float64(utf8.RuneCountInString(a.Text))), append(gold, *a.P)
			}
		}
		for k, v := range Estimate(length, gold, ns) {
			sum[k] += v
		}
	}
	for k := range sum {
		sum[k] /= prompts
	}
	check.Close(t, "gold", sum, []float64{0.127343, 0.503082, 0.491363}, 5e-7, 0)
}

// TestMerge: the means of merged curves are over all prompts, and differences stay paired.
func TestMerge(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 0))
	trial := func(id string, prompts int, shift float64) (a, b *Result) {
		pool := &bayesrm.Pool{}
		var first, second []bayesrm.Score
		for p := range prompts {
			q := bayesrm.Question{ID: fmt.Sprint(id, p)}
			for k := range 8 {
				a := bayesrm.Answer{ID: fmt.Sprint(id, p, "/", k), Gold: rng.NormFloat64()}
				q.Answers = append(q.Answers, a)
				first = append(first, bayesrm.Score{ID: a.ID, Value: shift*a.Gold + rng.NormFloat64()})
				second = append(second, bayesrm.Score{ID: a.ID, Value: rng.NormFloat64()})
			}
			pool.Questions = append(pool.Questions, q)
		}
		var err error
		if a, err = Curve(pool, first, []int{1, 4, 8}); err != nil {
			t.Fatal(err)
		}
		if b, err = Curve(pool, second, []int{1, 4, 8}); err != nil {
			t.Fatal(err)
		}
		return a, b
	}
	a1, b1 := trial("x", 10, 3)
	a2, b2 := trial("y", 30, 0)
	a, err := Merge(a1, a2)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Merge(b1, b2)
	if err != nil {
		t.Fatal(err)
	}
	for k := range a.N {
		if want := (10*a1.Gold[k].Mean + 30*a2.Gold[k].Mean) / 40; math.Abs(a.Gold[k].Mean-want) > 1e-12 {
			t.Errorf("n = %d: %v, want %v", a.N[k], a.Gold[k].Mean, want)
		}
	}
	d, err := Difference(a, b)
	if err != nil {
		t.Fatal(err)
	}
	if want := a.Gold[2].Mean - b.Gold[2].Mean; math.Abs(d[2].Mean-want) > 1e-12 || d[2].Hi-d[2].Lo < 0.5 {
		t.Errorf("difference %v, want %v; the trials differ much", d[2], want)
	}
	parts, err := Concat(a1, a2)
	if err != nil {
		t.Fatal(err)
	}
	if parts.Gold[2].Mean != a.Gold[2].Mean || parts.Groups != nil || parts.Gold[2].Hi-parts.Gold[2].Lo >= a.Gold[2].Hi-a.Gold[2].Lo {
		t.Errorf("parts of one pool: %v, trials: %v", parts.Gold[2], a.Gold[2])
	}
	if _, err := Difference(a, b2); err == nil {
		t.Error("curves of other trials were compared")
	}
	if _, err := Merge(a1, &Result{N: []int{1}}); err == nil {
		t.Error("curves over other n were merged")
	}
}

// TestErrorCorrelation: a variance that grows with the error is found at 1, whatever the units of the proxy; one that falls, at −1.
func TestErrorCorrelation(t *testing.T) {
	pool := &bayesrm.Pool{Questions: []bayesrm.Question{{ID: "p"}, {ID: "q"}}}
	var beliefs []bayesrm.Belief
	gold := []float64{1, -3, 0, 5, 2, -2, 4} // errors of the fit below: even and odd rows lie on either side
	for p := range pool.Questions {
		var proxy []float64
		for i, g := range gold {
			proxy = append(proxy, 7+3*(g+0.3*float64(i%3-1)*float64(i)))
		}
		alpha, beta := stat.LinearRegression(proxy, gold, nil, false)
		for i, g := range gold {
			v := math.Abs(g - alpha - beta*proxy[i])
			if p == 1 {
				v = 9 - v
			}
			id := fmt.Sprint(p, i)
			pool.Questions[p].Answers = append(pool.Questions[p].Answers, bayesrm.Answer{ID: id, Gold: g})
			beliefs = append(beliefs, bayesrm.Belief{ID: id, Mean: proxy[i], Var: v * v})
		}
	}
	got, err := ErrorCorrelation(pool, beliefs)
	if err != nil || math.Abs(got[0]-1) > 1e-12 || math.Abs(got[1]+1) > 1e-12 {
		t.Errorf("%v, %v; want 1 and −1", got, err)
	}
	if _, err := ErrorCorrelation(pool, beliefs[1:]); err == nil {
		t.Error("a belief is missing: no error")
	}
}
