package similarity

import (
	"cmp"
	"context"
	"math"
	"slices"
	"unsafe"
)

// looker is what Look works with.
type looker struct {
	*Follower
	// by tells by how much sums of the item change, and met has a bit for the last bits of each other item there, so that most neighbors need not be looked for.
	by   growths
	met  [1 << (metBits - 6)]uint64
	ask  []uint32   // items whose sum with the item is not known
	may  []Neighbor // others that are not held, and a bound of the score of each
	keys []uint64   // of the list, until it is known how many they are
	ids  []uint32   // of what is asked for
}

const metBits = 12

// Look looks over the lists. Cost: O(items of the version + neighbors + sums that change).
func (f *Follower) Look(ctx context.Context) error {
	l := &looker{Follower: f}
	for k, i := range f.items {
		if k%1024 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		if k+1 < len(f.items) {
			l.fetchNext(f.items[k+1])
		}
		l.ask = l.ask[:0]
		if err := l.look(i, &f.lists[k]); err != nil {
			return err
		}
		from := len(f.asks)
		if !f.lists[k].whole {
			for _, j := range l.ask {
				if with := f.step.item[j].next; with != Gone { // which is at hand
					f.asks = append(f.asks, with)
				}
			}
			slices.Sort(f.asks[from:])
		}
		f.askEnds = append(f.askEnds, len(f.asks))
	}
	return nil
}

// itemWords is the size of a stepItem in words of 8 bytes.
const itemWords = uint32(unsafe.Sizeof(stepItem{}) / 8)

// fetchNext asks for what scores need of those that the list of the next item holds, as far as they are formed anew, and for the next ids of the others.
func (f *looker) fetchNext(i uint32) {
	s := f.step
	places, ids, moved := f.places[:0], f.ids[:0], isSet(s.touched, i)
	h := f.held(i)
	for _, part := range [...][]Neighbor{h.List, h.Rest} {
		for _, n := range part {
			if moved || isSet(s.touched, n.ID) {
				places = append(places, itemWords*n.ID)
			} else {
				ids = append(ids, n.ID/2)
			}
		}
	}
	f.places, f.ids = places, ids
	fetch(float64s(s.item), places)
	fetch(float64s(s.next), ids)
}

// float64s returns the memory of x, but for an odd half of an element at its end.
func float64s[T any](x []T) []float64 {
	if uintptr(len(x))*unsafe.Sizeof(*new(T)) < 8 {
		return nil
	}
	return unsafe.Slice((*float64)(unsafe.Pointer(&x[0])), uintptr(len(x))*unsafe.Sizeof(x[0])/8)
}

