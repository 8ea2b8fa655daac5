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

// TestReadOnlyFolder: a write to a folder that may not be written names the file and leaves the old content. Root may write everywhere, so
// the process that writes is somebody else's.
func TestReadOnlyFolder(t *testing.T) {
	const env = "SAFETENSORS_TEST_READ_ONLY"
	if path := os.Getenv(env); path != "" {
		if err := WriteFile(path, []byte("new")); !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), path) {
			t.Fatalf("error %v, want one that names %s", err, path)
		}
		return
	}
	root := t.TempDir()
	dir := filepath.Join(root, "results")
	path := filepath.Join(dir, "model.safetensors")
	if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(path, []byte("old"), 0o644), os.Chmod(dir, 0o555)); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(dir, 0o755) //nolint:errcheck // lets the test's folder be removed
	self, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(root, "program") // where others can run it
	if err := errors.Join(os.WriteFile(program, self, 0o755), os.Chmod(filepath.Dir(root), 0o755)); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(program, "-test.run", "^TestReadOnlyFolder$")
	c.Env, c.Dir = append(os.Environ(), env+"="+path), root
	if os.Getuid() == 0 {
		const nobody = 65534
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "old" {
		t.Errorf("afterwards %q, error %v", b, err)
	}
}

// TestChangedWhileOpen: a file that is replaced while it is open is read as it was; one that is cut off is an error that names the tensor.
func TestChangedWhileOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model.safetensors")
	write := func(v float32) {
		t.Helper()
		if err := Write(path, map[string]Tensor{"w": {Shape: []int{2}, Data: []float32{v, v}}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	write(1)
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	write(2)
	if w, _, err := f.Tensor("w"); err != nil || w.Data[0] != 1 {
		t.Errorf("replaced: %v, %v", w, err)
	}
	g, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if err := os.Truncate(path, 20); err != nil {
		t.Fatal(err)
	}
	if _, _, err := g.Tensor("w"); err == nil || !strings.Contains(err.Error(), "tensor w") {
		t.Errorf("cut off: %v", err)
	}
}
