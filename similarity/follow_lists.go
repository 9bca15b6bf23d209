package similarity

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"sort"
)

// HeldList is what a version keeps of the pairs of an item: its list, the neighbors behind it, and a bound on the scores of all pairs that are in neither; 0 if there are none.
type HeldList struct {
	List, Rest []Neighbor
	Bound      float32
}

// Follower makes the lists of some items of the next version of those of the version before. The calls are Look, Wanted, Give with the sums of all that is wanted by whomever, and AppendList for
// each item. It must not be used by two goroutines at the same time.
type Follower struct {
	step  *Step
	items []uint32
	held  func(item uint32) HeldList
	lists []followed // of the items
	// told are pairs that lists hold and those of the other item may not, so that those cannot know what they have: of that list and of the other item, by next ids.
	told []uint64
	// asks are the next ids of those whose sums lists need and cannot tell, ascending, one list behind the other up to askEnds.
	asks    []uint32
	askEnds []int
	room    []uint64 // for keys of lists
	places  []uint32 // of what is asked for, in words of 8 bytes
}

// followed is a list on its way.
type followed struct {
	changed bool // else it is that of the version before, and what follows is empty
	whole   bool // no pair is known
	full    bool // all are
	bound   float32
	keys    []uint64 // rankKey of what is held, with next ids; descending unless Give has added some
	least   uint64   // keys below it are not held, as so many are above
}

// NewFollower returns a Follower of items that the next version has, as they were numbered and in the order of the next version. held returns what there is of the list of an item: items that
// the version before had not have an empty one and no bound.
func NewFollower(s *Step, items []uint32, held func(item uint32) HeldList) *Follower {
	return &Follower{step: s, items: items, held: held, lists: make([]followed, len(items))}
}

// tell has the sum of an item formed for the list of another as well, both as they were numbered.
func (f *Follower) tell(list, item uint32) {
	if s := f.step; s.next[list] != Gone {
		f.told = append(f.told, uint64(s.next[list])<<32|uint64(s.next[item]))
	}
}

// Options returns those of the lists.
func (f *Follower) Options() Options { return f.step.o }

// IDs gives the dense ids of the items in the next version, which ascend.
func (f *Follower) IDs() iter.Seq2[int, uint32] {
	return func(yield func(int, uint32) bool) {
		for k, i := range f.items {
			if !yield(k, f.step.next[i]) {
				return
			}
		}
	}
}

// list returns the list of an item by its next id, if it is one of the items.
func (f *Follower) list(id uint32) (l *followed, ok bool) {
	at, ok := slices.BinarySearchFunc(f.items, id, func(i, id uint32) int { return cmp.Compare(f.step.next[i], id) })
	if !ok {
		return nil, false
	}
	return &f.lists[at], true
}

// asksOf returns what list k asks for.
func (f *Follower) asksOf(k int) []uint32 {
	from := 0
	if k > 0 {
		from = f.askEnds[k-1]
	}
	return f.asks[from:f.askEnds[k]:f.askEnds[k]]
}

// take returns room for n keys.
func (f *Follower) take(n int) []uint64 {
	if cap(f.room)-len(f.room) < n {
		f.room = make([]uint64, 0, max(n, 1<<16))
	}
	at := len(f.room)
	f.room = f.room[:at+n]
	return f.room[at : at : at+n]
}

// touches reports whether norms of neighbors have changed.
func (f *Follower) touches(list []Neighbor) bool {
	for _, n := range list {
		if isSet(f.step.touched, n.ID) {
			return true
		}
	}
	return false
}

// put holds a pair with the given sum.
func (f *Follower) put(l *followed, i, j uint32, sum float64) error {
	switch {
	case sum == 0:
		return nil
	case !(sum >= 0):
		return fmt.Errorf("follow: the sum of items %d and %d would be %v: %w", i, j, sum, ErrShape)
	case sum >= exactSum:
		return fmt.Errorf("%w: sum %v of items %d and %d, want below %d", ErrNotFollowed, sum, i, j, exactSum)
	}
	x, y := &f.step.item[i], &f.step.item[j]
	score := f.step.score(sum, x.is, y.is)
	switch key := rankKey(score, y.next); {
	case score == 0:
	case key < l.least:
		l.bound = max(l.bound, score)
	default:
		l.keys = append(l.keys, key)
	}
	return nil
}

// PairSums are sums of an item with others, for its list: with those of With, ascending, or with All that have one. Ids are dense ids of the next version. Sum goes with With; it is nil where sums are wanted.
type PairSums struct {
	Item uint32
	All  bool
	// Mirror says that all lists need the sums of the item, and not its own alone.
	Mirror bool
	With   []uint32
	Sum    []float64
}

