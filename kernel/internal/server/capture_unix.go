//go:build unix

package server

import (
	"os"

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
