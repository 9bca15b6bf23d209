package chart

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strings"
)

// Lines is a line chart over numbers above 0, whose axis is logarithmic with a tick at each power of two.
type Lines struct {
	Title, XLabel, YLabel string
	// Logarithmic is the scale of the values.
	Logarithmic bool
	// Format writes a value at the axis.
	Format func(float64) string
	Series []Series
}

// Series is a line. Points that are not above 0 are left out of a logarithmic chart.
type Series struct {
	// Name stands in the legend, Color and Dash are those of SVG.
	Name, Color, Dash string
	Points            [][2]float64 // x and value
}

// Measures of a chart in pixels.
const (
	chartWidth, chartHeight              = 760.0, 400.0
	chartLeft, chartRight                = 84.0, 24.0
	chartTop, chartBottom                = 84.0, 56.0
	chartInnerX, chartInnerY             = chartWidth - chartLeft - chartRight, chartHeight - chartTop - chartBottom
	legendTop, legendLine, legendSpacing = 48.0, 26.0, 22.0
	letterWidth                          = 6.6 // of the text of the legend, about
)

// axis maps values to positions from 0 to 1.
type axis struct {
	lo, hi      float64
	logarithmic bool
	ticks       []float64
}

func (a axis) at(v float64) float64 {
	if a.logarithmic {
		return math.Log(v/a.lo) / math.Log(a.hi/a.lo)
	}
	return (v - a.lo) / (a.hi - a.lo)
}

// powerAxis has a tick at each power of two.
func powerAxis(lo, hi float64) axis {
	if !(hi > lo) {
		lo, hi = max(0.5, lo/2), max(1, lo)*2
	}
	a := axis{lo: lo, hi: hi, logarithmic: true}
	for v := 1.0; v <= hi; v *= 2 {
		if v >= lo {
			a.ticks = append(a.ticks, v)
		}
	}
	return a
}

// linearAxis has round ticks around the values.
func linearAxis(lo, hi float64) axis {
	if !(hi-lo > 0.01) { // equal values
		hi = lo + 0.05
	}
	step := math.Pow(10, math.Floor(math.Log10((hi-lo)/4)))
	for _, f := range []float64{2, 5, 10} {
		if (hi-lo)/step <= 6 {
			break
		}
		step = math.Pow(10, math.Floor(math.Log10((hi-lo)/4))) * f
	}
	a := axis{lo: math.Floor(lo/step+1e-9) * step, hi: math.Ceil(hi/step-1e-9) * step}
	for k := 0.0; a.lo+k*step <= a.hi+step/1e6; k++ {
		a.ticks = append(a.ticks, a.lo+k*step)
	}
	return a
}

// logAxis has ticks at 1, 2 and 5 of each power of ten, or at the powers where those are many.
func logAxis(lo, hi float64) axis {
	if !(hi > lo) {
		lo, hi = lo/2, hi*2
	}
	a := axis{lo: lo / 1.2, hi: hi * 1.2, logarithmic: true}
	factors := []float64{1, 2, 5}
	if math.Log10(a.hi/a.lo) > 3 {
		factors = factors[:1]
	}
	for p := math.Pow(10, math.Floor(math.Log10(a.lo))); p <= a.hi; p *= 10 {
		for _, f := range factors {
			if v := p * f; v >= a.lo && v <= a.hi {
				a.ticks = append(a.ticks, v)
			}
		}
	}
	return a
}

// axes returns the axes that have room for all points.
func (c *Lines) axes() (x, y axis) {
	loX, hiX, loY, hiY := math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for _, s := range c.Series {
		for _, p := range s.Points {
			loX, hiX = min(loX, p[0]), max(hiX, p[0])
			if p[1] > 0 || !c.Logarithmic {
				loY, hiY = min(loY, p[1]), max(hiY, p[1])
			}
		}
	}
	if loX > hiX {
		loX, hiX = 1, 2
	}
	if loY > hiY {
		loY, hiY = 1, 2
	}
	if c.Logarithmic {
		return powerAxis(loX, hiX), logAxis(loY, hiY)
	}
	return powerAxis(loX, hiX), linearAxis(loY, hiY)
}

// SVG draws the chart, on white. All texts are escaped.
func (c *Lines) SVG() template.HTML {
	x, y := c.axes()
	px := func(v float64) float64 { return chartLeft + x.at(v)*chartInnerX }
	py := func(v float64) float64 { return chartTop + (1-y.at(v))*chartInnerY }
	var b strings.Builder
	add := func(format string, args ...any) { _, _ = fmt.Fprintf(&b, format+"\n", args...) } // to memory
	add(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f" role="img" font-family="sans-serif">`,
		chartWidth, chartHeight, chartWidth, chartHeight)
	add(`<title>%s</title><rect width="100%%" height="100%%" fill="#fff"/>`, html.EscapeString(c.Title))
	add(`<text x="%.1f" y="26" font-size="16" font-weight="bold" fill="#222">%s</text>`, chartLeft, html.EscapeString(c.Title))
	for _, v := range y.ticks {
		add(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#ddd"/>`, chartLeft, py(v), chartWidth-chartRight, py(v))
		add(`<text x="%.1f" y="%.1f" font-size="12" text-anchor="end" fill="#444">%s</text>`, chartLeft-8, py(v)+4, html.EscapeString(c.Format(v)))
	}
	bottom := chartHeight - chartBottom
	for _, v := range x.ticks {
		add(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#888"/>`, px(v), bottom, px(v), bottom+5)
		add(`<text x="%.1f" y="%.1f" font-size="12" text-anchor="middle" fill="#444">%.0f</text>`, px(v), bottom+19, v)
	}
	add(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#888"/>`, chartLeft, bottom, chartWidth-chartRight, bottom)
	add(`<text x="%.1f" y="%.1f" font-size="13" text-anchor="middle" fill="#222">%s</text>`,
		chartLeft+chartInnerX/2, chartHeight-12, html.EscapeString(c.XLabel))
	add(`<text transform="translate(18 %.1f) rotate(-90)" font-size="13" text-anchor="middle" fill="#222">%s</text>`,
		chartTop+chartInnerY/2, html.EscapeString(c.YLabel))
	at := chartLeft
	for _, s := range c.Series {
		line := fmt.Sprintf(`stroke="%s" stroke-width="2" stroke-dasharray="%s" fill="none"`, s.Color, s.Dash)
		add(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" %s/>`, at, legendTop, at+legendLine, legendTop, line)
		add(`<text x="%.1f" y="%.1f" font-size="12" fill="#222">%s</text>`, at+legendLine+6, legendTop+4, html.EscapeString(s.Name))
		at += legendLine + 6 + letterWidth*float64(len([]rune(s.Name))) + legendSpacing
		var points []string
		for _, p := range s.Points {
			if p[1] > 0 || !c.Logarithmic {
				points = append(points, fmt.Sprintf("%.1f,%.1f", px(p[0]), py(p[1])))
			}
		}
		add(`<polyline points="%s" %s/>`, strings.Join(points, " "), line)
		if s.Dash == "" {
			for _, p := range points {
				px, py, _ := strings.Cut(p, ",")
				add(`<circle cx="%s" cy="%s" r="3" fill="%s"/>`, px, py, s.Color)
			}
		}
	}
	add("</svg>")
	return template.HTML(b.String())
}
