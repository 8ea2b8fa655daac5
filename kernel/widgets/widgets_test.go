package widgets

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"gobayes/kernel/display"
	"gobayes/kernel/internal/rt"
)

// frontEnd is a host that keeps what a front end would know: the state of each object. Callbacks wait until it is told to run them.
type frontEnd struct {
	rt.Host
	states map[string]map[string]any
	later  []func()
	shown  []rt.Display
	sinks  []rt.Sink // of the code that runs now
	sent   int
}

func (f *frontEnd) Comms() rt.Comms             { return f }
func (f *frontEnd) Context(int) context.Context { return context.Background() }
func (f *frontEnd) Stdin(int) io.Reader         { return nil }
func (f *frontEnd) Publish(_ int, d rt.Display) {
	if n := len(f.sinks); n > 0 {
		f.sinks[n-1]("display_data", map[string]any{"data": d.Data, "metadata": map[string]any{}, "transient": map[string]any{}})
		return
	}
	f.shown = append(f.shown, d)
}

func (f *frontEnd) Open(_ int, c *rt.Comm) {
	c.ID = fmt.Sprint("id", len(f.states))
	state, _ := c.State()
	f.states[c.ID] = viaJSON(state)
}

// viaJSON is what arrives on the other side.
func viaJSON(v map[string]any) (out map[string]any) {
	b, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	if err != nil {
		panic(err)
	}
	return out
}

func (f *frontEnd) Send(c *rt.Comm, data map[string]any, _ rt.Buffers) {
	f.sent++
	for k, v := range viaJSON(data["state"].(map[string]any)) {
		f.states[c.ID][k] = v
	}
}
func (f *frontEnd) Close(c *rt.Comm) { delete(f.states, c.ID) }
func (f *frontEnd) Later(_ int, sink rt.Sink, g func()) {
	f.later = append(f.later, func() { f.with(sink, g) })
}
func (f *frontEnd) Capture(sink rt.Sink, g func()) { f.with(sink, g) }
func (f *frontEnd) with(sink rt.Sink, g func()) {
	if sink != nil {
		f.sinks = append(f.sinks, sink)
		defer func() { f.sinks = f.sinks[:len(f.sinks)-1] }()
	}
	g()
}

// run runs the callbacks that wait and returns how many there were.
func (f *frontEnd) run() int {
	n := len(f.later)
	for _, g := range f.later {
		g()
	}
	f.later = nil
	return n
}

func start(t *testing.T) *frontEnd {
	f := &frontEnd{states: map[string]map[string]any{}}
	rt.SetHost(f)
	t.Cleanup(func() { rt.SetHost(nil) })
	return f
}

// move is what the front end says when the user has changed a widget.
func move(w Widget, name string, v any) {
	w.model().receive(viaJSON(map[string]any{"method": "update", "state": map[string]any{name: v}}), nil)
}

