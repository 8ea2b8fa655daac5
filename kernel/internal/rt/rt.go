// Package rt is what lowered code needs at run time: the identity of interpreted types, the host that a cell's output
// goes to, and the panics that end a cell.
package rt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/pprof"
	"strconv"
	"sync"
	"time"
	"unsafe"
)

// Host receives what running cells say. One host is active at a time; see SetHost.
type Host interface {
	// Write takes a cell's output; stream is "stdout" or "stderr".
	Write(cell int, stream string, p []byte)
	// Show takes the value of a cell's last expression.
	Show(cell int, values []Shown)
	// Publish takes a display made by code: a display_data, or an update of the display with that id.
	Publish(cell int, d Display)
	// Clear asks for the cell's outputs to be cleared, now or (wait) with the next output.
	Clear(cell int, wait bool)
	// GoroutinePanic takes the panic of a goroutine that a cell started.
	GoroutinePanic(cell int, value any)
	// Stdin reads the user's input for a cell.
	Stdin(cell int) io.Reader
	// Context is the cell's own: cancelled by an interrupt.
	Context(cell int) context.Context
	// Session is what the cells have declared.
	Session() Session
	// Comms talks with the front end about objects that both sides hold.
	Comms() Comms
}

// Session is what code may ask of the notebook that it runs in.
type Session interface {
	// Describe returns, as a MIME bundle, what is known of a dotted name.
	Describe(name string) (data map[string]any, ok bool)
	// Variables lists the variables, sorted by name.
	Variables() []Variable
	// Reset forgets every declaration.
	Reset()
}

// Variable is a variable of the notebook.
type Variable struct {
	Name, Type string
	Value      string // in a line, or how long it is
}

// Shown is one value of a last expression and the spelling of its static type.
type Shown struct {
	Type  string
	Value any
}

// Display is a MIME bundle to be shown.
type Display struct {
	Data, Metadata map[string]any
	ID             string // "" for a display that is never updated
	Update         bool
	Page           bool // for the front end's pager
}

var (
	mu      sync.RWMutex
	host    Host
	current int                        // the cell that is running, or ran last
	cells   = map[unsafe.Pointer]int{} // by the label of their goroutines
	labels  = map[int]context.Context{}
)

// SetHost makes h the receiver of everything that cells say.
func SetHost(h Host) {
	mu.Lock()
	defer mu.Unlock()
	host = h
}

// HostOf returns the host and the cell of the calling goroutine: the cell that started it, directly or not, else the one
// that runs. ok is false in a program without a session.
func HostOf() (h Host, cell int, ok bool) {
	mu.RLock()
	defer mu.RUnlock()
	return host, cellOf(), host != nil
}

// cellOf is the cell of the calling goroutine; mu is held.
func cellOf() int {
	if c, ok := cells[label()]; ok {
		return c
	}
	return current
}

// abandoned holds, for the cells that were interrupted and whose code may not have noticed yet, a closed channel; for cells that asked, an open
// one.
var abandoned = map[int]chan struct{}{}

// abandonment is closed when the cell is interrupted.
func abandonment(cell int) chan struct{} {
	mu.Lock()
	defer mu.Unlock()
	c := abandoned[cell]
	if c == nil {
		c = make(chan struct{})
		abandoned[cell] = c
	}
	return c
}

// Abandon marks a cell as interrupted: what its goroutines still try to print or show ends them instead. It is called once.
func Abandon(cell int) { close(abandonment(cell)) }

// Interrupted is what code of an abandoned cell panics with.
type Interrupted struct{}

func (Interrupted) Error() string { return "interrupted" }

// Sleep is time.Sleep for cells: an interrupt ends it.
func Sleep(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	_, cell, _ := HostOf()
	select {
	case <-t.C:
	case <-abandonment(cell):
		panic(Interrupted{})
	}
}

func isAbandoned(cell int) bool {
	mu.RLock()
	defer mu.RUnlock()
	select {
	case <-abandoned[cell]: // a nil channel for most: never
		return true
	default:
		return false
	}
}

// Begin ties the calling goroutine, and those that it will start, to a cell.
func Begin(cell int) {
	mu.Lock()
	defer mu.Unlock()
	ctx, ok := labels[cell]
	if !ok {
		ctx = pprof.WithLabels(context.Background(), pprof.Labels("cell", strconv.Itoa(cell)))
		labels[cell] = ctx
	}
	pprof.SetGoroutineLabels(ctx)
	cells[label()] = cell
}

// Nested runs f as the cell inner, a part of the cell outer: an interrupt of outer ends it.
func Nested(outer, inner int, f func()) {
	stop := abandonment(outer)
	mu.Lock()
	abandoned[inner] = stop
	mu.Unlock()
	Begin(inner)
	defer Begin(outer)
	f()
}

