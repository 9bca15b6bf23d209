package store

import (
	"cmp"
	"container/heap"
	"slices"
)

// topSize is how many of the most popular items are kept at hand: more than any answer
// holds, with room for those that a user has seen.
const topSize = 1024

// ItemCount is an item and the number of its events.
type ItemCount struct {
	Item  string
	Count uint64
}

// comparePopular orders by count descending, then by key.
func comparePopular(a, b ItemCount) int {
	return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Item, b.Item))
}

// top holds the topSize first items in the order of comparePopular. It is exact as long as counts
// grow, or fall so little that no item outside comes before one that has fallen (see keeps): an item outside can only come in when its own count changes, and
// then set is called.
type top struct {
	entries []*topEntry          // heap: the last in order is first
	byItem  map[string]*topEntry // the same
	sorted  []ItemCount          // cache of first; nil when outdated; never changed in place
}

type topEntry struct {
	ItemCount
	pos int // in entries
}

func newTop() *top { return &top{byItem: make(map[string]*topEntry)} }

// count returns the count of item if it is among the first.
func (t *top) count(item string) (uint64, bool) {
	if e := t.byItem[item]; e != nil {
		return e.Count, true
	}
	return 0, false
}

// keeps reports whether no item outside can come in by new counts of items, some of which have fallen. Those that have not must not be outside.
func (t *top) keeps(counts map[string]uint64) bool {
	if len(t.entries) < topSize {
		return true // there is no item outside
	}
	for item, n := range counts {
		e := t.byItem[item]
		if e != nil && n < e.Count && (n == 0 || e.pos == 0 || comparePopular(ItemCount{item, n}, t.entries[0].ItemCount) >= 0) {
			return false
		}
	}
	return true
}

// remove takes out an item that has no events any more, if it is there.
func (t *top) remove(item string) {
	if e := t.byItem[item]; e != nil {
		heap.Remove(t, e.pos)
		delete(t.byItem, item)
		t.sorted = nil
	}
}

// set says that item has n, which is more than it had unless keeps says that less is as good. O(log topSize).
func (t *top) set(item string, n uint64) {
	if e := t.byItem[item]; e != nil {
		e.Count = n
		heap.Fix(t, e.pos)
		t.sorted = nil
		return
	}
	c := ItemCount{item, n}
	if len(t.entries) == topSize {
		if comparePopular(t.entries[0].ItemCount, c) < 0 {
			return
		}
		delete(t.byItem, heap.Pop(t).(*topEntry).Item)
	}
	e := &topEntry{ItemCount: c}
	heap.Push(t, e)
	t.byItem[item] = e
	t.sorted = nil
}

// first returns all of the top in order. The result must not be changed.
func (t *top) first() []ItemCount {
	if t.sorted == nil {
		t.sorted = make([]ItemCount, len(t.entries))
		for i, e := range t.entries {
			t.sorted[i] = e.ItemCount
		}
		slices.SortFunc(t.sorted, comparePopular)
	}
	return t.sorted
}

// Len, Less, Swap, Push and Pop implement heap.Interface.
func (t *top) Len() int { return len(t.entries) }

// Less implements heap.Interface.
func (t *top) Less(i, j int) bool {
	return comparePopular(t.entries[i].ItemCount, t.entries[j].ItemCount) > 0
}

// Swap implements heap.Interface.
func (t *top) Swap(i, j int) {
	t.entries[i], t.entries[j] = t.entries[j], t.entries[i]
	t.entries[i].pos, t.entries[j].pos = i, j
}

// Push implements heap.Interface.
func (t *top) Push(x any) {
	e := x.(*topEntry)
	e.pos = len(t.entries)
	t.entries = append(t.entries, e)
}

// Pop implements heap.Interface.
func (t *top) Pop() any {
	e := t.entries[len(t.entries)-1]
	t.entries = t.entries[:len(t.entries)-1]
	return e
}