func TestSlider(t *testing.T) {
	f := start(t)
	w := NewFloatSlider(&FloatSliderOptions{Min: 1, Max: 4, Value: 9, Description: "k", Layout: NewLayout(&LayoutOptions{Width: "50%"})})
	s := f.states[w.comm.ID]
	for k, want := range map[string]any{"_model_name": "FloatSliderModel", "_view_module": "@jupyter-widgets/controls", "min": 1.0, "max": 4.0, "value": 4.0, "step": 0.1, "description": "k", "continuous_update": true} {
		if s[k] != want {
			t.Errorf("%s is %v, want %v", k, s[k], want)
		}
	}
	layout := f.states[strings.TrimPrefix(s["layout"].(string), "IPY_MODEL_")]
	if layout["_model_name"] != "LayoutModel" || layout["width"] != "50%" || layout["height"] != nil {
		t.Errorf("layout %v", layout)
	}
	calls := 0
	w.OnChange(func() { calls++ })
	move(w, "value", 2.5)
	move(w, "value", 3.5)
	if w.Value() != 3.5 || calls != 0 {
		t.Errorf("value %v, %d calls before the cell has ended", w.Value(), calls)
	}
	if n := f.run(); n != 1 || calls != 1 {
		t.Errorf("%d callbacks waited, %d ran; two changes are one call", n, calls)
	}
	move(w, "value", 1.5)
	if f.run(); calls != 2 {
		t.Errorf("%d calls, want 2", calls)
	}
	for _, bad := range []any{"text", nil, []any{1.0}, map[string]any{}} {
		move(w, "value", bad)
	}
	move(w, "_model_name", "Other")
	move(w, "nosuch", 1.0)
	if w.Value() != 1.5 || f.run() != 0 || w.get("_model_name") != "FloatSliderModel" {
		t.Errorf("value %v, or a callback, after values that do not fit", w.Value())
	}
	w.SetValue(-3)
	w.SetContinuousUpdate(false)
	if w.Value() != 1 || s["value"] != 1.0 || s["continuous_update"] != false || f.run() != 0 {
		t.Errorf("set by code: %v here, %v there", w.Value(), s)
	}
	if text := w.String(); text != "FloatSlider(k, 1)" {
		t.Error(text)
	}
	if w.Close(); f.states[w.comm.ID] != nil {
		t.Error("closed, and still there")
	}
}

func TestMenu(t *testing.T) {
	f := start(t)
	w := NewDropdown(&DropdownOptions{Options: []string{"std", "var"}})
	if w.Value() != "std" || f.states[w.comm.ID]["index"] != 0.0 {
		t.Errorf("first %q", w.Value())
	}
	if move(w, "index", 1); w.Value() != "var" {
		t.Errorf("moved to %q", w.Value())
	}
	if move(w, "index", nil); w.Value() != "" || w.Index() != -1 {
		t.Errorf("nothing chosen: %q", w.Value())
	}
	w.SetValue("std")
	if f.states[w.comm.ID]["index"] != 0.0 {
		t.Errorf("%v", f.states[w.comm.ID])
	}
	for name, want := range map[string]func(){
		"no option \"nosuch\"; want one of [\"std\" \"var\"]": func() { w.SetValue("nosuch") },
		"orientation: want one of [\"horizontal\"":            func() { NewIntSlider(&IntSliderOptions{Orientation: "up"}) },
	} {
		func() {
			defer func() {
				if r := fmt.Sprint(recover()); !strings.Contains(r, name) {
					t.Errorf("panic %q, want %q", r, name)
				}
			}()
			want()
		}()
	}
	ranged := NewFloatRangeSlider(&FloatRangeSliderOptions{Max: 1, Value: []float64{0.2, 3}})
	if !reflect.DeepEqual(ranged.Value(), []float64{0.2, 1}) {
		t.Errorf("range %v", ranged.Value())
	}
	if move(ranged, "value", []float64{0.1, 0.4}); !reflect.DeepEqual(ranged.Value(), []float64{0.1, 0.4}) {
		t.Errorf("range %v", ranged.Value())
	}
}

func TestButtonAndBoxes(t *testing.T) {
	f := start(t)
	b := NewButton(&ButtonOptions{Description: "more"})
	clicks := 0
	b.OnClick(func() { clicks++ })
	b.receive(map[string]any{"method": "custom", "content": map[string]any{"event": "click"}}, nil)
	if f.run(); clicks != 1 {
		t.Errorf("%d clicks", clicks)
	}
	box := NewHBox(&HBoxOptions{Children: []Widget{b, NewHTML(&HTMLOptions{Value: "<b>x</b>"})}})
	ids, _ := f.states[box.comm.ID]["children"].([]any)
	if len(ids) != 2 || ids[0] != "IPY_MODEL_"+b.comm.ID {
		t.Errorf("children %v", ids)
	}
	bundle := box.MIMEBundle()
	if bundle["text/html"] != "<div>Button(more)</div><div><b>x</b></div>" {
		t.Errorf("%q", bundle["text/html"])
	}
	if view := bundle["application/vnd.jupyter.widget-view+json"].(map[string]any); view["model_id"] != box.comm.ID {
		t.Errorf("view %v", view)
	}
	img := NewImage(&ImageOptions{Value: []byte{1, 2}})
	if state, buffers := img.encoded(); state["value"] != nil || len(buffers) != 1 || buffers[0].Path[0] != "value" || len(buffers[0].Data) != 2 {
		t.Errorf("%v, %v", state, buffers)
	}
}

