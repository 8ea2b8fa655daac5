package session

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gobayes/kernel/internal/rt"
)

// host collects what cells say.
type host struct {
	mu    sync.Mutex
	ctx   context.Context
	shown string
	out   strings.Builder
	panic any
}

func (h *host) Write(_ int, _ string, p []byte) { h.mu.Lock(); defer h.mu.Unlock(); h.out.Write(p) }
func (h *host) Show(_ int, vs []rt.Shown) {
	var ss []string
	for _, v := range vs {
		ss = append(ss, fmt.Sprintf("%+v", v.Value))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.shown = strings.Join(ss, ", ")
}
func (h *host) Publish(int, rt.Display)     {}
func (h *host) Clear(int, bool)             {}
func (h *host) GoroutinePanic(_ int, v any) { h.mu.Lock(); defer h.mu.Unlock(); h.panic = v }
func (h *host) Stdin(int) io.Reader         { return strings.NewReader("") }
func (h *host) Session() rt.Session         { return nil }
func (h *host) Comms() rt.Comms             { return nil }
func (h *host) Context(int) context.Context { h.mu.Lock(); defer h.mu.Unlock(); return h.ctx }

// cells counts the cells of all tests: their code speaks to package rt, which knows cells by number alone.
var cells int

// notebook runs cells one after the other.
type notebook struct {
	s *Session
	h *host
}

func newNotebook() *notebook {
	h := &host{ctx: context.Background()}
	rt.SetHost(h)
	return &notebook{s: New(), h: h}
}

func (b *notebook) run(src string, limit time.Duration) (string, error) {
	cells++
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	b.h.mu.Lock()
	b.h.shown, b.h.ctx = "", ctx
	b.h.mu.Unlock()
	r, err := b.s.Prepare(cells, src)
	if err != nil {
		return "", err
	}
	rt.Start(cells)
	err = b.s.Run(ctx, r)
	b.h.mu.Lock()
	defer b.h.mu.Unlock()
	return b.h.shown, err
}

// TestHabits runs what people do in notebooks; the expected display of the last cell stands after >>>.
func TestHabits(t *testing.T) {
	text, err := os.ReadFile("testdata/habits.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range strings.Split(string(text), "=== ")[1:] {
		name, rest, _ := strings.Cut(row, "\n")
		body, want, _ := strings.Cut(rest, ">>> ")
		t.Run(name, func(t *testing.T) {
			nb := newNotebook()
			var got string
			var err error
			for _, c := range strings.Split(strings.TrimSpace(body), "\n---\n") {
				limit := 10 * time.Second
				if rest, ok := strings.CutPrefix(c, "!interrupt "); ok {
					c, limit = rest, 200*time.Millisecond
				}
				got, err = nb.run(c, limit)
			}
			if got != strings.TrimSpace(want) {
				t.Errorf("got %q (error %v), want %q", got, err, strings.TrimSpace(want))
			}
		})
	}
}

// TestPointAt: of a long line the part around the column is shown, with the caret below it.
func TestPointAt(t *testing.T) {
	for _, tt := range []struct {
		line   string
		column int
	}{{"\tx := y", 7}, {"é := nosuch", 7}, {strings.Repeat("a+", 5000) + "nosuch" + strings.Repeat("+b", 300), 10001}, {strings.Repeat("b", 400), 3}} {
		shown, mark := pointAt(tt.line, tt.column)
		at := strings.Index(mark, red)
		want := []rune(tt.line[tt.column-1:])[0]
		if rs := []rune(shown); len(rs) > shownWidth+4 || rs[at] != want {
			t.Errorf("column %d: %q shown, caret at %d, which is not %q", tt.column, shown, at, want)
		}
	}
}

// TestTypesOfEarlierCells: a type may be declared by the name of one of an earlier cell.
func TestTypesOfEarlierCells(t *testing.T) {
	s := New()
	for i, tt := range []struct{ code, wrong string }{
		{"type Point struct{ X, Y int }\nfunc (p Point) Sum() int { return p.X + p.Y }", ""},
		{"type Place Point\nvar place = Place{1, 2}", ""},
		{"type Same = Point\nif (Same{3, 4}).Sum() != 7 || place.Y != 2 { panic(place) }", ""},
		{"func f() int { type local Point; return local{5, 6}.Y }\nif f() != 6 { panic(f()) }", ""},
		{"type Pair[T any] struct{ A, B T }", ""},
		{"type Two Pair", "cannot use generic type"},
		{"type Two Pair[int]\nif (Two{1, 2}).B != 2 { panic(1) }", ""},
		{"type place Point\nplace{1, 2}.X++", "cannot assign"},
		{"type place Point\nvar q place\nq.X++", ""},
		{"type Point place", "invalid recursive type"},
	} {
		r, err := s.Prepare(i+1, tt.code)
		if err == nil {
			err = s.Run(t.Context(), r)
		}
		if (err == nil) != (tt.wrong == "") || err != nil && !strings.Contains(err.Error(), tt.wrong) {
			t.Errorf("cell %d: error %v, want %q", i+1, err, tt.wrong)
		}
	}
}

// TestPrograms: programs print what the compiler made of them (the .txt beside each, by go run).
func TestPrograms(t *testing.T) {
	names, err := filepath.Glob("testdata/programs/*.go")
	if err != nil || len(names) == 0 {
		t.Fatal("no programs: ", err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			src, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(strings.TrimSuffix(name, ".go") + ".txt")
			if err != nil {
				t.Fatal(err)
			}
			nb := newNotebook()
			if _, err := nb.run(string(src)+"\nmain()", 20*time.Second); err != nil {
				t.Fatal(err)
			}
			if got := nb.h.out.String(); got != string(want) {
				t.Errorf("printed\n%s\nwant\n%s", got, want)
			}
		})
	}
}
