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
	measure       Measure
	squares       []float64 // of each row
	scratch       sync.Pool // *searchScratch
}

type searchScratch struct {
	sums    []float32 // all zero between queries
	counts  []uint32  // all zero between queries
	touched []uint32
	keys    []uint64
}

// NewSearcher returns a Searcher over rows and their transpose, which it keeps and
// does not change. Both must be valid, be of one matrix, and be weighed for m (see
// Weigh); with Jaccard their weights are not read.
// Cost: O(entries), to compute the norms once, and 8 bytes a user.
func NewSearcher(rows, transposed *Rows, m Measure) *Searcher {
	s := &Searcher{rows: rows, columns: transposed, measure: m, squares: make([]float64, rows.NumUsers())}
	for u := range s.squares {
		items, weights := rows.row(u)
		s.squares[u] = squaredNorm(len(items), weights)
	}
	s.scratch.New = func() any {
		return &searchScratch{sums: make([]float32, rows.NumUsers()), counts: make([]uint32, rows.NumUsers())}
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
// and weights (weighed as WeighRow does; nil for ones), in rank order: score
// descending, then row ascending. Row self is left out; -1 leaves out none. Of o it
// uses Shrinkage and MinSupport. For a row of the matrix the scores are those that
// Build gives for the transposed matrix.
//
// It returns nil if k < 1. Cost: O(postings of the query's items).
func (s *Searcher) Nearest(items []uint32, weights []float32, k, self int, o Options) []Neighbor {
	if k < 1 {
		return nil
	}
	o.Measure = s.measure
	if s.measure == Jaccard {
		weights = nil
	}
	sc := s.scratch.Get().(*searchScratch)
	defer s.scratch.Put(sc)
	sc.touched, sc.keys = sc.touched[:0], sc.keys[:0]
	for p, item := range items {
		if int64(item) >= int64(s.columns.NumUsers()) {
			continue
		}
		w := float32(1)
		if weights != nil {
			w = weights[p]
		}
		users, column := s.columns.row(int(item))
		for q, u := range users {
			if sc.counts[u] == 0 {
				sc.touched = append(sc.touched, u)
			}
			sc.counts[u]++
			x := w
			if column != nil {
				x = float32(w * column[q])
			}
			sc.sums[u] += x
		}
	}
	squares := squaredNorm(len(items), weights)
	for _, u := range sc.touched {
		sum, common := sc.sums[u], sc.counts[u]
		sc.sums[u], sc.counts[u] = 0, 0
		if int(u) == self || int64(common) < int64(o.MinSupport) {
			continue
		}
		score := o.score(float64(sum), squares, s.squares[u], uint32(len(items)), s.users(u), common)
		if score == 0 {
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

// users returns the number of entries of row u.
func (s *Searcher) users(u uint32) uint32 {
	return uint32(s.rows.Start[u+1] - s.rows.Start[u])
}
