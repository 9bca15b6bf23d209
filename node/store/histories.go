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
// What is kept is what the store has: whoever changes events of a user calls drop afterwards, before anybody is told of the change, and what was
// read of the store is kept only if nothing of its shard was dropped since a time before the read.
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
	drops      uint64
	young, old generation
}

// generation has entries: length u32 of what follows | stamp u64 | owner u64 | length uvarint of the user | user | packed history.
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
		return false, s.drops
	}
	fn(stamp, packed)
	if !young {
		s.keep(h.room, stamp, h.owner, hash, user, packed)
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
	packed := packHistory(nil, events)
	s, hash := h.shard(user)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.young.find(h.owner, hash, user); s.drops == before && there == nil { // others may have read it as well
		s.keep(h.room, h.stamps.Add(1), h.owner, hash, user, packed)
	}
}

// drop forgets a user whose events have changed.
func (h histories) drop(user string) {
	s, hash := h.shard(user)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drops++
	if begin, ok := s.young.at[hash]; ok && begin+4+binary.LittleEndian.Uint32(s.young.bytes[begin:]) == uint32(len(s.young.bytes)) {
		s.young.bytes = s.young.bytes[:begin] // who comes and goes by turns takes the room once
	}
	delete(s.young.at, hash)
	delete(s.old.at, hash)
}

// longestPart is the part of a generation that one history may take: others would have to go for it.
const longestPart = 4

// keep puts an entry into the young generation. packed may be a part of the old one.
func (s *historyShard) keep(room int, stamp, owner, hash uint64, user string, packed []byte) {
	size := 4 + 8 + 8 + binary.MaxVarintLen16 + len(user) + len(packed)
	if size > room/longestPart {
		return
	}
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
	b = append(append(binary.AppendUvarint(b, uint64(len(user))), user...), packed...)
	binary.LittleEndian.PutUint32(b[begin:], uint32(len(b)-begin-4))
	s.young.bytes, s.young.at[hash] = b, uint32(begin)
}

// find returns the packed history of a user and its stamp, or nil.
func (g *generation) find(owner, hash uint64, user string) (stamp uint64, packed []byte) {
	begin, ok := g.at[hash]
	if !ok {
		return 0, nil
	}
	b := g.bytes[begin:]
	b = b[4 : 4+binary.LittleEndian.Uint32(b)]
	stamp, b = binary.LittleEndian.Uint64(b), b[8:]
	n, width := binary.Uvarint(b[8:])
	if of := binary.LittleEndian.Uint64(b); of != owner || string(b[8+width:][:n]) != user { // another one with this hash
		return 0, nil
	}
	return stamp, b[8+width+int(n):]
}

// packHistory appends the events of a user, which are in order:
//
//	number of events uvarint | bytes of ids and items uvarint | { id | item | behavior | rest, as in a command }...
func packHistory(dst []byte, events []fusion.Event) []byte {
	texts := 0
	for i := range events {
		texts += len(events[i].ID) + len(events[i].Item)
	}
	dst = binary.AppendUvarint(binary.AppendUvarint(dst, uint64(len(events))), uint64(texts))
	for i := range events {
		e := &events[i]
		dst = appendRest(appendText(appendText(appendText(dst, e.ID), e.Item), e.Behavior), e)
	}
	return dst
}

// unpackHistory returns what packHistory packed. All ids and items become one string.
func unpackHistory(user string, packed []byte) (events []fusion.Event) {
	r := reader{b: packed}
	if n := r.uvarint(); n > 0 {
		events = make([]fusion.Event, n)
	}
	var texts strings.Builder
	texts.Grow(int(r.uvarint()))
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
	return events
}
