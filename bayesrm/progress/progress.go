// Package progress carries news of long work through a context: libraries report, whoever made the context draws a bar.
package progress

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Event says how far a task is. Total 0 means that the end is not known.
type Event struct {
	Task        string // what is done, like "train reward model"
	Done, Total int
	Note        string // the latest figure, like "loss 0.612"
}

type key struct{}

// WithReporter returns a context whose events go to report, which may be called from any goroutine.
func WithReporter(ctx context.Context, report func(Event)) context.Context {
	return context.WithValue(ctx, key{}, report)
}

// Silent returns a context without a reporter: the loops inside a step of a larger task draw no bars of their own.
func Silent(ctx context.Context) context.Context { return WithReporter(ctx, func(Event) {}) }

// Report sends an event to the context's reporter, if it has one.
func Report(ctx context.Context, e Event) {
	if f, ok := ctx.Value(key{}).(func(Event)); ok {
		f(e)
	}
}

// Bar is an event with its timing.
type Bar struct {
	Event
	Elapsed time.Duration
}

// String is one line: task, count, rate, time left and note.
func (b Bar) String() string {
	s := fmt.Sprintf("%s %d", b.Task, b.Done)
	if b.Total > 0 {
		s = fmt.Sprintf("%s %d/%d", b.Task, b.Done, b.Total)
	}
	sec := b.Elapsed.Seconds()
	switch {
	case b.Total > 0 && b.Done >= b.Total:
		s += fmt.Sprintf(" in %.1f s", sec)
	case b.Done > 0 && sec > 0.5:
		rate := float64(b.Done) / sec
		s += fmt.Sprintf(" %.3g/s", rate)
		if b.Total > 0 {
			s += fmt.Sprintf(", %.0f s left", float64(b.Total-b.Done)/rate)
		}
	}
	if b.Note != "" {
		s += ", " + b.Note
	}
	return s
}

// Meter turns events into bars, each task at most once per interval, and always its last.
type Meter struct {
	interval time.Duration
	draw     func(Bar)
	mu       sync.Mutex
	tasks    map[string]*task
}

type task struct {
	start, drawn time.Time
	done         bool
}

// NewMeter returns a Meter that calls draw, one call at a time.
func NewMeter(interval time.Duration, draw func(Bar)) *Meter {
	return &Meter{interval: interval, draw: draw, tasks: map[string]*task{}}
}

// Report takes an event. It may be called from any goroutine.
func (m *Meter) Report(e Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	t := m.tasks[e.Task]
	if t == nil || t.done {
		t = &task{start: now}
		m.tasks[e.Task] = t
	}
	t.done = e.Total > 0 && e.Done >= e.Total
	if !t.done && now.Sub(t.drawn) < m.interval {
		return
	}
	t.drawn = now
	m.draw(Bar{e, now.Sub(t.start)})
}
