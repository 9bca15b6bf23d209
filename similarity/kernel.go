package similarity

import (
	"context"
	"fmt"
	"math"
)

// Stats counts the work of a task.
type Stats struct {
	// PairUpdates is the number of steps of the inner loop: for each entry of a leading
	// item, the other items of the user on the side; half of them where each sum is formed once.
	PairUpdates int64
	// Pairs is the number of pairs of items with a common user, seen from the leading
	// item, or from one of both where each sum is formed once. Where the measure and the options need no count of common users, a pair
	// whose sum is exactly zero is not seen and not counted.
	Pairs int64
}

func (s *Stats) add(t Stats) {
	s.PairUpdates += t.PairUpdates
	s.Pairs += t.Pairs
}

// Scratch is the working memory of one goroutine: 28 bytes for each item of the
// widest Side that it was used with, 76 once it was used for Pearson, 40 for Swing. The
// zero value is ready; reuse saves allocations.
type Scratch struct {
	sums          []float32 // all zero between items
	counts        []uint32  // all zero between items
	touched       []uint32  // takeAhead longer
	dot, estimate []float32 // of the touched items, as what follows
	common        []uint32
	places        []uint32 // of estimates; one longer
	visit         visit
	at            []uint32  // positions of the rows of the users of the item at work
	ones          []float32 // of items without weights
	best          topK
	kth           kthFinder

	values  []float32 // of one row
	moments []moment  // all zero between items
	swing   swingScratch
}

