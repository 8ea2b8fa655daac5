// Package figures draws numbers as the paper's figures: gonum plots, with a text that holds the numbers and a CSV table.
package figures

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image/color"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

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
	vega          map[string]any
	draw          func(draw.Canvas)
}

// String is the figure's numbers as text.
func (f *Figure) String() string { return f.text }

// CSV is the figure's numbers as a table.
func (f *Figure) CSV() string { return f.csv }

// MIMEBundle is the figure as SVG, PNG, text and CSV, and as a Vega-Lite v5 chart that shows the numbers under the pointer.
func (f *Figure) MIMEBundle() map[string]any {
	svg, png, err := Render(f.Width, f.Height, f.draw)
	if err != nil {
		return map[string]any{"text/plain": err.Error()}
	}
	return map[string]any{"image/svg+xml": svg, "image/png": base64.StdEncoding.EncodeToString(png), "text/plain": f.text, "text/csv": f.csv, "application/vnd.vegalite.v5+json": f.vega}
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
	shapes  = []draw.GlyphDrawer{draw.CircleGlyph{}, draw.CrossGlyph{}, draw.TriangleGlyph{}, draw.SquareGlyph{}, draw.PlusGlyph{}, draw.RingGlyph{}, draw.PyramidGlyph{}}
	dashes  = [][]vg.Length{nil, {6, 2}, {2, 2}, {8, 2, 2, 2}, {4, 4}, {1, 3}, {10, 3}}
)

// BestOfN draws best-of-n curves like the paper's Figure 2: on the left the reward that selects, on the right gold, as gains
// over one answer, over KL in nats. Bands are 95 % bootstrap intervals over prompts.
func BestOfN(lines ...Line) *Figure {
	var text, csv strings.Builder
	csv.WriteString("label,n,kl,proxy,proxy_lo,proxy_hi,gold,gold_lo,gold_hi\n")
	proxy := Panel{Title: "Proxy: the reward that selects", X: "KL from the policy (nats)", Y: "gain over one answer"}
	gold := Panel{Title: "Gold", X: proxy.X, Y: proxy.Y}
	for _, l := range lines {
		c := l.Curve
		fmt.Fprintf(&text, "%-28s gold gain:", l.Label)
		for i, n := range c.N {
			g, p := c.Gold[i], c.Proxy[i]
			fmt.Fprintf(&text, "  n=%d %+.2f [%+.2f, %+.2f]", n, g.Mean, g.Lo, g.Hi)
			fmt.Fprintf(&csv, "%q,%d,%.6g,%.6g,%.6g,%.6g,%.6g,%.6g,%.6g\n", l.Label, n, c.KL[i], p.Mean, p.Lo, p.Hi, g.Mean, g.Lo, g.Hi)
		}
		text.WriteByte('\n')
		proxy.Series = append(proxy.Series, Bands(l.Label, c.KL, c.Proxy))
		gold.Series = append(gold.Series, Bands(l.Label, c.KL, c.Gold))
	}
	f := Panels(proxy, gold)
	f.text, f.csv = text.String(), csv.String()
	return f
}

// Series is a line, or points, of a panel. Lo and Hi, if there are any, bound a band around it.
type Series struct {
	Label        string
	X, Y, Lo, Hi []float64
	Points       bool // draw points instead of a line
}

// Bands is the series of means with their intervals.
func Bands(label string, x []float64, y []metrics.Interval) Series {
	s := Series{Label: label, X: x}
	for _, v := range y {
		s.Y, s.Lo, s.Hi = append(s.Y, v.Mean), append(s.Lo, v.Lo), append(s.Hi, v.Hi)
	}
	return s
}

// Panel is one plot of a figure.
type Panel struct {
	Title, X, Y string // X and Y label the axes
	LogX        bool
	Floor       float64 // the lowest y shown; 0 shows all
	Series      []Series
}

// Panels draws plots side by side. Series of one label look the same in all of them, and stand in the legend once. Values that
// are not finite are left out.
func Panels(panels ...Panel) *Figure {
	f := &Figure{Width: vg.Length(5.5*float64(max(1, len(panels)))) * vg.Inch, Height: 4.4 * vg.Inch}
	var text, csv strings.Builder
	csv.WriteString("panel,label,x,y,lo,hi\n")
	style := map[string]int{}
	var labels []Series // the first of each label
	for _, p := range panels {
		fmt.Fprintf(&text, "%s (%s over %s)\n", p.Title, p.Y, p.X)
		for _, s := range p.Series {
			if _, ok := style[s.Label]; !ok {
				style[s.Label] = len(labels)
				labels = append(labels, s)
			}
			fmt.Fprintf(&text, "  %-26s", s.Label)
			for i, x := range s.X {
				if i < 12 || i == len(s.X)-1 {
					fmt.Fprintf(&text, " %.4g:%.4g", x, s.Y[i])
				} else if i == 12 {
					text.WriteString(" …")
				}
				lo, hi := s.bounds(i)
				fmt.Fprintf(&csv, "%q,%q,%.6g,%.6g,%.6g,%.6g\n", p.Title, s.Label, x, s.Y[i], lo, hi)
			}
			text.WriteByte('\n')
		}
	}
	f.text, f.csv = text.String(), csv.String()
	var names []string
	for _, l := range labels {
		names = append(names, l.Label)
	}
	f.vega = vega(panels, names)
	perRow := 2 * len(panels)
	f.draw = func(c draw.Canvas) {
		legend := vg.Length(24 + 14*((len(labels)+perRow-1)/perRow))
		w := (c.Max.X - c.Min.X) / vg.Length(len(panels))
		for i, p := range panels {
			left, right := w*vg.Length(i), w*vg.Length(len(panels)-1-i)
			if i > 0 {
				left += 8
			}
			p.plot(style).Draw(draw.Crop(c, left, -right-6, legend, -6))
		}
		legends(c, labels, legend, perRow)
	}
	return f
}