// Wanted returns the sums that lists cannot tell, in the order of JoinWanted, for each list its own.
func (f *Follower) Wanted() []PairSums {
	var whole, pairs []PairSums
	for k, id := range f.IDs() {
		if f.lists[k].whole {
			whole = append(whole, PairSums{Item: id, All: true, Mirror: isSet(f.step.fallen, f.items[k])})
		} else if asks := f.asksOf(k); len(asks) > 0 {
			pairs = append(pairs, PairSums{Item: id, With: asks})
		}
	}
	slices.Sort(f.told)
	for told := f.told; len(told) > 0; {
		item, n := uint32(told[0]>>32), 0
		with := make([]uint32, 0, 1)
		for n < len(told) && uint32(told[n]>>32) == item {
			with = append(with, uint32(told[n]))
			n++
		}
		pairs, told = append(pairs, PairSums{Item: item, With: with}), told[n:]
	}
	return append(whole, pairs...)
}

// Give takes sums: all that were wanted, by whomever, in the order of JoinWanted.
// Cost: O(items that sums are of + sums of the lists and those that all lists need).
func (f *Follower) Give(sums []PairSums) error {
	s := f.step
	for n, p := range sums {
		if n > 0 && comparePairs(sums[n-1], p) >= 0 {
			return fmt.Errorf("follow: sums of item %d come after those of item %d: %w", p.Item, sums[n-1].Item, ErrShape)
		}
		if !p.All {
			if p.Mirror {
				return fmt.Errorf("follow: all lists need sums of item %d, and they are not those with all: %w", p.Item, ErrShape)
			}
			continue
		}
		if err := f.check(p); err != nil {
			return err
		}
		if l, ok := f.list(p.Item); ok && l.whole {
			*l = followed{changed: true, full: true, keys: f.take(len(p.With))}
			for k, with := range p.With {
				if err := f.put(l, s.order[p.Item], s.order[with], p.Sum[k]); err != nil {
					return err
				}
			}
		}
	}
	pairs := sums[sort.Search(len(sums), func(n int) bool { return !sums[n].All }):]
	for k, id := range f.IDs() {
		if f.lists[k].whole {
			return fmt.Errorf("follow: the sums of item %d did not come: %w", id, ErrShape)
		}
		for len(pairs) > 0 && pairs[0].Item < id {
			pairs = pairs[1:]
		}
		if k+1 < len(f.items) {
			f.fetchAsked(k + 1)
		}
		if err := f.give(k, id, pairs); err != nil {
			return err
		}
	}
	for _, p := range sums {
		if !p.Mirror {
			continue
		}
		for k, with := range p.With {
			if err := f.mirror(with, p.Item, p.Sum[k]); err != nil {
				return err
			}
		}
	}
	return nil
}

// fetchAsked asks for what scores need of those that list k asks for.
func (f *Follower) fetchAsked(k int) {
	places := f.places[:0]
	for _, with := range f.asksOf(k) {
		places = append(places, itemWords*f.step.order[with])
	}
	f.places = places
	fetch(float64s(f.step.item), places)
}

// give holds the pairs of list k, of an item by its next id, that it asked for or that were asked for in its name. Their sums come first of pairs.
func (f *Follower) give(k int, id uint32, pairs []PairSums) error {
	var p PairSums
	if len(pairs) > 0 && pairs[0].Item == id {
		p = pairs[0]
	}
	if len(p.Sum) != len(p.With) {
		return fmt.Errorf("follow: %d sums of item %d with %d others: %w", len(p.Sum), id, len(p.With), ErrShape)
	}
	l, asks := &f.lists[k], f.asksOf(k)
	held := l.keys
	for n, with := range p.With {
		if len(asks) > 0 && asks[0] == with {
			asks = asks[1:]
		} else if known := !l.changed || l.full || holds(held, with); known {
			continue
		}
		if int64(with) >= int64(f.step.Len()) {
			return fmt.Errorf("follow: a sum of item %d with item %d of %d: %w", id, with, f.step.Len(), ErrShape)
		}
		if err := f.put(l, f.items[k], f.step.order[with], p.Sum[n]); err != nil {
			return err
		}
	}
	if len(asks) > 0 {
		return fmt.Errorf("follow: the sum of items %d and %d did not come: %w", id, asks[0], ErrShape)
	}
	return nil
}

// holds reports whether keys have an item, by its next id.
func holds(keys []uint64, id uint32) bool {
	return slices.ContainsFunc(keys, func(key uint64) bool { return keyID(key) == id })
}

