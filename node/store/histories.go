package store

import (
	"encoding/binary"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"

	"github.com/kith-io/kith/fusion"
)

// DefaultHistories bounds the histories that a store keeps in memory, in bytes.
const DefaultHistories = 4 << 20

// historyShards is a power of two: what is read of a shard while it changes is not kept.
const historyShards = 16

// HistoryReads counts where histories came from.
type HistoryReads struct{ Memory, Files atomic.Uint64 }

// histories keeps the events of the users that were asked for last, about, as the store has them: some 60 bytes an event, which the collector of garbage does not look
// at. Each shard has two generations. What is read goes to the young one, and is there once more when it is asked for while it is in the old one; when the young one is
// full it becomes the old one, whose users are forgotten.
//
// What is kept is what the store has: whoever changes events of a user calls drop afterwards, before anybody is told of the change, and what was
// read of the store is kept only if nothing of its shard was dropped since a time before the read.
type histories struct {
	shards [historyShards]historyShard
	room   int // bytes of a generation
	reads  *HistoryReads
}

type historyShard struct {
	mu         sync.Mutex
	drops      uint64
	young, old generation
}

// generation has entries: length u32 of what follows | length uvarint of the user | user | packed history.
type generation struct {
	bytes []byte
	at    map[uint64]uint32 // from the hash of a user to where an entry begins
}

// newHistories returns histories of up to so many bytes. The indexes take about a twentieth of it on top.
func newHistories(bytes int, reads *HistoryReads) *histories {
	return &histories{room: bytes / historyShards / 2, reads: reads}
}

func (h *histories) shard(hash uint64) *historyShard { return &h.shards[hash%historyShards] }

// get returns the events of a user, or a time for put.
func (h *histories) get(user string) (events []fusion.Event, ok bool, before uint64) {
	hash := xxhash.Sum64String(user)
	s := h.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if packed := s.young.find(hash, user); packed != nil {
		h.reads.Memory.Add(1)
		return unpackHistory(user, packed), true, 0
	}
	packed := s.old.find(hash, user)
	if packed == nil {
		return nil, false, s.drops
	}
	h.reads.Memory.Add(1)
	events = unpackHistory(user, packed)
	s.keep(h.room, hash, user, packed)
	return events, true, 0
}

// put keeps what was read of the store after a time.
func (h *histories) put(user string, packed []byte, before uint64) {
	hash := xxhash.Sum64String(user)
	s := h.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.drops == before {
		s.keep(h.room, hash, user, packed)
	}
}

// drop forgets a user whose events have changed.
func (h *histories) drop(user string) {
	hash := xxhash.Sum64String(user)
	s := h.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drops++
	delete(s.young.at, hash)
	delete(s.old.at, hash)
}

// keep puts an entry into the young generation. packed may be a part of the old one.
func (s *historyShard) keep(room int, hash uint64, user string, packed []byte) {
	size := 4 + binary.MaxVarintLen16 + len(user) + len(packed)
	if size > room/2 { // too many others would have to go for it
		return
	}
	if len(s.young.bytes)+size > room {
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
	b = append(b, 0, 0, 0, 0)
	b = append(append(binary.AppendUvarint(b, uint64(len(user))), user...), packed...)
	binary.LittleEndian.PutUint32(b[begin:], uint32(len(b)-begin-4))
	s.young.bytes, s.young.at[hash] = b, uint32(begin)
}

// find returns the packed history of a user, or nil.
func (g *generation) find(hash uint64, user string) []byte {
	begin, ok := g.at[hash]
	if !ok {
		return nil
	}
	b := g.bytes[begin:]
	b = b[4 : 4+binary.LittleEndian.Uint32(b)]
	n, width := binary.Uvarint(b)
	if b = b[width:]; string(b[:n]) != user { // another one with this hash
		return nil
	}
	return b[n:]
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
