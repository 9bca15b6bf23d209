package synthetic

import (
	"math"
	"testing"
)

func TestNumericAgainstMath(t *testing.T) {
	if testing.Short() {
		t.Skip("is one goroutine, of which the race detector has nothing to tell")
	}
	r := newRandom(1, 99, 0)
	check := func(what string, x, got, want, bound float64) {
		t.Helper()
		if !(math.Abs(got-want) <= bound) {
			t.Fatalf("%s(%v) = %v; want %v within %v", what, x, got, want, bound)
		}
	}
	for range 100_000 {
		x := (r.float() - 0.5) * 100
		check("exponentialOf", x, exponentialOf(x), math.Exp(x), 1e-15*math.Exp(x))
		y := math.Exp((r.float() - 0.5) * 1000)
		check("logarithm", y, logarithm(y), math.Log(y), 1e-15*max(1, math.Abs(math.Log(y))))
		check("cosTurns", x, cosTurns(x), math.Cos(2*math.Pi*x), 1e-14*max(1, math.Abs(x)))
		z := (r.float() - 0.5) * 16
		check("normalBelow", z, normalBelow(z), math.Erfc(-z/math.Sqrt2)/2, 1e-12)
		p := r.open()
		check("normalBelow(normalQuantile)", p, normalBelow(normalQuantile(p)), p, 1e-12)
	}
}
