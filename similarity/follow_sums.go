package similarity

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sort"
	"sync/atomic"
)

// maxPairSums bounds the sums that lists may want: 12 bytes each on every node, and 16 where they are formed.
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

// SumsOver says over whom sums are formed, and how.
type SumsOver struct {
	// Parts of the rows, whose weights are whole.
	Parts []*Rows
	// All says that these are all rows. Of sums with all items only those are told then that the list of the item may need, unless all lists need them.
	All bool
	// Pieces are as many as work at a time, and Side calls f for 0 to n-1, in goroutines or not, and returns when all have.
	Pieces int
	Side   func(n int, f func(k int) error) error
}

// SumPairs forms the sums that are wanted over some users. Sums of other users add to them. Errors match ErrNotFollowed for other weights, ErrShape for items that there are not, or are those of Side or the context.
// Cost: O(items + entries); for a pair the users of the item that fewer have, and for an item with all the lengths of the rows of its users. Memory: 8 bytes for each entry of what is wanted, or of all entries
// if that is a fourth of them, 8 for each pair, and in each piece 8 for each item, 4 for each user, and some 32 for each user of an item.
func (s *Step) SumPairs(ctx context.Context, over SumsOver, wanted *WantedSums) ([]PairSums, error) {
	c := pairColumns{step: s, parts: over.Parts, all: over.All, items: s.Len(), commons: s.kind == commons}
	pieces, side := max(1, over.Pieces), over.Side
	if err := c.collect(wanted, pieces, side); err != nil {
		return nil, err
	}
	w := pairWork{pairColumns: &c, wanted: wanted, out: slices.Clone(wanted.sums)}
	w.room.Store(maxPairSums - int64(len(wanted.pairs)))
	w.cut(pieces)
	if err := side(pieces, func(int) error { return w.add(ctx) }); err != nil {
		return nil, err
	}
	for _, w := range w.out {
		for k, sum := range w.Sum {
			if sum != float64(int64(sum)) {
				return nil, fmt.Errorf("%w: sum %v of items %d and %d, want whole weights", ErrNotFollowed, sum, w.Item, w.With[k])
			}
		}
	}
	return w.out, nil
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
			return nil, fmt.Errorf("sums of item %d with %d others, of %d items: %w", p.Item, len(p.With), n, ErrShape)
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

// pairColumns are the columns of rows, as far as they are needed for sums. Users are numbered over all parts.
type pairColumns struct {
	step    *Step
	parts   []*Rows
	all     bool // these are all
	items   int
	commons bool
	// first is the number of the first user of each part, and last that of all.
	first []int
	// users of the wanted items: those of item i are at start[i] to start[i+1], ascending, with their weights.
	start   []int64
	users   []uint32
	weights []float32
}

// wantedShare is the part of all entries, one in so many, that wanted items must have for all columns to be made: that is faster, entry by entry, than to leave out others.
const wantedShare = 4

// collect makes the columns of what is wanted.
func (c *pairColumns) collect(wanted *WantedSums, pieces int, side func(n int, f func(k int) error) error) error {
	users, entries := 0, int64(0)
	for _, r := range c.parts {
		if r.NumItems != c.items {
			return fmt.Errorf("rows of %d items, want %d: %w", r.NumItems, c.items, ErrShape)
		}
		c.first = append(c.first, users)
		users += r.NumUsers()
		entries += r.entries()
	}
	c.first = append(c.first, users)
	// Each piece counts the entries of its parts, and then has room of its own.
	pieces = min(pieces, max(1, len(c.parts)))
	cut := func(k int) int { return len(c.parts) * k / pieces }
	next := make([][]int64, pieces)
	err := side(pieces, func(k int) error {
		next[k] = make([]int64, c.items)
		for _, r := range c.parts[cut(k):cut(k+1)] {
			for _, i := range r.Item[r.Start[0]:r.Start[r.NumUsers()]] {
				next[k][i]++
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	some := int64(0)
	for i := range c.items {
		if isSet(wanted.items, uint32(i)) {
			for k := range next {
				some += next[k][i]
			}
		}
	}
	few, at := some*wantedShare < entries, int64(0)
	c.start = make([]int64, c.items+1)
	for i := range c.items {
		for k := range next {
			n := next[k][i]
			if few && !isSet(wanted.items, uint32(i)) {
				n = 0
			}
			next[k][i], at = at, at+n
		}
		c.start[i+1] = at
	}
	c.users, c.weights = make([]uint32, at), make([]float32, at)
	var buckets []uint16
	if !few {
		buckets = columnBuckets(c.start)
	}
	return side(pieces, func(k int) error {
		w := columnWriter{next: next[k], users: c.users, weights: c.weights, bucket: buckets, most: heldEntries / int64(pieces)}
		if few {
			w.only = wanted.items
		}
		for p := cut(k); p < cut(k+1); p++ {
			r := c.parts[p]
			if c.commons {
				r = &Rows{NumItems: r.NumItems, Start: r.Start, Item: r.Item}
			}
			w.write(r, 0, r.NumUsers(), uint32(c.first[p]))
		}
		return nil
	})
}

// column returns the users of an item, and their weights.
func (c *pairColumns) column(item uint32) ([]uint32, []float32) {
	lo, hi := c.start[item], c.start[item+1]
	return c.users[lo:hi], c.weights[lo:hi]
}

// pairWork is the forming of sums, which those at work on it take bit by bit.
type pairWork struct {
	*pairColumns
	wanted *WantedSums
	out    []PairSums
	sums   []float64 // of all pairs
	room   atomic.Int64
	// ends are where ranges of items end that have about as many pairs; next of out or, behind them, of the ranges is the next to be taken.
	ends []uint32
	next atomic.Int64
}

// cut gives pairs room for their sums, and cuts the items.
func (w *pairWork) cut(pieces int) {
	w.sums = make([]float64, len(w.wanted.pairs))
	rest := 0
	for n, p := range w.out {
		if !p.All {
			w.out[n].Sum = w.sums[rest : rest+len(p.With) : rest+len(p.With)]
			rest += len(p.With)
		}
	}
	if pieces *= 32; pieces > len(w.wanted.pairs) { // so many that all are at work to the end
		pieces = 1
	}
	for k := range pieces {
		most := uint32(len(w.wanted.pairs) * (k + 1) / pieces)
		w.ends = append(w.ends, uint32(sort.Search(w.items, func(i int) bool { return w.wanted.first[i+1] > most })))
	}
}

// add forms sums until there is nothing left to be taken.
func (w *pairWork) add(ctx context.Context) error {
	users := w.first[len(w.parts)]
	a := pairAdder{pairColumns: w.pairColumns, has: make([]uint64, (users+63)/64), weight: make([]float32, users), place: make([]uint32, w.items)}
	for {
		n := int(w.next.Add(1)) - 1
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case n >= len(w.out)+len(w.ends):
			return nil
		case n >= len(w.out):
			from, k := uint32(0), n-len(w.out)
			if k > 0 {
				from = w.ends[k-1]
			}
			for i := from; i < w.ends[k]; i++ {
				if pairs := w.wanted.pairs[w.wanted.first[i]:w.wanted.first[i+1]]; len(pairs) > 0 {
					a.addItem(i, pairs, w.sums)
				}
			}
		case w.out[n].All:
			w.out[n] = a.addAll(w.out[n])
			if w.room.Add(-int64(len(w.out[n].With))) < 0 {
				return tooManyPairSums()
			}
		}
	}
}

// pairAdder adds up sums of one item after the other.
type pairAdder struct {
	*pairColumns
	// has has a bit for each user of an item, and weight what it is there; no bit is set between items.
	has    []uint64
	weight []float32
	place  []uint32 // of an item in with, or of its sum with the item, plus 1; all zero between items
	with   []uint32
	sums   []float64
	keys   []uint64 // of with
	// hits are of some pairs of the item, and again those pairs of it that come twice.
	hits        []hit
	again       []pairOf
	places, own []uint32 // of what is asked for, in words of 8 bytes, or of users who were met
}

// denseShare is how many times as many users an item must have as others are looked up in it, so that looking up by halves is cheaper than writing down the weights of all.
const denseShare = 16

// addItem adds up the pairs of an item, each with the item that more users have, which are marked once; those of either list of a pair once.
func (a *pairAdder) addItem(item uint32, pairs []pairOf, sums []float64) {
	users, weights := a.column(item)
	mark, steps := false, 0
	for n := 0; n < len(pairs) && !mark; n++ {
		with := pairs[n].with
		steps += int(a.start[with+1] - a.start[with])
		mark = steps*denseShare >= len(users)
	}
	if mark {
		for k, u := range users {
			set(a.has, u)
			a.weight[u] = weights[k]
		}
	}
	a.fetchStarts(pairs[:min(2*columnsAhead, len(pairs))])
	a.fetchColumns(pairs[:min(columnsAhead, len(pairs))])
	for from := 0; from < len(pairs); from += columnsAhead {
		end := min(from+columnsAhead, len(pairs))
		ahead := min(end+columnsAhead, len(pairs))
		a.fetchStarts(pairs[ahead:min(ahead+columnsAhead, len(pairs))])
		a.fetchColumns(pairs[end:ahead])
		some := pairs[from:end]
		for n, p := range some {
			switch at := a.place[p.with]; {
			case at != 0:
				a.again = append(a.again, p)
				continue
			case mark:
				if a.meet(p.with, uint32(n)); len(a.hits) > hitsAhead {
					a.addHits(some, sums)
				}
			default:
				sums[p.at] = a.product(users, weights, p.with)
			}
			a.place[p.with] = p.at + 1
		}
		a.addHits(some, sums)
	}
	for _, p := range a.again {
		sums[p.at] = sums[a.place[p.with]-1]
	}
	a.again = a.again[:0]
	for _, p := range pairs {
		a.place[p.with] = 0
	}
	if mark {
		for _, u := range users {
			a.has[u/64] = 0
		}
	}
}

const (
	// columnsAhead is for how many pairs columns are asked for at a time.
	columnsAhead = 16
	// wordsAhead is how much of a column, in words of 8 bytes, is asked for; the processor sees for itself how it goes on.
	wordsAhead = 16
	// hitsAhead is about how many weights are asked for at a time: more would push each other out of the cache.
	hitsAhead = 1 << 10
)

// fetchStarts asks for where the columns of the others of some pairs are, and for their places.
func (a *pairAdder) fetchStarts(pairs []pairOf) {
	starts, own := a.places[:0], a.own[:0]
	for _, p := range pairs {
		starts, own = append(starts, p.with), append(own, p.with/2)
	}
	a.places, a.own = starts, own
	fetch(float64s(a.start), starts)
	fetch(float64s(a.place), own)
}

// fetchColumns asks for the users of the others of some pairs.
func (a *pairAdder) fetchColumns(pairs []pairOf) {
	places := a.places[:0]
	for _, p := range pairs {
		lo, hi := a.start[p.with]/2, a.start[p.with+1]/2
		for at := lo; at <= min(hi, lo+wordsAhead); at += 8 {
			places = append(places, uint32(at))
		}
	}
	a.places = places
	fetch(float64s(a.users), places)
}

// hit is a user of a pair of items: the place of the entry among all columns, the user, and the number of the pair.
type hit struct {
	at         int64
	user, pair uint32
}

// meet notes the users of an item who have the one that is marked. Most have not.
func (a *pairAdder) meet(item, pair uint32) {
	users, _ := a.column(item)
	a.places = slices.Grow(a.places[:0], len(users)+1)[:len(users)+1]
	for _, k := range a.places[:members(a.places, a.has, users)] {
		a.hits = append(a.hits, hit{a.start[item] + int64(k), users[k], pair})
	}
}

// addHits adds up what was met of pairs. The weights lie here and there, so all are asked for first.
func (a *pairAdder) addHits(pairs []pairOf, sums []float64) {
	theirs, own := a.places[:0], a.own[:0]
	for _, h := range a.hits {
		theirs, own = append(theirs, uint32(h.at/2)), append(own, h.user/2)
	}
	a.places, a.own = theirs, own
	fetch(float64s(a.weights), theirs)
	fetch(float64s(a.weight), own)
	for _, h := range a.hits {
		sums[pairs[h.pair].at] += float64(a.weights[h.at]) * float64(a.weight[h.user])
	}
	a.hits = a.hits[:0]
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
	with := a.with
	if a.all && !w.Mirror {
		with = a.best(w.Item)
	}
	with = slices.Sorted(slices.Values(with))
	w.With, w.Sum = with, make([]float64, len(with))
	for k, i := range with {
		w.Sum[k] = a.sums[a.place[i]-1]
	}
	for _, i := range a.with {
		a.place[i] = 0
	}
	return w
}

// best returns the items whose sums the list of an item may need: what it and what is behind it will hold, and the next, which bounds all others.
func (a *pairAdder) best(item uint32) []uint32 {
	s := a.step
	keep := s.o.K + s.o.Reserve() + 1
	if len(a.with) <= keep || slices.Max(a.sums) >= exactSum { // which is refused, wherever it ranks
		return a.with
	}
	x := &s.item[s.order[item]]
	keys := a.keys[:0]
	for k, i := range a.with {
		keys = append(keys, rankKey(s.score(a.sums[k], x.is, s.item[s.order[i]].is), i))
	}
	a.keys = keys
	selectBest(keys, keep)
	with := make([]uint32, keep)
	for k, key := range keys[:keep] {
		with[k] = keyID(key)
	}
	return with
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
