package neighborhood

import (
	"math"
	"math/bits"
	"slices"
	"sync"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/similarity"
)

// Scale is the fixed-point scale of a partial score: the integer Scale stands for 1.
const Scale = 1 << 32

// MaxContribution is the largest magnitude of one contribution to a score; larger ones are cut to it. 65,535 contributions
// of this size still fit a score, so that in practice no sum is ever cut.
const MaxContribution = 1 << 15

// Fixed returns weight·score in fixed point: the exact product of the two, rounded to the nearest multiple of 1/Scale
// (ties to even) and cut to ±MaxContribution. NaN gives 0.
func Fixed(weight, score float32) int64 {
	return fixed(float64(weight) * float64(score)) // 24 bits times 24 bits fit the 53 of float64
}

func fixed(x float64) int64 {
	if math.Abs(x) < MaxContribution {
		return rounded(x * Scale)
	}
	switch {
	case x > 0:
		return MaxContribution * Scale
	case x < 0:
		return -MaxContribution * Scale
	}
	return 0
}

// rounded returns x, of a magnitude up to 2^51, rounded to the nearest whole number, ties to even: a float64 of 2^52 to 2^53 has no fraction, so the
// addition rounds, and the difference of the bits is that of the numbers.
func rounded(x float64) int64 {
	const whole = 3 << 51
	return int64(math.Float64bits(x+whole) - math.Float64bits(whole))
}

// Float returns the value that a fixed-point score stands for. It is exact below 2^21.
func Float(sum int64) float64 { return float64(sum) / Scale }

// Scores adds up partial scores of items. A score is a sum of contributions in fixed point, so any order and any
// grouping of the additions gives the same bits, as long as the magnitudes of the contributions to an item add up to
// less than 2^31; a sum beyond ±2^31 stays at the bound instead of wrapping around.
//
// Scores must not be used by two goroutines at the same time. Reset makes one ready for the next query without
// giving up its memory.
type Scores struct {
	items []uint32 // in order of first addition
	sums  []int64  // of items
	// dense has the position in items plus 1, or 0 for none, by id. nil means that slots are used.
	dense []uint32
	// slots is a hash table of the items: id in the upper half of a slot and position plus 1 in the lower one, or 0. At least every other one is empty.
	// nil means that they are to be made: what is only ranked needs none.
	slots []uint64
	shift uint8 // 64 - log2(len(slots))
	// table is the memory of slots, the first part of it. The rest is zero.
	table []uint64
}

// NewScores returns empty Scores for any ids. Memory: about 20 to 30 bytes for each item added.
func NewScores() *Scores { return &Scores{} }

// NewScoresFor returns empty Scores for any ids with room for n items, so that adding them allocates nothing.
func NewScoresFor(n int) *Scores {
	s := &Scores{items: make([]uint32, 0, n), sums: make([]int64, 0, n)}
	s.index(n)
	return s
}

// pool has Scores that nobody uses.
var pool sync.Pool

// BorrowScores returns empty Scores for any ids with room for about n items. Whoever has them last may Return them; what is not returned is garbage.
func BorrowScores(n int) *Scores {
	s, _ := pool.Get().(*Scores)
	if s == nil {
		s = &Scores{}
	}
	s.reserve(n)
	return s
}

// maxPooled is the most slots of Scores that are kept: one MiB.
const maxPooled = 1 << 17

// Return gives borrowed Scores back. Neither s nor a slice of it may be used afterwards.
func (s *Scores) Return() {
	if s.dense != nil || s.table == nil || len(s.table) > maxPooled || cap(s.sums) > maxPooled {
		return
	}
	s.Reset()
	s.slots = nil // the next use may need fewer
	pool.Put(s)
}

// index makes slots for n items, and notes those that are there.
func (s *Scores) index(n int) {
	clear(s.slots)
	size := max(8, bits.Len(uint(2*n)))
	if len(s.table) < 1<<size {
		s.table = make([]uint64, 1<<size)
	}
	s.slots, s.shift = s.table[:1<<size], uint8(64-size)
	for i, id := range s.items {
		at, _ := s.find(id)
		s.slots[at] = uint64(id)<<32 | uint64(i+1)
	}
}

// NewDenseScores returns empty Scores for ids below numItems, which are found without hashing: for many queries in a
// row, each touching much of the catalog. Memory: 4 bytes an item of the catalog and 12 for each item added.
func NewDenseScores(numItems int) *Scores {
	return &Scores{dense: make([]uint32, numItems)}
}

