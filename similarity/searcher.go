package similarity

import (
	"math"
	"runtime"
	"slices"
	"sync"
)

// Searcher finds the rows of a users×items matrix that are most similar to a query
// row, at query time: the user neighborhoods of user-based collaborative filtering.
// It is safe for concurrent use.
//
// Of sums of products it adds up estimates, and looks at the rows themselves only where these are
// among the best: that takes one read of memory for a user who has an item of the query, where the
// score needs several.
type Searcher struct {
	rows, columns *Rows
	o             Options
	squares       []float64 // of each row
	// estimates tells that columns have the weights by the norms of their rows, so that sums of them are near to scores.
	estimates bool
	// positive tells that all weights of rows and columns are (see allPositive).
	positive bool
	// The norms of the rows, but for those that are 0, are between least and most.
	least, most float64
}

// SearchPart is a Searcher of a part of the rows, those with the ids from First on.
type SearchPart struct {
	*Searcher
	First uint32
	// Self is a row of the part that is left out; -1 leaves out none.
	Self int
}

// searchScratch is memory of searches: sums, slots and moments are zero between them.
type searchScratch struct {
	sums    []float32    // for estimates of positive weights that need no more
	slots   []searchSlot // for all else
	moments []moment     // for Pearson, too
	touched []uint32
	lists   []searchList
	keys    []uint64
}

// searchList is the users of an item in a part, and the weight of the item in the query.
type searchList struct {
	from, to int64
	weight   float32
}

type searchSlot struct {
	sum float32
	n   uint32 // items in common
}

// searchScratches is shared by all searchers, so that the parts of a search use the same memory, which stays in the processor's caches.
var searchScratches = sync.Pool{New: func() any { return &searchScratch{} }}

// NewSearcher returns a Searcher over rows, which it keeps and does not change. They must be valid
// and weighed by NewUserWeigher for o.Measure; where the measure does not look at weights,
// neither does it. Of o it uses Measure, Shrinkage, MinSupport and Alpha, the first through
// OfUsers, and Threads while it is made.
// Cost: O(entries), to transpose the rows once; 8 bytes an entry, half for measures that do not
// look at weights, 8 bytes a user and 8 an item.
func NewSearcher(rows *Rows, o Options) *Searcher {
	o.Measure = o.Measure.OfUsers()
	s := &Searcher{rows: rows, o: o, squares: make([]float64, rows.NumUsers()), estimates: o.Measure.kind() == products, least: math.Inf(1)}
	for u := range s.squares {
		items, weights := rows.row(u)
		s.squares[u] = squaredNorm(len(items), weights)
		if norm := math.Sqrt(s.squares[u]); norm != 0 {
			s.least, s.most = min(s.least, norm), max(s.most, norm)
		}
	}
	by := *rows
	switch {
	case s.estimates:
		by.Weight = s.normalized()
		s.positive = allPositive(by.Weight) && allPositive(rows.Weight)
	case o.Measure.kind() == commons:
		by.Weight = nil
	}
	threads := o.Threads
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	s.columns = by.transpose(threads)
	return s
}

// normalized returns the weights of the rows times what makes a score of a sum of products.
func (s *Searcher) normalized() []float32 {
	out := make([]float32, len(s.rows.Item))
	for u, squares := range s.squares {
		inverse := s.o.inverse(squares)
		for k := s.rows.Start[u]; k < s.rows.Start[u+1]; k++ {
			out[k] = weightAt(s.rows.Weight, k) * inverse
		}
	}
	return out
}

// allPositive reports whether all weights are above 0, and by so much that products of two are as well.
func allPositive(weights []float32) bool {
	return !slices.ContainsFunc(weights, func(w float32) bool { return !(w > 1.0/(1<<60)) })
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
	return Nearest([]SearchPart{{s, 0, self}}, items, weights, k)
}

// PartOf returns the place of the part with an id, which must be in one.
func PartOf(parts []SearchPart, id uint32) int {
	after, _ := slices.BinarySearchFunc(parts, id, func(p SearchPart, id uint32) int { return one(p.First > id) - one(p.First <= id) })
	return after - 1
}

