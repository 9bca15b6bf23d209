package chart

import (
	"html/template"
	"math"
	"strconv"
)

// Intervals are horizontal bars from 0 with the intervals of their values.
type Intervals struct {
	Title, Unit string
	Rows        []Interval
}

// Interval is a bar. Low and High are at most and at least Value, which is not negative.
type Interval struct {
	Label            string
	Value, Low, High float64
	Color            Color
}

// intervalRow is what the template draws, in per cent of the width.
type intervalRow struct {
	Interval
	Width, X1, X2, Note string
	Wide                bool
}

// HTML draws the chart as a figure.
func (c *Intervals) HTML() template.HTML {
	end := 0.0
	for _, r := range c.Rows {
		end = max(end, r.High, r.Value)
	}
	if end == 0 {
		end = 1
	}
	by := step(0, end, 4)
	var ticks []barTick
	for k := 0.0; k*by <= end*(1+1e-9); k++ {
		t := barTick{coord(100 * k * by / end), "middle", short(k * by)}
		switch {
		case k == 0:
			t.Anchor = "start"
		case k*by > 0.94*end:
			t.Anchor = "end"
		}
		ticks = append(ticks, t)
	}
	var rows []intervalRow
	alt := "Bar chart with intervals: " + c.Title + "."
	for _, r := range c.Rows {
		row := intervalRow{
			Interval: r, Width: coord(100 * r.Value / end), X1: coord(100 * max(0, r.Low) / end), X2: coord(100 * r.High / end), Wide: r.High > r.Low, Note: short(r.Value),
		}
		if row.Wide {
			row.Note += " ±" + short((r.High-r.Low)/2)
		}
		alt += " " + r.Label + ": " + row.Note + "."
		rows = append(rows, row)
	}
	return render(intervalsTemplate, map[string]any{"Chart": c, "Rows": rows, "Axis": ticks, "Alt": alt})
}

// short writes a number with about three digits.
func short(x float64) string {
	switch a := math.Abs(x); {
	case a == 0:
		return "0"
	case a < 1e-3 || a >= 1e6:
		return strconv.FormatFloat(x, 'g', 2, 64)
	case a < 1:
		return strconv.FormatFloat(math.Round(x*1e4)/1e4, 'f', -1, 64)
	case a < 100:
		return strconv.FormatFloat(math.Round(x*100)/100, 'f', -1, 64)
	}
	return Number(x, 0)
}

var intervalsTemplate = template.Must(template.New("intervals").Parse(`<figure class="chart bars"><figcaption>{{.Chart.Title}}</figcaption>
<div role="img" aria-label="{{.Alt}}">
{{range .Rows}}<div class="row"><span class="label">{{.Label}}</span><svg width="100%" height="18"><rect class="back" width="100%" height="18"/><rect class="{{.Color}}" width="{{.Width}}%" height="18"><title>{{.Label}}: {{.Note}}</title></rect>{{if .Wide}}<g class="whisker"><line x1="{{.X1}}%" x2="{{.X2}}%" y1="9" y2="9"/><line x1="{{.X1}}%" x2="{{.X1}}%" y1="4" y2="14"/><line x1="{{.X2}}%" x2="{{.X2}}%" y1="4" y2="14"/></g>{{end}}</svg><span class="note">{{.Note}}</span></div>
{{end}}<div class="row axis"><span class="label"></span><svg width="100%" height="24"><line x1="0" x2="100%" y1="1" y2="1"/>{{range .Axis}}<line x1="{{.X}}%" x2="{{.X}}%" y1="1" y2="6"/><text x="{{.X}}%" y="19" text-anchor="{{.Anchor}}">{{.Text}}</text>{{end}}</svg><span class="unit">{{.Chart.Unit}}</span></div>
</div></figure>
`))
