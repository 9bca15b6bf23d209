package similarity

import (
	"context"
	"fmt"
)

// Stats counts the work of a pair of blocks.
type Stats struct {
	// PairUpdates is the number of steps of the inner loop: for each user, the
	// number of pairs of items that the user adds to.
	PairUpdates int64
	// Pairs is the number of pairs of items with a common user. Where the measure and
	// the options need no count of common users, a pair whose sum is exactly zero is
	// not seen and not counted.
	Pairs int64
}

func (s *Stats) add(t Stats) {
	s.PairUpdates += t.PairUpdates
	s.Pairs += t.Pairs
}

// Scratch is the working memory of one goroutine: half a megabyte, and four bytes
// a user. The zero value is ready; reuse saves allocations.
type Scratch struct {
	sums   *[MaxBlockItems]float32 // all zero between rows
	counts *[MaxBlockItems]uint32  // all zero between rows
	cursor []uint32
}

func (s *Scratch) init() {
	if s.sums == nil {
		s.sums = new([MaxBlockItems]float32)
		s.counts = new([MaxBlockItems]uint32)
	}
}

// Pair computes the scores of all pairs of an item of a and an item of b and
// returns the o.K best neighbors that each item of a and each item of b has in
// them. If a and b are the same block each pair of two items is computed once, and
// lb is nil. Blocks must be of the same matrix, and be equal or disjoint in items.
//
// The sum of a pair is formed in ascending user order, so its bits depend on
// neither the blocks nor the order of a and b. s may be nil; o.Threads is not used.
//
// It returns an error matching ErrShape if the blocks do not fit, or ctx's error
// if it is done; ctx is looked at every some million updates.
// Cost: O(updates + items(a)·items(b)) at most; see PairInto for tasks in a row.
func Pair(ctx context.Context, a, b *Block, o Options, s *Scratch) (la, lb *Lists, st Stats, err error) {
	if err := o.Validate(); err != nil {
		return nil, nil, Stats{}, err
	}
	same := sameItems(a, b)
	candidates := func(other *Block) int {
		if same {
			return max(1, min(o.K, other.width()-1))
		}
		return max(1, min(o.K, other.width()))
	}
	ca := NewCollector(a.Lo, a.Hi, candidates(b))
	cb := ca
	if !same {
		cb = NewCollector(b.Lo, b.Hi, candidates(a))
	}
	if st, err = PairInto(ctx, a, b, ca, cb, o, s); err != nil {
		return nil, nil, st, err
	}
	la = ca.Lists()
	if !same {
		lb = cb.Lists()
	}
	return la, lb, st, nil
}

// PairInto is Pair for many tasks: it adds to the Collectors of a and of b, which
// may have the neighbors of earlier tasks and decide how many are kept. If a and b
// are the same block, ca and cb must be the same Collector. After an error the
// Collectors hold part of the pairs, and none twice if the task is not run again.
func PairInto(ctx context.Context, a, b *Block, ca, cb *Collector, o Options, s *Scratch) (Stats, error) {
	if err := o.Validate(); err != nil {
		return Stats{}, err
	}
	same := sameItems(a, b)
	switch {
	case a.numUsers != b.numUsers:
		return Stats{}, fmt.Errorf("pair of blocks with %d and %d users: %w", a.numUsers, b.numUsers, ErrShape)
	case !same && a.Lo < b.Hi && b.Lo < a.Hi:
		return Stats{}, fmt.Errorf("pair of blocks [%d,%d) and [%d,%d) that overlap: %w", a.Lo, a.Hi, b.Lo, b.Hi, ErrShape)
	case !ca.covers(a) || !cb.covers(b) || same != (ca == cb):
		return Stats{}, fmt.Errorf("pair of blocks [%d,%d) and [%d,%d): collectors are of other blocks: %w",
			a.Lo, a.Hi, b.Lo, b.Hi, ErrShape)
	}
	if s == nil {
		s = new(Scratch)
	}
	s.init()
	// The block with fewer entries leads: each of its entries costs the look-up of a
	// row of the other, whose entries are then read in a run.
	k := task{lead: a, side: b, leadBest: ca, sideBest: cb, same: same, o: o, s: s}
	if len(b.rowItem) <= len(a.rowItem) {
		k.lead, k.side, k.leadBest, k.sideBest = b, a, cb, ca
	}
	return k.run(ctx)
}

