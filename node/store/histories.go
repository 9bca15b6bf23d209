package store

import (
	"sync"

	"github.com/kith-io/kith/fusion"
)

const (
	// historiesBytes bounds the histories that a store keeps in memory.
	historiesBytes = 4 << 20
	// historyShards is a power of two: what is read of a shard while it changes is not kept.
	historyShards = 64
)

// histories keeps the events of the users that were asked for last, about: each time that there is no room some user makes place, whoever it
// is, so those that are asked for often are there most of the time.
//
// What is kept is what the store has: whoever changes events of a user calls drop afterwards, before anybody is told of the change, and what was
// read of the store is kept only if nothing of its shard was dropped since a time before the read.
type histories [historyShards]historyShard

type historyShard struct {
	mu     sync.Mutex
	drops  uint64
	bytes  int
	events map[string][]fusion.Event
}

func (h *histories) shard(user string) *historyShard {
	sum := uint32(2166136261) // FNV-1a
	for i := range len(user) {
		sum = (sum ^ uint32(user[i])) * 16777619
	}
	return &h[(sum^sum>>16)%historyShards]
}

// get returns the events of a user, which must not be changed, or a time for put.
func (h *histories) get(user string) (events []fusion.Event, ok bool, before uint64) {
	s := h.shard(user)
	s.mu.Lock()
	defer s.mu.Unlock()
	events, ok = s.events[user]
	return events, ok, s.drops
}

// put keeps what was read of the store after a time.
func (h *histories) put(user string, events []fusion.Event, before uint64) {
	const room = historiesBytes / historyShards
	size := sizeOfHistory(user, events)
	s := h.shard(user)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.drops != before || size > room/4 {
		return
	}
	if s.events == nil {
		s.events = make(map[string][]fusion.Event)
	}
	s.remove(user)
	for other := range s.events {
		if s.bytes+size <= room {
			break
		}
		s.remove(other)
	}
	s.events[user] = events
	s.bytes += size
}

// drop forgets a user whose events have changed.
func (h *histories) drop(user string) {
	s := h.shard(user)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drops++
	s.remove(user)
}

func (s *historyShard) remove(user string) {
	if events, ok := s.events[user]; ok {
		s.bytes -= sizeOfHistory(user, events)
		delete(s.events, user)
	}
}

// sizeOfHistory returns about how many bytes of memory the events of a user take.
func sizeOfHistory(user string, events []fusion.Event) int {
	const entry, event, pair = 128, 128, 64
	size := entry + len(user)
	for i := range events {
		e := &events[i]
		size += event + len(e.ID) + len(e.Item)
		for k, v := range e.Context {
			size += pair + len(k) + len(v)
		}
	}
	return size
}
