package similarity

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// Index is a matrix with the neighbor lists of its items, which Update keeps equal to
// those that Build would give, at a fraction of the cost when few rows change. It
// keeps more neighbors than K, with the sums that their scores come from, and for each
// item a bound on the scores of all others.
//
// An Index must not be used by two goroutines at the same time while one updates it.
type Index struct {
	o       Options
	threads int
	reserve int     // neighbors kept beyond K
	fall    float64 // see smallFall
	rows    *Rows   // of weights that are not negative; without weights where those do not count
	columns *Rows   // rows, transposed
	grain   int     // all weights are multiples of 2^-grain; -1 if that is above maxGrain
	norms

	inverse []float32 // of each item, for estimates of measures of products

	keep   int      // neighbors kept of each item
	size   []int32  // neighbors held of each item
	id     []uint32 // keep slots an item, in rank order
	sum    []float32
	scored []float32 // the score
	bound  []float32 // no neighbor that is not held scores above it; -Inf if all are held
	limits []limits  // of the sums with those that are not held
}

// UserRow is a row of the matrix: items ascending, with their weights, nil for ones. No
// items stand for a user who is to be forgotten.
type UserRow struct {
	User   uint32
	Items  []uint32
	Weight []float32
}

// UpdateStats counts the work of an update.
type UpdateStats struct {
	// Rows is the number of items of which all pairs were computed anew, Scanned that of
	// those of which some were, and Pairs that of single pairs.
	Rows, Scanned, Pairs int
	// Changed is the number of (item, other) pairs with another sum.
	Changed int64
	// PairUpdates is that of Stats, for the rows.
	PairUpdates int64
}

func (s *UpdateStats) add(t UpdateStats) {
	s.Rows += t.Rows
	s.Scanned += t.Scanned
	s.Pairs += t.Pairs
	s.Changed += t.Changed
	s.PairUpdates += t.PairUpdates
}

// NewIndex computes the lists of all items. r is only read, but parts of it are kept. The
// measure is Cosine, AsymmetricCosine, Jaccard, Dice or ConditionalProbability, without
// Shrinkage and MinSupport, and no weight is negative: otherwise, and if r is not
// valid, the error matches ErrShape. It may also be ctx's.
// Memory: 24 bytes an entry, 8·(1.5·K+16) bytes an item, and a byte for each four to eight
// pairs with a common user. Cost: some two times that of Build.
func NewIndex(ctx context.Context, r *Rows, o Options) (*Index, error) {
	return newIndex(ctx, r, o, o.K/2+16, smallFall)
}

func newIndex(ctx context.Context, r *Rows, o Options, reserve int, fall float64) (*Index, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if err := r.Validate(); err != nil {
		return nil, err
	}
	x := &Index{o: o, threads: o.Threads, reserve: reserve, fall: fall, keep: o.K + reserve}
	if x.threads == 0 {
		x.threads = runtime.GOMAXPROCS(0)
	}
	switch o.Measure {
	case Cosine, AsymmetricCosine, Jaccard, Dice, ConditionalProbability:
	default:
		return nil, fmt.Errorf("index: the scores of %s may all change with one row; use Build: %w", o.Measure, ErrShape)
	}
	if o.K > maxIndexK {
		return nil, fmt.Errorf("index: K is %d, want at most %d: %w", o.K, maxIndexK, ErrShape)
	}
	if o.Shrinkage > 0 || o.MinSupport > 1 {
		return nil, fmt.Errorf("index: shrinkage and minimum support are not kept up to date; use Build: %w", ErrShape)
	}
	if err := checkIndexUsers(r.NumUsers()); err != nil {
		return nil, err
	}
	x.rows = r
	if o.Measure.kind() == commons {
		x.rows = &Rows{NumItems: r.NumItems, Start: r.Start, Item: r.Item}
	}
	for k, w := range x.rows.Weight {
		if !(w >= 0) {
			return nil, fmt.Errorf("index: entry %d has weight %v; want none below 0: %w", k, w, ErrShape)
		}
		x.refine(w)
	}
	x.columns = x.rows.Transpose()
	x.norms = normsOf(x.columns, x.threads)
	x.grow(r.NumItems)
	for i, squares := range x.squares {
		x.inverse[i] = o.inverse(squares)
	}
	first := func(w *indexWorker, i int) { w.recompute(i) }
	if r.NumItems <= MaxBlockItems {
		side, err := sideOf(x.rows, 0, uint32(r.NumItems))
		if err != nil {
			return nil, err
		}
		first = func(w *indexWorker, i int) { w.firstRow(ctx, side, i) }
	}
	if _, err := x.parallel(ctx, r.NumItems, first); err != nil {
		return nil, err
	}
	return x, nil
}

// maxIndexK is the largest K of an Index.
const maxIndexK = 1 << 20

// checkIndexUsers refuses more users than float32 counts.
func checkIndexUsers(n int) error {
	if n > exactOnes {
		return fmt.Errorf("index: %d users, want at most %d: %w", n, exactOnes, ErrShape)
	}
	return nil
}

