package widgets

import (
	"encoding/base64"
	"fmt"
	"html"
	"strings"

	"gobayes/kernel/internal/mime"
	"gobayes/kernel/internal/rt"
)

// Capture runs f; what it prints and shows replaces what the widget holds.
func (w *Output) Capture(f func()) {
	h, _, ok := rt.HostOf()
	if !ok {
		f()
		return
	}
	w.mu.Lock()
	w.stale = true // the old goes when the first of the new comes, so that nothing flickers
	w.mu.Unlock()
	h.Comms().Capture(w.take, f)
	w.mu.Lock()
	stale := w.stale
	w.stale = false
	w.mu.Unlock()
	if stale { // nothing came
		w.Clear()
	}
}

// Clear empties the widget.
func (w *Output) Clear() { w.set("outputs", []any{}) }

// take adds an output, as a notebook holds it.
func (w *Output) take(msgType string, content map[string]any) {
	w.mu.Lock()
	outs, _ := w.state["outputs"].([]any)
	outs = append([]any{}, outs...)
	if w.stale {
		outs, w.stale = []any{}, false
	}
	content["output_type"] = msgType
	switch msgType {
	case "clear_output":
		if content["wait"] == true {
			w.stale = true
			w.mu.Unlock()
			return
		}
		outs = []any{}
	case "update_display_data", "display_data":
		content["output_type"] = "display_data"
		i := len(outs)
		for k, o := range outs {
			if id := displayID(o); id != nil && id == displayID(content) {
				i = k
			}
		}
		outs = append(outs[:i:i], append([]any{content}, outs[min(i+1, len(outs)):]...)...)
	case "stream":
		if n := len(outs) - 1; n >= 0 {
			last := outs[n].(map[string]any)
			if last["output_type"] == "stream" && last["name"] == content["name"] {
				content["text"] = last["text"].(string) + content["text"].(string)
				outs = outs[:n]
			}
		}
		outs = append(outs, content)
	default:
		outs = append(outs, content)
	}
	w.state["outputs"] = outs
	w.mu.Unlock()
	w.update(map[string]any{"outputs": outs}, nil)
}

func displayID(o any) any {
	m, _ := o.(map[string]any)
	t, _ := m["transient"].(map[string]any)
	return t["display_id"]
}

// html is what stands for the widget where no front end draws it: what it holds, or its text.
func (m *Model) html() string {
	m.mu.Lock()
	kids, isBox := m.state["children"].([]Widget)
	outs, isOutput := m.state["outputs"].([]any)
	value, _ := m.state["value"].(string)
	m.mu.Unlock()
	var b strings.Builder
	switch {
	case isBox:
		for _, k := range kids {
			b.WriteString("<div>" + k.model().html() + "</div>")
		}
	case isOutput:
		for _, o := range outs {
			b.WriteString(outputHTML(o.(map[string]any)))
		}
	case m.spec.name == "HTML" || m.spec.name == "HTMLMath":
		return value
	default:
		return html.EscapeString(m.String())
	}
	return b.String()
}

func outputHTML(o map[string]any) string {
	data, _ := o["data"].(map[string]any)
	text := func(s any) string { return "<pre>" + html.EscapeString(fmt.Sprint(s)) + "</pre>" }
	switch {
	case o["output_type"] == "stream":
		return text(o["text"])
	case o["output_type"] == "error":
		return text(o["evalue"])
	case data[mime.SVG] != nil: // as a picture: identifiers inside do not clash with those of another
		return `<img src="data:image/svg+xml;base64,` + base64.StdEncoding.EncodeToString([]byte(fmt.Sprint(data[mime.SVG]))) + `">`
	case data[mime.PNG] != nil:
		return fmt.Sprintf(`<img src="data:image/png;base64,%v">`, data[mime.PNG])
	case data[mime.HTML] != nil:
		return fmt.Sprint(data[mime.HTML])
	}
	return text(data[mime.Text])
}

// OnClick calls f after each click, when no cell runs.
func (w *Button) OnClick(f func()) { w.on("click", nil, f) }

// NewLink keeps an attribute of two widgets equal in the front end, also without a kernel: a Play and the slider that it moves.
func NewLink(a, b Widget, attribute string) *Model {
	return newModel(&specLink, &linkOptions{[]any{reference(a.model()), attribute}, []any{reference(b.model()), attribute}})
}

type linkOptions struct {
	Source []any `json:"source"`
	Target []any `json:"target"`
}

var specLink = spec{name: "Link", attributes: []attribute{
	{name: "_model_module", initial: "@jupyter-widgets/controls"}, {name: "_model_module_version", initial: "2.0.0"}, {name: "_model_name", initial: "LinkModel"},
	{name: "_view_module", initial: "@jupyter-widgets/controls"}, {name: "_view_module_version", initial: "2.0.0"}, {name: "_view_name"},
	{name: "source"}, {name: "target"},
}}
