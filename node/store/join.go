package store

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/fusion"
)

// A join makes a key of a user, From, one with another, To, whose partition may be another one. See docs/adr/0024. A command of a step is
//
//	version u8 | step u8 | from | to | id uvarint
//
// and one of copies
//
//	version u8 | from | to | id uvarint | batch of events of to (codec.go)
const (
	joinVersion = 4
	copyVersion = 5
)

// JoinStep is what a command does about a join.
type JoinStep byte

// The steps. Each may be repeated. Those about From go to its partition, those about To to that one.
const (
	// JoinBegin makes From an alias of To: its events are fixed from now on. The id of the join is the index of the command.
	JoinBegin JoinStep = 1 + iota
	// JoinAdopt lets To take the events of From.
	JoinAdopt
	// JoinBar makes sure that To will not take them by this join, unless it has begun to.
	JoinBar
	// JoinDrop makes To forget From: the join was undone by an erasure.
	JoinDrop
	// JoinComplete says that To has all events of From.
	JoinComplete
	// JoinSettle takes the events of From out of what there is, for cuts from here on.
	JoinSettle
	// JoinCancel takes a barred JoinBegin back.
	JoinCancel
	// JoinSweep removes the events of keys that were settled up to an index, the ID: what a cut before would give is gone then.
	JoinSweep
	lastJoinStep = JoinSweep
)

// Join is a step of a join.
type Join struct {
	Step     JoinStep
	From, To string // none of JoinSweep
	ID       uint64 // 0 of JoinBegin
}

// JoinState is what a step has found or made.
type JoinState byte

// States of an alias, in the partition of From.
const (
	// JoinGone means that there is no such join, or no longer.
	JoinGone JoinState = iota
	// JoinPending means that From is an alias, and its events are here.
	JoinPending
	// JoinSettled means that the events are those of To.
	JoinSettled
	// JoinBusy means that From is still taking the events of another key, which is in To of the outcome: that join must end first.
	JoinBusy
)

// States in the partition of To.
const (
	// JoinOpen means that To takes the events.
	JoinOpen JoinState = iota + 8
	// JoinCompleted means that it has them all.
	JoinCompleted
	// JoinBarred means that it will not take them.
	JoinBarred
	// JoinElsewhere means that To is joined to a key itself, which is in To of the outcome.
	JoinElsewhere
	// JoinErased means that From was erased, and To is to be: see EncodeErased.
	JoinErased
)

// JoinOutcome is what a step has found or made.
type JoinOutcome struct {
	State JoinState
	To    string
	ID    uint64
	// Events that were copied, taken out or removed.
	Events uint64
	// Fresh says that JoinBegin has begun it.
	Fresh bool
}

// sweepKeys bounds the keys that one JoinSweep removes.
const sweepKeys = 10_000

// EncodeJoin appends the command to dst and returns it.
func EncodeJoin(dst []byte, j Join) []byte {
	dst = appendText(appendText(append(dst, joinVersion, byte(j.Step)), j.From), j.To)
	return binary.AppendUvarint(dst, j.ID)
}

func decodeJoin(command []byte) (j Join, err error) {
	r := reader{b: command}
	v := r.byte()
	j.Step, j.From, j.To, j.ID = JoinStep(r.byte()), r.text(fusion.MaxKeyBytes), r.text(fusion.MaxKeyBytes), r.uvarint()
	switch {
	case r.err != nil:
		err = r.err
	case v != joinVersion || j.Step == 0 || j.Step > lastJoinStep || len(r.b) > 0:
		err = fmt.Errorf("version %d, step %d, and %d bytes more", v, j.Step, len(r.b))
	default:
		err = CheckJoin(j)
	}
	if err != nil {
		return Join{}, fmt.Errorf("%w: join: %w", ErrCorrupt, err)
	}
	return j, nil
}

// CheckJoin returns nil if Apply takes a step.
func CheckJoin(j Join) error {
	if j.Step == JoinSweep {
		if j.From != "" || j.To != "" {
			return fmt.Errorf("a sweep of %q and %q", j.From, j.To)
		}
		return nil
	}
	if j.From == j.To {
		return fmt.Errorf("%q and itself", j.From)
	}
	return cmp.Or(catalog.CheckKey(j.From), catalog.CheckKey(j.To))
}