func (f *looker) look(i uint32, l *followed) error {
	s, h := f.step, f.held(i)
	moved, own, beside := isSet(s.touched, i), s.own[s.ownStart[i]:s.ownStart[i+1]], s.beside[s.besideStart[i]:s.besideStart[i+1]]
	if l.changed = moved || len(own) > 0 || len(beside) > 0 || f.touches(h.List) || f.touches(h.Rest); !l.changed {
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
	f.join(i, own, beside)
	l.bound, l.keys = s.lower(h.Bound, &s.item[i]), f.keys[:0]
	for _, part := range [...][]Neighbor{h.List, h.Rest} {
		if err := f.lookHeld(i, moved, part, l); err != nil {
			return err
		}
	}
	if err := f.lookOthers(i, h.Bound, l); err != nil {
		return err
	}
	f.keys = l.keys
	f.settle(l)
	if !l.whole {
		room := len(l.keys) + len(f.ask)
		if keep := s.o.K + s.o.Reserve(); len(l.keys) >= keep {
			l.least, room = l.keys[keep-1], len(l.keys)+min(len(f.ask), fewAsked)
		}
		l.keys = append(f.take(room), l.keys...)
	}
	return nil
}

// join adds up by how much the sums of an item change.
func (f *looker) join(i uint32, own []itemEntry, beside []pairChange) {
	all, by, most := &f.step.all, &f.by, len(beside)
	for _, e := range own {
		items, _ := all.row(e.row)
		most += len(items)
	}
	by.begin(min(most, len(f.step.item)))
	for _, e := range own {
		items, weights := all.row(e.row)
		was, is := int64(e.was), int64(e.is)
		weights = weights[:len(items)]
		for k, j := range items {
			w := weights[k]
			by.add(j, is*int64(w.is)-was*int64(w.was))
		}
	}
	for _, c := range beside {
		by.add(c.with, int64(c.by))
	}
	by.take(i)
	for _, at := range by.used {
		set(f.met[:], by.item(at)%(1<<metBits))
	}
	f.fetchOthers(by.used[:min(othersAhead, len(by.used))])
}

// othersAhead is for how many others what is known of them is asked for at a time.
const othersAhead = 64

// fetchOthers asks for what is known of some others, by their places.
func (f *looker) fetchOthers(used []uint32) {
	places := f.places[:0]
	for _, at := range used {
		places = append(places, itemWords*f.by.item(at))
	}
	f.places = places
	fetch(float64s(f.step.item), places)
}

// lookHeld holds the pairs of an item that its list had, with their scores now.
func (f *looker) lookHeld(i uint32, moved bool, part []Neighbor, l *followed) error {
	s := f.step
	x, keys, sums := s.item[i], l.keys, s.kind == products
	for _, n := range part {
		by, same := int64(0), !moved && !isSet(s.touched, n.ID)
		if isSet(f.met[:], n.ID%(1<<metBits)) {
			by = f.by.take(n.ID)
		}
		if by == 0 && same {
			keys = append(keys, rankKey(n.Score, s.next[n.ID]))
			continue
		}
		y := &s.item[n.ID]
		if by == 0 && sums {
			if sum, ok := productBefore(n.Score, x.was*y.was); ok {
				keys = append(keys, rankKey(product(sum, x.is*y.is), y.next))
				continue
			}
		}
		if by != 0 && s.bounds && n.Score <= y.bound {
			f.tell(n.ID, i)
		}
		sum, ok := s.sumBefore(n.Score, &x, y)
		if !ok {
			f.ask = append(f.ask, n.ID)
			continue
		}
		l.keys = keys
		if err := f.put(l, i, n.ID, sum+float64(by)); err != nil {
			return err
		}
		keys = l.keys
	}
	l.keys = keys
	return nil
}

// lookOthers holds the pairs that an item had not before, and lists those of which nothing is known but a bound: the one of the list, of which all that it does not hold has at most this score.
func (f *looker) lookOthers(i uint32, bound float32, l *followed) error {
	s := f.step
	x := &s.item[i]
	f.may = f.may[:0]
	used := f.by.used
	for k, at := range used {
		if k%othersAhead == 0 {
			f.fetchOthers(used[min(k+othersAhead, len(used)):min(k+2*othersAhead, len(used))])
		}
		j, by := f.by.item(at), float64(f.by.slots[at].by)
		f.met[j%(1<<metBits)/64] = 0
		if by == 0 {
			continue
		}
		y := &s.item[j]
		if bound == 0 || y.was == 0 { // it had none
			if err := f.put(l, i, j, by); err != nil {
				return err
			}
			continue
		}
		if y.is == 0 { // nobody has it any more
			continue
		}
		most := max(0, s.most(min(bound, y.bound), x, y)+by) // below 0 where the other list holds it, and has its sum formed
		if most >= exactSum {
			f.ask = append(f.ask, j) // a build may have another score for it than the sum says, so it must be known if it is as large
		} else {
			f.may = append(f.may, Neighbor{j, s.score(most, x.is, y.is)})
		}
	}
	f.by.end()
	return nil
}

// product is the score of a sum of products, which is not below 0, by the product of two sums of squares.
func product(sum, squares float64) float32 {
	if squares == 0 {
		return 0
	}
	s := sum / math.Sqrt(squares)
	if s > 1 {
		s = 1
	}
	return float32(s)
}

// productBefore returns the sum of products that gave a pair its score.
func productBefore(score float32, squares float64) (sum float64, ok bool) {
	sum = float64(int64(float64(score)*math.Sqrt(squares) + 0.5))
	return sum, sum < knownSum && product(sum, squares) == score
}

// fewAsked are as many as come into a list of those whose sums it asks for, but for few lists.
const fewAsked = 2

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
		if n.Score > room {
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
