package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	gocmp "github.com/google/go-cmp/cmp"

	"github.com/kith-io/kith/fusion"
)

func eventOf(user string, n int) fusion.Event {
	return event(user, fmt.Sprint(n), fmt.Sprint("i", n), int64(n+1))
}

// forget tells that something has happened to the events of a user.
func forget(h histories, user string) {
	h.changing(user)
	h.changed(user, nil, true)
}

// TestHistoriesFollowChanges reads a history before and after each change of it: by more events, by an erasure, and by a snapshot.
func TestHistoriesFollowChanges(t *testing.T) {
	s := openMem(t)
	index := uint64(0)
	apply := func(command []byte) {
		t.Helper()
		index++
		if _, err := s.Apply(index, command); err != nil {
			t.Fatal(err)
		}
	}
	check := func(user string, want ...fusion.Event) {
		t.Helper()
		for _, what := range []string{"first", "again"} {
			got, err := s.History(t.Context(), user)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Errorf("%s read (-want +got):\n%s", what, diff)
			}
		}
	}
	check("a")
	apply(EncodeBatch(nil, []fusion.Event{eventOf("a", 2), eventOf("b", 1)}))
	check("a", eventOf("a", 2))
	apply(EncodeBatch(nil, []fusion.Event{eventOf("a", 1)}))
	check("a", eventOf("a", 1), eventOf("a", 2))
	check("b", eventOf("b", 1))
	apply(EncodeErase(nil, Erase{User: "a", Time: 10, Request: [16]byte{1}}))
	check("a")
	check("b", eventOf("b", 1))
	if _, ok, _ := s.cur.histories.get("b"); !ok {
		t.Error("a history that was read is not kept")
	}
}

// TestHistoriesAreBounded fills them far beyond their bound. The users who are asked for again and again stay.
func TestHistoriesAreBounded(t *testing.T) {
	const room = 1 << 20
	h := NewHistories(room).of()
	history := func(user string) []fusion.Event {
		other := eventOf(user, 2)
		other.Context = map[string]string{"device": "phone", "order": user}
		return []fusion.Event{eventOf(user, 1), other}
	}
	put := func(user string) {
		t.Helper()
		_, ok, before := h.get(user)
		if ok {
			t.Fatalf("%s is known", user)
		}
		h.put(user, history(user), before)
		h.put(user, history(user), before) // as another reader does
	}
	put("hot")
	for u := range 20_000 {
		user := fmt.Sprint("user", u)
		put(user)
		for _, user := range []string{user, "hot"} {
			got, ok, _ := h.get(user)
			if diff := gocmp.Diff(history(user), got); !ok || diff != "" {
				t.Fatalf("%s (-want +got):\n%s", user, diff)
			}
		}
	}
	bytes, users := 0, 0
	for i := range h.shards {
		for _, g := range []*generation{&h.shards[i].young, &h.shards[i].old} {
			bytes, users = bytes+cap(g.bytes)+indexBytes*len(g.at), users+len(g.at)
		}
	}
	if bytes > room*5/4 || bytes < room*9/10 || users < bytes/250 {
		t.Errorf("%d users in %d bytes are kept; want nearly %d", users, bytes, room)
	}
	long := func(bytes int) (n int) {
		for len(packHistory(slices.Repeat(history("long"), n+1))) < bytes {
			n++
		}
		return n
	}
	for n, want := range map[int]bool{long(h.room/longestPart - 100): true, long(h.room/longestPart) + 1: false, h.room: false} {
		_, _, before := h.get("long")
		h.put("long", slices.Repeat(history("long"), n), before)
		if _, ok, _ := h.get("long"); ok != want {
			t.Errorf("a history of %d events is kept: %v, want %v", 2*n, ok, want)
		}
		forget(h, "long")
	}
	_, _, before := h.get("x")
	forget(h, "x")
	h.put("x", nil, before)
	if _, ok, _ := h.get("x"); ok {
		t.Error("what was read before a change is kept after it")
	}
}

// TestHistoriesSpread: the users of each partition are in all shards about alike, by whatever bits of the same hash the partition is chosen.
func TestHistoriesSpread(t *testing.T) {
	const partitions, users = 16, 1 << 16
	for name, partitionOf := range map[string]func(hash uint64) uint64{
		"lowest bits":  func(hash uint64) uint64 { return hash % partitions },
		"highest bits": func(hash uint64) uint64 { return hash >> 60 },
	} {
		all := NewHistories(64 << 20)
		owners := make([]histories, partitions)
		for p := range owners {
			owners[p] = all.of()
		}
		type place struct {
			partition uint64
			shard     *historyShard
		}
		in := map[place]int{}
		for u := range users {
			user := fmt.Sprint(u)
			p := partitionOf(xxhash.Sum64String(user))
			s, _ := owners[p].shard(user)
			in[place{p, s}]++
		}
		mean := users / partitions / len(all.shards)
		if len(in) != partitions*len(all.shards) {
			t.Errorf("%s: %d partitions and shards have users, want %d", name, len(in), partitions*len(all.shards))
		}
		for at, n := range in {
			if n > 4*mean {
				t.Errorf("%s: a shard has %d users of partition %d, want about %d", name, n, at.partition, mean)
			}
		}
	}
}

