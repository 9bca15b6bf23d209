package similarity

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"sync/atomic"
)

// updateWorker is the memory of a goroutine.
type updateWorker struct {
	*Kept
	u       *update
	scratch Scratch
	keys    []uint64
	weights []float32
	// Of the users whose entry of the item at work changed: places of their rows, by how much.
	at    []uint32
	grown []float32
	begin []uint32 // of the items of a range in grows
	grows []uint64
	wants []want
	sieve [64]uint64 // users by the last digits of their number
	lines []uint32
	mark  []uint8 // weights by user
	best  []foundPair
	ids   []uint32
	stats UpdateStats
}

type want struct {
	id    uint32
	delta float32
}

type foundPair struct {
	key uint64
	sum float32
}

// parallel runs f for all items below n in blocks.
func (x *Kept) parallel(ctx context.Context, n int, f func(w *updateWorker, i uint32) error, block int, u *update) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, x.threads)
	workers := make([]*updateWorker, x.threads)
	for t := range x.threads {
		wg.Go(func() {
			w := &updateWorker{Kept: x, u: u, keys: make([]uint64, x.stride)}
			w.scratch.grow(len(x.head))
			workers[t] = w
			for errs[t] == nil {
				lo := int(next.Add(int64(block))) - block
				if lo >= n || ctx.Err() != nil {
					break
				}
				for i := lo; i < min(lo+block, n) && errs[t] == nil; i++ {
					errs[t] = f(w, uint32(i))
				}
			}
		})
	}
	wg.Wait()
	if u != nil {
		for _, w := range workers {
			u.stats.add(w.stats)
		}
	}
	return errors.Join(errors.Join(errs...), ctx.Err())
}

// recompute forms the whole row of item i.
func (w *updateWorker) recompute(ctx context.Context, i uint32) error {
	s := &w.scratch
	width := len(w.head)
	column := w.columnOf(i)
	w.weights, s.at = w.weights[:0], s.at[:0]
	for _, e := range column {
		s.at = append(s.at, w.Kept.at[e>>8])
		w.weights = append(w.weights, float32(uint8(e)))
	}
	s.at = ahead(s.at)
	v := &s.visit
	*v = visit{
		words: w.words, at: s.at[:len(s.at)+visitAhead], rows: len(s.at), weights: w.weights, table: &wholeWeights,
		sums: s.sums[:width], touched: s.touched, room: width / sparseItem,
	}
	listed, err := v.touchOrAdd(ctx, touchCoded, addCoded)
	if err != nil {
		return err
	}
	s.sums[i] = 0
	n := v.count
	if !listed {
		n = nonZero(s.sums[:width], s.touched)
	}
	w.stats.RecomputedUpdates += int64(v.updates)
	ids, dot, t := s.touched[:n:n+takeAhead], s.dot[:n], s.estimate[:n]
	pairs, _ := takeSums(dot, t, ids, s.sums, w.inverse, 1, s.places, noGuess)
	bound, least := float32(0), float32(math.SmallestNonzeroFloat32)
	most := w.stride - 8 // held
	if pairs > most {
		kth := s.kth.find(t, most)
		bound, least = kth*slackUp, lowered(kth)
	}
	own := w.squares[i]
	best := w.best[:0]
	for _, p := range s.places[:reach(s.places, t, least)] {
		if j := ids[p]; dot[p] != 0 {
			best = append(best, foundPair{rankKey(cosine(dot[p], own*w.squares[j]), j), dot[p]})
		}
	}
	slices.SortFunc(best, func(a, b foundPair) int { return cmp.Compare(b.key, a.key) })
	w.best = best
	best = best[:min(len(best), most)]
	if n := w.cut(best); n < len(best) && bound > 0 {
		j := keyID(best[n].key)
		bound = best[n].sum * w.inverse[j] * slackUp
		best = best[:n]
	}
	heldID, heldSum := w.heldID[int(i)*w.stride:], w.heldSum[int(i)*w.stride:]
	for k, b := range best {
		heldID[k], heldSum[k], w.keys[k] = keyID(b.key), b.sum, b.key
	}
	w.size[i], w.bound[i], w.unit[i] = int32(len(best)), bound, bound/200
	cells := w.cellsOf(i)
	clear(cells)
	if bound == 0 || len(cells) == 0 {
		return nil
	}
	per := 200 / bound * slackUp
	for k, j := range ids {
		if x := t[k]; x > 0 && x <= bound {
			c := &cells[w.cell(j, len(cells))]
			*c = (*c|filterBits(j))&filterAll | max(*c>>codeShift, uint64(x*per)+1)<<codeShift
		}
	}
	return nil
}