// EncodeCopies appends the command that copies events of From, which are given as those of To (fusion.Event.Under), and returns it.
func EncodeCopies(dst []byte, from, to string, id uint64, events []fusion.Event) []byte {
	dst = appendText(appendText(append(dst, copyVersion), from), to)
	return EncodeBatch(binary.AppendUvarint(dst, id), events)
}

func decodeCopies(command []byte) (j Join, events []fusion.Event, err error) {
	r := reader{b: command}
	r.byte()
	j.From, j.To, j.ID = r.text(fusion.MaxKeyBytes), r.text(fusion.MaxKeyBytes), r.uvarint()
	if err = r.err; err == nil {
		events, err = DecodeBatch(r.b)
	}
	for i := range events {
		if events[i].User != j.To {
			err = fmt.Errorf("event %d is of another user", i)
		}
	}
	if err != nil {
		return Join{}, nil, fmt.Errorf("%w: copies: %w", ErrCorrupt, err)
	}
	return j, events, nil
}

// alias is what the partition of a key keeps of its join.
type alias struct {
	state JoinState // JoinPending or JoinSettled
	to    string
	id    uint64
	// settled is the index from which on the events are those of to.
	settled uint64
}

func aliasKey(user string) []byte { return append([]byte{'a'}, user...) }

// pendingKey and hiddenKey list the aliases that are pending, and those whose events are still here.
func pendingKey(user string) []byte { return append([]byte{'j'}, user...) }

func hiddenKey(settled uint64, user string) []byte {
	return append(binary.BigEndian.AppendUint64([]byte{'s'}, settled), user...)
}

func (a *alias) encode() []byte {
	b := binary.AppendUvarint([]byte{byte(a.state)}, a.id)
	return appendText(binary.AppendUvarint(b, a.settled), a.to)
}

func decodeAlias(b []byte) (*alias, error) {
	r, a := reader{b: b}, &alias{}
	a.state, a.id, a.settled, a.to = JoinState(r.byte()), r.uvarint(), r.uvarint(), r.text(fusion.MaxKeyBytes)
	if r.err != nil || len(r.b) > 0 || a.state != JoinPending && a.state != JoinSettled {
		return nil, fmt.Errorf("%w: alias %x", ErrCorrupt, b)
	}
	return a, nil
}

// hides reports whether the events of the alias do not count up to a cut.
func (a *alias) hides(cut uint64) bool { return a != nil && a.state == JoinSettled && a.settled <= cut }

// alias returns the alias of a user, or nil.
func (d *database) alias(m *meta, user string) (*alias, error) {
	if m.aliases == 0 {
		return nil, nil
	}
	b, err := d.get(aliasKey(user))
	if err != nil || b == nil {
		return nil, err
	}
	return decodeAlias(b)
}

// aliases are those of users that are asked for in ascending order. Cost: a pass over them, beside the other one.
type aliases struct {
	it *pebble.Iterator // nil without any
	ok bool
}

func newAliases(ctx context.Context, from pebble.Reader, m *meta) (*aliases, error) {
	if m.aliases == 0 {
		return &aliases{}, nil
	}
	it, err := from.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: []byte{'a'}, UpperBound: []byte{'a' + 1}})
	if err != nil {
		return nil, translate(err)
	}
	return &aliases{it, it.First()}, nil
}

func (a *aliases) of(user string) (*alias, error) {
	if a.ok && string(a.it.Key()[1:]) < user {
		a.ok = a.it.SeekGE(aliasKey(user))
	}
	switch {
	case !a.ok && a.it != nil:
		return nil, translate(a.it.Error())
	case !a.ok || string(a.it.Key()[1:]) != user:
		return nil, nil
	}
	return decodeAlias(a.it.Value())
}

func (a *aliases) close() error {
	if a.it == nil {
		return nil
	}
	return translate(a.it.Close())
}

// child is what the partition of a key keeps of a join to it.
type child struct {
	state  JoinState // JoinOpen, JoinCompleted, JoinBarred or JoinErased
	id     uint64
	erased []ErasedKey // the key, if it was erased, in this join or an earlier one, and those that were joined to it
}

