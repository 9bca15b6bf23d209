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
	// maxPairsChanged bounds the time of those who follow.
	maxPairsChanged = 32 << 20
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
// them for those that it had not (one numbering, called here as it was), and the dense ids of the next version. It is not changed once made, but by KnowBounds.
type Step struct {
	o      Options
	kind   kind
	before int  // items of the version before
	bounds bool // of the lists of these are known
	now    norms
	// item is what scores need of each item as it was numbered, next its dense id of the next version, or Gone, and order the inverse of that.
	item    []stepItem
	next    []uint32
	order   []uint32
	touched []uint64 // a bit for each item whose norms are others
	fallen  []uint64 // and of those whose norm has not risen
	heavy   bool     // a touched item has a norm so large that scores may be the same though it has risen
	rows    []Row    // that have changed, as they are now
	// all are the entries of these rows, before and now.
	all changedEntries
	// own are the entries that are others now, by item: of item i those from ownStart[i] to ownStart[i+1]. Sums of the item with all others of such a row change. In rows where
	// the entry of an item is as it was its sums change with those that are not: these are beside, from besideStart[i] to besideStart[i+1].
	own                   []itemEntry
	beside                []pairChange
	ownStart, besideStart []uint32
}

// changedEntries are entries of the changes, one row behind the other up to ends: items, and their weights.
type changedEntries struct {
	items   []uint32
	weights []weightChange
	ends    []uint32
}

func newChangedEntries(entries, rows int) changedEntries {
	return changedEntries{make([]uint32, 0, entries), make([]weightChange, 0, entries), make([]uint32, 0, rows)}
}

// row returns the entries of a change.
func (c *changedEntries) row(n uint32) ([]uint32, []weightChange) {
	from, to := c.start(n), c.ends[n]
	return c.items[from:to], c.weights[from:to]
}

// start is the place of the first of them.
func (c *changedEntries) start(n uint32) uint32 {
	if n == 0 {
		return 0
	}
	return c.ends[n-1]
}

func (c *changedEntries) add(item uint32, w weightChange) {
	c.items, c.weights = append(c.items, item), append(c.weights, w)
}

func (c *changedEntries) endRow() { c.ends = append(c.ends, uint32(len(c.items))) }

// stepItem is what is known of an item: what scores divide by, before, none if it is new, and now; the bound of its list before, if bounds are known; and its dense id of the next version, or Gone.
type stepItem struct {
	was, is float64
	bound   float32
	next    uint32
	_       [8]byte // so that none lies in two lines of the cache
}

// weightChange is the weight of an entry of a changed row as the measure takes it, before and now; 0 is none.
type weightChange struct{ was, is uint16 } // at most maxFollowedWeight

// itemEntry is the entry of an item in a changed row.
type itemEntry struct {
	row uint32
	weightChange
}

// pairChange tells by how much the sum of an item with another changes by one row.
type pairChange struct {
	with uint32
	by   int32 // a weight that is as it was times the difference of two: below 1<<24
}

