package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Notebook is a notebook to run, with parameters: a figure in its full size, a seed of it, or a part.
type Notebook struct {
	File   string
	Params map[string]string // as -p NAME=VALUE of bayesrm run
	// Out is where the executed notebook goes; one that is there is not run again.
	Out string
}

// Run runs notebooks by all workers, each by bayesrm run in a process of its own.
func (c *Cluster) Run(ctx context.Context, notebooks []Notebook) error {
	specs := slices.Clone(notebooks)
	outs := map[string]bool{}
	for i := range specs {
		s := &specs[i]
		if s.File == "" || s.Out == "" {
			return fmt.Errorf("cluster: run: notebook %d: File and Out must be given", i)
		}
		if err := absolute(&s.File, &s.Out); err != nil {
			return fmt.Errorf("cluster: run: %w", err)
		}
		if outs[s.Out] {
			return fmt.Errorf("cluster: run: two notebooks go to %s", s.Out)
		}
		outs[s.Out] = true
		if err := os.MkdirAll(filepath.Dir(s.Out), 0o755); err != nil {
			return fmt.Errorf("cluster: run: %w", err)
		}
	}
	key, err := json.Marshal(specs)
	if err != nil {
		return err
	}
	err = c.q.run(ctx, work{task: "run notebooks", kind: "notebook", key: string(key), total: len(specs),
		spec: func(i int) any { return specs[i] }, done: func(i int) (bool, error) { return exists(specs[i].Out) }})
	if err != nil {
		return fmt.Errorf("cluster: run: %w", err)
	}
	return nil
}

func exists(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// program runs notebooks: this one, which must be bayesrm. Tests name another.
var program = os.Executable

func notebookJob(ctx context.Context, _ *tools, spec json.RawMessage) error {
	var s Notebook
	if err := json.Unmarshal(spec, &s); err != nil {
		return err
	}
	if ok, err := exists(s.Out); ok || err != nil {
		return err
	}
	self, err := program()
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(s.Out), ".*-"+filepath.Base(s.Out))
	if err != nil {
		return err
	}
	_ = f.Close()             // written by the program
	defer os.Remove(f.Name()) //nolint:errcheck // renamed, or of no use
	args := []string{"run", s.File, "--out", f.Name()}
	for _, k := range slices.Sorted(maps.Keys(s.Params)) {
		args = append(args, "-p", k+"="+s.Params[k])
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // its kernel goes with it
	cmd.WaitDelay = 5 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		return fmt.Errorf("%s: %w: %s", filepath.Base(s.File), err, strings.Join(lines[max(0, len(lines)-8):], "\n"))
	}
	return os.Rename(f.Name(), s.Out)
}
