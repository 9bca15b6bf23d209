package store

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/fusion"
)

// A command of an erasure is
//
//	version u8 | user | key of the hash, 32 bytes | time uvarint | request, 16 bytes | may come again u8
//
// and if the user is joined to an account, with another version, the account.
const (
	eraseVersion       = 3
	eraseJoinedVersion = 6
)

// Hash stands for an erased user: HMAC-SHA256 of the key.
type Hash [sha256.Size]byte

// HashUser returns the hash of a user. Only who knows the secret can tell which user it is of.
func HashUser(secret [32]byte, user string) (h Hash) {
	mac := hmac.New(sha256.New, secret[:])
	_, _ = mac.Write([]byte(user)) // never fails
	mac.Sum(h[:0])
	return h
}

// Erase asks for all that there is of a user to be removed.
type Erase struct {
	User string
	// Secret keys the hash that stays. The first one that a store sees counts.
	Secret [32]byte
	// Time of the erasure, in Unix milliseconds.
	Time int64
	// Request identifies the command: a repeated one changes nothing, and has the result of the first.
	Request [16]byte
	// Again allows the user to come back. Otherwise events are refused that are not newer than the erasure and than all that were
	// removed, or of unknown time, and so is every profile.
	Again bool
	// Account is the key that the user must be joined to; it is an alias no more then. Without one a user who is joined is not erased.
	Account string
}

// Erasure is what an Erase did.
type Erasure struct {
	// Index of the log at which something of the user was last removed.
	Index uint64
	// Time of the Erase that counts.
	Time int64
	Hash Hash
	// Events that were removed, and whether a profile was.
	Events  uint64
	Profile bool
	// Joined are the keys that were joined to the user and erased with it, by this or an earlier one, by hash.
	Joined []ErasedKey
}

// EncodeErase appends the command to dst and returns it.
func EncodeErase(dst []byte, e Erase) []byte {
	version := byte(eraseVersion)
	if e.Account != "" {
		version = eraseJoinedVersion
	}
	dst = appendText(append(dst, version), e.User)
	dst = append(dst, e.Secret[:]...)
	dst = binary.AppendUvarint(dst, uint64(e.Time))
	dst = append(dst, e.Request[:]...)
	again := byte(0)
	if e.Again {
		again = 1
	}
	if dst = append(dst, again); e.Account != "" {
		dst = appendText(dst, e.Account)
	}
	return dst
}

func decodeErase(command []byte) (e Erase, err error) {
	r := reader{b: command}
	v := r.byte()
	e.User = r.text(fusion.MaxKeyBytes)
	r.fixed(e.Secret[:])
	t := r.uvarint()
	r.fixed(e.Request[:])
	again := r.byte()
	if v == eraseJoinedVersion {
		e.Account = r.text(fusion.MaxKeyBytes)
	}
	switch {
	case r.err != nil:
		err = r.err
	case v != eraseVersion && v != eraseJoinedVersion || again > 1 || t > fusion.MaxTime || len(r.b) > 0:
		err = fmt.Errorf("version %d, time %d, flag %d, and %d bytes more", v, t, again, len(r.b))
	default:
		err = catalog.CheckKey(e.User)
	}
	if err != nil {
		return Erase{}, fmt.Errorf("%w: erasure: %w", ErrCorrupt, err)
	}
	e.Time, e.Again = int64(t), again == 1
	return e, nil
}

// fixed fills dst from the front of b.
func (r *reader) fixed(dst []byte) {
	if len(r.b) < len(dst) {
		r.fail(errCut)
		return
	}
	r.b = r.b[copy(dst, r.b):]
}

var secretKey = []byte{'h'}

func graveKey(h Hash) []byte { return append([]byte{'t'}, h[:]...) }

// grave is a tombstone: what stays of an erased user.
type grave struct {
	index   uint64 // of the log, where something was last removed
	time    int64  // of the erasure
	until   int64  // events up to this time are old ones
	again   bool
	request [16]byte
	events  uint64 // removed by the request
	profile bool   // removed by the request
}

