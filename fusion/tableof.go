package fusion

import (
	"maps"
	"slices"
)

// TableOf makes the table of interactions that Fuse has made, by user: each user's by ascending item, each item once. Users without any are left out. It is
// what ReadTable makes of files with the same events. The slices are only read. Cost: O(entries + users log users + items log items).
func TableOf(users map[string][]Interaction) *Table {
	t := &Table{Start: []int64{0}}
	number := map[string]uint32{}
	entries, weighted, timed := 0, false, false
	for _, row := range users {
		entries += len(row)
		for i := range row {
			number[row[i].Item] = 0
			weighted = weighted || row[i].Weight != 1
			timed = timed || row[i].Last != 0
		}
	}
	for _, item := range slices.Sorted(maps.Keys(number)) {
		number[item] = uint32(len(t.Items))
		t.Items = append(t.Items, item)
	}
	t.Item = make([]uint32, 0, entries)
	if weighted {
		t.Weight = make([]float32, 0, entries)
	}
	if timed {
		t.Time = make([]int64, 0, entries)
	}
	for _, user := range slices.Sorted(maps.Keys(users)) {
		row := users[user]
		if len(row) == 0 {
			continue
		}
		for i := range row {
			t.Item = append(t.Item, number[row[i].Item])
			if weighted {
				t.Weight = append(t.Weight, row[i].Weight)
			}
			if timed {
				t.Time = append(t.Time, row[i].Last)
			}
		}
		t.Users, t.Start = append(t.Users, user), append(t.Start, int64(len(t.Item)))
	}
	return t
}
