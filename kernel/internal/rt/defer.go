package rt

import (
	"bytes"
	"runtime"
	"sync"
	"sync/atomic"
)

// Defers are the calls that a running function has deferred. The interpreter's own defer forgets the calls that are left when
// one of them panics, and its recover works in functions alone that were made where the panic passes.
type Defers struct{ calls []deferredCall }

type deferredCall struct {
	recovers bool // whether the function that is deferred may call recover itself
	call     func()
}

// Defer adds a call.
func Defer(d *Defers, recovers bool, call func()) {
	d.calls = append(d.calls, deferredCall{recovers, call})
}

// Panicking is a panic, or none, that deferred calls see.
type Panicking struct {
	value  any
	active bool
	armed  bool       // until the function that was deferred has begun
	outer  *Panicking // whose deferred calls are running on the same goroutine
}

// Deferring runs the body of a function and then the calls that it has deferred, the last one first, also when the body or one of
// the calls panics or ends the goroutine.
func Deferring(body func(*Defers)) {
	d, p, ended := &Defers{}, &Panicking{}, false
	defer func() {
		if !ended { // by runtime.Goexit
			d.run(p)
		}
	}()
	p.try(func() { body(d) })
	d.run(p)
	ended = true
	if p.active {
		panic(p.value)
	}
}

func (p *Panicking) try(f func()) {
	defer func() {
		if v := recover(); v != nil {
			p.value, p.active = v, true
		}
	}()
	f()
}

func (d *Defers) run(p *Panicking) {
	for len(d.calls) > 0 {
		if _, exit := p.value.(Exit); exit {
			return
		}
		last := len(d.calls) - 1
		c := d.calls[last]
		d.calls = d.calls[:last]
		if !p.active {
			p.try(c.call)
			continue
		}
		g := goroutine()
		p.armed = c.recovers
		p.push(g)
		p.try(c.call)
		p.pop(g)
	}
}

// panics are the panics whose deferred calls run, by goroutine.
var panics sync.Map

var panicCount atomic.Int64

func (p *Panicking) push(goroutine string) {
	if o, ok := panics.Load(goroutine); ok {
		p.outer = o.(*Panicking)
	}
	panics.Store(goroutine, p)
	panicCount.Add(1)
}

func (p *Panicking) pop(goroutine string) {
	panicCount.Add(-1)
	if p.outer == nil {
		panics.Delete(goroutine)
		return
	}
	panics.Store(goroutine, p.outer)
	p.outer = nil
}

// goroutine is the number of the calling goroutine.
func goroutine() string {
	var b [40]byte
	fields := bytes.Fields(b[:runtime.Stack(b[:], false)])
	return string(fields[1])
}

// PanicOf is called where a function that calls recover begins: the panic that it may recover, nil unless it was deferred itself.
func PanicOf() *Panicking {
	if panicCount.Load() == 0 {
		return nil
	}
	if p, ok := panics.Load(goroutine()); ok && p.(*Panicking).armed {
		p.(*Panicking).armed = false
		return p.(*Panicking)
	}
	return nil
}

// Recovered is recover in a function that began with PanicOf. What ends a cell is not to be recovered.
func Recovered(p *Panicking) any {
	if p == nil || !p.active {
		return nil
	}
	switch p.value.(type) {
	case Exit, Stop, Interrupted:
		return nil
	}
	p.active = false
	Trace.Reset()
	return Recover(p.value)
}