// Nearest is Searcher.Nearest over all rows of some parts, which must have Searchers of the same options and items. Parts ascend by First; one without rows comes before the one that
// begins at the same id. IDs are those of the parts.
func Nearest(parts []SearchPart, items []uint32, weights []float32, k int) []Neighbor {
	if k < 1 || len(parts) == 0 {
		return nil
	}
	if parts[0].o.Measure.kind() == commons {
		weights = nil
	}
	sc := searchScratches.Get().(*searchScratch)
	q := newSearch(sc, parts, items, weights, k)
	if parts[0].estimates && q.x.squares == 0 {
		searchScratches.Put(sc)
		return nil // no score but 0
	}
	for i := range parts {
		q.part(&parts[i])
	}
	if parts[0].estimates {
		q.settle(parts)
	}
	best := sc.keys
	if len(best) > k {
		selectBest(best, k)
		best = best[:k]
	}
	slices.Sort(best)
	found := appendRanked(make([]Neighbor, 0, len(best)), best)
	searchScratches.Put(sc) // not by defer: after a panic it may not be zero
	return found
}

// search is one search over parts. The keys of its scratch are those of rows that may be among the k best, by score or by estimate.
type search struct {
	*searchScratch
	items   []uint32
	weights []float32
	k       int
	x       side
	scale   float32 // what makes an estimate of a sum
	margin  float32 // by how much an estimate that is too low and one that is too high may differ together; infinite where nothing is known
	least   float32 // below it nothing can be among the best
	// relative is margin as a part of an estimate, where no product is negative, so that the sum of magnitudes is the sum; 0 where some may be.
	relative float32
	positive bool // all weights are
	full     int  // keys at which to look for a higher least
}

func newSearch(sc *searchScratch, parts []SearchPart, items []uint32, weights []float32, k int) *search {
	q := &search{
		searchScratch: sc, items: items, weights: weights, k: k, x: side{squaredNorm(len(items), weights), uint32(len(items))},
		scale: 1, least: float32(math.Inf(-1)), positive: allPositive(weights), full: 4*k + 256,
	}
	sc.keys = sc.keys[:0]
	if s := parts[0]; s.estimates {
		q.scale = s.o.scale(q.x.squares)
		q.margin = q.marginOver(parts)
		if q.positive && !math.IsInf(float64(q.margin), 1) && !slices.ContainsFunc(parts, func(p SearchPart) bool { return !p.positive }) {
			q.relative = min(1, q.rounding())
		}
	}
	return q
}

// marginOver returns the margin of estimates over some parts.
//
// A score is a sum of float32 of products, of which the rounding is up to a part of n·2^-24 of the sum of magnitudes, n items of the query; an estimate adds up as many, and is rounded four times
// more in each. The sum of magnitudes is at most the product of the norms (Cauchy-Schwarz), which as a score is 1 where each is divided by its own.
func (q *search) marginOver(parts []SearchPart) float32 {
	const fits = 1 << 50 // norms for which products of weights are not too large or too small for float32
	norm, bound := math.Sqrt(q.x.squares), 1.0
	for _, p := range parts {
		if p.most == 0 {
			continue // no row has any weight
		}
		for _, y := range []float64{norm, p.least, p.most} {
			if !(y > 1.0/fits && y < fits) {
				return float32(math.Inf(1))
			}
			bound = max(bound, norm*float64(p.o.scale(q.x.squares))*y*float64(p.o.inverse(y*y)))
		}
	}
	return float32(bound) * q.rounding()
}

func (q *search) rounding() float32 { return float32(len(q.items)+8) / (1 << 21) }

// part adds the candidates of a part to the keys.
func (q *search) part(p *SearchPart) {
	q.find(p)
	users := p.rows.NumUsers()
	if len(q.touched) <= users {
		q.touched = make([]uint32, users+1)
	}
	if p.positive && q.positive && !p.o.needsCount() {
		q.sums = longer(q.sums, users)
		for _, u := range q.touched[:q.addEstimates(p)] {
			sum := q.sums[u]
			q.sums[u] = 0
			if score := sum * q.scale; !(score < q.least) { // where it is no number nothing is known
				q.take(p, u, score)
			}
		}
		return
	}
	q.slots = longer(q.slots, users)
	if p.o.Measure == Pearson {
		q.moments = longer(q.moments, users)
	}
	for _, u := range q.touched[:q.add(p)] {
		slot := q.slots[u]
		q.slots[u] = searchSlot{}
		score := q.score(p, u, slot)
		if !(score < q.least) && (score != 0 || p.estimates) && int64(slot.n) >= int64(p.o.MinSupport) {
			q.take(p, u, score)
		}
	}
}

// longer returns s, or zeros if it has fewer than n.
func longer[T any](s []T, n int) []T {
	if len(s) < n {
		return make([]T, n)
	}
	return s
}

// find notes where the lists of the query's items are. It reads what they begin with, of all, so that they are waited for together.
func (q *search) find(p *SearchPart) {
	start := p.columns.Start
	q.lists = q.lists[:0]
	for at, item := range q.items {
		if int64(item)+1 < int64(len(start)) {
			q.lists = append(q.lists, searchList{start[item], start[item+1], weightAt(q.weights, at)})
		}
	}
	read := uint32(0)
	for _, l := range q.lists {
		if l.from < l.to {
			read ^= p.columns.Item[l.from]
		}
	}
	runtime.KeepAlive(read) // or nothing is read
}

