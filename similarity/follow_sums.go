package similarity

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// maxPairSums bounds the sums that lists may want: 12 bytes each, on every node.
const maxPairSums = 8 << 20

// FitPairSums refuses sums that are not those that were wanted, or more than maxPairSums.
func FitPairSums(wanted, sums []PairSums) error {
	if len(wanted) != len(sums) {
		return fmt.Errorf("sums of %d items, want those of %d: %w", len(sums), len(wanted), ErrShape)
	}
	room := maxPairSums
	for n, w := range wanted {
		s := sums[n]
		if s.Item != w.Item || s.All != w.All || s.Mirror != w.Mirror || len(s.With) != len(s.Sum) || !w.All && !slices.Equal(s.With, w.With) {
			return fmt.Errorf("sums of item %d with %d others, want those of item %d with %d: %w", s.Item, len(s.With), w.Item, len(w.With), ErrShape)
		}
		room -= len(s.With)
	}
	if room < 0 {
		return fmt.Errorf("%w: more than %d sums of pairs are wanted", ErrNotFollowed, maxPairSums)
	}
	return nil
}

// SumPairs forms the sums that are wanted over the users of rows, whose weights are whole. Sums of other users add to them. Errors match ErrNotFollowed
// for other weights, ErrShape for items that there are not, or are those of the context.
// Cost: O(entries); for a pair the users of the item that fewer have, and for an item with all the lengths of the rows of its users. Memory: 8 bytes for each entry of what is wanted.
func (s *Step) SumPairs(ctx context.Context, rows *Rows, wanted []PairSums) ([]PairSums, error) {
	a := pairAdder{rows: rows, commons: s.kind == commons, slot: make([]int32, rows.NumItems), place: make([]uint32, rows.NumItems), weight: make([]float32, rows.NumUsers())}
	for _, w := range wanted {
		if int64(w.Item) >= int64(rows.NumItems) || slices.ContainsFunc(w.With, func(i uint32) bool { return int64(i) >= int64(rows.NumItems) }) {
			return nil, fmt.Errorf("sums of item %d with %v of %d items: %w", w.Item, w.With, rows.NumItems, ErrShape)
		}
		a.want(w.Item)
		for _, i := range w.With {
			a.want(i)
		}
	}
	a.collect()
	out := make([]PairSums, len(wanted))
	room := maxPairSums
	for n, w := range wanted {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if w.All {
			out[n] = a.addAll(w)
		} else {
			out[n] = a.addPairs(w)
		}
		if room -= len(out[n].Sum); room < 0 {
			return nil, fmt.Errorf("%w: more than %d sums of pairs are wanted", ErrNotFollowed, maxPairSums)
		}
		for k, sum := range out[n].Sum {
			if sum != float64(int64(sum)) {
				return nil, fmt.Errorf("%w: sum %v of items %d and %d, want whole weights", ErrNotFollowed, sum, w.Item, out[n].With[k])
			}
		}
	}
	return out, nil
}

// pairAdder adds up sums of one item after the other.
type pairAdder struct {
	rows    *Rows
	commons bool
	// slot of an item that is wanted: its place in columns, plus 1.
	slot    []int32
	columns [][]weighed
	// weight of the users of an item, all zero between items.
	weight []float32
	place  []uint32 // of an item in sums, plus 1; all zero between items
	items  []uint32
	sums   []float64
}

// weighed is an entry of a column.
type weighed struct {
	user   uint32
	weight float32
}

func (a *pairAdder) want(item uint32) {
	if a.slot[item] == 0 {
		a.columns = append(a.columns, nil)
		a.slot[item] = int32(len(a.columns))
	}
}

// collect makes the columns of what is wanted.
func (a *pairAdder) collect() {
	sizes := make([]int, len(a.columns))
	total := 0
	for _, i := range a.rows.Item[a.rows.Start[0]:a.rows.Start[a.rows.NumUsers()]] {
		if at := a.slot[i]; at != 0 {
			sizes[at-1]++
			total++
		}
	}
	all := make([]weighed, total)
	for n, size := range sizes {
		a.columns[n], all = all[:0:size], all[size:]
	}
	for u := range a.rows.NumUsers() {
		for k := a.rows.Start[u]; k < a.rows.Start[u+1]; k++ {
			at := a.slot[a.rows.Item[k]]
			if at == 0 {
				continue
			}
			w := float32(1)
			if !a.commons {
				w = a.rows.weight(k)
			}
			a.columns[at-1] = append(a.columns[at-1], weighed{uint32(u), w})
		}
	}
}

func (a *pairAdder) column(item uint32) []weighed { return a.columns[a.slot[item]-1] }

// denseShare is how many times as many users an item must have as others are looked up in it, so that looking up by halves is cheaper than writing down the weights of all.
const denseShare = 16

// addPairs adds up the pairs of an item.
func (a *pairAdder) addPairs(w PairSums) PairSums {
	out := PairSums{Item: w.Item, With: w.With, Sum: make([]float64, len(w.With))}
	column := a.column(w.Item)
	steps := 0
	for _, i := range w.With {
		steps += len(a.column(i))
	}
	if steps*denseShare < len(column) {
		for k, i := range w.With {
			out.Sum[k] = product(column, a.column(i))
		}
		return out
	}
	for _, e := range column {
		a.weight[e.user] = e.weight
	}
	for k, i := range w.With {
		sum := 0.0
		for _, e := range a.column(i) {
			sum += float64(e.weight) * float64(a.weight[e.user])
		}
		out.Sum[k] = sum
	}
	for _, e := range column {
		a.weight[e.user] = 0
	}
	return out
}

// product is that of a long and a short column.
func product(long, short []weighed) (sum float64) {
	for _, e := range short {
		at, ok := slices.BinarySearchFunc(long, e.user, func(e weighed, user uint32) int { return cmp.Compare(e.user, user) })
		if ok {
			sum += float64(e.weight) * float64(long[at].weight)
		}
		long = long[at:]
	}
	return sum
}

// addAll adds up the pairs of an item with all others.
func (a *pairAdder) addAll(w PairSums) PairSums {
	a.items, a.sums = a.items[:0], a.sums[:0]
	for _, e := range a.column(w.Item) {
		items, weights := a.rows.row(int(e.user))
		for k, i := range items {
			if i == w.Item {
				continue
			}
			at := a.place[i]
			if at == 0 {
				a.items, a.sums = append(a.items, i), append(a.sums, 0)
				at = uint32(len(a.items))
				a.place[i] = at
			}
			x := float64(e.weight)
			if !a.commons {
				x *= float64(weightAt(weights, k))
			}
			a.sums[at-1] += x
		}
	}
	out := a.all(w)
	for _, i := range a.items {
		a.place[i] = 0
	}
	return out
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

// AddPairSums adds sums over other users to sums; both fit the same wanted sums.
func AddPairSums(sums, more []PairSums) error {
	if len(sums) != len(more) {
		return fmt.Errorf("sums of %d and %d items: %w", len(sums), len(more), ErrShape)
	}
	for n := range sums {
		a, b := &sums[n], &more[n]
		switch {
		case a.Item != b.Item || a.All != b.All || len(a.With) != len(a.Sum) || len(b.With) != len(b.Sum) || !a.All && !slices.Equal(a.With, b.With):
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
