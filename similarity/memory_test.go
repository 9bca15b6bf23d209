package similarity

import (
	"runtime"
	"testing"
)

// TestMemoryGrowsWithItems builds lists of a catalog whose square would not fit any memory (Surprise issues 236 and 249).
func TestMemoryGrowsWithItems(t *testing.T) {
	const items, perUser, k = 200_000, 4, 10
	r := &Rows{NumItems: items, Start: []int64{0}}
	for u := range items / 2 {
		for n := range perUser {
			r.Item = append(r.Item, uint32(2*u+n)%items)
		}
		if row := r.Item[len(r.Item)-perUser:]; row[0] > row[perUser-1] { // the last user's row wraps around
			r.Item = r.Item[:len(r.Item)-perUser/2]
		}
		r.Start = append(r.Start, int64(len(r.Item)))
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	l, err := Build(t.Context(), r, Options{Measure: Cosine, K: k, Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if len(l.List(items/2)) == 0 {
		t.Error("an item in the middle has no neighbors")
	}
	const bytesPerItem = 1000 // 8·K for the heaps, 8·K for the lists, the matrix, and room
	if got := (after.TotalAlloc - before.TotalAlloc) / items; got > bytesPerItem {
		t.Errorf("allocated %d bytes an item in all, want at most %d: items² would be %d", got, bytesPerItem, items*4)
	}
}
