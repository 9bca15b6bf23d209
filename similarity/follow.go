package similarity

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

// ErrNotFollowed is matched by errors about changes that a Step cannot follow: a build of all rows can.
var ErrNotFollowed = errors.New("cannot be followed")

// Gone is the next id of an item that no user has any more.
const Gone uint32 = math.MaxUint32

const (
	// maxFollowedWeight bounds weights, so that products are exact.
	maxFollowedWeight = 1 << 12
	// exactSum bounds sums that add up to the same float32 in any order.
	exactSum = 1 << 24
	// knownSum bounds sums that a score tells: the scores of others differ.
	knownSum = 1 << 22
	// maxPairDeltas bounds the memory of a Step.
	maxPairDeltas = 16 << 20
)

// RowChange is the row of a user as the version before has it, and as it is now; none of either is a user who is new, or gone. Ids ascend. No weights stand for ones.
type RowChange struct{ Old, New Row }

// Row is the entries of a user.
type Row struct {
	Item   []uint32
	Weight []float32
}

func (r *Row) check() error {
	if len(r.Weight) != 0 && len(r.Weight) != len(r.Item) {
		return fmt.Errorf("row of %d items with %d weights: %w", len(r.Item), len(r.Weight), ErrShape)
	}
	for k := 1; k < len(r.Item); k++ {
		if r.Item[k] <= r.Item[k-1] {
			return fmt.Errorf("row with item %d behind %d: %w", r.Item[k], r.Item[k-1], ErrShape)
		}
	}
	return nil
}

// Step is what changed from one version of a matrix of whole weights to the next, as far as the neighbor lists of any items need it. Items have three numbers: the dense ids of the version before, or behind
// them for those that it had not (one numbering, called here as it was), and the dense ids of the next version. It is not changed once made.
type Step struct {
	o    Options
	kind kind
	// before and now are the norms of the items as they were numbered; what is new has none before.
	before, now norms
	// next is the dense id of the next version of each item as it was numbered, and order is its inverse.
	next, order []uint32
	touched     []uint64 // a bit for each item whose norms are others
	fallen      []uint64 // and of those whose norm has not risen
	heavy       bool     // a touched item has a norm so large that scores may be the same though it has risen
	deltas      []pairDelta
	changes     []RowChange
}

// pairDelta is what changes the sum of two items, as they were numbered. Each pair is there twice.
type pairDelta struct {
	pair  uint64 // the item whose list it is, and in the lower half the other
	delta float64
}

func (d *pairDelta) item() uint32  { return uint32(d.pair >> 32) }
func (d *pairDelta) other() uint32 { return uint32(d.pair) }

func packPair(i, j uint32) uint64 { return uint64(i)<<32 | uint64(j) }

