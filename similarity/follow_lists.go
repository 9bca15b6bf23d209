package similarity

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
)

// HeldList is what a version keeps of the pairs of an item: its list, the neighbors behind it, and a bound on the scores of all pairs that are in neither; 0 if there are none.
type HeldList struct {
	List, Rest []Neighbor
	Bound      float32
}

// Follower makes the lists of some items of the next version of those of the version before. The calls are Look for each item, Wanted, Give with the sums of all that is wanted by whomever, and List for
// each item. It must not be used by two goroutines at the same time.
type Follower struct {
	step *Step
	held func(item uint32) (h HeldList, own bool)
	// lists that are not what they were, by item as it was numbered.
	lists map[uint32]*followed
}

// followed is a list on its way.
type followed struct {
	held  []Neighbor // of items as they were numbered, in no order
	bound float32
	// ask are items whose sum with the item is not known; whole says that no pair is.
	ask   []uint32
	whole bool
}

// NewFollower returns a Follower of the items that held says are its own, by their numbers as they were: items that the version before had not, have an empty list and no bound.
func NewFollower(s *Step, held func(item uint32) (h HeldList, own bool)) *Follower {
	return &Follower{step: s, held: held, lists: map[uint32]*followed{}}
}

// Look looks at the list of an item, as it was numbered.
// Cost: O(neighbors), and for lists with changes O(neighbors · log neighbors).
func (f *Follower) Look(i uint32) error {
	s := f.step
	h, own := f.held(i)
	if !own || s.next[i] == Gone {
		return nil
	}
	moved, deltas := isSet(s.touched, i), s.deltasOf(i)
	tied := f.tied(i, h)
	if !moved && len(deltas) == 0 && !tied && !f.touches(h.List) && !f.touches(h.Rest) {
		return nil
	}
	l := &followed{bound: h.Bound, held: make([]Neighbor, 0, len(h.List)+len(h.Rest)+len(deltas))}
	f.lists[i] = l
	if isSet(s.fallen, i) { // all its pairs may have risen
		l.whole = true
		return nil
	}
	held := make([]bool, len(deltas)) // pairs of deltas that are held
	for _, part := range [...][]Neighbor{h.List, h.Rest} {
		for _, n := range part {
			at, ofDelta := slices.BinarySearchFunc(deltas, packPair(i, n.ID), func(d pairDelta, pair uint64) int { return cmp.Compare(d.pair, pair) })
			delta := 0.0
			if ofDelta {
				delta, held[at] = deltas[at].delta, true
			} else if !moved && !isSet(s.touched, n.ID) {
				l.held = append(l.held, n)
				continue
			}
			sum, ok := s.sumBefore(n.Score, i, n.ID)
			if !ok {
				l.ask = append(l.ask, n.ID)
				continue
			}
			if err := f.put(l, i, n.ID, sum+delta); err != nil {
				return err
			}
		}
	}
	for at, d := range deltas {
		switch j := d.other(); {
		case held[at]:
		case l.bound == 0 || s.before.users[j] == 0: // it had none
			if err := f.put(l, i, j, d.delta); err != nil {
				return err
			}
		case s.next[j] != Gone && s.score(s.most(l.bound, i, j)+d.delta, i, j) > l.bound:
			l.ask = append(l.ask, j)
		}
	}
	l.whole = tied || !l.full(s.o.K)
	return nil
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

// tied reports whether pairs that are not held may come before the last of a list: they have its score, and some of them may keep it though their norm has risen, as norms are so large that scores
// of float32 do not show it.
func (f *Follower) tied(i uint32, h HeldList) bool {
	s := f.step
	return (s.heavy || s.norm(&s.now, i) >= knownSum) && h.Bound > 0 && len(h.List) > 0 && h.List[len(h.List)-1].Score <= h.Bound
}

// put holds a pair with the given sum.
func (f *Follower) put(l *followed, i, j uint32, sum float64) error {
	switch {
	case sum == 0:
		return nil
	case sum < 0:
		return fmt.Errorf("follow: the sum of items %d and %d would be %v: %w", i, j, sum, ErrShape)
	case sum >= exactSum:
		return fmt.Errorf("%w: sum %v of items %d and %d, want below %d", ErrNotFollowed, sum, i, j, exactSum)
	}
	if score := f.step.score(sum, i, j); score != 0 {
		l.held = append(l.held, Neighbor{j, score})
	}
	return nil
}

// full reports whether the best k are among those held.
func (l *followed) full(k int) bool {
	if l.bound == 0 {
		return true
	}
	above := 0
	for _, n := range l.held {
		if n.Score > l.bound {
			above++
		}
	}
	return above >= k
}

// PairSums are sums of an item with others: with those of With, ascending, or with All that have one. Ids are dense ids of the next version. Sum goes with With; it is nil where sums are wanted.
type PairSums struct {
	Item uint32
	All  bool
	// Mirror says that all lists need the sums of the item, and not its own alone.
	Mirror bool
	With   []uint32
	Sum    []float64
}

// Wanted returns the sums that lists cannot tell; each pair once, with the item that more users have.
func (f *Follower) Wanted() []PairSums {
	s := f.step
	var out []PairSums
	var pairs []uint64
	for i, l := range f.lists {
		id := s.next[i]
		if l.whole {
			out = append(out, PairSums{Item: id, All: true, Mirror: isSet(s.fallen, i)})
			continue
		}
		for _, j := range l.ask {
			if with := s.next[j]; with != Gone {
				pairs = append(pairs, pairOf(id, with))
			}
		}
	}
	slices.Sort(pairs)
	whole := len(out)
	for _, p := range slices.Compact(pairs) {
		item := uint32(p >> 32)
		if n := len(out); n == whole || out[n-1].Item != item {
			out = append(out, PairSums{Item: item})
		}
		last := &out[len(out)-1]
		last.With = append(last.With, uint32(p))
	}
	return out
}

// Give takes sums: all that were wanted, by whomever, in the order of JoinWanted.
// Cost: O(sums that all lists need + pairs that were asked for · log sums).
func (f *Follower) Give(sums []PairSums) error {
	s := f.step
	for n, p := range sums {
		if err := f.check(p); err != nil {
			return err
		}
		if n > 0 && comparePairs(sums[n-1], p) >= 0 {
			return fmt.Errorf("follow: sums of item %d come after those of item %d: %w", p.Item, sums[n-1].Item, ErrShape)
		}
		if !p.All {
			continue
		}
		item := s.order[p.Item]
		if l := f.lists[item]; l != nil && l.whole {
			*l = followed{}
			for k, with := range p.With {
				if err := f.put(l, item, s.order[with], p.Sum[k]); err != nil {
					return err
				}
			}
		}
	}
	pairs := sums[sort.Search(len(sums), func(n int) bool { return !sums[n].All }):]
	for i, l := range f.lists {
		if l.whole {
			return fmt.Errorf("follow: the sums of item %d did not come: %w", s.next[i], ErrShape)
		}
		for _, j := range l.ask {
			if s.next[j] == Gone {
				continue
			}
			sum, ok := findSum(pairs, s.next[i], s.next[j])
			if !ok {
				return fmt.Errorf("follow: the sum of items %d and %d did not come: %w", s.next[i], s.next[j], ErrShape)
			}
			if err := f.put(l, i, j, sum); err != nil {
				return err
			}
		}
	}
	for _, p := range sums {
		if !p.Mirror {
			continue
		}
		for k, with := range p.With {
			if err := f.mirror(s.order[with], s.order[p.Item], p.Sum[k]); err != nil {
				return err
			}
		}
	}
	return nil
}

// findSum returns the sum of a pair.
func findSum(pairs []PairSums, a, b uint32) (float64, bool) {
	item, with := min(a, b), max(a, b)
	n, ok := slices.BinarySearchFunc(pairs, item, func(p PairSums, item uint32) int { return cmp.Compare(p.Item, item) })
	if !ok {
		return 0, false
	}
	k, ok := slices.BinarySearch(pairs[n].With, with)
	if !ok {
		return 0, false
	}
	return pairs[n].Sum[k], true
}

// pairOf is one number for a pair in either order: that of the item with more users comes first.
func pairOf(a, b uint32) uint64 { return packPair(min(a, b), max(a, b)) }

// check refuses sums of items that there are not.
func (f *Follower) check(p PairSums) error {
	n := f.step.Len()
	if int64(p.Item) >= int64(n) || len(p.With) != len(p.Sum) || slices.ContainsFunc(p.With, func(id uint32) bool { return int64(id) >= int64(n) }) {
		return fmt.Errorf("follow: %d sums of item %d with %d of %d items: %w", len(p.Sum), p.Item, len(p.With), n, ErrShape)
	}
	return nil
}

// mirror holds a pair of an item that has fallen in the list of another, if it belongs there.
func (f *Follower) mirror(i, fallen uint32, sum float64) error {
	l := f.lists[i]
	if l == nil {
		h, own := f.held(i)
		if !own || f.step.score(sum, i, fallen) < h.Bound {
			return nil
		}
		l = &followed{held: slices.Concat(h.List, h.Rest), bound: h.Bound}
		f.lists[i] = l
	}
	if slices.ContainsFunc(l.held, func(n Neighbor) bool { return n.ID == fallen }) {
		return nil
	}
	return f.put(l, i, fallen, sum)
}

// AppendList appends the list of an item of the next version, by its dense id there, with dense ids, and what is kept behind it, for which bound is as in HeldList.
func (f *Follower) AppendList(list, rest []Neighbor, id uint32) (_, _ []Neighbor, bound float32) {
	s := f.step
	i := s.order[id]
	l := f.lists[i]
	if l == nil { // nothing of it changed: the order is as it was, as that of ids of items that have not moved is
		h, _ := f.held(i)
		return s.rename(list, h.List), s.rename(rest, h.Rest), h.Bound
	}
	slices.SortFunc(l.held, func(a, b Neighbor) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(s.next[a.ID], s.next[b.ID]))
	})
	all, bound := l.held, l.bound
	if keep := s.o.K + s.o.Reserve(); len(all) > keep {
		bound = max(bound, all[keep].Score)
		all = all[:keep]
	}
	k := min(s.o.K, len(all))
	return s.rename(list, all[:k]), s.rename(rest, all[k:]), bound
}

// rename appends neighbors with their next ids.
func (s *Step) rename(dst, list []Neighbor) []Neighbor {
	for _, n := range list {
		dst = append(dst, Neighbor{s.next[n.ID], n.Score})
	}
	return dst
}

// comparePairs orders sums: those with all others first, then by item.
func comparePairs(a, b PairSums) int {
	return cmp.Or(cmp.Compare(one(b.All), one(a.All)), cmp.Compare(a.Item, b.Item))
}

// JoinWanted makes one of what several Followers want: what is wanted by several is there once.
func JoinWanted(wanted []PairSums) []PairSums {
	slices.SortStableFunc(wanted, comparePairs)
	var out []PairSums
	for _, w := range wanted {
		n := len(out)
		if n == 0 || out[n-1].All != w.All || out[n-1].Item != w.Item {
			out = append(out, w)
			continue
		}
		last := &out[n-1]
		last.Mirror = last.Mirror || w.Mirror
		last.With = slices.Concat(last.With, w.With)
		slices.Sort(last.With)
		last.With = slices.Compact(last.With)
	}
	return out
}
