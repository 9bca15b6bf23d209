package chart

import (
	"strings"
	"testing"
)

func TestIntervals(t *testing.T) {
	c := Intervals{Title: hostile, Unit: "higher is better", Rows: []Interval{
		{Label: hostile, Value: 0.2, Low: 0.1, High: 0.4, Color: SeriesColor(0)},
		{Label: "no interval", Value: 0.1, Low: 0.1, High: 0.1, Color: SeriesColor(1)},
	}}
	figure := string(c.HTML())
	wellFormed(t, figure)
	if strings.Contains(figure, "<script") {
		t.Error("not escaped")
	}
	if got := attributes(t, figure, "s0", "width"); len(got) != 1 || got[0] != 50 {
		t.Errorf("width %v, want half of the axis, which ends with the interval", got)
	}
	if !strings.Contains(figure, `<line x1="25.00%" x2="100.00%"`) || strings.Count(figure, `class="whisker"`) != 1 {
		t.Errorf("want one whisker from 25%% to the end: %s", figure)
	}
	if !strings.Contains(figure, "no interval: 0.1.") || !strings.Contains(figure, "0.2 ±0.15") {
		t.Error(figure)
	}
	none := Intervals{Title: "Nothing", Rows: []Interval{{Label: "a"}}}
	wellFormed(t, string(none.HTML()))
}

func TestPoints(t *testing.T) {
	c := Points{Title: hostile, XLabel: "N", YLabel: "recall", Log: true, Series: []PointSeries{
		{Name: hostile, Color: SeriesColor(0), Line: true, Points: []Point{{X: 5, Y: 0.1, Low: 0.05, High: 0.2, Title: "five"}, {X: 50, Y: 0.4, Low: 0.4, High: 0.4}}},
		{Name: "b", Color: SeriesColor(1), Points: []Point{{X: 10, Y: 0.3, Low: 0.3, High: 0.3}}},
	}}
	figure := string(c.HTML())
	wellFormed(t, figure)
	if strings.Contains(figure, "<script") {
		t.Error("not escaped")
	}
	if strings.Count(figure, "<polyline") != 1 || strings.Count(figure, "transform=\"translate(") != 4 {
		t.Errorf("want one line, three points and a label of an axis: %s", figure)
	}
	for _, word := range []string{"<title>five</title>", ">10</text>", "b 10: 0.3.", "5: 0.1, 50: 0.4"} {
		if !strings.Contains(figure, word) {
			t.Errorf("no %q in %s", word, figure)
		}
	}
	for _, c := range []Points{
		{Title: "nothing"},
		{Title: "one", Series: []PointSeries{{Points: []Point{{X: 1, Y: 2, Low: 2, High: 2}}}}},
		{Title: "zeros", Series: []PointSeries{{Points: []Point{{}, {}}}}},
		{Title: "one, logarithmic", Log: true, Series: []PointSeries{{Points: []Point{{X: 10, Y: 1, Low: 1, High: 1}}}}},
	} {
		wellFormed(t, string(c.HTML()))
	}
}

func TestAround(t *testing.T) {
	for _, c := range []struct{ lo, hi, from, to float64 }{{0.22, 0.43, 0.2, 0.45}, {0, 1, 0, 1}, {-3, 12, -5, 15}} {
		a := around(c.lo, c.hi)
		if a.lo-c.from > 1e-9 || c.to-a.hi > 1e-9 || a.lo > c.lo || a.hi < c.hi || len(a.ticks) < 3 || len(a.ticks) > 8 {
			t.Errorf("%v to %v: axis %+v", c.lo, c.hi, a)
		}
	}
}