// cut returns how many of the best pairs are held: about reserve of them, so that the next has a lower score, or else reserve.
func (w *updateWorker) cut(best []foundPair) int {
	if len(best) <= w.reserve {
		return len(best)
	}
	apart := func(n int) bool { return keyScore(best[n].key) < keyScore(best[n-1].key)*(1-4*(slackUp-1)) }
	for n := w.reserve; n < len(best); n++ {
		if apart(n) {
			return n
		}
	}
	for n := w.reserve - 1; n >= w.k; n-- {
		if apart(n) {
			return n
		}
	}
	return w.reserve
}

// ahead makes sure that visitAhead more positions may be read behind at.
func ahead(at []uint32) []uint32 { return append(at, make([]uint32, visitAhead)...)[:len(at)] }

func (x *Kept) cellsOf(i uint32) []uint64 { return x.cells[x.cellAt[i]:x.cellAt[i+1]] }

// cell is the place of item j in n cells.
func (x *Kept) cell(j uint32, n int) uint32 { return uint32(uint64(x.mass(j)) * uint64(n) >> massBits) }

const massBits = 26

// mass is about the part of all entries that items before j have. The knots stay in the nearest cache.
func (x *Kept) mass(j uint32) uint32 {
	a, b := x.knots[j>>6], x.knots[j>>6+1]
	return a + (b-a)*(j&63)>>6
}

const (
	codeShift = 56
	filterAll = 1<<codeShift - 1
)

// filterBits are those of item j in a cell.
func filterBits(j uint32) uint64 {
	h := uint64(j) * 0x9E3779B97F4A7C15
	return 1<<(h>>48*56>>16) | 1<<(h>>32&0xffff*56>>16) | 1<<(h>>16&0xffff*56>>16)
}

func cosine(sum float32, squares float64) float32 {
	return float32(min(1, float64(sum)/math.Sqrt(squares)))
}

var wholeWeights = func() (t [256]float32) {
	for c := range t {
		t[c] = float32(c)
	}
	return t
}()

// write writes the list of item i, whose keys are in w.keys, best first.
func (w *updateWorker) write(i uint32) {
	n := min(int(w.size[i]), w.k)
	list := w.entries[int(i)*w.k:][:n]
	for k, key := range w.keys[:n] {
		list[k] = Neighbor{ID: keyID(key), Score: keyScore(key)}
	}
	w.length[i] = int32(n)
}

// rows brings the lists of a range of items up to date.
func (w *updateWorker) rows(ctx context.Context, b uint32) error {
	u := w.u
	lo, hi := u.first[b], u.first[b+1]
	words := u.bucket[u.bucketAt[b]:u.bucketAt[b+1]]
	width := int(hi - lo)
	for len(w.begin) < width+2 {
		w.begin = append(w.begin, 0)
	}
	if len(w.grows) < len(words) {
		w.grows = make([]uint64, len(words)*5/4)
	}
	begin := w.begin[:width+2]
	clear(begin)
	for _, e := range words {
		begin[uint32(e>>40)-lo+2]++
	}
	for k := 2; k < len(begin); k++ {
		begin[k] += begin[k-1]
	}
	for _, e := range words {
		p := &begin[uint32(e>>40)-lo+1]
		w.grows[*p] = e
		*p++
	}
	for i := lo; i < hi; i++ {
		if next := i + 1; next < hi && (begin[next-lo] < begin[next-lo+1] || u.other[next>>6]>>(next&63)&1 != 0) {
			w.fetchCells(next)
			fetch(w.squares, w.heldID[int(next)*w.stride:][:w.size[next]])
		}
		if err := w.row(ctx, i, w.grows[begin[i-lo]:begin[i-lo+1]]); err != nil {
			return err
		}
	}
	return nil
}

// fetchCells asks for the cells of item i, if they are few.
func (w *updateWorker) fetchCells(i uint32) {
	if int(i)+1 >= len(w.cellAt) {
		return
	}
	lo, hi := w.cellAt[i], w.cellAt[i+1]
	var places [32]uint32
	n := 0
	for ; lo < hi && n < len(places); lo += 8 {
		places[n] = lo
		n++
	}
	fetch(float64s(w.cells), places[:n])
}

// deltas forms by how much the sums of item i grow, in the slots, and lists the items.
func (w *updateWorker) deltas(ctx context.Context, i uint32, grows []uint64) (n int, err error) {
	u := w.u
	own := u.byItem[u.itemAt[i]:u.itemAt[i+1]]
	if len(own)+len(grows) == 0 {
		return 0, nil
	}
	s, width := &w.scratch, len(w.head)
	listed := true
	if len(own) > 0 {
		w.at, w.grown = w.at[:0], w.grown[:0]
		for _, k := range own {
			w.at, w.grown = append(w.at, w.Kept.at[u.changes[k].User]), append(w.grown, u.changes[k].Weight-u.old[k])
		}
		w.at = ahead(w.at)
		v := &s.visit
		*v = visit{
			words: w.words, at: w.at[:len(w.at)+visitAhead], rows: len(w.at), weights: w.grown, table: &wholeWeights,
			sums: s.sums[:width], touched: s.touched, room: width,
		}
		if listed, err = v.touchOrAdd(ctx, touchCoded, addCoded); err != nil {
			return 0, err
		}
		n = v.count
	}
	sums, touched := s.sums[:width], s.touched
	if n+len(grows) > width {
		listed = false
	}
	for _, e := range grows {
		j := uint32(e >> 16 & 0xffffff)
		slot := &sums[j]
		if listed {
			touched[n] = j
			n += one(*slot == 0)
		}
		*slot += float32(e & 0xffff)
	}
	sums[i] = 0
	if !listed {
		return nonZero(sums, s.touched), nil
	}
	return n, nil
}