// NewStep follows changes of a version with the given users of each item, and sums of squares of their weights as the measure takes them; ids of changes may be up to added above. key returns the key of an item, by which items with the same number of users are
// ordered. Errors match ErrNotFollowed, or ErrShape for changes that do not fit the version. Cost: O(items + pairs of the changed rows).
func NewStep(o Options, users []uint32, squares []float64, added int, key func(item uint32) string, changes []RowChange) (*Step, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if !o.Followable() {
		return nil, fmt.Errorf("%w: lists by %s with these options", ErrNotFollowed, o.Measure)
	}
	if len(users) != len(squares) {
		return nil, fmt.Errorf("follow: %d numbers of users for %d sums of squares: %w", len(users), len(squares), ErrShape)
	}
	s := &Step{o: o, kind: o.Measure.kind(), changes: changes}
	n := len(users) + added
	s.before, s.now = newNorms(n), newNorms(n)
	for _, x := range []norms{s.before, s.now} {
		copy(x.users, users)
		copy(x.squares, squares)
	}
	s.touched, s.fallen = make([]uint64, (n+63)/64), make([]uint64, (n+63)/64)
	for c := range changes {
		for _, r := range [...]Row{changes[c].Old, changes[c].New} {
			if err := r.check(); err != nil {
				return nil, err
			}
		}
		if err := s.addRow(&changes[c]); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(s.deltas, func(a, b pairDelta) int { return cmp.Compare(a.pair, b.pair) })
	s.join()
	var moved []uint32
	for i := range n {
		if s.now.users[i] == s.before.users[i] && s.now.squares[i] == s.before.squares[i] {
			continue
		}
		moved = append(moved, uint32(i))
		set(s.touched, uint32(i))
		was, is := s.norm(&s.before, uint32(i)), s.norm(&s.now, uint32(i))
		if was > 0 && is <= was { // who is new has no pairs but those of changed rows
			set(s.fallen, uint32(i))
		}
		s.heavy = s.heavy || is >= knownSum
	}
	return s, s.renumber(moved, key)
}

// norm is what scores divide by of an item.
func (s *Step) norm(n *norms, i uint32) float64 {
	if s.kind == commons {
		return float64(n.users[i])
	}
	return n.squares[i]
}

// addRow takes a changed row into the norms, and notes its pairs.
func (s *Step) addRow(c *RowChange) error {
	type entry struct {
		item    uint32
		was, is float64
	}
	var all, changed []entry
	err := s.eachEntry(c, func(item uint32, was, is float64) error {
		if err := s.count(item, was, is); err != nil {
			return err
		}
		all = append(all, entry{item, was, is})
		if was != is {
			changed = append(changed, entry{item, was, is})
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(s.deltas)+2*len(changed)*len(all) > maxPairDeltas {
		return fmt.Errorf("%w: more than %d pairs of items change", ErrNotFollowed, maxPairDeltas)
	}
	for _, a := range changed {
		for _, b := range all {
			if delta := a.is*b.is - a.was*b.was; delta != 0 && (b.was == b.is || a.item < b.item) {
				s.deltas = append(s.deltas, pairDelta{packPair(a.item, b.item), delta}, pairDelta{packPair(b.item, a.item), delta})
			}
		}
	}
	return nil
}

// eachEntry goes over the items of either row, ascending, with their weights as the measure takes them; 0 is none.
func (s *Step) eachEntry(c *RowChange, f func(item uint32, was, is float64) error) error {
	for at, to := 0, 0; at < len(c.Old.Item) || to < len(c.New.Item); {
		isOld := at < len(c.Old.Item) && (to == len(c.New.Item) || c.Old.Item[at] <= c.New.Item[to])
		isNew := to < len(c.New.Item) && (at == len(c.Old.Item) || c.New.Item[to] <= c.Old.Item[at])
		var item uint32
		var was, is float64
		var err error
		if isOld {
			item = c.Old.Item[at]
			was, err = s.weight(c.Old, at)
			at++
		}
		if isNew && err == nil {
			item = c.New.Item[to]
			is, err = s.weight(c.New, to)
			to++
		}
		if err == nil {
			err = f(item, was, is)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// weight returns what the measure takes of an entry.
func (s *Step) weight(r Row, k int) (float64, error) {
	if s.kind == commons {
		return 1, nil
	}
	w := 1.0
	if len(r.Weight) > 0 {
		w = float64(r.Weight[k])
	}
	if w != math.Trunc(w) || w < 1 || w > maxFollowedWeight {
		return 0, fmt.Errorf("%w: weight %v of item %d, want whole numbers from 1 to %d", ErrNotFollowed, w, r.Item[k], maxFollowedWeight)
	}
	return w, nil
}

// count takes an entry into the norms.
func (s *Step) count(item uint32, was, is float64) error {
	if int64(item) >= int64(len(s.now.users)) || was != 0 && s.now.users[item] == 0 {
		return fmt.Errorf("follow: more rows lose item %d than have it: %w", item, ErrShape)
	}
	s.now.squares[item] += is*is - was*was // exact
	if was != 0 {
		s.now.users[item]--
	}
	if is != 0 {
		s.now.users[item]++
	}
	return nil
}

// join makes one of the deltas of each pair.
func (s *Step) join() {
	out := s.deltas[:0]
	for _, d := range s.deltas {
		if n := len(out); n > 0 && out[n-1].pair == d.pair {
			out[n-1].delta += d.delta
		} else {
			out = append(out, d)
		}
	}
	s.deltas = slices.DeleteFunc(out, func(d pairDelta) bool { return d.delta == 0 })
}

// renumber orders the items by users, descending, then key. Those that are not moved keep their order.
func (s *Step) renumber(moved []uint32, key func(uint32) string) error {
	order := func(a, b uint32) int {
		return cmp.Or(cmp.Compare(s.now.users[b], s.now.users[a]), cmp.Compare(key(a), key(b)))
	}
	moved = slices.DeleteFunc(moved, func(i uint32) bool { return s.now.users[i] == 0 })
	slices.SortFunc(moved, order)
	n := len(s.now.users)
	s.order, s.next = make([]uint32, 0, n), make([]uint32, n)
	for i := range uint32(n) {
		s.next[i] = Gone
		if isSet(s.touched, i) {
			continue
		}
		if s.now.users[i] == 0 {
			return fmt.Errorf("follow: item %d has no users: %w", i, ErrShape)
		}
		for len(moved) > 0 && order(moved[0], i) < 0 {
			s.order, moved = append(s.order, moved[0]), moved[1:]
		}
		s.order = append(s.order, i)
	}
	s.order = append(s.order, moved...)
	for id, i := range s.order {
		s.next[i] = uint32(id)
	}
	return nil
}

// Len returns the number of items of the next version.
func (s *Step) Len() int { return len(s.order) }

// Was returns the item, as it was numbered, that has a dense id in the next version, and its users and the sum of the squares of their weights.
func (s *Step) Was(id uint32) (item, users uint32, squares float64) {
	i := s.order[id]
	return i, s.now.users[i], s.now.squares[i]
}

// Weighed tells whether weights of entries count; they must be whole then.
func (s *Step) Weighed() bool { return s.kind != commons }

// Next returns the dense id in the next version of an item as it was numbered, or Gone.
func (s *Step) Next(item uint32) uint32 { return s.next[item] }

// Changes returns the rows that have changed.
func (s *Step) Changes() []RowChange { return s.changes }

// deltasOf returns what changes the sums of an item, by the other.
func (s *Step) deltasOf(i uint32) []pairDelta {
	find := func(pair uint64) int {
		at, _ := slices.BinarySearchFunc(s.deltas, pair, func(d pairDelta, pair uint64) int { return cmp.Compare(d.pair, pair) })
		return at
	}
	lo := find(packPair(i, 0))
	if lo == len(s.deltas) || s.deltas[lo].item() != i {
		return nil
	}
	return s.deltas[lo:find(packPair(i+1, 0))]
}

// score is that of a pair as it is now.
func (s *Step) score(sum float64, i, j uint32) float32 { return s.scoreOf(&s.now, sum, i, j) }

func (s *Step) scoreOf(n *norms, sum float64, i, j uint32) float32 {
	if s.kind == commons {
		return s.o.score(0, n.of(int(i)), n.of(int(j)), uint32(sum), 0)
	}
	return s.o.score(sum, n.of(int(i)), n.of(int(j)), 0, 0)
}

// sumBefore returns the sum that gave a pair its score in the version before.
func (s *Step) sumBefore(score float32, i, j uint32) (sum float64, ok bool) {
	if s.kind != commons {
		x, y := s.before.squares[i], s.before.squares[j]
		sum = math.Round(float64(score) * math.Sqrt(x*y))
		if s.scoreOf(&s.before, sum, i, j) == score {
			return sum, sum < knownSum
		}
	}
	sum = s.most(score, i, j)
	return sum, sum > 0 && sum < knownSum && s.scoreOf(&s.before, sum, i, j) == score
}

// most returns the largest sum that gave a pair at most a score in the version before, or infinity if that may be knownSum or more. Scores grow with sums.
func (s *Step) most(score float32, i, j uint32) float64 {
	x, y := s.before.of(int(i)), s.before.of(int(j))
	if s.kind == commons {
		lo, hi := 0, int(min(x.users, y.users))
		for lo < hi {
			if middle := (lo + hi + 1) / 2; s.scoreOf(&s.before, float64(middle), i, j) <= score {
				lo = middle
			} else {
				hi = middle - 1
			}
		}
		return float64(lo)
	}
	const slack = 1 + 1.0/(1<<40)
	length := math.Sqrt(x.squares * y.squares)
	limit := min(math.Floor(length*slack), knownSum) // Cauchy and Schwarz
	sum := min(math.Round(float64(score)*length), limit)
	for sum > 0 && s.scoreOf(&s.before, sum, i, j) > score {
		sum--
	}
	for sum < limit && s.scoreOf(&s.before, sum+1, i, j) <= score {
		sum++
	}
	if sum >= knownSum {
		return math.Inf(1)
	}
	return sum
}

func set(bits []uint64, i uint32)        { bits[i/64] |= 1 << (i % 64) }
func isSet(bits []uint64, i uint32) bool { return bits[i/64]>>(i%64)&1 != 0 }