func (c *Collector) covers(b *Block) bool {
	return c.lo == b.Lo && len(c.size) == b.width()
}

func sameItems(a, b *Block) bool { return a.Lo == b.Lo && a.Hi == b.Hi }

// exactOnes is the number of users up to which a float32 sum of ones is exact, so
// that counting gives the same bits.
const exactOnes = 1 << 24

// task is one pair of blocks at work: rows of sums of one item of lead with all
// items of side.
type task struct {
	lead, side         *Block
	leadBest, sideBest *Collector
	same               bool
	o                  Options
	s                  *Scratch
	st                 Stats

	sums, counts bool // what is accumulated; without sums, counts are the sums
}

// checkEvery is the number of updates between two looks at the context, about a
// millisecond.
const checkEvery = 1 << 20

func (t *task) run(ctx context.Context) (Stats, error) {
	t.counts = t.o.needsCount()
	t.sums = t.o.Measure != Jaccard
	if t.sums && t.lead.ones && t.side.ones && t.lead.numUsers <= exactOnes {
		t.sums, t.counts = false, true
	}
	side := t.side
	from, to := side.rowStart, side.rowStart[1:]
	if t.same {
		t.s.cursor = append(t.s.cursor[:0], side.rowStart...)
		to = t.s.cursor
	}
	look := int64(0)
	for i := range t.lead.width() {
		if t.st.PairUpdates >= look {
			if err := ctx.Err(); err != nil {
				return t.st, err
			}
			look = t.st.PairUpdates + checkEvery
		}
		lo, hi := t.lead.colStart[i], t.lead.colStart[i+1]
		users := t.lead.colUser[lo:hi]
		if len(users) == 0 {
			continue
		}
		var weights []float32
		if !t.lead.ones {
			weights = t.lead.colWeight[lo:hi]
		}
		var updates int
		switch {
		case !t.sums:
			updates = addCounts(t.s.counts, users, from, to, side.rowItem)
		case side.ones:
			updates = addSumsOfOnes(t.s.sums, users, weights, from, to, side.rowItem)
			if t.counts {
				addCounts(t.s.counts, users, from, to, side.rowItem)
			}
		case t.counts:
			updates = addBoth(t.s.sums, t.s.counts, users, weights, from, to, side.rowItem, side.rowWeight)
		default:
			updates = addSums(t.s.sums, users, weights, from, to, side.rowItem, side.rowWeight)
		}
		t.st.PairUpdates += int64(updates)
		switch {
		case updates == 0:
		case updates*sparseRow < side.width():
			t.scanSparse(i, users, from, to)
		default:
			t.scanDense(i)
		}
		if t.same { // i itself comes before the items behind it
			for _, u := range users {
				to[u]++
			}
		}
	}
	return t.st, nil
}

// sparseRow is how many times more slots than updates a row must have for a second
// walk over its updates to be cheaper than a scan of all slots.
const sparseRow = 8

// addSums adds, for each user in turn, weight × the user's row to sums. nil
// weights are ones. It returns the number of updates.
//
// Ids have 16 bits, so no access to sums needs a bounds check. The conversion of
// the product keeps compilers from fusing it with the addition, which would give
// other bits on other processors.
func addSums(sums *[MaxBlockItems]float32, users []uint32, weights []float32, from, to []uint32, item []uint16, weight []float32) (updates int) {
	w := float32(1)
	for p, u := range users {
		if weights != nil {
			w = weights[p]
		}
		lo, hi := from[u], to[u]
		ids := item[lo:hi]
		vals := weight[lo:hi]
		vals = vals[:len(ids)]
		for k, j := range ids {
			sums[j] += float32(w * vals[k])
		}
		updates += len(ids)
	}
	return updates
}

// addBoth is addSums and addCounts in one walk.
func addBoth(sums *[MaxBlockItems]float32, counts *[MaxBlockItems]uint32, users []uint32, weights []float32, from, to []uint32, item []uint16, weight []float32) (updates int) {
	w := float32(1)
	for p, u := range users {
		if weights != nil {
			w = weights[p]
		}
		lo, hi := from[u], to[u]
		ids := item[lo:hi]
		vals := weight[lo:hi]
		vals = vals[:len(ids)]
		for k, j := range ids {
			sums[j] += float32(w * vals[k])
			counts[j]++
		}
		updates += len(ids)
	}
	return updates
}

