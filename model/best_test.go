package model_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/kith-io/kith/model"
)

// TestBest compares with a sort of everything.
func TestBest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var best model.Best[int64]
		for range rapid.IntRange(1, 3).Draw(t, "rankings") {
			n := rapid.IntRange(0, 12).Draw(t, "n")
			var all []model.Ranked[int64]
			best.Reset(n, rapid.IntRange(0, 40).Draw(t, "room"))
			for i, score := range rapid.SliceOfN(rapid.Int64Range(-3, 3), 0, 40).Draw(t, "scores") {
				all = append(all, model.Ranked[int64]{Score: score, Item: uint32(i * 7 % 41)})
				last := all[len(all)-1]
				slices.SortFunc(all, model.Ranked[int64].Compare)
				all = all[:min(n, len(all))]
				if takes := best.Takes(last); takes != slices.Contains(all, last) {
					t.Fatalf("takes %v: %v, the best are %v", last, takes, all)
				} else if takes && best.Add(last) != (len(all) == n) {
					t.Fatalf("of %v there are enough of %d, or not", all, n)
				}
				if len(all) == n && n > 0 && best.Last() != all[n-1] {
					t.Fatalf("last is %v of %v", best.Last(), all)
				}
			}
			if got := best.Ranking(); !slices.Equal(got, all) {
				t.Fatalf("best are %v, want %v", got, all)
			}
		}
	})
}
