package similarity

import (
	"cmp"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sort"
	"sync"
)

// MaxWeight is the largest magnitude of a weight. It keeps sums over 2^32 users
// inside the range of float32.
const MaxWeight = 1 << 40

// MinWeight is the smallest magnitude of a weight but zero. It keeps products, sums of
// squares and their inverses inside the range in which float32 has all its digits, or near it.
const MinWeight = 1.0 / (1 << 40)

// Rows is a sparse users×items matrix, row by row (CSR). Row u is
// Item[Start[u]:Start[u+1]], item ids ascending and unique, with Weight alongside.
//
// The functions of this package read Rows and never change them, so one value
// may be used by many goroutines.
type Rows struct {
	// NumItems is the number of columns; all ids are below it.
	NumItems int
	// Start has one entry more than there are users. Start[0] may be above 0 for a
	// window of a larger matrix.
	Start []int64
	// Item holds the item ids of all rows.
	Item []uint32
	// Weight holds the weights of all entries; nil means that all are one.
	Weight []float32
}

// NumUsers returns the number of rows.
func (r *Rows) NumUsers() int {
	return max(0, len(r.Start)-1)
}

// row returns the items and weights of row u; the weights are nil if all are one.
func (r *Rows) row(u int) ([]uint32, []float32) {
	lo, hi := r.Start[u], r.Start[u+1]
	if r.Weight == nil {
		return r.Item[lo:hi], nil
	}
	return r.Item[lo:hi], r.Weight[lo:hi]
}

// weight returns the weight of the entry at position k.
func (r *Rows) weight(k int64) float32 { return weightAt(r.Weight, k) }

// weightAt returns the weight at position k; nil stands for ones.
func weightAt[I int | int64](weights []float32, k I) float32 {
	if weights == nil {
		return 1
	}
	return weights[k]
}

// Counts returns the number of users of each item, and the updates that it leads: the sum
// over its users of the lengths of their rows, which counts it with itself. r must be
// valid. Cost: O(users + entries).
func (r *Rows) Counts() (users []uint32, updates []uint64) {
	users, updates = make([]uint32, r.NumItems), make([]uint64, r.NumItems)
	for u := range r.NumUsers() {
		items, _ := r.row(u)
		for _, i := range items {
			users[i]++
			updates[i] += uint64(len(items))
		}
	}
	return users, updates
}

// WholeSquares returns the sum of the squares of the weights of each item, which is exact below 2^53; 0 of an item without users, and
// of one of which a weight is below 1 or not whole. r must be valid. Cost: O(entries).
func (r *Rows) WholeSquares() []float64 {
	squares := make([]float64, r.NumItems)
	for u := range r.NumUsers() {
		items, weights := r.row(u)
		for k, i := range items {
			w := float64(weightAt(weights, k))
			if w < 1 || w != math.Trunc(w) {
				w = math.Inf(1)
			}
			squares[i] += w * w // at most 2^112
		}
	}
	for i, x := range squares {
		if math.IsInf(x, 1) {
			squares[i] = 0
		}
	}
	return squares
}

// entries returns the number of stored entries.
func (r *Rows) entries() int64 {
	if len(r.Start) == 0 {
		return 0
	}
	return r.Start[len(r.Start)-1] - r.Start[0]
}

// Transpose returns the items×users matrix, so that similarity of users runs on
// the code for items. Rows of the result ascend, as those of r do. r must be
// valid. It uses all processors. Cost: O(users + items + entries) time and a second copy
// of the matrix.
func (r *Rows) Transpose() *Rows { return r.transpose(runtime.GOMAXPROCS(0)) }

// Columns is Transpose on one processor. The items of a row of r may be in any order; those of the result ascend, so that Columns of Columns
// are the rows in order.
func (r *Rows) Columns() *Rows { return r.transpose(1) }

