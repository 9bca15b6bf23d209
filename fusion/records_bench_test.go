package fusion

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkWays compares the ways of a log: by columns alone, by columns and a condition, and by fields.
func BenchmarkWays(b *testing.B) {
	const rows = 200_000
	var text strings.Builder
	text.WriteString("user,item,rating,timestamp\n")
	for i := range rows {
		fmt.Fprintf(&text, "%d,%d,%d,%d\n", i%5000, i%777, i%5+1, 1430623510+i)
	}
	path := writeFile(b, "log.csv", text.String())
	fields := []Field{{Name: "user", Column: "user"}, {Name: "item", Column: "item"}, {Name: "value", Column: "rating"}, {Name: "time", Column: "timestamp"}}
	for _, way := range []struct {
		name string
		m    Mapping
	}{{"columns", Mapping{Path: path}}, {"where", Mapping{Path: path, Where: "value > 0"}}, {"fields", Mapping{Path: path, Fields: fields}}} {
		b.Run("way="+way.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				report, err := Events(b.Context(), way.m, nil, 0, func([]Event) error { return nil })
				if err != nil || report.Kept != rows {
					b.Fatal(report, err)
				}
			}
			b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
