package kerneltest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// soakEnv is how long TestSoak runs, as a duration; .ci/long sets it.
const soakEnv = "BAYESRM_SOAK"

// What a soak may leave: memory of a cell, which the interpreter keeps, and a few descriptors.
const (
	soakMemory      = 100 << 10 // a widget stays until it is closed, with its layout and style
	soakDescriptors = 20
)

// cells of a soak; %d is a number. Those that must fail say how.
var soakCells = []struct{ code, err string }{
	{"x%d := %d\nx%d + 1", ""},
	{"func f%d(n int) int { return n + %d }\nf%d(2)", ""},
	{"type T%d struct{ A int; B string }\n[]T%d{{%d, \"b\"}}", ""},
	{"shared := %d\nfunc reader() int { return shared }\nreader() + %d - %d", ""},
	{"fmt.Println(strings.Repeat(\"line\\n\", %d%%1000))\n_ = %d + %d", ""},
	{"go func() { time.Sleep(time.Millisecond); fmt.Println(%d, %d, %d) }()", ""},
	{"display.Update(\"d\", %d)\ndisplay.HTML(\"<b>x</b>\")\n_ = %d + %d", ""},
	{"plot.New()\n_, _, _ = %d, %d, %d\nplot.New()", ""},
	{"map[int]string{%d: \"a\", %d + 1: \"b\", %d + 2: \"c\"}", ""},
	{"k%d := widgets.NewIntSlider(&widgets.IntSliderOptions{Value: %d %% 100})\nk%d.Value()", ""},
	{"curve := figures.Panels(figures.Panel{Series: []figures.Series{{X: []float64{1, %d}, Y: []float64{2, %d}, Label: fmt.Sprint(%d)}}})\ncurve", ""},
	{"undefined%d + %d + %d", "CompileError"},
	{"panic(%d + %d + %d)", "Panic"},
	{"[]int{%d, %d}[2+%d]", "Panic"},
	{"var n, err = strconv.Atoi(\"z%d%d%d\")", "Error"},
	{"os.Exit(%d * 0 + %d * 0 + %d * 0)", "Exit"},
	{"for { _ = %d + %d + %d }", "Interrupt"},
	{"time.Sleep(time.Hour + %d + %d + %d)", "Interrupt"},
}

// TestSoak runs random cells against one kernel for as long as asked and looks for leaks of memory, threads, descriptors and files.
func TestSoak(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv(soakEnv))
	if err != nil {
		t.Skipf("%s is no duration: this test is for .ci/long", soakEnv)
	}
	if runtime.GOOS != "linux" {
		t.Skip("needs /proc")
	}
	k := Start(t)
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	run := func(i int) {
		c := soakCells[rng.IntN(len(soakCells))]
		code := fmt.Sprintf(c.code, i, i, i)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		if c.err == "Interrupt" {
			time.AfterFunc(time.Duration(rng.IntN(20))*time.Millisecond, cancel)
		}
		r, err := k.Execute(ctx, code, nil)
		if err != nil {
			t.Fatalf("cell %d: %s: %v", i, code, err)
		}
		got := ""
		if r.Err != nil {
			got = r.Err.Name
		}
		if got != c.err {
			t.Fatalf("cell %d: %s: error %v, want %q", i, code, r.Err, c.err)
		}
	}
	files := func() int {
		names, _ := filepath.Glob(filepath.Join(os.TempDir(), "*")) // the pattern is sound
		return len(names)
	}
	const warm = 500
	for i := range warm {
		run(i)
	}
	before, filesBefore := stateOf(t, k.PID()), files()
	n := warm
	for start := time.Now(); time.Since(start) < length; n++ {
		run(n)
	}
	after := stateOf(t, k.PID())
	perCell := (after.memory - before.memory) / max(1, n-warm)
	t.Logf("%d cells in %v: %d → %d kB (%d bytes a cell), %d → %d threads, %d → %d descriptors", n, length, before.memory>>10, after.memory>>10, perCell, before.threads, after.threads, before.descriptors, after.descriptors)
	if perCell > soakMemory {
		t.Errorf("%d bytes a cell, want at most %d", perCell, soakMemory)
	}
	if after.descriptors > before.descriptors+soakDescriptors || after.threads > before.threads+soakDescriptors {
		t.Errorf("descriptors %d → %d, threads %d → %d", before.descriptors, after.descriptors, before.threads, after.threads)
	}
	if left := files() - filesBefore; left > soakDescriptors {
		t.Errorf("%d more files in the temporary folder", left)
	}
}

type process struct{ memory, threads, descriptors int }

// stateOf reads what the system knows of a process.
func stateOf(t *testing.T, pid int) (p process) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(b), "\n") {
		var n int
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &n); err == nil {
			p.memory = n << 10
		}
		if _, err := fmt.Sscanf(line, "Threads: %d", &n); err == nil {
			p.threads = n
		}
	}
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	p.descriptors = len(fds)
	return p
}
