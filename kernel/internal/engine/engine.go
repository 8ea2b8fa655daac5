// Package engine runs lowered code. It alone knows the interpreter.
package engine

import (
	"context"
	"errors"
	"fmt"
	"go/build"
	"go/token"
	"log"
	"reflect"
	"regexp"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"gobayes/kernel/internal/cell"
	"gobayes/kernel/internal/check"
	"gobayes/kernel/internal/lower"
	"gobayes/kernel/internal/rt"
	"gobayes/stdlib/symbols"

	"github.com/traefik/yaegi/interp"
)

// Engine is one interpreter. It is not safe for concurrent use.
type Engine struct {
	interp *interp.Interpreter
	global *globals
	used   map[string]bool
	mains  map[string]*token.File // of functions that Run will call, without function literals
	lines  *cell.Lines

	stopper stopper
	left    <-chan struct{} // closed when the last cancelled run has ended
	leaving int             // its cell
}

// stopper holds what the interpreter itself uses to cancel a run. Its own way out, EvalWithContext, returns before the
// run has ended and leaves no trace of when it does; and it raises the number of the run for good, which kills every
// function value made before. Here the number is set back once the run has ended.
type stopper struct {
	mu     *sync.RWMutex  // guards done and cancel
	done   *chan struct{} // closed to wake channel operations and selects
	cancel *bool          // whether those listen to done
	run    *uint64        // code whose frames carry another number stops
	base   uint64
}

func newStopper(i *interp.Interpreter) stopper {
	at := func(name string) unsafe.Pointer { return field(reflect.ValueOf(i).Elem(), name).Addr().UnsafePointer() }
	s := stopper{mu: (*sync.RWMutex)(at("mutex")), done: (*chan struct{})(at("done")), cancel: (*bool)(at("cancelChan")), run: (*uint64)(at("id"))}
	s.base = atomic.LoadUint64(s.run)
	return s
}

// start readies the interpreter for a run that can be stopped.
func (s stopper) start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	*s.done, *s.cancel = make(chan struct{}), true
}

func (s stopper) stop() {
	atomic.AddUint64(s.run, 1)
	s.mu.RLock()
	defer s.mu.RUnlock()
	close(*s.done)
}

// New returns an engine whose code reads and writes the streams of package rt.
func New(lines *cell.Lines) *Engine {
	debug.SetMaxStack(stackMax)
	e := &Engine{used: map[string]bool{}, mains: map[string]*token.File{}, lines: lines}
	e.interp = interp.New(interp.Options{
		GoPath: build.Default.GOPATH, Unrestricted: true,
		Stdin: rt.Stdin, Stdout: rt.Stdout, Stderr: &rt.Trace,
	})
	e.global, e.stopper = newGlobals(e.interp), newStopper(e.interp)
	return e
}

// Bound reports whether code can import the package.
func Bound(path string) bool { return path == rtPath || symbols.Has(path) }

const rtPath = "gobayes/kernel/internal/rt"

// Panic is a panic of a cell's code that nothing recovered.
type Panic struct {
	Value  any
	Frames []Frame // innermost first
}

func (p *Panic) Error() string { return fmt.Sprintf("panic: %v", p.Value) }

// Frame is something that a panic passed: a function of a cell, or the cell itself.
type Frame struct {
	Cell string
	Line int    // of the cell's statement that was running; of a function, where its body begins: the interpreter knows no more
	Func string // "" for the cell itself
}

// Load evaluates the declarations of a cell, those of types first, then the function that Run calls, importing the packages before. The function
// is apart because the interpreter keeps all of what is evaluated together as long as a part of it is declared: Run forgets it.
func (e *Engine) Load(c lower.Program) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("engine: the interpreter failed on this cell: %v", r)
		}
	}()
	e.settle()
	for _, path := range c.Imports {
		if err := e.use(path); err != nil {
			return err
		}
	}
	if _, err := e.load(c.Types); err != nil {
		return err
	}
	if len(c.Named) > 0 {
		e.global.resolve(c.Named)
	}
	file, err := e.load(c.Source)
	if err != nil {
		return err
	}
	e.global.bare(c.Vars)
	if !strings.Contains(c.Source, "func") {
		e.unlist(file)
	}
	file, err = e.load(c.Main)
	if strings.Count(c.Main, "func") == 1 {
		e.mains[c.Run] = file
	}
	return err
}

