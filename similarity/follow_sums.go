package similarity

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sort"
)

// maxPairSums bounds the sums that lists may want: 12 bytes each on every node, and while they are formed 8 more, and 8 more for each thread.
const maxPairSums = 16 << 20

func tooManyPairSums() error {
	return fmt.Errorf("%w: more than %d sums of pairs are wanted", ErrNotFollowed, maxPairSums)
}

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
		return tooManyPairSums()
	}
	return nil
}

// SumPairs forms the sums that are wanted over the users of parts of the rows, whose weights are whole. Sums of other users add to them. Errors match ErrNotFollowed
// for other weights, ErrShape for items that there are not, or are those of the context.
// Cost: O(items + entries); for a pair the users of the item that fewer have, and for an item with all the lengths of the rows of its users. Memory: 8 bytes for each entry of what is wanted, or of all entries
// if that is a fourth of them, and 8 for each pair.
func (s *Step) SumPairs(ctx context.Context, parts []*Rows, wanted *WantedSums) ([]PairSums, error) {
	a := pairAdder{parts: parts, items: s.Len(), commons: s.kind == commons}
	if err := a.collect(wanted); err != nil {
		return nil, err
	}
	out := make([]PairSums, len(wanted.sums))
	room := maxPairSums
	for n, w := range wanted.sums {
		if out[n] = w; w.All {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			out[n] = a.addAll(w)
		}
		if room -= len(out[n].With); room < 0 {
			return nil, tooManyPairSums()
		}
	}
	if err := a.addPairs(ctx, wanted, out); err != nil {
		return nil, err
	}
	for _, w := range out {
		for k, sum := range w.Sum {
			if sum != float64(int64(sum)) {
				return nil, fmt.Errorf("%w: sum %v of items %d and %d, want whole weights", ErrNotFollowed, sum, w.Item, w.With[k])
			}
		}
	}
	return out, nil
}

// WantedSums are sums that are wanted, in the order in which they are formed. They are not changed once made and may be shared by goroutines.
type WantedSums struct {
	sums  []PairSums
	items []uint64 // bits of those of which there is a sum
	// pairs of those that are not with all items: with item i, which more users have than the other, those from first[i] to first[i+1].
	pairs []pairOf
	first []uint32
}

// pairOf is a pair of an item: the other, and the place of its sum among those of all pairs.
type pairOf struct{ with, at uint32 }

// Want returns sums that are wanted of the next version; the error matches ErrShape if there is no such item, ErrNotFollowed if they are too many. Cost: O(items + sums); 8 bytes for each sum.
func (s *Step) Want(sums []PairSums) (*WantedSums, error) {
	n := s.Len()
	w := &WantedSums{sums: sums, items: make([]uint64, (n+63)/64), first: make([]uint32, n+1)}
	total := 0
	for _, p := range sums {
		if int64(p.Item) >= int64(n) || slices.ContainsFunc(p.With, func(i uint32) bool { return int64(i) >= int64(n) }) {
			return nil, fmt.Errorf("sums of item %d with %v of %d items: %w", p.Item, p.With, n, ErrShape)
		}
		if total += len(p.With); total > maxPairSums {
			return nil, tooManyPairSums()
		}
		set(w.items, p.Item)
		for _, with := range p.With {
			set(w.items, with)
			if !p.All {
				w.first[min(p.Item, with)+1]++
			}
		}
	}
	for i := range n {
		w.first[i+1] += w.first[i]
	}
	next, at := slices.Clone(w.first), uint32(0)
	w.pairs = make([]pairOf, w.first[n])
	for _, p := range sums {
		if p.All {
			continue
		}
		for _, with := range p.With {
			q := &next[min(p.Item, with)] // ids are by number of users
			w.pairs[*q] = pairOf{max(p.Item, with), at}
			*q++
			at++
		}
	}
	return w, nil
}

// pairAdder adds up sums of one item after the other. Users are numbered over all parts.
type pairAdder struct {
	parts   []*Rows
	items   int
	commons bool
	// first is the number of the first user of each part, and last that of all.
	first []int
	// users of the wanted items: those of item i are at start[i] to start[i+1], ascending, with their weights.
	start   []int64
	users   []uint32
	weights []float32
	// has has a bit for each user of an item, and weight what it is there; no bit is set between items.
	has    []uint64
	weight []float32
	place  []uint32 // of an item in with, or of its sum with the item, plus 1; all zero between items
	with   []uint32
	sums   []float64
}

// wantedShare is the part of all entries, one in so many, that wanted items must have for all columns to be made: that is faster, entry by entry, than to leave out others.
const wantedShare = 4

