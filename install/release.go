package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"gobayes/kernel"
)

type releaseCmd struct {
	Out    string   `help:"Folder for the archives." default:"dist"`
	Target []string `help:"Systems to build for." default:"linux/amd64,linux/arm64,darwin/amd64,darwin/arm64,windows/amd64,windows/arm64" placeholder:"OS/ARCH"`
}

// Run builds an archive for each target: a kernelspec folder whose kernel.json finds the binary beside it, the README, and the licences of
// all that is linked in. The toolchain is the one that go.mod names, for its security fixes, so that the same sources make the same
// bytes on every machine.
func (c *releaseCmd) Run() error {
	root, err := repository()
	if err != nil {
		return err
	}
	if err := os.Setenv("GOTOOLCHAIN", "auto"); err != nil {
		return err
	}
	if err := os.MkdirAll(c.Out, 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "bayesrm-release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp) //nolint:errcheck // a temporary folder
	var sums strings.Builder
	for _, t := range c.Target {
		system, arch, ok := strings.Cut(t, "/")
		if !ok {
			return fmt.Errorf("--target %s: want OS/ARCH, like linux/amd64", t)
		}
		dir := filepath.Join(tmp, system+"-"+arch)
		if err := stageRelease(root, dir, system, arch); err != nil {
			return err
		}
		name := filepath.Join(c.Out, fmt.Sprintf("bayesrm-%s-%s-%s", kernel.Version, system, arch))
		write := writeTar
		if system == "windows" {
			name, write = name+".zip", writeZip
		} else {
			name += ".tar.gz"
		}
		sum, err := archive(name, dir, write)
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%s  %s\n", sum, filepath.Base(name))
		fmt.Println(sum, name)
	}
	return os.WriteFile(filepath.Join(c.Out, "SHA256SUMS"), []byte(sums.String()), 0o644)
}

// stageRelease fills a folder with what an archive holds.
func stageRelease(root, dir, system, arch string) error {
	spec := filepath.Join(dir, "bayesrm")
	if err := os.MkdirAll(spec, 0o755); err != nil {
		return err
	}
	if err := build(root, filepath.Join(spec, binary(system)), system, arch); err != nil {
		return err
	}
	t := target{Name: "bayesrm", DisplayName: "Go (bayesrm)"}
	if _, err := t.write(spec, "{resource_dir}/"+binary(system)); err != nil {
		return err
	}
	text := fmt.Sprintf("bayesrm %s, a Jupyter kernel for Go\n\n    jupyter kernelspec install --user bayesrm\n\ninstalls it;\n\n    bayesrm/%s run NOTEBOOK.ipynb\n\nruns a notebook without Jupyter.\n", kernel.Version, binary(system))
	if err := os.WriteFile(filepath.Join(dir, "INSTALL.txt"), []byte(text), 0o644); err != nil {
		return err
	}
	for _, f := range []string{"LICENSE", "README.md"} {
		if err := copyFile(filepath.Join(dir, f), filepath.Join(root, f)); err != nil {
			return err
		}
	}
	modules, err := linked(root, system, arch)
	if err != nil {
		return err
	}
	var list strings.Builder
	for _, m := range modules {
		for _, text := range m.texts {
			if err := copyFile(filepath.Join(dir, "licences", filepath.FromSlash(m.Path), filepath.Base(text)), text); err != nil {
				return err
			}
		}
		fmt.Fprintln(&list, m)
	}
	return os.WriteFile(filepath.Join(dir, "licences", "list.txt"), []byte(list.String()), 0o644)
}

// module is a module that is linked into the kernel.
type module struct {
	Path, Version, Dir string
	licence            string
	texts              []string // files of the licence
}

func (m module) String() string { return strings.TrimSpace(m.Path+" "+m.Version) + ": " + m.licence }

// licences are known by what they say, the first that matches.
var licences = []struct{ name, says string }{
	{"Apache-2.0", `Apache License\s+Version 2\.0`},
	{"MPL-2.0", `Mozilla Public License,? Version 2\.0|Mozilla Public License Version 2\.0`},
	{"BSD-3-Clause", `(?s)Redistribution and use in source and binary forms.*(?:[Nn]either the name|names? of (?:its|the|any))`},
	{"BSD-2-Clause", `Redistribution and use in source and binary forms`},
	{"ISC", `Permission to use, copy, modify, and(?:/or)? distribute this software`},
	{"MIT", `Permission is hereby granted, free of charge`},
	{"OFL-1.1", `SIL O(?i:pen Font License)`},
	{"CC0-1.0", `CC0 1\.0 Universal`},
	{"CC-BY-4.0", `(?i)Creative Commons Attribution 4\.0`},
	{"FTL", `The FreeType License`},
	{"Unlicense", `This is free and unencumbered software`},
}

// linked lists the modules of the kernel's packages, and Go, with their licences. It is an error if one has none that is known.
func linked(root, system, arch string) ([]module, error) {
	cmd := exec.Command("go", "list", "-deps", "-json=Module,Standard", "./kernel/cmd/bayesrm")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+system, "GOARCH="+arch)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("go env GOROOT: %w", err)
	}
	found := map[string]module{"std": {Path: "std", Dir: strings.TrimSpace(string(goroot))}}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct{ Module *module }
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		if p.Module != nil && p.Module.Path != "gobayes" {
			found[p.Module.Path] = *p.Module
		}
	}
	var ms []module
	for _, m := range found {
		if err := m.read(); err != nil {
			return nil, err
		}
		ms = append(ms, m)
	}
	slices.SortFunc(ms, func(a, b module) int { return strings.Compare(a.Path, b.Path) })
	return ms, nil
}

