package similarity

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"sort"
)

// Kept is what is kept of a build so that its lists can follow new events: the matrix by user and by item, for each item
// more neighbors than K with their sums, and a bound for all others. Only cosine of whole weights from 1 to 255.
//
// Everything that bounds a pair is told of t = sum / |neighbor|, the score without the norm of the item whose list it is:
// events of that item change neither the order of t nor the bounds.
type Kept struct {
	k, reserve, threads int

	at    []uint32 // position of the row of each user in words: its length, then id<<8 | weight, as a Side has it
	words []uint32
	room  []uint8 // words that are free behind the row

	head    []head   // of each item
	colRoom []uint32 // words that are free behind the column
	column  []uint32 // user<<8 | weight, users ascend

	squares []float64
	inverse []float32
	knots   []uint32 // of the first of 64 items each: the part of all entries that items before it have, of 1<<massBits

	// Pairs that are held, best first: stride of each item, of which size are in use.
	stride  int
	heldID  []uint32
	heldSum []float32
	size    []int32
	bound   []float32 // t of what is not held is at most this; 0: all is held
	unit    []float32 // of codes in cells
	// Pairs that have a sum and are not held are in cells, items of similar popularity in one: above is a code that bounds t of
	// all, code·unit, or bound for 255; below a filter (Bloom's) of 56 bits, of which a pair has three.
	cellAt []uint32
	cells  []uint64

	entries []Neighbor // k of each item
	length  []int32    // of its list

	rowCost []uint32 // updates of the row of each item, when it was built
}

type head struct{ at, n uint32 }

// Change is an entry that is new, or has another weight.
type Change struct {
	User, Item uint32
	Weight     float32
}

// UpdateStats counts the work of an update.
type UpdateStats struct {
	// Deltas are the sums of a pair in a row that change: OnHeld of pairs that are held, Fresh of those that had none. ByBound are those that a bound has done with, Looked those
	// that were formed anew, and Entered those that are held since.
	Deltas, OnHeld, ByBound, Fresh, Looked, Entered int64
	// Rows were visited, and of them Recomputed formed anew.
	Rows, Recomputed int64
	// RecomputedUpdates are pair updates in those, PairSteps entries that were read for the pairs that were looked at.
	RecomputedUpdates, PairSteps int64
}

func (s *UpdateStats) add(t UpdateStats) {
	s.Deltas += t.Deltas
	s.OnHeld += t.OnHeld
	s.ByBound += t.ByBound
	s.Fresh += t.Fresh
	s.Looked += t.Looked
	s.Entered += t.Entered
	s.Rows += t.Rows
	s.Recomputed += t.Recomputed
	s.RecomputedUpdates += t.RecomputedUpdates
	s.PairSteps += t.PairSteps
}

const (
	slackUp = 1 + 1.0/(1<<19)
	noLimit = 255 // of a cell: bound says it
)

