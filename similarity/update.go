package similarity

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"sort"
)

// Update puts rows in the place of those of their users, adds users and items that are
// new, and brings the lists up to date: Lists then equals Build of the new matrix, bit
// for bit. Items are numbered below numItems, which is not less than before. After an
// error that matches ErrShape nothing has changed; after ctx's error the Index is of no
// use any more.
//
// A pair whose sum is new is computed anew where it may be among what is kept: an upper
// bound of its score follows from the bound of the list and the change of the sum. Cheap
// rows are computed as a whole, and what is found for their pairs is told to the other
// list. A list whose bound has come too near to its K-th score is computed anew.
//
// Cost: the sum over changed rows of changed entries times length, and of the rows of
// about a twentieth of all items if more than that were touched.
func (x *Index) Update(ctx context.Context, rows []UserRow, numItems int) (UpdateStats, error) {
	u, err := x.prepare(rows, numItems)
	if err != nil {
		return UpdateStats{}, err
	}
	u.apply()
	return u.run(ctx)
}

// update is one Update at work.
type update struct {
	*Index
	numItems, numUsers int
	changes            []rowChange // users ascending
	// Changes of item i are those of places [start[i], start[i+1]): of the change, and of
	// the item in it.
	start  []int32
	places []changePlace

	touched []uint32 // items with another column, ascending
	before  []side   // of the touched
	at      []int32  // of all items: place in touched plus 1, or 0
	bits    []uint64 // of all items: touched
	whole   []bool   // of all items: its row is computed as a whole
	told    []bool   // of all items: all others are told of its row
	found   []emitted
	largest float64 // of all sums of squares, before and after

	// The neighbors that were held and the bounds on others before lists changed, those
	// raised by choose. Where scores are symmetric either list bounds one.
	symmetric bool
	heldWas   []uint32
	sizeWas   []int32
	boundWas  []float32
}

type changePlace struct{ change, place int32 }

// emitted is a pair that was found in the row of its neighbor, for the list of item.
type emitted struct {
	item uint32
	held
}

func (x *Index) prepare(rows []UserRow, numItems int) (*update, error) {
	if numItems < x.rows.NumItems || int64(numItems) > math.MaxUint32 {
		return nil, fmt.Errorf("update: %d items, want at least %d as before: %w", numItems, x.rows.NumItems, ErrShape)
	}
	u := &update{Index: x, numItems: numItems, numUsers: x.rows.NumUsers()}
	for _, r := range rows {
		single := &Rows{NumItems: numItems, Start: []int64{0, int64(len(r.Items))}, Item: r.Items, Weight: r.Weight}
		if err := single.Validate(); err != nil {
			return nil, fmt.Errorf("update of user %d: %w", r.User, err)
		}
		if r.User == math.MaxUint32 {
			return nil, fmt.Errorf("update of user %d: want below that: %w", r.User, ErrShape)
		}
		for _, w := range r.Weight {
			if !(w >= 0) {
				return nil, fmt.Errorf("update of user %d: weight %v; want none below 0: %w", r.User, w, ErrShape)
			}
		}
		u.numUsers = max(u.numUsers, int(r.User)+1)
		u.changes = append(u.changes, x.change(r))
	}
	if err := checkIndexUsers(u.numUsers); err != nil {
		return nil, err
	}
	slices.SortFunc(u.changes, func(a, b rowChange) int { return cmp.Compare(a.user, b.user) })
	for k := 1; k < len(u.changes); k++ {
		if user := u.changes[k].user; user == u.changes[k-1].user {
			return nil, fmt.Errorf("update: two rows of user %d: %w", user, ErrShape)
		}
	}
	u.changes = slices.DeleteFunc(u.changes, func(c rowChange) bool { return len(c.differ) == 0 })
	return u, nil
}

// wholeShare is the part of all updates, one in so many, that rows computed as a whole may
// take because they are cheap.
const wholeShare = 20

// wholeFactor is how many entries of its row are worth one pair whose sum may change.
const wholeFactor = 64

