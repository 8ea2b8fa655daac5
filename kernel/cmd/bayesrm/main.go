// Command bayesrm is the kernel, and runs programs and notebooks without a front end.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"gobayes/kernel"

	"github.com/alecthomas/kong"
)

type cli struct {
	Kernel  kernelCmd  `cmd:"" help:"Serve a front end (called by Jupyter)."`
	Run     runCmd     `cmd:"" help:"Run a Go program or a notebook."`
	Worker  workerCmd  `cmd:"" help:"Do jobs of a cluster: sampling, scoring, training, notebooks."`
	Version versionCmd `cmd:"" help:"Print the version."`
}

type kernelCmd struct {
	Connection string   `arg:"" help:"Connection file written by the front end."`
	Args       []string `arg:"" optional:"" passthrough:"" help:"What os.Args holds in cells."`
}

func (c *kernelCmd) Run() error {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	return kernel.Serve(ctx, c.Connection, programArgs(c.Args)...)
}

// programArgs drops the -- that separates our own arguments from the program's.
func programArgs(args []string) []string {
	if len(args) > 0 && args[0] == "--" {
		return args[1:]
	}
	return args
}

type versionCmd struct{}

func (*versionCmd) Run() error {
	fmt.Println("bayesrm", kernel.Version)
	return nil
}

// exitStatus is an error that has been shown already.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

func main() {
	var c cli
	ctx := kong.Parse(&c, kong.Name("bayesrm"), kong.Description("Go notebooks with Bayesian reward models."), kong.UsageOnError())
	err := ctx.Run()
	var status exitStatus
	switch {
	case errors.As(err, &status):
		os.Exit(int(status))
	case err != nil:
		fmt.Fprintln(os.Stderr, "bayesrm:", err)
		os.Exit(1)
	}
}
