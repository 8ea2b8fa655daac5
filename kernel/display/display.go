// Package display shows values from inside a cell: HTML, Markdown, pictures, anything that has a MIME bundle.
//
// In a notebook each call makes an output of the cell that runs it. In a compiled program without a session the
// functions print the text form to standard output.
package display

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"

	"gobayes/kernel/internal/mime"
	"gobayes/kernel/internal/rt"
)

// Show displays a value in every form that fits it, like the last expression of a cell.
func Show(v any) { publish(rt.Display{Data: mime.Bundle(v)}) }

// HTML displays markup.
func HTML(markup string) { text(mime.HTML, markup) }

// Markdown displays Markdown text.
func Markdown(source string) { text(mime.Markdown, source) }

// Latex displays a formula or LaTeX text, with its dollar signs.
func Latex(source string) { text(mime.Latex, source) }

// SVG displays a vector picture.
func SVG(source string) { text(mime.SVG, source) }

// PNG displays the bytes of a PNG file.
func PNG(data []byte) {
	publish(rt.Display{Data: map[string]any{mime.PNG: base64.StdEncoding.EncodeToString(data), mime.Text: fmt.Sprintf("PNG image, %d bytes", len(data))}})
}

// JPEG displays the bytes of a JPEG file.
func JPEG(data []byte) {
	publish(rt.Display{Data: map[string]any{"image/jpeg": base64.StdEncoding.EncodeToString(data), mime.Text: fmt.Sprintf("JPEG image, %d bytes", len(data))}})
}

// Audio displays a player for the bytes of a sound file; format is that of the file: "wav", "mpeg", "ogg".
func Audio(data []byte, format string) {
	publish(rt.Display{Data: map[string]any{
		mime.HTML: fmt.Sprintf(`<audio controls src="data:audio/%s;base64,%s"></audio>`, html.EscapeString(format), base64.StdEncoding.EncodeToString(data)),
		mime.Text: fmt.Sprintf("%s sound, %d bytes", format, len(data)),
	}})
}

// JSON displays a value as an expandable tree. It panics if v cannot be marshalled.
func JSON(v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Errorf("display: JSON: %w", err))
	}
	publish(rt.Display{Data: map[string]any{mime.JSON: json.RawMessage(b), mime.Text: string(b)}})
}

// Vega displays a Vega-Lite v5 chart, given as JSON.
func Vega(spec string) {
	publish(rt.Display{Data: map[string]any{mime.VegaLite: json.RawMessage(spec), mime.Text: "Vega-Lite chart"}})
}

// Update replaces the display with the given id by v; an unknown id shows v first.
func Update(id string, v any) {
	publish(rt.Display{Data: mime.Bundle(v), ID: id, Update: true})
}

// Page shows v in the front end's pager, where there is one: below the notebook, or a screen at a time in a terminal.
func Page(v any) { publish(rt.Display{Data: mime.Bundle(v), Page: true}) }

// Clear removes the outputs of the cell: now, or with wait when its next output comes.
func Clear(wait bool) {
	if h, c, ok := rt.HostOf(); ok {
		h.Clear(c, wait)
	}
}

func text(typ, s string) { publish(rt.Display{Data: map[string]any{typ: s, mime.Text: mime.Cut(s)}}) }

func publish(d rt.Display) {
	if h, c, ok := rt.HostOf(); ok {
		h.Publish(c, d)
		return
	}
	fmt.Println(d.Data[mime.Text])
}
