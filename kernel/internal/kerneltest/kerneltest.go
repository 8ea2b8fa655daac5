// Package kerneltest builds the kernel once and drives it, for tests, over its real sockets.
package kerneltest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"gobayes/kernel/client"
	"gobayes/kernel/notebook"
)

var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "bayesrm-test-")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "bayesrm")
	cmd := exec.Command("go", "build", "-o", bin, "./kernel/cmd/bayesrm")
	cmd.Dir = Root()
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return bin, nil
})

// Root is the folder of the repository.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", "..")
}

// Binary returns the path of the kernel's binary, built once per test process.
func Binary(t testing.TB) string {
	t.Helper()
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// Start starts a kernel that ends with the test, with some variables in its environment. Its working directory is notebooks.
func Start(t testing.TB, env ...string) *client.Kernel {
	t.Helper()
	k, err := client.Start(context.Background(), client.Options{Argv: []string{Binary(t), "kernel", "{connection_file}"}, Dir: filepath.Join(Root(), "notebooks"), Env: append(env, client.NoHistory)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Errorf("closing the kernel: %v", err)
		}
	})
	return k
}

// Run executes a cell and returns what it printed, what it showed and its error.
func Run(t testing.TB, k *client.Kernel, code string) (stdout, shown string, cellErr *client.CellError) {
	t.Helper()
	r, err := k.Execute(context.Background(), code, nil)
	if err != nil {
		t.Fatal(err)
	}
	return Streams(r.Outputs, "stdout"), Shown(r.Outputs), r.Err
}

// Streams joins the texts of one stream.
func Streams(outs []notebook.Output, name string) string {
	var b strings.Builder
	for _, o := range outs {
		if o.Type == "stream" && o.Name == name {
			b.WriteString(o.Text)
		}
	}
	return b.String()
}

// Shown is the text of the last expression.
func Shown(outs []notebook.Output) string {
	for _, o := range outs {
		if o.Type == "execute_result" {
			s, _ := o.Data["text/plain"].(string)
			return s
		}
	}
	return ""
}