// NewKept builds lists of r, with weights and ascending rows, and what is needed to keep them: reserve neighbors of each item, K or more, and for the others a word of 64 bits for
// pairsOfCell pairs, more in long rows. 64 and 12 are a good choice for K of 50. Errors match ErrShape, or are those of the context. Cost: about 1.7 times that of a build; memory 40 to 60 bytes an entry.
func NewKept(ctx context.Context, r *Rows, o Options, reserve int, pairsOfCell float64) (*Kept, error) {
	if o.Measure != Cosine || o.needsCount() {
		return nil, fmt.Errorf("%w: lists by %s, want plain cosine", ErrShape, o.Measure)
	}
	for _, w := range r.Weight {
		if w != float32(uint8(w)) || w == 0 {
			return nil, fmt.Errorf("%w: weight %v, want whole numbers from 1 to 255", ErrShape, w)
		}
	}
	x := &Kept{k: o.K, reserve: reserve, threads: max(1, o.Threads)}
	x.fillRows(r)
	x.fillColumns(r)
	_, updates := r.Counts()
	n := r.NumItems
	x.squares, x.inverse = make([]float64, n), make([]float32, n)
	hugePages(x.squares)
	hugePages(x.inverse)
	var before int64
	for i := range n {
		words := x.columnOf(uint32(i))
		for _, e := range words {
			w := float64(uint8(e))
			x.squares[i] += w * w
		}
		x.inverse[i] = float32(1 / math.Sqrt(x.squares[i]))
		if i%64 == 0 {
			x.knots = append(x.knots, uint32(before*(1<<massBits-1)/max(1, r.entries())))
		}
		before += int64(len(words))
	}
	x.knots = append(x.knots, 1<<massBits-1)
	x.stride = (reserve + 16 + 7) &^ 7
	x.heldID, x.heldSum = make([]uint32, n*x.stride), make([]float32, n*x.stride)
	x.size, x.bound, x.unit = make([]int32, n), make([]float32, n), make([]float32, n)
	x.rowCost = make([]uint32, n)
	for i, u := range updates {
		x.rowCost[i] = uint32(min(u, math.MaxUint32))
	}
	x.cellAt = make([]uint32, n+1)
	for i := range n {
		cells := 0.0
		if u := int(updates[i]); u > reserve {
			per := pairsOfCell
			for most := shortRow; u > most && per < 4*pairsOfCell; most *= 8 {
				per *= 2
			}
			cells = math.Ceil(float64(min(u, n)) / per)
		}
		x.cellAt[i+1] = x.cellAt[i] + uint32(cells)
	}
	x.cells = make([]uint64, x.cellAt[n])
	hugePages(x.cells)
	x.entries, x.length = make([]Neighbor, n*o.K), make([]int32, n)
	return x, x.parallel(ctx, n, func(w *updateWorker, i uint32) error {
		if x.head[i].n == 0 {
			return nil
		}
		if err := w.recompute(ctx, i); err != nil {
			return err
		}
		w.write(i)
		return nil
	}, 128, nil)
}

// Lists returns the lists.
func (x *Kept) Lists() *Lists {
	l := &Lists{Start: make([]int64, len(x.length)+1), Entries: make([]Neighbor, 0, len(x.entries))}
	for i, n := range x.length {
		l.Entries = append(l.Entries, x.entries[i*x.k:][:n]...)
		l.Start[i+1] = int64(len(l.Entries))
	}
	return l
}