// transpose is Transpose with some threads.
func (r *Rows) transpose(threads int) *Rows {
	n := r.entries()
	t := &Rows{NumItems: r.NumUsers(), Start: make([]int64, r.NumItems+1), Item: make([]uint32, n)}
	if r.Weight != nil {
		t.Weight = make([]float32, n)
	}
	// Each part of the users counts its entries of each item, and then has room of its own.
	parts := r.cutUsers(int(min(int64(threads), 1+n/int64(transposePart+r.NumItems))))
	next := make([][]int64, len(parts))
	each(len(parts), func(p int) {
		next[p] = make([]int64, r.NumItems)
		lo, hi := r.Start[parts[p].lo], r.Start[parts[p].hi]
		for _, i := range r.Item[lo:hi] {
			next[p][i]++
		}
	})
	at := int64(0)
	for i := range r.NumItems {
		for p := range next {
			next[p][i], at = at, at+next[p][i]
		}
		t.Start[i+1] = at
	}
	buckets := columnBuckets(t.Start)
	each(len(parts), func(p int) {
		w := columnWriter{next: next[p], users: t.Item, weights: t.Weight, bucket: buckets, most: heldEntries / int64(len(parts))}
		w.write(r, parts[p].lo, parts[p].hi, uint32(parts[p].lo))
	})
	return t
}

// transposePart is how many entries a thread of a transposition is worth, beside one for
// each item.
const transposePart = 1 << 16

// userRange is the users [lo, hi).
type userRange struct{ lo, hi int }

// cutUsers cuts the users into at most n ranges of about as many entries.
func (r *Rows) cutUsers(n int) []userRange {
	users := r.NumUsers()
	if n <= 1 || users == 0 {
		return []userRange{{0, users}}
	}
	first, total := r.Start[0], r.entries()
	ranges := make([]userRange, n)
	for p := range ranges {
		if p > 0 {
			ranges[p].lo = ranges[p-1].hi
		}
		end := first + total*int64(p+1)/int64(n)
		ranges[p].hi = max(ranges[p].lo, sort.Search(users, func(u int) bool { return r.Start[u+1] > end }))
	}
	ranges[n-1].hi = users
	return ranges
}

// each calls f for 0 to n-1 in goroutines of their own and waits for them.
func each(n int, f func(k int)) {
	if n == 1 {
		f(0)
		return
	}
	var wg sync.WaitGroup
	for k := range n {
		wg.Go(func() { f(k) })
	}
	wg.Wait()
}

// ByPopularity returns the rows with the items numbered by descending number of users, ties by id: in the order of a
// build, in which the work is most local. r must be valid. It uses all processors.
// Cost: O(items · log items + the sum over users of row · log row).
func (r *Rows) ByPopularity() *Rows {
	users := make([]uint32, r.NumItems)
	for _, i := range r.Item[r.Start[0]:r.Start[r.NumUsers()]] {
		users[i]++
	}
	order := make([]uint32, r.NumItems)
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortStableFunc(order, func(i, j uint32) int { return cmp.Compare(users[j], users[i]) })
	place := make([]uint32, r.NumItems)
	for k, i := range order {
		place[i] = uint32(k)
	}
	n := r.entries()
	out := &Rows{NumItems: r.NumItems, Start: make([]int64, len(r.Start)), Item: make([]uint32, n)}
	if r.Weight != nil {
		out.Weight = make([]float32, n)
	}
	parts := r.cutUsers(runtime.GOMAXPROCS(0))
	each(len(parts), func(p int) {
		var keys []uint64 // of a row: the new number, and the bits of the weight
		for u := parts[p].lo; u < parts[p].hi; u++ {
			items, weights := r.row(u)
			keys = keys[:0]
			for k, i := range items {
				keys = append(keys, uint64(place[i])<<32|uint64(math.Float32bits(weightAt(weights, k))))
			}
			slices.Sort(keys)
			at := r.Start[u] - r.Start[0]
			for k, key := range keys {
				out.Item[at+int64(k)] = uint32(key >> 32)
				if weights != nil {
					out.Weight[at+int64(k)] = math.Float32frombits(uint32(key))
				}
			}
			out.Start[u+1] = at + int64(len(items))
		}
	})
	return out
}

