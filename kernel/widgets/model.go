// Package widgets holds controls that a notebook shows and code reads: sliders, menus, buttons, boxes. Interact makes the
// controls for a function from its parameters and runs it again when one is moved.
//
// They speak the protocol of ipywidgets 8 (widgets 2.1.0), which JupyterLab, Notebook 7 and VS Code draw; where a front end has no widgets,
// the text or HTML beside them is shown. Values arrive while a cell runs, so a loop may read a slider; callbacks
// wait for the running cell.
package widgets

//go:generate go run -C ../../.ci/tools ./widgetgen ../../kernel/widgets/models_gen.go

import (
	"fmt"
	"reflect"
	"slices"
	"sort"
	"strings"
	"sync"

	"gobayes/kernel/internal/mime"
	"gobayes/kernel/internal/rt"
)

// Widget is anything that can be shown as a control or stand in a box.
type Widget interface {
	model() *Model
	// MIMEBundle is how a front end shows it.
	MIMEBundle() map[string]any
}

// spec is what the schema says of a widget: its attributes with their first values.
type spec struct {
	name       string
	attributes []attribute
}

type attribute struct {
	name    string
	initial any // nil: none
	enum    []string
	refers  *spec // to a model of its own: layout, style
}

func (s *spec) find(name string) *attribute {
	for i := range s.attributes {
		if s.attributes[i].name == name {
			return &s.attributes[i]
		}
	}
	return nil
}

// Model is the state of a widget, which the front end mirrors. Its methods may be called from any goroutine.
type Model struct {
	spec *spec
	comm *rt.Comm
	cell int // that made it

	mu       sync.Mutex
	state    map[string]any
	handlers []*handler
	stale    bool // of an Output: what it holds goes when something new comes
}

// handler is a callback. Changes that come while it waits for its turn are one call.
type handler struct {
	event   string // "" for a change of state
	f       func()
	sink    rt.Sink
	waiting bool
}

// newModel makes a model and tells the front end. options is a pointer to a struct whose fields carry the names of attributes
// as tags, or nil; it panics if one of them cannot be the attribute's value.
func newModel(s *spec, options any) *Model {
	m := &Model{spec: s, state: map[string]any{}}
	for _, a := range s.attributes {
		m.state[a.name] = a.initial
	}
	if o := reflect.ValueOf(options); o.IsValid() && !o.IsNil() {
		for i := range o.Elem().NumField() {
			name, v := o.Elem().Type().Field(i).Tag.Get("json"), o.Elem().Field(i)
			if w, ok := v.Interface().(Widget); ok && !v.IsNil() {
				m.state[name] = w.model()
			} else if !ok && !v.IsZero() {
				m.state[name] = m.checked(name, v.Interface())
			}
		}
	}
	for _, a := range s.attributes {
		if a.refers != nil && m.state[a.name] == nil {
			m.state[a.name] = newModel(a.refers, nil)
		}
	}
	if labels, ok := m.state["_options_labels"].([]string); ok && len(labels) > 0 && m.state["index"] == nil {
		m.state["index"] = 0
	}
	if v, ok := m.state["value"]; ok {
		m.state["value"] = m.clamped(v)
	}
	m.open()
	return m
}

func (m *Model) model() *Model { return m }

// open tells the front end of the model.
func (m *Model) open() {
	m.comm = &rt.Comm{Target: "jupyter.widget", Metadata: map[string]any{"version": "2.1.0"}, Receive: m.receive, State: m.encoded}
	if h, cell, ok := rt.HostOf(); ok {
		m.cell = cell
		h.Comms().Open(cell, m.comm)
	}
}

// checked returns v in the form in which the attribute is kept. It panics if v cannot be its value.
func (m *Model) checked(name string, v any) any {
	a := m.spec.find(name)
	if a == nil {
		panic(fmt.Errorf("widgets: %s has no attribute %s", m.spec.name, name))
	}
	if s, ok := v.(string); ok && len(a.enum) > 0 && !slices.Contains(a.enum, s) {
		panic(fmt.Errorf("widgets: %s: %s: want one of %q, not %q", m.spec.name, name, a.enum, s))
	}
	return v
}

