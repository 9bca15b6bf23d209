package similarity

import (
	"math"
	"slices"
)

// Collector keeps the K best neighbors so far of each item of a range. Tasks that
// share a block may add to one Collector in any order: the result is the same, and
// later tasks are faster because they know what a pair must beat.
//
// A Collector must not be used by two goroutines at the same time.
type Collector struct {
	lo    uint32
	k     int
	size  []int32   // neighbors held for each item
	keys  []uint64  // k slots for each item: unordered until full, then a heap with the worst on top
	bound []float32 // no score below it can enter; -Inf until full
}

// NewCollector returns an empty Collector of the items [lo, hi) that keeps k >= 1
// neighbors of each. It reserves 8·k bytes an item, so cut k at the number of
// candidates there can be.
func NewCollector(lo, hi uint32, k int) *Collector {
	n := int(hi - lo)
	c := &Collector{lo: lo, k: k, size: make([]int32, n), keys: make([]uint64, n*k), bound: make([]float32, n)}
	for i := range c.bound {
		c.bound[i] = float32(math.Inf(-1))
	}
	return c
}

// Lists returns what is held now, in rank order. The Collector may go on.
// Cost: O(neighbors · log K).
func (c *Collector) Lists() *Lists {
	total := 0
	for _, n := range c.size {
		total += int(n)
	}
	l := &Lists{Lo: c.lo, Start: make([]int64, len(c.size)+1), Entries: make([]Neighbor, 0, total)}
	keys := make([]uint64, 0, c.k)
	for i, n := range c.size {
		keys = append(keys[:0], c.keys[i*c.k:i*c.k+int(n)]...)
		slices.Sort(keys)
		l.Entries = appendRanked(l.Entries, keys)
		l.Start[i+1] = int64(len(l.Entries))
	}
	return l
}

// add offers a neighbor of item i (relative to lo).
func (c *Collector) add(i int, key uint64) {
	slots := c.keys[i*c.k : (i+1)*c.k]
	if n := int(c.size[i]); n < len(slots) {
		slots[n] = key
		c.size[i]++
		if n+1 < len(slots) {
			return
		}
		for at := len(slots)/2 - 1; at >= 0; at-- {
			siftDown(slots, at)
		}
	} else {
		if key <= slots[0] {
			return
		}
		slots[0] = key
		siftDown(slots, 0)
	}
	c.bound[i] = lowered(keyScore(slots[0]))
}

// siftDown restores the heap order below position at.
func siftDown(heap []uint64, at int) {
	key := heap[at]
	for {
		child := 2*at + 1
		if child >= len(heap) {
			break
		}
		if child+1 < len(heap) && heap[child+1] < heap[child] {
			child++
		}
		if key <= heap[child] {
			break
		}
		heap[at] = heap[child]
		at = child
	}
	heap[at] = key
}

// lowered returns a number below score by more than the error of the kernels'
// float32 estimates, which is under 8 roundings of 2^-24 each.
func lowered(score float32) float32 {
	const slack = 1.0 / (1 << 20)
	if score > 0 {
		return score * (1 - slack)
	}
	return score * (1 + slack)
}