// smallFall is by how much the norm of an item may fall, as a part, so that bounds are
// raised for it. Where it falls more, all others are told of its row.
const smallFall = 1.0 / 512

// run brings the lists up to date.
func (u *update) run(ctx context.Context) (UpdateStats, error) {
	u.choose()
	if u.symmetric = u.o.Measure == Cosine || u.o.Measure == Jaccard || u.o.Measure == Dice; u.symmetric {
		u.heldWas, u.sizeWas, u.boundWas = slices.Clone(u.id), slices.Clone(u.size), slices.Clone(u.bound)
	}
	var rows []uint32
	for i, whole := range u.whole {
		if whole {
			rows = append(rows, uint32(i))
		}
	}
	stats, err := u.parallelEnd(ctx, len(rows), func(w *indexWorker, k int) { u.wholeRow(w, int(rows[k])) },
		func(w *indexWorker) { u.found = append(u.found, w.far...) })
	if err != nil {
		return stats, err
	}
	slices.SortFunc(u.found, func(a, b emitted) int { return cmp.Or(cmp.Compare(a.item, b.item), cmp.Compare(a.key, b.key)) })
	more, err := u.parallel(ctx, u.numItems, func(w *indexWorker, i int) {
		if !u.whole[i] {
			u.list(w, i)
		}
	})
	stats.add(more)
	return stats, err
}

// own and other are what a sum is divided by for an item as the one whose list it is and as
// a neighbor, if that is a product.
func (o *Options) own(s side) float64 {
	switch o.Measure {
	case Cosine:
		return math.Sqrt(s.squares)
	case AsymmetricCosine:
		return math.Pow(s.squares, o.Alpha)
	}
	return float64(s.users)
}

func (o *Options) other(s side) float64 {
	switch o.Measure {
	case Cosine:
		return math.Sqrt(s.squares)
	case AsymmetricCosine:
		return math.Pow(s.squares, 1-o.Alpha)
	case ConditionalProbability:
		return 1
	}
	return float64(s.users)
}

// choose decides which rows are computed as a whole, and raises the bounds of lists for
// norms that fell.
func (u *update) choose() {
	u.whole, u.told = make([]bool, u.numItems), make([]bool, u.numItems)
	drift := 1.0
	cost := make([]int64, len(u.touched))
	for k, i := range u.touched {
		now := u.of(int(i))
		fell := u.o.other(u.before[k]) / u.o.other(now)
		switch {
		case now.users == 0 || !(fell <= 1+u.fall):
			u.whole[i], u.told[i] = true, true
		case fell > 1:
			drift = max(drift, fell)
		}
		if own := u.o.own(u.before[k]) / u.o.own(now); own > 1 {
			u.bound[i] = above32(float64(u.bound[i]) * own)
		}
		users, _ := u.columns.row(int(i))
		for _, user := range users {
			cost[k] += u.rows.Start[user+1] - u.rows.Start[user]
		}
	}
	if drift > 1 {
		for i := range u.bound {
			u.bound[i] = above32(float64(u.bound[i]) * drift)
		}
	}
	var all int64
	for user := range u.rows.NumUsers() {
		n := u.rows.Start[user+1] - u.rows.Start[user]
		all += n * n
	}
	order := make([]int, len(u.touched))
	for k := range order {
		order[k] = k
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Or(cmp.Compare(cost[a], cost[b]), cmp.Compare(a, b)) })
	left := all / wholeShare
	for _, k := range order {
		i := u.touched[k]
		if left -= cost[k]; left < 0 {
			break
		}
		if cost[k] <= wholeFactor*u.partners(i) {
			u.whole[i] = true
		}
	}
}

// partners returns the number of pairs of item i whose sums may change, those of several
// users more than once.
func (u *update) partners(i uint32) (n int64) {
	for _, p := range u.places[u.start[i]:u.start[i+1]] {
		n += int64(len(u.changes[p.change].partners(p.place)))
	}
	return n
}

// above32 rounds up.
func above32(x float64) float32 {
	f := float32(x)
	if float64(f) < x {
		f = math.Nextafter32(f, float32(math.Inf(1)))
	}
	return f
}

