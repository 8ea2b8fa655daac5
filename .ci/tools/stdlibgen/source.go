package main

import (
	"log"
	"os"
	"path/filepath"
	"strings"
)

// rewrites replaces, in the copied source, what leans on the compiler or on unsafe.
var rewrites = map[string][][2]string{
	"maps": {
		{"func clone(m any) any\n", "func clone(m any) any { return m }\n"},
		{"return clone(m).(M)", "r := make(M, len(m))\n\tfor k, v := range m {\n\t\tr[k] = v\n\t}\n\treturn r"},
	},
}

const overlaps = `func overlaps[S ~[]E, E any](a, b S) bool {
	if len(a) == 0 || len(b) == 0 {
		return false
	}
	for i := range a {
		if &a[i] == &b[0] {
			return true
		}
	}
	for i := range b {
		if &b[i] == &a[0] {
			return true
		}
	}
	return false
}

var _ unsafe.Pointer
`

// writeSource copies a generic package of Go's own tree (its licence stands in each file's head and in source/LICENSE).
// iter is ours, in stdlib/overlay: Go's own is built on runtime coroutines.
func writeSource(p listed) {
	if p.ImportPath == "iter" {
		return
	}
	for _, name := range p.GoFiles {
		b, err := os.ReadFile(filepath.Join(p.Dir, name))
		if err != nil {
			log.Fatal(err)
		}
		s := string(b)
		for _, r := range rewrites[p.ImportPath] {
			s = strings.ReplaceAll(s, r[0], r[1])
		}
		if i := strings.Index(s, "func overlaps["); i >= 0 {
			j := strings.Index(s[i:], "\n}\n")
			s = s[:i] + overlaps + s[i+j+3:]
		}
		write(filepath.Join("source", p.ImportPath, name+".txt"), []byte(s))
	}
	lic, err := os.ReadFile(filepath.Join(p.Dir, "..", "..", "LICENSE"))
	if err != nil {
		log.Fatal(err)
	}
	write("source/LICENSE", lic)
}
