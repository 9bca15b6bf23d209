package page

import (
	"html/template"
	"reflect"
	"slices"
	"time"

	"github.com/kith-io/kith/chart"
	"github.com/kith-io/kith/fusion/clean"
	"github.com/kith-io/kith/fusion/pipeline"
	"github.com/kith-io/kith/fusion/record"
)

// cleanedView is what rules did to a source.
type cleanedView struct {
	Source  string
	Private bool
	Report  *clean.Report
	Rules   []ruleView
	Values  []valuesView
	// Same are fields that rules looked at and left as they were.
	Same []string
}

// ruleView is what one rule did.
type ruleView struct {
	clean.RuleReport
	Reasons    []counted
	Statistics statisticsView
}

func cleanedOf(report *pipeline.Report) []cleanedView {
	var out []cleanedView
	for _, s := range report.Sources {
		if s.Clean == nil {
			continue
		}
		v := cleanedView{Source: s.Name, Private: s.Private, Report: s.Clean}
		times := map[string]bool{}
		for _, d := range s.Clean.Distributions {
			times[d.Field] = d.After.Type == record.Time
		}
		for _, r := range s.Clean.Rules {
			v.Rules = append(v.Rules, ruleView{r, ranked(r.Reasons), statisticsOf(r.Statistics, times, s.Private)})
		}
		for i := range s.Clean.Distributions {
			if d := &s.Clean.Distributions[i]; reflect.DeepEqual(d.Before, d.After) {
				v.Same = append(v.Same, d.Field)
			} else {
				v.Values = append(v.Values, valuesOf(d))
			}
		}
		out = append(out, v)
	}
	return out
}

// statisticsView is a table of statistics: a row for each field and group, a column for each name.
type statisticsView struct {
	Names   []string
	Grouped bool
	Rows    []statisticsRow
}

type statisticsRow struct {
	Field, Group string
	Values       []string
}

// statisticsOf lays out statistics, of which those of fields of times are moments. Groups are values of a field, which a private source does not show.
func statisticsOf(list []clean.Statistic, times map[string]bool, private bool) (v statisticsView) {
	for _, s := range list {
		if private && s.Group != "" {
			continue
		}
		if !slices.Contains(v.Names, s.Name) {
			v.Names = append(v.Names, s.Name)
		}
		v.Grouped = v.Grouped || s.Group != ""
		if n := len(v.Rows); n == 0 || v.Rows[n-1].Field != s.Field || v.Rows[n-1].Group != s.Group {
			v.Rows = append(v.Rows, statisticsRow{Field: s.Field, Group: s.Group})
		}
		row := &v.Rows[len(v.Rows)-1]
		for len(row.Values) < slices.Index(v.Names, s.Name) {
			row.Values = append(row.Values, "")
		}
		value := numberText(s.Value)
		if times[s.Field] {
			value = whenText(int64(s.Value))
		}
		row.Values = append(row.Values, value)
	}
	return v
}

// valuesView is the values of a field before and after the rules.
type valuesView struct {
	Field  string
	Charts []template.HTML
	// Alike says that the charts are of the same frequent values in the same order.
	Alike bool
	Note  string
	// Table has a row for each statistic: its name, before, after.
	Table [][3]string
}

// Names and colors of the two sides of the rules.
var (
	sideNames  = [2]string{"before the rules", "after the rules"}
	sideColors = [2]chart.Color{chart.Changed, chart.Good}
)

