package server

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"
	"unicode/utf8"

	"gobayes/kernel/internal/mime"
	"gobayes/kernel/internal/rt"
	"gobayes/kernel/internal/wire"
)

const (
	coalesce  = 10 * time.Millisecond // how long a stream waits for more
	maxStream = 64 << 10              // bytes of one stream message
)

// outputs gathers what cells print and sends it, in order, under the cell that printed it.
type outputs struct {
	s        *Server
	cellsMu  sync.RWMutex
	cells    map[int]*cellRun
	mu       sync.Mutex // guards what follows; a sink that is called under it may ask for cells
	cell     int        // of the pending text
	stream   string
	text     []byte
	timer    *time.Timer
	shownIDs map[string]bool
	pipes    []*pipe // the process's own descriptors
}

func newOutputs(s *Server) *outputs {
	return &outputs{s: s, cells: map[int]*cellRun{}, shownIDs: map[string]bool{}}
}

// begin makes n a cell that can print.
func (o *outputs) begin(n int, c *cellRun) {
	o.cellsMu.Lock()
	defer o.cellsMu.Unlock()
	o.cells[n] = c
}

func (o *outputs) cellOf(n int) *cellRun {
	o.cellsMu.RLock()
	defer o.cellsMu.RUnlock()
	return o.cells[n]
}

// write takes text for a stream of a cell. Text of one cell and stream is sent together.
func (o *outputs) write(cell int, stream string, p []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.text) > 0 && (o.cell != cell || o.stream != stream) {
		o.send(true)
	}
	o.cell, o.stream = cell, stream
	for len(p) > 0 {
		n := min(len(p), maxStream-len(o.text))
		o.text = append(o.text, p[:n]...)
		p = p[n:]
		if len(o.text) >= maxStream {
			o.send(false)
		}
	}
	if len(o.text) > 0 && o.timer == nil {
		o.timer = time.AfterFunc(coalesce, func() {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.timer = nil
			o.send(false)
		})
	}
}

// flush sends what is pending.
func (o *outputs) flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.send(true)
}

// send sends the pending text; unless all is set, bytes of a character that is not complete wait. o.mu is held.
func (o *outputs) send(all bool) {
	n := len(o.text)
	if !all {
		for k := 1; k < utf8.UTFMax && k <= n; k++ {
			if c := o.text[n-k]; utf8.RuneStart(c) {
				if !utf8.FullRune(o.text[n-k:]) {
					n -= k
				}
				break
			}
		}
	}
	if n == 0 {
		return
	}
	o.emit(o.cell, "stream", map[string]any{"name": o.stream, "text": string(o.text[:n])})
	o.text = append(o.text[:0], o.text[n:]...)
}

// message sends any other output of a cell, after the text before it.
func (o *outputs) message(cell int, msgType string, content map[string]any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.send(true)
	o.emit(cell, msgType, content)
}

// emit gives a message to whoever takes the outputs of a cell. o.mu is held.
func (o *outputs) emit(cell int, msgType string, content map[string]any) {
	switch c := o.cellOf(cell); {
	case c == nil || c.silent:
	case c.sink != nil:
		c.sink(msgType, content)
	default:
		o.s.publish(c.parent, msgType, content)
	}
}

// sync waits until what the process's own descriptors hold has been read.
func (o *outputs) sync() {
	for _, p := range o.pipes {
		p.sync()
	}
	o.flush()
}

// host is what running cells talk to.
type host struct{ s *Server }

func (h *host) Write(cell int, stream string, p []byte) { h.s.out.write(cell, stream, p) }

func (h *host) Show(cell int, vs []rt.Shown) {
	c := h.s.out.cellOf(cell)
	if c == nil {
		return
	}
	if c.capture != nil {
		c.capture(vs)
		return
	}
	data := mime.Of(vs)
	if t, ok := data[mime.Text].(string); ok {
		h.s.history.SetOutput(c.count, t)
	}
	h.s.out.message(cell, "execute_result", map[string]any{"execution_count": c.count, "data": data, "metadata": map[string]any{}})
}

func (h *host) Publish(cell int, d rt.Display) {
	if d.Page {
		if c := h.s.out.cellOf(cell); c != nil {
			c.page(d.Data)
		}
		return
	}
	msgType := "display_data"
	transient := map[string]any{}
	if d.ID != "" {
		transient["display_id"] = d.ID
		o := h.s.out
		o.mu.Lock()
		if d.Update && o.shownIDs[d.ID] {
			msgType = "update_display_data"
		}
		o.shownIDs[d.ID] = true
		o.mu.Unlock()
	}
	meta := d.Metadata
	if meta == nil {
		meta = map[string]any{}
	}
	h.s.out.message(cell, msgType, map[string]any{"data": d.Data, "metadata": meta, "transient": transient})
}

func (h *host) Clear(cell int, wait bool) {
	h.s.out.message(cell, "clear_output", map[string]any{"wait": wait})
}

func (h *host) GoroutinePanic(cell int, v any) {
	h.s.out.write(cell, "stderr", fmt.Appendf(nil, "panic in a goroutine: %v\n", v))
}

func (h *host) Stdin(cell int) io.Reader { return &cellInput{h.s.input, cell} }

func (h *host) Context(cell int) context.Context {
	if c := h.s.out.cellOf(cell); c != nil {
		if ctx := c.context(); ctx != nil {
			return ctx
		}
	}
	return context.Background()
}

func (h *host) Comms() rt.Comms { return h.s.comms }

func (h *host) Session() rt.Session { return &notebookSession{h.s} }

// notebookSession is what the running cell may ask of the session.
type notebookSession struct{ s *Server }

func (n *notebookSession) Describe(name string) (map[string]any, bool) {
	n.s.assistMu.Lock()
	defer n.s.assistMu.Unlock()
	d, ok := n.s.assistant.Describe(name)
	return map[string]any{mime.Text: d.Text, mime.Markdown: d.Markdown}, ok
}

func (n *notebookSession) Variables() []rt.Variable { return n.s.session.Variables() }
func (n *notebookSession) Reset()                   { n.s.session.Reset() }

// input asks the front end for lines.
type input struct {
	s      *Server
	mu     sync.Mutex
	rest   []byte
	answer chan string
}

func newInput(s *Server) *input { return &input{s: s, answer: make(chan string, 1)} }

func (in *input) reply(m *wire.Message) {
	var c struct {
		Value string `json:"value"`
	}
	if m.Header.MsgType != "input_reply" || json.Unmarshal(m.Content, &c) != nil {
		return
	}
	select {
	case in.answer <- c.Value:
	default: // nobody asked
	}
}

type cellInput struct {
	in   *input
	cell int
}

// Read returns the next bytes of the user's answers; it asks for a line when there are none left.
func (r *cellInput) Read(p []byte) (int, error) {
	in := r.in
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.rest) == 0 {
		c := in.s.out.cellOf(r.cell)
		if c == nil || !c.stdin {
			return 0, errNoInput
		}
		select { // an answer to a question that was interrupted
		case <-in.answer:
		default:
		}
		in.s.out.flush()
		f, err := in.s.codec.Encode(c.identities, in.s.codec.NewHeader("input_request"), c.parent, nil, map[string]any{"prompt": "", "password": false})
		if err != nil {
			return 0, err
		}
		in.s.stdin.Send(c.id, f)
		ctx := c.context()
		select {
		case line := <-in.answer:
			in.rest = []byte(line + "\n")
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	n := copy(p, in.rest)
	in.rest = in.rest[n:]
	return n, nil
}
