package model

import (
	"cmp"
	"slices"
)

// Ranked is an item with a score as a model adds it up.
type Ranked[S int64 | float32] struct {
	Score S
	Item  uint32
}

// Compare is the order of every ranking, as that of Scored.
func (r Ranked[S]) Compare(o Ranked[S]) int {
	return cmp.Or(cmp.Compare(o.Score, r.Score), cmp.Compare(r.Item, o.Item))
}

func (r Ranked[S]) before(o Ranked[S]) bool {
	return r.Score > o.Score || r.Score == o.Score && r.Item < o.Item
}

// Best keeps the n best of many that it is offered, most of which one comparison passes over. Its memory serves one ranking after the other.
type Best[S int64 | float32] struct {
	n    int
	heap []Ranked[S] // once full, with the last of the ranking on top
}

// Reset forgets all, and keeps n from here on; there may be fewer than room.
func (b *Best[S]) Reset(n, room int) {
	b.n, b.heap = n, slices.Grow(b.heap[:0], min(n, room))
}

// Takes tells whether an item is among the best so far.
func (b *Best[S]) Takes(r Ranked[S]) bool {
	return len(b.heap) < b.n || b.n > 0 && r.before(b.heap[0])
}

// Add keeps an item that Takes takes, and tells whether there are n now. Cost: O(log n).
func (b *Best[S]) Add(r Ranked[S]) (full bool) {
	if len(b.heap) < b.n {
		if b.heap = append(b.heap, r); len(b.heap) < b.n {
			return false
		}
		slices.SortFunc(b.heap, func(a, b Ranked[S]) int { return -a.Compare(b) })
		return true
	}
	h := b.heap
	h[0] = r
	for i := 0; ; {
		child := 2*i + 1
		if child >= len(h) {
			return true
		}
		if child+1 < len(h) && h[child].before(h[child+1]) {
			child++
		}
		if h[child].before(h[i]) {
			return true
		}
		h[i], h[child] = h[child], h[i]
		i = child
	}
}

// Last returns the last of n in rank, once there are as many.
func (b *Best[S]) Last() Ranked[S] { return b.heap[0] }

// Ranking returns what is kept, in rank order. It is good until Reset, and nothing may be added before.
func (b *Best[S]) Ranking() []Ranked[S] {
	slices.SortFunc(b.heap, Ranked[S].Compare)
	return b.heap
}
