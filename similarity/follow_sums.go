package similarity

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// SumPairs forms the sums that are wanted over the users of rows, whose weights are whole. Sums of other users add to them. An item may be wanted twice, with others and with all. Errors match ErrNotFollowed
// for other weights, ErrShape for items that there are not, or are those of the context.
// Cost: O(entries) and, for each item that is wanted, the lengths of the rows of its users.
func SumPairs(ctx context.Context, o Options, rows *Rows, wanted []PairSums) ([]PairSums, error) {
	slot := make([]int32, rows.NumItems) // of an item that is wanted: its place in users, plus 1
	var users [][]uint32
	for _, w := range wanted {
		if int64(w.Item) >= int64(rows.NumItems) || slices.ContainsFunc(w.With, func(i uint32) bool { return int64(i) >= int64(rows.NumItems) }) {
			return nil, fmt.Errorf("sums of item %d with %v of %d items: %w", w.Item, w.With, rows.NumItems, ErrShape)
		}
		if slot[w.Item] == 0 {
			users = append(users, nil)
			slot[w.Item] = int32(len(users))
		}
	}
	for u := range rows.NumUsers() {
		for _, i := range rows.Item[rows.Start[u]:rows.Start[u+1]] {
			if at := slot[i]; at != 0 {
				users[at-1] = append(users[at-1], uint32(u))
			}
		}
	}
	a := pairAdder{rows: rows, commons: o.Measure.kind() == commons, place: make([]uint32, rows.NumItems)}
	out := make([]PairSums, len(wanted))
	for n, w := range wanted {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var err error
		if out[n], err = a.add(w, users[slot[w.Item]-1]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// pairAdder adds up sums of one item after the other.
type pairAdder struct {
	rows    *Rows
	commons bool
	place   []uint32 // of an item in the sums, plus 1; all zero between items
	sums    []float64
	items   []uint32 // that sums are of, where all are wanted
}

func (a *pairAdder) add(w PairSums, users []uint32) (PairSums, error) {
	a.items = append(a.items[:0], w.With...)
	a.sums = append(a.sums[:0], make([]float64, len(w.With))...)
	for k, i := range w.With {
		a.place[i] = uint32(k) + 1
	}
	defer func() {
		for _, i := range a.items {
			a.place[i] = 0
		}
	}()
	for _, u := range users {
		items, weights := a.rows.row(int(u))
		weight := 1.0
		if weights != nil && !a.commons {
			at, _ := slices.BinarySearch(items, w.Item)
			weight = float64(weights[at])
		}
		for k, i := range items {
			at := a.place[i]
			if at == 0 {
				if !w.All || i == w.Item {
					continue
				}
				a.items, a.sums = append(a.items, i), append(a.sums, 0)
				at = uint32(len(a.items))
				a.place[i] = at
			}
			x := weight
			if weights != nil && !a.commons {
				x *= float64(weights[k])
			}
			a.sums[at-1] += x
		}
	}
	for k, sum := range a.sums {
		if sum != float64(int64(sum)) {
			return PairSums{}, fmt.Errorf("%w: sum %v of items %d and %d, want whole weights", ErrNotFollowed, sum, w.Item, a.items[k])
		}
	}
	if !w.All {
		return PairSums{Item: w.Item, With: w.With, Sum: slices.Clone(a.sums)}, nil
	}
	return a.all(w), nil
}

// all returns the sums with all items, by ascending item.
func (a *pairAdder) all(w PairSums) PairSums {
	out := PairSums{Item: w.Item, All: true, Mirror: w.Mirror, With: slices.Clone(a.items), Sum: make([]float64, len(a.sums))}
	slices.Sort(out.With)
	for k, i := range out.With {
		out.Sum[k] = a.sums[a.place[i]-1]
	}
	return out
}

// AddPairSums adds sums over other users, of the same wanted sums, to those of sums.
func AddPairSums(sums, more []PairSums) error {
	if len(sums) != len(more) {
		return fmt.Errorf("sums of %d and %d items: %w", len(sums), len(more), ErrShape)
	}
	for n := range sums {
		a, b := &sums[n], &more[n]
		switch {
		case a.Item != b.Item || a.All != b.All || len(b.With) != len(b.Sum) || !a.All && !slices.Equal(a.With, b.With):
			return fmt.Errorf("sums of items %d and %d do not add up: %w", a.Item, b.Item, ErrShape)
		case !a.All:
			for k, x := range b.Sum {
				a.Sum[k] += x
			}
		default:
			a.With, a.Sum = addSums(*a, *b)
		}
	}
	return nil
}

// addSums merges two rows of sums.
func addSums(a, b PairSums) (with []uint32, sum []float64) {
	with, sum = make([]uint32, 0, len(a.With)+len(b.With)), make([]float64, 0, len(a.With)+len(b.With))
	for x, y := 0, 0; x < len(a.With) || y < len(b.With); {
		order := 0
		switch {
		case y == len(b.With):
			order = -1
		case x == len(a.With):
			order = 1
		default:
			order = cmp.Compare(a.With[x], b.With[y])
		}
		var id uint32
		var s float64
		if order <= 0 {
			id, s = a.With[x], a.Sum[x]
			x++
		}
		if order >= 0 {
			id, s = b.With[y], s+b.Sum[y]
			y++
		}
		with, sum = append(with, id), append(sum, s)
	}
	return with, sum
}