// NewStep follows changes of a version with the given users of each item, and sums of squares of their weights as the measure takes them; ids of changes may be up to added above. key returns the key of an item, by which items with the same number of users are
// ordered. Errors match ErrNotFollowed, or ErrShape for changes that do not fit the version. Cost: O(items + entries of the changed rows + sums that change), and sorting the items whose users are others; memory: 24 bytes for
// each such entry at most, and 8 for each sum of an entry that is as it was with one that is not, of which there are at most maxPairsChanged/2.
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
	n, entries := len(users)+added, 0
	for c := range changes {
		entries += len(changes[c].Old.Item) + len(changes[c].New.Item)
	}
	s := &Step{
		o: o, kind: o.Measure.kind(), before: len(users), now: newNorms(n), item: make([]stepItem, n), next: make([]uint32, n), touched: make([]uint64, (n+63)/64), fallen: make([]uint64, (n+63)/64),
		rows: make([]Row, len(changes)), all: newChangedEntries(entries, len(changes)),
	}
	copy(s.now.users, users)
	copy(s.now.squares, squares)
	for i := range s.item {
		s.item[i].bound = math.MaxFloat32
	}
	for i := range users {
		s.item[i].was = s.norm(uint32(i))
	}
	pairs := 0
	for c := range changes {
		more, err := s.addRow(&changes[c])
		if err != nil {
			return nil, err
		}
		if pairs += more; pairs > maxPairsChanged {
			return nil, fmt.Errorf("%w: more than %d pairs of items change", ErrNotFollowed, maxPairsChanged)
		}
		s.all.endRow()
		s.rows[c] = changes[c].New // those before are not needed any more
	}
	s.indexChanges()
	var moved []uint32
	for i := range n {
		x, was := &s.item[i], side{}
		if i < len(users) {
			was = side{squares[i], users[i]}
		}
		x.is = s.norm(uint32(i))
		if s.now.of(i) == was {
			continue
		}
		moved = append(moved, uint32(i))
		set(s.touched, uint32(i))
		if x.was > 0 && x.is <= x.was { // who is new has no pairs but those of changed rows
			set(s.fallen, uint32(i))
		}
		s.heavy = s.heavy || x.is >= knownSum
	}
	return s, s.renumber(moved, key)
}

// norm is what scores divide by of an item now.
func (s *Step) norm(i uint32) float64 {
	if s.kind == commons {
		return float64(s.now.users[i])
	}
	return s.now.squares[i]
}

// addRow takes a changed row into the norms and keeps its entries. It returns at most how many sums it changes, each of them for two items.
func (s *Step) addRow(c *RowChange) (pairs int, err error) {
	for _, r := range [...]Row{c.Old, c.New} {
		if err := r.check(); err != nil {
			return 0, err
		}
	}
	all, others := len(s.all.items), 0
	err = s.eachEntry(c, func(item uint32, was, is float64) error {
		s.all.add(item, weightChange{uint16(was), uint16(is)}) // exact
		others += one(was != is)
		return s.count(item, was, is)
	})
	return 2 * others * (len(s.all.items) - all), err
}

// indexChanges makes own and beside: counts first, then fills.
func (s *Step) indexChanges() {
	s.ownStart, s.besideStart = make([]uint32, len(s.item)+1), make([]uint32, len(s.item)+1)
	// Where the next one of an item goes, once its own begin is there.
	own, beside := s.ownStart[1:], s.besideStart[1:]
	for n := range s.rows {
		items, weights := s.all.row(uint32(n))
		others := uint32(0)
		for _, w := range weights {
			others += uint32(one(w.was != w.is))
		}
		for k, i := range items {
			if w := weights[k]; w.was != w.is {
				own[i]++
			} else {
				beside[i] += others
			}
		}
	}
	s.own, s.beside = make([]itemEntry, startsOf(own)), make([]pairChange, startsOf(beside))
	var changed []pairChange // entries of a row that are others, and by how much
	for n := range s.rows {
		items, weights := s.all.row(uint32(n))
		changed = changed[:0]
		for k, i := range items {
			if w := weights[k]; w.was != w.is {
				changed = append(changed, pairChange{i, int32(w.is) - int32(w.was)})
				s.own[own[i]] = itemEntry{uint32(n), w}
				own[i]++
			}
		}
		for k, i := range items {
			w := weights[k]
			if w.was != w.is {
				continue
			}
			at := beside[i]
			for _, c := range changed {
				s.beside[at] = pairChange{c.with, int32(w.is) * c.by}
				at++
			}
			beside[i] = at
		}
	}
}

