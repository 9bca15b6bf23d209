package similarity

import (
	"math"
	"slices"
)

// What an update changes of the matrix itself; update.go follows with the lists.

// rowChange is the row of one user, before and after.
type rowChange struct {
	user    uint32
	entries []entryChange // of either row, ascending
	differ  []entryChange // those of them that do
}

// entryChange is an item with its weights before and after, absent where there is none.
type entryChange struct {
	item     uint32
	old, new float32
}

func (e *entryChange) differs() bool { return e.old != e.new }

// grows returns by how much a product with weights before and after grows.
func (e *entryChange) grows(old, now float32) float32 {
	return now*max(0, e.new) - old*max(0, e.old)
}

// partners returns the entries whose products with the entry at a place may change.
func (c *rowChange) partners(place int32) []entryChange {
	if c.entries[place].differs() {
		return c.entries
	}
	return c.differ
}

const absent = -1

// change compares a row with the one it replaces.
func (x *Index) change(r UserRow) rowChange {
	c := rowChange{user: r.User}
	var items []uint32
	var weights []float32
	if int(r.User) < x.rows.NumUsers() {
		items, weights = x.rows.row(int(r.User))
	}
	fresh := r.Weight
	if x.o.Measure.kind() == commons {
		fresh = nil
	}
	for p, q := 0, 0; p < len(items) || q < len(r.Items); {
		old, now := float32(absent), float32(absent)
		var item uint32
		if q == len(r.Items) || p < len(items) && items[p] <= r.Items[q] {
			item, old = items[p], weightAt(weights, p)
			p++
		} else {
			item = r.Items[q]
		}
		if q < len(r.Items) && r.Items[q] == item {
			now = weightAt(fresh, q)
			q++
		}
		e := entryChange{item, old, now}
		if e.differs() {
			c.differ = append(c.differ, e)
		}
		c.entries = append(c.entries, e)
	}
	return c
}

// apply changes the matrix and its norms, and prepares what run needs.
func (u *update) apply() {
	x := u.Index
	counts := make([]int32, u.numItems+1)
	touched := make([]bool, u.numItems)
	for _, c := range u.changes {
		for _, e := range c.entries {
			counts[e.item+1]++
		}
		for _, e := range c.differ {
			touched[e.item] = true
			x.refine(max(0, e.new))
		}
	}
	for i := range u.numItems {
		counts[i+1] += counts[i]
	}
	u.start = counts
	u.places = make([]changePlace, counts[u.numItems])
	next := slices.Clone(counts)
	for n, c := range u.changes {
		for k, e := range c.entries {
			u.places[next[e.item]] = changePlace{int32(n), int32(k)}
			next[e.item]++
		}
	}
	weighted := x.rows.Weight != nil
	for _, c := range u.changes {
		weighted = weighted || slices.ContainsFunc(c.differ, func(e entryChange) bool { return e.new >= 0 && e.new != 1 })
	}
	x.grow(u.numItems)
	x.squares = append(x.squares, make([]float64, u.numItems-len(x.squares))...)
	x.users = append(x.users, make([]uint32, u.numItems-len(x.users))...)
	u.at, u.bits = make([]int32, u.numItems), make([]uint64, u.numItems/64+1)
	for i, t := range touched {
		if t {
			u.touched = append(u.touched, uint32(i))
			u.before = append(u.before, x.of(i))
			u.at[i] = int32(len(u.touched))
			u.bits[i>>6] |= 1 << (i & 63)
		}
	}
	x.rows = u.newRows(weighted)
	x.columns = u.newColumns(weighted)
	u.largest = slices.Max(append(x.squares, 0))
	for _, i := range u.touched {
		users, weights := x.columns.row(int(i))
		x.squares[i], x.users[i] = squaredNorm(len(users), weights), uint32(len(users))
		x.inverse[i] = x.o.inverse(x.squares[i])
		u.largest = max(u.largest, x.squares[i])
	}
}

// newRows returns the rows with the changes.
func (u *update) newRows(weighted bool) *Rows {
	w := newRowWriter(u.rows, u.numUsers, u.numItems, weighted)
	for _, c := range u.changes {
		w.copyTo(int(c.user))
		for _, e := range c.entries {
			if e.new >= 0 {
				w.add(e.item, e.new)
			}
		}
		w.end()
	}
	return w.finish()
}

// newColumns returns the columns with the changes.
func (u *update) newColumns(weighted bool) *Rows {
	w := newRowWriter(u.columns, u.numItems, u.numUsers, weighted)
	for _, i := range u.touched {
		w.copyTo(int(i))
		var users []uint32
		var weights []float32
		if int(i) < u.columns.NumUsers() {
			users, weights = u.columns.row(int(i))
		}
		k := 0
		upTo := func(user uint64) {
			for ; k < len(users) && uint64(users[k]) < user; k++ {
				w.add(users[k], weightAt(weights, k))
			}
		}
		for _, p := range u.places[u.start[i]:u.start[i+1]] {
			c := &u.changes[p.change]
			upTo(uint64(c.user))
			if k < len(users) && users[k] == c.user {
				k++
			}
			if x := c.entries[p.place].new; x >= 0 {
				w.add(c.user, x)
			}
		}
		upTo(math.MaxUint64)
		w.end()
	}
	return w.finish()
}

// rowWriter writes a matrix that differs from another in few rows.
type rowWriter struct {
	from, to *Rows
	rows     int
}

func newRowWriter(from *Rows, rows, columns int, weighted bool) *rowWriter {
	n := from.entries()
	to := &Rows{NumItems: columns, Start: make([]int64, 1, rows+1), Item: make([]uint32, 0, n+n/32+1024)}
	if weighted {
		to.Weight = make([]float32, 0, n+n/32+1024)
	}
	return &rowWriter{from, to, rows}
}

// copyTo copies the rows before row u that are not written yet.
func (w *rowWriter) copyTo(u int) {
	lo := w.to.NumUsers()
	hi := max(lo, min(u, w.from.NumUsers()))
	if lo < hi {
		from, to := w.from.Start[lo], w.from.Start[hi]
		shift := int64(len(w.to.Item)) - from
		w.to.Item = append(w.to.Item, w.from.Item[from:to]...)
		switch {
		case w.to.Weight == nil:
		case w.from.Weight != nil:
			w.to.Weight = append(w.to.Weight, w.from.Weight[from:to]...)
		default:
			for range to - from {
				w.to.Weight = append(w.to.Weight, 1)
			}
		}
		for _, end := range w.from.Start[lo+1 : hi+1] {
			w.to.Start = append(w.to.Start, end+shift)
		}
	}
	for w.to.NumUsers() < u { // rows that the other has not
		w.end()
	}
}

func (w *rowWriter) add(item uint32, weight float32) {
	w.to.Item = append(w.to.Item, item)
	if w.to.Weight != nil {
		w.to.Weight = append(w.to.Weight, weight)
	}
}

func (w *rowWriter) end() { w.to.Start = append(w.to.Start, int64(len(w.to.Item))) }

func (w *rowWriter) finish() *Rows {
	w.copyTo(w.rows)
	return w.to
}
