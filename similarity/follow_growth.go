package similarity

import "math/bits"

// growths are by how much the sums of an item with others change: a hash table with linear probing, as large as so many others need, so that for most items it is in the first cache.
type growths struct {
	slots []growth // all zero between items
	shift uint8    // of the hash
	mask  uint32   // of places in slots; as many as are in use, less one
	used  []uint32 // places of those that have an item, in the order in which they came
}

// growth is that of the sum with an item, of which slots have the number plus 1; 0 is none.
type growth struct {
	item uint32
	by   int64
}

// begin makes room for so many others, at least one.
func (g *growths) begin(others int) {
	size := bits.Len(uint(max(others, 1))) + 1 // at most half of it is taken, so that few are not where they belong
	if g.shift, g.mask = uint8(32-size), 1<<size-1; len(g.slots) <= int(g.mask) {
		g.slots = make([]growth, int(g.mask)+1)
	}
}

// place returns that of an item, or the free one that it would have.
func (g *growths) place(item uint32) uint32 {
	at := item * 2654435769 >> (g.shift & 31) // Knuth, TAOCP 3, 6.4 [knuth1998]
	for g.slots[at].item != 0 && g.slots[at].item != item+1 {
		at = (at + 1) & g.mask
	}
	return at
}

// item returns that of a place in used.
func (g *growths) item(at uint32) uint32 { return g.slots[at].item - 1 }

// add lets the sum with an item grow.
func (g *growths) add(item uint32, by int64) {
	at := g.place(item)
	s := &g.slots[at]
	if s.item == 0 {
		s.item = item + 1
		g.used = append(g.used, at)
	}
	s.by += by
}

// take returns the growth of the sum with an item, which is none then.
func (g *growths) take(item uint32) (by int64) {
	s := &g.slots[g.place(item)]
	by, s.by = s.by, 0
	return by
}

// end forgets all.
func (g *growths) end() {
	for _, at := range g.used {
		g.slots[at] = growth{}
	}
	g.used = g.used[:0]
}
