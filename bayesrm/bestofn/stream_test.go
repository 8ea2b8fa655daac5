package bestofn

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"gobayes/bayesrm"
)

func each[T any](xs []T, end error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, x := range xs {
			if !yield(x, nil) {
				return
			}
		}
		if end != nil {
			var none T
			yield(none, end)
		}
	}
}

func streamed(t *testing.T) (*bayesrm.Pool, []bayesrm.Score) {
	t.Helper()
	rng := rand.New(rand.NewPCG(7, 0))
	pool := &bayesrm.Pool{}
	var scores []bayesrm.Score
	for p := range 3 {
		q := bayesrm.Question{ID: fmt.Sprint(p)}
		var own []bayesrm.Score
		for k := range 8 {
			id := fmt.Sprintf("%d/%d", p, k)
			q.Answers = append(q.Answers, bayesrm.Answer{ID: id, Gold: rng.NormFloat64()})
			own = append(own, bayesrm.Score{ID: id, Value: rng.NormFloat64(), Mean: rng.NormFloat64()})
		}
		rng.Shuffle(len(own), func(i, j int) { own[i], own[j] = own[j], own[i] })
		pool.Questions, scores = append(pool.Questions, q), append(scores, own...)
	}
	return pool, scores
}

// TestJoin: a pool and scores that come one by one give the bits of the whole pool's curve.
func TestJoin(t *testing.T) {
	pool, scores := streamed(t)
	ns := []int{1, 2, 5, 8}
	want, err := Curve(pool, scores, ns)
	if err != nil {
		t.Fatal(err)
	}
	got, err := CurveOf(Join(each(pool.Questions, nil), each(scores, nil)), ns)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
}

// TestJoinErrors: what does not fit is refused with its place.
func TestJoinErrors(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		spoil      func(q []bayesrm.Question, s []bayesrm.Score) ([]bayesrm.Question, []bayesrm.Score)
	}{
		{"score of another prompt", `prompt 2: score 9 is of "0/0"`, func(q []bayesrm.Question, s []bayesrm.Score) ([]bayesrm.Question, []bayesrm.Score) {
			s[8].ID = "0/0"
			return q, s
		}},
		{"score twice", "scored twice", func(q []bayesrm.Question, s []bayesrm.Score) ([]bayesrm.Question, []bayesrm.Score) {
			s[1].ID = s[0].ID
			return q, s
		}},
		{"NaN", "prompt 3: the score of answer", func(q []bayesrm.Question, s []bayesrm.Score) ([]bayesrm.Question, []bayesrm.Score) {
			s[20].Value = math.NaN()
			return q, s
		}},
		{"no gold", `answer "1/3" of prompt "1" has no gold`, func(q []bayesrm.Question, s []bayesrm.Score) ([]bayesrm.Question, []bayesrm.Score) {
			q[1].Answers[3].Gold = math.NaN()
			return q, s
		}},
		{"too few scores", `the scores end after 23, within the answers of prompt "2"`, func(q []bayesrm.Question, s []bayesrm.Score) ([]bayesrm.Question, []bayesrm.Score) {
			return q, s[:23]
		}},
		{"too many scores", `score 17 is of`, func(q []bayesrm.Question, s []bayesrm.Score) ([]bayesrm.Question, []bayesrm.Score) {
			return q[:2], s
		}},
		{"n too large", `n = 8, but prompt "0" has 4 answers`, func(q []bayesrm.Question, s []bayesrm.Score) ([]bayesrm.Question, []bayesrm.Score) {
			q[0].Answers = q[0].Answers[:4]
			var own []bayesrm.Score
			for _, x := range s[:8] {
				if x.ID < "0/4" {
					own = append(own, x)
				}
			}
			return q, append(own, s[8:]...)
		}},
		{"no prompts", "no prompts", func([]bayesrm.Question, []bayesrm.Score) ([]bayesrm.Question, []bayesrm.Score) { return nil, nil }},
	} {
		pool, scores := streamed(t)
		q, s := tt.spoil(pool.Questions, scores)
		if _, err := CurveOf(Join(each(q, nil), each(s, nil)), []int{1, 8}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.want)
		}
	}
	pool, scores := streamed(t)
	broken := errors.New("broken file")
	for _, seq := range []iter.Seq2[Scored, error]{
		Join(each(pool.Questions[:2], broken), each(scores, nil)),
		Join(each(pool.Questions, nil), each(scores[:10], broken)),
		Join(each(pool.Questions, nil), each(scores, broken)),
	} {
		if _, err := CurveOf(seq, []int{1, 8}); !errors.Is(err, broken) {
			t.Errorf("error %v, want that of the file", err)
		}
	}
}
