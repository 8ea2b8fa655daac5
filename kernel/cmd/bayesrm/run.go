package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"gobayes/kernel/client"
	"gobayes/kernel/notebook"
)

type runCmd struct {
	File  string   `arg:"" help:"FILE.go or NOTEBOOK.ipynb."`
	Out   string   `help:"Write the executed notebook here." placeholder:"NOTEBOOK"`
	HTML  string   `help:"Write a self-contained HTML page here." placeholder:"FILE"`
	Files string   `help:"Write figures (SVG, PNG) and tables (CSV) to this folder." placeholder:"DIR"`
	Param []string `short:"p" help:"Set a parameter of the notebook." placeholder:"name=value"`
	Args  []string `arg:"" optional:"" passthrough:"" help:"Arguments of the program."`
}

func (c *runCmd) Run() error {
	nb, program, err := c.load()
	if err != nil {
		return err
	}
	if err := nb.Parametrise(c.Param); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	o := client.Options{Argv: append([]string{self, "kernel", "{connection_file}", "--"}, programArgs(c.Args)...), Env: []string{client.NoHistory}}
	if !program { // a notebook runs in its own folder, as in Jupyter
		o.Dir = filepath.Dir(c.File)
	}
	k, err := client.Start(ctx, o)
	if err != nil {
		return err
	}
	defer func() { _ = k.Close() }() // it is killed if it does not answer
	stdin := bufio.NewReader(os.Stdin)
	k.Input = func(prompt string) (string, error) {
		fmt.Fprint(os.Stderr, prompt)
		line, err := stdin.ReadString('\n')
		if err != nil && (line == "" || !errors.Is(err, io.EOF)) {
			return "", err
		}
		return strings.TrimSuffix(line, "\n"), nil
	}
	runErr := k.Run(ctx, nb, (&console{program: program, out: os.Stdout, err: os.Stderr}).show)
	if err := c.write(nb); err != nil {
		return err
	}
	var cell *client.CellError
	if errors.As(runErr, &cell) {
		var code int
		if _, err := fmt.Sscanf(cell.Value, "os.Exit(%d)", &code); cell.Name == "Exit" && err == nil {
			if code == 0 {
				return nil
			}
			return exitStatus(code)
		}
		return exitStatus(1) // shown with its traceback already
	}
	var ended *client.EndedError
	if program && errors.As(runErr, &ended) && ended.Status == 0 { // compiled code called os.Exit
		return nil
	}
	return runErr
}

// load reads the file as a notebook; a program becomes one of a single cell that calls main.
func (c *runCmd) load() (nb *notebook.Notebook, program bool, err error) {
	switch filepath.Ext(c.File) {
	case ".ipynb":
		nb, err = notebook.Read(c.File)
		return nb, false, err
	case ".go":
		b, err := os.ReadFile(c.File)
		if err != nil {
			return nil, true, err
		}
		cell := notebook.Cell{ID: notebook.NewID(), Type: "code", Source: string(b) + "\nmain()"}
		return &notebook.Notebook{NBFormat: 4, NBFormatMinor: 5, Metadata: map[string]any{}, Cells: []notebook.Cell{cell}}, true, nil
	}
	return nil, false, fmt.Errorf("run %s: want a .go or an .ipynb file", c.File)
}

func (c *runCmd) write(nb *notebook.Notebook) error {
	if c.Out != "" {
		if err := nb.Write(c.Out); err != nil {
			return err
		}
	}
	if c.HTML != "" {
		page, err := nb.HTML(strings.TrimSuffix(filepath.Base(c.File), filepath.Ext(c.File)))
		if err != nil {
			return err
		}
		if err := notebook.WriteFile(c.HTML, page); err != nil {
			return err
		}
	}
	if c.Files != "" {
		if _, err := client.Files(nb, c.Files); err != nil {
			return err
		}
	}
	return nil
}

// console shows the outputs of cells as text.
type console struct {
	program  bool
	out, err io.Writer
}

func (c *console) show(_ int, o notebook.Output) {
	switch o.Type {
	case "stream":
		w := c.out
		if o.Name == "stderr" {
			w = c.err
		}
		fmt.Fprint(w, o.Text)
	case "error":
		if o.EName == "Exit" { // the program's own status is passed on
			return
		}
		fmt.Fprintln(c.err, notebook.StripANSI(strings.Join(o.Traceback, "\n")))
	default:
		if s, ok := o.Data["text/plain"].(string); ok && !c.program && !client.IsProgress(o) {
			fmt.Fprintln(c.out, s)
		}
	}
}