func (w *updateWorker) row(ctx context.Context, i uint32, grows []uint64) error {
	if w.head[i].n == 0 {
		return nil
	}
	n, err := w.deltas(ctx, i, grows)
	if err != nil {
		return err
	}
	at, size := int(i)*w.stride, int(w.size[i])
	ids, sums := w.heldID[at:at+size], w.heldSum[at:at+size]
	if n == 0 && w.u.other[i>>6]>>(i&63)&1 == 0 && !w.anyOther(ids) {
		return nil
	}
	w.stats.Rows++
	if slots := w.scratch.sums; n > 0 && anySlot(slots, ids) {
		for k, j := range ids {
			if d := slots[j]; d != 0 {
				sums[k] += d
				slots[j] = 0
				w.stats.OnHeld++
			}
		}
	}
	scores(w.keys, ids, sums, w.squares, w.squares[i])
	sortHeld(w.keys, ids, sums, 1)
	if n > 0 {
		w.stats.Deltas += int64(n)
		w.others(i, n)
	}
	size = int(w.size[i])
	if b := w.bound[i]; b > 0 && (size < w.k || keyScore(w.keys[w.k-1]) <= b*w.inverse[i]*slackUp) {
		w.stats.Recomputed++
		if err := w.recompute(ctx, i); err != nil {
			return err
		}
	}
	w.write(i)
	return nil
}

// anyOther tells whether one of the items has another norm.
func (w *updateWorker) anyOther(ids []uint32) bool {
	var found uint64
	for _, j := range ids {
		found |= w.u.other[j>>6] >> (j & 63)
	}
	return found&1 != 0
}

// scoresGo writes the keys of pairs.
func scoresGo(keys []uint64, ids []uint32, sums []float32, squares []float64, own float64) {
	keys, sums = keys[:len(ids)], sums[:len(ids)]
	for k, j := range ids {
		keys[k] = rankKey(cosine(sums[k], own*squares[j]), j)
	}
}

// sortHeld sorts by falling keys what is so before from and nearly so behind it.
func sortHeld(keys []uint64, ids []uint32, sums []float32, from int) {
	keys, sums = keys[:len(ids)], sums[:len(ids)]
	for k := max(1, from); k < len(keys); k++ {
		key := keys[k]
		if keys[k-1] >= key {
			continue
		}
		id, sum := ids[k], sums[k]
		p := k
		for ; p > 0 && keys[p-1] < key; p-- {
			keys[p], ids[p], sums[p] = keys[p-1], ids[p-1], sums[p-1]
		}
		keys[p], ids[p], sums[p] = key, id, sum
	}
}

// enterPart is how far from the bound to the K-th t an upper bound may be that is not looked at.
const enterPart = float32(0.4)

// others looks at pairs that are not held and whose sums grow.
func (w *updateWorker) others(i uint32, n int) {
	s := &w.scratch
	b, unit := w.bound[i], w.unit[i]
	per := float32(0)
	if unit > 0 {
		per = 1 / unit * slackUp
	}
	ids, dot, grown := s.touched[:n:n+takeAhead], s.dot[:n], s.estimate[:n]
	takeSums(dot, grown, ids, s.sums, w.inverse, per, s.places, noGuess)
	if b == 0 { // all that has a sum is held
		for k, j := range ids {
			if dot[k] != 0 {
				w.enter(i, j, dot[k])
			}
		}
		return
	}
	enter := float32(0)
	if int(w.size[i]) >= w.k {
		enter = b + (keyScore(w.keys[w.k-1])/w.inverse[i]/slackUp-b)*enterPart
	}
	if enter <= b {
		w.size[i] = 0 // formed anew
		return
	}
	cells := w.cellsOf(i)
	if len(cells) == 0 {
		cells = []uint64{1<<64 - 1} // bound alone
	}
	// In units.
	most := int32(b*per) + 1
	raised, may := int32(0), min(254, int32(enter/unit/slackUp))
	w.wants = w.wants[:0]
	places := s.places[:n]
	for k, j := range ids {
		places[k] = w.cell(j, len(cells))
	}
	for at := 0; at < n; at += 64 {
		if end := min(n, at+128); at+64 < end && len(cells) > 16 {
			fetch(float64s(cells), places[at+64:end])
		}
		for k := at; k < min(n, at+64); k++ {
			x, j := grown[k], ids[k]
			if !(x > 0) {
				continue
			}
			c := &cells[places[k]]
			word, mask := *c, filterBits(j)
			own := int32(min(x, 1000)) + 1
			code := min(int32(word>>codeShift), most)
			if code == noLimit {
				code = most
			}
			code += own
			fresh := word&mask != mask
			if fresh {
				code = own
			}
			if code <= may {
				w.stats.ByBound++
				raised = max(raised, code)
				*c = (word|mask)&filterAll | max(word>>codeShift, uint64(code))<<codeShift
				continue
			}
			if fresh {
				w.stats.Fresh++
				w.wants = append(w.wants, want{j | freshPair, dot[k]})
			} else {
				w.wants = append(w.wants, want{j, dot[k]})
			}
		}
	}
	w.bound[i] = max(b, float32(raised)*unit)
	if len(w.wants) > 0 {
		w.look(i)
	}
}

