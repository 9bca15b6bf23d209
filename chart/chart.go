// Package chart draws the plots of reports: pages of HTML that need nothing beside them, are read on a desk, on a phone and on paper, and by people who
// see no colors or no pictures. All texts are escaped.
package chart

import (
	"bytes"
	"html/template"
	"math"
	"strconv"
	"strings"
)

// Colors that people with color blindness tell apart too (Okabe and Ito), for Lines.
const (
	Blue   = "#0072b2"
	Orange = "#d55e00"
	Gray   = "#666"
)

// Color is one of the colors of Style, which are others in the dark.
type Color string

// Colors for what has a meaning. Those for series without one are told apart by their order; see SeriesColor.
const (
	Good    Color = "good"
	Changed Color = "changed"
	Left    Color = "left" // out, or over: what is neither good nor bad
	Bad     Color = "bad"
)

// Colors of series, in the order in which they should be used.
var seriesColors = []Color{"s0", "s1", "s2", "s3", "s4", "s5"}

// SeriesColor returns the color of the i-th series, from 0; those beyond the sixth are all Left.
func SeriesColor(i int) Color {
	if i >= len(seriesColors) {
		return Left
	}
	return seriesColors[i]
}

// Style is what a page needs in its style sheet once, for all charts but Lines.
const Style template.CSS = `
:root { --good: #0072b2; --changed: #e69f00; --left: #999; --bad: #d55e00; --s0: #0072b2; --s1: #e69f00; --s2: #009e73; --s3: #cc79a7; --s4: #56b4e9; --s5: #d55e00;
  --grid: #ddd; --faint: #f1f1f1 }
@media screen and (prefers-color-scheme: dark) { :root { --good: #56b4e9; --left: #8a8a8a; --s0: #56b4e9; --s4: #2a7fb8; --bad: #e8703a; --s5: #e8703a; --grid: #444; --faint: #2a2a2a } }
.chart { margin: 1em 0 1.5em; break-inside: avoid }
.chart figcaption { font-weight: 600; margin-bottom: .3em }
.chart svg { display: block; overflow: visible; print-color-adjust: exact; -webkit-print-color-adjust: exact }
.chart .legend { display: flex; flex-wrap: wrap; gap: .1em 1.2em; margin: 0 0 .5em; padding: 0; list-style: none; font-size: .85em }
.chart .legend svg { display: inline-block; margin-right: .4em; vertical-align: -.1em }
.bars .row { display: grid; grid-template-columns: minmax(6em, 15em) 1fr 7.5em; gap: 0 .8em; align-items: center; margin: .25em 0; font-size: .9em }
.bars .row > * { min-width: 0 }
.bars .label { overflow-wrap: anywhere }
.bars .note { text-align: right; font-variant-numeric: tabular-nums }
.bars .unit { text-align: center; font-size: .85em; grid-column: 2 }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 17em), 1fr)); gap: .5em 2em; max-width: 64em }
.pair svg { width: 100%; max-width: 32em; height: auto }
.chart text { fill: currentColor; font-family: inherit; font-size: 12px }
.chart line { stroke: currentColor; stroke-opacity: .6 } .chart line.grid { stroke: var(--grid); stroke-opacity: 1 }
.points svg[role] { width: 100%; max-width: 36em; height: auto } .points .path { fill: none; stroke-width: 1.5 } .whisker line { stroke-opacity: 1; stroke-width: 1.5 }
polyline.s0 { stroke: var(--s0) } polyline.s1 { stroke: var(--s1) } polyline.s2 { stroke: var(--s2) } polyline.s3 { stroke: var(--s3) } polyline.s4 { stroke: var(--s4) } polyline.s5 { stroke: var(--s5) } polyline.left { stroke: var(--left) }
.chart .back { fill: var(--faint) }
.good { fill: var(--good) } .changed { fill: var(--changed) } .left { fill: var(--left) } .bad { fill: var(--bad) }
.s0 { fill: var(--s0) } .s1 { fill: var(--s1) } .s2 { fill: var(--s2) } .s3 { fill: var(--s3) } .s4 { fill: var(--s4) } .s5 { fill: var(--s5) }
@media (max-width: 40em) { figure.chart.bars .row { grid-template-columns: 1fr auto } .bars .row > svg { grid-column: 1 / 3; grid-row: 2 } .bars .row.axis > svg, .bars .unit { grid-column: 1 / 3; grid-row: auto } }
`

// Number writes a number with so many decimals and its thousands apart.
func Number(x float64, decimals int) string {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return strconv.FormatFloat(x, 'g', -1, 64)
	}
	s := strconv.FormatFloat(x, 'f', decimals, 64)
	digits, rest := s, ""
	if i := strings.IndexByte(s, '.'); i >= 0 {
		digits, rest = s[:i], s[i:]
	}
	sign := ""
	if digits[0] == '-' {
		sign, digits = "-", digits[1:]
		if strings.Trim(digits+rest, "0.") == "" { // rounded to 0
			sign = ""
		}
	}
	var b strings.Builder
	for i, c := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return sign + b.String() + rest
}

// Percent writes a share of 1: with a decimal where that is worth something, and never as nothing or all what is not.
func Percent(share float64) string {
	switch p := 100 * share; {
	case p == math.Trunc(p) || p >= 10 && p < 99:
		return Number(p, 0) + "%"
	case p > 0 && p < 0.1:
		return "<0.1%"
	case p > 99.9 && p < 100:
		return ">99.9%"
	default:
		return Number(p, 1) + "%"
	}
}

// render executes a template of this package to memory, which cannot fail but by a mistake here.
func render(t *template.Template, data any) template.HTML {
	var b bytes.Buffer
	if err := t.Execute(&b, data); err != nil {
		panic("chart: " + err.Error())
	}
	return template.HTML(b.String())
}

// coord writes a position or length within a drawing.
func coord(x float64) string { return strconv.FormatFloat(x, 'f', 2, 64) }

// step returns a round distance of ticks, so that at most so many fit between lo and hi.
func step(lo, hi float64, most int) float64 {
	raw := (hi - lo) / float64(most)
	p := math.Pow(10, math.Floor(math.Log10(raw)))
	for _, f := range []float64{1, 2, 5} {
		if f*p >= raw*(1-1e-9) {
			return f * p
		}
	}
	return 10 * p
}

// roundDown returns the greatest of 1, 2 and 5 times a power of ten that is at most x, which is above 0.
func roundDown(x float64) float64 {
	p := math.Pow(10, math.Floor(math.Log10(x)))
	for _, f := range []float64{5, 2} {
		if f*p <= x {
			return f * p
		}
	}
	return p
}
