package similarity

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
)

// Kept is what is kept of a build so that its lists can follow new events: the matrix by user and by item, for each item
// more neighbors than K with their sums, and a bound for all others. Only cosine of whole weights from 1 to 255.
//
// Everything that bounds a pair is told of t = sum / |neighbor|, the score without the norm of the item whose list it is:
// events of that item change neither the order of t nor the bounds.
type Kept struct {
	k, reserve int
	threads    int
	cellRate   float64

	at    []uint32 // position of the row of each user in words: its length, then id<<8 | weight, as a Side has it
	words []uint32
	room  []uint8 // words that are free behind the row

	colAt, colLen, colRoom []uint32 // of each item: its users ascend, from colAt
	user                   []uint32
	weight                 []uint8

	squares []float64
	inverse []float32
	mass    []uint16 // of each item: the part of all entries that items before it have, of 1<<16

	held  []heldPair // reserve of each item, best first
	size  []int32
	bound []float32 // t of what is not held is at most this; 0: all is held
	unit  []float32 // of codes in cells
	// A cell bounds t of the pairs that are not held and whose item falls into it: code·unit, or bound for 255.
	cellAt []uint32
	cells  []uint8

	lists *Lists
}

type heldPair struct {
	id  uint32
	sum float32
}

// Change is an entry that is new, or has another weight.
type Change struct {
	User, Item uint32
	Weight     float32
}

// UpdateStats counts the work of an update.
type UpdateStats struct {
	Deltas, OnHeld, NoCell, ByBound, Candidates, Entered int64
	OldRows, Rows, Recomputed, Ran                       int64
	RecomputedUpdates, PairSteps                         int64
}

func (s *UpdateStats) add(t UpdateStats) {
	s.Deltas += t.Deltas
	s.OnHeld += t.OnHeld
	s.NoCell += t.NoCell
	s.ByBound += t.ByBound
	s.Candidates += t.Candidates
	s.Entered += t.Entered
	s.OldRows += t.OldRows
	s.Rows += t.Rows
	s.Recomputed += t.Recomputed
	s.Ran += t.Ran
	s.RecomputedUpdates += t.RecomputedUpdates
	s.PairSteps += t.PairSteps
}

const (
	slackUp = 1 + 1.0/(1<<19)
	noLimit = 255 // of a cell: bound says it
)

// NewKept builds lists of r and what is needed to keep them.
func NewKept(ctx context.Context, r *Rows, o Options, reserve int, cellRate float64) (*Kept, error) {
	if o.Measure != Cosine || o.needsCount() {
		return nil, fmt.Errorf("kept: %s, want plain cosine", o.Measure)
	}
	for _, w := range r.Weight {
		if w != float32(uint8(w)) || w == 0 {
			return nil, fmt.Errorf("kept: weight %v, want whole numbers from 1 to 255", w)
		}
	}
	x := &Kept{k: o.K, reserve: reserve, threads: max(1, o.Threads), cellRate: cellRate}
	x.fillRows(r)
	x.fillColumns(r)
	_, updates := r.Counts()
	n := r.NumItems
	x.squares, x.inverse, x.mass = make([]float64, n), make([]float32, n), make([]uint16, n)
	var before int64
	for i := range n {
		_, weights := x.column(uint32(i))
		for _, w := range weights {
			x.squares[i] += float64(w) * float64(w)
		}
		x.inverse[i] = float32(1 / math.Sqrt(x.squares[i]))
		x.mass[i] = uint16(before * (1<<16 - 1) / max(1, r.entries()))
		before += int64(len(weights))
	}
	x.held, x.size, x.bound, x.unit = make([]heldPair, n*reserve), make([]int32, n), make([]float32, n), make([]float32, n)
	x.cellAt = make([]uint32, n+1)
	for i := range n {
		c := int(math.Ceil(float64(min(int(updates[i]), n)) * cellRate))
		if int(updates[i]) <= reserve {
			c = 0
		}
		x.cellAt[i+1] = x.cellAt[i] + uint32(c)
	}
	x.cells = make([]uint8, x.cellAt[n])
	out := &listWriter{k: o.K, entries: make([]Neighbor, n*o.K), size: make([]int64, n+1)}
	err := x.parallel(ctx, n, func(w *updateWorker, i uint32) error {
		if x.colLen[i] == 0 {
			return nil
		}
		if err := w.recompute(ctx, i); err != nil {
			return err
		}
		w.write(i, out)
		return nil
	}, nil)
	if err != nil {
		return nil, err
	}
	x.lists = out.lists()
	return x, nil
}