// freshPair marks the id of an item whose pair had no sum before.
const freshPair = 1 << 31

// enter takes in that the pair of i and j, which is not held, has a sum.
func (w *updateWorker) enter(i, j uint32, sum float32) {
	t := sum * w.inverse[j] * slackUp
	if n := int(w.size[i]); t > w.bound[i] {
		at := int(i) * w.stride
		key := rankKey(cosine(sum, w.squares[i]*w.squares[j]), j)
		full := n == w.stride
		if full && key < w.keys[n-1] {
			w.drop(i, j, t)
			return
		}
		if full {
			n--
			w.drop(i, w.heldID[at+n], w.heldSum[at+n]*w.inverse[w.heldID[at+n]]*slackUp)
		} else {
			w.size[i]++
		}
		w.heldID[at+n], w.heldSum[at+n], w.keys[n] = j, sum, key
		sortHeld(w.keys, w.heldID[at:at+n+1], w.heldSum[at:at+n+1], n)
		w.stats.Entered++
		return
	}
	w.drop(i, j, t)
}

// drop takes in that t of a pair that is not held is at most this.
func (w *updateWorker) drop(i, j uint32, t float32) {
	w.bound[i] = max(w.bound[i], t)
	if w.unit[i] == 0 {
		w.unit[i] = t / 200
	}
	if cells := w.cellsOf(i); len(cells) > 0 {
		code := min(noLimit, t/w.unit[i]*slackUp+1)
		c := &cells[w.cell(j, len(cells))]
		*c = (*c|filterBits(j))&filterAll | max(*c>>codeShift, uint64(code))<<codeShift
	}
}

// look forms sums of pairs.
func (w *updateWorker) look(i uint32) {
	ids := w.ids[:0]
	for _, want := range w.wants {
		if want.id&freshPair == 0 {
			ids = append(ids, want.id)
		}
	}
	w.ids = ids
	if len(ids) > 0 {
		// Some number of nanoseconds.
		updates := int(w.rowCost[i])
		cost, row := 0, 2000+2*min(updates, 1<<14)+updates
		for _, j := range ids {
			cost += 150 + int(w.head[j].n)
		}
		if cost > row {
			w.size[i] = 0 // formed anew
			return
		}
		fetch(float64s(w.head), ids)
		w.setMarks(i, 0xff)
		lines := w.lines[:0]
		for _, j := range ids {
			h := w.head[j]
			for p := h.at / 2; p < (h.at+min(h.n, 128))/2; p += 8 {
				lines = append(lines, p)
			}
		}
		w.lines = lines
		fetch(float64s(w.column), lines)
	}
	for _, want := range w.wants {
		if j := want.id &^ freshPair; j != want.id {
			w.enter(i, j, want.delta)
			continue
		}
		var sum uint32
		column := w.columnOf(want.id)
		for _, e := range column {
			if w.sieve[e>>14&63]>>(e>>8&63)&1 != 0 {
				sum += uint32(w.mark[e>>8]) * (e & 255)
			}
		}
		w.stats.Looked++
		w.stats.PairSteps += int64(len(column))
		w.enter(i, want.id, float32(sum))
	}
	if len(ids) > 0 {
		w.setMarks(i, 0)
	}
}

func (w *updateWorker) setMarks(i uint32, mask uint8) {
	if len(w.mark) == 0 {
		w.mark = make([]uint8, len(w.Kept.at))
	}
	w.sieve = [64]uint64{}
	for _, e := range w.columnOf(i) {
		w.mark[e>>8] = uint8(e) & mask
		w.sieve[e>>14&63] |= 1 << (e >> 8 & 63)
	}
}