// clamped keeps a number between min and max, where the model has them.
func (m *Model) clamped(v any) any {
	low, okLow := number(m.state["min"])
	high, okHigh := number(m.state["max"])
	if !okLow || !okHigh || m.spec.name == "FloatLogSlider" { // whose limits are exponents
		return v
	}
	one := func(x float64) float64 { return max(low, min(high, x)) }
	switch x := v.(type) {
	case int:
		return int(one(float64(x)))
	case float64:
		return one(x)
	case []float64:
		out := make([]float64, len(x))
		for i := range x {
			out[i] = one(x[i])
		}
		return out
	}
	return v
}

func number(v any) (float64, bool) {
	switch x := v.(type) {
	case int:
		return float64(x), true
	case float64:
		return x, true
	}
	return 0, false
}

// set changes an attribute here and in the front end.
func (m *Model) set(name string, v any) {
	m.mu.Lock()
	v = m.checked(name, v)
	if name == "value" {
		v = m.clamped(v)
	}
	m.state[name] = v
	data, buffers := encode(map[string]any{name: v})
	m.mu.Unlock()
	m.update(data, buffers)
}

// update tells the front end of new state.
func (m *Model) update(state map[string]any, buffers rt.Buffers) {
	if h, _, ok := rt.HostOf(); ok {
		h.Comms().Send(m.comm, map[string]any{"method": "update", "state": state, "buffer_paths": buffers.Paths()}, buffers)
	}
}

// receive takes a message of the front end: new state, a click, a question for the state.
func (m *Model) receive(data map[string]any, buffers [][]byte) {
	switch data["method"] {
	case "update":
		state, _ := data["state"].(map[string]any)
		m.mu.Lock()
		changed := false
		for name, v := range state {
			a := m.spec.find(name)
			if a == nil || strings.HasPrefix(name, "_") {
				continue
			}
			if v, ok := decode(v, a.initial); ok {
				m.state[name] = v
				changed = true
			}
		}
		m.mu.Unlock()
		if changed {
			m.fire("")
		}
	case "request_state":
		m.update(m.encoded())
	case "custom":
		content, _ := data["content"].(map[string]any)
		if event, _ := content["event"].(string); event != "" {
			m.fire(event)
		}
	}
}

// encoded is the whole state as the front end reads it.
func (m *Model) encoded() (state map[string]any, buffers rt.Buffers) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return encode(m.state)
}

// fire lets the callbacks of an event run when no cell does.
func (m *Model) fire(event string) {
	h, _, ok := rt.HostOf()
	if !ok {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.handlers {
		if c.event != event || c.waiting {
			continue
		}
		c.waiting = true
		h.Comms().Later(m.cell, c.sink, func() {
			m.mu.Lock()
			c.waiting = false
			m.mu.Unlock()
			c.f()
		})
	}
}

func (m *Model) on(event string, sink rt.Sink, f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.handlers = append(m.handlers, &handler{event: event, f: f, sink: sink})
}

// OnChange calls f after the user has changed the widget. While a cell runs f waits, and several changes are one call. What f prints
// or shows belongs to the cell that made the widget.
func (m *Model) OnChange(f func()) { m.on("", nil, f) }

// Close removes the widget from the front end.
func (m *Model) Close() {
	if h, _, ok := rt.HostOf(); ok {
		h.Comms().Close(m.comm)
	}
}

// MIMEBundle is the view of the widget, with the text of its state beside it.
func (m *Model) MIMEBundle() map[string]any {
	out := map[string]any{mime.Text: m.String(), mime.HTML: m.html()}
	if m.comm != nil && m.comm.ID != "" {
		out[mime.Widget] = map[string]any{"version_major": 2, "version_minor": 0, "model_id": m.comm.ID}
	}
	return out
}

// String names the widget and what it holds.
func (m *Model) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var parts []string
	if d, _ := m.state["description"].(string); d != "" {
		parts = append(parts, d)
	}
	if labels, ok := m.state["_options_labels"].([]string); ok {
		if i, ok := m.state["index"].(int); ok && i < len(labels) {
			parts = append(parts, labels[i])
		}
	} else if v, ok := m.state["value"]; ok && v != nil {
		if b, ok := v.([]byte); ok {
			v = fmt.Sprintf("%d bytes", len(b))
		}
		parts = append(parts, fmt.Sprint(v))
	}
	if kids, ok := m.state["children"].([]Widget); ok {
		for _, k := range kids {
			if s, ok := k.(fmt.Stringer); ok {
				parts = append(parts, s.String())
			}
		}
	}
	return m.spec.name + "(" + strings.Join(parts, ", ") + ")"
}

