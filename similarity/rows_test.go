package similarity

import (
	"slices"
	"testing"
)

func TestByPopularity(t *testing.T) {
	r := &Rows{NumItems: 4, Start: []int64{0, 2, 4, 5}, Item: []uint32{0, 2, 2, 3, 3}, Weight: []float32{1, 2, 3, 4, 5}}
	got := r.ByPopularity()
	// Items 2 and 3 have two users each, 0 has one and 1 none.
	if want := []uint32{0, 2, 0, 1, 1}; !slices.Equal(got.Item, want) || !slices.Equal(got.Start, r.Start) {
		t.Errorf("items %v from %v, want %v from %v", got.Item, got.Start, want, r.Start)
	}
	if want := []float32{2, 1, 3, 4, 5}; !slices.Equal(got.Weight, want) {
		t.Errorf("weights %v, want %v", got.Weight, want)
	}
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
	r.Weight = nil
	if got := r.ByPopularity(); got.Weight != nil || got.Validate() != nil {
		t.Errorf("without weights: %+v", got)
	}
}
