package similarity

import (
	"context"
	"fmt"
)

// Stats counts the work of a task.
type Stats struct {
	// PairUpdates is the number of steps of the inner loop: for each entry of a leading
	// item, the other items of the user on the side.
	PairUpdates int64
	// Pairs is the number of pairs of items with a common user, seen from the leading
	// item. Where the measure and the options need no count of common users, a pair
	// whose sum is exactly zero is not seen and not counted.
	Pairs int64
}

func (s *Stats) add(t Stats) {
	s.PairUpdates += t.PairUpdates
	s.Pairs += t.Pairs
}

// Scratch is the working memory of one goroutine: 24 bytes for each item of the
// widest Side that it was used with, 72 once it was used for Pearson, 36 for Swing. The
// zero value is ready; reuse saves allocations.
type Scratch struct {
	sums    []float32 // all zero between items
	counts  []uint32  // all zero between items
	touched []uint32  // one longer
	// Of the touched items:
	dot, estimate []float32
	common        []uint32
	at            []uint32 // positions of the rows of the users of the item at work
	best          topK
	kth           kthFinder

	values  []float32 // of one row
	moments []moment  // all zero between items
	swing   swingScratch
}

func (s *Scratch) grow(width int) {
	if len(s.sums) < width {
		*s = Scratch{
			sums: make([]float32, width), counts: make([]uint32, width), touched: make([]uint32, width+1),
			dot: make([]float32, width), estimate: make([]float32, width), common: make([]uint32, width),
		}
	}
}

// Run computes the scores of each item of lead with all items of side and offers
// them to the Collector of lead, which may have the neighbors of other Sides.
//
// The sum of a pair is formed in ascending user order, so its bits depend neither
// on the blocks nor on which of the two items leads. s may be nil; o.Threads is not
// used. side must have been made for o, and hold all items if o.Measure.WholeRows.
//
// It returns an error matching ErrShape if the operands do not fit, or ctx's error
// if it is done, which is looked at every some million updates. After an error the
// Collector has the neighbors of part of the items, and none twice if the task is
// not run again into it. Cost: O(updates), and O(items of side) for an item with
// many.
func Run(ctx context.Context, lead *Block, side *Side, c *Collector, o Options, s *Scratch) (Stats, error) {
	if err := o.Validate(); err != nil {
		return Stats{}, err
	}
	switch {
	case int(lead.numUsers) != len(side.at):
		return Stats{}, fmt.Errorf("block with %d and side with %d users: %w", lead.numUsers, len(side.at), ErrShape)
	case c.lo != lead.Lo || len(c.size) != lead.width():
		return Stats{}, fmt.Errorf("block [%d,%d): collector is of other items: %w", lead.Lo, lead.Hi, ErrShape)
	}
	if s == nil {
		s = new(Scratch)
	}
	s.grow(side.width())
	t := task{lead: lead, side: side, best: c, o: o, s: s, kind: o.Measure.kind()}
	return t.run(ctx)
}

// exactOnes is the number of users up to which a float32 sum of ones is exact, so
// that counting gives the same bits.
const exactOnes = 1 << 24

// task is one Block at work with one Side.
type task struct {
	lead *Block
	side *Side
	best *Collector
	o    Options
	s    *Scratch

	kind         kind
	sums, counts bool // what is accumulated; without sums, counts are the sums
}

// checkEvery is the number of updates between two looks at the context, about two
// milliseconds.
const checkEvery = 1 << 20

// sparseItem is how many slots there must be for each touched item, so that a list of
// them is cheaper than a scan of all slots.
const sparseItem = 4

func (t *task) run(ctx context.Context) (st Stats, err error) {
	t.counts = t.o.needsCount()
	t.sums = t.kind == products
	if t.sums && t.lead.weight == nil && t.side.codes.ones() && t.lead.numUsers <= exactOnes {
		t.sums, t.counts = false, true
	}
	look := int64(0)
	for i := range t.lead.width() {
		if st.PairUpdates >= look {
			if err := ctx.Err(); err != nil {
				return st, err
			}
			look = st.PairUpdates + checkEvery
		}
		if t.lead.start[i] == t.lead.start[i+1] {
			continue
		}
		var n, updates int
		if t.kind == moments {
			n, updates = t.accumulateMoments(i)
		} else {
			n, updates = t.accumulate(i)
		}
		if t.kind == swings {
			updates += t.swing(i)
		}
		st.PairUpdates += int64(updates)
		st.Pairs += int64(t.offer(i, n))
	}
	return st, nil
}

// accumulate forms the sums of item i with all items of the side and leaves those
// that are not zero in the scratch. It returns how many there are, and the updates.
func (t *task) accumulate(i int) (n, updates int) {
	s, side := t.s, t.side
	lo, hi := t.lead.start[i], t.lead.start[i+1]
	users := t.lead.user[lo:hi]
	var weights []float32
	if t.lead.weight != nil {
		weights = t.lead.weight[lo:hi]
	}
	width := side.width()
	own := t.own(i)
	sums, counts := s.sums[:width], s.counts[:width]
	room := width / sparseItem // for touched items
	listed := true
	s.at = positions(s.at[:0], side.at, users)
	w := float32(1)
	for k, at := range s.at {
		row := side.words[at+1 : at+1+side.words[at]]
		if weights != nil {
			w = weights[k]
		}
		updates += len(row)
		listed = listed && n+len(row) <= room // a list that would get too long is given up
		switch {
		case !t.counts:
		case listed:
			n = touchOnes(counts, s.touched, n, row)
		default:
			addOnes(counts, row)
		}
		switch {
		case !t.sums:
		case listed && !t.counts && side.value == nil:
			n = touchCoded(sums, s.touched, n, row, w, &side.codes.weight)
		case listed && !t.counts:
			n = touchValued(sums, s.touched, n, row, w, side.value[at+1:])
		case side.value == nil:
			addCoded(sums, row, w, &side.codes.weight)
		default:
			addValued(sums, row, w, side.value[at+1:])
		}
	}
	if own >= 0 {
		updates -= len(users) // the item met itself
		sums[own], counts[own] = 0, 0
	}
	switch {
	case listed:
	case t.counts:
		n = nonZero(counts, s.touched)
	default:
		n = nonZero(sums, s.touched)
	}
	ids := s.touched[:n]
	if t.counts {
		takeAll(s.common, counts, ids)
	}
	if t.sums {
		takeAll(s.dot, sums, ids)
	} else {
		dot := s.dot[:n]
		for k, c := range s.common[:n] {
			dot[k] = float32(c)
		}
	}
	return n, updates
}

