package store

import (
	"cmp"
	"container/heap"
	"slices"
)

const (
	// topSize is how many of the most popular items are kept at hand: more than any answer
	// holds, with room for those that a user has seen.
	topSize = 1024
	// deepSize is how many are kept from the first question on that takes more than topSize: some 1 MiB. Where rules leave few items, or the counts of partitions have to be put together, it takes many.
	deepSize = 1 << 13
)

// ItemCount is an item and the number of its events.
type ItemCount struct {
	Item  string
	Count uint64
}

// comparePopular orders by count descending, then by key.
func comparePopular(a, b ItemCount) int {
	return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Item, b.Item))
}

// top holds the first items, size of them, in the order of comparePopular. It is exact as long as counts
// grow, or fall so little that no item outside comes before one that has fallen (see keeps): an item outside can only come in when its own count changes, and
// then set is called.
type top struct {
	size    int
	entries []*topEntry          // heap: the last in order is first
	byItem  map[string]*topEntry // the same
	sorted  []ItemCount          // cache of first; nil when outdated; never changed in place
	changes int                  // how often it was outdated
}

type topEntry struct {
	ItemCount
	pos int // in entries
}

func newTop(size int) *top { return &top{size: size, byItem: make(map[string]*topEntry)} }

// count returns the count of item if it is among the first.
func (t *top) count(item string) (uint64, bool) {
	if e := t.byItem[item]; e != nil {
		return e.Count, true
	}
	return 0, false
}

// keeps reports whether no item outside can come in by new counts of items, some of which have fallen. Those that have not must not be outside.
func (t *top) keeps(counts map[string]uint64) bool {
	if len(t.entries) < t.size {
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
		t.change()
	}
}

// set says that item has n, which is more than it had unless keeps says that less is as good. O(log size).
func (t *top) set(item string, n uint64) {
	if e := t.byItem[item]; e != nil {
		e.Count = n
		heap.Fix(t, e.pos)
		t.change()
		return
	}
	c := ItemCount{item, n}
	if len(t.entries) == t.size {
		if comparePopular(t.entries[0].ItemCount, c) < 0 {
			return
		}
		delete(t.byItem, heap.Pop(t).(*topEntry).Item)
	}
	e := &topEntry{ItemCount: c}
	heap.Push(t, e)
	t.byItem[item] = e
	t.change()
}

// update is set, or remove of an item that has no events any more.
func (t *top) update(item string, n uint64) {
	if n == 0 {
		t.remove(item)
		return
	}
	t.set(item, n)
}

func (t *top) change() {
	t.sorted = nil
	t.changes++
}

// all returns a copy of the top, in no order.
func (t *top) all() []ItemCount {
	all := make([]ItemCount, len(t.entries))
	for i, e := range t.entries {
		all[i] = e.ItemCount
	}
	return all
}

// first returns all of the top in order. The result must not be changed.
func (t *top) first() []ItemCount {
	if t.sorted == nil {
		t.sorted = t.all()
		slices.SortFunc(t.sorted, comparePopular)
	}
	return t.sorted
}

// deeper returns the first deepSize items, which must not be changed. Cost: sorting them after a change, without the mu of the database; the first call, and the first after the counts of
// some of them have fallen far, takes a pass over the counts of all items.
func (d *database) deeper() ([]ItemCount, error) {
	d.deepening.Lock()
	defer d.deepening.Unlock()
	d.mu.Lock()
	if d.failed != nil {
		defer d.mu.Unlock()
		return nil, d.failed
	}
	deep := d.deep
	if deep == nil {
		d.counted = map[string]uint64{}
		d.mu.Unlock()
		deep = newTop(deepSize)
		err := d.eachCount(func(c ItemCount) { deep.set(c.Item, c.Count) })
		d.mu.Lock()
		counted := d.counted
		d.counted = nil
		if err != nil {
			d.mu.Unlock()
			return nil, err
		}
		if counted != nil { // else some fell meanwhile: it is that of a moment, and not kept
			for item, n := range counted {
				deep.set(item, n)
			}
			d.deep = deep
		}
	}
	if deep.sorted != nil {
		defer d.mu.Unlock()
		return deep.sorted, nil
	}
	first, changes := deep.all(), deep.changes
	d.mu.Unlock()
	slices.SortFunc(first, comparePopular)
	d.mu.Lock()
	defer d.mu.Unlock()
	if deep.changes == changes {
		deep.sorted = first
	}
	return first, nil
}

// recount tells deep, and who makes it, of new counts of items. The mu of the database is held.
func (d *database) recount(items map[string]uint64, fell bool) {
	if fell {
		d.counted = nil
		if d.deep != nil && !d.deep.keeps(items) {
			d.deep = nil
		}
	}
	for item, n := range items {
		if d.deep != nil {
			d.deep.update(item, n)
		}
		if d.counted != nil {
			d.counted[item] = n
		}
	}
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