// grow makes room for the lists of n items.
func (x *Index) grow(n int) {
	for len(x.size) < n {
		x.size, x.bound, x.limits = append(x.size, 0), append(x.bound, negInf), append(x.limits, limits{})
	}
	x.inverse = append(x.inverse, make([]float32, n-len(x.inverse))...)
	more := n*x.keep - len(x.id)
	x.id = append(x.id, make([]uint32, more)...)
	x.sum, x.scored = append(x.sum, make([]float32, more)...), append(x.scored, make([]float32, more)...)
}

// maxGrain is the largest grain that is looked for: sixteenths.
const maxGrain = 4

// refine makes the grain so fine that it has w.
func (x *Index) refine(w float32) {
	for x.grain >= 0 {
		if scaled := w * float32(int(1)<<x.grain); scaled == float32(int64(scaled)) {
			return
		}
		if x.grain++; x.grain > maxGrain {
			x.grain = -1
		}
	}
}

// parallel calls f for 0 to n-1, each once, on all threads.
func (x *Index) parallel(ctx context.Context, n int, f func(w *indexWorker, i int)) (UpdateStats, error) {
	return x.parallelEnd(ctx, n, f, func(*indexWorker) {})
}

// parallelEnd is parallel that calls end once for each of the threads, one at a time.
func (x *Index) parallelEnd(ctx context.Context, n int, f func(w *indexWorker, i int), end func(*indexWorker)) (UpdateStats, error) {
	const chunk = 64
	var next atomic.Int64
	var wg sync.WaitGroup
	workers := make([]indexWorker, x.threads)
	for t := range workers {
		wg.Go(func() {
			w := &workers[t]
			w.Index = x
			for ctx.Err() == nil {
				lo := int(next.Add(chunk)) - chunk
				if lo >= n {
					return
				}
				for i := lo; i < min(n, lo+chunk); i++ {
					f(w, i)
				}
			}
		})
	}
	wg.Wait()
	var st UpdateStats
	for t := range workers {
		st.add(workers[t].st)
		end(&workers[t])
	}
	return st, ctx.Err()
}

// Lists returns the lists of all items, equal to those of Build. Cost: O(items · K).
func (x *Index) Lists() *Lists {
	out := &Lists{Start: make([]int64, 1, len(x.size)+1)}
	for i, n := range x.size {
		for k := range min(int(n), x.o.K) {
			at := i*x.keep + k
			out.Entries = append(out.Entries, Neighbor{ID: x.id[at], Score: x.scored[at]})
		}
		out.Start = append(out.Start, int64(len(out.Entries)))
	}
	return out
}

// score finishes the score of item i with j from their sum: of products, or the number of
// common users where that is what counts.
func (x *Index) score(i int, j uint32, sum float32) float32 {
	return x.o.score(float64(sum), x.of(i), x.of(int(j)), uint32(sum), uint32(x.rows.NumUsers()))
}

// held is a neighbor with what its score comes from.
type held struct {
	key uint64 // rankKey
	sum float32
}

// estimator forms estimates of the scores of one item, each within 8 roundings.
type estimator struct {
	*Index
	own   float32 // Options.scale, or the users
	scale bool    // a product of inverses
}

func (x *Index) estimator(i int) estimator {
	e := estimator{Index: x, scale: x.o.Measure.kind() == products}
	e.own = float32(x.users[i])
	if e.scale {
		e.own = x.o.scale(x.squares[i])
	}
	return e
}

func (e *estimator) of(j uint32, sum float32) float32 {
	if e.scale {
		return sum * e.inverse[j] * e.own
	}
	switch e.o.Measure {
	case Jaccard:
		return sum / (e.own + float32(e.users[j]) - sum)
	case Dice:
		return 2 * sum / (e.own + float32(e.users[j]))
	}
	return sum / e.own
}

// indexWorker is what one thread of an Index works with.
type indexWorker struct {
	*Index
	sums     []float32 // all zero between items
	touched  []uint32
	dot      []float32 // of the touched items
	estimate []float32
	kth      kthFinder
	list     []held
	keys     []uint64
	st       UpdateStats

	// Of firstRow:
	visit visit
	at    []uint32
	ones  []float32

	// Of Update:
	turn    uint32
	partner []partner // of all items
	changed []uint32  // items that are partners
	seen    []uint32  // of all items: the turn in which they were found to be held
	passed  []uint32
	want    [64]uint64 // a filter of ids: the bits of their low digits
	far     []emitted
}

// partner is an item with which the sum of the item at work changes in some turn.
type partner struct {
	turn  uint32
	delta float32
}

// recompute forms the sums of item i with all others and keeps the best.
func (w *indexWorker) recompute(i int) {
	w.accumulate(i)
	w.finishRow(i)
}

