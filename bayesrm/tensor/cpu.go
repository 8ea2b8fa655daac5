package tensor

import (
	"fmt"
	"os"
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

func init() {
	have := levels()
	want := have[0]
	if name := os.Getenv("BAYESRM_CPU"); name != "" {
		if want = parseLevel(name, have); want < 0 {
			var names []string
			for _, l := range have {
				names = append(names, levelNames[l])
			}
			fmt.Fprintf(os.Stderr, "bayesrm: BAYESRM_CPU=%s: this processor has %s\n", name, strings.Join(names, ", "))
			os.Exit(2)
		}
	}
	use(want)
}

func parseLevel(name string, have []int) int {
	for _, l := range have {
		if levelNames[l] == name {
			return l
		}
	}
	return -1
}

// use switches to a level that the processor has.
func use(l int) {
	level = l
	switch l {
	case levelAVX512:
		lanes, rows = 16, []int{14, 8, 4, 2, 1}
	case levelAVX2:
		lanes, rows = 8, []int{6, 4, 2, 1}
	case levelNEON:
		lanes, rows = 4, []int{8, 4, 2, 1}
	default:
		lanes, rows = 8, []int{4, 2, 1}
	}
	lanes64 = lanes / 2
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