func childKey(to, from string) []byte { return append(childPrefix(to), from...) }

func childPrefix(to string) []byte { return append(append([]byte{'b'}, to...), 0) }

func (c *child) encode() []byte {
	b := binary.AppendUvarint([]byte{byte(c.state)}, c.id)
	for i := range c.erased {
		b = c.erased[i].append(b)
	}
	return b
}

func decodeChild(b []byte) (*child, error) {
	r, c := reader{b: b}, &child{}
	c.state, c.id = JoinState(r.byte()), r.uvarint()
	c.erased = r.erased()
	if r.err != nil || len(r.b) > 0 || !slices.Contains([]JoinState{JoinOpen, JoinCompleted, JoinBarred, JoinErased}, c.state) {
		return nil, fmt.Errorf("%w: joined key %x", ErrCorrupt, b)
	}
	return c, nil
}

func (p *pending) child(to, from string) (*child, error) {
	b, err := p.d.get(childKey(to, from))
	if err != nil || b == nil {
		return nil, err
	}
	return decodeChild(b)
}

// Joined is a key that is joined to another.
type Joined struct {
	Key string
	ID  uint64
}

// children returns up to n keys that are joined to a key and in one of some states, ascending.
func (d *database) children(to string, n int, states ...JoinState) (out []Joined, err error) {
	lower := childPrefix(to)
	upper := childPrefix(to)
	upper[len(upper)-1] = 1
	it, err := d.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, translate(err)
	}
	defer func() { err = cmp.Or(err, translate(it.Close())) }()
	for ok := it.First(); ok && len(out) < n; ok = it.Next() {
		c, err := decodeChild(it.Value())
		if err != nil {
			return nil, err
		}
		if slices.Contains(states, c.state) {
			out = append(out, Joined{string(it.Key()[len(lower):]), c.id})
		}
	}
	return out, translate(it.Error())
}

// join does a step.
func (p *pending) join(j Join) (err error) {
	p.meta.records, p.meta.joined = true, true
	p.result.Join, err = p.joinSteps(j)
	return err
}

func (p *pending) joinSteps(j Join) (JoinOutcome, error) {
	switch j.Step {
	case JoinBegin:
		return p.beginJoin(j)
	case JoinSettle, JoinCancel:
		return p.endJoin(j)
	case JoinSweep:
		return p.sweep(j.ID)
	}
	c, err := p.child(j.To, j.From)
	if err != nil {
		return JoinOutcome{}, err
	}
	out := JoinOutcome{State: JoinGone, ID: j.ID}
	if c != nil && c.id > j.ID {
		return out, nil // of a later join
	}
	own := c != nil && c.id == j.ID
	var erased []ErasedKey // by an erasure of To that has not come to its end
	if c != nil {
		erased = c.erased
	}
	set := func(state JoinState) (JoinOutcome, error) {
		out.State = state
		return out, p.batch.Set(childKey(j.To, j.From), (&child{state: state, id: j.ID, erased: erased}).encode(), nil)
	}
	switch j.Step {
	case JoinAdopt:
		if own {
			out.State = c.state
			return out, nil
		}
		a, err := p.d.alias(&p.meta, j.To)
		if err != nil {
			return out, err
		}
		if a != nil {
			return JoinOutcome{State: JoinElsewhere, To: a.to, ID: j.ID}, nil
		}
		return set(JoinOpen)
	case JoinBar:
		if own {
			out.State = c.state
			return out, nil
		}
		return set(JoinBarred)
	case JoinComplete:
		if own && c.state == JoinOpen {
			return set(JoinCompleted)
		}
		if own {
			out.State = c.state
		}
	case JoinDrop:
		switch {
		case !own || c.state == JoinErased: // what is there of that is for the erasure of to
		case len(erased) > 0:
			_, err := set(JoinErased)
			return JoinOutcome{State: JoinGone, ID: j.ID}, err
		default:
			return out, p.batch.Delete(childKey(j.To, j.From), nil)
		}
	}
	return out, nil
}

