package store

import (
	"iter"
	"math/bits"
	"slices"
	"strings"
	"sync"

	"github.com/cespare/xxhash/v2"

	"github.com/kith-io/kith/fusion"
)

const (
	// keptTouched is how many users whose events have changed a store remembers, in memory: with keys of usual length they take some 80 bytes each, 5 MiB. Where
	// more have changed, all events are read.
	keptTouched = 1 << 16
	// keptAdded is how many of the events that have come are remembered, some 60 bytes each, 4 MiB. The users of others are read.
	keptAdded = 1 << 16
)

// touched are the users whose events have changed. All whom commands behind floor have changed are there.
type touched struct {
	most, mostAdded int
	opened          uint64 // index behind which all commands are known

	mu    sync.Mutex // guards what follows
	floor uint64
	users map[string]touchedUser
	added addedEvents
	// behaviors are those of added, by number.
	behaviors []fusion.Behavior
	// kinds is what can be added to users by all their events behind opened, and with all, by all that there are.
	kinds addsOfUsers
	all   bool
}

// touchedUser has the index of the last command that did anything but add events that are remembered, and the place of the last of those that came behind it, behind the first one of all, or 0.
type touchedUser struct {
	read uint64
	tail uint32
}

// addedEvent is an event that has come.
type addedEvent struct {
	index    uint64
	item     string
	value    float64
	before   uint32 // place of the one before of the user, as tail
	behavior uint8
}

// addedEvents are in pieces, so that they are not copied as they become more.
type addedEvents struct {
	pieces [][]addedEvent // full but for the last
	len    int
}

// addedPiece is how many events a piece has.
const addedPiece = 512

// add returns the place of an event behind the first one of all.
func (a *addedEvents) add(e addedEvent) uint32 {
	if a.len%addedPiece == 0 {
		a.pieces = append(a.pieces, make([]addedEvent, 0, addedPiece))
	}
	last := &a.pieces[len(a.pieces)-1]
	*last = append(*last, e)
	a.len++
	return uint32(a.len)
}

// at returns the event at a place, which is not 0.
func (a *addedEvents) at(place uint32) *addedEvent {
	return &a.pieces[(place-1)/addedPiece][(place-1)%addedPiece]
}

// last returns the index of the last command that changed a user.
func (t *touched) last(u touchedUser) uint64 {
	if u.tail == 0 {
		return u.read
	}
	return t.added.at(u.tail).index
}

// add notes the users that a command changes, before anybody can see it. If they are too many it begins anew behind that.
func (t *touched) add(p *pending) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range p.did.added {
		e := &p.did.added[i]
		t.kinds.note(e.User, e.Adds())
	}
	if p.onlyAdds {
		for i := range p.did.added {
			if e := &p.did.added[i]; !t.touch(p.index, e.User, e) {
				return
			}
		}
		return
	}
	for user := range p.touches() {
		if !t.touch(p.index, user, nil) {
			return
		}
	}
}

// touch notes a user to whom an event came, or something else happened. It reports false if it has begun anew.
func (t *touched) touch(index uint64, user string, e *fusion.Event) bool {
	u, met := t.users[user]
	if !met && len(t.users) >= t.most {
		t.users, t.added, t.behaviors, t.floor = nil, addedEvents{}, nil, index
		return false
	}
	if t.users == nil {
		t.users = map[string]touchedUser{}
	}
	if behavior, ok := uint8(0), false; e != nil && t.added.len < t.mostAdded {
		if behavior, ok = t.behavior(e.Behavior); ok {
			u.tail = t.added.add(addedEvent{index, e.Item, e.Value, u.tail, behavior})
			t.users[user] = u
			return true
		}
	}
	t.users[user] = touchedUser{read: index} // whose events before it nobody asks for any more
	return true
}

// behavior returns the number of a behavior. ok is false if there are too many.
func (t *touched) behavior(b fusion.Behavior) (number uint8, ok bool) {
	at := slices.Index(t.behaviors, b)
	if at < 0 {
		if at = len(t.behaviors); at > 0xff {
			return 0, false
		}
		t.behaviors = append(t.behaviors, fusion.Behavior(strings.Clone(string(b))))
	}
	return uint8(at), true
}

// behind returns what has changed behind an index, up to cut, in any order, and forgets what there was up to the index. known is false if some users may be missing.
func (t *touched) behind(after, cut uint64) (users []fusion.UserChange, known bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if after < t.floor {
		return nil, false
	}
	events := make([]fusion.Addition, 0, t.added.len) // never grows
	for user, u := range t.users {
		if t.last(u) <= after {
			continue
		}
		c := fusion.UserChange{User: user, Adds: fusion.AddsNone}
		if u.read <= after {
			from := len(events)
			for e := range t.chain(u, after) {
				if e.index <= cut {
					events = append(events, fusion.Addition{Item: e.item, Behavior: t.behaviors[e.behavior], Value: e.value})
				}
			}
			if len(events) == from {
				continue // all came behind cut
			}
			if t.all {
				c.Adds = t.kinds.of(user)
			}
			if c.Adds == fusion.AddsNone {
				events = events[:from]
			} else {
				c.Events = events[from:len(events):len(events)]
			}
		}
		users = append(users, c)
	}
	if after > t.floor {
		t.forget(after)
	}
	return users, true
}