// unlist forgets a file without functions that may be called later: nobody will ask for a line of it.
func (e *Engine) unlist(f *token.File) {
	if f != nil {
		e.interp.FileSet().RemoveFile(f)
	}
}

func (e *Engine) load(source string) (*token.File, error) {
	if source == "" {
		return nil, nil
	}
	file, err := e.eval(source)
	var p interp.Panic
	switch {
	case err == nil:
		return file, nil
	case errors.As(err, &p):
		return file, fmt.Errorf("engine: the interpreter failed on this cell: %v", p.Value)
	}
	return file, fmt.Errorf("engine: the interpreter refused this cell: %v", err) // its positions are not those of the cell: not wrapped
}

// Globals returns what Load has declared, by name.
func (e *Engine) Globals() map[string]reflect.Value { return e.interp.Globals() }

// eval compiles and runs code. It returns the file that the positions of the code are in.
func (e *Engine) eval(source string) (*token.File, error) {
	before := e.interp.FileSet().Base()
	program, err := e.interp.Compile(source)
	file := e.last(before)
	if err != nil || program == nil {
		return file, err
	}
	e.global.fill()
	e.global.trim()
	_, err = e.interp.Execute(program)
	e.global.tree.cut(program)
	return file, err
}

// last returns the last of the files that were added since the file set had this base, nil for none, and unlists the others: the
// interpreter reads everything three times.
func (e *Engine) last(base int) (last *token.File) {
	files := e.interp.FileSet()
	for f := files.File(token.Pos(files.Base() - 1)); f != nil && f.Base() >= base; f = files.File(token.Pos(f.Base() - 1)) {
		if last == nil {
			last = f
		} else {
			e.unlist(f)
		}
	}
	return last
}

// How long a cell waits for an interrupted one that is inside a compiled call, and then for the goroutines that it has started. Code that
// has not come back by then is left behind: it may go on when the call returns, but cannot print.
const (
	maxWait       = time.Second
	maxGoroutines = 100 * time.Millisecond
)

// settle waits for an interrupted run and lets function values made before it be called again.
func (e *Engine) settle() {
	if e.left == nil {
		return
	}
	select {
	case <-e.left:
	case <-time.After(maxWait):
	}
	for until := time.Now().Add(maxGoroutines); rt.Going(e.leaving) > 0 && time.Now().Before(until); {
		time.Sleep(time.Millisecond)
	}
	e.left = nil
	atomic.StoreUint64(e.stopper.run, e.stopper.base)
}

// Recursion without end would end the process: Go's stacks may not grow beyond a limit, and what exceeds it cannot be
// recovered. So the limit is raised and the memory of all stacks is looked at while a cell runs.
const (
	stackLook  = 5 * time.Millisecond
	stackLimit = 256 << 20
	stackEach  = 64 << 10 // that a goroutine may have beside
	stackMax   = 8 << 30
)

// watchStack closes deep when the stacks have grown by more than the limit, and returns then or when the run has ended.
func watchStack(ended, deep chan struct{}) {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/stacks:bytes"}, {Name: "/sched/goroutines:goroutines"}}
	metrics.Read(sample)
	before := sample[0].Value.Uint64()
	look := time.NewTicker(stackLook)
	defer look.Stop()
	for {
		metrics.Read(sample)
		if sample[0].Value.Uint64() > before+stackLimit+stackEach*sample[1].Value.Uint64() {
			close(deep)
			return
		}
		select {
		case <-ended:
			return
		case <-look.C:
		}
	}
}

// Run calls a function of the given cell that Load declared, and forgets it. It returns ctx's error when ctx ends first, and a *Panic.
func (e *Engine) Run(ctx context.Context, cell int, fn string) error {
	defer func() {
		e.stopper.mu.Lock()
		defer e.stopper.mu.Unlock()
		e.global.forget(fn)
		e.unlist(e.mains[fn])
		delete(e.mains, fn)
	}()
	return e.run(ctx, cell, fn, func() error {
		file, err := e.eval(fn + "()")
		e.unlist(file)
		return err
	})
}

