package similarity

import (
	"cmp"
	"context"
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
	// asks are the next ids of those whose sums lists need and cannot tell, ascending, one list behind the other up to askEnds.
	asks    []uint32
	askEnds []int
	room    []uint64 // for keys of lists
}

// followed is a list on its way.
type followed struct {
	changed bool // else it is that of the version before, and what follows is empty
	whole   bool // no pair is known
	bound   float32
	keys    []uint64 // rankKey of what is held, with next ids; descending unless Give has added some
}

// NewFollower returns a Follower of items that the next version has, as they were numbered and in the order of the next version. held returns what there is of the list of an item: items that
// the version before had not have an empty one and no bound.
func NewFollower(s *Step, items []uint32, held func(item uint32) HeldList) *Follower {
	return &Follower{step: s, items: items, held: held, lists: make([]followed, len(items))}
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

// looker is what Look works with.
type looker struct {
	*Follower
	slot []uint32 // of an item in others, plus 1; all zero between items
	// met has a bit for the last bits of each of others, so that most neighbors need not be looked for in slot, which is large.
	met [1 << (metBits - 6)]uint64
	// others are those whose sums with the item change, and by how much; 0 once that is done.
	others []uint32
	by     []float64
	ask    []uint32   // items whose sum with the item is not known
	may    []Neighbor // those of others that are not held, and a bound of the score of each
}

const metBits = 12

// Look looks over the lists. Cost: O(items of the version + neighbors + sums that change).
func (f *Follower) Look(ctx context.Context) error {
	l := &looker{Follower: f, slot: make([]uint32, len(f.step.item))}
	for k, i := range f.items {
		if k%1024 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		l.ask = l.ask[:0]
		if err := l.look(i, &f.lists[k]); err != nil {
			return err
		}
		from := len(f.asks)
		if !f.lists[k].whole {
			for _, j := range l.ask {
				if with := f.step.next[j]; with != Gone {
					f.asks = append(f.asks, with)
				}
			}
			slices.Sort(f.asks[from:])
		}
		f.askEnds = append(f.askEnds, len(f.asks))
	}
	return nil
}

// asksOf returns what list k asks for.
func (f *Follower) asksOf(k int) []uint32 {
	from := 0
	if k > 0 {
		from = f.askEnds[k-1]
	}
	return f.asks[from:f.askEnds[k]:f.askEnds[k]]
}

func (f *looker) look(i uint32, l *followed) error {
	s, h := f.step, f.held(i)
	moved, rows := isSet(s.touched, i), s.rows[s.rowStart[i]:s.rowStart[i+1]]
	if l.changed = moved || len(rows) > 0 || f.touches(h.List) || f.touches(h.Rest); !l.changed {
		// Pairs that are not held may come before the last of the list if they have its score, and keep it though their norm has risen, as norms are so large that scores of float32 do not show it:
		// that of the pair, or of counts that of the item itself.
		if tied := (s.heavy || s.kind == commons && s.item[i].is >= knownSum) && h.Bound > 0 && len(h.List) > 0 && h.List[len(h.List)-1].Score <= h.Bound; tied {
			l.changed, l.whole = true, true
		}
		return nil
	}
	if isSet(s.fallen, i) { // all its pairs may have risen
		l.whole = true
		return nil
	}
	f.join(i, rows)
	x := &s.item[i]
	l.bound, l.keys = s.lower(h.Bound, x), f.take(len(h.List)+len(h.Rest)+len(f.others))
	for _, part := range [...][]Neighbor{h.List, h.Rest} {
		for _, n := range part {
			by := 0.0
			if isSet(f.met[:], n.ID%(1<<metBits)) {
				if at := f.slot[n.ID]; at != 0 {
					by, f.by[at-1] = f.by[at-1], 0
				}
			}
			if by == 0 && !moved && !isSet(s.touched, n.ID) {
				l.keys = append(l.keys, rankKey(n.Score, s.next[n.ID]))
				continue
			}
			sum, ok := s.sumBefore(n.Score, x, &s.item[n.ID])
			if !ok {
				f.ask = append(f.ask, n.ID)
				continue
			}
			if err := f.put(l, i, n.ID, sum+by); err != nil {
				return err
			}
		}
	}
	f.may = f.may[:0]
	for at, j := range f.others {
		f.slot[j], f.met[j%(1<<metBits)/64] = 0, 0
		by, y := f.by[at], &s.item[j]
		if by == 0 {
			continue
		}
		if h.Bound == 0 || y.was == 0 { // it had none
			if err := f.put(l, i, j, by); err != nil {
				return err
			}
		} else if s.next[j] != Gone {
			if most := s.most(h.Bound, x, y) + by; most >= exactSum {
				f.ask = append(f.ask, j) // a build may have another score for it than the sum says, so it must be known if it is as large
			} else {
				f.may = append(f.may, Neighbor{j, s.score(most, x.is, y.is)})
			}
		}
	}
	f.settle(l)
	return nil
}

// join adds up what the changed rows that have an item add to its sums.
func (f *looker) join(i uint32, rows []itemEntry) {
	f.others, f.by = f.others[:0], f.by[:0]
	for _, e := range rows {
		others := &f.step.some
		if e.was != e.is {
			others = &f.step.all
		}
		for _, o := range others.row(e.row) {
			by := float64(e.is)*float64(o.is) - float64(e.was)*float64(o.was)
			if by == 0 || o.item == i {
				continue
			}
			at := f.slot[o.item]
			if at == 0 {
				f.others, f.by = append(f.others, o.item), append(f.by, 0)
				at = uint32(len(f.others))
				f.slot[o.item] = at
				set(f.met[:], o.item%(1<<metBits))
			}
			f.by[at-1] += by
		}
	}
}

// boundStep is the part of the room between the bound of a list and its last neighbor that pairs may take at a time of which nothing is known but the bound.
const boundStep = 4

// settle decides which pairs that are not held must be known. Where what they may have comes not near the last of the list, the bound rises in their place.
func (f *looker) settle(l *followed) {
	descend(l.keys)
	if l.bound == 0 {
		return
	}
	last := float32(0)
	if k := f.step.o.K; len(l.keys) >= k {
		last = keyScore(l.keys[k-1])
	}
	if last <= l.bound {
		*l = followed{changed: true, whole: true}
		return
	}
	room := l.bound + (last-l.bound)/boundStep
	for _, n := range f.may {
		if n.Score > room || n.Score >= last {
			f.ask = append(f.ask, n.ID)
		} else {
			l.bound = max(l.bound, n.Score)
		}
	}
}

// descend sorts keys that are nearly in order.
func descend(keys []uint64) {
	moves := 16 * len(keys)
	for n, key := range keys {
		at := n
		for ; at > 0 && keys[at-1] < key; at-- {
			keys[at] = keys[at-1]
		}
		keys[at] = key
		if moves -= n - at; moves < 0 {
			slices.SortFunc(keys, func(a, b uint64) int { return cmp.Compare(b, a) })
			return
		}
	}
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
	if score := f.step.score(sum, x.is, y.is); score != 0 {
		l.keys = append(l.keys, rankKey(score, f.step.next[j]))
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
			*l = followed{changed: true, keys: f.take(len(p.With))}
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
		asks := f.asksOf(k)
		if len(asks) == 0 {
			continue
		}
		for len(pairs) > 0 && pairs[0].Item < id {
			pairs = pairs[1:]
		}
		if err := f.give(k, id, asks, pairs); err != nil {
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

// give holds the pairs of list k, of an item by its next id, that it asked for. Their sums come first of pairs.
func (f *Follower) give(k int, id uint32, asks []uint32, pairs []PairSums) error {
	var p PairSums
	if len(pairs) > 0 && pairs[0].Item == id {
		p = pairs[0]
	}
	if len(p.Sum) != len(p.With) {
		return fmt.Errorf("follow: %d sums of item %d with %d others: %w", len(p.Sum), id, len(p.With), ErrShape)
	}
	at := 0
	for _, with := range asks {
		for at < len(p.With) && p.With[at] < with {
			at++
		}
		if at == len(p.With) || p.With[at] != with {
			return fmt.Errorf("follow: the sum of items %d and %d did not come: %w", id, with, ErrShape)
		}
		if err := f.put(&f.lists[k], f.items[k], f.step.order[with], p.Sum[at]); err != nil {
			return err
		}
	}
	return nil
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
	if slices.ContainsFunc(l.keys, func(key uint64) bool { return keyID(key) == fallen }) {
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
// Cost: O(items + what is wanted).
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
	for _, w := range wanted {
		if n := len(out); n > 0 && comparePairs(out[n-1], w) == 0 { // from programs that name a pair by either item
			last := &out[n-1]
			last.Mirror = last.Mirror || w.Mirror
			last.With = slices.Concat(last.With, w.With)
			slices.Sort(last.With)
			last.With = slices.Compact(last.With)
		} else {
			out = append(out, w)
		}
	}
	return out, nil
}
