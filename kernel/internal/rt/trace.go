package rt

import (
	"bytes"
	"sync"
)

// Trace is where the interpreter writes a line for each frame that a panic passes.
var Trace trace

type trace struct {
	mu    sync.Mutex
	lines []string
}

const maxTrace = 200

func (t *trace) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range bytes.Split(bytes.TrimSpace(p), []byte("\n")) {
		t.lines = append(t.lines, string(l))
	}
	if len(t.lines) > maxTrace {
		t.lines = t.lines[len(t.lines)-maxTrace:]
	}
	return len(p), nil
}

// Lines are the frames since the last Reset, innermost first.
func (t *trace) Lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lines[:len(t.lines):len(t.lines)]
}

// Reset forgets the frames: a cell begins, or the panic was recovered.
func (t *trace) Reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = nil
}