// take keeps a row.
func (q *search) take(p *SearchPart, u uint32, score float32) {
	if int(u) == p.Self {
		return
	}
	q.keys = append(q.keys, rankKey(score, p.First+u))
	if len(q.keys) >= q.full {
		q.raise(p.estimates)
	}
}

// addEstimates adds up the lists, whose sums only rise. It returns the number of rows that are touched.
func (q *search) addEstimates(p *SearchPart) (n int) {
	sums, touched := q.sums[:p.rows.NumUsers()], q.touched[:p.rows.NumUsers()+1]
	for _, l := range q.lists {
		users := p.columns.Item[l.from:l.to]
		column := p.columns.Weight[l.from:l.to][:len(users)]
		for at, u := range users {
			sum := sums[u]
			touched[n] = u
			n += one(sum == 0)
			sums[u] = sum + float32(l.weight*column[at])
		}
	}
	return n
}

// add adds up the lists, with the numbers of items in common. It returns the number of rows that are touched.
func (q *search) add(p *SearchPart) (n int) {
	slots, touched := q.slots[:p.rows.NumUsers()], q.touched[:p.rows.NumUsers()+1]
	for _, l := range q.lists {
		for at := l.from; at < l.to; at++ {
			u := p.columns.Item[at]
			slot := &slots[u]
			touched[n] = u
			n += one(slot.n == 0)
			slot.n++
			switch {
			case p.o.Measure == Pearson:
				q.moments[u].add(float64(l.weight), float64(weightAt(p.columns.Weight, at)))
			case p.columns.Weight != nil:
				slot.sum += float32(l.weight * p.columns.Weight[at])
			}
		}
	}
	return n
}

// score returns the score of row u, or its estimate, where that is more than the sum by the scale.
func (q *search) score(p *SearchPart, u uint32, slot searchSlot) float32 {
	switch {
	case p.estimates:
		return p.o.shrink(float64(slot.sum*q.scale), float64(slot.n))
	case p.o.Measure == Pearson:
		m := q.moments[u]
		q.moments[u] = moment{}
		return p.o.correlation(&m)
	}
	return p.score(0, q.x, u, slot.n)
}

// score returns the score of row u for what was added up with a query.
func (s *Searcher) score(sum float64, x side, u, common uint32) float32 {
	y := side{s.squares[u], uint32(s.rows.Start[u+1] - s.rows.Start[u])}
	return s.o.score(sum, x, y, common, uint32(s.rows.NumItems))
}

// raise drops keys that cannot be among the best any more.
func (q *search) raise(estimates bool) {
	worst := keyScore(selectBest(q.keys, q.k))
	switch {
	case !estimates:
		q.least, q.keys = worst, q.keys[:q.k]
	case worst > math.MaxFloat32: // and nothing is known of the scores
	case q.relative > 0:
		q.drop(worst * (1 - q.relative))
	case worst > q.margin: // else it may stand for a score of 0, which is none
		q.drop(worst - q.margin)
	}
	q.full = max(q.full, 2*len(q.keys))
}

func (q *search) drop(below float32) {
	q.least = below
	q.keys = slices.DeleteFunc(q.keys, func(key uint64) bool { return keyScore(key) < below })
}

// settle puts the keys of scores in the place of those of estimates, for all that may be among the best.
func (q *search) settle(parts []SearchPart) {
	if len(q.keys) > q.k {
		q.raise(true)
	}
	n := 0
	for _, key := range q.keys {
		id := keyID(key)
		p := &parts[PartOf(parts, id)]
		if score := p.exact(q, id-p.First); score != 0 {
			q.keys[n] = rankKey(score, id)
			n++
		}
	}
	q.keys = q.keys[:n]
}

// exact returns the score of row u and a query, by what they have in common.
func (s *Searcher) exact(q *search, u uint32) float32 {
	few, of := s.rows.row(int(u))
	many, ofMany := q.items, q.weights
	if len(few) > len(many) {
		few, of, many, ofMany = many, ofMany, few, of
	}
	sum, n, from := float32(0), uint32(0), 0
	for at, item := range few {
		ahead, found := slices.BinarySearch(many[from:], item)
		from += ahead
		if found {
			n++
			sum += float32(weightAt(of, at) * weightAt(ofMany, from))
		}
	}
	return s.score(float64(sum), q.x, u, n)
}
