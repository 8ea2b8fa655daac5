package figures

import (
	"fmt"
	"math"
	"strconv"
)

// maxRows is how many points a live chart holds; of more, each series keeps every k-th.
const maxRows = 5000

// vega is the panels as a Vega-Lite v5 chart: the same curves, bands and colours, with the numbers under the pointer.
func vega(panels []Panel, labels []string) map[string]any {
	rows := 0
	for _, p := range panels {
		for _, s := range p.Series {
			rows += len(s.X)
		}
	}
	step := (rows + maxRows - 1) / maxRows
	values := []map[string]any{}
	var charts []any
	for i, p := range panels {
		lines, points := false, false
		for _, s := range p.Series {
			lines, points = lines || !s.Points, points || s.Points
			for k := 0; k < len(s.X); k += step {
				if math.IsNaN(s.Y[k]) || math.IsInf(s.Y[k], 0) {
					continue
				}
				row := map[string]any{"panel": i, "label": s.Label, "x": short(s.X[k]), "y": short(s.Y[k]), "points": s.Points}
				if lo, hi := s.bounds(k); !math.IsNaN(lo) && !math.IsNaN(hi) {
					row["lo"], row["hi"] = short(lo), short(hi)
				}
				values = append(values, row)
			}
		}
		charts = append(charts, p.vega(i, labels, lines, points))
	}
	return map[string]any{"$schema": "https://vega.github.io/schema/vega-lite/v5.json", "data": map[string]any{"values": values}, "hconcat": charts}
}

// short keeps six digits.
func short(x float64) float64 {
	v, err := strconv.ParseFloat(strconv.FormatFloat(x, 'g', 6, 64), 64)
	if err != nil {
		return x
	}
	return v
}

func (p Panel) vega(i int, labels []string, lines, points bool) map[string]any {
	type object = map[string]any
	xScale, yScale := object{"zero": false}, object{"zero": false}
	if p.LogX {
		xScale = object{"type": "log"}
	}
	if p.Floor != 0 {
		yScale["domainMin"] = p.Floor
	}
	var colours []string
	var strokes [][]float64
	for k := range labels {
		c := palette[k%len(palette)]
		colours = append(colours, fmt.Sprintf("#%02x%02x%02x", c.R, c.G, c.B))
		dash := []float64{1, 0}
		if d := dashes[k%len(dashes)]; d != nil {
			dash = nil
			for _, l := range d {
				dash = append(dash, float64(l))
			}
		}
		strokes = append(strokes, dash)
	}
	x := object{"field": "x", "type": "quantitative", "title": p.X, "scale": xScale}
	y := object{"field": "y", "type": "quantitative", "title": p.Y, "scale": yScale}
	colour := object{"field": "label", "type": "nominal", "title": nil, "scale": object{"domain": labels, "range": colours}, "legend": object{"orient": "bottom", "columns": 3, "symbolType": "stroke", "symbolOpacity": 1, "symbolStrokeWidth": 2}}
	tooltip := []object{{"field": "label"}}
	for _, f := range [][2]string{{"x", p.X}, {"y", p.Y}, {"lo", "from"}, {"hi", "to"}} {
		tooltip = append(tooltip, object{"field": f[0], "title": f[1], "type": "quantitative", "format": ".4~g"})
	}
	only := func(points bool) []object { return []object{{"filter": fmt.Sprintf("datum.points === %v", points)}} }
	low, high := object{"field": "lo", "type": "quantitative", "title": p.Y, "scale": yScale}, object{"field": "hi"}
	layers := []object{{"transform": []object{{"filter": "isValid(datum.lo)"}}, "mark": object{"type": "area", "opacity": 0.14, "clip": true}, "encoding": object{"x": x, "y": low, "y2": high, "color": colour}}}
	if lines {
		dash := object{"field": "label", "type": "nominal", "title": nil, "scale": object{"domain": labels, "range": strokes}}
		layers = append(layers, object{"transform": only(false), "mark": object{"type": "line", "clip": true}, "encoding": object{"x": x, "y": y, "color": colour, "strokeDash": dash}})
		// points that show their numbers are easier to hit than a line
		layers = append(layers, object{"transform": only(false), "mark": object{"type": "point", "filled": true, "size": 60, "opacity": 0.001, "clip": true}, "encoding": object{"x": x, "y": y, "color": colour, "tooltip": tooltip}})
	}
	if points {
		layers = append(layers, object{"transform": only(true), "mark": object{"type": "point", "size": 20, "clip": true}, "encoding": object{"x": x, "y": y, "color": colour, "tooltip": tooltip}})
	}
	return object{"title": p.Title, "width": 290, "height": 240, "transform": []object{{"filter": fmt.Sprintf("datum.panel === %d", i)}}, "layer": layers}
}
