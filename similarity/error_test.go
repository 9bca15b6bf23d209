package similarity

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestErrorBounds holds the bounds that DESIGN.md derives, with sums in float64 in the place of exact ones.
func TestErrorBounds(t *testing.T) {
	const unit = 1.0 / (1 << 24)
	rng := rand.New(rand.NewPCG(3, 4))
	for _, users := range []int{1, 2, 10, 100, 1000, 20_000} {
		r := &Rows{NumItems: 4, Start: []int64{0}}
		for range users {
			for i := range uint32(4) {
				r.Item = append(r.Item, i)
				r.Weight = append(r.Weight, float32(math.Exp(3*rng.NormFloat64())))
			}
			r.Start = append(r.Start, int64(len(r.Item)))
		}
		for _, m := range []Measure{Cosine, AdjustedCosine} {
			got, err := Build(t.Context(), r, Options{Measure: m, K: 3})
			if err != nil {
				t.Fatal(err)
			}
			scores := bruteScores(r, Options{Measure: m})
			for x := range uint32(4) {
				for _, n := range got.List(x) {
					want := scores[x][n.ID]
					bound := float64(users+1) * unit * want
					if m == AdjustedCosine {
						bound = float64(users+5) * unit // 4 for the rounding of the residuals
					}
					if diff := math.Abs(float64(n.Score) - want); diff > bound {
						t.Errorf("%s of %d users, items %d and %d: got %v, want %v within %.1e", m, users, x, n.ID, n.Score, want, bound)
					}
				}
			}
		}
	}
}
