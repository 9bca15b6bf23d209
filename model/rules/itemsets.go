package rules

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"math"
	"slices"
)

// Itemsets are frequent sets of items: a trie, in which a set hangs below the set without its most frequent item.
type Itemsets struct {
	// items has the item of each rank: most frequent first, then by id.
	items []uint32
	sets  []found
	// below has, for each set, where those below it begin in order, and their end as that of the next; the last is of the sets of one item.
	below []uint32
	order []uint32 // sets below one set are in the order of ranks
}

// Options say which sets Mine looks for. Threads changes speed only.
type Options struct {
	// MinSupport is the share of transactions, below 1, or else the number of them that a set must be in.
	MinSupport float64
	// MaxLength is the largest number of items of a set, 0 for any, and MaxItemsets the largest number of sets: beyond it Mine returns an error matching ErrTooMany.
	MaxLength, MaxItemsets int
	Threads                int
}

// Mine returns the frequent sets of items of transactions, each ascending and unique items below numItems. It is what a model is trained with, in one piece.
// Cost: that of FP-growth, at most exponential in the length of transactions; 12 bytes for each set, 4 for each entry, 24 for each node of the tree.
func Mine(ctx context.Context, transactions iter.Seq[[]uint32], numItems int, o Options) (*Itemsets, error) {
	counts := make([]uint32, numItems)
	var n int64
	for t := range transactions {
		n++
		for i, id := range t {
			if int64(id) >= int64(numItems) || i > 0 && id <= t[i-1] {
				return nil, fmt.Errorf("transaction %d: item %d, want ascending and unique ones below %d", n, id, numItems)
			}
			counts[id]++
		}
	}
	m := &miner{least: leastCount(o.MinSupport, n), maxLength: o.MaxLength, most: o.MaxItemsets}
	if m.maxLength == 0 {
		m.maxLength = numItems
	}
	items, ranks := rank(counts, m.least)
	p := &paths{}
	var path []uint32
	for t := range transactions {
		if path = ranked(path[:0], t, ranks); len(path) > 0 {
			p.add(path, 1)
		}
	}
	lists, err := m.mine(ctx, p.sorted(), len(items), func(uint32) bool { return true }, o.Threads)
	if err != nil {
		return nil, err
	}
	return newItemsets(items, lists), nil
}

// leastCount returns the least whole number of n transactions that is the share, or the number, support.
func leastCount(support float64, n int64) uint32 {
	if support >= 1 {
		return uint32(min(math.Ceil(support), math.MaxUint32))
	}
	c := math.Ceil(support * float64(n))
	if c > 1 && (c-1)/float64(n) >= support { // the product was rounded up
		c--
	}
	return uint32(min(max(c, 1), math.MaxUint32))
}

// rank returns the items with a count of at least least, by count descending, then id; and for each item its place among them, or none.
func rank(counts []uint32, least uint32) (items, ranks []uint32) {
	ranks = make([]uint32, len(counts))
	for id, n := range counts {
		ranks[id] = none
		if n >= least {
			items = append(items, uint32(id))
		}
	}
	slices.SortFunc(items, func(a, b uint32) int { return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b)) })
	for r, id := range items {
		ranks[id] = uint32(r)
	}
	return items, ranks
}

// ranked appends the ranks of the items that have one, ascending.
func ranked(to, items, ranks []uint32) []uint32 {
	for _, id := range items {
		if ranks[id] != none {
			to = append(to, ranks[id])
		}
	}
	slices.Sort(to)
	return to
}

// newItemsets makes one trie of lists as mine returns them, which must be in ascending order of their first items.
func newItemsets(items []uint32, lists [][]found) *Itemsets {
	s := &Itemsets{items: items}
	for _, list := range lists {
		base := uint32(len(s.sets))
		for _, x := range list {
			if x.parent != none {
				x.parent += base
			}
			s.sets = append(s.sets, x)
		}
	}
	// A counting sort by parent keeps the order of ranks.
	n := len(s.sets)
	slot := func(parent uint32) uint32 { return min(parent, uint32(n)) }
	s.below = make([]uint32, n+2)
	for _, x := range s.sets {
		s.below[slot(x.parent)+1]++
	}
	for i := 1; i < len(s.below); i++ {
		s.below[i] += s.below[i-1]
	}
	s.order = make([]uint32, n)
	next := slices.Clone(s.below)
	for i, x := range s.sets {
		at := slot(x.parent)
		s.order[next[at]] = uint32(i)
		next[at]++
	}
	return s
}

// Len returns the number of sets.
func (s *Itemsets) Len() int { return len(s.sets) }

// All yields every set, ascending items, with the number of transactions that have all of it. The order is the same for the same sets. The items are only valid until
// the next set.
func (s *Itemsets) All() iter.Seq2[[]uint32, uint32] {
	return func(yield func([]uint32, uint32) bool) {
		var set []uint32
		for i, x := range s.sets {
			set = set[:0]
			for _, r := range s.path(uint32(i), nil) {
				set = append(set, s.items[r])
			}
			slices.Sort(set)
			if !yield(set, x.count) {
				return
			}
		}
	}
}

// path appends the ranks of a set, descending.
func (s *Itemsets) path(set uint32, to []uint32) []uint32 {
	from := len(to)
	for ; set != none; set = s.sets[set].parent {
		to = append(to, s.sets[set].rank)
	}
	slices.Reverse(to[from:])
	return to
}

// without returns the set of ranks, which descend, but that at position skip. It is there, as every part of a frequent set.
func (s *Itemsets) without(ranks []uint32, skip int) (set uint32, err error) {
	at := uint32(len(s.sets))
	for i, r := range ranks {
		if i == skip {
			continue
		}
		children := s.order[s.below[at]:s.below[at+1]]
		k, ok := slices.BinarySearchFunc(children, r, func(c, r uint32) int { return cmp.Compare(s.sets[c].rank, r) })
		if !ok {
			return 0, fmt.Errorf("a part of the frequent set of ranks %d is not frequent", ranks)
		}
		at = children[k]
	}
	return at, nil
}