// Lists returns the lists.
func (x *Kept) Lists() *Lists { return x.lists }

// SizeBytes tells the memory by part.
func (x *Kept) SizeBytes() map[string]int {
	return map[string]int{
		"rows":    4*len(x.at) + 4*len(x.words) + len(x.room),
		"columns": 12*len(x.colAt) + 4*len(x.user) + len(x.weight),
		"items":   len(x.squares) * (8 + 4 + 2 + 4 + 4 + 4 + 4),
		"held":    8 * len(x.held), "cells": len(x.cells), "lists": 8 * len(x.lists.Entries),
	}
}

func roomFor(n int) int { return n/16 + 2 }

func (x *Kept) fillRows(r *Rows) {
	total := 1
	for u := range r.NumUsers() {
		n := int(r.Start[u+1] - r.Start[u])
		total += 1 + n + min(255, roomFor(n))
	}
	x.at, x.room = make([]uint32, r.NumUsers()), make([]uint8, r.NumUsers())
	x.words = make([]uint32, total, total+total/32)
	hugePages(x.words)
	at := 1
	for u := range r.NumUsers() {
		items, weights := r.row(u)
		x.at[u], x.words[at] = uint32(at), uint32(len(items))
		for k, i := range items {
			x.words[at+1+k] = i<<8 | uint32(weightAt(weights, k))
		}
		x.room[u] = uint8(min(255, roomFor(len(items))))
		at += 1 + len(items) + int(x.room[u])
	}
}

func (x *Kept) fillColumns(r *Rows) {
	columns := r.transpose(x.threads)
	n := r.NumItems
	x.colAt, x.colLen, x.colRoom = make([]uint32, n), make([]uint32, n), make([]uint32, n)
	total := 0
	for i := range n {
		x.colAt[i], x.colLen[i] = uint32(total), uint32(columns.Start[i+1]-columns.Start[i])
		x.colRoom[i] = uint32(roomFor(int(x.colLen[i])))
		total += int(x.colLen[i] + x.colRoom[i])
	}
	x.user, x.weight = make([]uint32, total, total+total/32), make([]uint8, total, total+total/32)
	for i := range n {
		users, weights := columns.row(i)
		for k, u := range users {
			x.user[int(x.colAt[i])+k], x.weight[int(x.colAt[i])+k] = u, uint8(weightAt(weights, k))
		}
	}
}

func (x *Kept) column(i uint32) ([]uint32, []uint8) {
	lo, hi := x.colAt[i], x.colAt[i]+x.colLen[i]
	return x.user[lo:hi], x.weight[lo:hi]
}

// listWriter takes lists in any order.
type listWriter struct {
	k       int
	entries []Neighbor
	size    []int64 // of item i at i+1
}

func (w *listWriter) lists() *Lists {
	l := &Lists{Start: w.size, Entries: w.entries}
	end := 0
	for i := range len(w.size) - 1 {
		n := int(w.size[i+1])
		if at := i * w.k; at != end {
			copy(w.entries[end:], w.entries[at:at+n])
		}
		end += n
		l.Start[i+1] = int64(end)
	}
	l.Entries = l.Entries[:end]
	return l
}

// slot is what a row looks up of an item; delta is by how much the sum grows.
type slot struct {
	squares float64
	inverse float32
	delta   float32
}

// updateWorker is the memory of a goroutine.
type updateWorker struct {
	*Kept
	u       *update
	slots   []slot
	touched []uint32
	some    []uint32 // places in a column
	keys    []uint64
	wants   []want
	mark    []uint8 // weights by user
	scratch Scratch
	weights []float32
	stats   UpdateStats
}

type want struct {
	id    uint32
	delta float32
}

