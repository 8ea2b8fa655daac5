//go:build !unix

package server

import (
	"bytes"
	"os"
	"sync"

	"gobayes/kernel/internal/wire"
)

// redirect leaves the descriptor alone where it cannot be duplicated: os.Stdout itself is replaced by the caller.
func redirect(_, _ *os.File) (restore func(), err error) { return func() {}, nil }

// pipe is what stands in for one of the process's own output descriptors. Where a pipe cannot be read without waiting, sync writes a marker
// and waits until it has come.
type pipe struct {
	r, w   *os.File
	emit   func([]byte)
	marker []byte // never shown
	seen   chan struct{}
	mu     sync.Mutex
}

func newPipe(r, w *os.File, emit func([]byte)) (*pipe, error) {
	return &pipe{r: r, w: w, emit: emit, marker: []byte("\x00" + wire.NewID() + "\x00"), seen: make(chan struct{}, 1)}, nil
}

// sync returns when everything written before has been emitted.
func (p *pipe) sync() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := p.w.Write(p.marker); err == nil {
		<-p.seen
	}
}

// read emits what is written.
func (p *pipe) read() {
	buf := make([]byte, pipeBuffer)
	var held []byte
	for {
		n, err := p.r.Read(buf)
		held = append(held, buf[:n]...)
		for {
			i := bytes.Index(held, p.marker)
			if i < 0 {
				break
			}
			if i > 0 {
				p.emit(held[:i])
			}
			held = append(held[:0], held[i+len(p.marker):]...)
			p.seen <- struct{}{}
		}
		keep := 0 // the start of a marker may be at the end
		for k := min(len(held), len(p.marker)-1); k > 0; k-- {
			if bytes.HasPrefix(p.marker, held[len(held)-k:]) {
				keep = k
				break
			}
		}
		if n := len(held) - keep; n > 0 {
			p.emit(held[:n])
			held = append(held[:0], held[n:]...)
		}
		if err != nil {
			return
		}
	}
}
