package figures

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"image/png"
	"math"
	"strings"
	"testing"

	"gobayes/bayesrm/bestofn"
	"gobayes/bayesrm/metrics"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

func curve(scale float64) *bestofn.Result {
	r := &bestofn.Result{}
	for n := 1; n <= 64; n *= 2 {
		r.N, r.KL = append(r.N, n), append(r.KL, bestofn.KL(n))
		v := scale * bestofn.KL(n)
		r.Proxy = append(r.Proxy, metrics.Interval{Mean: v, Lo: v - 0.1, Hi: v + 0.1})
		r.Gold = append(r.Gold, metrics.Interval{Mean: -v, Lo: -v - 0.1, Hi: -v + 0.1})
	}
	return r
}

func TestBestOfN(t *testing.T) {
	f := BestOfN(Line{"MAP", curve(1)}, Line{"LA, std", curve(0.5)})
	b := f.MIMEBundle()
	img, err := base64.StdEncoding.DecodeString(b["image/png"].(string))
	if err != nil {
		t.Fatal(err)
	}
	p, err := png.Decode(bytes.NewReader(img))
	if err != nil || p.Bounds().Dx() != 2112 {
		t.Errorf("PNG %v, error %v", p.Bounds(), err)
	}
	if svg := b["image/svg+xml"].(string); !strings.Contains(svg, "Gold") || !strings.Contains(svg, "MAP") {
		t.Error("the SVG lacks a title or a label")
	}
	lines := strings.Split(strings.TrimSpace(f.CSV()), "\n")
	if len(lines) != 15 || lines[14] != `"LA, std",64,3.17451,1.58725,1.48725,1.68725,-1.58725,-1.68725,-1.48725` {
		t.Errorf("%d lines of CSV, the last %s", len(lines), lines[len(lines)-1])
	}
	if !strings.Contains(f.String(), "n=64 -3.17 [-3.27, -3.07]") {
		t.Errorf("text %s", f)
	}
}

func TestRenderRecovers(t *testing.T) {
	if _, _, err := Render(vg.Inch, vg.Inch, func(draw.Canvas) { panic("axis") }); err == nil || !strings.Contains(err.Error(), "axis") {
		t.Errorf("error %v", err)
	}
}

// TestPanels: what is drawn is also text and a table; values that are not finite, and single points, are no error.
func TestPanels(t *testing.T) {
	f := Panels(
		Panel{Title: "a", X: "x", Y: "y", Floor: -1, Series: []Series{{Label: "one", X: []float64{1, 2, 3}, Y: []float64{0, math.NaN(), -9}, Lo: []float64{-5, -6, -7}, Hi: []float64{1, 1, 1}}, {Label: "dot", X: []float64{2}, Y: []float64{3}, Points: true}}},
		Panel{Title: "b", X: "x", Y: "y", LogX: true, Series: []Series{Bands("one", []float64{1, 10}, []metrics.Interval{{Mean: 1, Lo: 0, Hi: 2}, {Mean: 2, Lo: 1, Hi: 3}})}},
	)
	b := f.MIMEBundle()
	if svg := b["image/svg+xml"]; svg == nil || strings.Count(svg.(string), ">one<") != 1 {
		t.Errorf("the legend names a label once; text %v", b["text/plain"])
	}
	if lines := strings.Split(strings.TrimSpace(f.CSV()), "\n"); len(lines) != 7 || lines[3] != `"a","one",3,-9,-7,1` || lines[6] != `"b","one",10,2,1,3` {
		t.Errorf("CSV %s", f.CSV())
	}
	spec, err := json.Marshal(b["application/vnd.vegalite.v5+json"])
	if err != nil {
		t.Fatal(err)
	}
	for part, n := range map[string]int{`"label":"one"`: 4, `"x":3,"y":-9`: 1, `"hi":1,"label":"one","lo":-7`: 1, `"type":"log"`: 3, `"type":"area"`: 2, `"domainMin":-1`: 4, `"range":["#000000","#0072b2"]`: 7, "NaN": 0} {
		if got := strings.Count(string(spec), part); got != n {
			t.Errorf("the chart has %d times %s, want %d\n%s", got, part, n, spec)
		}
	}
	if !strings.Contains(f.String(), "b (y over x)\n  one ") {
		t.Errorf("text %s", f)
	}
	c := f.Captioned(strings.Repeat("many words ", 30)).MIMEBundle()
	if svg := c["image/svg+xml"].(string); strings.Count(svg, "many words") < 30 || strings.Count(svg, ">many words many") < 2 || !strings.Contains(svg, ">one<") {
		t.Errorf("a caption is broken into lines: %d in the drawing", strings.Count(svg, "many words"))
	}
	if strings.Contains(b["image/svg+xml"].(string), "many words") || c["text/plain"] != strings.Repeat("many words ", 30) {
		t.Error("the caption is in the figure without one, or not the text")
	}
	if empty := Panels(Panel{Title: "empty"}).MIMEBundle(); empty["text/plain"] == nil {
		t.Error("a panel without series")
	}
}
