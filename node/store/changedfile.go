package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/kith-io/kith/fusion"
)

// changedVersion is another where a program would read what an earlier one kept as something else: where bits of the filters (probes), or what can be added to users (fusion.Event.Adds), are.
const changedVersion = 1

// savedTouched is what a store remembers of users, from Close to the next Open: gob, and the xxHash of it.
type savedTouched struct {
	Version int
	// Applied is the index of the store: at another one users may be missing.
	Applied       uint64
	Floor, Opened uint64
	All           bool
	Kinds         [fusion.AddsNone][]uint64 // none or kindBits of each
	Behaviors     []fusion.Behavior
	Users         []savedUser
}

// savedUser is a touchedUser and the events behind it, the first one first.
type savedUser struct {
	User   string
	Read   uint64
	Events []savedEvent
}

type savedEvent struct {
	Index    uint64
	Item     string
	Value    float64
	Behavior uint8 // place among Behaviors
}

// save returns what is remembered.
func (t *touched) save(applied uint64) *savedTouched {
	k := &savedTouched{Version: changedVersion, Applied: applied, Floor: t.floor, Opened: t.opened, All: t.all, Behaviors: t.behaviors, Users: make([]savedUser, 0, len(t.users))}
	for n, filter := range t.kinds {
		if filter != nil {
			k.Kinds[n] = filter[:]
		}
	}
	for name, u := range t.users {
		user := savedUser{User: name, Read: u.read}
		for e := range t.chain(u, 0) {
			user.Events = append(user.Events, savedEvent{e.index, e.item, e.value, e.behavior})
		}
		slices.Reverse(user.Events)
		k.Users = append(k.Users, user)
	}
	return k
}

// recall remembers what was saved, unless that is of another index or more than is remembered. It reports whether it does.
func (t *touched) recall(k *savedTouched, applied uint64) bool {
	events := 0
	for i := range k.Users {
		events += len(k.Users[i].Events)
	}
	odd := func(filter []uint64) bool { return len(filter) != 0 && len(filter) != kindBits/64 }
	if k.Version != changedVersion || k.Applied != applied || len(k.Users) > t.most || events > t.mostAdded || slices.ContainsFunc(k.Kinds[:], odd) {
		return false
	}
	t.floor, t.opened, t.all, t.behaviors, t.users = k.Floor, k.Opened, k.All, k.Behaviors, make(map[string]touchedUser, len(k.Users))
	for n, filter := range k.Kinds {
		if len(filter) > 0 {
			t.kinds[n] = (*[kindBits / 64]uint64)(filter)
		}
	}
	for i := range k.Users {
		user := &k.Users[i]
		u := touchedUser{read: user.Read}
		for _, e := range user.Events {
			u.tail = t.added.add(addedEvent{e.Index, e.Item, e.Value, u.tail, e.Behavior})
		}
		t.users[user.User] = u
	}
	return true
}

// errNotSaved says why nothing is saved.
var errNotSaved = errors.New("a user who is erased is among them")

// saveTouched writes what d, which is closed, remembered of users. The key of an erased one must not come to the disk: where there is such a user nothing is saved.
func (s *Store) saveTouched(d *database) error {
	if err := cmp.Or(d.failed, s.wait.room()); err != nil {
		return err
	}
	for user := range d.touched.users {
		if _, _, erased := d.graves.find(user); erased {
			return errNotSaved
		}
	}
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(d.touched.save(d.meta.applied)); err != nil {
		return err
	}
	return writeFile(s.fs, s.path(changedFile), binary.LittleEndian.AppendUint64(b.Bytes(), xxhash.Sum64(b.Bytes())))
}

// recallTouched lets d remember what the store did when it was closed, and removes the file: users in it may be erased.
func (s *Store) recallTouched(d *database) error {
	b, err := readFile(s.fs, s.path(changedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := errors.Join(s.fs.Remove(s.path(changedFile)), syncDir(s.fs, s.dir)); err != nil {
		return err
	}
	var k *savedTouched
	if err == nil {
		k, err = decodeTouched(b)
	}
	if err != nil {
		s.log.Warn("what has changed is not known: the next build reads all events", "dir", s.dir, "err", err)
	} else if !d.touched.recall(k, d.meta.applied) {
		s.log.Debug("what has changed is not known", "dir", s.dir, "saved_at", k.Applied, "applied", d.meta.applied)
	}
	return nil
}

// decodeTouched returns what a file holds.
func decodeTouched(b []byte) (*savedTouched, error) {
	at := len(b) - 8
	if at < 0 || xxhash.Sum64(b[:at]) != binary.LittleEndian.Uint64(b[at:]) {
		return nil, fmt.Errorf("%w: %s of %d bytes", ErrCorrupt, changedFile, len(b))
	}
	k := &savedTouched{}
	if err := gob.NewDecoder(bytes.NewReader(b[:at])).Decode(k); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrCorrupt, changedFile, err)
	}
	return k, nil
}