// Reset removes all scores. Cost: O(Len) if dense, else O(the largest Len since New).
func (s *Scores) Reset() {
	clear(s.slots)
	if s.dense != nil {
		for _, id := range s.items {
			s.dense[id] = 0
		}
	}
	s.items, s.sums = s.items[:0], s.sums[:0]
}

// Len returns the number of items that something was added to, be the sum zero.
func (s *Scores) Len() int { return len(s.items) }

// All returns all items, in order of their first addition, and their scores in fixed point. The slices are valid until
// the next change of s, and must not be changed.
func (s *Scores) All() (items []uint32, sums []int64) { return s.items, s.sums }

// Score returns the score of an item in fixed point, 0 if it has none.
func (s *Scores) Score(item uint32) int64 {
	if p := s.position(item); p >= 0 {
		return s.sums[p]
	}
	return 0
}

// position returns where an item is, or -1.
func (s *Scores) position(item uint32) int {
	switch {
	case s.dense != nil:
		return int(s.dense[item]) - 1
	case s.slots == nil:
		s.index(len(s.items))
	}
	_, position := s.find(item)
	return position
}

// find returns the slot of an item, or an empty one for it, and its position, or -1.
func (s *Scores) find(item uint32) (at uint64, position int) {
	mask := uint64(len(s.slots) - 1)
	for at = home(item, s.shift); ; at = (at + 1) & mask { // linear probing
		slot := s.slots[at]
		if slot == 0 || uint32(slot>>32) == item {
			return at, int(uint32(slot)) - 1
		}
	}
}

// home is where the search for an item begins: Fibonacci hashing.
func home(item uint32, shift uint8) uint64 { return uint64(item) * 0x9e3779b97f4a7c15 >> (shift & 63) }

// Largest returns the largest score in fixed point, or 0 if none is positive.
func (s *Scores) Largest() int64 {
	var largest int64
	for _, sum := range s.sums {
		largest = max(largest, sum)
	}
	return largest
}

// AddNeighbors adds weight·score to each neighbor: what one item of a history, with its weight, says through its
// neighbor list. Summed over the history this is item-based top-N: Deshpande and Karypis, ACM TOIS 22(1), 2004, section 4.2
// [deshpande2004].
func (s *Scores) AddNeighbors(weight float32, neighbors []similarity.Neighbor) {
	if s.dense != nil {
		for _, n := range neighbors {
			s.addDense(n.ID, Fixed(weight, n.Score))
		}
		return
	}
	s.reserve(len(neighbors))
	w, items, sums, slots, shift := float64(weight), s.items, s.sums, s.slots, s.shift
	mask := uint64(len(slots) - 1)
	for _, n := range neighbors {
		x := fixed(w * float64(n.Score))
		for at := home(n.ID, shift); ; at++ {
			slot := slots[at&mask]
			if slot == 0 {
				items, sums = append(items, n.ID), append(sums, x)
				slots[at&mask] = uint64(n.ID)<<32 | uint64(len(items))
				break
			}
			if uint32(slot>>32) == n.ID {
				sum := &sums[uint32(slot)-1]
				*sum = saturated(*sum, x)
				break
			}
		}
	}
	s.items, s.sums = items, sums
}

// AddRow adds score·weight to each item of a row: what one similar user, with the score of the similarity, says through
// the items that the user has. nil weights stand for ones. Summed over the nearest users this is user-based top-N:
// Herlocker et al., SIGIR 1999 [herlocker1999], without centering, since only the order counts.
func (s *Scores) AddRow(score float32, items []uint32, weights []float32) {
	if weights == nil {
		x := Fixed(score, 1)
		for _, id := range items {
			s.add(id, x)
		}
		return
	}
	for i, id := range items {
		s.add(id, Fixed(score, weights[i]))
	}
}

// Add adds partial scores as All returns them, each item once: the merge of what several nodes found. sums goes with items. Cost: a copy for the first.
func (s *Scores) Add(items []uint32, sums []int64) {
	if len(s.items) == 0 && s.dense == nil {
		s.items, s.sums, s.slots = append(s.items, items...), append(s.sums, sums...), nil
		return
	}
	for i, id := range items {
		s.add(id, sums[i])
	}
}

// Merge adds all scores of o, which must not be used afterwards. Cost: none for the first.
func (s *Scores) Merge(o *Scores) {
	if len(s.items) == 0 && s.dense == nil && o.dense == nil {
		*s, *o = *o, *s
		return
	}
	s.Add(o.items, o.sums)
}

