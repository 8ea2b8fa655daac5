package notebook

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"regexp"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
)

const pageHead = `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>%s</title>
<style>
body{font:16px/1.55 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1.2rem;color:#1b1b1b;background:#fff}
pre{font:13.5px/1.5 ui-monospace,monospace;white-space:pre-wrap;overflow-wrap:anywhere;margin:0;tab-size:4}
.code{background:#f5f6f8;border-left:3px solid #0072b2;padding:.7rem 1rem;margin:1rem 0 .3rem}
.count{color:#666;font:12px ui-monospace,monospace}
.out{padding:.3rem 1rem;overflow-x:auto}
.err{background:#fdf0ed;border-left:3px solid #d55e00;padding:.6rem 1rem}
.stderr{background:#fdf6e3}
img{max-width:100%%;height:auto}
table{border-collapse:collapse;margin:.5rem 0}td,th{border:1px solid #ccc;padding:.2rem .6rem;text-align:left}
</style></head><body>
`

// HTML renders the notebook as one page that needs nothing else.
func (n *Notebook) HTML(title string) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, pageHead, html.EscapeString(title))
	for _, c := range n.Cells {
		switch c.Type {
		case "markdown":
			if err := markdown.Convert([]byte(c.Source), &b); err != nil {
				return nil, fmt.Errorf("notebook: html: cell %s: %w", c.ID, err)
			}
		case "code":
			count := " "
			if c.ExecutionCount > 0 {
				count = fmt.Sprint(c.ExecutionCount)
			}
			fmt.Fprintf(&b, "<div class=\"code\"><div class=\"count\">[%s]</div><pre>%s</pre></div>\n", count, html.EscapeString(c.Source))
			for _, o := range c.Outputs {
				if err := writeOutput(&b, o); err != nil {
					return nil, err
				}
			}
		}
	}
	b.WriteString("</body></html>\n")
	return b.Bytes(), nil
}

// markdown renders cells and outputs; HTML in them is left out.
var markdown = goldmark.New(goldmark.WithExtensions(extension.Table))

func writeOutput(b *bytes.Buffer, o Output) error {
	switch o.Type {
	case "stream":
		fmt.Fprintf(b, "<div class=\"out %s\"><pre>%s</pre></div>\n", o.Name, html.EscapeString(o.Text))
	case "error":
		fmt.Fprintf(b, "<div class=\"err\"><pre>%s</pre></div>\n", html.EscapeString(StripANSI(strings.Join(o.Traceback, "\n"))))
	default:
		text := func(typ string) string { s, _ := o.Data[typ].(string); return s }
		b.WriteString("<div class=\"out\">")
		switch {
		case text("image/svg+xml") != "": // as an image: the ids of several drawings would clash
			fmt.Fprintf(b, "<img alt=%q src=\"data:image/svg+xml;base64,%s\">", html.EscapeString(text("text/plain")), base64.StdEncoding.EncodeToString([]byte(text("image/svg+xml"))))
		case text("image/png") != "":
			fmt.Fprintf(b, "<img alt=%q src=\"data:image/png;base64,%s\">", html.EscapeString(text("text/plain")), strings.TrimSpace(text("image/png")))
		case text("text/html") != "":
			b.WriteString(text("text/html"))
		case text("text/markdown") != "":
			if err := markdown.Convert([]byte(text("text/markdown")), b); err != nil {
				return fmt.Errorf("notebook: html: %w", err)
			}
		default:
			plain := text("text/plain")
			if plain == "" {
				raw, err := json.Marshal(o.Data)
				if err == nil {
					plain = string(raw)
				}
			}
			fmt.Fprintf(b, "<pre>%s</pre>", html.EscapeString(plain))
		}
		b.WriteString("</div>\n")
	}
	return nil
}

var ansi = regexp.MustCompile("\x1b\\[[0-9;]*m")

// StripANSI removes terminal colours.
func StripANSI(s string) string { return ansi.ReplaceAllString(s, "") }
