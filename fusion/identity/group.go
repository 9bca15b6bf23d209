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

// group joins rows by pairs, the best first, ties by row, and never to more than most rows. It returns the pairs that joined and those that were refused; what
// is in neither was joined already. A refused pair stays refused: groups only grow.
func group(rows int, pairs []scored, most int) (joined, refused []scored) {
	slices.SortFunc(pairs, func(p, q scored) int {
		return cmp.Or(cmp.Compare(q.score, p.score), cmp.Compare(p.x, q.x), cmp.Compare(p.y, q.y))
	})
	sets := newForest(rows)
	for _, p := range pairs {
		x, y := sets.root(p.x), sets.root(p.y)
		switch {
		case x == y:
		case int(sets.size[x])+int(sets.size[y]) > most:
			refused = append(refused, p)
		default:
			sets.join(x, y)
			joined = append(joined, p)
		}
	}
	return joined, refused
}
