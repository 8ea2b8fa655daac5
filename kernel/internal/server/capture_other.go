//go:build !unix

package server

import "os"

// redirect leaves the descriptor alone where it cannot be duplicated: os.Stdout itself is replaced by the caller.
func redirect(_, _ *os.File) (restore func(), err error) { return func() {}, nil }