// bounds are the ends of the band at point i, NaN where there is none.
func (s Series) bounds(i int) (lo, hi float64) {
	if s.Lo == nil || s.Hi == nil {
		return math.NaN(), math.NaN()
	}
	return s.Lo[i], s.Hi[i]
}

// plot draws a panel; style numbers the labels.
func (p Panel) plot(style map[string]int) *plot.Plot {
	out := plot.New()
	out.Title.Text, out.X.Label.Text, out.Y.Label.Text = p.Title, p.X, p.Y
	if p.LogX {
		out.X.Scale, out.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	}
	out.Add(plotter.NewGrid())
	for _, s := range p.Series {
		k := style[s.Label]
		var pts, lo, hi plotter.XYs
		for i, x := range s.X {
			if math.IsNaN(s.Y[i]) || math.IsInf(s.Y[i], 0) {
				continue
			}
			pts = append(pts, plotter.XY{X: x, Y: s.Y[i]})
			if l, h := s.bounds(i); !math.IsNaN(l) && !math.IsNaN(h) {
				if p.Floor != 0 { // bands are not clipped as lines are
					l, h = max(l, p.Floor), max(h, p.Floor)
				}
				lo, hi = append(lo, plotter.XY{X: x, Y: l}), append(hi, plotter.XY{X: x, Y: h})
			}
		}
		col := palette[k%len(palette)]
		if len(lo) > 1 {
			slices.Reverse(lo)
			if band, err := plotter.NewPolygon(append(hi, lo...)); err == nil {
				band.Color = color.NRGBA{col.R, col.G, col.B, 36}
				band.LineStyle.Width = 0
				out.Add(band)
			}
		}
		if s.Points {
			if marks, err := plotter.NewScatter(pts); err == nil {
				marks.Color, marks.Shape, marks.Radius = col, shapes[k%len(shapes)], vg.Points(2)
				out.Add(marks)
			}
		} else if line, err := plotter.NewLine(pts); err == nil {
			line.Color, line.Width, line.Dashes = col, vg.Points(1.8), dashes[k%len(dashes)]
			out.Add(line)
		}
	}
	if p.Floor != 0 {
		out.Y.Min = max(out.Y.Min, p.Floor)
	}
	return out
}

// legends writes labels below the panels.
func legends(c draw.Canvas, labels []Series, height vg.Length, perRow int) {
	w := (c.Max.X - c.Min.X) / vg.Length(perRow)
	style := plot.New().Legend.TextStyle
	for k, l := range labels {
		x := c.Min.X + w*vg.Length(k%perRow) + 10
		y := c.Min.Y + height - 18 - vg.Length(14*(k/perRow))
		if col := palette[k%len(palette)]; l.Points {
			c.DrawGlyph(draw.GlyphStyle{Color: col, Shape: shapes[k%len(shapes)], Radius: vg.Points(2)}, vg.Point{X: x + 13, Y: y + 4})
		} else {
			c.StrokeLine2(draw.LineStyle{Color: col, Width: vg.Points(1.8), Dashes: dashes[k%len(dashes)]}, x, y+4, x+26, y+4)
		}
		c.FillText(style, vg.Point{X: x + 32, Y: y}, l.Label)
	}
}

// captionSize and captionLine are the height of a caption's letters and lines; captionLetter is about how wide a letter is.
const (
	captionSize   = vg.Length(9)
	captionLine   = vg.Length(12)
	captionLetter = vg.Length(4.6)
)

// Captioned returns the figure with a text above it, which also takes the place of the numbers in String.
func (f *Figure) Captioned(text string) *Figure {
	g := *f
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && captionLetter*vg.Length(utf8.RuneCountInString(line+" "+word)) > f.Width-20 {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimSpace(line + " " + word)
	}
	lines = append(lines, line)
	height := captionLine*vg.Length(len(lines)) + 8
	g.text, g.Height = text, f.Height+height
	g.vega = maps.Clone(f.vega)
	g.vega["title"] = map[string]any{"text": lines, "anchor": "start", "fontWeight": "normal", "fontSize": 11}
	g.draw = func(c draw.Canvas) {
		style := plot.New().Legend.TextStyle
		style.Font.Size = captionSize
		for i, l := range lines {
			c.FillText(style, vg.Point{X: c.Min.X + 10, Y: c.Max.Y - captionLine*vg.Length(i+1)}, l)
		}
		f.draw(draw.Crop(c, 0, 0, 0, -height))
	}
	return &g
}
