package prefs

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"strings"

	"gobayes/bayesrm"
	"gobayes/bayesrm/internal/sealed"
)

// AnswerRow is a row of a pool in Parquet: an answer. The rows of a prompt stand together.
type AnswerRow struct {
	PromptID string   `parquet:"prompt_id"`
	Prompt   string   `parquet:"prompt"`
	ID       string   `parquet:"id"`
	Text     string   `parquet:"text"`
	Gold     *float64 `parquet:"gold,optional"` // null where none is known
}

// ScoreRow is a row of scores in Parquet, or a line of them in JSON: an answer's score, and the mean reward behind it where it differs.
type ScoreRow struct {
	ID    string   `parquet:"id" json:"id"`
	Value *float64 `parquet:"value" json:"value"`
	Mean  *float64 `parquet:"mean,optional" json:"mean"`
}

// errStop ends the reading of a file whose reader wants no more.
var errStop = errors.New("stop")

// stream turns a function that calls yield with every item into a sequence; its error, in which the task is named, is the last item.
func stream[T any](task string, read func(yield func(T) error) error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		err := read(func(x T) error {
			if !yield(x, nil) {
				return errStop
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStop) {
			var none T
			yield(none, fmt.Errorf("prefs: %s: %w", task, err))
		}
	}
}

// Questions reads a pool a prompt at a time, so that it need not fit in memory: a .jsonl or .jsonl.gz file as LoadPool describes
// it, or a .parquet file of AnswerRow. An error comes last and names the file and the row.
func Questions(path string) iter.Seq2[bayesrm.Question, error] {
	return stream("read pool", func(yield func(bayesrm.Question) error) error {
		seen := map[string]bool{}
		once := func(id string) error {
			if seen[id] {
				return fmt.Errorf("prompt %q comes twice", id)
			}
			seen[id] = true
			return nil
		}
		if !strings.HasSuffix(path, ".parquet") {
			return lines(path, func(_ int, line []byte) error {
				q, err := question(line)
				if err == nil {
					err = once(q.ID)
				}
				if err != nil || len(q.Answers) == 0 {
					return err
				}
				return yield(q)
			})
		}
		var q bayesrm.Question
		err := sealed.Rows(path, func(n int, r AnswerRow) error {
			if n == 1 || r.PromptID != q.ID {
				if n > 1 {
					if err := yield(q); err != nil {
						return err
					}
				}
				if err := once(r.PromptID); err != nil {
					return fmt.Errorf("%w: its rows must stand together", err)
				}
				q = bayesrm.Question{ID: r.PromptID, Prompt: r.Prompt}
			}
			gold := math.NaN()
			if r.Gold != nil {
				gold = *r.Gold
			}
			q.Answers = append(q.Answers, bayesrm.Answer{ID: r.ID, Text: r.Text, Gold: gold})
			return nil
		})
		if err == nil && len(q.Answers) > 0 {
			err = yield(q)
		}
		return err
	})
}

// Scores reads scores one at a time, from lines of JSON or a .parquet file of ScoreRow. An error comes last and names the file and
// the row.
func Scores(path string) iter.Seq2[bayesrm.Score, error] {
	return stream("read scores", func(yield func(bayesrm.Score) error) error {
		one := func(r ScoreRow) error {
			if r.ID == "" || r.Value == nil {
				return errors.New("a score needs an id and a value")
			}
			s := bayesrm.Score{ID: r.ID, Value: *r.Value, Mean: *r.Value}
			if r.Mean != nil {
				s.Mean = *r.Mean
			}
			return yield(s)
		}
		if strings.HasSuffix(path, ".parquet") {
			return sealed.Rows(path, func(_ int, r ScoreRow) error { return one(r) })
		}
		return lines(path, func(_ int, line []byte) error {
			var r ScoreRow
			if err := json.Unmarshal(line, &r); err != nil {
				return fmt.Errorf("not a score: %w", err)
			}
			if r.ID == "" || r.Value == nil {
				return fmt.Errorf("fields found: %s; wanted: id and value", fields(line))
			}
			return one(r)
		})
	})
}