// addSumsOfOnes is addSums where the weights of item are ones.
func addSumsOfOnes(sums *[MaxBlockItems]float32, users []uint32, weights []float32, from, to []uint32, item []uint16) (updates int) {
	w := float32(1)
	for p, u := range users {
		if weights != nil {
			w = weights[p]
		}
		ids := item[from[u]:to[u]]
		for _, j := range ids {
			sums[j] += w
		}
		updates += len(ids)
	}
	return updates
}

// addCounts adds one for each user and each item of the user's row.
func addCounts(counts *[MaxBlockItems]uint32, users, from, to []uint32, item []uint16) (updates int) {
	for _, u := range users {
		ids := item[from[u]:to[u]]
		for _, j := range ids {
			counts[j]++
		}
		updates += len(ids)
	}
	return updates
}

// scanSparse offers the sums of row i by walking over its updates once more.
func (t *task) scanSparse(i int, users, from, to []uint32) {
	scale := t.lead.inverse[i]
	exact := t.o.Measure == Jaccard // has no estimate from sums
	for _, u := range users {
		for _, j := range t.side.rowItem[from[u]:to[u]] {
			sum, n := t.s.sums[j], t.s.counts[j]
			if sum == 0 && n == 0 {
				continue
			}
			t.s.sums[j], t.s.counts[j] = 0, 0
			t.st.Pairs++
			if !t.sums {
				sum = float32(n)
			}
			estimate := sum * t.side.inverse[j] * scale
			if !exact && sum > 0 && estimate < t.leadBest.bound[i] && estimate < t.sideBest.bound[j] {
				continue
			}
			t.offer(i, int(j), sum, n)
		}
	}
}

// scanDense offers the sums of row i by a scan of all slots. A pair whose score, by
// a float32 estimate, is under the bounds of both items goes no further.
func (t *task) scanDense(i int) {
	width := t.side.width()
	sums, counts := t.s.sums[:width], t.s.counts[:width]
	bounds := t.sideBest.bound[:width]
	inverse := t.side.inverse[:width]
	own := &t.leadBest.bound[i]
	scale := t.lead.inverse[i]
	pairs := 0
	switch {
	case t.o.Measure == Jaccard:
		nx := float32(t.lead.users(i))
		ends := t.side.colStart[1 : width+1]
		starts := t.side.colStart[:width]
		for j, n := range counts {
			if n == 0 {
				continue
			}
			pairs++
			common := float32(n)
			union := nx + float32(ends[j]-starts[j]) - common
			if common < *own*union && common < bounds[j]*union {
				continue
			}
			t.offer(i, j, common, n)
		}
	case t.sums && !t.counts:
		for j, sum := range sums {
			if sum == 0 {
				continue
			}
			pairs++
			if estimate := sum * inverse[j] * scale; estimate < *own && estimate < bounds[j] {
				continue
			}
			t.offer(i, j, sum, 0)
		}
	default:
		for j, n := range counts {
			if n == 0 {
				continue
			}
			pairs++
			sum := float32(n)
			if t.sums {
				sum = sums[j]
			}
			// Shrinkage only lowers a positive score; a negative one it raises.
			if estimate := sum * inverse[j] * scale; sum > 0 && estimate < *own && estimate < bounds[j] {
				continue
			}
			t.offer(i, j, sum, n)
		}
	}
	if t.sums {
		clear(sums)
	}
	if t.counts {
		clear(counts)
	}
	t.st.Pairs += int64(pairs)
}

// offer finishes the score of items i of lead and j of side and adds the pair to
// both lists.
func (t *task) offer(i, j int, sum float32, common uint32) {
	if t.counts && int64(common) < int64(t.o.MinSupport) {
		return
	}
	x, y := t.lead, t.side
	score := t.o.score(float64(sum), x.squares[i], y.squares[j], x.users(i), y.users(j), common)
	if score == 0 {
		return
	}
	if score >= t.leadBest.bound[i] {
		t.leadBest.add(i, rankKey(score, y.Lo+uint32(j)))
	}
	if score >= t.sideBest.bound[j] {
		t.sideBest.add(j, rankKey(score, x.Lo+uint32(i)))
	}
}
