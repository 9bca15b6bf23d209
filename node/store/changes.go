package store

import (
	"math"
	"sort"
	"sync"
)

// keptChanges is how many of the latest changes of products a store remembers, in memory: a follower that is further behind reads all
// products again. With keys of usual length they take about 1 MiB. It is more than a command has records.
const keptChanges = 1 << 14

// Change is a place in the order of the changes of a store's products: the number of a change among those of a command, from 0. It is the same on
// all replicas.
type Change struct {
	Index   uint64
	Ordinal uint32
}

// LastOf returns the place behind all changes up to an index.
func LastOf(index uint64) Change { return Change{index, math.MaxUint32} }

// Before reports whether c comes before o.
func (c Change) Before(o Change) bool {
	return c.Index < o.Index || c.Index == o.Index && c.Ordinal < o.Ordinal
}

// ChangedProduct is a product that has changed.
type ChangedProduct struct {
	Key string
	At  Change
}

// changes are the latest changes of products in their order. All behind begin are there.
type changes struct {
	begin Change
	ring  []ChangedProduct // the oldest is at next when it is full
	next  int
}

func (c *changes) add(x ChangedProduct) {
	if len(c.ring) < keptChanges {
		c.ring = append(c.ring, x)
		return
	}
	c.begin = c.ring[c.next].At
	c.ring[c.next] = x
	c.next = (c.next + 1) % keptChanges
}

// behind returns up to n changes behind a place.
func (c *changes) behind(after Change, n int) (out []ChangedProduct) {
	at := func(i int) *ChangedProduct { return &c.ring[(c.next+i)%len(c.ring)] }
	first := sort.Search(len(c.ring), func(i int) bool { return after.Before(at(i).At) })
	for i := first; i < len(c.ring) && len(out) < n; i++ {
		out = append(out, *at(i))
	}
	return out
}

// ProductChanges returns up to n changes of products behind a place, in their order, and the index up to which commands are applied. known
// is false if the store does not remember so far back: then all products must be read, and the changes behind applied.
func (s *Store) ProductChanges(after Change, n int) (changed []ChangedProduct, applied uint64, known bool, err error) {
	d, err := s.acquire()
	if err != nil {
		return nil, 0, false, err
	}
	defer s.release(d)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failed != nil || after.Before(d.changes.begin) {
		return nil, d.meta.applied, false, d.failed
	}
	return d.changes.behind(after, n), d.meta.applied, true, nil
}

// ProductsChanged returns a channel that is closed behind the next command about products, or when the store is replaced or closed. Take it
// before looking, to miss nothing.
func (s *Store) ProductsChanged() <-chan struct{} { return s.products.next() }

// wakers wakes all that wait for something that happens again and again.
type wakers struct {
	mu sync.Mutex
	ch chan struct{}
}

func (w *wakers) next() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ch == nil {
		w.ch = make(chan struct{})
	}
	return w.ch
}

func (w *wakers) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ch != nil {
		close(w.ch)
		w.ch = nil
	}
}