// forget leaves what came behind an index. A map that was large stays so: there is a new one.
func (t *touched) forget(after uint64) {
	users, added, behaviors := map[string]touchedUser{}, addedEvents{}, t.behaviors
	t.behaviors = nil
	var left []addedEvent // of a user, the last one first
	for user, u := range t.users {
		if t.last(u) <= after {
			continue
		}
		left = left[:0]
		for e := range t.chain(u, after) {
			left = append(left, *e)
		}
		u.tail = 0
		for _, e := range slices.Backward(left) {
			e.before = u.tail
			e.behavior, _ = t.behavior(behaviors[e.behavior]) // there are no more than before
			u.tail = added.add(e)
		}
		users[user] = u
	}
	t.users, t.added, t.floor = users, added, after
}

// chain gives the events of a user that came behind an index, the last one first.
func (t *touched) chain(u touchedUser, after uint64) iter.Seq[*addedEvent] {
	return func(yield func(*addedEvent) bool) {
		for at := u.tail; at > 0; {
			e := t.added.at(at)
			if e.index <= after || !yield(e) {
				return
			}
			at = e.before
		}
	}
}

// learn takes what can be added to users by all their events up to a cut, and later ones perhaps.
func (t *touched) learn(cut uint64, kinds *addsOfUsers) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if cut < t.opened { // who knows what came in between?
		return
	}
	t.kinds.join(kinds)
	t.all = true
}

// knows reports whether it has learned.
func (t *touched) knows() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all
}

// addsOfUsers tells what can be added to users, or less: Bloom filters of those to whom not all can be, and of those to whom nothing. They take 256 KiB where there are such users; of 65,536
// others one in 400 is taken for such a user, and of 250,000 one in 7.
type addsOfUsers [fusion.AddsNone]*[kindBits / 64]uint64

const (
	kindBits   = 1 << 20
	kindProbes = 4
)

// probes returns the bits of a user. Where they are others, so must changedVersion be.
func probes(user string) (at [kindProbes]uint32) {
	const odd = 0x9e3779b97f4a7c15 // the users of a store are those of a partition, which is made of the same hash
	high, low := bits.Mul64(xxhash.Sum64String(user)^odd, odd)
	h, step := high^low, low|1
	for k := range at {
		at[k] = uint32(h >> 44) // of kindBits
		h += step
	}
	return at
}

// note takes what can be added to a user by an event.
func (x *addsOfUsers) note(user string, adds fusion.Adds) {
	if adds == fusion.AddsAll {
		return
	}
	filter := &x[adds-1]
	if *filter == nil {
		*filter = new([kindBits / 64]uint64)
	}
	for _, at := range probes(user) {
		(*filter)[at/64] |= 1 << (at % 64)
	}
}

// of returns what can be added to a user by all events that were noted.
func (x *addsOfUsers) of(user string) fusion.Adds {
	at := probes(user)
	for adds := fusion.AddsNone; adds > fusion.AddsAll; adds-- {
		if filter := x[adds-1]; filter != nil && !slices.ContainsFunc(at[:], func(at uint32) bool { return filter[at/64]&(1<<(at%64)) == 0 }) {
			return adds
		}
	}
	return fusion.AddsAll
}

// join takes all that others have noted, who are not used any more.
func (x *addsOfUsers) join(others *addsOfUsers) {
	for k, filter := range others {
		switch {
		case x[k] == nil:
			x[k] = filter
		case filter != nil:
			for i := range filter {
				x[k][i] |= filter[i]
			}
		}
	}
}

// Changed returns the users, ascending, of whom commands behind the index after, up to cut, may have changed what Scan up to a cut gives: all for whom Scan up to cut
// gives other events than Scan up to after did when that was applied, and perhaps others. Those to whom nothing but events has come have these, in any order, where their Adds, which is that of all
// their events, allows to add some; the events of the others, with AddsNone, have to be read. That is all of them until the store has been passed over by Scan since it was made, restored or opened behind a crash. known is false if some may be missing: the
// store was restored to, or opened behind a crash at, an index behind after; it was closed while it remembered a user who was erased, or could not write it down, or was used by an earlier program since; it was asked for changes behind a later index before, as those up to it are forgotten then; more
// than 65,536 users have changed; or cut is before after. The error matches ErrBehind if cut is not applied yet, and ErrErased as that of Scan does. Cost: a pass over the users that
// are remembered, which holds up Apply, and sorting those that are returned.
func (s *Store) Changed(after, cut uint64) (users []fusion.UserChange, known bool, err error) {
	d, err := s.acquire()
	if err != nil {
		return nil, false, err
	}
	defer s.release(d)
	m, err := d.state() // before the users are looked at: those that it stands for have been noted
	if err != nil {
		return nil, false, err
	}
	if err := m.has(cut); err != nil {
		return nil, false, err
	}
	if cut < after {
		return nil, false, nil
	}
	users, known = d.touched.behind(after, cut)
	slices.SortFunc(users, func(a, b fusion.UserChange) int { return strings.Compare(a.User, b.User) })
	return users, known, nil
}

// KnowsUsers reports whether Changed may give events: Scan has passed over all users since the store was made, restored or opened behind a crash.
func (s *Store) KnowsUsers() bool {
	d, err := s.acquire()
	if err != nil {
		return false
	}
	defer s.release(d)
	return d.touched.knows()
}