// own returns the place of item i on the side, or -1.
func (t *task) own(i int) int {
	if own := int64(t.lead.Lo) + int64(i) - int64(t.side.Lo); own >= 0 && own < int64(t.side.width()) {
		return int(own)
	}
	return -1
}

// accumulateMoments is accumulate for Pearson. It lists all items it touches, the item
// itself with no common user.
func (t *task) accumulateMoments(i int) (n, updates int) {
	s, side := t.s, t.side
	if len(s.moments) < side.width() {
		s.moments = make([]moment, side.width())
	}
	lo, hi := t.lead.start[i], t.lead.start[i+1]
	users := t.lead.user[lo:hi]
	s.at = positions(s.at[:0], side.at, users)
	for k, at := range s.at {
		w := weightAt(t.lead.weight, int(lo)+k)
		row, values := side.row(at, &s.values)
		updates += len(row)
		n = touchMoments(s.moments, s.touched, n, row, float64(w), values)
	}
	if own := t.own(i); own >= 0 {
		updates -= len(users)
		s.moments[own] = moment{}
	}
	return n, updates
}

// offer scores the n items in the scratch with item i and keeps the best. Estimates
// decide which few need a score, for a score takes what is far away in memory: the
// norms in double precision. It returns the number of pairs.
func (t *task) offer(i, n int) (pairs int) {
	s := t.s
	ids, estimate := s.touched[:n], s.estimate[:n]
	pairs = t.estimates(i, ids, estimate)
	best := &s.best
	best.begin(t.best, i)
	// K items have estimates of at least the K-th, and so scores that an item with one
	// under its lowered value cannot beat.
	bound := max(best.bound, lowered(s.kth.find(estimate, best.k)))
	for k, e := range estimate {
		if e < bound || e == negInf {
			continue
		}
		j, score := ids[k], e
		if t.estimated() {
			score = t.o.score(float64(s.dot[k]), t.lead.of(i), t.side.of(int(j)), s.common[k], t.lead.numUsers)
		}
		if score != 0 {
			bound = max(bound, best.add(rankKey(score, t.side.Lo+j)))
		}
	}
	best.end(t.best, i)
	return pairs
}

// estimated tells whether there are estimates that are cheaper than scores.
func (t *task) estimated() bool { return t.kind == products || t.o.Measure == Jaccard }

// estimates forms scores in float32, each within 8 roundings of the score itself, and
// -Inf for what is no candidate: the item itself, a sum of zero, too little support. It
// returns the number of pairs with a common user. Where nothing is estimated it gives the
// scores themselves.
func (t *task) estimates(i int, ids []uint32, estimate []float32) (pairs int) {
	if !t.estimated() {
		return t.scores(i, ids, estimate)
	}
	dot, common := t.s.dot[:len(ids)], t.s.common[:len(ids)]
	estimate = estimate[:len(ids)]
	if t.o.Measure == Jaccard {
		jaccards(estimate, dot, float32(t.lead.users[i]), ids, t.side.users)
	} else {
		cosines(estimate, dot, t.o.scale(t.lead.squares[i]), ids, t.side.inverse)
	}
	if !t.counts {
		for k, d := range dot {
			if d == 0 {
				estimate[k] = negInf
				continue
			}
			pairs++
		}
		return pairs
	}
	shrinkage, least := float32(t.o.Shrinkage), int64(t.o.MinSupport)
	for k, c := range common {
		if shrinkage > 0 {
			estimate[k] *= float32(c) / (float32(c) + shrinkage)
		}
		if c > 0 {
			pairs++
		}
		if c == 0 || dot[k] == 0 || int64(c) < least {
			estimate[k] = negInf
		}
	}
	return pairs
}

// scores gives the scores of items, and -Inf for what is no candidate.
func (t *task) scores(i int, ids []uint32, score []float32) (pairs int) {
	x, least := t.lead.of(i), int64(t.o.MinSupport)
	for k, j := range ids {
		var n int64
		var s float32
		switch t.kind {
		case moments:
			m := &t.s.moments[j]
			n, s = int64(m.n), t.o.correlation(m)
			*m = moment{}
		case swings:
			n = int64(t.s.common[k])
			s = t.o.score(t.s.swing.take(j), x, t.side.of(int(j)), t.s.common[k], t.lead.numUsers)
		default:
			n = int64(t.s.common[k])
			if n > 0 {
				s = t.o.score(0, x, t.side.of(int(j)), t.s.common[k], t.lead.numUsers)
			}
		}
		if n > 0 {
			pairs++
		}
		if n == 0 || n < least || s == 0 {
			s = negInf
		}
		score[k] = s
	}
	return pairs
}