// sameEvents reports whether two histories are equal, far faster than a diff of them can be made.
func sameEvents(a, b []fusion.Event) bool {
	return slices.EqualFunc(a, b, func(a, b fusion.Event) bool { return reflect.DeepEqual(a, b) })
}

// TestHistoriesGrow appends events of all kinds, reads between them, and compares with a scan, which reads no histories. Whose history is kept is read from no file again, until something else happens to it.
func TestHistoriesGrow(t *testing.T) {
	if testing.Short() {
		t.Skip("is one goroutine, of which the race detector has nothing to tell")
	}
	for _, room := range []int64{1 << 14, 1 << 16, 16 << 20} {
		all := NewHistories(room)
		s, err := Open(Options{Dir: "store", fs: vfs.NewMem(), Histories: all})
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(1, uint64(room)))
		kept := map[string]bool{} // users that were read since something else happened to them
		index := uint64(0)
		do := func(command []byte) {
			t.Helper()
			index++
			if _, err := s.Apply(index, command); err != nil {
				t.Fatal(err)
			}
		}
		for n := range 1500 {
			var events []fusion.Event
			for range 1 + rng.IntN(4) {
				e := eventOf(fmt.Sprint("u", rng.IntN(30)), rng.IntN(3000)) // some twice
				e.Time = int64(rng.IntN(50))
				if rng.IntN(5) == 0 {
					e.Context = map[string]string{"device": strings.Repeat("x", rng.IntN(40))}
				}
				events = append(events, e)
			}
			do(EncodeBatch(nil, events))
			if n%97 == 0 {
				user := fmt.Sprint("u", rng.IntN(30))
				do(EncodeErase(nil, Erase{User: user, Time: 20, Request: [16]byte{byte(n), byte(n >> 8)}}))
				delete(kept, user)
			}
			if rng.IntN(2) == 0 {
				continue
			}
			user := fmt.Sprint("u", rng.IntN(32))
			_, files := all.Reads()
			got, err := s.History(t.Context(), user)
			if err != nil {
				t.Fatal(err)
			}
			if _, now := all.Reads(); room == 16<<20 && kept[user] && now != files {
				t.Fatalf("after %d commands the events of %s were read of a file again", n, user)
			}
			kept[user] = true
			var want []fusion.Event
			if err := s.ScanUsers(t.Context(), index, []string{user}, func(_ string, events []fusion.Event) error {
				want = slices.Clone(events)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if !sameEvents(want, got) {
				t.Fatalf("%d bytes: after %d commands, %s (-scan +history):\n%s", room, n, user, gocmp.Diff(want, got))
			}
			if known, stamp, ok := s.KnownHistory(user); ok {
				if !sameEvents(want, known) || stamp == 0 {
					t.Fatalf("stamp %d, known: %s", stamp, gocmp.Diff(want, known))
				}
				if now, ok := s.KnownStamp(user); !ok || now != stamp {
					t.Fatalf("stamp %d and %d, %v", stamp, now, ok)
				}
				event := eventOf(user, 5000+n)
				do(EncodeBatch(nil, []fusion.Event{event, event}))
				if now, ok := s.KnownStamp(user); ok && now == stamp {
					t.Fatalf("an event has changed no stamp")
				}
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestHistoriesRoom: events that come one by one take about the room of their history, not that of all that it was.
func TestHistoriesRoom(t *testing.T) {
	h := NewHistories(1 << 20).of()
	_, _, before := h.get("a")
	h.put("a", []fusion.Event{eventOf("a", 0)}, before)
	_, _, before = h.get("b")
	h.put("b", []fusion.Event{eventOf("b", 0)}, before)
	for n := range 200 {
		for _, user := range []string{"a", "b"} {
			h.changing(user)
			h.changed(user, []fusion.Event{eventOf(user, n+1)}, false)
		}
	}
	bytes, packed := 0, 0
	for i := range h.shards {
		bytes += len(h.shards[i].young.bytes)
	}
	for _, user := range []string{"a", "b"} {
		events, _, ok, _ := h.stamped(user)
		if !ok || len(events) != 201 {
			t.Fatalf("%d events of %s, %v", len(events), user, ok)
		}
		packed += len(packHistory(events))
	}
	if bytes > 8*packed {
		t.Errorf("%d bytes for histories of %d", bytes, packed)
	}
}

// BenchmarkEventThenHistory is what each step of a visit takes of the store: an event is applied, and the history read.
func BenchmarkEventThenHistory(b *testing.B) {
	s, err := Open(Options{Dir: b.TempDir(), Histories: NewHistories(64 << 20)})
	if err != nil {
		b.Fatal(err)
	}
	const users = 20000
	index := uint64(0)
	for u := range users {
		events := make([]fusion.Event, 20)
		for n := range events {
			events[n] = eventOf(fmt.Sprint("u", u), n)
		}
		index++
		if _, err := s.Apply(index, EncodeBatch(nil, events)); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.cur.db.Flush(); err != nil {
		b.Fatal(err)
	}
	for u := range users {
		if _, err := s.History(b.Context(), fmt.Sprint("u", u)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		user := fmt.Sprint("u", n*7919%users)
		index++
		if _, err := s.Apply(index, EncodeBatch(nil, []fusion.Event{eventOf(user, 100+n)})); err != nil {
			b.Fatal(err)
		}
		if _, err := s.History(b.Context(), user); err != nil {
			b.Fatal(err)
		}
		n++
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

// TestHistoriesByTurns: who is asked for and changes by turns takes the room of one history.
func TestHistoriesByTurns(t *testing.T) {
	h := NewHistories(1 << 20).of()
	for range 100 {
		_, _, before := h.get("a")
		h.put("a", []fusion.Event{eventOf("a", 1)}, before)
		forget(h, "a")
	}
	s, _ := h.shard("a")
	if len(s.young.bytes) != 0 || len(s.young.at) != 0 {
		t.Errorf("%d bytes for a user who is not kept", len(s.young.bytes))
	}
}

// TestHistoriesOfOneHash: of two users with the same hash, and of the same user in two stores, none gets the events of the other.
func TestHistoriesOfOneHash(t *testing.T) {
	var s historyShard
	s.keep(1000, 9, 1, 7, "a", packHistory([]fusion.Event{eventOf("a", 1)}), 0)
	for _, x := range []struct {
		owner uint64
		user  string
		want  bool
	}{{1, "b", false}, {2, "a", false}, {1, "a", true}} {
		if stamp, packed := s.young.find(x.owner, 7, x.user); (packed != nil) != x.want || x.want != (stamp == 9) {
			t.Errorf("%s of %d has %d bytes with the stamp %d; want the events of a of 1 alone", x.user, x.owner, len(packed), stamp)
		}
	}
	// What a user had before an event is found no more, whoever takes the place of what it has now.
	for _, room := range []int{0, 100} {
		var s historyShard
		s.keep(1000, 1, 1, 7, "a", packHistory([]fusion.Event{eventOf("a", 1)}), room)
		s.young, s.old = generation{}, s.young
		_, packed := s.old.find(1, 7, "a")
		s.keep(1000, 1, 1, 7, "a", packed, room)
		s.add(1000, 2, 1, 7, "a", []fusion.Event{eventOf("a", 2)})
		if stamp, packed := s.young.find(1, 7, "a"); stamp != 2 || len(unpackHistory("a", packed)) != 2 {
			t.Errorf("room %d: stamp %d, %q", room, stamp, packed)
		}
		s.keep(1000, 3, 1, 7, "b", packHistory(nil), 0)
		for _, g := range []*generation{&s.young, &s.old} {
			if stamp, packed := g.find(1, 7, "a"); packed != nil {
				t.Errorf("room %d: what was there before is found: stamp %d, %q", room, stamp, packed)
			}
		}
	}
	all := NewHistories(1 << 20)
	one, other := all.of(), all.of()
	one.put("a", []fusion.Event{eventOf("a", 1)}, 0)
	if _, ok, _ := other.get("a"); ok {
		t.Error("a store has the events of another")
	}
}

// TestHistoriesNeverLag appends events of few users, one after the other, while others read: once an append has been applied every read has it.
func TestHistoriesNeverLag(t *testing.T) {
	s := openMem(t)
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Second)
	defer stop()
	var reading sync.WaitGroup
	for range 3 {
		reading.Go(func() {
			for ctx.Err() == nil {
				if _, err := s.History(t.Context(), "a"); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for n := 0; n < 2000 && ctx.Err() == nil; n++ {
		apply(t, s, uint64(n+1), eventOf("a", n))
		if got, err := s.History(t.Context(), "a"); err != nil || len(got) != n+1 {
			t.Fatalf("%d events, %v after %d were applied", len(got), err, n+1)
		}
	}
	stop()
	reading.Wait()
}
