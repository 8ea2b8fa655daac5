package assist

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func inputs(es []Entry) string {
	s := ""
	for _, e := range es {
		s += fmt.Sprintf("%d:%d:%s ", e.Session, e.Line, e.Input)
	}
	return s
}

func TestHistory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "history")
	first := NewHistory(dir)
	first.Add(1, "a := 1")
	first.Add(2, "fmt.Println(a)\na / 2")
	if fi, err := os.Stat(filepath.Join(dir, "000001.jsonl")); err != nil || fi.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", fi, err)
	}
	if f, err := os.OpenFile(filepath.Join(dir, "000001.jsonl"), os.O_APPEND|os.O_WRONLY, 0); err != nil {
		t.Fatal(err)
	} else if _, err := f.WriteString("{\"line\":"); err != nil { // a kernel that was killed
		t.Fatal(err)
	}
	second := NewHistory(dir)
	if got := inputs(second.Tail(1)); got != "1:2:fmt.Println(a)\na / 2 " {
		t.Errorf("tail before the first cell: %q", got)
	}
	second.Add(1, "b := 2")
	second.Add(2, "a := 1")
	for _, tt := range []struct {
		name, got, want string
	}{
		{"tail", inputs(second.Tail(3)), "1:2:fmt.Println(a)\na / 2 2:1:b := 2 2:2:a := 1 "},
		{"this session", inputs(second.Range(0, 1, 0)), "2:1:b := 2 2:2:a := 1 "},
		{"this session, part", inputs(second.Range(0, 1, 2)), "2:1:b := 2 "},
		{"the session before", inputs(second.Range(-1, 2, 3)), "1:2:fmt.Println(a)\na / 2 "},
		{"by number", inputs(second.Range(1, 0, 0)), "1:1:a := 1 1:2:fmt.Println(a)\na / 2 "},
		{"search", inputs(second.Search("*a*/ 2", 0, false)), "1:2:fmt.Println(a)\na / 2 "},
		{"search, each once", inputs(second.Search("*1", 0, true)), "2:2:a := 1 "},
		{"memory alone", inputs(NewHistory("").Tail(5)), ""},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, tt.got, tt.want)
		}
	}
	if NewHistory("").Add(1, "x"); len(NewHistory("/dev/null/no").Tail(1)) != 0 {
		t.Error("a folder that cannot be read has entries")
	}
	broken := NewHistory("/dev/null/no")
	broken.Add(1, "kept")
	if got := inputs(broken.Tail(1)); got != "1:1:kept " {
		t.Errorf("a folder that cannot be written: %q", got)
	}
}

// TestHistoryOfManyKernels: kernels that start together take different numbers.
func TestHistoryOfManyKernels(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			h := NewHistory(dir)
			for line := range 5 {
				h.Add(line, fmt.Sprint("cell ", i))
			}
		})
	}
	wg.Wait()
	es := NewHistory(dir).Tail(1000)
	bySession := map[int]string{}
	for _, e := range es {
		if s := bySession[e.Session]; s != "" && s != e.Input {
			t.Errorf("session %d holds %q and %q", e.Session, s, e.Input)
		}
		bySession[e.Session] = e.Input
	}
	if len(es) != 40 || len(bySession) != 8 {
		t.Errorf("%d cells of %d sessions, want 40 of 8", len(es), len(bySession))
	}
}
