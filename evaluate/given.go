package evaluate

import (
	"cmp"
	"slices"

	"github.com/kith-io/kith/fusion"
)

// SplitGiven names the division into Experiment.Data and Experiment.Test. It is not of Splits, which divide one table.
const SplitGiven = "given"

// withTest joins training data and test data that are given apart: the table of both, and the division whose test data are the entries of test. An entry that both have is
// training data, as it may be in no answer; repeated is the number of these. Cost: O(entries · log(entries of a user)).
func withTest(train, test *fusion.Table) (t *fusion.Table, d *Division, repeated int) {
	type entry struct {
		item   uint32
		weight float32
		time   int64
		fold   int32
	}
	t = &fusion.Table{Users: union(train.Users, test.Users), Items: union(train.Items, test.Items), Start: []int64{0}}
	d = &Division{Folds: 1}
	tables := []*fusion.Table{train, test}
	ids := make([][]uint32, len(tables)) // by table and its item
	for k, from := range tables {
		for _, key := range from.Items {
			id, _ := slices.BinarySearch(t.Items, key)
			ids[k] = append(ids[k], uint32(id))
		}
	}
	var row []entry
	for _, user := range t.Users {
		row = row[:0]
		for k, from := range tables {
			u, found := slices.BinarySearch(from.Users, user)
			if !found {
				continue
			}
			for p := from.Start[u]; p < from.Start[u+1]; p++ {
				e := entry{item: ids[k][from.Item[p]], weight: float32(weightOf(from, p)), fold: int32(k) - 1}
				if from.Time != nil {
					e.time = from.Time[p]
				}
				row = append(row, e)
			}
		}
		slices.SortStableFunc(row, func(a, b entry) int { return cmp.Compare(a.item, b.item) })
		all := len(row)
		row = slices.CompactFunc(row, func(a, b entry) bool { return a.item == b.item })
		repeated += all - len(row)
		for _, e := range row {
			t.Item, d.TestOf = append(t.Item, e.item), append(d.TestOf, e.fold)
			if train.Weight != nil || test.Weight != nil {
				t.Weight = append(t.Weight, e.weight)
			}
			if train.Time != nil || test.Time != nil {
				t.Time = append(t.Time, e.time)
			}
		}
		t.Start = append(t.Start, int64(len(t.Item)))
	}
	return t, d, repeated
}

// union returns the keys of two ascending lists, ascending, each once.
func union(a, b []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(slices.Concat(a, b))))
}
