package store

import (
	"cmp"
	"context"
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2"

	"github.com/kith-io/kith/fusion"
)

// Mark is a moment of a store.
type Mark struct {
	// Index of the raft log up to which commands are applied.
	Index uint64
	// Events, and users that have any, up to the index.
	Events, Users uint64
	// Joins that have begun up to the index, those of them that are under way, and keys whose events JoinSweep can remove.
	Joins, Pending, Hidden uint64
}

// Mark returns the present moment; the zero Mark after Close.
func (s *Store) Mark() Mark {
	d, err := s.acquire()
	if err != nil {
		return Mark{}
	}
	defer s.release(d)
	m, _ := d.state()
	return Mark{Index: m.applied, Events: m.events, Users: m.users, Joins: m.joins, Pending: m.pending, Hidden: m.hidden}
}

// Position is a place among the events of a store: that of an event, or with an empty User the begin.
type Position struct{ User, ID string }

// Dump calls fn for each event at or below the raft index cut behind a position, users ascending by key, the
// events of each ascending by id. It sees one moment of the store, but what fn gets does not depend on it. fn may
// keep the event; an error of it ends the dump and is returned. Events of keys that were joined to others up to the cut are left out. Dump returns an error that matches ErrBehind if
// cut is not applied yet, and one that matches ErrErased if a user was erased after it. Cost: a pass over all events behind the position.
func (s *Store) Dump(ctx context.Context, cut uint64, after Position, fn func(fusion.Event) error) error {
	d, err := s.acquire()
	if err != nil {
		return err
	}
	defer s.release(d)
	return d.dump(ctx, cut, after, fn)
}

// everything is a cut behind all that there is.
const everything = math.MaxUint64

func (d *database) dump(ctx context.Context, cut uint64, after Position, fn func(fusion.Event) error) (err error) {
	if _, err := d.state(); err != nil {
		return err
	}
	snap := d.db.NewSnapshot()
	defer func() { err = cmp.Or(err, translate(snap.Close())) }()
	m, err := metaOf(snap)
	switch {
	case err != nil:
		return err
	case cut == everything:
	case m.applied < cut:
		return fmt.Errorf("%w: applied %d, asked for %d", ErrBehind, m.applied, cut)
	case m.erasedAt > cut:
		return fmt.Errorf("%w: at %d, asked for %d", ErrErased, m.erasedAt, cut)
	}
	lower := []byte{'e'}
	if after.User != "" {
		lower = append(append(userPrefix(nil, after.User), after.ID...), 0) // keys hold no NUL: the next one
	}
	it, err := snap.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: lower, UpperBound: []byte{'e' + 1}})
	if err != nil {
		return translate(err)
	}
	defer func() { err = cmp.Or(err, translate(it.Close())) }()

	aliases, err := newAliases(ctx, snap, &m)
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, aliases.close()) }()

	var user string // shared by the events of a user
	var joined *alias
	for ok := it.First(); ok; ok = it.Next() {
		u, id, err := splitEventKey(it.Key())
		if err != nil {
			return err
		}
		if string(u) != user {
			if err := ctx.Err(); err != nil {
				return err
			}
			user = string(u)
			if joined, err = aliases.of(user); err != nil {
				return err
			}
		}
		if joined.hides(cut) {
			continue
		}
		var e fusion.Event
		index, err := decodeEventValue(it.Value(), &e)
		if err != nil {
			return err
		}
		if index > cut {
			continue
		}
		e.User, e.ID = user, string(id)
		if err := fn(e); err != nil {
			return err
		}
	}
	return translate(it.Error())
}

// metaOf returns the meta of one moment.
func metaOf(snap *pebble.Snapshot) (meta, error) {
	v, err := read(snap, metaKey)
	if err != nil || v == nil {
		return meta{}, err
	}
	return decodeMeta(v)
}