// finishRow keeps the best of the sums of item i, and limits of the others. Estimates
// decide which need a score.
func (w *indexWorker) finishRow(i int) {
	e := w.estimator(i)
	w.sums[i] = 0
	ids := w.touched
	dot, estimate := w.dot[:len(ids)], w.estimate[:len(ids)]
	if e.scale {
		takeSums(dot, estimate, ids, w.sums, w.inverse, e.own)
	} else {
		takeAll(dot, w.sums, ids)
		for k, j := range ids {
			if estimate[k] = negInf; dot[k] != 0 {
				estimate[k] = e.of(j, dot[k])
			}
		}
	}
	var largest float32
	for _, sum := range dot {
		largest = max(largest, sum)
	}
	least := lowered(w.kth.find(estimate, w.keep))
	w.list, w.bound[i] = w.list[:0], negInf
	limit := &w.limits[i]
	if len(ids) > w.keep {
		limit.reset(len(ids)-w.keep, largest)
	} else {
		limit.cells = nil
	}
	for k, j := range ids {
		switch sum := dot[k]; {
		case sum == 0:
		case estimate[k] < least:
			w.bound[i] = raised(least)
			limit.raise(j, sum)
		default:
			w.hold(held{rankKey(w.score(i, j, sum), j), sum})
		}
	}
	w.settle(i, w.list)
}

// firstRow is recompute by the loops of a build.
func (w *indexWorker) firstRow(ctx context.Context, side *Side, i int) {
	w.room()
	users, weights := w.columns.row(i)
	w.at = positions(w.at[:0], side.at, users)
	v := &w.visit
	*v = visit{
		words: side.words, at: w.at[:len(w.at)+visitAhead], rows: len(w.at), weights: orOnes(weights, len(users), &w.ones), table: &side.codes.weight,
		values: side.value, sums: w.sums, touched: w.touched[:cap(w.touched)], room: w.rows.NumItems / sparseItem,
	}
	touch, add := side.loops()
	listed, err := v.touchOrAdd(ctx, touch, add)
	if err != nil {
		return // and the Index with it
	}
	n := v.count
	if !listed {
		n = nonZero(w.sums, v.touched)
	}
	w.touched = v.touched[:n]
	w.finishRow(i)
}

// raised returns a number above the score of every pair whose estimate is below that of x, positive.
func raised(x float32) float32 { return x * (1 + 1.0/(1<<19)) }

func (w *indexWorker) hold(h held) {
	if keyScore(h.key) != 0 {
		w.list = append(w.list, h)
	}
}

// accumulate forms the sums of item i with all items, itself included, and lists those
// that are not zero. The sums have the bits of those of Run.
func (w *indexWorker) accumulate(i int) {
	w.room()
	users, weights := w.columns.row(i)
	n := 0
	w.touched = w.touched[:cap(w.touched)]
	for k, u := range users {
		items, row := w.rows.row(int(u))
		w.st.PairUpdates += int64(len(items)) - 1
		n = touchRow(w.sums, w.touched, n, items, row, weightAt(weights, k))
	}
	w.touched = w.touched[:n]
	w.st.Rows++
}

// room makes room for sums.
func (w *indexWorker) room() {
	if len(w.sums) < w.rows.NumItems {
		n := w.rows.NumItems
		w.sums, w.touched = make([]float32, n), make([]uint32, n+takeAhead)
		w.dot, w.estimate = make([]float32, n), make([]float32, n)
	}
}

// touchRow is touchCoded for a row of the matrix, where no weight is negative: a sum that
// stays zero is not noted. nil weights stand for ones.
//
//go:noinline
func touchRow(sums []float32, touched []uint32, n int, items []uint32, weights []float32, w float32) int {
	if weights == nil { // and then w is 1
		for _, id := range items {
			sum := sums[id]
			touched[n] = id
			n += one(sum == 0)
			sums[id] = sum + w
		}
		return n
	}
	weights = weights[:len(items)]
	for k, id := range items {
		sum := sums[id]
		next := sum + float32(w*weights[k])
		touched[n] = id
		n += one(sum == 0) & one(next != 0)
		sums[id] = next
	}
	return n
}

// settle writes the best of list as what is held of item i. What does not fit raises
// bounds.
func (w *indexWorker) settle(i int, list []held) {
	w.keys = w.keys[:0]
	for _, h := range list {
		w.keys = append(w.keys, h.key)
	}
	if len(w.keys) > w.keep {
		worst := selectBest(w.keys, w.keep)
		kept := list[:0]
		for _, h := range list {
			if h.key >= worst {
				kept = append(kept, h)
			} else {
				w.bound[i] = max(w.bound[i], keyScore(h.key))
				w.limits[i].raise(keyID(h.key), h.sum)
			}
		}
		list = kept
	}
	slices.SortFunc(list, func(a, b held) int { return cmp.Compare(b.key, a.key) })
	at := i * w.keep
	for k, h := range list {
		w.id[at+k], w.sum[at+k], w.scored[at+k] = keyID(h.key), h.sum, keyScore(h.key)
	}
	w.size[i] = int32(len(list))
}

// complete tells whether the K best of item i are known: they are held, and score above
// the bound on all others.
func (x *Index) complete(i int) bool {
	if math.IsInf(float64(x.bound[i]), -1) {
		return true
	}
	if int(x.size[i]) < x.o.K {
		return false
	}
	return x.scored[i*x.keep+x.o.K-1] > x.bound[i]
}
