package experiment

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// TestMixtureByHand: with a uniform prior of a share, 3 of one kind and 1 of the other have the marginal likelihood B(4, 2)/B(1, 1) = 3!·1!/5! = 1/20, and
// under equal shares 1/16. Three kinds, Dirichlet(1, 1, 1), 2, 1 and 0: 2!·Γ(3)/Γ(6) = 2·2/120 = 1/30 against 1/27.
func TestMixtureByHand(t *testing.T) {
	for _, tt := range []struct {
		counts        []uint64
		shares        []float64
		concentration float64
		want          float64
	}{
		{[]uint64{3, 1}, []float64{50, 50}, 2, 16.0 / 20},
		{[]uint64{0, 0}, []float64{1, 1}, 2, 1},
		{[]uint64{2, 1, 0}, []float64{1, 1, 1}, 3, 27.0 / 30},
	} {
		if got := math.Exp(logMixture(tt.counts, tt.shares, tt.concentration)); math.Abs(got-tt.want) > 1e-9 {
			t.Errorf("%v of shares %v: ratio %v, want %v", tt.counts, tt.shares, got, tt.want)
		}
	}
}

// TestMixtureIsAMartingale: whatever has been counted, the ratio that is expected after the next one, which comes with the expected shares, is that of now.
func TestMixtureIsAMartingale(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.IntRange(2, 4).Draw(t, "places")
		counts, shares, total := make([]uint64, k), make([]float64, k), 0.0
		for i := range k {
			counts[i] = rapid.Uint64Range(0, 2000).Draw(t, "count")
			shares[i] = rapid.Float64Range(0.1, 10).Draw(t, "share")
			total += shares[i]
		}
		now, next := logMixture(counts, shares, concentration), 0.0
		for i := range k {
			counts[i]++
			next += shares[i] / total * math.Exp(logMixture(counts, shares, concentration)-now)
			counts[i]--
		}
		if math.Abs(next-1) > 1e-6 {
			t.Fatalf("counts %v of shares %v: the next ratio is expected to be %v of this one, want 1", counts, shares, next)
		}
	})
}