func (p *pending) beginJoin(j Join) (JoinOutcome, error) {
	a, err := p.d.alias(&p.meta, j.From)
	if err != nil {
		return JoinOutcome{}, err
	}
	if a != nil {
		return JoinOutcome{State: a.state, To: a.to, ID: a.id}, nil
	}
	busy, err := p.d.children(j.From, 1, JoinOpen)
	if err != nil {
		return JoinOutcome{}, err
	}
	if len(busy) > 0 {
		return JoinOutcome{State: JoinBusy, To: busy[0].Key, ID: busy[0].ID}, nil
	}
	p.meta.aliases++
	p.meta.pending++
	p.meta.joins++
	a = &alias{state: JoinPending, to: j.To, id: p.index}
	return JoinOutcome{State: JoinPending, To: j.To, ID: p.index, Fresh: true}, cmp.Or(
		p.batch.Set(aliasKey(j.From), a.encode(), nil), p.batch.Set(pendingKey(j.From), nil, nil))
}

// endJoin settles or cancels a join that is pending.
func (p *pending) endJoin(j Join) (JoinOutcome, error) {
	a, err := p.d.alias(&p.meta, j.From)
	if err != nil || a == nil || a.id != j.ID || a.to != j.To {
		return JoinOutcome{ID: j.ID}, err
	}
	out := JoinOutcome{State: a.state, To: a.to, ID: a.id}
	if a.state != JoinPending {
		return out, nil
	}
	if j.Step == JoinCancel {
		out.State = JoinGone
		_, err := p.dropAlias(j.From, a)
		return out, err
	}
	if out.Events, _, err = p.uncount(j.From); err != nil {
		return out, err
	}
	a.state, a.settled, out.State = JoinSettled, p.index, JoinSettled
	p.meta.pending--
	if out.Events > 0 {
		p.meta.hidden++
		if err := p.batch.Set(hiddenKey(a.settled, j.From), nil, nil); err != nil {
			return out, err
		}
	}
	return out, cmp.Or(p.batch.Delete(pendingKey(j.From), nil), p.batch.Set(aliasKey(j.From), a.encode(), nil))
}

// dropAlias makes a key one by itself again, and reports whether events of it are here that do not count.
func (p *pending) dropAlias(user string, a *alias) (hidden bool, err error) {
	p.meta.aliases--
	if a.state == JoinPending {
		p.meta.pending--
	}
	if hidden, err = p.d.has(hiddenKey(a.settled, user)); hidden {
		p.meta.hidden--
	}
	return hidden, cmp.Or(err, p.batch.Delete(hiddenKey(a.settled, user), nil), p.batch.Delete(pendingKey(user), nil), p.batch.Delete(aliasKey(user), nil))
}

// sweep removes the events of keys that were settled up to an index.
func (p *pending) sweep(upTo uint64) (out JoinOutcome, err error) {
	it, err := p.d.db.NewIter(&pebble.IterOptions{LowerBound: []byte{'s'}, UpperBound: []byte{'s' + 1}})
	if err != nil {
		return out, translate(err)
	}
	defer func() { err = cmp.Or(err, translate(it.Close())) }()
	for ok := it.First(); ok && out.Events < sweepKeys; ok = it.Next() {
		key := it.Key()
		if len(key) < 9 {
			return out, fmt.Errorf("%w: key of a settled join of %d bytes", ErrCorrupt, len(key))
		}
		if binary.BigEndian.Uint64(key[1:]) > upTo {
			break
		}
		user := string(key[9:])
		p.swept = append(p.swept, user)
		lower, upper := userRange(user)
		if err := cmp.Or(p.batch.DeleteRange(lower, upper, nil), p.batch.Delete(key, nil)); err != nil {
			return out, err
		}
		p.meta.erasedAt = max(p.meta.erasedAt, binary.BigEndian.Uint64(key[1:]))
		p.meta.hidden--
		out.Events++
	}
	return out, translate(it.Error())
}

