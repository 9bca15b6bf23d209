package chart

import (
	"html/template"
	"math"
	"strings"
)

// Points are series of points in a plane, joined or not, each with its own color and shape, on linear axes with room for all.
type Points struct {
	Title, XLabel, YLabel string
	// Log makes the axis of x logarithmic; all x must be above 0 then.
	Log    bool
	Series []PointSeries
}

// PointSeries is one series. Line joins its points in their order.
type PointSeries struct {
	Name   string
	Color  Color
	Line   bool
	Points []Point
}

// Point is a point with the interval of its y, which is empty where Low and High are Y. Title says what it is.
type Point struct {
	X, Y, Low, High float64
	Title           string
}

// Sizes of the drawing, which is scaled to the width that there is.
const (
	pointsWidth, pointsHeight = 460.0, 300.0
	pointsLeft, pointsRight   = 58.0, 14.0
	pointsTop, pointsBottom   = 10.0, 46.0
)

// markers are the shapes of points by series: those who see no colors tell them apart.
var markers = []string{
	"M-5 0A5 5 0 1 0 5 0A5 5 0 1 0 -5 0Z", // circle
	"M-4.5 -4.5H4.5V4.5H-4.5Z",            // square
	"M0 -6L5.5 4.5H-5.5Z",                 // triangle
	"M0 -6.5L6.5 0L0 6.5L-6.5 0Z",         // rhombus
	"M0 6L5.5 -4.5H-5.5Z",                 // triangle on its point
	"M-2 -6H2V-2H6V2H2V6H-2V2H-6V-2H-2Z",  // cross
	"M-6 -3L-3 -6L6 3L3 6Z",               // bar that falls
	"M6 -3L3 -6L-6 3L-3 6Z",               // bar that rises
	"M-6 0L-3 -5.2H3L6 0L3 5.2H-3Z",       // hexagon
	"M-6 -2H6V2H-6Z",                      // dash
}

// around returns a linear axis with round ticks that holds lo to hi.
func around(lo, hi float64) axis {
	if !(lo <= hi) {
		lo, hi = 0, 1
	}
	if hi-lo < 1e-9*max(1, math.Abs(hi)) {
		pad := max(0.05*math.Abs(hi), 1e-3)
		lo, hi = lo-pad, hi+pad
	}
	by := step(lo, hi, 5)
	a := axis{lo: math.Floor(lo/by+1e-9) * by, hi: math.Ceil(hi/by-1e-9) * by}
	for k := 0.0; a.lo+k*by <= a.hi+by/1e6; k++ {
		a.ticks = append(a.ticks, a.lo+k*by)
	}
	return a
}

type plotTick struct{ At, Text, Label string }

type plotPoint struct {
	X, Y, Low, High, Marker, Title string
	Interval                       bool
}

type plotSeries struct {
	Name, Marker, Path string
	Color              Color
	Points             []plotPoint
}

