package session

import (
	"strings"

	"gobayes/kernel/internal/check"
	"gobayes/kernel/internal/engine"
	"gobayes/stdlib"
)

// packages maps each package name that a cell may use without an import line to its import path.
var packages = func() map[string]string {
	m := map[string]string{}
	for _, path := range stdlib.Paths() {
		if !engine.Bound(path) && !generic[path] {
			continue
		}
		name := check.BaseName(path)
		if old, ok := m[name]; !ok || rank(path) < rank(old) || rank(path) == rank(old) && path < old {
			m[name] = path
		}
	}
	return m
}()

var generic = map[string]bool{"cmp": true, "iter": true, "maps": true, "slices": true}

// rank orders packages of one name; the smallest wins: this project's, then std, gonum/plot, gonum.
func rank(path string) int {
	switch path {
	case "math/rand/v2", "text/template", "image/draw":
		return 1
	case "crypto/rand", "html/template", "go/scanner":
		return 3
	}
	switch {
	case strings.HasPrefix(path, "gobayes/"):
		return 0
	case strings.HasPrefix(path, "gonum.org/v1/plot"):
		return 4
	case strings.HasPrefix(path, "gonum.org/"):
		return 5
	}
	return 2
}
