package prefs

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"gobayes/bayesrm"

	"github.com/parquet-go/parquet-go"
)

func parquetFile[T any](t *testing.T, rows ...T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rows.parquet")
	if err := parquet.WriteFile(path, rows); err != nil {
		t.Fatal(err)
	}
	return path
}

func ptr(x float64) *float64 { return &x }

// TestStreams: the same pool and scores come out of JSON and of Parquet, and reading may stop early.
func TestStreams(t *testing.T) {
	table := parquetFile(t, AnswerRow{"1", "p", "1/a", "A", ptr(2)}, AnswerRow{"1", "p", "1/b", "B", nil}, AnswerRow{"2", "q", "2/a", "C", ptr(-1)})
	text := write(t, "pool.jsonl", `{"id":"1","prompt":"p","answers":[{"id":"1/a","text":"A","gold":2},{"id":"1/b","text":"B"}]}
{"id":"2","prompt":"q","answers":[{"id":"2/a","text":"C","gold":-1}]}`)
	want := "[{1 p [{1/a A 2} {1/b B NaN}]} {2 q [{2/a C -1}]}]"
	for _, path := range []string{table, text} {
		pool, err := LoadPool(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(pool.Questions); got != want {
			t.Errorf("%s: %v, want %v", filepath.Base(path), got, want)
		}
		for q, err := range Questions(path) {
			if q.ID != "1" || err != nil {
				t.Errorf("%s: %v after the reader has stopped", filepath.Base(path), q)
			}
			break
		}
	}
	for _, path := range []string{
		parquetFile(t, ScoreRow{"x", ptr(1), nil}, ScoreRow{"y", ptr(2), ptr(3)}),
		write(t, "scores.jsonl", "{\"id\":\"x\",\"value\":1}\n{\"id\":\"y\",\"value\":2,\"mean\":3}\n"),
	} {
		var got []bayesrm.Score
		for s, err := range Scores(path) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, s)
		}
		if want := []bayesrm.Score{{ID: "x", Value: 1, Mean: 1}, {ID: "y", Value: 2, Mean: 3}}; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, want %v", filepath.Base(path), got, want)
		}
	}
}

// TestStreamErrors: what is wrong is named with its row, and comes last.
func TestStreamErrors(t *testing.T) {
	many := make([]AnswerRow, 300) // more than a buffer
	for i := range many {
		many[i] = AnswerRow{PromptID: fmt.Sprint(i / 10), ID: fmt.Sprint(i)}
	}
	many = append(many, AnswerRow{PromptID: "3"})
	type half struct {
		PromptID string `parquet:"prompt_id"`
	}
	type other struct {
		ID    int64   `parquet:"id"`
		Value float64 `parquet:"value"`
	}
	for _, tt := range []struct {
		name, path, want string
		before           int
	}{
		{"prompt in two places", parquetFile(t, many...), `row 301: prompt "3" comes twice`, 30},
		{"missing column", parquetFile(t, half{"1"}), "prompt is missing", 0},
		{"no file", "nowhere.parquet", "nowhere.parquet", 0},
		{"not Parquet", write(t, "x.parquet", "{}"), "x.parquet", 0},
		{"line", write(t, "x.jsonl", `{"id":"1","prompt":"p","answers":[{"id":"a","text":"b"}]}`+"\n{}"), "line 2", 1},
	} {
		n := 0
		var last error
		for _, err := range Questions(tt.path) {
			if last = err; err == nil {
				n++
			}
		}
		if last == nil || !strings.Contains(last.Error(), tt.want) || n != tt.before {
			t.Errorf("%s: %v after %d prompts; want %q after %d", tt.name, last, n, tt.want, tt.before)
		}
	}
	for _, tt := range []struct{ path, want string }{
		{write(t, "s.jsonl", "{\"id\":\"x\",\"value\":1}\n{\"id\":\"y\",\"score\":1}"), "line 2: fields found: id, score"},
		{parquetFile(t, ScoreRow{"x", ptr(math.Pi), nil}, ScoreRow{"", ptr(1), nil}), "row 2: a score needs an id"},
		{parquetFile(t, other{1, 2}), "column id is INT"},
	} {
		var last error
		for _, err := range Scores(tt.path) {
			last = err
		}
		if last == nil || !strings.Contains(last.Error(), tt.want) {
			t.Errorf("%v; want %q", last, tt.want)
		}
	}
}

// FuzzParquet: any bytes as a .parquet file are read or refused by name.
func FuzzParquet(f *testing.F) {
	gold := 1.5
	for _, write := range []func(path string) error{
		func(path string) error {
			return parquet.WriteFile(path, []AnswerRow{{"1", "p", "a", "text", &gold}, {"1", "p", "b", "other", nil}, {"2", "q", "a", "text", nil}})
		},
		func(path string) error {
			return parquet.WriteFile(path, []ScoreRow{{"a", &gold, nil}, {"b", &gold, &gold}})
		},
	} {
		path := filepath.Join(f.TempDir(), "x.parquet")
		if err := write(path); err != nil {
			f.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "x.parquet")
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		for _, err := range Questions(path) {
			if err != nil && !strings.Contains(err.Error(), path) {
				t.Errorf("questions: %v does not name the file", err)
			}
		}
		for _, err := range Scores(path) {
			if err != nil && !strings.Contains(err.Error(), path) {
				t.Errorf("scores: %v does not name the file", err)
			}
		}
	})
}