// check refuses sums of items that there are not, or out of order, and those that cannot be.
func (f *Follower) check(p PairSums) error {
	n := f.step.Len()
	if int64(p.Item) >= int64(n) || len(p.With) != len(p.Sum) || slices.ContainsFunc(p.With, func(id uint32) bool { return int64(id) >= int64(n) }) {
		return fmt.Errorf("follow: %d sums of item %d with %d of %d items: %w", len(p.Sum), p.Item, len(p.With), n, ErrShape)
	}
	for k, with := range p.With {
		if with == p.Item || k > 0 && p.With[k-1] >= with {
			return fmt.Errorf("follow: item %d is at place %d of those whose sums with item %d come: %w", with, k, p.Item, ErrShape)
		}
	}
	for k, sum := range p.Sum {
		switch {
		case !(sum >= 0):
			return fmt.Errorf("follow: a sum of item %d is %v: %w", p.Item, sum, ErrShape)
		case sum >= exactSum:
			return fmt.Errorf("%w: sum %v of items %d and %d, want below %d", ErrNotFollowed, sum, p.Item, p.With[k], exactSum)
		}
	}
	return nil
}

// mirror holds a pair of an item that has fallen in the list of another, if it belongs there. Both are next ids.
func (f *Follower) mirror(id, fallen uint32, sum float64) error {
	l, ok := f.list(id)
	if !ok {
		return nil
	}
	s := f.step
	i, j := s.order[id], s.order[fallen]
	if !l.changed {
		h := f.held(i)
		if s.score(sum, s.item[i].is, s.item[j].is) < h.Bound {
			return nil
		}
		*l = followed{changed: true, bound: h.Bound, keys: f.take(len(h.List) + len(h.Rest) + 1)}
		for _, n := range slices.Concat(h.List, h.Rest) {
			l.keys = append(l.keys, rankKey(n.Score, s.next[n.ID]))
		}
	}
	if holds(l.keys, fallen) {
		return nil
	}
	return f.put(l, i, j, sum)
}

// AppendList appends the list of the kth of the items, with dense ids of the next version, and what is kept behind it, for which bound is as in HeldList. Once a list has been appended it must not be again.
func (f *Follower) AppendList(list, rest []Neighbor, k int) (_, _ []Neighbor, bound float32) {
	s, l := f.step, &f.lists[k]
	if !l.changed { // the order is as it was, as that of ids of items that have not moved is
		h := f.held(f.items[k])
		return s.rename(list, h.List), s.rename(rest, h.Rest), h.Bound
	}
	descend(l.keys)
	all, bound := l.keys, l.bound
	if keep := s.o.K + s.o.Reserve(); len(all) > keep {
		bound = max(bound, keyScore(all[keep]))
		all = all[:keep]
	}
	for at, key := range all {
		n := Neighbor{keyID(key), keyScore(key)}
		if at < s.o.K {
			list = append(list, n)
		} else {
			rest = append(rest, n)
		}
	}
	return list, rest, bound
}

// rename appends neighbors with their next ids.
func (s *Step) rename(dst, list []Neighbor) []Neighbor {
	next, at := s.next, len(dst)
	dst = slices.Grow(dst, len(list))[:at+len(list)]
	to := dst[at:]
	for k := range list {
		n := &list[k]
		to[k] = Neighbor{next[n.ID], n.Score}
	}
	return dst
}

// comparePairs orders sums: those with all others first, then by item.
func comparePairs(a, b PairSums) int {
	return cmp.Or(cmp.Compare(one(b.All), one(a.All)), cmp.Compare(a.Item, b.Item))
}

// JoinWanted makes one of what several Followers of a version of so many items want, each item once: whole items first, then by item. The error matches ErrShape if an item is not below them, and
// ErrNotFollowed if they are more than maxPairSums.
// Cost: O(items + what is wanted), and sorting what several want of one item.
func JoinWanted(wanted []PairSums, items int) ([]PairSums, error) {
	total := 0
	for _, w := range wanted {
		if int64(w.Item) >= int64(items) {
			return nil, fmt.Errorf("sums of item %d of %d are wanted: %w", w.Item, items, ErrShape)
		}
		if total += len(w.With); total > maxPairSums { // before anything is done for them
			return nil, tooManyPairSums()
		}
	}
	slices.SortFunc(wanted, comparePairs) // few runs that ascend
	out := wanted[:0]
	for from := 0; from < len(wanted); {
		w, to := wanted[from], from+1
		for to < len(wanted) && comparePairs(wanted[to], w) == 0 { // asked for in its name
			w.Mirror = w.Mirror || wanted[to].Mirror
			to++
		}
		if to > from+1 {
			with := make([][]uint32, 0, to-from)
			for _, x := range wanted[from:to] {
				with = append(with, x.With)
			}
			w.With = slices.Concat(with...)
			slices.Sort(w.With)
			w.With = slices.Compact(w.With)
		}
		out, from = append(out, w), to
	}
	return out, nil
}
