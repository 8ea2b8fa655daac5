package server

import (
	"fmt"
	"os"
	"runtime/debug"

	"gobayes/kernel/internal/rt"
)

// capture redirects the process's standard output and error to o: what compiled code prints belongs to the running cell. restore puts
// them back.
func capture(o *outputs) (restore func(), err error) {
	stdout, stderr := os.Stdout, os.Stderr
	if err := debug.SetCrashOutput(stderr, debug.CrashOptions{}); err != nil { // no pipe is read after a crash
		return nil, fmt.Errorf("server: stderr: %w", err)
	}
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
		p, err := newPipe(r, w, func(b []byte) { o.write(rt.Current(), d.name, b) })
		if err != nil {
			return nil, fmt.Errorf("server: %s: %w", d.name, err)
		}
		o.pipes = append(o.pipes, p)
		go p.read()
	}
	return func() {
		os.Stdout, os.Stderr = stdout, stderr
		for _, f := range undo {
			f()
		}
	}, nil
}

// pipeBuffer is how much is read at once from a pipe that stands in for one of the process's own output descriptors.
const pipeBuffer = 64 << 10