// begin readies the working memory of marks, and begins a new turn.
func (w *indexWorker) begin() {
	if len(w.partner) < w.rows.NumItems {
		w.partner, w.seen, w.turn = make([]partner, w.rows.NumItems), make([]uint32, w.rows.NumItems), 0
	}
	if w.turn++; w.turn == 0 {
		clear(w.partner)
		clear(w.seen)
		w.turn = 1
	}
}

// wholeRow computes the row of item i, and tells it to the items whose lists it may enter.
func (u *update) wholeRow(w *indexWorker, i int) {
	w.begin()
	for _, p := range u.places[u.start[i]:u.start[i+1]] {
		for _, e := range u.changes[p.change].partners(p.place) {
			w.partner[e.item].turn = w.turn
		}
	}
	w.accumulate(i)
	for _, j := range w.touched {
		if int(j) == i || u.whole[j] || w.sums[j] == 0 || !u.told[i] && w.partner[j].turn != w.turn {
			continue
		}
		if s := u.score(int(j), uint32(i), w.sums[j]); s >= u.bound[j] && s != 0 {
			w.far = append(w.far, emitted{j, held{rankKey(s, uint32(i)), w.sums[j]}})
		}
	}
	w.finishRow(i)
}

// list brings the list of item i up to date.
func (u *update) list(w *indexWorker, i int) {
	places := u.places[u.start[i]:u.start[i+1]]
	at := i * u.keep
	ids, sums := u.id[at:at+int(u.size[i])], u.sum[at:at+int(u.size[i])]
	from := sort.Search(len(u.found), func(k int) bool { return u.found[k].item >= uint32(i) })
	if len(places) == 0 && u.at[i] == 0 && (from == len(u.found) || u.found[from].item != uint32(i)) {
		u.rescore(w, i)
		return
	}
	w.begin()
	partners := u.deltas(w, places)

	w.list = w.list[:0]
	same := u.at[i] == 0
	for k, j := range ids {
		w.seen[j] = w.turn
		sum, score := sums[k], u.scored[at+k]
		if w.partner[j].turn == w.turn {
			if u.exact(u.was(i).squares, u.squares[i], u.was(int(j)).squares, u.squares[j]) {
				sum += w.partner[j].delta
			} else {
				sum = u.pair(w, i, int(j))
			}
		}
		if sum == 0 {
			continue
		}
		if w.partner[j].turn == w.turn || !same || u.isTouched(j) {
			score = u.score(i, j, sum)
		}
		w.hold(held{rankKey(score, j), sum})
	}
	for _, f := range u.found[from:] {
		if f.item != uint32(i) {
			break
		}
		if j := keyID(f.key); w.seen[j] != w.turn {
			w.seen[j] = w.turn
			w.list = append(w.list, f.held)
		}
	}
	if !u.others(w, i, partners) {
		w.recompute(i)
		return
	}
	w.settle(i, w.list)
	if !u.complete(i) {
		w.recompute(i)
	}
}

// rescore follows the norms of others in the list of item i, whose sums are as before.
func (u *update) rescore(w *indexWorker, i int) {
	at := i * u.keep
	ids := u.id[at : at+int(u.size[i])]
	if slices.ContainsFunc(ids, u.isTouched) {
		w.list = w.list[:0]
		for k, j := range ids {
			score := u.scored[at+k]
			if u.isTouched(j) {
				score = u.score(i, j, u.sum[at+k])
			}
			w.hold(held{rankKey(score, j), u.sum[at+k]})
		}
		w.settle(i, w.list)
	}
	if !u.complete(i) {
		w.recompute(i)
	}
}

func (u *update) isTouched(j uint32) bool { return u.bits[j>>6]>>(j&63)&1 != 0 }