// SizeBytes tells the memory by part.
func (x *Kept) SizeBytes() map[string]int {
	return map[string]int{
		"rows":    4*len(x.at) + 4*len(x.words) + len(x.room),
		"columns": 12*len(x.head) + 4*len(x.column),
		"items":   len(x.squares) * (8 + 4 + 4 + 4 + 4 + 4 + 4),
		"held":    8 * len(x.heldID), "cells": 8 * len(x.cells), "lists": 8 * len(x.entries),
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
	x.words = make([]uint32, total, total+total/8)
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
	x.head, x.colRoom = make([]head, n), make([]uint32, n)
	total := 0
	for i := range n {
		h := head{uint32(total), uint32(columns.Start[i+1] - columns.Start[i])}
		x.head[i], x.colRoom[i] = h, uint32(roomFor(int(h.n)))
		total += int(h.n + x.colRoom[i])
	}
	x.column = make([]uint32, total, total+total/8)
	for i := range n {
		users, weights := columns.row(i)
		for k, u := range users {
			x.column[int(x.head[i].at)+k] = u<<8 | uint32(weightAt(weights, k))
		}
	}
}

func (x *Kept) columnOf(i uint32) []uint32 {
	h := x.head[i]
	return x.column[h.at : h.at+h.n]
}

// update is one Update at work.
type update struct {
	changes []Change  // by user, then item
	old     []float32 // weights before
	start   []uint32  // of each user with changes, where they begin
	byItem  []uint32  // changes by item
	itemAt  []uint32
	other   []uint64 // bits of items whose norm changed
	// By how much sums grow, but for the entries that changed themselves: the items of a range, one of buckets, and within
	// in no order. Words are item<<40 | neighbor<<16 | growth.
	first    []uint32 // item of each range, and the number of items
	bucketAt []uint32
	bucket   []uint64
	stats    UpdateStats
}

// Update brings the lists up to date. Changes may come in any order, each entry once; users and items must be those of the matrix, and weights whole numbers up to 255, not below what
// the entry had. An error that matches ErrShape leaves all as it was; after one of the context the lists are lost.
func (x *Kept) Update(ctx context.Context, changes []Change) (UpdateStats, error) {
	u := &update{changes: slices.Clone(changes)}
	slices.SortFunc(u.changes, func(a, b Change) int { return cmp.Or(cmp.Compare(a.User, b.User), cmp.Compare(a.Item, b.Item)) })
	if err := x.checkChanges(u.changes); err != nil {
		return UpdateStats{}, err
	}
	x.apply(u)
	err := x.parallel(ctx, ranges, func(w *updateWorker, b uint32) error { return w.rows(ctx, b) }, 1, u)
	return u.stats, err
}

// checkChanges checks changes in order.
func (x *Kept) checkChanges(changes []Change) error {
	for k, c := range changes {
		switch {
		case int64(c.User) >= int64(len(x.at)) || int64(c.Item) >= int64(len(x.head)):
			return fmt.Errorf("%w: change of user %d and item %d, of %d and %d", ErrShape, c.User, c.Item, len(x.at), len(x.head))
		case k > 0 && changes[k-1].User == c.User && changes[k-1].Item == c.Item:
			return fmt.Errorf("%w: two changes of user %d and item %d", ErrShape, c.User, c.Item)
		case c.Weight != float32(uint8(c.Weight)) || c.Weight == 0:
			return fmt.Errorf("%w: weight %v of user %d and item %d; want a whole number from 1 to 255", ErrShape, c.Weight, c.User, c.Item)
		}
		row := x.words[x.at[c.User]+1:][:x.words[x.at[c.User]]]
		at, found := slices.BinarySearchFunc(row, c.Item, func(word, item uint32) int { return cmp.Compare(word>>8, item) })
		if found && float32(uint8(row[at])) > c.Weight {
			return fmt.Errorf("%w: weight %v of user %d and item %d is below %d, which it was; build anew", ErrShape, c.Weight, c.User, c.Item, uint8(row[at]))
		}
	}
	return nil
}

// apply puts the changes into rows and columns.
func (x *Kept) apply(u *update) {
	n := len(u.changes)
	u.old = make([]float32, n)
	for lo := 0; lo < n; {
		hi := lo + 1
		for hi < n && u.changes[hi].User == u.changes[lo].User {
			hi++
		}
		x.changeRow(u.changes[lo:hi], u.old[lo:hi])
		u.start = append(u.start, uint32(lo))
		lo = hi
	}
	u.start = append(u.start, uint32(n))
	u.itemAt = make([]uint32, len(x.head)+1)
	u.other = make([]uint64, len(x.head)/64+1)
	for _, c := range u.changes {
		u.itemAt[c.Item+1]++
	}
	for i := range len(x.head) {
		u.itemAt[i+1] += u.itemAt[i]
	}
	next := slices.Clone(u.itemAt)
	u.byItem = make([]uint32, n)
	for k, c := range u.changes {
		u.byItem[next[c.Item]] = uint32(k)
		next[c.Item]++
	}
	for i := range len(x.head) {
		if some := u.byItem[u.itemAt[i]:u.itemAt[i+1]]; len(some) > 0 {
			x.changeColumn(uint32(i), some, u)
			u.other[i>>6] |= 1 << (i & 63)
		}
	}
	x.spread(u)
}

// Ranges of items have about as many entries.
const (
	rangeShift = 16
	ranges     = 1 << (massBits - rangeShift)
)

// spread tells the items of changed users by how much their sums grow.
func (x *Kept) spread(u *update) {
	u.first = make([]uint32, ranges+1)
	at := 0
	for b := range ranges {
		for at < len(x.head) && int(x.mass(uint32(at))>>rangeShift) < b {
			at++
		}
		u.first[b] = uint32(at)
	}
	u.first[ranges] = uint32(len(x.head))
	users := len(u.start) - 1
	next := make([][ranges + 1]uint32, x.threads) // of each thread, where its next word of a range goes
	cut := func(t int) int { return users * t / x.threads }
	each(x.threads, func(t int) {
		next := &next[t]
		for k := cut(t); k < cut(t+1); k++ {
			lo, hi := u.start[k], u.start[k+1]
			at := x.at[u.changes[lo].User]
			for _, e := range x.words[at+1 : at+1+x.words[at]] {
				next[x.mass(e>>8)>>rangeShift] += hi - lo
			}
		}
	})
	u.bucketAt = make([]uint32, ranges+1)
	total := uint32(0)
	for b := range ranges {
		u.bucketAt[b] = total
		for t := range next {
			next[t][b], total = total, total+next[t][b]
		}
	}
	u.bucketAt[ranges] = total
	u.bucket = make([]uint64, total)
	hugePages(u.bucket)
	each(x.threads, func(t int) {
		next := &next[t]
		for k := cut(t); k < cut(t+1); k++ {
			lo, hi := u.start[k], u.start[k+1]
			changes, old := u.changes[lo:hi], u.old[lo:hi]
			at := x.at[changes[0].User]
			own := 0
			for _, e := range x.words[at+1 : at+1+x.words[at]] {
				i, w := e>>8, e&255
				if own < len(changes) && changes[own].Item == i {
					w = uint32(old[own])
					own++
				}
				p := &next[x.mass(i)>>rangeShift]
				for n, c := range changes {
					u.bucket[*p] = uint64(i)<<40 | uint64(c.Item)<<16 | uint64(w*uint32(c.Weight-old[n]))
					*p++
				}
			}
		}
	})
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
	at, n := int(x.head[i].at), int(x.head[i].n)
	fresh := 0
	for _, k := range some {
		old, now := u.old[k], u.changes[k].Weight
		x.squares[i] += float64(now*now) - float64(old*old)
		if old == 0 {
			fresh++
			continue
		}
		user := u.changes[k].User
		p := at + sort.Search(n, func(p int) bool { return x.column[at+p]>>8 >= user })
		x.column[p] = user<<8 | uint32(now)
	}
	x.inverse[i] = float32(1 / math.Sqrt(x.squares[i]))
	if fresh == 0 {
		return
	}
	if fresh > int(x.colRoom[i]) {
		to := len(x.column)
		room := roomFor(n + fresh)
		x.column = append(x.column, x.column[at:at+n]...)
		x.column = append(x.column, make([]uint32, fresh+room)...)
		x.colRoom[i] = uint32(room)
		at = to
	} else {
		x.colRoom[i] -= uint32(fresh)
	}
	x.head[i] = head{uint32(at), uint32(n + fresh)}
	words := x.column[at : at+n+fresh]
	p, q := n, n+fresh // ends
	for m := len(some) - 1; m >= 0; m-- {
		k := some[m]
		if u.old[k] != 0 {
			continue
		}
		c := u.changes[k]
		from := sort.Search(p, func(p int) bool { return words[p]>>8 > c.User })
		copy(words[q-(p-from):q], words[from:p])
		q -= p - from
		p = from
		q--
		words[q] = c.User<<8 | uint32(c.Weight)
	}
}

// shortRow is the number of updates of a row up to which its cells have the fewest pairs.
const shortRow = 1 << 14