func (s *Scratch) grow(width int) {
	if len(s.sums) < width {
		*s = Scratch{
			sums: make([]float32, width), counts: make([]uint32, width), touched: make([]uint32, width+takeAhead),
			dot: make([]float32, width), estimate: make([]float32, width), common: make([]uint32, width),
			places: make([]uint32, width+1),
		}
		hugePages(s.sums)
		hugePages(s.counts)
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

	halves *halves // if items meet only those before them

	kind         kind
	sums, counts bool // what is accumulated; without sums, counts are the sums
	direct       bool // the score is that of one of both and of norms alone
}

// sparseItem is how many slots there must be for each touched item, so that a list of
// them is cheaper than a scan of all slots.
const sparseItem = 8

func (t *task) run(ctx context.Context) (st Stats, err error) {
	defer func() { t.s.visit = visit{} }() // the Scratch may outlive the Side
	t.counts = t.o.needsCount()
	t.sums = t.kind == products
	if t.sums && t.lead.weight == nil && t.side.codes.ones() && t.lead.numUsers <= exactOnes {
		t.sums, t.counts = false, true
	}
	t.direct = t.o.direct()
	look := int64(0)
	for i := range t.lead.width() {
		if st.PairUpdates >= look {
			if err := ctx.Err(); err != nil {
				return st, err
			}
			look = st.PairUpdates + visitTurn
		}
		if t.lead.start[i] == t.lead.start[i+1] {
			continue
		}
		var n, updates int
		all := false
		if t.kind == moments {
			n, updates = t.accumulateMoments(i)
		} else {
			if n, all, updates, err = t.accumulate(ctx, i); err != nil {
				*t.s = Scratch{} // in which sums are left
				return st, err
			}
		}
		if t.kind == swings {
			updates += t.swing(i)
		}
		st.PairUpdates += int64(updates)
		st.Pairs += int64(t.offer(i, n, all))
	}
	return st, nil
}

// accumulate forms the sums of item i with all items of the side, or those before it, in the slots of the
// scratch. It returns the number of items that it listed, or all, where those touched are
// many and need no list; and the updates. The only error is that of the context.
func (t *task) accumulate(ctx context.Context, i int) (n int, all bool, updates int, err error) {
	s, side, own := t.s, t.side, t.own(i)
	width, lengths := side.width(), []uint32(nil)
	lo, hi := t.lead.start[i], t.lead.start[i+1]
	if t.halves != nil {
		width, lengths = own, t.halves.rows(t.lead.user[lo:hi])
	}
	s.at = positions(s.at[:0], side.at, t.lead.user[lo:hi])
	sums, counts := s.sums[:width], s.counts[:width]
	v := &s.visit
	*v = visit{
		words: side.words, at: s.at[:len(s.at)+visitAhead], rows: len(s.at), lengths: lengths, weights: t.weights(lo, hi),
		table: &side.codes.weight, values: side.value, sums: sums, counts: counts,
		touched: s.touched, room: width / sparseItem,
	}
	touch, add := side.loops()
	if t.sums && t.counts {
		again := *v
		if err := v.turns(ctx, add); err != nil {
			return 0, false, 0, err
		}
		*v = again
	}
	if t.counts {
		touch, add = touchOnes, addOnes
	}
	listed, err := v.touchOrAdd(ctx, touch, add)
	if err != nil {
		return 0, false, 0, err
	}
	n, updates = v.count, v.updates
	if own >= 0 && t.halves == nil {
		updates -= len(s.at) // the item met itself
		sums[own], counts[own] = 0, 0
	}
	switch {
	case listed:
		return n, false, updates, nil
	case t.direct:
		return width, true, updates, nil
	}
	return nonZero(counts, s.touched), false, updates, nil
}

// weights returns the weights of the entries [lo, hi) of the leading items.
func (t *task) weights(lo, hi uint32) []float32 {
	if t.lead.weight != nil {
		return t.lead.weight[lo:hi]
	}
	return orOnes(nil, int(hi-lo), &t.s.ones)
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

// offer scores n listed items, or all, with item i and keeps the best. Estimates decide
// which few need a score, for a score takes what is far away in memory: the norms in double
// precision. It leaves zeros in the slots, and returns the number of pairs.
func (t *task) offer(i, n int, all bool) (pairs int) {
	s := t.s
	estimate := s.estimate[:n]
	guess := s.kth.guess()
	pairs, reached := t.estimates(i, n, all, guess)
	best := &s.best
	best.begin(t.best, i)
	places, bound := t.candidates(estimate, s.places[:reached], guess)
	var some [64]uint32
	for len(places) > 0 {
		ids := some[:copy(some[:], places)]
		if !all {
			for n, k := range ids {
				ids[n] = s.touched[k]
			}
		}
		if t.direct {
			fetch(t.side.squares, ids)
		}
		for n, j := range ids {
			k := places[n]
			if estimate[k] < bound {
				continue
			}
			if score := t.score(i, k, j, all); score != 0 {
				bound = max(bound, best.add(rankKey(score, t.side.Lo+j)))
			}
		}
		places = places[len(ids):]
	}
	best.end(t.best, i)
	if t.halves != nil {
		t.give(i, n, all)
	}
	if all {
		clear(s.sums[:n])
		clear(s.counts[:n])
	}
	return pairs
}

// candidates returns the places of the estimates that may come into the list, and the bound of these. What estimates has found to reach a guess is enough if the bound is not below that.
func (t *task) candidates(estimate []float32, places []uint32, guess float32) ([]uint32, float32) {
	s := t.s
	// K items have estimates of at least the K-th, and so scores that an item with one
	// under its lowered value cannot beat. Items that are no candidates have -Inf.
	kth, ok := s.kth.findAt(estimate, places, s.best.k, guess)
	if !ok {
		kth = s.kth.find(estimate, s.best.k)
	}
	bound := max(s.best.bound, lowered(kth), -math.MaxFloat32)
	if !ok || bound < guess {
		return s.places[:reach(s.places, estimate, bound)], bound
	}
	n := 0
	for _, k := range places {
		places[n] = k
		n += one(estimate[k] >= bound)
	}
	return places[:n], bound
}

// score is that of item i with item j of the side, which is at place k.
func (t *task) score(i int, k, j uint32, all bool) float32 {
	s := t.s
	switch {
	case !t.estimated():
		return s.estimate[k]
	case !t.direct:
		return t.o.score(float64(s.dot[k]), t.lead.of(i), t.side.of(int(j)), s.common[k], t.lead.numUsers)
	}
	dot := float64(s.dot[k])
	if all && t.sums {
		dot = float64(s.sums[k])
	} else if all {
		dot = float64(s.counts[k])
	}
	return t.o.score(dot, side{squares: t.lead.squares[i]}, side{squares: t.side.squares[j]}, 0, 0)
}

// estimated tells whether there are estimates that are cheaper than scores.
func (t *task) estimated() bool { return t.kind == products || t.o.Measure == Jaccard }

// estimates forms scores in float32, each within 8 roundings of the score itself, and
// -Inf for what is no candidate: the item itself, a sum of zero, too little support. It
// returns the number of pairs with a common user. Where nothing is estimated it gives the
// scores themselves. Slots of listed items are zero afterwards. Of some kinds it writes the places of all that reach the guess, and perhaps others, to those of the scratch.
func (t *task) estimates(i, n int, all bool, guess float32) (pairs, reached int) {
	s, side := t.s, t.side
	ids, dot, common, estimate := s.touched[:n:n+takeAhead], s.dot[:n], s.common[:n], s.estimate[:n]
	scale := t.o.scale(t.lead.squares[i])
	switch {
	case all && t.sums:
		return scanSums(estimate, s.sums[:n], side.inverse, scale), 0
	case all:
		return scanCounts(estimate, s.counts[:n], side.inverse, scale), 0
	case t.direct && t.sums:
		return takeSums(dot, estimate, ids, s.sums, side.inverse, scale, s.places, guess)
	case t.direct:
		return takeCounts(dot, estimate, ids, s.counts, side.inverse, scale, s.places, guess)
	case t.kind == moments: // which are the slots
		return t.scores(i, ids, estimate), 0
	}
	if t.counts {
		takeAll(common, s.counts, ids)
	}
	if t.sums {
		takeAll(dot, s.sums, ids)
	} else {
		for k, c := range common {
			dot[k] = float32(c)
		}
	}
	switch {
	case !t.estimated():
		return t.scores(i, ids, estimate), 0
	case t.o.Measure == Jaccard:
		jaccards(estimate, dot, float32(t.lead.users[i]), ids, side.users)
	default:
		for k, j := range ids {
			estimate[k] = dot[k] * side.inverse[j] * scale
		}
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
	return pairs, 0
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