// chosen is the label of the chosen option.
func (m *Model) chosen() string {
	labels, i := m.getStrings("_options_labels"), m.getInt("index")
	if i < 0 || i >= len(labels) {
		return ""
	}
	return labels[i]
}

func (m *Model) choose(option string) {
	labels := m.getStrings("_options_labels")
	i := slices.Index(labels, option)
	if i < 0 {
		panic(fmt.Errorf("widgets: %s: no option %q; want one of %q", m.spec.name, option, labels))
	}
	m.set("index", i)
}

func (m *Model) get(name string) any {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state[name]
}

func (m *Model) getString(name string) string { s, _ := m.get(name).(string); return s }
func (m *Model) getBool(name string) bool     { b, _ := m.get(name).(bool); return b }
func (m *Model) getBytes(name string) []byte  { b, _ := m.get(name).([]byte); return b }
func (m *Model) getFloat(name string) float64 { f, _ := number(m.get(name)); return f }

// getInt is −1 where there is no number: nothing is selected.
func (m *Model) getInt(name string) int {
	if i, ok := m.get(name).(int); ok {
		return i
	}
	return -1
}

func (m *Model) getStrings(name string) []string {
	ss, _ := m.get(name).([]string)
	return append([]string{}, ss...)
}

func (m *Model) getFloats(name string) []float64 {
	fs, _ := m.get(name).([]float64)
	return append([]float64{}, fs...)
}

func (m *Model) getWidgets(name string) []Widget {
	ws, _ := m.get(name).([]Widget)
	return append([]Widget{}, ws...)
}

// encode spells state as the front end reads it: models by their ids, bytes apart as buffers.
func encode(state map[string]any) (map[string]any, rt.Buffers) {
	out := map[string]any{}
	var buffers rt.Buffers
	for name, v := range state {
		switch x := v.(type) {
		case *Model:
			out[name] = reference(x)
		case []Widget:
			ids := make([]string, len(x))
			for i, w := range x {
				ids[i] = reference(w.model())
			}
			out[name] = ids
		case []byte:
			buffers = append(buffers, rt.Buffer{Path: []any{name}, Data: x})
		default:
			out[name] = v
		}
	}
	sort.Slice(buffers, func(i, j int) bool { return fmt.Sprint(buffers[i].Path) < fmt.Sprint(buffers[j].Path) })
	return out, buffers
}

func reference(m *Model) string {
	if m.comm == nil {
		return ""
	}
	return "IPY_MODEL_" + m.comm.ID
}

// decode brings a value of the front end into the type of the attribute's first one, nil of which means an index. ok is false if it
// does not fit.
func decode(v, initial any) (out any, ok bool) {
	f, isNumber := v.(float64)
	switch initial.(type) {
	case nil:
		if v == nil {
			return nil, true
		}
		return int(f), isNumber
	case int:
		return int(f), isNumber
	case float64:
		return f, isNumber
	case string:
		s, ok := v.(string)
		return s, ok
	case bool:
		b, ok := v.(bool)
		return b, ok
	case []float64:
		xs, ok := v.([]any)
		fs := make([]float64, len(xs))
		for i, x := range xs {
			f, isNumber := x.(float64)
			fs[i], ok = f, ok && isNumber
		}
		return fs, ok
	}
	return nil, false
}
