package similarity

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestGrowthsEqualAMap compares with a map, one item after the other, with ids that meet in the table and the greatest that there may be.
func TestGrowthsEqualAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var g growths
		ids := rapid.OneOf(rapid.Uint32Max(20), rapid.Uint32Range(Gone-20, Gone-1), rapid.Uint32Max(Gone-1))
		for range rapid.IntRange(1, 4).Draw(t, "items") {
			added := rapid.SliceOfN(ids, 0, 100).Draw(t, "added")
			g.begin(len(added))
			want, got := map[uint32]int64{}, map[uint32]int64{}
			for k, id := range added {
				by := int64(k%7) - 3
				want[id] += by
				g.add(id, by)
			}
			for _, id := range rapid.SliceOfN(ids, 0, 20).Draw(t, "taken") {
				if by := g.take(id); by != want[id] {
					t.Fatalf("took %d of item %d, want %d", by, id, want[id])
				}
				if _, ok := want[id]; ok {
					want[id] = 0
				}
			}
			for _, at := range g.used {
				got[g.item(at)] = g.slots[at].by
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatal("growths (-want +got):\n" + diff)
			}
			g.end()
		}
		for at, s := range g.slots {
			if s != (growth{}) {
				t.Fatalf("slot %d has %v after the end", at, s)
			}
		}
	})
}
