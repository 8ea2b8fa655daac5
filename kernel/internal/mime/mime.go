// Package mime turns a value into the forms in which a front end can show it: a MIME bundle that always has text/plain.
package mime

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image"
	"image/png"
	"reflect"
	"strings"
	"unicode/utf8"

	"gobayes/bayesrm/figures"
	"gobayes/kernel/internal/rt"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
)

// MIME types.
const (
	Text     = "text/plain"
	HTML     = "text/html"
	Markdown = "text/markdown"
	Latex    = "text/latex"
	SVG      = "image/svg+xml"
	PNG      = "image/png"
	JSON     = "application/json"
	CSV      = "text/csv"
	VegaLite = "application/vnd.vegalite.v5+json"
	Widget   = "application/vnd.jupyter.widget-view+json"
)

// Bundler is implemented by values that know their own MIME bundle. Interpreted types may implement it too.
type Bundler interface{ MIMEBundle() map[string]any }

// Of returns the bundle of one value or of several results.
func Of(vs []rt.Shown) map[string]any {
	if len(vs) == 2 && vs[1].Type == "error" {
		if _, ok := vs[0].Value.(fmt.Stringer); ok || rich(vs[0].Value) != nil {
			return Of(vs[:1])
		}
	}
	if len(vs) != 1 {
		var ss []string
		for _, v := range vs {
			ss = append(ss, text(v.Value))
		}
		return map[string]any{Text: strings.Join(ss, ", ")}
	}
	if b := rich(vs[0].Value); b != nil {
		return b
	}
	return map[string]any{Text: text(vs[0].Value)}
}

// Bundle returns the bundle of a value.
func Bundle(v any) map[string]any { return Of([]rt.Shown{{Value: v}}) }

// rich is the bundle of a value that has more than its text, or nil.
func rich(v any) map[string]any {
	switch x := v.(type) {
	case nil:
		return nil
	case Bundler:
		if r := reflect.ValueOf(v); r.Kind() == reflect.Pointer && r.IsNil() {
			return nil
		}
		return withText(x.MIMEBundle(), v)
	case *plot.Plot:
		if x == nil {
			return nil
		}
		return plotBundle(x)
	case image.Image:
		if r := reflect.ValueOf(v); r.Kind() == reflect.Pointer && r.IsNil() {
			return nil
		}
		var b bytes.Buffer
		if err := png.Encode(&b, x); err != nil {
			return nil
		}
		return map[string]any{PNG: base64.StdEncoding.EncodeToString(b.Bytes()), Text: fmt.Sprintf("%T %v", x, x.Bounds())}
	case error:
		return nil
	case fmt.Stringer:
		if f := picture(x); f != nil {
			return f.Captioned(x.String()).MIMEBundle()
		}
		return nil
	case mat.Matrix:
		r, c := x.Dims()
		return map[string]any{Text: fmt.Sprintf("%d×%d\n%v", r, c, mat.Formatted(x, mat.Excerpt(5), mat.Squeeze()))}
	}
	return table(v)
}

func withText(b map[string]any, v any) map[string]any {
	out := map[string]any{}
	for k, x := range b {
		if raw, ok := x.([]byte); ok {
			x = base64.StdEncoding.EncodeToString(raw)
		}
		out[k] = x
	}
	if out[Text] == nil {
		out[Text] = text(v)
	}
	return out
}

// maxText is how many bytes of a value's text are shown; the middle of a longer one is cut.
const maxText = 20000

func text(v any) string {
	var s string
	switch x := v.(type) {
	case nil:
		return "<nil>"
	case string:
		s = x
	case error:
		s = x.Error()
	default:
		s = fmt.Sprintf("%+v", v)
	}
	return Cut(s)
}

// Cut leaves out the middle of a long text, between characters.
func Cut(s string) string {
	if len(s) <= maxText {
		return s
	}
	from, to := maxText/2, len(s)-maxText/2
	for from > 0 && !utf8.RuneStart(s[from]) {
		from--
	}
	for to < len(s) && !utf8.RuneStart(s[to]) {
		to++
	}
	return fmt.Sprintf("%s\n… %d bytes …\n%s", s[:from], to-from, s[to:])
}

// Size of a plot.
const (
	plotWidth  = 6 * vg.Inch
	plotHeight = 4 * vg.Inch
)

func plotBundle(p *plot.Plot) map[string]any {
	svg, png, err := figures.Render(plotWidth, plotHeight, p.Draw)
	if err != nil {
		return map[string]any{Text: err.Error()}
	}
	return map[string]any{SVG: svg, PNG: base64.StdEncoding.EncodeToString(png),
		Text: fmt.Sprintf("plot %q: x %.4g to %.4g, y %.4g to %.4g", p.Title.Text, p.X.Min, p.X.Max, p.Y.Min, p.Y.Max)}
}
