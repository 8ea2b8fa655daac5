// Command stdlibgen writes what a cell may import: for each package of std, gonum and this project its
// compiled symbols, its export data, its documentation and, for the generic packages of std, its source.
//
// Its argument is the folder stdlib (go generate ./stdlib); there it writes symbols/*.go, export/**.gz, doc/**.gz and source/**.
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"go/format"
	"go/token"
	"go/types"
	"io"
	"log"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/go/gcexportdata"
)

// listed is the part of go list's output that is used.
type listed struct {
	ImportPath, Export, Dir string
	GoFiles                 []string
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("stdlibgen: ")
	if len(os.Args) != 2 {
		log.Fatal("usage: stdlibgen FOLDER")
	}
	if err := os.Chdir(os.Args[1]); err != nil {
		log.Fatal(err)
	}
	bound := map[string]bool{}
	for _, p := range goList(false, "std") {
		if bindable(p.ImportPath) {
			bound[p.ImportPath] = true
		}
	}
	for _, p := range goList(false, append(thirdParty, ours...)...) {
		if !skipPart(p.ImportPath) {
			bound[p.ImportPath] = true
		}
	}
	var paths []string
	for p := range bound {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	// -deps: a bound package's export data may mention types of packages that are not bound
	all := goList(true, paths...)
	ld := loader{fset: token.NewFileSet(), pkgs: map[string]*types.Package{}, file: map[string]string{}}
	for _, p := range all {
		ld.file[p.ImportPath] = p.Export
	}
	for _, dir := range []string{"symbols", "export", "source", "doc"} {
		clean(dir)
	}
	need := map[string]bool{}
	var table []string
	for _, path := range paths {
		if fromSource[path] {
			continue
		}
		pkg := ld.load(path)
		keep := func(string) bool { return true }
		if path == "syscall" {
			linux, darwin, windows := source("linux", path), source("darwin", path), source("windows", path)
			everywhere, unix := portable(linux, darwin, windows), portable(linux, darwin)
			keep = func(name string) bool { return everywhere[name] }
			write("symbols/syscall_unix_gen.go", symbolFile(pkg, "syscallUnix", "//go:build linux || darwin\n\n"+header, func(name string) bool { return unix[name] && !everywhere[name] }))
		}
		write(filepath.Join("symbols", ident(path)+"_gen.go"), symbolFile(pkg, ident(path), header, keep))
		table = append(table, path)
		need[path] = true
		for _, dep := range mentioned(pkg) {
			need[dep] = true
		}
	}
	writeTable(table)
	for path := range need {
		if path == "unsafe" || fromSource[path] {
			continue
		}
		write(filepath.Join("export", path+".gz"), ld.exportData(path))
	}
	for _, p := range all {
		if fromSource[p.ImportPath] {
			writeSource(p)
		}
		if bound[p.ImportPath] {
			write(filepath.Join("doc", p.ImportPath+".gz"), docData(p))
		}
	}
}

// goList runs go list; with deps it also builds export data for every dependency.
func goList(deps bool, patterns ...string) []listed {
	args := []string{"list", "-json=ImportPath,Export,Dir,GoFiles"}
	if deps {
		args = append(args, "-deps", "-export", "-trimpath")
	}
	cmd := exec.Command("go", append(args, patterns...)...)
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0", "GOFLAGS=")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		log.Fatalf("go %s: %v", strings.Join(args, " "), err)
	}
	var ps []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); err == io.EOF {
			return ps
		} else if err != nil {
			log.Fatal(err)
		}
		ps = append(ps, p)
	}
}

type loader struct {
	fset *token.FileSet
	pkgs map[string]*types.Package
	file map[string]string
}

func (ld *loader) load(path string) *types.Package {
	if p := ld.pkgs[path]; p != nil && p.Complete() {
		return p
	}
	f, err := os.Open(ld.file[path])
	if err != nil {
		log.Fatalf("%s: no export data: %v", path, err)
	}
	defer f.Close()
	r, err := gcexportdata.NewReader(f)
	if err != nil {
		log.Fatal(err)
	}
	p, err := gcexportdata.Read(r, ld.fset, ld.pkgs, path)
	if err != nil {
		log.Fatalf("%s: %v", path, err)
	}
	return p
}

// exportData is the package's declarations alone, gzipped: no function bodies, a twentieth of the build cache's file.
func (ld *loader) exportData(path string) []byte {
	var raw, out bytes.Buffer
	if err := gcexportdata.Write(&raw, token.NewFileSet(), ld.load(path)); err != nil {
		log.Fatalf("%s: %v", path, err)
	}
	w, _ := gzip.NewWriterLevel(&out, gzip.BestCompression)
	w.Write(raw.Bytes())
	w.Close()
	return out.Bytes()
}

// mentioned lists the packages whose export data an importer of pkg reads.
func mentioned(pkg *types.Package) []string {
	var ps []string
	for _, p := range pkg.Imports() {
		ps = append(ps, p.Path())
	}
	return ps
}

func writeTable(paths []string) {
	var b bytes.Buffer
	b.WriteString(header + "package symbols\n\nimport \"reflect\"\n\nvar packages = map[string]func() map[string]reflect.Value{\n")
	for _, p := range paths {
		fmt.Fprintf(&b, "%q: %sTable,\n", p, ident(p))
	}
	b.WriteString("}\n\n// constants have values that differ by system.\nvar constants = map[string]func() map[string]reflect.Value{\n")
	for _, p := range slices.Sorted(maps.Keys(bySystem)) {
		fmt.Fprintf(&b, "%q: %sConstants,\n", p, ident(p))
	}
	b.WriteString("}\n")
	write("symbols/table_gen.go", gofmt(b.Bytes()))
}

const header = "// Code generated by stdlibgen (go generate ./stdlib). DO NOT EDIT.\n\n"

func gofmt(src []byte) []byte {
	out, err := format.Source(src)
	if err != nil {
		log.Fatalf("%v\n%s", err, src)
	}
	return out
}

func ident(path string) string {
	return strings.NewReplacer("/", "_", ".", "_", "-", "_").Replace(path)
}

// clean removes what an earlier run wrote.
func clean(dir string) {
	filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && (dir != "symbols" || strings.HasSuffix(path, "_gen.go")) {
			os.Remove(path)
		}
		return nil
	})
}

func write(name string, data []byte) {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		log.Fatal(err)
	}
}
