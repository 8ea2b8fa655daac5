package assist

import (
	"path"
	"sync"
)

// Entry is one executed cell.
type Entry struct {
	Session int
	Line    int
	Input   string
	Output  string // the text of its last expression
}

// History remembers the cells that ran in this process. Its methods may be called from any goroutine.
type History struct {
	mu      sync.Mutex
	entries []Entry
}

// Add records a cell.
func (h *History) Add(line int, input string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.entries = append(h.entries, Entry{Session: 1, Line: line, Input: input})
}

// SetOutput records the shown value of the cell that was added last with that line.
func (h *History) SetOutput(line int, output string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := len(h.entries) - 1; i >= 0; i-- {
		if h.entries[i].Line == line {
			h.entries[i].Output = output
			return
		}
	}
}

// Tail returns the last n cells.
func (h *History) Tail(n int) []Entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	n = min(max(n, 0), len(h.entries))
	return append([]Entry{}, h.entries[len(h.entries)-n:]...)
}

// Range returns the cells with start ≤ line < stop; stop 0 means to the end.
func (h *History) Range(start, stop int) []Entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	var es []Entry
	for _, e := range h.entries {
		if e.Line >= start && (stop <= 0 || e.Line < stop) {
			es = append(es, e)
		}
	}
	return es
}

// Search returns the last n cells (0: all) whose text matches a glob pattern; with unique, each text once.
func (h *History) Search(pattern string, n int, unique bool) []Entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	var es []Entry
	seen := map[string]bool{}
	for i := len(h.entries) - 1; i >= 0 && (n <= 0 || len(es) < n); i-- {
		e := h.entries[i]
		if !glob(pattern, e.Input) || unique && seen[e.Input] {
			continue
		}
		seen[e.Input] = true
		es = append([]Entry{e}, es...)
	}
	return es
}

// glob matches * and ? against any text, line ends and slashes included.
func glob(pattern, s string) bool {
	clean := func(s string) string {
		rs := []rune(s)
		for i, r := range rs {
			if r == '/' {
				rs[i] = '\x00'
			}
		}
		return string(rs)
	}
	ok, err := path.Match(clean(pattern), clean(s))
	return err == nil && ok
}
