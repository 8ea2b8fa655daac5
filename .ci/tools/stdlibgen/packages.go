package main

import "strings"

// thirdParty and ours are the packages beyond std that a cell may use without an import line.
var (
	thirdParty = []string{"gonum.org/v1/gonum/...", "gonum.org/v1/plot/..."}
	ours       = []string{"gobayes/bayesrm/...", "gobayes/kernel/display", "gobayes/kernel/prelude", "gobayes/kernel/widgets"}
)

// fromSource are the generic packages of std: the interpreter has no generics, so their source is lowered like the user's.
var fromSource = map[string]bool{"cmp": true, "iter": true, "slices": true, "maps": true}

// bindable says whether a package of std can be offered to cells: not the toolchain's own parts, nor what not every system has.
func bindable(path string) bool {
	switch path {
	case "C", "unsafe", "plugin", "log/syslog", "runtime/cgo", "runtime/race", "runtime/msan", "runtime/asan", "arena":
		return false
	}
	for _, prefix := range []string{"cmd/", "vendor/", "testing/internal", "syscall/", "simd/", "go/internal"} {
		if strings.HasPrefix(path, prefix) {
			return false
		}
	}
	return !skipPart(path)
}

// skipPart says whether a package is for others of its module alone: for their tests, or a command.
func skipPart(path string) bool {
	gonum := strings.HasPrefix(path, "gonum.org/")
	for _, part := range strings.Split(path, "/") {
		if part == "internal" || part == "cmd" || gonum && (strings.HasPrefix(part, "test") || part == "cmpimg") {
			return true
		}
	}
	return false
}
