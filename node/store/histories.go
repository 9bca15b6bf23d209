package store

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"

	"github.com/kith-io/kith/fusion"
)

// Histories keeps in memory the events of the users that were asked for last, about, of all stores of a process: some 60 bytes an event, which the collector of garbage does not look
// at. It has shards, and each has two generations. What is read goes to the young one, and is there once more when it is asked for while it is in the old one; when the young one is
// full it becomes the old one, whose users are forgotten.
//
// What is kept is what the store has: whoever changes events of users calls changing before and changed afterwards, before anybody is told of the change, and what was
// read of the store is kept only if nothing of its shard changed since a time before the read. Events that are new are put to those that are kept, so that the next answer
// to who has just done something needs no file.
type Histories struct {
	shards []historyShard // a power of two, so that few reads are lost to changes of others
	room   int            // bytes of a generation, with its index
	owners atomic.Uint64
	stamps atomic.Uint64

	fromMemory, fromFiles atomic.Uint64
}

// NewHistories returns Histories of up to so many bytes.
func NewHistories(bytes int64) *Histories {
	shards := int64(256)
	for shards > 1 && bytes/shards < 64<<10 { // a generation should have room for long histories
		shards /= 2
	}
	return &Histories{shards: make([]historyShard, shards), room: int(bytes / shards / 2)}
}

// Reads returns how many histories were in memory when they were asked for, and how many had to be read.
func (h *Histories) Reads() (memory, files uint64) { return h.fromMemory.Load(), h.fromFiles.Load() }

// of returns the part of a store, until it is opened again.
func (h *Histories) of() histories { return histories{h, h.owners.Add(1)} }

// histories are those of one database.
type histories struct {
	*Histories
	owner uint64
}

type historyShard struct {
	mu         sync.Mutex
	changing   int    // users whose events are about to change
	changes    uint64 // of users, that are done
	young, old generation
}

// generation has entries: length u32 of what follows | stamp u64 | owner u64 | length u32 of the packed history | length uvarint of the user | user | packed history | room for more events.
type generation struct {
	bytes []byte
	at    map[uint64]uint32 // from the hash of owner and user to where an entry begins
}

// indexBytes is about what an entry takes in the index.
const indexBytes = 24

// shard returns the shard of a user, and the hash of the user there. The users of a store are those of a partition, which is made of the same hash: all of its bits have to be mixed.
func (h histories) shard(user string) (*historyShard, uint64) {
	const odd = 0x9e3779b97f4a7c15
	hash := (xxhash.Sum64String(user) ^ h.owner*odd) * odd
	high, _ := bits.Mul64(hash, uint64(len(h.shards)))
	return &h.shards[high], hash
}

// get returns the events of a user, or a time for put.
func (h histories) get(user string) (events []fusion.Event, ok bool, before uint64) {
	events, _, ok, before = h.stamped(user)
	return events, ok, before
}

// stamped is get with the stamp of the events.
func (h histories) stamped(user string) (events []fusion.Event, stamp uint64, ok bool, before uint64) {
	if ok, before = h.with(user, func(s uint64, packed []byte) { events, stamp = unpackHistory(user, packed), s }); ok {
		h.fromMemory.Add(1)
	}
	return events, stamp, ok, before
}

// with calls fn with what is kept of a user and its stamp, which nothing else in this process ever has, or returns a time for put.
func (h histories) with(user string, fn func(stamp uint64, packed []byte)) (ok bool, before uint64) {
	s, hash := h.shard(user)
	s.mu.Lock()
	defer s.mu.Unlock()
	stamp, packed := s.young.find(h.owner, hash, user)
	young := packed != nil
	if !young {
		stamp, packed = s.old.find(h.owner, hash, user)
	}
	if packed == nil {
		return false, s.changes
	}
	fn(stamp, packed)
	if !young {
		s.keep(h.room, stamp, h.owner, hash, user, packed, 0)
	}
	return true, 0
}

// put keeps what was read of the store after a time. Events are in order.
func (h histories) put(user string, events []fusion.Event, before uint64) {
	h.fromFiles.Add(1)
	const least = 16 // bytes of an event
	if len(events)*least > h.room/longestPart {
		return
	}
	packed := packHistory(events)
	s, hash := h.shard(user)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.young.find(h.owner, hash, user); s.changing == 0 && s.changes == before && there == nil { // others may have read it as well
		s.keep(h.room, h.stamps.Add(1), h.owner, hash, user, packed, 0)
	}
}

// changing tells that the events of a user are about to change, so that nothing of its shard that is read from now on is kept until changed is called.
func (h histories) changing(user string) {
	s, _ := h.shard(user)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changing++
}

// changed tells that the events of a user have changed: those that are given have come and nothing else has happened, or with forget something else.
func (h histories) changed(user string, came []fusion.Event, forget bool) {
	s, hash := h.shard(user)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changing--
	s.changes++
	switch {
	case forget:
		s.forget(hash)
	case len(came) > 0:
		s.add(h.room, h.stamps.Add(1), h.owner, hash, user, came)
	}
}

// forget takes out what there is by a hash.
func (s *historyShard) forget(hash uint64) {
	if begin, ok := s.young.at[hash]; ok && begin+4+binary.LittleEndian.Uint32(s.young.bytes[begin:]) == uint32(len(s.young.bytes)) {
		s.young.bytes = s.young.bytes[:begin] // who comes and goes by turns takes the room once
	}
	delete(s.young.at, hash)
	delete(s.old.at, hash)
}

