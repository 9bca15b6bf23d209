package factors

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestKernels compares the assembly with the Go, bit for bit, and that with sums in float64.
func TestKernels(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	random := func(n int) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(rng.NormFloat64())
		}
		return x
	}
	const rows = 9
	for width := lanes; width <= 200; width += lanes {
		x, y := random(width), random(rows*width)
		three := [][]float32{random(width), random(width), random(width)}
		other := [][]float32{slices.Clone(three[0]), slices.Clone(three[1]), slices.Clone(three[2])}
		pair(three[0], three[1], three[2], 0.3, 0.99)
		pairGo(other[0], other[1], other[2], 0.3, 0.99)
		for i := range three {
			if !slices.Equal(three[i], other[i]) {
				t.Fatalf("pair of width %d: vector %d is %v, want %v", width, i, three[i], other[i])
			}
		}
		for n := range 6 {
			ids := make([]uint32, n)
			for i := range ids {
				ids[i] = uint32(rng.IntN(rows))
			}
			got, want := make([]float32, n), make([]float32, n)
			dotsAt(got, x, y, ids)
			dotsAtGo(want, x, y, ids)
			if !slices.Equal(got, want) {
				t.Fatalf("dotsAt of width %d, %d rows: %v, want %v", width, n, got, want)
			}
			for i, id := range ids {
				var sum float64
				for j := range x {
					sum += float64(x[j]) * float64(y[int(id)*width+j])
				}
				if math.Abs(sum-float64(got[i])) > 1e-4 {
					t.Fatalf("dotsAt of width %d: %v, want %v", width, got[i], sum)
				}
			}
			coef := random(n)
			for from := 0; from < width; from += 3 * lanes { // a part of each row
				a := random(width - from)
				b, exact := slices.Clone(a), make([]float64, len(a))
				for j := range a {
					exact[j] = float64(a[j])
					for i, id := range ids {
						exact[j] += float64(coef[i]) * float64(y[int(id)*width+from+j])
					}
				}
				combineAt(a, coef, y[from:], ids, width)
				combineAtGo(b, coef, y[from:], ids, width)
				if !slices.Equal(a, b) {
					t.Fatalf("combineAt of width %d from %d, %d rows: %v, want %v", width, from, n, a, b)
				}
				for j := range a {
					if math.Abs(exact[j]-float64(a[j])) > 1e-4 {
						t.Fatalf("combineAt of width %d from %d: %v, want %v", width, from, a[j], exact[j])
					}
				}
			}
		}
	}
}
