package chart

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// wellFormed fails unless a figure is well-formed, and has no numbers that are none.
func wellFormed(t *testing.T, figure string) {
	t.Helper()
	if strings.Contains(figure, "NaN") || strings.Contains(figure, "Inf") || strings.Contains(figure, "ZgotmplZ") {
		t.Error(figure)
	}
	for d := xml.NewDecoder(strings.NewReader(figure)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("%v in %s", err, figure)
		}
	}
}

// attributes returns the numbers of an attribute of all parts of a drawing with a class.
func attributes(t *testing.T, figure, class, name string) (out []float64) {
	t.Helper()
	for _, rect := range regexp.MustCompile(`<rect class="`+class+`"[^>]*>`).FindAllString(figure, -1) {
		m := regexp.MustCompile(` ` + name + `="([-0-9.]+)%?"`).FindStringSubmatch(rect)
		if m == nil {
			continue
		}
		x, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, x)
	}
	return out
}

const hostile = `<script>alert("1")</script>`

func TestBars(t *testing.T) {
	c := Bars{
		Title: "Rows " + hostile, Unit: "per cent", Shares: true, Parts: []Part{{"kept", Good}, {hostile, Bad}},
		Rows: []Bar{{Label: hostile, Note: "4", Values: []float64{3, 1}}, {Label: "half", Values: []float64{1, 0}, Of: 2}, {Label: "none", Values: []float64{0, 0}}},
	}
	figure := string(c.HTML())
	wellFormed(t, figure)
	if strings.Contains(figure, "<script") {
		t.Error("not escaped")
	}
	if got := attributes(t, figure[strings.Index(figure, "<div"):], "good", "width"); len(got) != 2 || got[0] != 75 || got[1] != 50 {
		t.Errorf("widths %v, want 75 and 50", got)
	}
	if got := attributes(t, figure[strings.Index(figure, "<div"):], "bad", "x"); len(got) != 1 || got[0] != 75 {
		t.Errorf("the second part is at %v, want 75", got)
	}
	c = Bars{Title: "Counts", Unit: "events", Parts: []Part{{"", Good}}, Rows: []Bar{{Label: "a", Values: []float64{1000}}, {Label: "b", Values: []float64{250}}}}
	figure = string(c.HTML())
	wellFormed(t, figure)
	if got := attributes(t, figure, "good", "width"); len(got) != 2 || got[0] != 100 || got[1] != 25 {
		t.Errorf("widths %v, want 100 and 25", got)
	}
	if strings.Contains(figure, "legend") || !strings.Contains(figure, ">1,000</text>") || !strings.Contains(figure, `aria-label="Bar chart: Counts. a: 1,000. b: 250."`) {
		t.Error(figure)
	}
	none := Bars{Title: "Nothing", Parts: []Part{{"", Good}}}
	wellFormed(t, string(none.HTML()))
}

// TestHistogramAreas checks that areas of bars are shares, with bins of unequal widths.
func TestHistogramAreas(t *testing.T) {
	h := Histograms{
		Title: hostile, Unit: "price", Edges: []float64{0, 10, 20, 60},
		Panels: []Panel{{Name: "before", Color: Good, Counts: []int64{25, 25, 50}, Of: 100}, {Name: "after", Color: Bad, Counts: []int64{20, 20, 40}, Of: 160}},
	}
	figure := string(h.HTML())
	wellFormed(t, figure)
	if strings.Contains(figure, "<script") {
		t.Error("not escaped")
	}
	var unit float64
	for _, c := range []struct {
		class  string
		shares []float64
	}{{"good", []float64{0.25, 0.25, 0.5}}, {"bad", []float64{0.125, 0.125, 0.25}}} {
		width, height := attributes(t, figure, c.class, "width"), attributes(t, figure, c.class, "height")
		for i, share := range c.shares {
			area := width[i] * height[i] / share
			if unit == 0 {
				unit = area
			}
			if math.Abs(area-unit) > 0.01*unit {
				t.Errorf("%s: area %d of a share is %.1f, of the first %.1f", c.class, i, area, unit)
			}
		}
	}
	if !strings.Contains(figure, "% of values per 20<") || !strings.Contains(figure, "20 to 60: 50 values (50%)") {
		t.Error(figure)
	}
}