// deltas adds up by how much the sums of item i change, marks the items whose sums may, and
// returns them.
func (u *update) deltas(w *indexWorker, places []changePlace) []uint32 {
	partners := w.changed[:0]
	for _, p := range places {
		c := &u.changes[p.change]
		own, others := &c.entries[p.place], c.partners(p.place)
		old, now := max(0, own.old), max(0, own.new)
		for k := range others {
			e := &others[k]
			slot := &w.partner[e.item]
			if slot.turn != w.turn {
				*slot = partner{turn: w.turn}
				partners = append(partners, e.item)
			}
			slot.delta += e.grows(old, now)
		}
	}
	w.changed = partners
	w.st.Changed += int64(len(partners))
	return partners
}

// others looks at the partners that are not in the list: computes those that might enter
// it, and raises the bound for the rest. It returns false if the whole row is wanted.
func (u *update) others(w *indexWorker, i int, partners []uint32) bool {
	bound := u.bound[i]
	all := math.IsInf(float64(bound), -1) // no other pair had a sum
	enter := bound
	if !all {
		if len(w.list) < u.o.K {
			return false
		}
		w.keys = w.keys[:0]
		for _, h := range w.list {
			w.keys = append(w.keys, h.key)
		}
		kth := keyScore(selectBest(w.keys, u.o.K))
		if kth <= bound {
			return false
		}
		enter = bound + (kth-bound)/2
	}
	e, exact := u.estimator(i), u.exact(u.was(i).squares, u.squares[i], u.largest, u.largest)
	var cost float64
	n := 0
	limit := &u.limits[i]
	for _, j := range partners {
		delta := w.partner[j].delta
		if delta <= 0 || w.seen[j] == w.turn || int(j) == i {
			continue
		}
		sum := float64(limit.of(j)) + float64(delta)
		if !exact {
			sum *= float64(u.slack(i, j, exact))
		}
		most := above32(sum)
		if u.whole[j] {
			limit.raise(j, most)
			continue
		}
		if !all {
			s := u.most(&e, i, j, most, exact)
			if s > enter {
				s = min(s, u.upper(&e, i, j, bound, delta, exact))
			}
			if s > enter && u.symmetric && u.boundWas[j] < bound && !u.held(j, uint32(i)) {
				s = min(s, u.upper(&e, i, j, max(0, u.boundWas[j]), delta, exact))
			}
			if s <= enter {
				u.bound[i] = max(u.bound[i], s)
				limit.raise(j, most)
				continue
			}
		}
		partners[n] = j // among those looked at already
		n++
		cost += pairCost(u.users[i], u.users[j])
	}
	partners = partners[:n]
	if n > 0 && u.rowCost(i, cost) < cost {
		u.scan(w, i, partners)
		return true
	}
	for _, j := range partners {
		if sum := u.pair(w, i, int(j)); sum != 0 {
			w.hold(held{rankKey(u.score(i, j, sum), j), sum})
		}
	}
	return true
}

// held tells whether the list of item j had item i.
func (u *update) held(j, i uint32) bool {
	at := int(j) * u.keep
	return slices.Contains(u.heldWas[at:at+int(u.sizeWas[j])], i)
}

// rowCost returns the cost of scan, as far as it is below most.
func (u *update) rowCost(i int, most float64) (cost float64) {
	const visit = 100 // of a user, whose row is far away
	users, _ := u.columns.row(i)
	for _, user := range users {
		if cost += visit + float64(u.rows.Start[user+1]-u.rows.Start[user]); cost >= most {
			break
		}
	}
	return cost
}

// scan forms the sums of item i with some others by looking for them in the rows of its
// users, which costs a fraction of what it costs to form all sums: most entries are
// turned away by a filter that stays in the nearest cache.
func (u *update) scan(w *indexWorker, i int, others []uint32) {
	w.room()
	w.passed = w.passed[:0]
	w.want = [64]uint64{}
	for _, j := range others {
		w.want[j>>6&63] |= 1 << (j & 63)
	}
	users, weights := u.columns.row(i)
	for k, user := range users {
		x := weightAt(weights, k)
		items, row := u.rows.row(int(user))
		for q, j := range items {
			if w.want[j>>6&63]>>(j&63)&1 == 0 {
				continue
			}
			if w.sums[j] == 0 {
				w.passed = append(w.passed, j)
			}
			w.sums[j] += float32(x * weightAt(row, q))
		}
	}
	for _, j := range others {
		if sum := w.sums[j]; sum != 0 {
			w.hold(held{rankKey(u.score(i, j, sum), j), sum})
		}
	}
	for _, j := range w.passed { // some by chance
		w.sums[j] = 0
	}
	w.st.Scanned++
}

