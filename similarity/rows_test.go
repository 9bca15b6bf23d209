package similarity

import (
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
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

// TestTransposeWithThreads compares any number of threads with one, on rows that are not
// spread evenly.
func TestTransposeWithThreads(t *testing.T) {
	r := syntheticRows(3_000, 200, 60, 5, false)
	window := &Rows{NumItems: r.NumItems, Start: r.Start[1000:], Item: r.Item, Weight: r.Weight}
	empty := &Rows{NumItems: 3, Start: make([]int64, 5)}
	for _, r := range []*Rows{r, window, empty, {NumItems: 2, Start: []int64{0}}} {
		want := r.transpose(1)
		for threads := 2; threads <= 5; threads++ {
			if got := r.transpose(threads); !reflect.DeepEqual(want, got) { // cmp takes seconds for rows that are equal
				t.Errorf("%d threads (-1 +%d):\n%s", threads, threads, cmp.Diff(want, got))
			}
		}
	}
	if n := len(r.cutUsers(4)); n != 4 {
		t.Errorf("users are cut in %d parts, want 4", n)
	}
}

// TestWholeSquares: what is not whole or negative makes an item unknown, whatever else it has.
func TestWholeSquares(t *testing.T) {
	r := &Rows{
		NumItems: 6, Start: []int64{0, 4, 9}, Item: []uint32{0, 1, 2, 3, 0, 1, 2, 3, 5},
		Weight: []float32{2, 0.5, 1, -1, 3, 0.5, MaxWeight, 1, 0},
	}
	if got, want := r.WholeSquares(), []float64{13, 0, 1 + MaxWeight*MaxWeight, 0, 0, 0}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	r.Weight = nil
	if got, want := r.WholeSquares(), []float64{2, 2, 2, 2, 0, 1}; !slices.Equal(got, want) {
		t.Errorf("without weights: got %v, want %v", got, want)
	}
}