// Call runs compiled code that calls functions of cells, as the given cell. Its errors are those of Run.
func (e *Engine) Call(ctx context.Context, cell int, f func()) error {
	return e.run(ctx, cell, "", func() error {
		rt.Begin(cell)
		f()
		return nil
	})
}

// run runs code as the n-th cell; top is the function that holds the cell's statements.
func (e *Engine) run(ctx context.Context, n int, top string, code func() error) error {
	e.settle()
	if err := ctx.Err(); err != nil {
		return err
	}
	rt.Trace.Reset()
	e.stopper.start()
	ended := make(chan struct{})
	var err error
	go func() {
		defer close(ended)
		defer func() {
			if r := recover(); r != nil {
				err = interp.Panic{Value: r}
			}
		}()
		err = code()
	}()
	deep := make(chan struct{})
	watch := time.AfterFunc(stackLook, func() { watchStack(ended, deep) })
	defer watch.Stop()
	select {
	case <-ended:
	case <-ctx.Done():
		rt.Abandon(n)
		e.stopper.stop()
		e.left, e.leaving = ended, n
		return ctx.Err()
	case <-deep:
		e.stopper.stop()
		e.left, e.leaving = ended, n
		return &Panic{Value: fmt.Sprintf("stack overflow: a function calls itself without end (the stack is beyond %d MB)", stackLimit>>20)}
	}
	if err == nil {
		return nil
	}
	var p interp.Panic
	if !errors.As(err, &p) {
		return err
	}
	frames := e.frames(top)
	if line := rt.LineOf(n); line > 0 {
		frames = append(frames, Frame{Cell: cell.Name(n), Line: line})
	}
	return &Panic{rt.Recover(p.Value), frames}
}

func (e *Engine) use(path string) error {
	if e.used[path] {
		return nil
	}
	var table map[string]reflect.Value
	switch path {
	case rtPath:
		table = rt.Symbols()
	default:
		var ok bool
		if table, ok = symbols.Table(path); !ok {
			return fmt.Errorf("engine: package %s has no symbols", path)
		}
		e.patch(path, table)
	}
	if err := e.interp.Use(interp.Exports{path + "/" + check.BaseName(path): table}); err != nil {
		return fmt.Errorf("engine: %s: %w", path, err)
	}
	e.used[path] = true
	return nil
}

// patch replaces what would end the process, or write past the cell's streams.
func (e *Engine) patch(path string, table map[string]reflect.Value) {
	switch path {
	case "time":
		table["Sleep"] = reflect.ValueOf(rt.Sleep)
	case "os", "syscall":
		table["Exit"] = reflect.ValueOf(func(code int) { panic(rt.Exit{Code: code}) })
	case "log":
		log.SetOutput(rt.Stderr)
		table["Fatal"] = reflect.ValueOf(func(v ...any) { log.Print(v...); panic(rt.Exit{Code: 1}) })
		table["Fatalf"] = reflect.ValueOf(func(f string, v ...any) { log.Printf(f, v...); panic(rt.Exit{Code: 1}) })
		table["Fatalln"] = reflect.ValueOf(func(v ...any) { log.Println(v...); panic(rt.Exit{Code: 1}) })
	}
}

var frameLine = regexp.MustCompile(`^(\d+)(?::\d+)?: panic: (?:main\.)?(.*?)(_\d+)?(\.func\d*)?\(\.\.\.\)$`)

// frames are the user's functions among the lines of rt.Trace, without top.
func (e *Engine) frames(top string) []Frame {
	var fs []Frame
	for _, l := range rt.Trace.Lines() {
		m := frameLine.FindStringSubmatch(l)
		if m == nil || m[2]+m[3]+m[4] == top {
			continue
		}
		f := Frame{Func: m[2]}
		code, err := strconv.Atoi(m[1])
		if err != nil {
			continue
		}
		if f.Cell, f.Line = e.lines.Decode(code); f.Cell == "" {
			continue
		}
		if m[4] != "" {
			f.Func = "a function literal"
		}
		fs = append(fs, f)
	}
	return fs
}
