//go:build unix

package server

import (
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// redirect makes old's descriptor refer to w, so that compiled code below package os is caught as well.
func redirect(old, w *os.File) (restore func(), err error) {
	fd := int(old.Fd())
	saved, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0) // not for the commands that cells start
	if err != nil {
		return nil, err
	}
	if err := unix.Dup2(int(w.Fd()), fd); err != nil {
		return nil, err
	}
	return func() {
		_ = unix.Dup2(saved, fd)
		_ = unix.Close(saved)
	}, nil
}

// pipe is what stands in for one of the process's own output descriptors.
type pipe struct {
	r    syscall.RawConn
	emit func([]byte)
	mu   sync.Mutex // held from reading to emitting
	buf  []byte
}

func newPipe(r, _ *os.File, emit func([]byte)) (*pipe, error) {
	raw, err := r.SyscallConn()
	return &pipe{r: raw, emit: emit, buf: make([]byte, pipeBuffer)}, err
}

// maxPipe is the most that a pipe holds: what has been written by now is read when that much is.
const maxPipe = 1 << 20

// sync returns when everything written before has been emitted.
func (p *pipe) sync() {
	_ = p.r.Control(func(fd uintptr) { // fails when the pipe is closed
		for total := 0; total < maxPipe; {
			n, _ := p.some(fd)
			if n == 0 {
				return
			}
			total += n
		}
	})
}

// read emits what is written, until the pipe is closed.
func (p *pipe) read() {
	_ = p.r.Read(func(fd uintptr) bool { // again whenever there is something after nothing was
		for {
			if n, closed := p.some(fd); n == 0 {
				return closed
			}
		}
	})
}

// some emits what can be read at once: nothing when the pipe is empty, or closed.
func (p *pipe) some(fd uintptr) (n int, closed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		n, err := unix.Read(int(fd), p.buf)
		switch {
		case n > 0:
			p.emit(p.buf[:n])
			return n, false
		case err != unix.EINTR:
			return 0, err != unix.EAGAIN
		}
	}
}
