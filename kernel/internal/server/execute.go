package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"gobayes/kernel/internal/mime"
	"gobayes/kernel/internal/rt"
	"gobayes/kernel/internal/session"
	"gobayes/kernel/internal/wire"
)

// request is a cell to be run, or a call of the user's code by a widget.
type request struct {
	m    *wire.Message
	id   string
	call func()
	at   time.Time // when it came
}

// underway is how long after the reply to a failed cell others may come that were sent before it.
const underway = 20 * time.Millisecond

// sentBefore reports whether the request was sent before t: it had come by then, or came soon after and says so. One that answers what
// was sent at t is later.
func (r request) sentBefore(t time.Time) bool {
	if !r.at.After(t) {
		return true
	}
	date, err := time.Parse(time.RFC3339Nano, r.m.Header.Date)
	if _, fraction, ok := strings.Cut(r.m.Header.Date, "."); ok && len(fraction) < len("000000Z") { // milliseconds, cut off
		date = date.Add(time.Millisecond)
	}
	return err == nil && date.Before(t) && r.at.Before(t.Add(underway))
}

// queue holds the cells that wait.
type queue struct {
	mu    sync.Mutex
	cond  *sync.Cond
	items []request
}

func (q *queue) push(r request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	r.at = time.Now()
	q.items = append(q.items, r)
	q.cond.Signal()
}

// pushCall puts a call before the cells that wait.
func (q *queue) pushCall(f func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := 0
	for i < len(q.items) && q.items[i].call != nil {
		i++
	}
	q.items = slices.Insert(q.items, i, request{call: f})
	q.cond.Signal()
}

func (q *queue) pop() request {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.items) == 0 {
		q.cond.Wait()
	}
	r := q.items[0]
	q.items = q.items[1:]
	return r
}

// running is the cell that runs now.
type running struct {
	mu   sync.Mutex
	stop context.CancelCauseFunc
}

func (r *running) set(stop context.CancelCauseFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stop = stop
}

func (r *running) cancel(why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stop != nil {
		r.stop(why)
	}
}

type executeContent struct {
	Code            string            `json:"code"`
	Silent          bool              `json:"silent"`
	StoreHistory    *bool             `json:"store_history"`
	UserExpressions map[string]string `json:"user_expressions"`
	AllowStdin      bool              `json:"allow_stdin"`
	StopOnError     *bool             `json:"stop_on_error"`
}

// execute runs the cells of the queue, one after the other. When one fails, those that were sent before its reply are aborted.
func (s *Server) execute() {
	var failed time.Time // when the reply to the last cell that failed was sent
	for {
		r := s.queue.pop()
		s.running.Lock()
		switch {
		case r.call != nil:
			s.during(&wire.Message{}, r.call)
		case r.sentBefore(failed):
			s.during(r.m, func() {
				s.reply(s.shell, r.id, r.m, map[string]any{"status": "aborted", "execution_count": s.count})
			})
		default:
			s.during(r.m, func() {
				if at, stop := s.cell(r); stop {
					failed = at
				}
			})
		}
		s.running.Unlock()
	}
}

// cell runs one execute_request and reports whether the cells behind it are to be aborted, and when its reply was sent.
func (s *Server) cell(r request) (replied time.Time, stop bool) {
	var c executeContent
	if err := json.Unmarshal(r.m.Content, &c); err != nil {
		s.reply(s.shell, r.id, r.m, map[string]any{"status": "error", "ename": "ProtocolError", "evalue": err.Error(), "traceback": []string{err.Error()}, "execution_count": s.count})
		return replied, false
	}
	store := !c.Silent && (c.StoreHistory == nil || *c.StoreHistory)
	if store {
		s.count++
		s.history.Add(s.count, c.Code)
	}
	if !c.Silent {
		s.publish(r.m.RawHeader, "execute_input", map[string]any{"code": c.Code, "execution_count": s.count})
	}
	run := &cellRun{parent: r.m.RawHeader, id: r.id, identities: r.m.Identities, silent: c.Silent, stdin: c.AllowStdin, count: s.count}
	rep := s.run(context.Background(), run, c.Code)
	content := map[string]any{"execution_count": s.count}
	if rep == nil {
		content["user_expressions"] = s.expressions(run, c.UserExpressions)
		content["payload"] = run.payloads()
		s.out.flush()
		s.reply(s.shell, r.id, r.m, content)
		return replied, false
	}
	s.out.flush()
	e := errorContent(*rep)
	if !c.Silent {
		s.publish(r.m.RawHeader, "error", e)
	}
	for k, v := range e {
		content[k] = v
	}
	content["status"] = "error"
	replied = time.Now()
	s.reply(s.shell, r.id, r.m, content)
	return replied, c.StopOnError == nil || *c.StopOnError
}