// read finds the licence of a module.
func (m *module) read() error {
	entries, err := os.ReadDir(m.Dir)
	if err != nil {
		return fmt.Errorf("%s: %w", m.Path, err)
	}
	var names []string
	for _, e := range entries {
		upper := strings.ToUpper(e.Name())
		if e.IsDir() || !strings.HasPrefix(upper, "LICEN") && !strings.HasPrefix(upper, "COPYING") && !strings.HasPrefix(upper, "NOTICE") {
			continue
		}
		b, err := os.ReadFile(filepath.Join(m.Dir, e.Name()))
		if err != nil {
			return err
		}
		m.texts = append(m.texts, filepath.Join(m.Dir, e.Name()))
		for _, l := range licences {
			if regexp.MustCompile(l.says).Match(b) {
				if !slices.Contains(names, l.name) {
					names = append(names, l.name)
				}
				break
			}
		}
	}
	more, err := filepath.Glob(filepath.Join(m.Dir, "licenses", "*.txt")) // freetype's
	if err != nil {
		return err
	}
	m.texts = append(m.texts, more...)
	if len(names) == 0 {
		return fmt.Errorf("%s %s in %s: no licence that is known; it must not be linked in, or licences in install/release.go needs it", m.Path, m.Version, m.Dir)
	}
	m.licence = strings.Join(names, " and ")
	return nil
}

func copyFile(to, from string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o644)
}

// entry is a file of an archive.
type entry struct {
	name string // with slashes
	mode fs.FileMode
	data []byte
}

// archive writes the files of a folder, in order and without times and owners, and returns the archive's SHA-256.
func archive(path, dir string, write func(w io.Writer, files []entry) error) (sum string, err error) {
	var files []entry
	err = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(p)
		mode := fs.FileMode(0o644)
		if strings.HasPrefix(d.Name(), "bayesrm") {
			mode = 0o755
		}
		files = append(files, entry{filepath.ToSlash(rel), mode, b})
		return err
	})
	if err != nil {
		return "", err
	}
	tmp := path + ".new"
	f, err := os.Create(tmp)
	if err != nil {
		return "", err
	}
	defer os.Remove(tmp) //nolint:errcheck // renamed, or of no use
	h := sha256.New()
	err = write(io.MultiWriter(f, h), files)
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	return fmt.Sprintf("%x", h.Sum(nil)), err
}

// released is the time of all files.
var released = time.Unix(0, 0).UTC()

func writeTar(w io.Writer, files []entry) error {
	z := gzip.NewWriter(w)
	t := tar.NewWriter(z)
	for _, f := range files {
		if err := t.WriteHeader(&tar.Header{Name: f.name, Mode: int64(f.mode), Size: int64(len(f.data)), ModTime: released, Format: tar.FormatPAX}); err != nil {
			return err
		}
		if _, err := t.Write(f.data); err != nil {
			return err
		}
	}
	return errors.Join(t.Close(), z.Close())
}

func writeZip(w io.Writer, files []entry) error {
	z := zip.NewWriter(w)
	for _, f := range files {
		h := &zip.FileHeader{Name: f.name, Method: zip.Deflate}
		h.SetMode(f.mode)
		out, err := z.CreateHeader(h)
		if err != nil {
			return err
		}
		if _, err := out.Write(f.data); err != nil {
			return err
		}
	}
	return z.Close()
}
