package worker

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node/artifact"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
)

// change is what of a partition is asked for.
type change struct {
	partition  partition.ID
	after, cut uint64
	weights    fusion.Weights
	nowMs      int64
}

// changedRows are the rows, as they are now, of the users of a partition who have changed since a base, and perhaps of others.
type changedRows struct {
	rows []changedRow // users ascend
	// item and weight are the entries of all rows. Items are dense ids of the base, or behind these places in added.
	item   []uint32
	weight []float32
	added  []string
}

// changedRow is a row by ascending item. at is the row of the user in the base, or -1.
type changedRow struct {
	user     string
	at       int
	from, to int
}

func (c *changedRows) users() []string {
	users := make([]string, len(c.rows))
	for k := range c.rows {
		users[k] = c.rows[k].user
	}
	return users
}

// changedSince returns the rows that have changed. Where what has come can be added to the rows of the base, it is; events are read of the others alone. The error
// matches errUnknown if it is not known who has changed, or more are to be read than is worth while.
func changedSince(ctx context.Context, source ChangedSource, base *artifact.Rows, dictionary *artifact.Dictionary, of change) (*changedRows, error) {
	users, known, err := source.Changed(ctx, of.partition, of.after, of.cut)
	if err != nil {
		return nil, err
	}
	if !known {
		return nil, fmt.Errorf("who has changed is not known, as this server has crashed since, or could not keep it when it was stopped, or more have than it remembers: %w", errUnknown)
	}
	c := &rowChanger{changedRows: changedRows{rows: make([]changedRow, 0, len(users))}, base: base, dictionary: dictionary, adder: of.weights.Adder(), places: map[string]uint32{}}
	items := c.itemsOf(users)
	at, room := make([]int, len(users)), len(items)
	for u := range users {
		var ok bool
		if at[u], ok = base.Find(users[u].User); !ok {
			at[u] = -1
		} else if users[u].Adds != fusion.AddsNone {
			room += int(base.Matrix().Start[at[u]+1] - base.Matrix().Start[at[u]])
		}
	}
	c.item, c.weight = make([]uint32, 0, room), make([]float32, 0, room)
	var read []string // users
	var places []int  // of them in rows
	for u := range users {
		x := &users[u]
		row := changedRow{user: x.User, at: at[u]}
		its := items[:len(x.Events)]
		items = items[len(x.Events):]
		changed, ok := c.add(&row, x, its)
		if !ok {
			read, places = append(read, x.User), append(places, len(c.rows))
		}
		if changed || !ok {
			c.rows = append(c.rows, row)
		}
	}
	if len(read) > 0 {
		shard, ok, err := source.RowsOf(ctx, of.partition, of.cut, read, of.weights, of.nowMs)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, fmt.Errorf("of %d users who have changed the events of %d must be read, which costs more than to pass over all: %w", len(users), len(read), errUnknown)
		}
		if !slices.Equal(shard.Users, read) {
			return nil, fmt.Errorf("partition %d: rows of %d users where those of %d were asked for: %w", of.partition, len(shard.Users), len(read), wire.ErrBuildLost)
		}
		c.take(shard, places)
	}
	c.forget()
	return &c.changedRows, nil
}

// rowChanger makes changedRows.
type rowChanger struct {
	changedRows
	base       *artifact.Rows
	dictionary *artifact.Dictionary
	adder      *fusion.Adder
	places     map[string]uint32 // in added
	came       []cameItem        // scratch
	events     []fusion.Addition // scratch
}

// cameItem is an event of a user.
type cameItem struct {
	item  uint32
	event fusion.Addition
}

// ids returns the dense ids of items, with new ones for those that the base has not.
func (c *rowChanger) ids(items []string) []uint32 {
	ids := c.dictionary.IDs(items)
	for k, id := range ids {
		if id != artifact.NoID {
			continue
		}
		place, ok := c.places[items[k]]
		if !ok {
			place = uint32(len(c.added))
			c.places[items[k]], c.added = place, append(c.added, items[k])
		}
		ids[k] = uint32(c.dictionary.Len()) + place
	}
	return ids
}

