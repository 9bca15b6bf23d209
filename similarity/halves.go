package similarity

import (
	"context"
	"math"
	"sync/atomic"
)

// halves is what a goroutine of Build has where each sum is formed once, for the lists of both items (ADR 0034). Leading items ascend, and each meets those before it, which begin the rows of its
// users; then each pair is offered to the list of the other item.
type halves struct {
	lists   *Collector // of all items, with what this goroutine found
	before  []uint32   // of each user, the entries of the row before the leading item
	lengths []uint32   // of the rows at work
}

// listRoom is for how many times K neighbors there is room while they come one by one. The best are selected when it is full.
const listRoom = 2

// canHalve tells whether each sum may be formed once: the score of a pair is that of a sum and of norms, and the same for both items.
func canHalve(r *Rows, o *Options) bool {
	return o.direct() && o.Measure != AsymmetricCosine && r.NumItems <= MaxBlockItems
}

// denseItem is the number of users from which on, on average, an item is better off with sums that are formed once: most sums are found in additions to all slots then, and pairs seldom go to the other list.
const denseItem = 256

// inHalves tells whether Build forms each sum once: what its goroutines need for that is at most 8 bytes an entry, a third of what the matrix takes at work.
func inHalves(r *Rows, o *Options, threads int) bool {
	n, users, entries := int64(r.NumItems), int64(r.NumUsers()), r.entries()
	return canHalve(r, o) && n*denseItem <= entries && int64(threads)*(8*listRoom*n*min(int64(o.K), n)+4*users) <= 8*entries
}

// before returns of each item how many entries of its users come before it.
func (r *Rows) before() []uint64 {
	n := make([]uint64, r.NumItems)
	for u := range r.NumUsers() {
		items, _ := r.row(u)
		for k, i := range items {
			n[i] += uint64(k)
		}
	}
	return n
}

// buildHalves runs blocks of all items until next has none, and returns what it found.
func buildHalves(ctx context.Context, blocks []*Block, side *Side, o Options, k int, next *atomic.Int64) (*Collector, Stats, error) {
	h := newHalves(side.width(), len(side.at), k)
	var s Scratch
	s.grow(side.width())
	var total Stats
	for at, n := 0, int(next.Add(1))-1; n < len(blocks); n = int(next.Add(1)) - 1 {
		for ; at < n; at++ {
			h.pass(blocks[at])
		}
		b := blocks[n]
		t := task{lead: b, side: side, best: h.lists.part(b.Lo, b.Hi), o: o, s: &s, halves: h, kind: o.Measure.kind()}
		st, err := t.run(ctx)
		if err != nil {
			return nil, Stats{}, err
		}
		total.add(st)
		at++
	}
	return h.lists, total, nil
}

func newHalves(items, users, k int) *halves {
	h := &halves{lists: newCollector(0, uint32(items), k, listRoom*k), before: make([]uint32, users)}
	for i := range h.lists.bound {
		h.lists.bound[i] = -math.MaxFloat32 // what is no pair has less
	}
	return h
}

// pass goes past the items of a block that another goroutine has.
func (h *halves) pass(b *Block) {
	for _, u := range b.user {
		h.before[u]++
	}
}

// rows returns how many entries of the rows of users come before the leading item, and goes past it.
func (h *halves) rows(users []uint32) []uint32 {
	lengths := h.lengths[:0]
	for _, u := range users {
		lengths = append(lengths, h.before[u])
		h.before[u]++
	}
	h.lengths = append(lengths, make([]uint32, visitAhead)...)
	return h.lengths
}

// give offers the pairs of leading item i, of which n are listed, or all there are, to the lists of the other items.
func (t *task) give(i, n int, all bool) {
	s, lists := t.s, t.halves.lists
	var reached int
	if all {
		reached = reachEach(s.places, s.estimate[:n], lists.bound[:n])
	} else {
		reached = reachEachOf(s.places, s.estimate[:n], lists.bound, s.touched[:n])
	}
	for _, k := range s.places[:reached] {
		j := k
		if !all {
			j = s.touched[k]
		}
		if score := t.score(i, k, j, all); score != 0 {
			lists.add(int(j), rankKey(score, t.lead.Lo+uint32(i)))
		}
	}
}

// joinBlocks writes the best of what Collectors of all items hold to the lists of blocks, as build has them. It gives up what they hold.
func joinBlocks(found []*Collector, blocks []*Block, out *Lists) {
	best, threads := found[0], len(found)
	each(threads, func(w int) {
		for n := w; n < len(blocks); n += threads {
			b := blocks[n]
			for i := int(b.Lo); i < int(b.Hi); i++ {
				for _, c := range found[1:] {
					for _, key := range c.held(i) {
						best.add(i, key)
					}
				}
			}
			best.part(b.Lo, b.Hi).write(out.Entries[int(b.Lo)*best.k:], out.Start[b.Lo+1:])
		}
	})
}
