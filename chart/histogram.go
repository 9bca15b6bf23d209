package chart

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
	"time"
)

// Histograms are histograms of the same bins side by side, on the same axes. The area of a bar is the share of its values, so that wide bins are no
// higher than what is in them: the height is the share for each unit of the axis, which is so short that no share is more than all.
type Histograms struct {
	Title string
	// Unit says what the values are.
	Unit string
	// Edges are the limits of the bins, ascending, at least two. With Times they are Unix milliseconds.
	Edges []float64
	Times bool
	// Panels are the histograms.
	Panels []Panel
}

// Panel is one histogram.
type Panel struct {
	Name  string
	Color Color
	// Counts of values by bin, and of all values; those that are in no bin are not drawn.
	Counts []int64
	Of     int64
}

// Measures of a histogram in pixels, for a phone's width. The template has them as well.
const (
	histWidth, histHeight = 400.0, 230.0
	histLeft, histRight   = 46.0, 12.0
	histTop, histBottom   = 12.0, 46.0
	histInnerX            = histWidth - histLeft - histRight
	histInnerY            = histHeight - histTop - histBottom
)

// shown returns the range that is drawn. A bin at an end that is wider than twice the bins within is cut: one value far away would
// leave no room for the rest.
func (h *Histograms) shown() (lo, hi float64) {
	n := len(h.Edges) - 1
	lo, hi = h.Edges[0], h.Edges[n]
	if n < 4 {
		return lo, hi
	}
	inner := h.Edges[n-1] - h.Edges[1]
	if hi-h.Edges[n-1] > 2*inner {
		hi = h.Edges[n-1] + inner/4
	}
	if h.Edges[1]-lo > 2*inner {
		lo = h.Edges[1] - inner/4
	}
	return lo, hi
}

// timeSteps are units of an axis of times, the longest last.
var timeSteps = []struct {
	of   time.Duration
	name string
}{
	{time.Millisecond, "millisecond"},
	{time.Second, "second"},
	{time.Minute, "minute"},
	{10 * time.Minute, "10 minutes"},
	{time.Hour, "hour"},
	{6 * time.Hour, "6 hours"},
	{24 * time.Hour, "day"},
	{7 * 24 * time.Hour, "week"},
	{30 * 24 * time.Hour, "30 days"},
	{90 * 24 * time.Hour, "90 days"},
	{365 * 24 * time.Hour, "365 days"},
	{3650 * 24 * time.Hour, "3,650 days"},
}

// unit returns the unit for which heights are shares, and its name: a round number of at most the distance of ticks, at which no height is above 1.
func (h *Histograms) unit(lo, hi float64) (of float64, name string) {
	dense := 0.0 // the greatest share for a unit of 1
	for _, p := range h.Panels {
		for i, n := range p.Counts {
			dense = max(dense, h.height(&p, i, n, 1))
		}
	}
	if !h.Times {
		of = step(lo, hi, 5)
		if of*dense > 1 {
			of = roundDown(1 / dense)
		}
		return of, tickText(of, of)
	}
	of, name = 1, timeSteps[0].name
	for _, s := range timeSteps {
		if ms := float64(s.of.Milliseconds()); ms*dense <= 1 && 2*ms <= hi-lo {
			of, name = ms, s.name
		}
	}
	return of, name
}