// lines are where the cells are: the line of the top-level statement that runs, or ran last.
var lines = map[int]int{}

// At says that a cell has come to the statement at a line, and ties the calling goroutine to the cell as Begin does.
func At(cell, line int) {
	Begin(cell)
	mu.Lock()
	defer mu.Unlock()
	lines[cell] = line
}

// LineOf is where a cell is, 0 before its first statement.
func LineOf(cell int) int {
	mu.RLock()
	defer mu.RUnlock()
	return lines[cell]
}

// Start makes cell the current one: the cell of goroutines that are not known.
func Start(cell int) {
	mu.Lock()
	defer mu.Unlock()
	current = cell
}

// Current is the cell that is running, or ran last.
func Current() int {
	mu.RLock()
	defer mu.RUnlock()
	return current
}

// Context is the cell's context: what the predeclared ctx means.
func Context() context.Context {
	h, c, ok := HostOf()
	if !ok {
		return context.Background()
	}
	return h.Context(c)
}

// Stop ends a cell with an error that the user's code returned: the err rule.
type Stop struct{ Err error }

func (s Stop) Error() string { return s.Err.Error() }
func (s Stop) Unwrap() error { return s.Err }

// CheckErr stops the cell if err is not nil.
func CheckErr(err error) {
	if err != nil {
		panic(Stop{err})
	}
}

// Show hands the value of the last expression to the host. pairs alternates static types and values. After a call, a
// last value of type error follows the err rule.
func Show(call bool, pairs ...any) {
	var vs []Shown
	for i := 0; i+1 < len(pairs); i += 2 {
		vs = append(vs, Shown{pairs[i].(string), pairs[i+1]})
	}
	if n := len(vs) - 1; call && vs[n].Type == "error" {
		if err, ok := vs[n].Value.(error); ok && err != nil {
			panic(Stop{err})
		}
		if n == 0 {
			return
		}
	}
	if h, c, ok := HostOf(); ok {
		h.Show(c, vs)
	}
}

// going counts the goroutines that cells have started and that have not ended.
var going = map[int]int{}

// Go says that the calling goroutine's cell is about to start one.
func Go() { count(1) }

// Gone says that the calling goroutine ends.
func Gone() { count(-1) }

func count(n int) {
	mu.Lock()
	defer mu.Unlock()
	c := cellOf()
	if going[c] += n; going[c] == 0 {
		delete(going, c)
	}
}

// Going is how many goroutines of a cell have not ended.
func Going(cell int) int {
	mu.RLock()
	defer mu.RUnlock()
	return going[cell]
}

// GoPanic takes the panic of a goroutine: it is reported, and neither the process nor the session ends.
func GoPanic(v any) {
	if _, ok := Recover(v).(Interrupted); ok {
		return
	}
	if h, c, ok := HostOf(); ok {
		h.GoroutinePanic(c, Recover(v))
		return
	}
	panic(v)
}

// stream is the standard output or error of the calling goroutine's cell.
type stream string

func (s stream) Write(p []byte) (int, error) {
	h, c, ok := HostOf()
	if !ok {
		return 0, errors.New("rt: no session")
	}
	if isAbandoned(c) {
		panic(Interrupted{})
	}
	h.Write(c, string(s), p)
	return len(p), nil
}

// StreamsOf returns the standard streams of the calling goroutine's cell, for goroutines that no cell has started.
func StreamsOf() (stdout, stderr io.Writer) {
	h, c, ok := HostOf()
	if !ok {
		return os.Stdout, os.Stderr
	}
	return cellStream{h, c, "stdout"}, cellStream{h, c, "stderr"}
}

type cellStream struct {
	host   Host
	cell   int
	stream string
}

func (s cellStream) Write(p []byte) (int, error) {
	s.host.Write(s.cell, s.stream, p)
	return len(p), nil
}

type stdin struct{}

func (stdin) Read(p []byte) (int, error) {
	h, c, ok := HostOf()
	if !ok {
		return 0, io.EOF
	}
	return h.Stdin(c).Read(p)
}

// The streams of whichever cell uses them.
var (
	Stdout io.Writer = stream("stdout")
	Stderr io.Writer = stream("stderr")
	Stdin  io.Reader = stdin{}
)

// Exit is what os.Exit panics with in a cell.
type Exit struct{ Code int }

func (e Exit) Error() string { return fmt.Sprintf("os.Exit(%d)", e.Code) }

// Complex is a complex constant.
func Complex(re, im float64) complex128 { return complex(re, im) }
