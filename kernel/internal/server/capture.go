package server

import (
	"bytes"
	"fmt"
	"os"
	"sync"

	"gobayes/kernel/internal/rt"
	"gobayes/kernel/internal/wire"
)

// pipe stands in for one of the process's own output descriptors: what compiled code prints belongs to the running cell.
type pipe struct {
	w      *os.File
	marker []byte // written by sync, never shown
	seen   chan struct{}
	mu     sync.Mutex
}

// capture redirects the process's standard output and error to o. restore puts them back.
func capture(o *outputs) (restore func(), err error) {
	stdout, stderr := os.Stdout, os.Stderr
	var undo []func()
	for _, d := range []struct {
		name string
		file **os.File
	}{{"stdout", &os.Stdout}, {"stderr", &os.Stderr}} {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, fmt.Errorf("server: %s: %w", d.name, err)
		}
		old := *d.file
		back, err := redirect(old, w)
		if err != nil {
			return nil, fmt.Errorf("server: %s: %w", d.name, err)
		}
		undo = append(undo, back)
		*d.file = w
		p := &pipe{w: w, marker: []byte("\x00" + wire.NewID() + "\x00"), seen: make(chan struct{}, 1)}
		o.pipes = append(o.pipes, p)
		go p.read(r, func(b []byte) { o.write(rt.Current(), d.name, b) })
	}
	return func() {
		os.Stdout, os.Stderr = stdout, stderr
		for _, f := range undo {
			f()
		}
	}, nil
}

// sync returns when everything written before has been read.
func (p *pipe) sync() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := p.w.Write(p.marker); err == nil {
		<-p.seen
	}
}

func (p *pipe) read(r *os.File, emit func([]byte)) {
	buf := make([]byte, 64<<10)
	var held []byte
	for {
		n, err := r.Read(buf)
		held = append(held, buf[:n]...)
		for {
			i := bytes.Index(held, p.marker)
			if i < 0 {
				break
			}
			if i > 0 {
				emit(held[:i])
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
			emit(held[:n])
			held = append(held[:0], held[n:]...)
		}
		if err != nil {
			return
		}
	}
}