// HTML draws the chart as a figure.
func (c *Points) HTML() template.HTML {
	loX, hiX, loY, hiY := math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for _, s := range c.Series {
		for _, p := range s.Points {
			loX, hiX = min(loX, p.X), max(hiX, p.X)
			loY, hiY = min(loY, p.Y, p.Low), max(hiY, p.Y, p.High)
		}
	}
	x, y := around(loX, hiX), around(loY, hiY)
	if c.Log && loX > 0 && loX <= hiX {
		x = logAxis(loX, hiX)
	}
	px := func(v float64) string { return coord(pointsLeft + x.at(v)*(pointsWidth-pointsLeft-pointsRight)) }
	py := func(v float64) string { return coord(pointsTop + (1-y.at(v))*(pointsHeight-pointsTop-pointsBottom)) }
	var ticksX, ticksY []plotTick
	for _, v := range x.ticks {
		ticksX = append(ticksX, plotTick{At: px(v), Text: short(round(v))})
	}
	for _, v := range y.ticks {
		at := py(v)
		ticksY = append(ticksY, plotTick{At: at, Text: short(round(v))})
	}
	alt := "Chart: " + c.Title + ", " + c.YLabel + " by " + c.XLabel + "."
	var series []plotSeries
	for i, s := range c.Series {
		p := plotSeries{Name: s.Name, Color: s.Color, Marker: markers[i%len(markers)]}
		var path []string
		var words []string
		for _, q := range s.Points {
			at := plotPoint{X: px(q.X), Y: py(q.Y), Low: py(q.Low), High: py(q.High), Title: q.Title, Interval: q.High > q.Low}
			p.Points = append(p.Points, at)
			path = append(path, at.X+","+at.Y)
			words = append(words, short(q.X)+": "+short(q.Y))
		}
		if s.Line {
			p.Path = strings.Join(path, " ")
		}
		if len(words) > 12 {
			words = append(words[:12], "and more")
		}
		alt += " " + s.Name + " " + strings.Join(words, ", ") + "."
		series = append(series, p)
	}
	return render(pointsTemplate, map[string]any{
		"Chart": c, "Series": series, "X": ticksX, "Y": ticksY, "Alt": alt,
		"Width": pointsWidth, "Height": pointsHeight, "Left": pointsLeft, "Right": pointsWidth - pointsRight, "Bottom": pointsHeight - pointsBottom,
		"Middle": (pointsTop + pointsHeight - pointsBottom) / 2, "Center": (pointsLeft + pointsWidth - pointsRight) / 2,
		"TickY": pointsHeight - pointsBottom + 17, "LabelY": pointsHeight - 8, "TickX": pointsLeft - 7, "End": pointsHeight - pointsBottom + 5,
	})
}

// round takes off what sums of steps leave.
func round(v float64) float64 { return math.Round(v*1e9) / 1e9 }

var pointsTemplate = template.Must(template.New("points").Parse(`<figure class="chart points"><figcaption>{{.Chart.Title}}</figcaption>
{{if gt (len .Series) 1}}<ul class="legend">{{range .Series}}<li><svg width="14" height="14" viewBox="-7 -7 14 14" aria-hidden="true"><path class="{{.Color}}" d="{{.Marker}}"/></svg>{{.Name}}</li>{{end}}</ul>
{{end}}<svg viewBox="0 0 {{.Width}} {{.Height}}" role="img" aria-label="{{.Alt}}">
{{range .Y}}<line class="grid" x1="{{$.Left}}" x2="{{$.Right}}" y1="{{.At}}" y2="{{.At}}"/><text x="{{$.TickX}}" y="{{.At}}" dy="4" text-anchor="end">{{.Text}}</text>{{end}}
{{range .X}}<line x1="{{.At}}" x2="{{.At}}" y1="{{$.Bottom}}" y2="{{$.End}}"/><text x="{{.At}}" y="{{$.TickY}}" text-anchor="middle">{{.Text}}</text>{{end}}
<line x1="{{.Left}}" x2="{{.Right}}" y1="{{.Bottom}}" y2="{{.Bottom}}"/>
<text x="{{.Center}}" y="{{.LabelY}}" text-anchor="middle">{{.Chart.XLabel}}</text><text transform="translate(13 {{.Middle}}) rotate(-90)" text-anchor="middle">{{.Chart.YLabel}}</text>
{{range .Series}}{{$s := .}}{{if .Path}}<polyline class="{{.Color}} path" points="{{.Path}}"/>{{end}}{{range .Points}}{{if .Interval}}<line x1="{{.X}}" x2="{{.X}}" y1="{{.Low}}" y2="{{.High}}"/>{{end}}<path class="{{$s.Color}}" transform="translate({{.X}} {{.Y}})" d="{{$s.Marker}}"><title>{{.Title}}</title></path>{{end}}
{{end}}</svg></figure>
`))
