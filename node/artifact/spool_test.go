package artifact

import (
	"cmp"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/kith-io/kith/similarity"
)

// Lists of which entries had to wait in a file are those that waited in memory, and leave nothing else.
func TestSpill(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func(n int) { spoolMemory = n }(spoolMemory)
	infos := map[Info]bool{}
	for _, spoolMemory = range []int{1, 50, 1 << 20} {
		w, err := s.CreateLists(1, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Abort()
		for item := range uint32(100) {
			l := &similarity.Lists{Start: []int64{0, 2}, Entries: []similarity.Neighbor{{ID: 200, Score: 1}, {ID: 300 + item, Score: 0.5}}}
			if err := w.Add([]uint32{item}, l); err != nil {
				t.Fatal(err)
			}
		}
		if spilled := w.spilled != nil; spilled != (spoolMemory < 1<<20) {
			t.Errorf("with %d bytes of memory entries waited in a file: %v", spoolMemory, spilled)
		}
		info, err := w.Commit()
		if err != nil {
			t.Fatal(err)
		}
		infos[info] = true
	}
	if len(infos) != 1 {
		t.Errorf("files differ: %v", infos)
	}
	if files, err := filepath.Glob(filepath.Join(s.versionDir(1), "*")); err != nil || len(files) != 1 {
		t.Errorf("files %q, %v, want one", files, err)
	}
}

// The quick look at a list says of those without negative scores what the one at each neighbor says.
func TestUsualList(t *testing.T) {
	scores := []float32{1, 0.5, 0.25, math.SmallestNonzeroFloat32, math.MaxFloat32}
	odd := append([]float32{0, float32(math.Copysign(0, -1)), -1, float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))}, scores...)
	usual := 0
	rapid.Check(t, func(t *rapid.T) {
		fits := rapid.Bool().Draw(t, "fits") // else it may or may not
		from := scores
		if !fits && rapid.Bool().Draw(t, "odd") {
			from = odd
		}
		neighbor := rapid.Custom(func(t *rapid.T) similarity.Neighbor {
			id := rapid.SampledFrom([]uint32{0, 1, 2, 3, 1 << 31, math.MaxUint32}).Draw(t, "id")
			return similarity.Neighbor{ID: id, Score: rapid.SampledFrom(from).Draw(t, "score")}
		})
		list := rapid.SliceOfN(neighbor, 0, 5).Draw(t, "list")
		if fits {
			list = rapid.SliceOfNDistinct(neighbor, 2, 5, func(n similarity.Neighbor) uint32 { return n.ID }).Draw(t, "distinct")
		}
		if fits || rapid.Bool().Draw(t, "sorted") {
			slices.SortFunc(list, func(a, b similarity.Neighbor) int {
				return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.ID, b.ID))
			})
			list = slices.Compact(list)
		}
		item := uint32(7)
		if !fits {
			item = rapid.SampledFrom([]uint32{0, 3, 7, math.MaxUint32}).Draw(t, "item")
		}
		negative := slices.ContainsFunc(list, func(n similarity.Neighbor) bool { return n.Score < 0 })
		want := checkList(item, list) == nil && !negative
		if _, ok := words(list); !ok && len(list) > 0 {
			t.Skip("lists are looked at one by one")
		}
		if got := usualList(item, list); got != want {
			t.Fatalf("list %v of item %d: %v, want %v", list, item, got, want)
		}
		if want && len(list) > 1 {
			usual++
		}
	})
	if usual == 0 {
		t.Error("no list was usual")
	}
}