// itemsOf returns the ids of the items of all events of users, one after the other.
func (c *rowChanger) itemsOf(users []fusion.UserChange) []uint32 {
	n := 0
	for u := range users {
		n += len(users[u].Events)
	}
	keys := make([]string, 0, n)
	for u := range users {
		for e := range users[u].Events {
			keys = append(keys, users[u].Events[e].Item)
		}
	}
	return c.ids(keys)
}

// add makes the row of a user of the one in the base and of the events that came, whose items are given. changed is false if they weigh nothing. ok is false, and nothing is added, if it cannot be told
// what the row is.
func (c *rowChanger) add(row *changedRow, x *fusion.UserChange, items []uint32) (changed, ok bool) {
	if x.Adds == fusion.AddsNone {
		return false, false
	}
	c.came = c.came[:0]
	for e := range x.Events {
		c.came = append(c.came, cameItem{items[e], x.Events[e]})
	}
	if len(c.came) > 1 {
		slices.SortFunc(c.came, func(a, b cameItem) int { return cmp.Compare(a.item, b.item) })
	}
	var item []uint32 // of the base
	var weight []float32
	if m := c.base.Matrix(); row.at >= 0 {
		lo, hi := m.Start[row.at], m.Start[row.at+1]
		if item = m.Item[lo:hi]; m.Weight != nil {
			weight = m.Weight[lo:hi]
		}
	}
	row.from = len(c.item)
	next := 0 // of the base
	copyTo := func(end int) {
		c.item, c.weight = append(c.item, item[next:end]...), appendWeights(c.weight, weight, int64(next), int64(end))
		next = end
	}
	for came := c.came; len(came) > 0; {
		n := 1
		for n < len(came) && came[n].item == came[0].item {
			n++
		}
		at, had := slices.BinarySearch(item[next:], came[0].item)
		copyTo(next + at)
		old := float32(0)
		if had {
			if old = 1; weight != nil {
				old = weight[next]
			}
			next++
		}
		c.events = c.events[:0]
		for i := range came[:n] {
			c.events = append(c.events, came[i].event)
		}
		w, has, ok := c.adder.Add(x.Adds, old, had, c.events)
		if !ok {
			c.item, c.weight = c.item[:row.from], c.weight[:row.from]
			return false, false
		}
		changed = changed || has != had || w != old
		if has {
			c.item, c.weight = append(c.item, came[0].item), append(c.weight, w)
		}
		came = came[n:]
	}
	if !changed {
		c.item, c.weight = c.item[:row.from], c.weight[:row.from]
		return false, true
	}
	copyTo(len(item))
	row.to = len(c.item)
	return true, true
}

// take puts in the rows of users that were read, at their places in rows.
func (c *rowChanger) take(s *Shard, places []int) {
	ids := c.ids(s.Items)
	for u, place := range places {
		lo, hi := s.Start[u], s.Start[u+1]
		row := &c.rows[place]
		row.from = len(c.item)
		for _, i := range s.Item[lo:hi] {
			c.item = append(c.item, ids[i])
		}
		c.weight = appendWeights(c.weight, s.Weight, lo, hi)
		row.to = len(c.item)
		sortRow(c.item[row.from:], c.weight[row.from:])
	}
}

// forget leaves the items out of added that no row has, as their events weigh nothing.
func (c *rowChanger) forget() {
	base := uint32(c.dictionary.Len())
	place := make([]uint32, len(c.added))
	for _, i := range c.item {
		if i >= base {
			place[i-base] = 1
		}
	}
	added := c.added[:0]
	for k, used := range place {
		if place[k] = uint32(len(added)); used != 0 {
			added = append(added, c.added[k])
		}
	}
	if len(added) == len(place) {
		return
	}
	c.added = added
	for k, i := range c.item {
		if i >= base {
			c.item[k] = base + place[i-base]
		}
	}
}
