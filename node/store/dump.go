package store

import (
	"bytes"
	"cmp"
	"context"
	"errors"
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
	lower := []byte{'e'}
	if after.User != "" {
		lower = append(append(userPrefix(nil, after.User), after.ID...), 0) // keys hold no NUL: the next one
	}
	m, err := d.moment(ctx, cut, lower)
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, m.close()) }()
	var user string // shared by the events of a user
	var hidden bool
	for ok := m.it.First(); ok; ok = m.it.Next() {
		u, id, err := splitEventKey(m.it.Key())
		if err != nil {
			return err
		}
		if string(u) != user {
			if err := ctx.Err(); err != nil {
				return err
			}
			user = string(u)
			if hidden, err = m.hides(user); err != nil {
				return err
			}
		}
		if hidden {
			continue
		}
		var e fusion.Event
		if counts, err := m.event(user, id, &e); err != nil {
			return err
		} else if !counts {
			continue
		}
		if err := fn(e); err != nil {
			return err
		}
	}
	return translate(m.it.Error())
}

// ScanUsers is Scan of some users alone, ascending and each once: fn is called for each of them, without events for one that has none at or below cut. Cost: a
// seek for each user, another if any key of the store is joined to another, and their events.
func (s *Store) ScanUsers(ctx context.Context, cut uint64, users []string, fn func(user string, events []fusion.Event) error) error {
	for i := 1; i < len(users); i++ {
		if users[i-1] >= users[i] {
			return fmt.Errorf("event store %s: scan of %d users: number %d does not ascend; give them in order, each once", s.dir, len(users), i)
		}
	}
	d, err := s.acquire()
	if err != nil {
		return err
	}
	defer s.release(d)
	if err := d.scanUsers(ctx, cut, users, fn); !errors.Is(err, ErrStop) {
		return err
	}
	return nil
}

func (d *database) scanUsers(ctx context.Context, cut uint64, users []string, fn func(user string, events []fusion.Event) error) (err error) {
	m, err := d.moment(ctx, cut, []byte{'e'})
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, m.close()) }()
	var events []fusion.Event // of one user
	var prefix []byte
	for _, user := range users {
		if err := ctx.Err(); err != nil {
			return err
		}
		hidden, err := m.hides(user)
		if err != nil {
			return err
		}
		prefix = userPrefix(prefix[:0], user)
		for ok := !hidden && m.it.SeekGE(prefix); ok && bytes.HasPrefix(m.it.Key(), prefix); ok = m.it.Next() {
			var e fusion.Event
			if counts, err := m.event(user, m.it.Key()[len(prefix):], &e); err != nil {
				return err
			} else if counts {
				events = append(events, e)
			}
		}
		if err := m.it.Error(); err != nil {
			return translate(err)
		}
		if err := give(user, &events, fn); err != nil {
			return err
		}
	}
	return nil
}

// moment is what there is up to a cut, as one moment of a store has it.
type moment struct {
	cut     uint64
	snap    *pebble.Snapshot
	it      *pebble.Iterator // over events
	aliases *aliases
}

// moment returns the present one, with an iterator over events from a key on. It must be closed. The errors are those of Dump.
func (d *database) moment(ctx context.Context, cut uint64, lower []byte) (_ *moment, err error) {
	if _, err := d.state(); err != nil {
		return nil, err
	}
	m := &moment{cut: cut, snap: d.db.NewSnapshot()}
	defer func() {
		if err != nil {
			err = cmp.Or(err, m.close())
		}
	}()
	at, err := metaOf(m.snap)
	if err != nil {
		return nil, err
	}
	if cut != everything {
		if err := at.has(cut); err != nil {
			return nil, err
		}
	}
	if m.it, err = m.snap.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: lower, UpperBound: []byte{'e' + 1}}); err != nil {
		return nil, translate(err)
	}
	if m.aliases, err = newAliases(ctx, m.snap, &at); err != nil {
		return nil, err
	}
	return m, nil
}

func (m *moment) close() (err error) {
	if m.aliases != nil {
		err = m.aliases.close()
	}
	if m.it != nil {
		err = cmp.Or(err, translate(m.it.Close()))
	}
	return cmp.Or(err, translate(m.snap.Close()))
}

// hides reports whether the events of a user do not count up to the cut. It is called for users in ascending order.
func (m *moment) hides(user string) (bool, error) {
	a, err := m.aliases.of(user)
	return a.hides(m.cut), err
}

// event reads the event of a user that the iterator is at, and reports whether it counts up to the cut.
func (m *moment) event(user string, id []byte, e *fusion.Event) (counts bool, err error) {
	index, err := decodeEventValue(m.it.Value(), e)
	if err != nil || index > m.cut {
		return false, err
	}
	e.User, e.ID = user, string(id)
	return true, nil
}

// metaOf returns the meta of one moment.
func metaOf(snap *pebble.Snapshot) (meta, error) {
	v, err := read(snap, metaKey)
	if err != nil || v == nil {
		return meta{}, err
	}
	return decodeMeta(v)
}

// reached returns an error that matches ErrBehind if an index is not applied.
func (m *meta) reached(index uint64) error {
	if m.applied < index {
		return fmt.Errorf("%w: applied %d, asked for %d", ErrBehind, m.applied, index)
	}
	return nil
}

// has returns an error that matches ErrBehind if a cut is not applied, or ErrErased if what there was up to it is gone.
func (m *meta) has(cut uint64) error {
	if err := m.reached(cut); err != nil {
		return err
	}
	if m.erasedAt > cut {
		return fmt.Errorf("%w: at %d, asked for %d", ErrErased, m.erasedAt, cut)
	}
	return nil
}
