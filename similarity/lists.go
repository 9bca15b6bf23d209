package similarity

import (
	"fmt"
	"math"
	"slices"
)

// Neighbor is one entry of a neighbor list: a dense id and its score.
type Neighbor struct {
	ID    uint32
	Score float32
}

// Lists holds the neighbor lists of the items [Lo, Lo+Len()). The list of item
// Lo+i is Entries[Start[i]:Start[i+1]], in rank order: score descending, then id
// ascending. A list holds no item twice, not its own item, and no score of zero;
// negative scores come last.
//
// Lists are not changed once made, so they may be shared by goroutines.
type Lists struct {
	Lo      uint32
	Start   []int64
	Entries []Neighbor
}

// Len returns the number of lists.
func (l *Lists) Len() int {
	return max(0, len(l.Start)-1)
}

// List returns the list of item id (absolute, not relative to Lo), or nil if l
// does not cover that item. The caller must not change it.
func (l *Lists) List(id uint32) []Neighbor {
	if id < l.Lo || int64(id-l.Lo) >= int64(l.Len()) {
		return nil
	}
	i := id - l.Lo
	return l.Entries[l.Start[i]:l.Start[i+1]:l.Start[i+1]]
}

// validate checks what Merge and the encoder rely on.
func (l *Lists) validate() error {
	if len(l.Start) == 0 || l.Start[0] != 0 || l.Start[l.Len()] != int64(len(l.Entries)) || !slices.IsSorted(l.Start) {
		return fmt.Errorf("lists: Start does not span the %d entries in order: %w", len(l.Entries), ErrShape)
	}
	return nil
}

// Merge joins partial lists of the same items and keeps the k best of each. The
// result does not depend on the order or the grouping of the parts, and a part
// given twice changes nothing. Nil parts are skipped. The inputs are not changed.
//
// It returns an error that matches ErrShape if there is no part, if the parts
// cover different items, or if k < 1.
// Cost: O(entries · log(entries of one item)).
func Merge(k int, parts ...*Lists) (*Lists, error) {
	parts = slices.DeleteFunc(slices.Clone(parts), func(p *Lists) bool { return p == nil })
	if k < 1 {
		return nil, fmt.Errorf("merge: k is %d, want at least 1: %w", k, ErrShape)
	}
	if len(parts) == 0 {
		return nil, fmt.Errorf("merge: no lists: %w", ErrShape)
	}
	first, total := parts[0], 0
	for n, p := range parts {
		if err := p.validate(); err != nil {
			return nil, fmt.Errorf("merge: part %d: %w", n, err)
		}
		if p.Lo != first.Lo || p.Len() != first.Len() {
			return nil, fmt.Errorf("merge: part %d covers items [%d,+%d), part 0 [%d,+%d): %w",
				n, p.Lo, p.Len(), first.Lo, first.Len(), ErrShape)
		}
		total += len(p.Entries)
	}
	out := &Lists{Lo: first.Lo, Start: make([]int64, first.Len()+1), Entries: make([]Neighbor, 0, mergedCap(first.Len(), k, total))}
	var keys []uint64
	for i := range first.Len() {
		keys = keys[:0]
		for _, p := range parts {
			for _, n := range p.Entries[p.Start[i]:p.Start[i+1]] {
				keys = append(keys, rankKey(n.Score, n.ID))
			}
		}
		slices.Sort(keys)
		keys = slices.Compact(keys) // equal keys are one pair computed twice
		out.Entries = appendRanked(out.Entries, keys[max(0, len(keys)-k):])
		out.Start[i+1] = int64(len(out.Entries))
	}
	return out, nil
}

// mergedCap bounds the number of merged entries without overflow.
func mergedCap(lists, k, total int) int {
	if lists == 0 || k > total/lists {
		return total
	}
	return lists * k
}

// appendRanked appends the neighbors of keys, which ascend, in rank order.
func appendRanked(dst []Neighbor, keys []uint64) []Neighbor {
	for _, key := range slices.Backward(keys) {
		dst = append(dst, Neighbor{ID: keyID(key), Score: keyScore(key)})
	}
	return dst
}

// rankKey packs a neighbor so that a larger key is a better rank: the score's bits
// in an order that compares as unsigned integers, then the inverted id. Scores are
// neither NaN nor zero.
func rankKey(score float32, id uint32) uint64 {
	return uint64(orderedBits(score))<<32 | uint64(^id)
}

func keyID(key uint64) uint32 { return ^uint32(key) }

func keyScore(key uint64) float32 { return scoreOfBits(uint32(key >> 32)) }

// orderedBits maps float32 to uint32 and keeps the order.
func orderedBits(s float32) uint32 {
	b := math.Float32bits(s)
	if b>>31 == 1 {
		return ^b
	}
	return b | 1<<31
}

func scoreOfBits(b uint32) float32 {
	if b>>31 == 1 {
		return math.Float32frombits(b &^ (1 << 31))
	}
	return math.Float32frombits(^b)
}
