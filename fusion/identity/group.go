package identity

import (
	"cmp"
	"slices"
)

// scored is a pair of rows, x < y.
type scored struct {
	x, y            uint32
	score           float64
	agree, disagree uint16
}

// group joins rows by pairs, the best first, ties by row, and never to more than most rows, nor rows of one source if sources has those of the rows. It returns the
// pairs that joined and those that were refused for their size; what is in neither was joined already or is of one source. What is refused stays
// refused: groups only grow.
func group(rows int, pairs []scored, most int, sources []uint64) (joined, refused []scored) {
	slices.SortFunc(pairs, func(p, q scored) int {
		return cmp.Or(cmp.Compare(q.score, p.score), cmp.Compare(p.x, q.x), cmp.Compare(p.y, q.y))
	})
	sets := newForest(rows)
	members := map[uint32][]uint64{} // sources of groups of more than one, by root
	of := func(root uint32) []uint64 {
		if m, ok := members[root]; ok {
			return m
		}
		return sources[root : root+1]
	}
	for _, p := range pairs {
		x, y := sets.root(p.x), sets.root(p.y)
		switch {
		case x == y:
		case sources != nil && slices.ContainsFunc(of(x), func(s uint64) bool { return slices.Contains(of(y), s) }):
		case int(sets.size[x])+int(sets.size[y]) > most:
			refused = append(refused, p)
		default:
			if sources != nil {
				both := slices.Concat(of(x), of(y))
				root, other := sets.join(x, y)
				delete(members, other)
				members[root] = both
			} else {
				sets.join(x, y)
			}
			joined = append(joined, p)
		}
	}
	return joined, refused
}
