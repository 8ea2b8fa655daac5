// Command install installs the kernel for Jupyter, opens it, checks it, and shows what it does without Jupyter:
//
//	go run ./install demo
package main

import (
	"fmt"
	"os"

	"github.com/alecthomas/kong"
)

type cli struct {
	Demo      demoCmd      `cmd:"" help:"Build the kernel, run the quickstart notebook through it, and leave figures and numbers in a folder."`
	Kernel    kernelCmd    `cmd:"" help:"Build the kernel and install its kernelspec."`
	Lab       labCmd       `cmd:"" help:"Install the kernel and open JupyterLab."`
	Doctor    doctorCmd    `cmd:"" help:"Say what is installed and whether it answers."`
	Release   releaseCmd   `cmd:"" help:"Build archives with checksums and licences for Linux, macOS and Windows."`
	Uninstall uninstallCmd `cmd:"" help:"Remove the kernelspec and the binary beside it."`
}

func main() {
	var c cli
	ctx := kong.Parse(&c, kong.Name("install"), kong.Description("Install the Go kernel bayesrm."), kong.UsageOnError())
	if err := ctx.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "install:", err)
		os.Exit(1)
	}
}