// add puts events to those of a user, if these are kept, in their room, or to a copy with room for some more.
func (s *historyShard) add(room int, stamp, owner, hash uint64, user string, came []fusion.Event) {
	_, packed := s.young.find(owner, hash, user)
	young := packed != nil
	if !young {
		if _, packed = s.old.find(owner, hash, user); packed == nil {
			return
		}
	}
	more := packHistory(came)
	size := len(packed) + len(more) - packedHead
	if young && size <= cap(packed) {
		addPacked(packed, more)
		entry := s.young.bytes[s.young.at[hash]+4:]
		binary.LittleEndian.PutUint64(entry, stamp)
		binary.LittleEndian.PutUint32(entry[16:], uint32(size))
		delete(s.old.at, hash) // which may have what there was before, and must not give it when another user takes the hash here
		return
	}
	packed = addPacked(append(make([]byte, 0, size), packed...), more)
	s.forget(hash)
	s.keep(room, stamp, owner, hash, user, packed, size/4)
}

// longestPart is the part of a generation that one history may take: others would have to go for it.
const longestPart = 4

// entryHead is the bytes of an entry in front of the length of the user.
const entryHead = 4 + 8 + 8 + 4

// keep puts an entry into the young generation, with room for some bytes more. packed may be a part of the old one.
func (s *historyShard) keep(room int, stamp, owner, hash uint64, user string, packed []byte, more int) {
	size := entryHead + binary.MaxVarintLen16 + len(user) + len(packed)
	if size+more > room/longestPart {
		more = 0
	}
	if size > room/longestPart {
		return
	}
	size += more
	if len(s.young.bytes)+size+indexBytes*(len(s.young.at)+1) > room {
		packed = slices.Clone(packed)
		s.young, s.old = generation{s.old.bytes[:0], s.old.at}, s.young
		clear(s.young.at)
	}
	if s.young.at == nil {
		s.young.at = map[uint64]uint32{}
	}
	begin, b := len(s.young.bytes), s.young.bytes
	if begin+size > cap(b) { // not more than there is room for
		b = append(make([]byte, 0, min(max(2*cap(b), begin+size), room)), b...)
	}
	b = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(append(b, 0, 0, 0, 0), stamp), owner)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(packed)))
	b = append(append(binary.AppendUvarint(b, uint64(len(user))), user...), packed...)
	b = append(b, make([]byte, more)...)
	binary.LittleEndian.PutUint32(b[begin:], uint32(len(b)-begin-4))
	s.young.bytes, s.young.at[hash] = b, uint32(begin)
}

// find returns the packed history of a user, whose capacity is all of its room, and its stamp; or nil.
func (g *generation) find(owner, hash uint64, user string) (stamp uint64, packed []byte) {
	begin, ok := g.at[hash]
	if !ok {
		return 0, nil
	}
	b := g.bytes[begin:]
	b = b[4 : 4+binary.LittleEndian.Uint32(b)]
	n, width := binary.Uvarint(b[entryHead-4:])
	from := entryHead - 4 + width + int(n)
	if of := binary.LittleEndian.Uint64(b[8:]); of != owner || string(b[from-int(n):from]) != user { // another one with this hash
		return 0, nil
	}
	return binary.LittleEndian.Uint64(b), b[from : from+int(binary.LittleEndian.Uint32(b[16:])) : len(b)]
}

// packedHead is the bytes of a packed history in front of its events.
const packedHead = 8

// packHistory packs the events of a user:
//
//	number of events u32 | bytes of ids and items u32 | { id | item | behavior | rest, as in a command }...
func packHistory(events []fusion.Event) (dst []byte) {
	texts := 0
	for i := range events {
		texts += len(events[i].ID) + len(events[i].Item)
	}
	dst = binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(dst, uint32(len(events))), uint32(texts))
	for i := range events {
		e := &events[i]
		dst = appendRest(appendText(appendText(appendText(dst, e.ID), e.Item), e.Behavior), e)
	}
	return dst
}

// addPacked puts the events of one packed history to those of another.
func addPacked(packed, more []byte) []byte {
	for at := 0; at < packedHead; at += 4 {
		binary.LittleEndian.PutUint32(packed[at:], binary.LittleEndian.Uint32(packed[at:])+binary.LittleEndian.Uint32(more[at:]))
	}
	return append(packed, more[packedHead:]...)
}

// unpackHistory returns what packHistory packed, in order. All ids and items become one string.
func unpackHistory(user string, packed []byte) (events []fusion.Event) {
	r := reader{b: packed[packedHead:]}
	if n := binary.LittleEndian.Uint32(packed); n > 0 {
		events = make([]fusion.Event, n)
	}
	var texts strings.Builder
	texts.Grow(int(binary.LittleEndian.Uint32(packed[4:])))
	text := func() string { // its memory does not move, as there is room for all
		from := texts.Len()
		texts.Write(r.bytes(fusion.MaxKeyBytes))
		return texts.String()[from:]
	}
	for i := range events {
		e := &events[i]
		e.User, e.ID, e.Item = user, text(), text()
		e.Behavior = knownBehavior(r.bytes(fusion.MaxKeyBytes))
		r.rest(e)
	}
	if !slices.IsSortedFunc(events, compareEvents) { // some have come since
		slices.SortFunc(events, compareEvents)
	}
	return events
}
