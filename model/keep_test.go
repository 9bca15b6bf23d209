package model_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/kith-io/kith/model"
)

// TestKeep: keeping one after the other gives the first of all in order, whatever order they come in.
func TestKeep(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) model.Scored {
			return model.Scored{Item: rapid.Uint32Range(0, 9).Draw(t, "item"), Score: float64(rapid.IntRange(-2, 2).Draw(t, "score"))}
		}), 0, 20).Draw(t, "all")
		n := rapid.IntRange(0, 8).Draw(t, "n")
		var top []model.Scored
		for _, s := range all {
			top = model.Keep(top, n, s)
		}
		slices.SortFunc(all, model.Scored.Compare)
		if want := all[:min(n, len(all))]; !slices.Equal(top, want) {
			t.Fatalf("the best %d are %v, want %v", n, top, want)
		}
	})
}
