package main

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"gobayes/kernel"
)

//go:embed logo-32x32.png logo-64x64.png logo-svg.svg
var logos embed.FS

// target says where the kernelspec goes.
type target struct {
	Name        string `help:"Name of the kernelspec." default:"bayesrm"`
	DisplayName string `help:"Name that Jupyter shows." default:"Go (bayesrm)"`
	SysPrefix   bool   `help:"Install into the active virtual environment."`
	Prefix      string `help:"Install below this folder, in share/jupyter/kernels." placeholder:"PATH"`
}

// spec is kernel.json.
type spec struct {
	Argv          []string       `json:"argv"`
	DisplayName   string         `json:"display_name"`
	Language      string         `json:"language"`
	InterruptMode string         `json:"interrupt_mode"`
	Env           map[string]any `json:"env"`
	Metadata      map[string]any `json:"metadata"`
}

// folder is the folder of the kernelspec.
func (t *target) folder() (string, error) {
	switch {
	case t.Prefix != "":
		p, err := filepath.Abs(t.Prefix)
		return filepath.Join(p, "share", "jupyter", "kernels", t.Name), err
	case t.SysPrefix:
		for _, v := range []string{"VIRTUAL_ENV", "CONDA_PREFIX"} {
			if p := os.Getenv(v); p != "" {
				return filepath.Join(p, "share", "jupyter", "kernels", t.Name), nil
			}
		}
		return "", errors.New("--sys-prefix: neither VIRTUAL_ENV nor CONDA_PREFIX is set; activate an environment, or leave the flag out")
	}
	data, err := dataDir()
	return filepath.Join(data, "kernels", t.Name), err
}

// dataDir is the user's Jupyter data directory, which every Jupyter searches.
func dataDir() (string, error) {
	if d := os.Getenv("JUPYTER_DATA_DIR"); d != "" {
		return d, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	switch runtime.GOOS {
	case "darwin":
		return filepath.Join(home, "Library", "Jupyter"), nil
	case "windows":
		if d := os.Getenv("APPDATA"); d != "" {
			return filepath.Join(d, "jupyter"), nil
		}
	}
	if d := os.Getenv("XDG_DATA_HOME"); d != "" {
		return filepath.Join(d, "jupyter"), nil
	}
	return filepath.Join(home, ".local", "share", "jupyter"), nil
}

// readSpec reads the kernelspec of a folder; ours says whether bayesrm wrote it.
func readSpec(dir string) (s spec, ours bool, err error) {
	b, err := os.ReadFile(filepath.Join(dir, "kernel.json"))
	if err != nil {
		return s, false, err
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, false, fmt.Errorf("%s: %w", filepath.Join(dir, "kernel.json"), err)
	}
	_, ours = s.Metadata["bayesrm"]
	return s, ours, nil
}

// install builds the kernel and writes its kernelspec. A kernelspec of another program under the same name is left alone.
func (t *target) install() (spec, error) {
	dir, err := t.folder()
	if err != nil {
		return spec{}, err
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		if _, ours, _ := readSpec(dir); !ours {
			return spec{}, fmt.Errorf("%s holds a kernel that bayesrm did not install; nothing was changed; choose another name with --name", dir)
		}
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return spec{}, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return spec{}, fmt.Errorf("the kernelspec folder cannot be made: %w; choose another place with --prefix", err)
	}
	root, err := repository()
	if err != nil {
		return spec{}, err
	}
	bin := filepath.Join(dir, binary(runtime.GOOS))
	fmt.Println("building", bin)
	tmp := bin + ".new"
	if err := build(root, tmp, runtime.GOOS, runtime.GOARCH); err != nil {
		return spec{}, err
	}
	if err := os.Rename(tmp, bin); err != nil {
		return spec{}, err
	}
	s, err := t.write(dir, bin)
	if err == nil {
		fmt.Println("installed the kernel", t.Name, "in", dir)
	}
	return s, err
}

// binary is the kernel's file name.
func binary(system string) string {
	if system == "windows" {
		return "bayesrm.exe"
	}
	return "bayesrm"
}

// build makes the kernel's binary; the same sources and Go make the same bytes, wherever they lie.
func build(root, out, system, arch string) error {
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", out, "./kernel/cmd/bayesrm")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+system, "GOARCH="+arch)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go build for %s/%s: %w", system, arch, err)
	}
	return nil
}

// write writes the logos and kernel.json, with the given path of the binary.
func (t *target) write(dir, bin string) (spec, error) {
	s := spec{
		Argv: []string{bin, "kernel", "{connection_file}"}, DisplayName: t.DisplayName, Language: "go", InterruptMode: "message",
		Env: map[string]any{}, Metadata: map[string]any{"debugger": false, "bayesrm": kernel.Version},
	}
	files, err := logos.ReadDir(".")
	if err != nil {
		return spec{}, err
	}
	for _, f := range files {
		b, err := logos.ReadFile(f.Name())
		if err != nil {
			return spec{}, err
		}
		if err := os.WriteFile(filepath.Join(dir, f.Name()), b, 0o644); err != nil {
			return spec{}, err
		}
	}
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return spec{}, err
	}
	return s, os.WriteFile(filepath.Join(dir, "kernel.json"), append(b, '\n'), 0o644) // last: it makes the kernel visible
}

// repository is the folder of this module, at or above the working directory.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if b, err := os.ReadFile(filepath.Join(dir, "go.mod")); err == nil && strings.HasPrefix(string(b), "module gobayes\n") {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("run this inside the repository: no go.mod of module gobayes was found here or above")
		}
		dir = up
	}
}
