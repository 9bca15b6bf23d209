package similarity

import (
	"slices"
	"sync"
)

// Searcher finds the rows of a users×items matrix that are most similar to a query
// row, at query time: the user neighborhoods of user-based collaborative filtering.
// It is safe for concurrent use.
type Searcher struct {
	rows, columns *Rows
	o             Options
	squares       []float64 // of each row
	scratch       sync.Pool // *searchScratch
}

type searchScratch struct {
	sums    []float32 // all zero between queries
	counts  []uint32  // all zero between queries
	moments []moment  // all zero between queries; for Pearson
	touched []uint32
	keys    []uint64
}

// NewSearcher returns a Searcher over rows and their transpose, which it keeps and
// does not change. Both must be valid, be of one matrix, and be weighed by
// NewUserWeigher for o.Measure; where the measure does not look at weights, neither
// does it. Of o it uses Measure, Shrinkage, MinSupport and Alpha, the first through
// OfUsers.
// Cost: O(entries), to compute the norms once, and 8 bytes a user.
func NewSearcher(rows, transposed *Rows, o Options) *Searcher {
	o.Measure = o.Measure.OfUsers()
	s := &Searcher{rows: rows, columns: transposed, o: o, squares: make([]float64, rows.NumUsers())}
	for u := range s.squares {
		items, weights := rows.row(u)
		s.squares[u] = squaredNorm(len(items), weights)
	}
	s.scratch.New = func() any {
		sc := &searchScratch{sums: make([]float32, rows.NumUsers()), counts: make([]uint32, rows.NumUsers())}
		if o.Measure == Pearson {
			sc.moments = make([]moment, rows.NumUsers())
		}
		return sc
	}
	return s
}

// squaredNorm sums the squares of n weights; nil stands for ones.
func squaredNorm(n int, weights []float32) float64 {
	if weights == nil {
		return float64(n)
	}
	var sum float64
	for _, w := range weights {
		sum += float64(w) * float64(w)
	}
	return sum
}

// Nearest returns the k rows most similar to the row with the given items
// (ascending, unique; those that the matrix does not have count only in the norm)
// and weights (weighed as the rows are; nil for ones), in rank order: score
// descending, then row ascending. Row self is left out; -1 leaves out none. For a row
// of the matrix the scores are those that Build gives for the transposed matrix.
//
// It returns nil if k < 1. Cost: O(postings of the query's items).
func (s *Searcher) Nearest(items []uint32, weights []float32, k, self int) []Neighbor {
	if k < 1 {
		return nil
	}
	if s.o.Measure.kind() == commons {
		weights = nil
	}
	sc := s.scratch.Get().(*searchScratch)
	defer s.scratch.Put(sc)
	sc.touched, sc.keys = sc.touched[:0], sc.keys[:0]
	for p, item := range items {
		if int64(item) >= int64(s.columns.NumUsers()) {
			continue
		}
		s.add(sc, int(item), weightAt(weights, p))
	}
	x := side{squaredNorm(len(items), weights), uint32(len(items))}
	for _, u := range sc.touched {
		score := s.take(sc, u, x)
		if int(u) == self || score == 0 {
			continue
		}
		sc.keys = append(sc.keys, rankKey(score, u))
	}
	best := sc.keys
	if len(best) > k {
		selectBest(best, k)
		best = best[:k]
	}
	slices.Sort(best)
	return appendRanked(make([]Neighbor, 0, len(best)), best)
}

// add adds up an item of the query with weight w.
func (s *Searcher) add(sc *searchScratch, item int, w float32) {
	users, column := s.columns.row(item)
	for q, u := range users {
		if sc.counts[u] == 0 {
			sc.touched = append(sc.touched, u)
		}
		sc.counts[u]++
		v := weightAt(column, q)
		if sc.moments != nil {
			sc.moments[u].add(float64(w), float64(v))
		} else {
			sc.sums[u] += float32(w * v)
		}
	}
}

// take returns the score of row u, 0 if it is no candidate, and leaves zeros.
func (s *Searcher) take(sc *searchScratch, u uint32, x side) (score float32) {
	common := sc.counts[u]
	switch {
	case int64(common) < int64(s.o.MinSupport):
	case sc.moments != nil:
		score = s.o.correlation(&sc.moments[u])
	default:
		y := side{s.squares[u], uint32(s.rows.Start[u+1] - s.rows.Start[u])}
		score = s.o.score(float64(sc.sums[u]), x, y, common, uint32(s.rows.NumItems))
	}
	sc.sums[u], sc.counts[u] = 0, 0
	if sc.moments != nil {
		sc.moments[u] = moment{}
	}
	return score
}