// refuses reports whether an event of the user may not come back.
func (g *grave) refuses(e *fusion.Event) bool { return !g.again && (e.Time == 0 || e.Time <= g.until) }

const graveVersion = 1

func (g *grave) encode() []byte {
	b := append([]byte{graveVersion}, g.request[:]...)
	flags := byte(0)
	if g.again {
		flags |= 1
	}
	if g.profile {
		flags |= 2
	}
	b = append(b, flags)
	for _, x := range []uint64{g.index, uint64(g.time), uint64(g.until), g.events} {
		b = binary.AppendUvarint(b, x)
	}
	return b
}

func decodeGrave(b []byte) (*grave, error) {
	r, g := reader{b: b}, &grave{}
	v := r.byte()
	r.fixed(g.request[:])
	flags := r.byte()
	g.again, g.profile = flags&1 != 0, flags&2 != 0
	g.index, g.time, g.until, g.events = r.uvarint(), int64(r.uvarint()), int64(r.uvarint()), r.uvarint()
	if r.err != nil || v != graveVersion || len(r.b) > 0 {
		return nil, fmt.Errorf("%w: tombstone %x", ErrCorrupt, b)
	}
	return g, nil
}

// graves are the tombstones of a store as they are kept in memory.
type graves struct {
	secret [32]byte
	// index of the log at which something of a user was last removed, by hash; last is the highest of them.
	index map[Hash]uint64
	last  uint64
	stamp uint64 // see ErasureStamp
}

func (g *graves) set(h Hash, index uint64) {
	if g.index == nil {
		g.index = map[Hash]uint64{}
	}
	g.index[h] = index
	g.last = max(g.last, index)
}

// find returns the hash of a user who has a tombstone, and its index. Cost: a hash, if there is any.
func (g *graves) find(user string) (h Hash, index uint64, erased bool) {
	if len(g.index) == 0 {
		return h, 0, false
	}
	h = HashUser(g.secret, user)
	index, erased = g.index[h]
	return h, index, erased
}

// loadGraves reads the tombstones.
func (d *database) loadGraves() (err error) {
	d.graves.stamp = d.histories.stamps.Add(1)
	secret, err := d.get(secretKey)
	if err != nil || secret == nil {
		return err
	}
	if len(secret) != len(d.graves.secret) {
		return fmt.Errorf("%w: secret of %d bytes", ErrCorrupt, len(secret))
	}
	copy(d.graves.secret[:], secret)
	it, err := d.db.NewIter(&pebble.IterOptions{LowerBound: []byte{'t'}, UpperBound: []byte{'t' + 1}})
	if err != nil {
		return translate(err)
	}
	defer func() { err = cmp.Or(err, translate(it.Close())) }()
	for ok := it.First(); ok; ok = it.Next() {
		if len(it.Key()) != 1+sha256.Size {
			return fmt.Errorf("%w: key of a tombstone %x", ErrCorrupt, it.Key())
		}
		g, err := decodeGrave(it.Value())
		if err != nil {
			return err
		}
		d.graves.set(Hash(it.Key()[1:]), g.index)
	}
	return translate(it.Error())
}

// grave returns the tombstone of a user, or nil. It is called by the goroutine that applies.
func (p *pending) grave(user string) (*grave, error) {
	h, _, erased := p.d.graves.find(user)
	if !erased {
		return nil, nil
	}
	b, err := p.d.get(graveKey(h))
	if err != nil {
		return nil, err
	}
	return decodeGrave(b)
}

