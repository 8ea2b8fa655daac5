//go:build unix

package safetensors

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestFullDisk: a write that the system refuses half-way, as a full disk does, names the file, leaves the old content and nothing beside it.
// The process that writes may make files of 64 KiB at most.
func TestFullDisk(t *testing.T) {
	const env = "SAFETENSORS_TEST_FULL"
	old, large := []byte("old content"), bytes.Repeat([]byte("new"), 1<<16)
	if path := os.Getenv(env); path != "" {
		signal.Ignore(syscall.SIGXFSZ)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 64 << 10, Max: 64 << 10}); err != nil {
			t.Fatal(err)
		}
		err := WriteFile(path, large)
		if !errors.Is(err, syscall.EFBIG) || !strings.Contains(err.Error(), path) {
			t.Fatalf("error %v, want one that names %s", err, path)
		}
		if err := Write(path, map[string]Tensor{"w": {Shape: []int{1 << 16}, Data: make([]float32, 1<<16)}}, nil); !errors.Is(err, syscall.EFBIG) {
			t.Fatalf("tensors: error %v", err)
		}
		return
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "model.safetensors")
	if err := os.WriteFile(path, old, 0o644); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(os.Args[0], "-test.run", "^TestFullDisk$")
	c.Env = append(os.Environ(), env+"="+path)
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, old) || len(entries) != 1 {
		t.Errorf("afterwards %q, error %v, %d files", b, err, len(entries))
	}
	if err := WriteFile(filepath.Join(dir, "no", "such", "folder"), large); err == nil || !strings.Contains(err.Error(), "such") {
		t.Errorf("a folder that is not there: %v", err)
	}
}
