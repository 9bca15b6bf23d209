package store

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/kith-io/kith/fusion"
)

// Result says what a command did.
type Result struct {
	// Appended is the number of events that were new.
	Appended uint64
	// Duplicates is the number of events whose user had one of the same id
	// already, in the store or earlier in the same batch.
	Duplicates uint64
}

// Apply executes the command at a raft index: it adds the events whose (user, id)
// is new, and counts the others. The effect and the result depend on the commands so far and nothing else. A
// command at or below Applied is skipped, with a zero Result. A command that
// DecodeBatch refuses changes nothing but the applied index; the error matches ErrCorrupt.
// On a full disk it may wait for room: see Options.Room. An error of writing is for good: the store must be reopened. command is not kept. Cost: a
// lookup for each distinct user, event of a known user, and item off the top.
func (s *Store) Apply(index uint64, command []byte) (Result, error) {
	d, err := s.acquire()
	if err != nil {
		return Result{}, err
	}
	defer s.release(d)
	m, err := d.state()
	if err != nil {
		return Result{}, err
	}
	if index <= m.applied {
		return Result{}, nil
	}
	events, refused := DecodeBatch(command)
	p := pending{d: d, meta: m, index: index, batch: d.db.NewBatch()}
	defer func() { _ = p.batch.Close() }()
	if err = d.ready(s.wait); err == nil {
		err = p.add(events) // none if refused
	}
	if err == nil {
		err = p.commit()
	}
	if err != nil {
		// Part of the state may be written: reads could show it, later commands build on it.
		err = fmt.Errorf("event store %s: apply %d: %w", s.dir, index, err)
		d.mu.Lock()
		d.failed = err
		d.mu.Unlock()
		return Result{}, err
	}
	if refused != nil {
		return Result{}, fmt.Errorf("command at %d: %w", index, refused)
	}
	return p.result, nil
}

// pending is a command on its way into the store.
type pending struct {
	d      *database
	meta   meta
	index  uint64
	batch  *pebble.Batch
	result Result
	users  map[string]uint64   // new counts of the users met
	items  map[string]uint64   // new counts of the items met
	seen   map[string]struct{} // keys of the events added
	key    []byte              // scratch
	value  []byte              // scratch
}

// add puts the new ones of events into the batch.
func (p *pending) add(events []fusion.Event) error {
	if len(events) == 0 {
		return nil
	}
	p.users = make(map[string]uint64)
	p.items = make(map[string]uint64)
	p.seen = make(map[string]struct{}, len(events))
	fresh := make(map[string]bool) // users without any event in the store
	for i := range events {
		e := &events[i]
		n, met := p.users[e.User]
		if !met {
			var err error
			if n, err = p.d.count(p.textKey('u', e.User)); err != nil {
				return err
			}
			fresh[e.User] = n == 0
		}
		p.key = append(userPrefix(p.key[:0], e.User), e.ID...)
		_, dup := p.seen[string(p.key)]
		if !dup && !fresh[e.User] {
			var err error
			if dup, err = p.d.has(p.key); err != nil {
				return err
			}
		}
		if dup {
			p.users[e.User] = n
			p.result.Duplicates++
			continue
		}
		p.seen[string(p.key)] = struct{}{}
		p.value = appendEventValue(p.value[:0], p.index, e)
		if err := p.batch.Set(p.key, p.value, nil); err != nil {
			return err
		}
		if n == 0 {
			p.meta.users++
		}
		p.users[e.User] = n + 1
		if err := p.countItem(e.Item); err != nil {
			return err
		}
		p.result.Appended++
	}
	p.meta.events += p.result.Appended
	return nil
}

func (p *pending) countItem(item string) error {
	n, met := p.items[item]
	if !met {
		var known bool
		p.d.mu.Lock()
		n, known = p.d.top.count(item)
		p.d.mu.Unlock()
		if !known {
			var err error
			if n, err = p.d.count(p.textKey('c', item)); err != nil {
				return err
			}
		}
	}
	p.items[item] = n + 1
	return nil
}

// textKey returns prefix and text in the scratch key.
func (p *pending) textKey(prefix byte, text string) []byte {
	p.key = append(append(p.key[:0], prefix), text...)
	return p.key
}

// commit writes the counts and the applied index, all at once with the events.
func (p *pending) commit() error {
	p.meta.applied = p.index
	for _, c := range []struct {
		prefix byte
		counts map[string]uint64
	}{{'u', p.users}, {'c', p.items}} {
		keys := make([]string, 0, len(c.counts))
		for k := range c.counts {
			keys = append(keys, k)
		}
		slices.Sort(keys) // neighbors in the store are inserted one after the other
		for _, k := range keys {
			p.value = binary.AppendUvarint(p.value[:0], c.counts[k])
			if err := p.batch.Set(p.textKey(c.prefix, k), p.value, nil); err != nil {
				return err
			}
		}
	}
	if err := p.batch.Set(metaKey, p.meta.encode(), nil); err != nil {
		return err
	}
	if err := p.batch.Commit(pebble.NoSync); err != nil {
		return err
	}
	p.d.mu.Lock()
	defer p.d.mu.Unlock()
	p.d.meta = p.meta
	for item, n := range p.items {
		p.d.top.set(item, n)
	}
	return nil
}