func valuesOf(d *clean.Distribution) valuesView {
	v := valuesView{Field: d.Field, Table: statisticsTable(&d.Before, &d.After), Alike: alike(d)}
	longest := max(mostFrequent(&d.Before), mostFrequent(&d.After))
	sides := [2]*clean.Values{&d.Before, &d.After}
	var panels []chart.Panel
	for i, s := range sides {
		switch {
		case s.Count == 0:
		case !numeric(s.Type) && longest == 1:
			v.Note = "All values are different."
		case !numeric(s.Type):
			v.Charts = append(v.Charts, topChart(d.Field+", most frequent values "+sideNames[i], s, longest, sideColors[i]))
		case len(d.Edges) < 3: // at least eight of the eleven deciles are one value
			v.Note = "Most values are the same, so there is no histogram."
		case 2*(s.Below+s.Above) > s.Count:
			v.Note = "After the rules the values are on another scale, so there is no histogram on the old one."
		default:
			panels = append(panels, chart.Panel{Name: sideNames[i], Color: sideColors[i], Counts: s.Histogram, Of: s.Count})
		}
	}
	if len(panels) > 0 {
		h := chart.Histograms{Title: d.Field + ": how the values are spread", Unit: d.Field, Edges: d.Edges, Panels: panels}
		h.Times = d.Before.Type == record.Time || d.After.Type == record.Time
		v.Charts = append(v.Charts, h.HTML())
	}
	return v
}

func numeric(t record.Type) bool { return t == record.Number || t == record.Time }

// mostFrequent returns how often the most frequent value is there, 0 for numbers.
func mostFrequent(v *clean.Values) int64 {
	if len(v.Top) == 0 {
		return 0
	}
	return v.Top[0].Count
}

// alike reports whether the most frequent values are the same in the same order on both sides.
func alike(d *clean.Distribution) bool {
	return len(d.Before.Top) > 0 && slices.EqualFunc(d.Before.Top, d.After.Top, func(a, b clean.Frequent) bool { return a.Value == b.Value })
}

// topChart shows the most frequent values on an axis as long as the longest bar of either side.
func topChart(title string, s *clean.Values, longest int64, color chart.Color) template.HTML {
	c := chart.Bars{Title: title, Unit: "rows", End: float64(longest), Parts: []chart.Part{{Color: color}}}
	for _, f := range s.Top {
		note := text(f.Count)
		if f.Error > 0 {
			note = "up to " + note
		}
		c.Rows = append(c.Rows, chart.Bar{Label: valueText(record.OfText(f.Value)), Note: note, Values: []float64{float64(f.Count)}})
	}
	return c.HTML()
}

// statisticsTable compares the statistics of two sides.
func statisticsTable(before, after *clean.Values) [][3]string {
	rows := [][3]string{
		{"values", text(before.Count), text(after.Count)},
		{"rows without a value", text(before.Missing), text(after.Missing)},
	}
	if before.Type != after.Type {
		rows = append(rows, [3]string{"type", before.Type.String(), after.Type.String()})
	}
	for _, row := range []struct {
		name string
		of   func(*clean.Values) float64
	}{
		{"least", func(v *clean.Values) float64 { return v.Min }},
		{"a quarter is up to", func(v *clean.Values) float64 { return v.Quartiles[0] }},
		{"half is up to (median)", func(v *clean.Values) float64 { return v.Quartiles[1] }},
		{"three quarters are up to", func(v *clean.Values) float64 { return v.Quartiles[2] }},
		{"greatest", func(v *clean.Values) float64 { return v.Max }},
		{"mean", func(v *clean.Values) float64 { return v.Mean }},
	} {
		rows = append(rows, [3]string{row.name, sideText(before, row.of(before)), sideText(after, row.of(after))})
	}
	rows = append(rows, [3]string{"standard deviation", spreadText(before), spreadText(after)})
	return slices.DeleteFunc(rows, func(r [3]string) bool { return r[1] == "" && r[2] == "" })
}

// sideText writes a number of a side, "" for texts.
func sideText(v *clean.Values, x float64) string {
	switch {
	case !numeric(v.Type) || v.Count == 0:
		return ""
	case v.Type == record.Time:
		return whenText(int64(x))
	}
	return numberText(x)
}

// spreadText writes a standard deviation, of moments in days.
func spreadText(v *clean.Values) string {
	if v.Type == record.Time && v.Count > 0 {
		return numberText(v.SD/float64((24*time.Hour).Milliseconds())) + " days"
	}
	return sideText(v, v.SD)
}