// copies takes events of a key that is joined.
func (p *pending) copies(j Join, events []fusion.Event) error {
	c, err := p.child(j.To, j.From)
	switch {
	case err != nil:
		return err
	case c == nil || c.id != j.ID:
		p.result.Join = JoinOutcome{State: JoinGone, ID: j.ID}
		return nil
	case c.state != JoinOpen:
		p.result.Join = JoinOutcome{State: c.state, ID: j.ID}
		return nil
	}
	p.copying = true
	err = p.add(events)
	p.result.Join = JoinOutcome{State: JoinOpen, ID: j.ID, Events: p.result.Appended}
	return err
}

// takes reports whether an event is a new one, with its key in p.key. A copy has another id where its own stands for something else already: the keys
// of one user may have used the same for different events.
func (p *pending) takes(e *fusion.Event, fresh bool) (bool, error) {
	for renamed := false; ; renamed = true {
		p.key = append(userPrefix(p.key[:0], e.User), e.ID...)
		if _, seen := p.seen[string(p.key)]; seen {
			return false, nil
		}
		if fresh {
			return true, nil
		}
		if !p.copying || renamed {
			known, err := p.d.has(p.key)
			return !known, err
		}
		b, err := p.d.get(p.key)
		if err != nil || b == nil {
			return err == nil, err
		}
		var have fusion.Event
		if _, err := decodeEventValue(b, &have); err != nil {
			return false, err
		}
		if have.Item == e.Item && have.Behavior == e.Behavior && have.Time == e.Time {
			return false, nil
		}
		other := *e
		other.User = e.ID // of whichever key it was: a copy of a copy has the same id
		e.ID = fusion.ContentID(&other)
	}
}

// Moved is a key whose events belong to another.
type Moved struct{ User, To string }

// UserState is what a store knows of a key.
type UserState struct {
	User string
	// Events of the key itself; none once they are those of another.
	Events uint64
	// State is JoinPending or JoinSettled of a key that is joined to To by the join ID, or else JoinGone.
	State JoinState
	To    string
	ID    uint64
}

// Alias returns where a key is joined to, without its Events. Cost: a lookup, if any key of the store is joined.
func (s *Store) Alias(user string) (UserState, error) { return s.userState(user, false) }

// User returns what the store knows of a key. Cost: a lookup or two.
func (s *Store) User(user string) (UserState, error) { return s.userState(user, true) }

func (s *Store) userState(user string, withEvents bool) (UserState, error) {
	u := UserState{User: user}
	d, err := s.acquire()
	if err != nil {
		return u, err
	}
	defer s.release(d)
	m, err := d.state()
	if err != nil {
		return u, err
	}
	a, err := d.alias(&m, user)
	if err != nil {
		return u, err
	}
	if a != nil {
		u.State, u.To, u.ID = a.state, a.to, a.id
	}
	if withEvents {
		u.Events, err = d.count(append([]byte{'u'}, user...))
	}
	return u, err
}

// Aliases calls fn for each key behind one (all, if it is empty) that is joined to another, ascending, as a record for backups. See Records.
func (s *Store) Aliases(ctx context.Context, after string, fn func(catalog.Record) error) error {
	return s.each(ctx, aliasKey(after), after != "", func(key string, value []byte) error {
		a, err := decodeAlias(value)
		if err != nil {
			return err
		}
		to := catalog.Attribute{Name: catalog.JoinedTo, Value: catalog.Value{Type: catalog.Text, Text: a.to}}
		return fn(catalog.Record{Key: key, Attributes: []catalog.Attribute{to}})
	})
}

// PendingJoins returns up to n joins of keys of this store that are under way, by From.
func (s *Store) PendingJoins(ctx context.Context, n int) (out []Join, err error) {
	d, err := s.acquire()
	if err != nil {
		return nil, err
	}
	defer s.release(d)
	m, err := d.state()
	if err != nil || m.pending == 0 {
		return nil, err
	}
	err = s.each(ctx, pendingKey(""), false, func(from string, _ []byte) error {
		a, err := d.alias(&m, from)
		if err != nil {
			return err
		}
		if a != nil && a.state == JoinPending { // it may have ended meanwhile
			out = append(out, Join{From: from, To: a.to, ID: a.id})
		}
		if len(out) == n {
			return ErrStop
		}
		return nil
	})
	return out, err
}