// was returns what a score took of item i before the update.
func (u *update) was(i int) side {
	if k := u.at[i]; k > 0 {
		return u.before[k-1]
	}
	return u.of(i)
}

// upper returns what the score of item i with j, which was at most bound, is at most after
// its sum grew by d. That norms fell is in the bound. A sum of n terms is off by up to
// n·2^-24 of it, before and after.
func (u *update) upper(e *estimator, i int, j uint32, bound, d float32, exact bool) float32 {
	var s float32
	if e.scale {
		s = bound + d*e.inverse[j]*e.own
	} else {
		either := e.own + float32(u.users[j])
		switch u.o.Measure {
		case Jaccard:
			n := bound*either/(1+bound) + d
			if either > 2*n {
				s = n / (either - n)
			} else {
				s = 1
			}
		case Dice:
			s = bound + 2*d/either
		default:
			s = bound + d/e.own
		}
	}
	return s * u.slack(i, j, exact)
}

// slack is by what upper bounds from sums are multiplied.
func (u *update) slack(i int, j uint32, exact bool) float32 {
	slack := float32(32)
	if !exact {
		most := func(i uint32) uint32 { return u.users[i] + uint32(u.start[i+1]-u.start[i]) } // before or after
		slack += 2 * float32(min(most(uint32(i)), most(j)))
	}
	return 1 + slack/(1<<22)
}

// most returns what the score of item i with j is at most if their sum is at most sum, but
// for rounding.
func (u *update) most(e *estimator, i int, j uint32, sum float32, exact bool) float32 {
	s := float32(1)
	if u.o.Measure != Jaccard || 2*sum < e.own+float32(u.users[j]) {
		s = e.of(j, sum)
	}
	return s * u.slack(i, j, exact)
}

// exact tells whether the sum of a pair is a whole number of grains that float32 holds,
// before and after the update, so that it may be changed by a difference. The arguments
// are the sums of squares of both, before and after.
func (u *update) exact(x0, x1, y0, y1 float64) bool {
	const limit = 1 << 24
	if u.o.Measure.kind() == commons {
		return true
	}
	if u.grain < 0 {
		return false
	}
	unit := float64(int(1) << (2 * u.grain))
	return math.Sqrt(max(x0, x1)*max(y0, y1))*unit < limit
}

// pairCost estimates the cost of pair for columns of a and b entries, in entries of scan.
func pairCost(a, b uint32) float64 {
	short, long := float64(min(a, b)), float64(max(a, b))
	return 100 + short*(5+3*math.Log2(1+long/(1+short)))
}

// pair forms the sum of items i and j, in ascending user order.
func (u *update) pair(w *indexWorker, i, j int) (sum float32) {
	w.st.Pairs++
	a, x := u.columns.row(i)
	b, y := u.columns.row(j)
	if len(a) > len(b) {
		a, x, b, y = b, y, a, x
	}
	q := 0
	for p, user := range a {
		q += seek(b[q:], user)
		if q == len(b) {
			break
		}
		if b[q] != user {
			continue
		}
		if x == nil {
			sum++
		} else {
			sum += float32(x[p] * y[q])
		}
	}
	return sum
}

// seek returns the place of the first id that is at least want, by steps that double.
func seek(ids []uint32, want uint32) int {
	if len(ids) == 0 || ids[0] >= want {
		return 0
	}
	step := 1
	for step < len(ids) && ids[step] < want {
		step *= 2
	}
	lo := step / 2 // below want
	return lo + sort.Search(min(step, len(ids))-lo, func(k int) bool { return ids[lo+k] >= want })
}