// erase removes the events and the profile of a user, and leaves a tombstone.
func (p *pending) erase(e Erase) error {
	p.meta.records = true
	secret := p.d.graves.secret
	if len(p.d.graves.index) == 0 {
		secret = e.Secret
		if err := p.batch.Set(secretKey, secret[:], nil); err != nil {
			return err
		}
	}
	h := HashUser(secret, e.User)
	old, err := p.grave(e.User)
	if err != nil {
		return err
	}
	if old != nil && old.request == e.Request {
		p.result.Erasure = old.erasure(h)
		p.result.Erasure.Joined, err = p.d.erasedWith(h)
		return err
	}
	if refused, err := p.refuseJoined(e); err != nil || refused {
		return err
	}
	g := &grave{index: p.index, time: e.Time, until: e.Time, again: e.Again, request: e.Request}
	joined, err := p.eraseEvents(e.User, g)
	if err != nil {
		return err
	}
	if err := p.eraseProfile(e.User, g); err != nil {
		return err
	}
	if old == nil {
		p.meta.erased++
	} else {
		g.until = max(g.until, old.until)
		if g.events == 0 && !g.profile && !joined {
			g.index = old.index
		}
	}
	if err := p.batch.Set(graveKey(h), g.encode(), nil); err != nil {
		return err
	}
	p.result.Erasure = g.erasure(h)
	if p.result.Erasure.Joined, err = p.buryErased(e.User, h); err != nil {
		return err
	}
	p.buried = &graves{secret: secret, last: g.index, index: map[Hash]uint64{h: g.index}}
	return nil
}

func (g *grave) erasure(h Hash) Erasure {
	return Erasure{Index: g.index, Time: g.time, Hash: h, Events: g.events, Profile: g.profile}
}

// joinedKeys bounds the keys that a refused erasure names.
const joinedKeys = 1000

// refuseJoined reports whether the user is not joined to the account, or others to the user: these come first.
func (p *pending) refuseJoined(e Erase) (bool, error) {
	a, err := p.d.alias(&p.meta, e.User)
	if err != nil {
		return false, err
	}
	to := e.User // that of a key by itself
	if a != nil {
		to = a.to
	}
	if to != cmp.Or(e.Account, e.User) {
		p.result.Moved = []Moved{{e.User, to}}
		return true, nil
	}
	p.result.Joined, err = p.d.children(e.User, joinedKeys, JoinOpen, JoinCompleted, JoinBarred)
	return len(p.result.Joined) > 0, err
}

// eraseEvents removes the events of a user, and takes them from the counts, with what joins the user to another, and reports whether there was such a thing.
func (p *pending) eraseEvents(user string, g *grave) (joined bool, err error) {
	a, err := p.d.alias(&p.meta, user)
	if err != nil {
		return false, err
	}
	lower, upper := userRange(user)
	if a != nil {
		hidden, err := p.dropAlias(user, a)
		if err != nil {
			return true, err
		}
		if hidden {
			p.swept = append(p.swept, user)
			p.meta.erasedAt = p.index // an earlier cut has them
			return true, p.batch.DeleteRange(lower, upper, nil)
		}
	}
	var until int64
	if g.events, until, err = p.uncount(user); err != nil || g.events == 0 {
		return a != nil, err
	}
	g.until = max(g.until, until)
	p.meta.erasedAt = p.index
	return a != nil, p.batch.DeleteRange(lower, upper, nil)
}

// uncount takes the events of a user from the counts and from what is made of events in memory, and returns how many they are and the time of the last.
func (p *pending) uncount(user string) (events uint64, until int64, err error) {
	lower, upper := userRange(user)
	it, err := p.d.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return 0, 0, translate(err)
	}
	defer func() { err = cmp.Or(err, translate(it.Close())) }()
	p.items = map[string]uint64{}
	for ok := it.First(); ok; ok = it.Next() {
		e := fusion.Event{User: user}
		if _, err := decodeEventValue(it.Value(), &e); err != nil {
			return 0, 0, err
		}
		if events < removedAtOnce {
			p.did.removed = append(p.did.removed, e)
		}
		if !e.Feedback() {
			if err := p.uncountItem(e.Item); err != nil {
				return 0, 0, err
			}
		}
		until = max(until, e.Time)
		events++
	}
	if err := it.Error(); err != nil || events == 0 {
		return 0, 0, translate(err)
	}
	p.did.many = events > removedAtOnce
	p.users = map[string]uint64{user: 0}
	p.meta.events -= events
	p.meta.users--
	return events, until, nil
}

