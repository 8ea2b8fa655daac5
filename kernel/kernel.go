// Package kernel is a Jupyter kernel for Go.
package kernel

import (
	"context"
	"os"

	"gobayes/kernel/internal/server"
	"gobayes/kernel/internal/wire"
)

// Version is the version of the kernel.
const Version = "0.14.0"

// Serve answers a front end over the sockets that the connection file names, until it is shut down or ctx ends. args are
// what os.Args holds in cells, after the program's name.
func Serve(ctx context.Context, connectionFile string, args ...string) error {
	c, err := wire.ReadConnection(connectionFile)
	if err != nil {
		return err
	}
	os.Args = append([]string{"bayesrm"}, args...) // package flag reads them, too
	return server.Serve(ctx, c, Version)
}