// startsOf turns numbers into where what they count begins, one behind the other, and returns the end.
func startsOf(numbers []uint32) (end uint32) {
	for i, n := range numbers {
		numbers[i], end = end, end+n
	}
	return end
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
	switch {
	case int64(item) >= int64(len(s.now.users)) || was != 0 && int64(item) >= int64(s.before):
		return fmt.Errorf("follow: a row has, or had, item %d of %d, %d of them new: %w", item, len(s.now.users), len(s.now.users)-s.before, ErrShape)
	case was == is: // most are, and lie here and there
		return nil
	case was != 0 && s.now.users[item] == 0:
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

// renumber orders the items by users, descending, then key. Those that are not moved keep their order.
func (s *Step) renumber(moved []uint32, key func(uint32) string) error {
	order := func(a, b uint32) int {
		return cmp.Or(cmp.Compare(s.now.users[b], s.now.users[a]), cmp.Compare(key(a), key(b)))
	}
	moved = slices.DeleteFunc(moved, func(i uint32) bool { return s.now.users[i] == 0 })
	slices.SortFunc(moved, order)
	n := len(s.now.users)
	s.order = make([]uint32, 0, n)
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
	for i := range s.item {
		s.item[i].next = s.next[i]
	}
	return nil
}

// KnowBounds tells the bounds of the lists of all items of the version before. A pair that neither list holds has at most the score that either bound says, so that fewer and smaller sums must be formed; a list
// that holds a pair asks for its sum in the name of the other if that may not hold it. So either all who follow know the bounds, or none. To be called before any list is looked over; the error matches ErrShape.
func (s *Step) KnowBounds(bounds []float32) error {
	if len(bounds) != s.before {
		return fmt.Errorf("follow: bounds of %d lists, want those of %d: %w", len(bounds), s.before, ErrShape)
	}
	for i, b := range bounds {
		if !(b >= 0) {
			return fmt.Errorf("follow: the bound of list %d is %v: %w", i, b, ErrShape)
		}
	}
	for i, b := range bounds {
		s.item[i].bound = b
	}
	s.bounds = true
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

// NextRow writes the dense ids in the next version of items as they were numbered to dst, which must have room for them; Gone for those that it has not. It reports whether they ascend.
func (s *Step) NextRow(dst, items []uint32) (ascend bool) {
	next, last, steps := s.next, int64(-1), int64(0)
	dst = dst[:len(items)]
	for k, i := range items {
		id := next[i]
		dst[k] = id
		steps |= int64(id) - last - 1 // negative where it does not ascend
		last = int64(id)
	}
	return steps >= 0
}

// Rows returns the rows that have changed, as they are now.
func (s *Step) Rows() []Row { return s.rows }

// score is that of a sum of two items by what it is divided by of each.
func (s *Step) score(sum, x, y float64) float32 {
	if s.kind == commons {
		return s.o.score(0, side{users: uint32(x)}, side{users: uint32(y)}, uint32(sum), 0)
	}
	return product(sum, x*y)
}

// sumBefore returns the sum that gave a pair its score in the version before.
func (s *Step) sumBefore(score float32, x, y *stepItem) (sum float64, ok bool) {
	if s.kind == commons {
		sum = s.most(score, x, y)
		return sum, sum > 0 && sum < knownSum && s.score(sum, x.was, y.was) == score
	}
	return productBefore(score, x.was*y.was)
}

// most returns a sum that no pair has passed that had at most a score in the version before; it is close for products, and the least one for others.
func (s *Step) most(score float32, x, y *stepItem) float64 {
	if s.kind != commons {
		const slack = 1 + 1.0/(1<<22) // more than what rounding of a score hides
		return float64(int64(float64(score) * math.Sqrt(x.was*y.was) * slack))
	}
	lo, hi := 0, int(min(x.was, y.was))
	for lo < hi {
		if middle := (lo + hi + 1) / 2; s.score(float64(middle), x.was, y.was) <= score {
			lo = middle
		} else {
			hi = middle - 1
		}
	}
	return float64(lo)
}

// lower returns a bound of the scores now of the pairs of an item that had one before, of which nothing has changed but the item itself, whose norm has not fallen, and others whose norms have risen.
func (s *Step) lower(bound float32, x *stepItem) float32 {
	if s.kind == commons || x.was == x.is || bound == 0 {
		return bound
	}
	const slack = 1 + 1.0/(1<<21) // more than what rounding of two scores hides
	return float32(float64(bound) * math.Sqrt(x.was/x.is) * slack)
}

func set(bits []uint64, i uint32)        { bits[i/64] |= 1 << (i % 64) }
func isSet(bits []uint64, i uint32) bool { return bits[i/64]>>(i%64)&1 != 0 }
