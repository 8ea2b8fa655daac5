package main

import "strings"

// thirdParty and ours are the packages beyond std that a cell may use without an import line.
var (
	thirdParty = []string{
		"gonum.org/v1/gonum/diff/fd", "gonum.org/v1/gonum/dsp/fourier", "gonum.org/v1/gonum/dsp/window", "gonum.org/v1/gonum/floats",
		"gonum.org/v1/gonum/integrate", "gonum.org/v1/gonum/integrate/quad", "gonum.org/v1/gonum/interp",
		"gonum.org/v1/gonum/mat", "gonum.org/v1/gonum/mathext", "gonum.org/v1/gonum/optimize",
		"gonum.org/v1/gonum/stat", "gonum.org/v1/gonum/stat/combin", "gonum.org/v1/gonum/stat/distmv", "gonum.org/v1/gonum/stat/distuv", "gonum.org/v1/gonum/stat/sampleuv",
		"gonum.org/v1/gonum/blas", "gonum.org/v1/gonum/blas/blas64", "gonum.org/v1/gonum/lapack",
		"gonum.org/v1/plot", "gonum.org/v1/plot/font", "gonum.org/v1/plot/palette", "gonum.org/v1/plot/palette/brewer", "gonum.org/v1/plot/palette/moreland",
		"gonum.org/v1/plot/plotter", "gonum.org/v1/plot/plotutil", "gonum.org/v1/plot/text", "gonum.org/v1/plot/vg", "gonum.org/v1/plot/vg/draw",
		"gonum.org/v1/plot/vg/vgimg", "gonum.org/v1/plot/vg/vgsvg",
	}
	ours = []string{"gobayes/bayesrm/...", "gobayes/kernel/display", "gobayes/kernel/prelude", "gobayes/kernel/widgets"}
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

func skipPart(path string) bool {
	for _, part := range strings.Split(path, "/") {
		if part == "internal" || part == "cmd" {
			return true
		}
	}
	return false
}
