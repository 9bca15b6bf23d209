package worker

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/kith-io/kith/node/artifact"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/similarity"
)

// itemRows are weights by user and item.
type itemRows map[string]map[uint32]float32

// written writes rows, with the ids that id gives items, and opens them.
func (x itemRows) written(t *rapid.T, files *artifact.Store, version uint64, items int, id func(uint32) uint32) (artifact.Info, *artifact.Rows) {
	users, rows := slices.Sorted(maps.Keys(x)), &similarity.Rows{NumItems: items, Start: []int64{0}}
	for _, user := range users {
		row := x.row(user, id)
		rows.Item, rows.Weight = append(rows.Item, row.Item...), append(rows.Weight, row.Weight...)
		rows.Start = append(rows.Start, int64(len(rows.Item)))
	}
	info, err := files.WriteRows(version, 0, 0, users, rows)
	if err != nil {
		t.Fatal(err)
	}
	open, err := files.OpenRows(version, 0)
	if err != nil {
		t.Fatal(err)
	}
	return info, open
}

func (x itemRows) row(user string, id func(uint32) uint32) (r similarity.Row) {
	for _, i := range slices.SortedFunc(maps.Keys(x[user]), func(a, b uint32) int { return cmp.Compare(id(a), id(b)) }) {
		r.Item, r.Weight = append(r.Item, id(i)), append(r.Weight, x[user][i])
	}
	return r
}

// norms are the users and the sums of squares of each item.
func (x itemRows) norms(items int) (users []uint32, squares []float64) {
	users, squares = make([]uint32, items), make([]float64, items)
	for _, row := range x {
		for i, w := range row {
			users[i]++
			squares[i] += float64(w * w)
		}
	}
	return users, squares
}

func same(i uint32) uint32 { return i }

// TestChangeRows: rows that are made of those of a version are those of all users as they are now, under the numbers of the next version, whoever comes, goes or changes.
func TestChangeRows(t *testing.T) {
	files, err := artifact.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	const items = 12
	room := &rowsRoom{} // as it was left
	key := func(i uint32) string { return fmt.Sprintf("item %02d", i) }
	rapid.Check(t, func(t *rapid.T) {
		weight := rapid.Just[float32](1)
		if rapid.Bool().Draw(t, "weighted") {
			weight = rapid.Map(rapid.IntRange(1, 9), func(w int) float32 { return float32(w) })
		}
		rows := rapid.MapOfN(rapid.Uint32Range(0, items-1), weight, 0, items)
		names := rapid.SampledFrom([]string{"", "a", "b", "c", "t", "u", "v", "z", "μ"})
		was := itemRows(rapid.MapOfN(names, rows, 0, 6).Draw(t, "was"))
		maps.DeleteFunc(was, func(_ string, row map[uint32]float32) bool { return len(row) == 0 })
		was["u"] = map[uint32]float32{} // a version has no items without users
		for i := range uint32(items) {
			was["u"][i] = weight.Draw(t, "weight")
		}
		users, squares := was.norms(items)
		now := maps.Clone(was)
		changed := rapid.MapOfN(names, rows, 0, 6).Draw(t, "changed")
		c := &changedShard{users: slices.Sorted(maps.Keys(changed))}
		var changes []similarity.RowChange
		for _, user := range c.users {
			changes = append(changes, similarity.RowChange{Old: was.row(user, same), New: itemRows(changed).row(user, same)})
			if now[user] = changed[user]; len(now[user]) == 0 {
				delete(now, user)
			}
		}
		_, c.base = was.written(t, files, 1, items, same)
		defer func() { _ = c.base.Close() }()
		step, err := similarity.NewStep(similarity.Options{Measure: similarity.Cosine, K: 3}, users, squares, 0, key, changes)
		if err != nil {
			t.Fatal(err)
		}
		f := &following{told: map[uint32]*changedShard{0: c}, step: step, firstChange: []int{0, len(changes)}, head: &kithv1.FollowHead{FirstUser: []uint32{0, uint32(len(now))}}}
		if err := f.changeRows(0, room); err != nil {
			t.Fatal(err)
		}
		got, err := files.WriteRowsOf(2, 0, 0, &room.users, &room.rows)
		if err != nil {
			t.Fatal(err)
		}
		want, open := now.written(t, files, 3, step.Len(), step.Next)
		defer func() { _ = open.Close() }()
		if got != want {
			t.Fatalf("rows %v, want %v", room.rows, *open.Matrix())
		}
	})
}

// TestRowsThatCannotFollow: items that are gone and weights that are not whole need a full build.
func TestRowsThatCannotFollow(t *testing.T) {
	step, err := similarity.NewStep(similarity.Options{Measure: similarity.Cosine, K: 3}, []uint32{2, 1}, []float64{2, 1}, 0,
		func(i uint32) string { return fmt.Sprint(i) }, []similarity.RowChange{{Old: similarity.Row{Item: []uint32{1}}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		item   uint32
		weight float32
		want   error
	}{
		{0, 1, nil},
		{0, 3, nil},
		{0, 1 << 39, nil},
		{1, 1, errFull},
		{0, 0, errFull},
		{0, -1, errFull},
		{0, 1.5, errFull},
		{0, 0.5, errFull},
		{0, float32(math.NaN()), errFull},
		{0, float32(math.Inf(-1)), errFull},
	} {
		a := newRowAppender(step, &rowsRoom{}, 1, 1)
		if err := a.add("u", similarity.Row{Item: []uint32{tc.item}, Weight: []float32{tc.weight}}); !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
			t.Errorf("item %d with weight %v: error is %v, want %v", tc.item, tc.weight, err, tc.want)
		}
	}
}

// TestOrderRow compares it with sorting, for rows that are nearly in order and for others.
func TestOrderRow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		items := rapid.SliceOfNDistinct(rapid.Uint32Range(0, 500), 0, 120, rapid.ID[uint32]).Draw(t, "items")
		if rapid.Bool().Draw(t, "nearly") {
			slices.Sort(items)
			for range min(3, len(items)/2) {
				i, j := rapid.IntRange(0, len(items)-1).Draw(t, "one"), rapid.IntRange(0, len(items)-1).Draw(t, "other")
				items[i], items[j] = items[j], items[i]
			}
		}
		weights := make([]float32, len(items))
		for k, i := range items {
			weights[k] = float32(i) / 2
		}
		want := slices.Sorted(slices.Values(items))
		orderRow(items, weights)
		if !slices.Equal(items, want) {
			t.Fatalf("items %d, want %d", items, want)
		}
		for k, i := range items {
			if weights[k] != float32(i)/2 {
				t.Fatalf("item %d has weight %v", i, weights[k])
			}
		}
	})
}
