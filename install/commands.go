package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"gobayes/kernel/client"
)

type kernelCmd struct{ target }

func (c *kernelCmd) Run() error {
	s, err := c.install()
	if err != nil {
		return err
	}
	if c.Prefix != "" {
		fmt.Println("Jupyter finds it only if it searches this prefix; otherwise add", filepath.Dir(filepath.Dir(filepath.Dir(s.Argv[0]))), "to JUPYTER_PATH")
	}
	fmt.Printf("to run notebooks without Jupyter: %s run NOTEBOOK.ipynb\n", s.Argv[0])
	return nil
}

type uninstallCmd struct{ target }

func (c *uninstallCmd) Run() error {
	dir, err := c.folder()
	if err != nil {
		return err
	}
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("no kernel %s: %s does not exist", c.Name, dir)
	}
	if _, ours, _ := readSpec(dir); !ours {
		return fmt.Errorf("%s holds a kernel that bayesrm did not install; nothing was removed", dir)
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	fmt.Println("removed", dir)
	return nil
}

type doctorCmd struct{ target }

func (c *doctorCmd) Run() error {
	dir, err := c.folder()
	if err != nil {
		return err
	}
	fmt.Println("kernelspec:", dir)
	s, ours, err := readSpec(dir)
	if err != nil {
		return fmt.Errorf("%w; install it with `go run ./install kernel`", err)
	}
	fmt.Printf("installed by bayesrm: %t, version %v\nbinary: %s\n", ours, s.Metadata["bayesrm"], s.Argv[0])
	for _, j := range jupyters() {
		if p, err := exec.LookPath(j[0]); err == nil {
			fmt.Println("can open notebooks:", p)
		}
	}
	start := time.Now()
	k, err := client.Start(context.Background(), client.Options{Argv: s.Argv, Env: []string{client.NoHistory}})
	if err != nil {
		return err
	}
	defer func() { _ = k.Close() }()
	up := time.Since(start)
	r, err := k.Execute(context.Background(), "1 + 1", nil)
	if err != nil {
		return err
	}
	if r.Err != nil || len(r.Outputs) == 0 || r.Outputs[0].Data["text/plain"] != "2" {
		return fmt.Errorf("the kernel started, but 1 + 1 gave %v (error %v)", r.Outputs, r.Err)
	}
	fmt.Printf("the kernel answers: up in %v, 1 + 1 = 2 after %v\n", up.Round(time.Millisecond), time.Since(start).Round(time.Millisecond))
	return nil
}

type labCmd struct {
	target
	Dir string `arg:"" optional:"" help:"Folder to open. Default: notebooks." placeholder:"DIR"`
}

// jupyters are the ways to open a notebook, best first.
func jupyters() [][]string {
	return [][]string{
		{"jupyter", "lab"},
		{"jupyter-lab"},
		{"jupyter", "notebook"},
		{"uv", "tool", "run", "--from", "jupyterlab", "--with", "ipywidgets", "jupyter-lab"},
		{"pipx", "run", "--spec", "jupyterlab", "jupyter-lab"},
	}
}

func (c *labCmd) Run() error {
	if _, err := c.install(); err != nil {
		return err
	}
	root, err := repository()
	if err != nil {
		return err
	}
	if c.Dir == "" {
		c.Dir = filepath.Join(root, "notebooks")
	}
	for _, j := range jupyters() {
		p, err := exec.LookPath(j[0])
		if err != nil || len(j) == 2 && exec.Command(p, j[1], "--version").Run() != nil {
			continue
		}
		return open(append(append([]string{p}, j[1:]...), c.Dir))
	}
	lab, err := venv()
	if err != nil {
		return fmt.Errorf("JupyterLab is not here and could not be had (%w); install it with `pip install jupyterlab`, then run this again", err)
	}
	return open([]string{lab, c.Dir})
}

// venv installs JupyterLab into an environment of its own under the user's cache.
func venv() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "bayesrm", "jupyter")
	bin := filepath.Join(dir, "bin")
	lab := filepath.Join(bin, "jupyter-lab")
	if _, err := os.Stat(lab); err == nil {
		return lab, nil
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		return "", err
	}
	for _, args := range [][]string{{python, "-m", "venv", dir}, {filepath.Join(bin, "pip"), "install", "jupyterlab", "ipywidgets"}} {
		fmt.Println(args)
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			return "", fmt.Errorf("%s: %w", args[0], err)
		}
	}
	return lab, nil
}

func open(argv []string) error {
	fmt.Println(argv)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd.Run()
}