// Validate checks the shapes, the order of the ids within rows, that all ids are
// in range and that weights are zero or from MinWeight to MaxWeight in magnitude. Its
// errors match ErrShape. Cost: O(users + entries).
func (r *Rows) Validate() error {
	switch {
	case len(r.Start) == 0:
		return fmt.Errorf("rows: Start is empty, want one entry more than users: %w", ErrShape)
	case r.NumItems < 0 || int64(r.NumItems) > math.MaxUint32:
		return fmt.Errorf("rows: %d items, want 0 to %d: %w", r.NumItems, uint32(math.MaxUint32), ErrShape)
	case int64(r.NumUsers()) > math.MaxUint32:
		return fmt.Errorf("rows: %d users, want at most %d: %w", r.NumUsers(), uint32(math.MaxUint32), ErrShape)
	case r.Weight != nil && len(r.Weight) != len(r.Item):
		return fmt.Errorf("rows: %d weights for %d entries: %w", len(r.Weight), len(r.Item), ErrShape)
	case r.Start[0] < 0 || r.Start[len(r.Start)-1] > int64(len(r.Item)):
		return fmt.Errorf("rows: Start spans [%d,%d) of %d entries: %w",
			r.Start[0], r.Start[len(r.Start)-1], len(r.Item), ErrShape)
	}
	for u := range r.NumUsers() {
		if r.Start[u+1] < r.Start[u] {
			return fmt.Errorf("rows: row %d ends at %d before its start %d: %w", u, r.Start[u+1], r.Start[u], ErrShape)
		}
	}
	weighed := r.Weight == nil || usualWeights(r.Weight[r.Start[0]:r.Start[len(r.Start)-1]])
	for u := range r.NumUsers() {
		items, weights := r.row(u)
		if weighed && ascendBelow(items, r.NumItems) {
			continue
		}
		for k, i := range items {
			if int64(i) >= int64(r.NumItems) {
				return fmt.Errorf("rows: row %d has item %d of %d: %w", u, i, r.NumItems, ErrShape)
			}
			if k > 0 && items[k-1] >= i {
				return fmt.Errorf("rows: row %d has item %d after %d: %w", u, i, items[k-1], ErrShape)
			}
		}
		for k, w := range weights {
			if !validWeight(w) || w != 0 && w > -MinWeight && w < MinWeight {
				return fmt.Errorf("rows: row %d item %d has weight %v, want 0 or 2^-40 to 2^40 in magnitude: %w", u, items[k], w, ErrShape)
			}
		}
	}
	return nil
}

// ascendBelow reports whether ids ascend and are below n, without a branch for each.
func ascendBelow(ids []uint32, n int) bool {
	last, steps := int64(-1), int64(0)
	for _, i := range ids {
		steps |= int64(i) - last - 1 // negative where it does not ascend
		last = int64(i)
	}
	return steps >= 0 && last < int64(n)
}

// usualWeights reports whether weights are from MinWeight to MaxWeight in magnitude, without a branch for each. It is false for a weight of 0, which is
// valid, too.
func usualWeights(weights []float32) bool {
	const least, most = (127 - 40) << 23, (127 + 40) << 23 // bits of MinWeight and MaxWeight
	room := int64(0)
	for k := range weights {
		room |= most - least - int64(math.Float32bits(weights[k])&^(1<<31)-least) // negative where it is not; wraps below least
	}
	return room >= 0
}

// validWeight is false for NaN, infinities and magnitudes above MaxWeight. A weight that
// was weighed may be below MinWeight.
func validWeight(w float32) bool {
	return w >= -MaxWeight && w <= MaxWeight
}
