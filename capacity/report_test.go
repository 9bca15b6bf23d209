package capacity

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
)

// TestReport checks that the page has both plots, each well-formed with all its parts, and a row for each cluster, and
// takes nothing from elsewhere.
func TestReport(t *testing.T) {
	m := expected(t, "shop", 20_000, 5_000, 200_000)
	rows := Simulate(m, steady, cluster(1), SimulatedNodes())
	var page bytes.Buffer
	report := &Report{Matrix: "Law of <shop>", Size: m.Size(), Cluster: cluster(1), Cost: steady, Rows: rows}
	if err := WriteReport(&page, report); err != nil {
		t.Fatal(err)
	}
	html := page.String()
	if n := strings.Count(html, "<tr>"); n != len(rows)+1 {
		t.Errorf("%d rows, want a head and %d", n, len(rows))
	}
	if strings.Contains(html, "Law of <shop>") || strings.Count(html, "http") != 2 {
		t.Error("the page has text that was not escaped, or names another page than that of SVG")
	}
	for _, part := range []string{"2/√N of the matrix", "bytes per node", "largest / mean updates", ">1024<", " MB<"} {
		if !strings.Contains(html, part) {
			t.Errorf("the page lacks %q", part)
		}
	}
	for _, c := range report.charts() {
		svg := c.svg()
		if !strings.Contains(html, svg) {
			t.Errorf("%s is not on the page", c.title)
		}
		if strings.Count(svg, "<polyline") != 2 || strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
			t.Errorf("%s: %s", c.title, svg)
		}
		for d := xml.NewDecoder(strings.NewReader(svg)); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", c.title, err)
			}
		}
	}
}

func TestAxes(t *testing.T) {
	for _, c := range []struct {
		got  axis
		want []float64
	}{
		{linearAxis(1, 1.48), []float64{1, 1.1, 1.2, 1.3, 1.4, 1.5}},
		{linearAxis(1, 1), []float64{1, 1.01, 1.02, 1.03, 1.04, 1.05}},
		{logAxis(3e6, 6e7), []float64{5e6, 1e7, 2e7, 5e7}},
		{logAxis(1, 1e6), []float64{1, 10, 100, 1000, 1e4, 1e5, 1e6}},
		{nodeAxis(1, 9), []float64{1, 2, 4, 8}},
	} {
		if !slices.EqualFunc(c.got.ticks, c.want, func(a, b float64) bool { return math.Abs(a-b) < 1e-9*b }) {
			t.Errorf("ticks %v from %v to %v, want %v", c.got.ticks, c.got.lo, c.got.hi, c.want)
		}
	}
	empty := chart{title: "nothing", format: bytesText, logarithmic: true, series: []series{{name: "a", points: [][2]float64{{1, 0}}}}}
	if svg := empty.svg(); strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
		t.Error(svg)
	}
}

func TestTexts(t *testing.T) {
	for got, want := range map[string]string{
		bytesText(0): "0 B", bytesText(999): "999 B", bytesText(1_234): "1.23 kB", bytesText(5e8): "500 MB", bytesText(999.9): "1 kB",
		numberText(1234567): "1,234,567", numberText(12): "12", secondsText(0.0012): "1.2 ms", secondsText(12.34): "12.3 s",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