func TestOutput(t *testing.T) {
	f := start(t)
	out := NewOutput(nil)
	texts := func() (s string) {
		for _, o := range f.states[out.comm.ID]["outputs"].([]any) {
			m := o.(map[string]any)
			data, _ := m["data"].(map[string]any)
			s += fmt.Sprint(m["output_type"], ":", m["text"], data["text/plain"], " ")
		}
		return s
	}
	stream := func(s string) {
		f.sinks[len(f.sinks)-1]("stream", map[string]any{"name": "stdout", "text": s})
	}
	out.Capture(func() { stream("a"); stream("b"); display.Show(1); stream("c") })
	if got := texts(); got != "stream:ab<nil> display_data:<nil>1 stream:c<nil> " {
		t.Errorf("%q", got)
	}
	out.Capture(func() { display.Show(2) })
	if got := texts(); got != "display_data:<nil>2 " {
		t.Errorf("captured anew: %q", got)
	}
	bar := func(text string) {
		f.sinks[len(f.sinks)-1]("update_display_data", map[string]any{"data": map[string]any{"text/plain": text}, "transient": map[string]any{"display_id": "p"}})
	}
	out.Capture(func() { bar("10 %"); stream("x"); bar("20 %") })
	if got := texts(); got != "display_data:<nil>20 % stream:x<nil> " {
		t.Errorf("a bar: %q", got)
	}
	if out.Capture(func() {}); texts() != "" {
		t.Errorf("nothing put out: %q", texts())
	}
}

func TestInteract(t *testing.T) {
	f := start(t)
	k := NewFloatSlider(&FloatSliderOptions{Max: 4, Value: 1})
	var got string
	box, err := Interact(rt.WithNames(func(k float64, method string, on bool, n int) any {
		got = fmt.Sprint(k, method, on, n)
		return got
	}, "k", "method", "_", "n"), k, NewDropdown(&DropdownOptions{Options: []string{"std", "var"}}), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got != "1stdfalse 0" {
		t.Errorf("called with %s", got)
	}
	if text := box.String(); text != "VBox(FloatSlider(k, 1), Dropdown(method, std), Checkbox(false), IntSlider(n, 0), Output())" {
		t.Error(text)
	}
	move(k, "value", 3)
	move(box.Children()[1], "index", 1)
	move(box.Children()[2], "value", true)
	if f.run(); got != "3vartrue 0" {
		t.Errorf("called with %s", got)
	}
	if h := box.html(); !strings.HasSuffix(h, "<div><pre>3vartrue 0</pre></div>") {
		t.Errorf("%s", h)
	}
	for _, tt := range []struct {
		f        any
		controls []Control
		want     string
	}{
		{3, nil, "want a function, not a int"},
		{func(k float64) {}, []Control{k, k}, "2 controls for a function with 1 parameters"},
		{func(s string) {}, []Control{k}, "parameter 1: a FloatSlider gives a float64, not a string"},
		{func(s []int) {}, nil, "parameter 1: no control for a []int"},
	} {
		if _, err := Interact(tt.f, tt.controls...); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %v, want %q", err, tt.want)
		}
	}
}

// TestWithoutNotebook: in a program that is no notebook, widgets hold values and nothing more.
func TestWithoutNotebook(t *testing.T) {
	rt.SetHost(nil)
	w := NewIntSlider(&IntSliderOptions{Value: 3})
	w.SetValue(4)
	if b := w.MIMEBundle(); w.Value() != 4 || b["text/plain"] != "IntSlider(4)" || len(b) != 2 {
		t.Errorf("%d, %v", w.Value(), b)
	}
}