// parallel runs f for all items below n in blocks.
func (x *Kept) parallel(ctx context.Context, n int, f func(w *updateWorker, i uint32) error, u *update) error {
	const block = 128
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, x.threads)
	workers := make([]*updateWorker, x.threads)
	for t := range x.threads {
		wg.Go(func() {
			w := &updateWorker{Kept: x, u: u, keys: make([]uint64, x.reserve+1)}
			workers[t] = w
			if u != nil {
				w.slots, w.touched = make([]slot, n), make([]uint32, n+1)
				hugePages(w.slots)
				for i := range w.slots {
					w.slots[i] = slot{squares: x.squares[i], inverse: x.inverse[i]}
				}
			}
			for errs[t] == nil {
				lo := int(next.Add(block)) - block
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
	width := len(w.colAt)
	s.grow(width)
	users, weights := w.column(i)
	w.weights = w.weights[:0]
	for _, x := range weights {
		w.weights = append(w.weights, float32(x))
	}
	s.at = positions(s.at[:0], w.at, users)
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
	pairs := takeSums(dot, t, ids, s.sums, w.inverse, 1)
	reserve := w.reserve
	bound := float32(0)
	least := float32(math.SmallestNonzeroFloat32)
	if pairs > reserve {
		kth := s.kth.find(t, reserve)
		bound, least = kth*slackUp, lowered(kth)
	}
	own := w.squares[i]
	type found struct {
		key uint64
		sum float32
	}
	var best []found
	for _, p := range s.places[:reach(s.places, t, least)] {
		j := ids[p]
		if dot[p] == 0 {
			continue
		}
		best = append(best, found{rankKey(cosine(dot[p], own*w.squares[j]), j), dot[p]})
	}
	slices.SortFunc(best, func(a, b found) int { return cmp.Compare(b.key, a.key) })
	best = best[:min(len(best), reserve)]
	held := w.held[int(i)*reserve:]
	for k, b := range best {
		held[k] = heldPair{keyID(b.key), b.sum}
		w.keys[k] = b.key
	}
	w.size[i], w.bound[i] = int32(len(best)), bound
	cells := w.cellsOf(i)
	clear(cells)
	if bound == 0 || len(cells) == 0 {
		w.unit[i] = 0
		return nil
	}
	unit := bound / 254 * slackUp
	w.unit[i] = unit
	per := slackUp / unit
	for k, j := range ids {
		if x := t[k]; x > 0 && x <= bound {
			c := &cells[w.cell(j, len(cells))]
			*c = max(*c, uint8(x*per)+1)
		}
	}
	return nil
}

func (w *Kept) cellsOf(i uint32) []uint8 { return w.cells[w.cellAt[i]:w.cellAt[i+1]] }

// cell is the place of item j in n cells: items of similar popularity share one.
func (w *Kept) cell(j uint32, n int) uint32 { return uint32(uint64(w.mass[j]) * uint64(n) >> 16) }

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
func (w *updateWorker) write(i uint32, out *listWriter) {
	n := min(int(w.size[i]), w.k)
	list := out.entries[int(i)*w.k:][:n]
	for k, key := range w.keys[:n] {
		list[k] = Neighbor{ID: keyID(key), Score: keyScore(key)}
	}
	out.size[i+1] = int64(n)
}

// update is one Update at work.
type update struct {
	changes []Change  // by user, then item
	old     []float32 // weights before
	touched []uint64  // bits of users
	rank    []uint32  // of users, for each word of touched
	start   []uint32  // of changes of each touched user
	parts   []part2
	byItem  []uint32 // changes by item
	itemAt  []uint32
	other   []uint64 // bits of items whose norm changed
	out     *listWriter
	stats   UpdateStats
	// PHASE timings are taken by the caller
}

type part2 struct {
	item  uint32
	delta float32
}

// Update brings the lists up to date.
func (x *Kept) Update(ctx context.Context, changes []Change, lap func(string)) (UpdateStats, error) {
	u := &update{changes: slices.Clone(changes)}
	slices.SortFunc(u.changes, func(a, b Change) int { return cmp.Or(cmp.Compare(a.User, b.User), cmp.Compare(a.Item, b.Item)) })
	x.apply(u)
	lap("apply")
	n := len(x.colAt)
	u.out = &listWriter{k: x.k, entries: make([]Neighbor, n*x.k), size: make([]int64, n+1)}
	err := x.parallel(ctx, n, func(w *updateWorker, i uint32) error { return w.row(ctx, i) }, u)
	lap("rows")
	if err != nil {
		return u.stats, err
	}
	x.lists = u.out.lists()
	lap("lists")
	return u.stats, nil
}

// apply puts the changes into rows and columns.
func (x *Kept) apply(u *update) {
	n := len(u.changes)
	u.old, u.parts = make([]float32, n), make([]part2, n)
	users := len(x.at)
	u.touched, u.rank = make([]uint64, users/64+1), make([]uint32, users/64+2)
	for lo := 0; lo < n; {
		hi := lo + 1
		for hi < n && u.changes[hi].User == u.changes[lo].User {
			hi++
		}
		x.changeRow(u.changes[lo:hi], u.old[lo:hi])
		user := u.changes[lo].User
		u.touched[user>>6] |= 1 << (user & 63)
		u.start = append(u.start, uint32(lo))
		lo = hi
	}
	u.start = append(u.start, uint32(n))
	for k, word := range u.touched {
		u.rank[k+1] = u.rank[k] + uint32(bits.OnesCount64(word))
	}
	u.itemAt = make([]uint32, len(x.colAt)+1)
	u.other = make([]uint64, len(x.colAt)/64+1)
	for k, c := range u.changes {
		u.parts[k] = part2{c.Item, c.Weight - u.old[k]}
		u.itemAt[c.Item+1]++
	}
	for i := range len(x.colAt) {
		u.itemAt[i+1] += u.itemAt[i]
	}
	next := slices.Clone(u.itemAt)
	u.byItem = make([]uint32, n)
	for k, c := range u.changes {
		u.byItem[next[c.Item]] = uint32(k)
		next[c.Item]++
	}
	for i := range len(x.colAt) {
		if some := u.byItem[u.itemAt[i]:u.itemAt[i+1]]; len(some) > 0 {
			x.changeColumn(uint32(i), some, u)
			u.other[i>>6] |= 1 << (i & 63)
		}
	}
}

func (x *Kept) changeRow(changes []Change, old []float32) {
	user := changes[0].User
	at := int(x.at[user])
	n := int(x.words[at])
	row := x.words[at+1 : at+1+n]
	fresh := 0
	for k, c := range changes {
		p := sort.Search(n, func(p int) bool { return row[p]>>8 >= c.Item })
		if p < n && row[p]>>8 == c.Item {
			old[k] = float32(row[p] & 255)
			row[p] = c.Item<<8 | uint32(c.Weight)
		} else {
			old[k] = 0
			fresh++
		}
	}
	if fresh == 0 {
		return
	}
	if fresh > int(x.room[user]) {
		to := len(x.words)
		room := min(255, roomFor(n+fresh))
		x.words = append(x.words, x.words[at:at+1+n]...)
		x.words = append(x.words, make([]uint32, fresh+room)...)
		x.room[user] = uint8(room)
		x.at[user], at = uint32(to), to
	} else {
		x.room[user] -= uint8(fresh)
	}
	x.words[at] = uint32(n + fresh)
	row = x.words[at+1 : at+1+n+fresh]
	p, q := n-1, n+fresh-1
	for k := len(changes) - 1; k >= 0; k-- {
		if old[k] != 0 {
			continue
		}
		e := changes[k].Item<<8 | uint32(changes[k].Weight)
		for p >= 0 && row[p] > e {
			row[q] = row[p]
			p--
			q--
		}
		row[q] = e
		q--
	}
}

func (x *Kept) changeColumn(i uint32, some []uint32, u *update) {
	at, n := int(x.colAt[i]), int(x.colLen[i])
	fresh := 0
	for _, k := range some {
		old, now := u.old[k], u.changes[k].Weight
		x.squares[i] += float64(now*now) - float64(old*old)
		if old == 0 {
			fresh++
			continue
		}
		user := u.changes[k].User
		p := at + sort.Search(n, func(p int) bool { return x.user[at+p] >= user })
		x.weight[p] = uint8(now)
	}
	x.inverse[i] = float32(1 / math.Sqrt(x.squares[i]))
	if fresh == 0 {
		return
	}
	if fresh > int(x.colRoom[i]) {
		to := len(x.user)
		room := roomFor(n + fresh)
		x.user, x.weight = append(x.user, x.user[at:at+n]...), append(x.weight, x.weight[at:at+n]...)
		x.user, x.weight = append(x.user, make([]uint32, fresh+room)...), append(x.weight, make([]uint8, fresh+room)...)
		x.colRoom[i] = uint32(room)
		x.colAt[i], at = uint32(to), to
	} else {
		x.colRoom[i] -= uint32(fresh)
	}
	x.colLen[i] = uint32(n + fresh)
	users, weights := x.user[at:at+n+fresh], x.weight[at:at+n+fresh]
	p, q := n, n+fresh // ends
	for m := len(some) - 1; m >= 0; m-- {
		k := some[m]
		if u.old[k] != 0 {
			continue
		}
		c := u.changes[k]
		from := sort.Search(p, func(p int) bool { return users[p] > c.User })
		copy(users[q-(p-from):q], users[from:p])
		copy(weights[q-(p-from):q], weights[from:p])
		q -= p - from
		p = from
		q--
		users[q], weights[q] = c.User, uint8(c.Weight)
	}
}

// deltas forms by how much the sums of item i grow, in the slots, and lists the items.
func (w *updateWorker) deltas(i uint32) (n int) {
	u := w.u
	users, weights := w.column(i)
	if len(w.some) < len(users)+1 {
		w.some = make([]uint32, 2*len(users)+1)
	}
	m := 0
	for k, user := range users {
		w.some[m] = uint32(k)
		m += int(u.touched[user>>6] >> (user & 63) & 1)
	}
	if m == 0 {
		return 0
	}
	own := u.byItem[u.itemAt[i]:u.itemAt[i+1]]
	slots, touched := w.slots, w.touched
	for _, k := range w.some[:m] {
		user := users[k]
		word := u.touched[user>>6]
		r := u.rank[user>>6] + uint32(bits.OnesCount64(word&(1<<(user&63)-1)))
		parts := u.parts[u.start[r]:u.start[r+1]]
		x := float32(weights[k])
		if len(own) > 0 && u.changes[own[0]].User == user {
			old := u.old[own[0]]
			own = own[1:]
			d := x - old
			at := w.at[user]
			for _, e := range w.words[at+1 : at+1+w.words[at]] {
				s := &slots[e>>8]
				touched[n] = e >> 8
				n += one(s.delta == 0)
				s.delta += d * float32(uint8(e))
			}
			if old == 0 {
				continue
			}
			x = old
		}
		for _, p := range parts {
			s := &slots[p.item]
			touched[n] = p.item
			n += one(s.delta == 0)
			s.delta += x * p.delta
		}
	}
	slots[i].delta = 0
	return n
}

func (w *updateWorker) row(ctx context.Context, i uint32) error {
	if w.colLen[i] == 0 {
		return nil
	}
	n := w.deltas(i)
	held := w.held[int(i)*w.reserve:][:w.size[i]]
	w.stats.OldRows++
	if n == 0 && w.u.other[i>>6]>>(i&63)&1 == 0 {
		same := true
		for _, h := range held {
			if w.u.other[h.id>>6]>>(h.id&63)&1 != 0 {
				same = false
				break
			}
		}
		if same {
			list := w.lists.List(i)
			copy(w.u.out.entries[int(i)*w.k:], list)
			w.u.out.size[i+1] = int64(len(list))
			return nil
		}
	}
	w.stats.Rows++
	slots, own := w.slots, w.squares[i]
	keys := w.keys
	for k := range held {
		h := &held[k]
		s := &slots[h.id]
		if s.delta != 0 {
			h.sum += s.delta
			s.delta = 0
			w.stats.OnHeld++
		}
		keys[k] = rankKey(cosine(h.sum, own*s.squares), h.id)
	}
	sortHeld(keys, held, 1)
	if n > 0 {
		w.stats.Deltas += int64(n)
		w.others(i, n)
	}
	size := int(w.size[i])
	if b := w.bound[i]; b > 0 && (size < w.k || keyScore(keys[w.k-1]) <= b*w.inverse[i]*slackUp) {
		w.stats.Recomputed++
		if err := w.recompute(ctx, i); err != nil {
			return err
		}
	}
	w.write(i, w.u.out)
	return nil
}

// sortHeld sorts by falling keys what is so before from and nearly so behind it.
func sortHeld(keys []uint64, held []heldPair, from int) {
	for k := from; k < len(held); k++ {
		key, h := keys[k], held[k]
		p := k
		for ; p > 0 && keys[p-1] < key; p-- {
			keys[p], held[p] = keys[p-1], held[p-1]
		}
		keys[p], held[p] = key, h
	}
}

// enterPart is how far from the bound to the K-th t an upper bound may be that is not looked at.
var enterPart = float32(0.7)

// others looks at pairs that are not held and whose sums grow.
func (w *updateWorker) others(i uint32, n int) {
	slots := w.slots
	b, unit := w.bound[i], w.unit[i]
	cells := w.cellsOf(i)
	var kth float32 // t
	if int(w.size[i]) >= w.k {
		kth = keyScore(w.keys[w.k-1]) / w.inverse[i] / slackUp
	}
	enter := float32(0)
	if b > 0 {
		enter = b + (kth-b)*enterPart
		if enter <= b {
			// formed anew in any case
			for _, j := range w.touched[:n] {
				slots[j].delta = 0
			}
			w.size[i] = 0
			return
		}
	}
	raised := b
	w.wants = w.wants[:0]
	for _, j := range w.touched[:n] {
		s := &slots[j]
		d := s.delta
		if d == 0 {
			continue
		}
		s.delta = 0
		code := uint8(0)
		var c *uint8
		old := b
		if len(cells) > 0 {
			c = &cells[w.cell(j, len(cells))]
			if code = *c; code != noLimit {
				old = min(b, float32(code)*unit)
			}
		}
		most := (old + d*s.inverse) * slackUp
		if most <= enter {
			w.stats.ByBound++
			raised = max(raised, most)
			if c != nil {
				*c = raisedCode(*c, most, unit)
			}
			continue
		}
		if old == 0 {
			w.stats.NoCell++
			w.enter(i, j, d, &raised)
			continue
		}
		w.wants = append(w.wants, want{j, d})
	}
	if len(w.wants) > 0 {
		w.look(i, &raised)
	}
	w.bound[i] = raised
}

func raisedCode(c uint8, t, unit float32) uint8 {
	code := t/unit*slackUp + 1
	if !(code < noLimit) {
		return noLimit
	}
	return max(c, uint8(code))
}

// enter takes in that the pair of i and j, which is not held, has a sum.
func (w *updateWorker) enter(i, j uint32, sum float32, bound *float32) {
	t := sum * w.inverse[j] * slackUp
	held := w.held[int(i)*w.reserve:]
	n := int(w.size[i])
	if t > *bound {
		key := rankKey(cosine(sum, w.squares[i]*w.squares[j]), j)
		if n < w.reserve {
			held[n], w.keys[n] = heldPair{j, sum}, key
			w.size[i]++
			sortHeld(w.keys, held[:n+1], n)
			w.stats.Entered++
			return
		}
		if key > w.keys[n-1] {
			last := held[n-1]
			held[n-1], w.keys[n-1] = heldPair{j, sum}, key
			sortHeld(w.keys, held[:n], n-1)
			j, sum = last.id, last.sum
			w.stats.Entered++
		}
		t = sum * w.inverse[j] * slackUp
		*bound = max(*bound, t)
	}
	w.limit(i, j, t)
}

// limit takes in that t of a pair that is not held is at most this.
func (w *updateWorker) limit(i, j uint32, t float32) {
	if cells := w.cellsOf(i); len(cells) > 0 {
		c := &cells[w.cell(j, len(cells))]
		*c = raisedCode(*c, t, w.unit[i])
	}
}

// look forms sums of pairs.
func (w *updateWorker) look(i uint32, bound *float32) {
	w.stats.Candidates += int64(len(w.wants))
	if len(w.mark) == 0 {
		w.mark = make([]uint8, len(w.at))
	}
	users, weights := w.column(i)
	for k, user := range users {
		w.mark[user] = weights[k]
	}
	for _, want := range w.wants {
		others, x := w.column(want.id)
		var sum uint32
		for k, user := range others {
			sum += uint32(w.mark[user]) * uint32(x[k])
		}
		w.stats.PairSteps += int64(len(others))
		w.enter(i, want.id, float32(sum), bound)
	}
	for _, user := range users {
		w.mark[user] = 0
	}
}
