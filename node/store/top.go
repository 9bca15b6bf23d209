package store

import (
	"cmp"
	"container/heap"
	"context"
	"maps"
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

// top holds the first items in the order of comparePopular: at least size of them, and up to an eighth more, so that some can go without others that would have to come for them. It has all
// that come before bound, and nothing behind it, whatever becomes of counts; keeps says whether that is enough.
type top struct {
	size    int
	entries []*topEntry          // heap: the last in order is first
	byItem  map[string]*topEntry // the same
	// bound is an item, as it was, that comes before all outside; without bounded there are none outside.
	bound   ItemCount
	bounded bool
	sorted  []ItemCount // cache of first; nil when outdated; never changed in place
	changes int         // how often it was outdated
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

// outside reports whether an item with a count is one of those that are not held.
func (t *top) outside(c ItemCount) bool {
	return c.Count == 0 || t.bounded && comparePopular(t.bound, c) < 0
}

// keeps reports whether enough items stay with new counts of some.
func (t *top) keeps(counts map[string]uint64) bool {
	left := len(t.entries)
	for item, n := range counts {
		if e := t.byItem[item]; e != nil && t.outside(ItemCount{item, n}) {
			left--
		}
	}
	return !t.bounded || left >= t.size
}

// set says that item has n. O(log size).
func (t *top) set(item string, n uint64) {
	c, e := ItemCount{item, n}, t.byItem[item]
	switch {
	case t.outside(c):
		if e == nil {
			return
		}
		heap.Remove(t, e.pos)
		delete(t.byItem, item)
	case e != nil:
		e.Count = n
		heap.Fix(t, e.pos)
	case len(t.entries) == t.size+t.size/8 && comparePopular(t.entries[0].ItemCount, c) < 0:
		t.bound, t.bounded = c, true
		return
	default:
		if len(t.entries) == t.size+t.size/8 {
			last := heap.Pop(t).(*topEntry)
			delete(t.byItem, last.Item)
			t.bound, t.bounded = last.ItemCount, true
		}
		e := &topEntry{ItemCount: c}
		heap.Push(t, e)
		t.byItem[item] = e
	}
	t.sorted = nil
	t.changes++
}

// update sets new counts of items, some of which have fallen if fell says so: these first, as what comes in moves the bound.
func (t *top) update(counts map[string]uint64, fell bool) {
	if fell {
		for item, n := range counts {
			if e := t.byItem[item]; e != nil && n < e.Count {
				t.set(item, n)
			}
		}
	}
	for item, n := range counts {
		t.set(item, n)
	}
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

// Popular returns the n items with the most events, ties by key; fewer if there are fewer. It ends with an error when ctx is done.
// Cost: for n up to 1024, a copy from memory, and sorting as many counts after a change; for n up to 8192 the same with 8192 counts, but for the first such call, and the first after
// so many of their items have lost events, by erasures and joins of users, that a thousand of them are not sure to be among the first any more; for these and for larger n a pass over the
// counts of all items.
func (s *Store) Popular(ctx context.Context, n int) ([]ItemCount, error) {
	d, err := s.acquire()
	if err != nil {
		return nil, err
	}
	defer s.release(d)
	d.mu.Lock()
	if d.failed != nil {
		d.mu.Unlock()
		return nil, d.failed
	}
	first, all := d.top.first(), !d.top.bounded
	d.mu.Unlock()
	switch {
	case all || n <= len(first):
	case n <= deepSize:
		if first, err = d.deeper(ctx); err != nil {
			return nil, err
		}
	default:
		if first, err = d.allCounts(ctx); err != nil {
			return nil, err
		}
		slices.SortFunc(first, comparePopular)
	}
	return slices.Clone(first[:max(0, min(n, len(first)))]), nil
}

// allCounts returns the counts of all items.
func (d *database) allCounts(ctx context.Context) (all []ItemCount, err error) {
	err = d.eachCount(func(c ItemCount) error {
		if all = append(all, c); len(all)%4096 == 0 {
			return ctx.Err()
		}
		return nil
	})
	return all, err
}

// fill gives an empty top all counts. Cost: a pass over them.
func (d *database) fill(t *top) error {
	return d.eachCount(func(c ItemCount) error {
		t.set(c.Item, c.Count)
		return nil
	})
}

// deeper returns the first deepSize items and some more, which must not be changed. Cost: sorting them after a change, without the mu of the database; the first call, and the first after so
// many of their counts have fallen that others may be before them, takes a pass over the counts of all items, which others wait for as long as their contexts let them.
func (d *database) deeper(ctx context.Context) ([]ItemCount, error) {
	select {
	case d.deepening <- struct{}{}:
		defer func() { <-d.deepening }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
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
		err := d.fill(deep)
		d.mu.Lock()
		counted := d.counted
		d.counted = nil
		if err != nil {
			d.mu.Unlock()
			return nil, err
		}
		if deep.keeps(counted) { // else it is that of a moment
			deep.update(counted, true)
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
	if fell && d.deep != nil && !d.deep.keeps(items) {
		d.deep = nil
	}
	if d.deep != nil {
		d.deep.update(items, fell)
	}
	if d.counted != nil {
		maps.Copy(d.counted, items)
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