func TestHistogramRanges(t *testing.T) {
	counts := []int64{1, 1, 1, 1}
	for _, c := range []struct {
		edges []float64
		times bool
		want  string
	}{
		{[]float64{1, 2, 3, 4, 5000}, false, "the last bar goes on to 5,000"},
		{[]float64{-9000, 2, 3, 4, 5}, false, "the first bar begins at -9,000"},
		{[]float64{1e-6, 2e-6, 3e-6, 4e-6, 5e-6}, false, "% of values per 1e-06"},
		{[]float64{1e12, 2e12, 3e12, 4e12, 5e12}, false, "% of values per 1e&#43;12"},
		{[]float64{1.5e12, 1.502e12, 1.504e12, 1.506e12, 1.508e12}, true, "% of values per 30 days"},
		{[]float64{1.5e12, 1.5e12 + 1e3, 1.5e12 + 2e3, 1.5e12 + 3e3, 1.5e12 + 4e3}, true, "% of values per second"},
		{[]float64{0, 0.01, 1, 2, 3}, false, "% of values per 0.02<"},
		{[]float64{0, 1e13, 2e13, 3e13, 4e13}, true, "per 3,650 days"},
	} {
		h := Histograms{Title: "t", Unit: "u", Edges: c.edges, Times: c.times, Panels: []Panel{{Name: "before", Color: Good, Counts: counts, Of: 4}}}
		figure := string(h.HTML())
		wellFormed(t, figure)
		if !strings.Contains(figure, c.want) {
			t.Errorf("%v: no %q in %s", c.edges, c.want, figure)
		}
		if n := strings.Count(figure, "<text"); n < 6 || n > 20 {
			t.Errorf("%v: %d texts", c.edges, n)
		}
		for _, m := range regexp.MustCompile(`text-anchor="end">([0-9.]+)<`).FindAllStringSubmatch(figure, -1) {
			if y, err := strconv.ParseFloat(m[1], 64); err != nil || y > 100 && !c.times {
				t.Errorf("%v: a share of %s%%, %v", c.edges, m[1], err)
			}
		}
	}
}

func TestCalendar(t *testing.T) {
	from := time.Date(2023, 11, 17, 8, 30, 10, 0, time.UTC)
	for _, c := range []struct {
		span time.Duration
		want string
	}{
		{20 * 365 * 24 * time.Hour, "2028, 2033, 2038, 2043"},
		{3 * 365 * 24 * time.Hour, "2024, 2025, 2026"},
		{200 * 24 * time.Hour, "Jan 2024, Mar 2024, May 2024"},
		{10 * 24 * time.Hour, "20 Nov, 23 Nov, 26 Nov"},
		{8 * time.Hour, "17 Nov 10:00, 17 Nov 12:00, 17 Nov 14:00, 17 Nov 16:00"},
		{4 * time.Minute, "08:31, 08:32, 08:33, 08:34"},
		{time.Second, "17 Nov 2023 08:30:10"},
	} {
		var got []string
		for _, m := range calendar(from, from.Add(c.span)) {
			got = append(got, m.text)
		}
		if s := strings.Join(got, ", "); s != c.want {
			t.Errorf("%v: %q, want %q", c.span, s, c.want)
		}
	}
}

func TestNumber(t *testing.T) {
	for _, c := range []struct {
		x        float64
		decimals int
		want     string
	}{
		{0, 0, "0"}, {12, 0, "12"}, {1234567, 0, "1,234,567"}, {-1234.5, 1, "-1,234.5"}, {-123, 0, "-123"}, {-0.001, 1, "0.0"}, {999.96, 1, "1,000.0"}, {math.Inf(1), 0, "+Inf"},
	} {
		if got := Number(c.x, c.decimals); got != c.want {
			t.Errorf("%v with %d decimals: %q, want %q", c.x, c.decimals, got, c.want)
		}
	}
	for x, want := range map[float64]string{0: "0%", 1: "100%", 0.5: "50%", 0.0123: "1.2%", 0.0001: "<0.1%", 0.123: "12%", 0.9999: ">99.9%", 0.995: "99.5%", 1.25: "125%"} {
		if got := Percent(x); got != want {
			t.Errorf("%v: %q, want %q", x, got, want)
		}
	}
}
