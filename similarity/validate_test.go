package similarity

import (
	"errors"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Rows are valid if each entry is, whatever the quick looks at rows and at weights say.
func TestValidate(t *testing.T) {
	good := []float32{1, -1, 2.5, MinWeight, -MinWeight, MaxWeight, -MaxWeight}
	odd := append([]float32{
		0, float32(math.Copysign(0, -1)), math.Nextafter32(MinWeight, 0), math.Nextafter32(-MinWeight, 0), math.Nextafter32(MaxWeight, math.MaxFloat32),
		float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), math.SmallestNonzeroFloat32,
	}, good...)
	var valid, invalid int
	rapid.Check(t, func(t *rapid.T) {
		fits := rapid.Bool().Draw(t, "fits") // else it may or may not
		weights, items, sorted, top := good, 8, true, uint32(7)
		if !fits {
			weights, items, sorted = rapid.SampledFrom([][]float32{good, odd}).Draw(t, "weights"), rapid.IntRange(0, 7).Draw(t, "items"), rapid.Bool().Draw(t, "sorted")
			top = rapid.SampledFrom([]uint32{6, 7, math.MaxUint32}).Draw(t, "top")
		}
		r := &Rows{NumItems: items, Start: []int64{int64(rapid.IntRange(0, 1).Draw(t, "first"))}}
		r.Item = make([]uint32, r.Start[0])
		for range rapid.IntRange(0, 4).Draw(t, "users") {
			row := rapid.SliceOfN(rapid.OneOf(rapid.Uint32Range(0, 6), rapid.Just(top)), 0, 4).Draw(t, "row")
			if sorted {
				slices.Sort(row)
				row = slices.Compact(row)
			}
			r.Item = append(r.Item, row...)
			r.Start = append(r.Start, int64(len(r.Item)))
		}
		if rapid.Bool().Draw(t, "weighted") {
			r.Weight = make([]float32, len(r.Item))
			for k := range r.Weight {
				r.Weight[k] = rapid.SampledFrom(weights).Draw(t, "weight")
			}
		}
		want := true
		for u := range r.NumUsers() {
			for k := r.Start[u]; k < r.Start[u+1]; k++ {
				size := math.Abs(float64(r.weight(k)))
				want = want && int64(r.Item[k]) < int64(r.NumItems) && (k == r.Start[u] || r.Item[k-1] < r.Item[k]) && (size == 0 || size >= MinWeight && size <= MaxWeight)
			}
		}
		err := r.Validate()
		if (err == nil) != want || err != nil && !errors.Is(err, ErrShape) {
			t.Fatalf("%+v: error is %v, want it valid: %v", r, err, want)
		}
		if want && len(r.Item) > 1 {
			valid++
		} else if !want {
			invalid++
		}
	})
	if valid == 0 || invalid == 0 {
		t.Errorf("%d were valid and %d not", valid, invalid)
	}
}