// collect makes the columns of what is wanted.
func (a *pairAdder) collect(wanted *WantedSums) error {
	next := make([]int64, a.items)
	users, entries := 0, int64(0)
	for _, r := range a.parts {
		if r.NumItems != a.items {
			return fmt.Errorf("rows of %d items, want %d: %w", r.NumItems, a.items, ErrShape)
		}
		a.first = append(a.first, users)
		users += r.NumUsers()
		entries += r.entries()
		for _, i := range r.Item[r.Start[0]:r.Start[r.NumUsers()]] {
			next[i]++
		}
	}
	a.first = append(a.first, users)
	some := int64(0)
	for i, n := range next {
		if isSet(wanted.items, uint32(i)) {
			some += n
		}
	}
	few := some*wantedShare < entries
	a.start = make([]int64, a.items+1)
	for i, n := range next {
		if few && !isSet(wanted.items, uint32(i)) {
			n = 0
		}
		next[i], a.start[i+1] = a.start[i], a.start[i]+n
	}
	a.users, a.weights = make([]uint32, a.start[a.items]), make([]float32, a.start[a.items])
	w := columnWriter{next: next, users: a.users, weights: a.weights, most: heldEntries / 4} // of some threads
	if few {
		w.only = wanted.items
	} else {
		w.bucket = columnBuckets(a.start)
	}
	for p, r := range a.parts {
		if a.commons {
			r = &Rows{NumItems: r.NumItems, Start: r.Start, Item: r.Item}
		}
		w.write(r, 0, r.NumUsers(), uint32(a.first[p]))
	}
	a.has, a.weight, a.place = make([]uint64, (users+63)/64), make([]float32, users), make([]uint32, a.items)
	return nil
}

// column returns the users of an item, and their weights.
func (a *pairAdder) column(item uint32) ([]uint32, []float32) {
	lo, hi := a.start[item], a.start[item+1]
	return a.users[lo:hi], a.weights[lo:hi]
}

// denseShare is how many times as many users an item must have as others are looked up in it, so that looking up by halves is cheaper than writing down the weights of all.
const denseShare = 16

// addPairs adds up all pairs but those of whole items: those of an item after each other, each with the item that more users have, which are marked once.
func (a *pairAdder) addPairs(ctx context.Context, wanted *WantedSums, out []PairSums) error {
	sums, rest := make([]float64, len(wanted.pairs)), 0
	for n, w := range out {
		if !w.All {
			out[n].Sum = sums[rest : rest+len(w.With) : rest+len(w.With)]
			rest += len(w.With)
		}
	}
	for i := range a.items {
		if i%1024 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		if pairs := wanted.pairs[wanted.first[i]:wanted.first[i+1]]; len(pairs) > 0 {
			a.addItem(uint32(i), pairs, sums)
		}
	}
	return nil
}

// addItem adds up the pairs of an item; those of either list of a pair once.
func (a *pairAdder) addItem(item uint32, pairs []pairOf, sums []float64) {
	users, weights := a.column(item)
	steps := 0
	for _, p := range pairs {
		steps += int(a.start[p.with+1] - a.start[p.with])
	}
	mark := steps*denseShare >= len(users)
	if mark {
		for k, u := range users {
			set(a.has, u)
			a.weight[u] = weights[k]
		}
	}
	for _, p := range pairs {
		switch at := a.place[p.with]; {
		case at != 0:
			sums[p.at] = sums[at-1]
			continue
		case mark:
			sums[p.at] = a.marked(p.with)
		default:
			sums[p.at] = a.product(users, weights, p.with)
		}
		a.place[p.with] = p.at + 1
	}
	for _, p := range pairs {
		a.place[p.with] = 0
	}
	if mark {
		for _, u := range users {
			a.has[u/64] = 0
		}
	}
}

// marked is the product of the column that is marked with that of an item.
func (a *pairAdder) marked(i uint32) (sum float64) {
	users, weights := a.column(i)
	for k, u := range users {
		if isSet(a.has, u) {
			sum += float64(weights[k]) * float64(a.weight[u])
		}
	}
	return sum
}

// product is that of a long column with that of an item.
func (a *pairAdder) product(users []uint32, weights []float32, i uint32) (sum float64) {
	few, theirs := a.column(i)
	for n, u := range few {
		at, ok := slices.BinarySearch(users, u)
		if ok {
			sum += float64(theirs[n]) * float64(weights[at])
		}
		users, weights = users[at:], weights[at:]
	}
	return sum
}

// row returns the row of a user of any part.
func (a *pairAdder) row(u uint32) ([]uint32, []float32) {
	p := sort.SearchInts(a.first, int(u)+1) - 1
	return a.parts[p].row(int(u) - a.first[p])
}

// addAll adds up the pairs of an item with all others.
func (a *pairAdder) addAll(w PairSums) PairSums {
	a.with, a.sums = a.with[:0], a.sums[:0]
	users, own := a.column(w.Item)
	for n, u := range users {
		items, weights := a.row(u)
		for k, i := range items {
			if i == w.Item {
				continue
			}
			at := a.place[i]
			if at == 0 {
				a.with, a.sums = append(a.with, i), append(a.sums, 0)
				at = uint32(len(a.with))
				a.place[i] = at
			}
			x := float64(own[n])
			if !a.commons {
				x *= float64(weightAt(weights, k))
			}
			a.sums[at-1] += x
		}
	}
	out := a.all(w)
	for _, i := range a.with {
		a.place[i] = 0
	}
	return out
}

// all returns the sums with all items, by ascending item.
func (a *pairAdder) all(w PairSums) PairSums {
	out := PairSums{Item: w.Item, All: true, Mirror: w.Mirror, With: slices.Clone(a.with), Sum: make([]float64, len(a.sums))}
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
