package store

import (
	"encoding/binary"
	"fmt"
	"iter"
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
	// Erased is the number of events and records that were refused, as their user was erased.
	Erased uint64
	// Changed is the number of records that replaced older ones, or were the first; Unchanged that of the others.
	Changed, Unchanged uint64
	// Erasure is what an erasure did.
	Erasure Erasure
	// Moved are the users of events that were not taken, as they are joined to others: send their events to these. Of an erasure that was refused,
	// as the user is joined to another key than it says, it is the user with that key, or with the user itself.
	Moved []Moved
	// Joined are keys that are joined to the user of an erasure, the first of them: it was refused, and they must be erased before.
	Joined []Joined
	// Join is what a step of a join did.
	Join JoinOutcome
}

// Apply executes the command at a raft index: it adds the events whose (user, id)
// is new, and counts the others (EncodeBatch), keeps records that are newer than those there (EncodeRecords), erases a user
// (EncodeErase, EncodeErased), or joins one to another (EncodeJoin, EncodeCopies). The effect and the result depend on the commands so far and nothing else. A
// command at or below Applied is skipped, with a zero Result. A command that
// cannot be decoded changes nothing but the applied index; the error matches ErrCorrupt.
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
	run, refused := decode(command)
	p := pending{d: d, meta: m, index: index, batch: d.db.NewBatch()}
	defer func() { _ = p.batch.Close() }()
	if err = d.ready(s.wait); err == nil && refused == nil {
		err = run(&p)
	}
	if err == nil {
		err = p.commit()
	}
	if p.catalog {
		defer s.products.wake()
	}
	if err != nil {
		// Part of the state may be written: reads could show it, later commands build on it.
		err = fmt.Errorf("event store %s: apply %d: %w: %w", s.dir, index, ErrFailed, err)
		d.fail(err)
		return Result{}, err
	}
	if refused != nil {
		return Result{}, fmt.Errorf("command at %d: %w", index, refused)
	}
	return p.result, nil
}

// decode returns what a command does.
func decode(command []byte) (run func(*pending) error, err error) {
	kind := byte(batchVersion)
	if len(command) > 0 {
		kind = command[0]
	}
	switch kind {
	case recordsVersion:
		kind, records, err := DecodeRecords(command)
		return func(p *pending) error { return p.put(kind, records) }, err
	case eraseVersion, eraseJoinedVersion:
		e, err := decodeErase(command)
		return func(p *pending) error { return p.erase(e) }, err
	case joinVersion:
		j, err := decodeJoin(command)
		return func(p *pending) error { return p.join(j) }, err
	case erasedVersion:
		j, keys, err := decodeErased(command)
		return func(p *pending) error { return p.keepErased(j, keys) }, err
	case copyVersion:
		j, events, err := decodeCopies(command)
		return func(p *pending) error { return p.copies(j, events) }, err
	}
	events, err := DecodeBatch(command)
	return func(p *pending) error {
		p.onlyAdds = true
		return p.add(events)
	}, err
}

// pending is a command on its way into the store.
type pending struct {
	d       *database
	meta    meta
	index   uint64
	batch   *pebble.Batch
	result  Result
	users   map[string]uint64   // new counts of the users met
	items   map[string]uint64   // new counts of the items met
	seen    map[string]struct{} // keys of the events added
	did     happened            // to events
	fell    bool                // counts of items have fallen
	copying bool                // the events are copies of those of another key
	// onlyAdds says that nothing happens to users but that the events of did are added
	onlyAdds bool
	swept    []string // joined users whose events are removed
	buried   *graves  // new tombstones
	// products that were kept or deleted, in their order; catalog says that the command was about products
	products []string
	catalog  bool
	key      []byte // scratch
	value    []byte // scratch
}

// add puts the new ones of events into the batch.
func (p *pending) add(events []fusion.Event) error {
	if len(events) == 0 {
		return nil
	}
	p.users = make(map[string]uint64)
	p.items = make(map[string]uint64)
	p.seen = make(map[string]struct{}, len(events))
	fresh := make(map[string]bool)    // users without any event in the store
	graves := make(map[string]*grave) // of the users met, nil for those without
	moved := make(map[string]bool)    // users that are joined to others
	for i := range events {
		e := &events[i]
		n, met := p.users[e.User]
		if !met {
			var err error
			if n, err = p.d.count(p.textKey('u', e.User)); err != nil {
				return err
			}
			fresh[e.User] = n == 0
			if graves[e.User], err = p.grave(e.User); err != nil {
				return err
			}
			a, err := p.d.alias(&p.meta, e.User)
			if err != nil {
				return err
			}
			if a != nil && !p.copying {
				moved[e.User] = true
				p.result.Moved = append(p.result.Moved, Moved{e.User, a.to})
			}
		}
		if moved[e.User] {
			p.users[e.User] = n
			continue
		}
		if g := graves[e.User]; g != nil && g.refuses(e) {
			p.result.Erased++
			p.users[e.User] = n
			continue
		}
		takes, err := p.takes(e, fresh[e.User])
		if err != nil {
			return err
		}
		if !takes {
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
		if !e.Feedback() {
			if err := p.countItem(e.Item); err != nil {
				return err
			}
		}
		p.did.added = append(p.did.added, *e)
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

// touches gives the users whose events the command changes, and others that it names. Whatever is kept of users is told of these.
func (p *pending) touches() iter.Seq[string] {
	return func(yield func(string) bool) {
		for user := range p.users {
			if !yield(user) {
				return
			}
		}
		for _, user := range p.swept {
			if !yield(user) {
				return
			}
		}
	}
}

// commitBatch writes the batch, and tells the histories of it.
func (p *pending) commitBatch() (err error) {
	for user := range p.touches() {
		p.d.histories.changing(user)
	}
	defer func() {
		came := map[string][]fusion.Event{}
		for _, e := range p.did.added {
			came[e.User] = append(came[e.User], e)
		}
		for user := range p.touches() {
			p.d.histories.changed(user, came[user], !p.onlyAdds || err != nil)
		}
	}()
	return p.batch.Commit(pebble.NoSync)
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
			if c.counts[k] == 0 {
				if err := p.batch.Delete(p.textKey(c.prefix, k), nil); err != nil {
					return err
				}
				continue
			}
			p.value = binary.AppendUvarint(p.value[:0], c.counts[k])
			if err := p.batch.Set(p.textKey(c.prefix, k), p.value, nil); err != nil {
				return err
			}
		}
	}
	if err := p.batch.Set(metaKey, p.meta.encode(), nil); err != nil {
		return err
	}
	p.d.touched.add(p) // before anybody can see the command
	if err := p.commitBatch(); err != nil {
		return err
	}
	top := p.d.top
	recount := p.fell && !top.keeps(p.items)
	if recount { // others may come in
		top = newTop(topSize)
		if err := p.d.fill(top); err != nil {
			return err
		}
	}
	p.d.mu.Lock()
	defer p.d.mu.Unlock()
	p.d.meta, p.d.top = p.meta, top
	p.d.windows.tell(p.did)
	p.d.baskets.tell(p.did)
	for i, key := range p.products {
		p.d.changes.add(ChangedProduct{key, Change{p.index, uint32(i)}})
	}
	if p.buried != nil {
		p.d.graves.secret, p.d.graves.stamp = p.buried.secret, p.d.histories.stamps.Add(1)
		for h, index := range p.buried.index {
			p.d.graves.set(h, index)
		}
	}
	p.d.recount(p.items, p.fell)
	if !recount {
		top.update(p.items, p.fell)
	}
	return nil
}
