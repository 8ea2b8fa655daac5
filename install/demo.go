package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"gobayes/kernel/client"
	"gobayes/kernel/notebook"
)

type demoCmd struct {
	target
	Out   string   `help:"Folder for the results." default:"bayesrm-demo" placeholder:"DIR"`
	Param []string `short:"p" help:"Set a parameter of the notebook." placeholder:"name=value"`
}

// mark is the file by which a folder is known as one that the demo made.
const mark = ".bayesrm-demo"

func (c *demoCmd) Run() error {
	start := time.Now()
	if err := c.checkOut(); err != nil {
		return err
	}
	params, err := c.params()
	if err != nil {
		return err
	}
	root, err := repository()
	if err != nil {
		return err
	}
	file := filepath.Join(root, "notebooks", "01-quickstart.ipynb")
	nb, err := notebook.Read(file)
	if err != nil {
		return err
	}
	if err := nb.Parametrise(params); err != nil {
		return err
	}
	s, err := c.install()
	if err != nil {
		return err
	}
	stage("built and installed", start)
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	k, err := client.Start(ctx, client.Options{Argv: s.Argv, Dir: filepath.Dir(file), Env: []string{client.NoHistory}})
	if err != nil {
		return err
	}
	defer func() { _ = k.Close() }() // it is killed if it does not answer
	stage("kernel started", start)
	runErr := k.Run(ctx, nb, (&screen{w: os.Stdout, nb: nb, start: start}).show)
	if err := c.write(nb); err != nil {
		return err
	}
	if runErr != nil {
		return fmt.Errorf("%w (the notebook as far as it came is in %s)", runErr, c.Out)
	}
	stage("done", start)
	fmt.Printf("\nresults are in %s: quickstart.ipynb, quickstart.html, and the figures and numbers as SVG, PNG and CSV\n", c.Out)
	return nil
}

func stage(what string, start time.Time) {
	fmt.Printf("[%6.1f s] %s\n", time.Since(start).Seconds(), what)
}

// checkOut refuses a folder that the demo did not make.
func (c *demoCmd) checkOut() error {
	entries, err := os.ReadDir(c.Out)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("%w; choose another folder with --out", err)
	}
	if _, err := os.Stat(filepath.Join(c.Out, mark)); err != nil && len(entries) > 0 {
		return fmt.Errorf("%s exists and was not made by the demo; nothing was changed; choose another folder with --out", c.Out)
	}
	return nil
}

// params are the notebook's parameters: with BAYESRM_DATA those of the real preferences, then the ones given.
func (c *demoCmd) params() ([]string, error) {
	data := os.Getenv("BAYESRM_DATA")
	if data == "" {
		return c.Param, nil
	}
	data, err := filepath.Abs(data)
	if err != nil {
		return nil, err
	}
	model := filepath.Join(data, "models", "stories260K")
	pool := filepath.Join(data, "data", "alpaca_eval_pool.jsonl.gz")
	pairs := filepath.Join(data, "data", "alpaca_eval_pairs.jsonl.gz")
	for _, p := range []string{model, pool, pairs} {
		if f, err := os.Open(p); err != nil {
			return nil, fmt.Errorf("BAYESRM_DATA: %w; it must name a folder with data/ and models/", err)
		} else {
			f.Close()
		}
	}
	return append([]string{"worldDir=", "model=" + model, "poolFile=" + pool, "pairsFile=" + pairs, "share=0.2", "numPairs=750", "epochs=1", "rate=0.001"}, c.Param...), nil
}

// write leaves the results in the folder.
func (c *demoCmd) write(nb *notebook.Notebook) error {
	if err := os.MkdirAll(c.Out, 0o755); err != nil {
		return fmt.Errorf("%w; choose another folder with --out", err)
	}
	if err := os.WriteFile(filepath.Join(c.Out, mark), nil, 0o644); err != nil {
		return err
	}
	if err := nb.Write(filepath.Join(c.Out, "quickstart.ipynb")); err != nil {
		return err
	}
	page, err := nb.HTML("bayesrm quickstart")
	if err != nil {
		return err
	}
	if err := notebook.WriteFile(filepath.Join(c.Out, "quickstart.html"), page); err != nil {
		return err
	}
	_, err = client.Files(nb, c.Out)
	return err
}

// screen prints outputs as they come; progress bars share one line.
type screen struct {
	w     io.Writer
	nb    *notebook.Notebook
	start time.Time
	cell  int
	bar   bool
}

func (s *screen) show(cell int, o notebook.Output) {
	text, _ := o.Data["text/plain"].(string)
	if client.IsProgress(o) {
		fmt.Fprintf(s.w, "\r\x1b[K    %s", text)
		s.bar = true
		return
	}
	if s.bar {
		fmt.Fprint(s.w, "\r\x1b[K")
		s.bar = false
	}
	if cell != s.cell {
		s.cell = cell
		first, _, _ := strings.Cut(strings.TrimSpace(s.nb.Cells[cell].Source), "\n")
		stage("cell "+fmt.Sprint(cell+1)+": "+first, s.start)
	}
	switch o.Type {
	case "stream":
		fmt.Fprint(s.w, o.Text)
	case "error":
		fmt.Fprintln(s.w, notebook.StripANSI(strings.Join(o.Traceback, "\n")))
	default:
		fmt.Fprintln(s.w, "    "+strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n    "))
	}
}
