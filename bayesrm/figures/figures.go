// Package figures draws numbers as the paper's figures: gonum plots, with a text that holds the numbers and a CSV table.
package figures

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image/color"
	"strings"

	"gobayes/bayesrm/bestofn"
	"gobayes/bayesrm/metrics"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

func init() { // before any plot is made
	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
	plotter.DefaultFont = plot.DefaultFont
}

// Line is one curve of a figure.
type Line struct {
	Label string
	Curve *bestofn.Result
}

// Figure is a drawing with its numbers.
type Figure struct {
	Width, Height vg.Length
	text, csv     string
	draw          func(draw.Canvas)
}

// String is the figure's numbers as text.
func (f *Figure) String() string { return f.text }

// CSV is the figure's numbers as a table.
func (f *Figure) CSV() string { return f.csv }

// MIMEBundle is the figure as SVG, PNG, text and CSV.
func (f *Figure) MIMEBundle() map[string]any {
	svg, png, err := Render(f.Width, f.Height, f.draw)
	if err != nil {
		return map[string]any{"text/plain": err.Error()}
	}
	return map[string]any{"image/svg+xml": svg, "image/png": base64.StdEncoding.EncodeToString(png), "text/plain": f.text, "text/csv": f.csv}
}

// dpi of PNG pictures: twice that of a screen.
const dpi = 192

// Render draws as SVG and as PNG. A panic of gonum/plot, as on impossible axes, becomes the error.
func Render(w, h vg.Length, f func(draw.Canvas)) (svg string, png []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("figures: cannot be drawn: %v", r)
		}
	}()
	s := vgsvg.New(w, h)
	f(draw.New(s))
	var sb, pb bytes.Buffer
	if _, err := s.WriteTo(&sb); err != nil {
		return "", nil, fmt.Errorf("figures: %w", err)
	}
	img := vgimg.NewWith(vgimg.UseWH(w, h), vgimg.UseDPI(dpi))
	f(draw.New(img))
	if _, err := (vgimg.PngCanvas{Canvas: img}).WriteTo(&pb); err != nil {
		return "", nil, fmt.Errorf("figures: %w", err)
	}
	return sb.String(), pb.Bytes(), nil
}

// palette is the Okabe-Ito cycle, which colour-blind readers can tell apart; dashes tell the lines apart in grey.
var (
	palette = []color.RGBA{{0, 0, 0, 255}, {0, 114, 178, 255}, {213, 94, 0, 255}, {0, 158, 115, 255}, {204, 121, 167, 255}, {86, 180, 233, 255}, {230, 159, 0, 255}}
	dashes  = [][]vg.Length{nil, {6, 2}, {2, 2}, {8, 2, 2, 2}, {4, 4}, {1, 3}, {10, 3}}
)

// BestOfN draws best-of-n curves like the paper's Figure 2: on the left the reward that selects, on the right gold, as gains
// over one answer, over KL in nats. Bands are 95 % bootstrap intervals over prompts.
func BestOfN(lines ...Line) *Figure {
	f := &Figure{Width: 11 * vg.Inch, Height: 4.4 * vg.Inch}
	var text, csv strings.Builder
	csv.WriteString("label,n,kl,proxy,proxy_lo,proxy_hi,gold,gold_lo,gold_hi\n")
	for _, l := range lines {
		c := l.Curve
		fmt.Fprintf(&text, "%-28s gold gain:", l.Label)
		for i, n := range c.N {
			g, p := c.Gold[i], c.Proxy[i]
			fmt.Fprintf(&text, "  n=%d %+.2f [%+.2f, %+.2f]", n, g.Mean, g.Lo, g.Hi)
			fmt.Fprintf(&csv, "%q,%d,%.6g,%.6g,%.6g,%.6g,%.6g,%.6g,%.6g\n", l.Label, n, c.KL[i], p.Mean, p.Lo, p.Hi, g.Mean, g.Lo, g.Hi)
		}
		text.WriteByte('\n')
	}
	f.text, f.csv = text.String(), csv.String()
	f.draw = func(c draw.Canvas) {
		legend := vg.Length(24 + 14*((len(lines)+3)/4))
		left := panel("Proxy: the reward that selects", lines, func(r *bestofn.Result) []metrics.Interval { return r.Proxy })
		right := panel("Gold", lines, func(r *bestofn.Result) []metrics.Interval { return r.Gold })
		w := c.Max.X - c.Min.X
		left.Draw(draw.Crop(c, 0, -w/2-4, legend, 0))
		right.Draw(draw.Crop(c, w/2+4, 0, legend, 0))
		legends(c, lines, legend)
	}
	return f
}

// panel is one of the two plots.
func panel(title string, lines []Line, pick func(*bestofn.Result) []metrics.Interval) *plot.Plot {
	p := plot.New()
	p.Title.Text = title
	p.X.Label.Text = "KL from the policy (nats)"
	p.Y.Label.Text = "gain over one answer"
	p.Add(plotter.NewGrid())
	for k, l := range lines {
		var pts, lo, hi plotter.XYs
		for i, v := range pick(l.Curve) {
			x := l.Curve.KL[i]
			pts = append(pts, plotter.XY{X: x, Y: v.Mean})
			lo = append(lo, plotter.XY{X: x, Y: v.Lo})
			hi = append(hi, plotter.XY{X: x, Y: v.Hi})
		}
		col := palette[k%len(palette)]
		if len(pts) > 1 {
			ring := append(plotter.XYs{}, hi...)
			for i := len(lo) - 1; i >= 0; i-- {
				ring = append(ring, lo[i])
			}
			if band, err := plotter.NewPolygon(ring); err == nil {
				band.Color = color.NRGBA{col.R, col.G, col.B, 36}
				band.LineStyle.Width = 0
				p.Add(band)
			}
		}
		if line, err := plotter.NewLine(pts); err == nil {
			line.Color, line.Width, line.Dashes = col, vg.Points(1.8), dashes[k%len(dashes)]
			p.Add(line)
		}
	}
	return p
}

// legends writes the lines' labels below both panels, four in a row.
func legends(c draw.Canvas, lines []Line, height vg.Length) {
	w := (c.Max.X - c.Min.X) / 4
	style := plot.New().Legend.TextStyle
	for k, l := range lines {
		x := c.Min.X + w*vg.Length(k%4) + 10
		y := c.Min.Y + height - 18 - vg.Length(14*(k/4))
		c.StrokeLine2(draw.LineStyle{Color: palette[k%len(palette)], Width: vg.Points(1.8), Dashes: dashes[k%len(dashes)]}, x, y+4, x+26, y+4)
		c.FillText(style, vg.Point{X: x + 32, Y: y}, l.Label)
	}
}
