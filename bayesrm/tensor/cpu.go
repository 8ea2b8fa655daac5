package tensor

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// The levels of instructions that a kernel may be written for. levelGo is plain Go.
const (
	levelGo = iota
	levelAVX2
	levelAVX512
	levelNEON
)

var levelNames = []string{"generic", "avx2", "avx512", "neon"}

// level is what this process runs on; lanes are the float32 of a vector, lanes64 its float64; rows are the heights of the
// product tiles, tallest first.
var (
	level   int
	lanes   int
	lanes64 int
	rows    []int
)

// maxLanes is the widest vector of any level.
const maxLanes = 16

// vectors are what a level computes with.
type vectors struct {
	lanes int
	rows  []int
}

func init() {
	have := levels()
	want := have[0]
	if name := os.Getenv("BAYESRM_CPU"); name != "" {
		i := slices.Index(Levels(), name)
		if i < 0 {
			fmt.Fprintf(os.Stderr, "bayesrm: BAYESRM_CPU=%s: this processor has %s\n", name, strings.Join(Levels(), ", "))
			os.Exit(2)
		}
		want = have[i]
	}
	use(want)
}

// use switches to a level that the processor has.
func use(l int) {
	v, ok := levelVectors[l]
	if !ok { // plain Go
		v = vectors{8, []int{4, 2, 1}}
	}
	level, lanes, lanes64, rows = l, v.lanes, v.lanes/2, v.rows
}

// Level names the instructions in use: avx512, avx2, neon or generic. The environment variable BAYESRM_CPU forces one.
func Level() string { return levelNames[level] }

// Levels lists what this processor has, best first.
func Levels() []string {
	var names []string
	for _, l := range levels() {
		names = append(names, levelNames[l])
	}
	return names
}
