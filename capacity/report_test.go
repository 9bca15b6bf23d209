package capacity

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
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
		svg := string(c.SVG())
		if !strings.Contains(html, svg) {
			t.Errorf("%s is not on the page", c.Title)
		}
		if strings.Count(svg, "<polyline") != 2 || strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
			t.Errorf("%s: %s", c.Title, svg)
		}
		for d := xml.NewDecoder(strings.NewReader(svg)); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", c.Title, err)
			}
		}
	}
}

func TestTexts(t *testing.T) {
	for got, want := range map[string]string{
		bytesText(0): "0 B", bytesText(999): "999 B", bytesText(1_234): "1.23 kB", bytesText(5e8): "500 MB", bytesText(999.9): "1 kB",
		secondsText(0.0012): "1.2 ms", secondsText(12.34): "12.3 s",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