// tickText writes a value at an axis whose ticks are a step apart.
func tickText(v, by float64) string {
	if math.Abs(v) >= 1e9 || by < 1e-4 {
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	return Number(v, max(0, int(math.Ceil(-math.Log10(by)-1e-9))))
}

type histBar struct{ X, Y, Width, Height, Title string }

type histTick struct{ At, Text, Anchor string }

type histPanel struct {
	Panel
	Bars []histBar
	X, Y []histTick
	// Unit and Per are the labels of the axes.
	Unit, Per, Alt string
}

// HTML draws the histograms as a figure.
func (h *Histograms) HTML() template.HTML {
	lo, hi := h.shown()
	of, per := h.unit(lo, hi)
	var top float64
	for _, p := range h.Panels {
		for i, n := range p.Counts {
			top = max(top, h.height(&p, i, n, of))
		}
	}
	if top == 0 {
		top = 1
	}
	px := func(v float64) float64 { return histLeft + (min(max(v, lo), hi)-lo)/(hi-lo)*histInnerX }
	var panels []histPanel
	for _, p := range h.Panels {
		out := histPanel{Panel: p, Unit: h.Unit, Per: "% of values per " + per, X: h.xTicks(lo, hi, px), Y: yTicks(top)}
		var parts []string
		for i, n := range p.Counts {
			share := float64(n) / float64(max(p.Of, 1))
			height := h.height(&p, i, n, of) / top * histInnerY
			words := fmt.Sprintf("%s to %s: %s values (%s)", h.value(h.Edges[i]), h.value(h.Edges[i+1]), Number(float64(n), 0), Percent(share))
			parts = append(parts, words)
			out.Bars = append(out.Bars, histBar{
				coord(px(h.Edges[i])), coord(histTop + histInnerY - height), coord(max(1, px(h.Edges[i+1])-px(h.Edges[i]))), coord(height), words,
			})
		}
		out.Alt = "Histogram: " + h.Title + ", " + p.Name + ". " + strings.Join(parts, "; ") + "."
		panels = append(panels, out)
	}
	return render(histTemplate, map[string]any{"Chart": h, "Panels": panels, "Cut": h.cut(lo, hi)})
}

// height returns the share of the values of a bin for each unit of the axis.
func (h *Histograms) height(p *Panel, i int, n int64, unit float64) float64 {
	return float64(n) / float64(max(p.Of, 1)) / (h.Edges[i+1] - h.Edges[i]) * unit
}

// cut says which bars go on beyond the range that is drawn.
func (h *Histograms) cut(lo, hi float64) string {
	var parts []string
	if n := len(h.Edges) - 1; hi < h.Edges[n] {
		parts = append(parts, "the last bar goes on to "+h.value(h.Edges[n]))
	}
	if lo > h.Edges[0] {
		parts = append(parts, "the first bar begins at "+h.value(h.Edges[0]))
	}
	if len(parts) == 0 {
		return ""
	}
	return "Not all is drawn: " + strings.Join(parts, ", ") + "."
}

func (h *Histograms) value(v float64) string {
	if h.Times {
		return time.UnixMilli(int64(v)).UTC().Format("2006-01-02 15:04")
	}
	return strings.TrimSuffix(strings.TrimRight(Number(v, 4), "0"), ".")
}

func (h *Histograms) xTicks(lo, hi float64, px func(float64) float64) (ticks []histTick) {
	add := func(v float64, text string) {
		t := histTick{coord(px(v)), text, "middle"}
		if px(v)+letterWidth/2*float64(len(text)) > histWidth {
			t.Anchor = "end"
		}
		ticks = append(ticks, t)
	}
	if h.Times {
		for _, at := range calendar(time.UnixMilli(int64(math.Ceil(lo))).UTC(), time.UnixMilli(int64(hi)).UTC()) {
			add(float64(at.when.UnixMilli()), at.text)
		}
		return ticks
	}
	by := step(lo, hi, 5)
	for k := math.Ceil(lo/by - 1e-9); k*by <= hi+by*1e-9; k++ {
		add(k*by, tickText(k*by, by))
	}
	return ticks
}

// moment is a tick of an axis of times.
type moment struct {
	when time.Time
	text string
}

// calendar returns at most five moments between two, at the begin of years, months, days, hours or minutes.
func calendar(lo, hi time.Time) (out []moment) {
	const most = 4
	day := 24 * time.Hour
	span := hi.Sub(lo)
	every := func(units float64) int { return max(1, int(math.Ceil(units/most))) }
	var next func(k int) time.Time // the k-th candidate, from at or before lo
	var layout string
	switch {
	case span > 2*365*day:
		by := every(float64(hi.Year() - lo.Year()))
		next, layout = func(k int) time.Time { return time.Date(lo.Year()+k*by, 1, 1, 0, 0, 0, 0, time.UTC) }, "2006"
	case span > 90*day:
		by := every(span.Hours() / 24 / 30)
		next, layout = func(k int) time.Time {
			return time.Date(lo.Year(), lo.Month()+time.Month(k*by), 1, 0, 0, 0, 0, time.UTC)
		}, "Jan 2006"
	case span > 2*day:
		by := every(span.Hours() / 24)
		next, layout = func(k int) time.Time { return lo.Truncate(day).AddDate(0, 0, k*by) }, "2 Jan"
	case span > 2*time.Hour:
		by := every(span.Hours())
		next, layout = func(k int) time.Time { return lo.Truncate(time.Hour).Add(time.Duration(k*by) * time.Hour) }, "2 Jan 15:04"
	default:
		by := every(span.Minutes())
		next, layout = func(k int) time.Time { return lo.Truncate(time.Minute).Add(time.Duration(k*by) * time.Minute) }, "15:04"
	}
	for k := 0; ; k++ {
		t := next(k)
		if t.After(hi) && out == nil { // they are seconds apart
			return []moment{{lo, lo.Format("2 Jan 2006 15:04:05")}}
		}
		if t.After(hi) {
			return out
		}
		if !t.Before(lo) {
			out = append(out, moment{t, t.Format(layout)})
		}
	}
}

func yTicks(top float64) (ticks []histTick) {
	by := step(0, 100*top, 5)
	for k := 0.0; k*by <= 100*top*(1+1e-9); k++ {
		y := histTop + (1-k*by/100/top)*histInnerY
		ticks = append(ticks, histTick{At: coord(y), Text: tickText(k*by, by)})
	}
	return ticks
}

var histTemplate = template.Must(template.New("histograms").Parse(`<figure class="chart"><figcaption>{{.Chart.Title}}</figcaption>
<div class="pair">{{range .Panels}}<div><div>{{.Name}}</div><svg viewBox="0 0 400 230" role="img" aria-label="{{.Alt}}">
{{range .Y}}<line class="grid" x1="46" x2="388" y1="{{.At}}" y2="{{.At}}"/><text x="41" y="{{.At}}" dy="4" text-anchor="end">{{.Text}}</text>
{{end}}{{$c := .Color}}{{range .Bars}}<rect class="{{$c}}" x="{{.X}}" y="{{.Y}}" width="{{.Width}}" height="{{.Height}}" stroke="currentColor" stroke-opacity=".35"><title>{{.Title}}</title></rect>
{{end}}<line x1="46" x2="388" y1="184" y2="184"/>{{range .X}}<line x1="{{.At}}" x2="{{.At}}" y1="184" y2="189"/><text x="{{.At}}" y="203" text-anchor="{{.Anchor}}">{{.Text}}</text>
{{end}}<text x="217" y="223" text-anchor="middle">{{.Unit}}</text><text transform="translate(11 98) rotate(-90)" text-anchor="middle">{{.Per}}</text>
</svg></div>{{end}}</div>{{with .Cut}}<p class="small">{{.}}</p>{{end}}</figure>
`))
