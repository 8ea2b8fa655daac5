package client

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gobayes/kernel/notebook"
)

// Run executes the code cells of a notebook in order and stores their outputs in it. on, if not nil, sees each output with
// the number of its cell. It stops at the first cell that fails, unless it carries the tag raises-exception; then the error is a *CellError. Progress bars are not kept.
func (k *Kernel) Run(ctx context.Context, nb *notebook.Notebook, on func(cell int, o notebook.Output)) error {
	for i := range nb.Cells {
		if nb.Cells[i].Type == "code" {
			nb.Cells[i].Outputs, nb.Cells[i].ExecutionCount = nil, 0
		}
	}
	if nb.Metadata != nil {
		nb.Metadata["language_info"] = k.language // by which nbconvert names a script
	}
	runs := map[*notebook.Cell]*run{}
	defer func() { // with what has come after a cell had ended
		k.mu.Lock()
		defer k.mu.Unlock()
		for c, r := range runs {
			c.Outputs = slices.DeleteFunc(slices.Clone(r.outputs), IsProgress)
			delete(k.runs, r.id)
		}
	}()
	for i := range nb.Cells {
		c := &nb.Cells[i]
		if c.Type != "code" || strings.TrimSpace(c.Source) == "" {
			continue
		}
		runs[c] = k.newRun(func(o notebook.Output) {
			if on != nil {
				on(i, o)
			}
		})
		r, err := k.execute(ctx, c.Source, runs[c])
		if err != nil {
			return err
		}
		c.ExecutionCount = r.ExecutionCount
		if r.Err != nil && !c.HasTag("raises-exception") {
			return fmt.Errorf("cell %d: %w", i+1, r.Err)
		}
	}
	return nil
}

// IsProgress reports whether an output is a progress bar.
func IsProgress(o notebook.Output) bool {
	m, _ := o.Metadata["bayesrm"].(map[string]any)
	return m["progress"] == true
}

// Files writes the pictures and tables of a notebook's outputs to a folder: cell-03-1.svg, .png, .csv. It returns their
// paths.
func Files(nb *notebook.Notebook, dir string) ([]string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("client: files: %w", err)
	}
	var names []string
	for i, c := range nb.Cells {
		k := 0
		for _, o := range c.Outputs {
			k++
			for mime, ext := range map[string]string{"image/svg+xml": ".svg", "image/png": ".png", "text/csv": ".csv"} {
				s, ok := o.Data[mime].(string)
				if !ok {
					continue
				}
				data := []byte(s)
				if mime == "image/png" {
					b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(s))
					if err != nil {
						return names, fmt.Errorf("client: files: cell %d: PNG: %w", i+1, err)
					}
					data = b
				}
				name := filepath.Join(dir, fmt.Sprintf("cell-%02d-%d%s", i+1, k, ext))
				if err := notebook.WriteFile(name, data); err != nil {
					return names, err
				}
				names = append(names, name)
			}
		}
	}
	return names, nil
}