// reserve makes room for n more items.
func (s *Scores) reserve(n int) {
	if n += len(s.items); 2*n > len(s.slots) {
		s.index(n + len(s.items))
	}
	s.items, s.sums = slices.Grow(s.items, n-len(s.items)), slices.Grow(s.sums, n-len(s.sums))
}

// add adds x to the score of an item.
func (s *Scores) add(item uint32, x int64) {
	if s.dense != nil {
		s.addDense(item, x)
		return
	}
	s.reserve(1)
	s.addSlot(item, x)
}

func (s *Scores) addDense(item uint32, x int64) {
	if p := s.dense[item]; p > 0 {
		s.sums[p-1] = saturated(s.sums[p-1], x)
		return
	}
	s.items, s.sums = append(s.items, item), append(s.sums, x)
	s.dense[item] = uint32(len(s.items))
}

// addSlot is add where there is room.
func (s *Scores) addSlot(item uint32, x int64) {
	at, p := s.find(item)
	if p >= 0 {
		s.sums[p] = saturated(s.sums[p], x)
		return
	}
	s.items, s.sums = append(s.items, item), append(s.sums, x)
	s.slots[at] = uint64(item)<<32 | uint64(len(s.items))
}

// saturated returns a+b, or the bound of int64 that the sum goes beyond.
func saturated(a, b int64) int64 {
	sum := a + b
	if (a^sum)&(b^sum) < 0 { // both operands have the sign that the sum has not
		if a < 0 {
			return math.MinInt64
		}
		return math.MaxInt64
	}
	return sum
}

// Top returns the n items with the highest positive scores, without those of excluded (ascending), by score descending,
// then id ascending. It may return fewer. The first m of n are what Top returns for m.
// Cost: O(Len · log(len(excluded)) + Len · log n) at worst; most items cost one comparison.
func (s *Scores) Top(n int, excluded []uint32) []model.Scored {
	return s.TopOf(n, excluded, func(uint32) bool { return true })
}

// TopOf is Top of the items that allow takes. It is asked only about items that would be among the n best so far.
func (s *Scores) TopOf(n int, excluded []uint32, allow func(item uint32) bool) []model.Scored {
	if n < 1 {
		return nil
	}
	var best model.Best[int64]
	best.Reset(n, len(s.items))
	least := int64(1) // what has less is not among the best
	for i, sum := range s.sums {
		if sum < least {
			continue
		}
		r := model.Ranked[int64]{Score: sum, Item: s.items[i]}
		if !best.Takes(r) {
			continue
		}
		if _, found := slices.BinarySearch(excluded, r.Item); found || !allow(r.Item) {
			continue
		}
		if best.Add(r) {
			least = best.Last().Score
		}
	}
	ranking := best.Ranking()
	top := make([]model.Scored, len(ranking))
	for i, r := range ranking {
		top[i] = model.Scored{Item: r.Item, Score: Float(r.Score)}
	}
	return top
}

// Hybrid returns the average of a and b, each divided by its largest score, so that the best of either counts alike:
// (a/max(a) + b/max(b)) / 2 for every item of either. An item that one of them does not have gets 0 from it; one that has no
// positive score at all counts as 0 throughout.
//
// The largest score is taken over all items, also those that an answer leaves out, so that the order of two items does
// not depend on what is excluded. The quotients are float64; their average is rounded to the nearest multiple of
// 1/Scale, and is a function of the scores alone. a and b are not changed.
func Hybrid(a, b *Scores) *Scores { return Blend(a, b, 0.5) }

// Blend is Hybrid with another share of a than a half: share·a/max(a) + (1-share)·b/max(b). share must be from 0 to 1.
func Blend(a, b *Scores, share float64) *Scores {
	h := &Scores{items: make([]uint32, 0, len(a.items)+len(b.items)), sums: make([]int64, 0, len(a.items)+len(b.items))}
	add := func(id uint32, sum int64) { h.items, h.sums = append(h.items, id), append(h.sums, sum) }
	largestA, largestB := a.Largest(), b.Largest()
	for i, id := range a.items {
		add(id, blend(a.sums[i], largestA, b.Score(id), largestB, share))
	}
	for i, id := range b.items {
		if a.position(id) < 0 {
			add(id, blend(0, largestA, b.sums[i], largestB, share))
		}
	}
	return h
}

func blend(a, largestA, b, largestB int64, share float64) int64 {
	var sum float64
	if largestA > 0 {
		sum = float64(share * (float64(a) / float64(largestA))) // conversions forbid fused operations
	}
	if largestB > 0 {
		sum += float64((1 - share) * (float64(b) / float64(largestB)))
	}
	return fixed(sum)
}
