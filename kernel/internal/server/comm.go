package server

import (
	"context"
	"encoding/json"
	"sync"

	"gobayes/kernel/internal/rt"
	"gobayes/kernel/internal/session"
	"gobayes/kernel/internal/wire"
)

// comms are the objects that this side and the front end both hold.
type comms struct {
	s    *Server
	mu   sync.Mutex
	open map[string]*rt.Comm
}

// controlTarget is the object by which a front end that has come anew asks for the states of all widgets.
const controlTarget = "jupyter.widget.control"

// Open implements rt.Comms.
func (c *comms) Open(cell int, o *rt.Comm) {
	o.ID = wire.NewID()
	c.mu.Lock()
	c.open[o.ID] = o
	c.mu.Unlock()
	state, buffers := o.State()
	content := map[string]any{"comm_id": o.ID, "target_name": o.Target, "data": map[string]any{"state": state, "buffer_paths": buffers.Paths()}}
	c.publish(cell, "comm_open", o.Metadata, content, buffers)
}

// Send implements rt.Comms.
func (c *comms) Send(o *rt.Comm, data map[string]any, buffers rt.Buffers) {
	_, cell, _ := rt.HostOf()
	c.publish(cell, "comm_msg", nil, map[string]any{"comm_id": o.ID, "data": data}, buffers)
}

// Close implements rt.Comms.
func (c *comms) Close(o *rt.Comm) {
	c.mu.Lock()
	delete(c.open, o.ID)
	c.mu.Unlock()
	_, cell, _ := rt.HostOf()
	c.publish(cell, "comm_close", nil, map[string]any{"comm_id": o.ID, "data": map[string]any{}}, nil)
}

func (c *comms) publish(cell int, msgType string, metadata, content any, buffers rt.Buffers) {
	var parent json.RawMessage
	if run := c.s.out.cellOf(cell); run != nil {
		parent = run.parent
	}
	f, err := c.s.codec.Encode([][]byte{[]byte(msgType)}, c.s.codec.NewHeader(msgType), parent, metadata, content)
	if err != nil {
		return
	}
	for _, b := range buffers {
		f = append(f, b.Data)
	}
	c.s.iopub.Publish(f)
}

// Later implements rt.Comms.
func (c *comms) Later(cell int, sink rt.Sink, f func()) {
	c.s.queue.pushCall(func() { c.s.callback(cell, sink, f) })
}

// Capture implements rt.Comms.
func (c *comms) Capture(sink rt.Sink, f func()) {
	_, cell, _ := rt.HostOf()
	run := &cellRun{sink: sink}
	if outer := c.s.out.cellOf(cell); outer != nil {
		run.parent, run.count, run.ctx = outer.parent, outer.count, outer.context()
	}
	defer run.setContext(ended)
	n := int(c.s.serial.Add(1))
	c.s.out.begin(n, run)
	defer rt.Start(rt.Current())
	rt.Start(n)
	defer c.s.out.sync()
	rt.Nested(cell, n, f)
}

// callback runs code of the user that a widget calls, as a cell of its own.
func (s *Server) callback(cell int, sink rt.Sink, f func()) {
	defer rt.Start(rt.Current())
	run := &cellRun{sink: sink}
	if made := s.out.cellOf(cell); made != nil {
		run.parent, run.count = made.parent, made.count
	}
	var n int
	err := s.within(context.Background(), run, func(ctx context.Context, cell int) error {
		n = cell
		return s.session.Call(ctx, cell, f)
	})
	if err != nil {
		s.out.message(n, "error", errorContent(s.session.Report(err)))
	}
}

func errorContent(r session.Report) map[string]any {
	return map[string]any{"ename": r.Name, "evalue": r.Value, "traceback": r.Traceback}
}

type commContent struct {
	ID     string         `json:"comm_id"`
	Target string         `json:"target_name"`
	Data   map[string]any `json:"data"`
}

// receive takes a message of the front end about an object.
func (c *comms) receive(m *wire.Message) {
	var content commContent
	if json.Unmarshal(m.Content, &content) != nil {
		return
	}
	c.mu.Lock()
	o := c.open[content.ID]
	c.mu.Unlock()
	switch {
	case m.Header.MsgType == "comm_msg" && o != nil:
		o.Receive(content.Data, m.Buffers)
	case m.Header.MsgType == "comm_close":
		c.mu.Lock()
		delete(c.open, content.ID)
		c.mu.Unlock()
	case m.Header.MsgType == "comm_open" && content.Target == controlTarget:
		control := &rt.Comm{ID: content.ID, Target: controlTarget}
		control.Receive = func(data map[string]any, _ [][]byte) {
			if data["method"] == "request_states" {
				states, buffers := c.states()
				c.Send(control, map[string]any{"method": "update_states", "states": states, "buffer_paths": buffers.Paths()}, buffers)
			}
		}
		c.mu.Lock()
		c.open[control.ID] = control
		c.mu.Unlock()
	case m.Header.MsgType == "comm_open":
		c.s.publish(m.RawHeader, "comm_close", map[string]any{"comm_id": content.ID, "data": map[string]any{}})
	}
}

// states are those of all widgets.
func (c *comms) states() (states map[string]any, buffers rt.Buffers) {
	c.mu.Lock()
	defer c.mu.Unlock()
	states = map[string]any{}
	for id, o := range c.open {
		if o.State == nil {
			continue
		}
		state, bs := o.State()
		states[id] = map[string]any{"model_name": state["_model_name"], "model_module": state["_model_module"], "model_module_version": state["_model_module_version"], "state": state}
		for _, b := range bs {
			buffers = append(buffers, rt.Buffer{Path: append([]any{id, "state"}, b.Path...), Data: b.Data})
		}
	}
	return states, buffers
}

// info answers a comm_info_request: the open objects, of one target if it names one.
func (c *comms) info(m *wire.Message) map[string]any {
	var content commContent
	_ = json.Unmarshal(m.Content, &content) // no content: all targets
	c.mu.Lock()
	defer c.mu.Unlock()
	found := map[string]any{}
	for id, o := range c.open {
		if content.Target == "" || o.Target == content.Target {
			found[id] = map[string]any{"target_name": o.Target}
		}
	}
	return map[string]any{"comms": found}
}
