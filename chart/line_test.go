package chart

import (
	"math"
	"slices"
	"strings"
	"testing"
)

// plain writes numbers for tests.
func plain(v float64) string { return Number(v, 2) }

func TestAxes(t *testing.T) {
	for _, c := range []struct {
		got  axis
		want []float64
	}{
		{linearAxis(1, 1.48), []float64{1, 1.1, 1.2, 1.3, 1.4, 1.5}},
		{linearAxis(1, 1), []float64{1, 1.01, 1.02, 1.03, 1.04, 1.05}},
		{logAxis(3e6, 6e7), []float64{5e6, 1e7, 2e7, 5e7}},
		{logAxis(1, 1e6), []float64{1, 10, 100, 1000, 1e4, 1e5, 1e6}},
		{powerAxis(1, 9), []float64{1, 2, 4, 8}},
	} {
		if !slices.EqualFunc(c.got.ticks, c.want, func(a, b float64) bool { return math.Abs(a-b) < 1e-9*b }) {
			t.Errorf("ticks %v from %v to %v, want %v", c.got.ticks, c.got.lo, c.got.hi, c.want)
		}
	}
	empty := Lines{Title: "nothing", Format: plain, Logarithmic: true, Series: []Series{{Name: "a", Points: [][2]float64{{1, 0}}}}}
	if svg := string(empty.SVG()); strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
		t.Error(svg)
	}
}
