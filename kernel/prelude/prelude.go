// Package prelude holds what a cell calls without a package's name, in small letters: help, who, reset, timeit, shell. They do
// what other kernels do with magics, and stay plain Go.
package prelude

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os/exec"
	"reflect"
	"runtime"
	"strings"
	"time"

	"gobayes/kernel/internal/rt"
)

// Help shows what is known of a thing: help("laplace.Fit"), help(laplace.Fit), help("twice") for a function of the notebook,
// help(x) for the type of x. Without arguments it tells where to begin.
func Help(what ...any) {
	h, cell, ok := rt.HostOf()
	if !ok {
		return
	}
	if len(what) == 0 {
		what = []any{"prelude"}
	}
	for _, x := range what {
		name := nameOf(x)
		data, ok := h.Session().Describe(name)
		if !ok {
			panic(fmt.Errorf("help: nothing is known of %q; want the name of a package, of something in it (\"laplace.Fit\") or of something in the notebook", name))
		}
		h.Publish(cell, rt.Display{Data: data})
	}
}

// nameOf is the dotted name of what x is: itself if it is a string, a function's own name, else its type's.
func nameOf(x any) string {
	if s, ok := x.(string); ok {
		return s
	}
	t := reflect.TypeOf(x)
	if t == nil {
		return "nil"
	}
	name := strings.TrimLeft(t.String(), "*")
	if t.Kind() == reflect.Func {
		name = runtime.FuncForPC(reflect.ValueOf(x).Pointer()).Name() // path/to/package.Name, or package.(*Type).Name-fm
		name = strings.NewReplacer("(*", "", ")", "", "-fm", "").Replace(name)
		if strings.HasPrefix(name, "reflect.") {
			panic(errors.New("help: a function of the notebook has no name here; give it in quotes: help(\"name\")"))
		}
	}
	return strings.TrimPrefix(name[strings.LastIndex(name, "/")+1:], "main.")
}

// Who lists the variables of the notebook.
func Who() []Variable {
	h, _, ok := rt.HostOf()
	if !ok {
		return nil
	}
	var vs []Variable
	for _, v := range h.Session().Variables() {
		vs = append(vs, Variable(v))
	}
	return vs
}

// Variable is a variable of the notebook.
type Variable struct {
	Name, Type string
	Value      string // in a line, or how long it is
}

// Reset forgets everything that the notebook has declared and imported, and frees the memory of its variables.
func Reset() {
	if h, _, ok := rt.HostOf(); ok {
		h.Session().Reset()
	}
}

// Timing is what Timeit measured. Times are of one call.
type Timing struct {
	Mean, Std, Best time.Duration
	Runs, Calls     int // Runs of Calls calls each
}

func (t Timing) String() string {
	return fmt.Sprintf("%v ± %v per call (best %v; %d runs of %d calls)", round(t.Mean), round(t.Std), round(t.Best), t.Runs, t.Calls)
}

// round keeps three digits of d.
func round(d time.Duration) time.Duration {
	unit := time.Duration(1)
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit)
}

// How Timeit measures: runs, each of as many calls as take about this long.
const (
	timeitRuns = 7
	timeitRun  = 200 * time.Millisecond
)

// Timeit measures how long a call of f takes: timeit(func() { … }). An interrupt stops it between two calls.
func Timeit(f func()) (Timing, error) {
	ctx := rt.Context()
	calls := 1
	took, err := timeCalls(ctx, f, calls)
	for err == nil && took < timeitRun/10 {
		calls *= 10
		took, err = timeCalls(ctx, f, calls)
	}
	calls = max(1, int(float64(calls)*float64(timeitRun)/float64(max(took, 1))))
	t := Timing{Runs: timeitRuns, Calls: calls, Best: math.MaxInt64}
	var sum, squares float64
	for range timeitRuns {
		if err != nil {
			return Timing{}, fmt.Errorf("timeit: %w", err)
		}
		took, err = timeCalls(ctx, f, calls)
		each := float64(took) / float64(calls)
		sum += each
		squares += each * each
		t.Best = min(t.Best, time.Duration(each))
	}
	mean := sum / timeitRuns
	t.Mean, t.Std = time.Duration(mean), time.Duration(math.Sqrt(max(0, squares/timeitRuns-mean*mean)))
	return t, nil
}

func timeCalls(ctx context.Context, f func(), n int) (time.Duration, error) {
	start := time.Now()
	for range n {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		f()
	}
	return time.Since(start), nil
}

// Shell runs a command line with sh (cmd on Windows) and prints what it prints: shell("ls"). An interrupt ends it; a status other than
// 0 is an error.
func Shell(command string) error {
	argv := []string{"sh", "-c", command}
	if runtime.GOOS == "windows" {
		argv = []string{"cmd", "/c", command}
	}
	c := exec.CommandContext(rt.Context(), argv[0], argv[1:]...)
	c.Stdout, c.Stderr = rt.StreamsOf()
	c.WaitDelay = 100 * time.Millisecond // for what the command has left running
	inGroup(c)
	if err := c.Run(); err != nil {
		return fmt.Errorf("shell: %s: %w", command, err)
	}
	return nil
}
