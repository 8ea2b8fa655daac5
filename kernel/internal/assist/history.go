package assist

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
)

// Entry is one executed cell.
type Entry struct {
	Session int    `json:"-"` // this one is the last
	Line    int    `json:"line"`
	Input   string `json:"input"`
	Output  string `json:"-"` // the text of its last expression; this session's only
}

// History remembers the cells that ran, in this process and in those before it: a folder holds a file of JSON lines for each
// session, by number. Its methods may be called from any goroutine.
type History struct {
	mu      sync.Mutex
	dir     string // "" keeps nothing
	entries []Entry
	past    []Entry // of the sessions before; read when first asked for
	read    bool
	session int // 0 until its file is made, with its first cell
	file    *os.File
}

// HistoryDir is where histories are kept: $BAYESRM_HISTORY ("off" keeps none), else in the user's configuration folder.
func HistoryDir() string {
	dir, ok := os.LookupEnv("BAYESRM_HISTORY")
	switch {
	case dir == "off":
		return ""
	case ok && dir != "":
		return dir
	}
	config, err := os.UserConfigDir()
	if err != nil {
		return "" // no home
	}
	return filepath.Join(config, "bayesrm", "history")
}

// NewHistory returns the history of a new session over those in dir; with "" it remembers this process alone.
func NewHistory(dir string) *History { return &History{dir: dir} }

// maxSessions is how many sessions a folder keeps.
const maxSessions = 1000

// sessions lists the numbers of the sessions in the folder, ascending.
func (h *History) sessions() []int {
	files, _ := filepath.Glob(filepath.Join(h.dir, "*.jsonl")) // the pattern is sound
	var ns []int
	for _, f := range files {
		if n, err := strconv.Atoi(strings.TrimSuffix(filepath.Base(f), ".jsonl")); err == nil {
			ns = append(ns, n)
		}
	}
	sort.Ints(ns)
	return ns
}

func (h *History) path(session int) string {
	return filepath.Join(h.dir, fmt.Sprintf("%06d.jsonl", session))
}

// open makes the file of this session, under a number that no other kernel takes, and removes the oldest beyond the limit.
func (h *History) open() error {
	if err := os.MkdirAll(h.dir, 0o700); err != nil {
		return err
	}
	old := h.sessions()
	n := 1
	if len(old) > 0 {
		n = old[len(old)-1] + 1
	}
	for {
		f, err := os.OpenFile(h.path(n), os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
		if errors.Is(err, fs.ErrExist) {
			n++
			continue
		}
		if err != nil {
			return err
		}
		h.file, h.session = f, n
		break
	}
	for i := range max(0, len(old)-maxSessions+1) {
		_ = os.Remove(h.path(old[i])) // another kernel may have done it
	}
	return nil
}

// Add records a cell. What cannot be written to the folder is remembered in this process.
func (h *History) Add(line int, input string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := Entry{Line: line, Input: input}
	h.entries = append(h.entries, e)
	if h.dir != "" && h.file == nil {
		if err := h.open(); err != nil {
			h.dir = "" // a folder that cannot be written: not asked again
		}
	}
	if h.file == nil {
		return
	}
	if b, err := json.Marshal(e); err == nil {
		_, _ = h.file.Write(append(b, '\n')) // a disk that is full costs the history, not the cell
	}
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

// all lists the cells of the sessions before and of this one, which has the number after the last.
func (h *History) all() []Entry {
	if !h.read && h.dir != "" {
		h.read = true
		for _, n := range h.sessions() {
			if n != h.session {
				h.past = append(h.past, readSession(h.path(n), n)...)
			}
		}
	}
	es := append([]Entry{}, h.past...)
	for _, e := range h.entries {
		e.Session = h.number()
		es = append(es, e)
	}
	return es
}

// number is that of this session, also before its file is made.
func (h *History) number() int {
	if h.session > 0 {
		return h.session
	}
	if n := len(h.past); n > 0 {
		return h.past[n-1].Session + 1
	}
	return 1
}

// readSession reads the cells of a file; lines that are none are left out.
func readSession(file string, session int) (es []Entry) {
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 16<<20)
	for sc.Scan() {
		e := Entry{}
		if json.Unmarshal(sc.Bytes(), &e) == nil {
			e.Session = session
			es = append(es, e)
		}
	}
	return es
}

// Tail returns the last n cells.
func (h *History) Tail(n int) []Entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	es := h.all()
	return es[len(es)-min(max(n, 0), len(es)):]
}

// Range returns the cells with start ≤ line < stop (0: to the end) of a session: 0 is this one, −1 the one before, a positive
// number that session.
func (h *History) Range(session, start, stop int) []Entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	es := h.all()
	if session <= 0 {
		session += h.number()
	}
	var out []Entry
	for _, e := range es {
		if e.Session == session && e.Line >= start && (stop <= 0 || e.Line < stop) {
			out = append(out, e)
		}
	}
	return out
}

// Search returns the last n cells (0: all) whose text matches a glob pattern; with unique, each text once.
func (h *History) Search(pattern string, n int, unique bool) []Entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := h.all()
	var es []Entry
	seen := map[string]bool{}
	for i := len(all) - 1; i >= 0 && (n <= 0 || len(es) < n); i-- {
		e := all[i]
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