// cellRun is what the outputs of a cell need to know about it.
type cellRun struct {
	parent     json.RawMessage
	id         string
	identities [][]byte
	silent     bool
	stdin      bool
	count      int
	capture    func([]rt.Shown) // takes the shown value, for user expressions
	sink       rt.Sink          // takes the outputs, for widgets

	mu      sync.Mutex
	ctx     context.Context // while it runs
	payload []any           // of the reply
}

// context is the cell's own, cancelled when it has ended.
func (c *cellRun) context() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ctx
}

func (c *cellRun) setContext(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ctx = ctx
}

// ended is the context of all cells that have ended: that of each would be kept as long as the session.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// page adds a screen for the pager to the reply.
func (c *cellRun) page(data map[string]any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.payload = append(c.payload, map[string]any{"source": "page", "data": data, "start": 0})
}

func (c *cellRun) payloads() []any {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]any{}, c.payload...)
}

// run checks and runs code under a context; nil means success. s.running is held.
func (s *Server) run(ctx context.Context, c *cellRun, code string) *session.Report {
	if strings.TrimSpace(code) == "" {
		return nil
	}
	err := s.within(ctx, c, func(ctx context.Context, n int) error {
		s.session.SetLabel(n, fmt.Sprintf("cell %d", c.count))
		ready, err := s.session.Prepare(n, code)
		if err != nil {
			return err
		}
		return s.session.Run(ctx, ready)
	})
	if err == nil {
		return nil
	}
	rep := s.session.Report(err)
	return &rep
}

// within runs f, code of the session, as the cell with the next number; c takes what it puts out. s.running is held.
func (s *Server) within(ctx context.Context, c *cellRun, f func(ctx context.Context, n int) error) error {
	n := int(s.serial.Add(1))
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	with, clear := s.withProgress(ctx, n)
	c.setContext(with)
	defer c.setContext(ended)
	s.current.set(cancel)
	defer s.current.set(nil)
	s.out.begin(n, c)
	rt.Start(n)
	err := f(ctx, n)
	s.out.sync()
	clear()
	var why outgrown
	if err != nil && errors.As(context.Cause(ctx), &why) {
		return why
	}
	return err
}

// evaluate runs code in silence, as a cell of its own that takes its streams from c, and returns what it shows. Afterwards the cell before
// it is the current one again.
func (s *Server) evaluate(ctx context.Context, c *cellRun, code string) (shown []rt.Shown, rep *session.Report) {
	defer rt.Start(rt.Current())
	c.silent = true
	c.capture = func(vs []rt.Shown) { shown = vs }
	rep = s.run(ctx, c, code)
	return shown, rep
}

// expressions evaluates the user_expressions of a request after its cell has succeeded.
func (s *Server) expressions(c *cellRun, exprs map[string]string) map[string]any {
	out := map[string]any{}
	for name, code := range exprs {
		shown, rep := s.evaluate(context.Background(), &cellRun{parent: c.parent, count: c.count}, code)
		if rep != nil {
			out[name] = map[string]any{"status": "error", "ename": rep.Name, "evalue": rep.Value, "traceback": rep.Traceback}
			continue
		}
		data := map[string]any{}
		if len(shown) > 0 {
			data = mime.Of(shown)
		}
		out[name] = map[string]any{"status": "ok", "data": data, "metadata": map[string]any{}}
	}
	return out
}
