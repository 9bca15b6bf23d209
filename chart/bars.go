package chart

import (
	"html/template"
	"strings"
)

// Bars are horizontal bars of several parts, with a common axis from 0.
type Bars struct {
	Title string
	// Unit says what the axis counts. With Shares the bars are of equal length, and the axis counts per cent of each.
	Unit   string
	Shares bool
	// End is the end of the axis, if it is more than the longest bar: that of another chart to compare with.
	End float64
	// Parts are what bars are made of, in their order; with one only, there is no legend.
	Parts []Part
	Rows  []Bar
}

// Part is one of the parts of all bars.
type Part struct {
	Name  string
	Color Color
}

// Bar is one bar. Values are in the order of Parts and not negative. Of is the whole with Shares, if it is more than the sum of the values.
type Bar struct {
	Label, Note string
	Values      []float64
	Of          float64
}

func (b *Bar) sum() (sum float64) {
	for _, v := range b.Values {
		sum += v
	}
	return sum
}

// whole returns what the full width of a bar stands for.
func (b *Bar) whole(c *Bars, longest float64) float64 {
	if c.Shares {
		return max(b.Of, b.sum())
	}
	return longest
}

// longest returns the end of the axis, and the ticks from 0 up to it.
func (c *Bars) longest() (end float64, ticks []float64) {
	if c.Shares {
		return 1, []float64{0, 0.25, 0.5, 0.75, 1}
	}
	end = c.End
	for i := range c.Rows {
		end = max(end, c.Rows[i].sum())
	}
	if end == 0 {
		end = 1
	}
	by := max(1, step(0, end, 3)) // numbers at the axis of a phone are as wide as a quarter of it
	for k := 0.0; k*by <= end*(1+1e-9); k++ {
		ticks = append(ticks, k*by)
	}
	return end, ticks
}

type barRect struct {
	X, Width string
	Color    Color
	Title    string
}

type barRow struct {
	Label, Note string
	Rects       []barRect
}

type barTick struct{ X, Anchor, Text string }

// HTML draws the chart as a figure.
func (c *Bars) HTML() template.HTML {
	end, ticks := c.longest()
	var rows []barRow
	for i := range c.Rows {
		b := &c.Rows[i]
		row := barRow{Label: b.Label, Note: b.Note}
		at := 0.0
		for k, v := range b.Values {
			if v <= 0 {
				continue
			}
			share := v / b.whole(c, end)
			row.Rects = append(row.Rects, barRect{coord(100 * at), coord(100 * share), c.Parts[k].Color, c.describe(k, v, share)})
			at += share
		}
		rows = append(rows, row)
	}
	var axis []barTick
	for _, v := range ticks {
		t := barTick{coord(100 * v / end), "middle", Number(v, 0)}
		if c.Shares {
			t.Text = Percent(v)
		}
		switch {
		case v == 0:
			t.Anchor = "start"
		case v > 0.94*end:
			t.Anchor = "end"
		}
		axis = append(axis, t)
	}
	return render(barsTemplate, map[string]any{"Chart": c, "Rows": rows, "Axis": axis, "Alt": c.alternative(rows)})
}

// describe says what a part of a bar is.
func (c *Bars) describe(part int, v, share float64) string {
	text := Number(v, 0)
	if c.Shares {
		text += " (" + Percent(share) + ")"
	}
	if name := c.Parts[part].Name; name != "" {
		text = name + ": " + text
	}
	return text
}

// alternative is the chart in words.
func (c *Bars) alternative(rows []barRow) string {
	var b strings.Builder
	b.WriteString("Bar chart: " + c.Title + ".")
	for _, r := range rows {
		var parts []string
		for _, x := range r.Rects {
			parts = append(parts, x.Title)
		}
		if len(parts) == 0 {
			parts = []string{"nothing"}
		}
		b.WriteString(" " + r.Label + ": " + strings.Join(parts, ", ") + ".")
	}
	return b.String()
}

var barsTemplate = template.Must(template.New("bars").Parse(`<figure class="chart bars"><figcaption>{{.Chart.Title}}</figcaption>
{{if gt (len .Chart.Parts) 1}}<ul class="legend">{{range .Chart.Parts}}<li><svg width="12" height="12" aria-hidden="true"><rect class="{{.Color}}" width="12" height="12"/></svg>{{.Name}}</li>{{end}}</ul>
{{end}}<div role="img" aria-label="{{.Alt}}">
{{range .Rows}}<div class="row"><span class="label">{{.Label}}</span><svg width="100%" height="18"><rect class="back" width="100%" height="18"/>{{range .Rects}}<rect class="{{.Color}}" x="{{.X}}%" width="{{.Width}}%" height="18"><title>{{.Title}}</title></rect>{{end}}</svg><span class="note">{{.Note}}</span></div>
{{end}}<div class="row axis"><span class="label"></span><svg width="100%" height="24"><line x1="0" x2="100%" y1="1" y2="1"/>{{range .Axis}}<line x1="{{.X}}%" x2="{{.X}}%" y1="1" y2="6"/><text x="{{.X}}%" y="19" text-anchor="{{.Anchor}}">{{.Text}}</text>{{end}}</svg><span class="unit">{{.Chart.Unit}}</span></div>
</div></figure>
`))