func (p *pending) uncountItem(item string) error {
	n, met := p.items[item]
	if !met {
		var err error
		if n, err = p.d.count(p.textKey('c', item)); err != nil {
			return err
		}
	}
	if n == 0 {
		return fmt.Errorf("%w: item %q has events and no count", ErrCorrupt, item)
	}
	p.items[item], p.fell = n-1, true
	return nil
}

// eraseProfile removes the profile of a user, also a deleted one: it has the key.
func (p *pending) eraseProfile(user string, g *grave) error {
	old, err := p.d.record(catalog.Profile, user)
	if err != nil || old == nil {
		return err
	}
	if !old.Deleted {
		g.profile = true
		p.meta.profiles--
	}
	return p.batch.Delete(recordKey(nil, catalog.Profile, user), nil)
}

// userRange returns the bounds of the keys of a user's events.
func userRange(user string) (lower, upper []byte) {
	lower, upper = userPrefix(nil, user), userPrefix(nil, user)
	upper[len(upper)-1] = 1
	return lower, upper
}

// Erased reports whether something of a user was removed behind an index of the log. Cost: a hash, if any user was erased since.
func (s *Store) Erased(user string, since uint64) (bool, error) {
	d, err := s.acquire()
	if err != nil {
		return false, err
	}
	defer s.release(d)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failed != nil || d.graves.last <= since {
		return false, d.failed
	}
	_, index, ok := d.graves.find(user)
	return ok && index > since, nil
}

// ErasedSince returns the number of users of whom something was removed behind an index of the log.
func (s *Store) ErasedSince(index uint64) (n int, err error) {
	d, err := s.acquire()
	if err != nil {
		return 0, err
	}
	defer s.release(d)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.graves.last <= index {
		return 0, d.failed
	}
	for _, at := range d.graves.index {
		if at > index {
			n++
		}
	}
	return n, d.failed
}

// ErasureStamp returns what stands for all that Erased and ErasedSince tell: as long as it is the same, so are they. Of stores with the same Histories no two changes have the same stamp, and
// it only grows, also when the state is replaced by another one (Restore) and when the store is opened again. It is false if the state is not known.
func (s *Store) ErasureStamp() (stamp uint64, ok bool) {
	d, err := s.acquire()
	if err != nil {
		return 0, false
	}
	defer s.release(d)
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.graves.stamp, d.failed == nil
}

// Purge rewrites the files that may hold what was removed of a user, so that it is in no table any more, unless a snapshot that is being
// written or a reader needs them. Pebble's manifest names the first and last keys of tables, and may name the user until it is written anew.
// An empty user stands for all that were erased. Cost: the files that hold the keys of the user; without one, all files but those on the lowest level that nothing covers.
func (s *Store) Purge(ctx context.Context, user string) error {
	d, err := s.acquire()
	if err != nil {
		return err
	}
	defer s.release(d)
	lower, upper := userRange(user)
	children := childPrefix(user)
	ranges := [][2][]byte{{lower, upper}, {children, append(children[:len(children)-1:len(children)-1], 1)}, {{'s'}, {'s' + 1}}}
	for _, key := range [][]byte{recordKey(nil, catalog.Profile, user), append([]byte{'u'}, user...), aliasKey(user), pendingKey(user)} {
		ranges = append(ranges, [2][]byte{key, append(key[:len(key):len(key)], 0)})
	}
	if user == "" {
		ranges = [][2][]byte{{{0}, {0xff}}}
	}
	for _, r := range ranges {
		if err := d.db.Compact(ctx, r[0], r[1], false); err != nil {
			return fmt.Errorf("purge event store %s: %w", s.dir, translate(err))
		}
	}
	return nil
}
