package store

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"
	"unsafe"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/kith-io/kith/fusion"
)

func eventOf(user string, n int) fusion.Event {
	return event(user, fmt.Sprint(n), fmt.Sprint("i", n), int64(n+1))
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
	request := "GET /v1/users/nobody/recommendations"
	user := request[len("GET /v1/users/"):][:len("nobody")]
	check(user)
	for kept := range s.cur.histories.shard(user).events {
		if unsafe.StringData(kept) == unsafe.StringData(user) {
			t.Error("the request is kept of which the user was a part")
		}
	}
}

// TestHistoriesAreBounded fills them far beyond their bound.
func TestHistoriesAreBounded(t *testing.T) {
	var h histories
	kept := func() (users, bytes int) {
		for i := range h {
			s := &h[i]
			sum := 0
			for user, events := range s.events {
				sum += sizeOfHistory(user, events)
			}
			if sum != s.bytes {
				t.Fatalf("a shard says %d bytes and has %d", s.bytes, sum)
			}
			users, bytes = users+len(s.events), bytes+sum
		}
		return users, bytes
	}
	for u := range 20_000 {
		user := fmt.Sprint("user", u)
		events := []fusion.Event{eventOf(user, 1), eventOf(user, 2)}
		_, ok, before := h.get(user)
		if ok {
			t.Fatalf("%s is known", user)
		}
		h.put(user, events, before)
		if got, ok, _ := h.get(user); !ok || len(got) != 2 {
			t.Fatalf("%s is not kept: %v", user, got)
		}
	}
	users, bytes := kept()
	if bytes > historiesBytes || bytes < historiesBytes*9/10 {
		t.Errorf("%d users with %d bytes are kept; want nearly %d", users, bytes, historiesBytes)
	}
	many := make([]fusion.Event, historiesBytes/historyShards/128/4)
	_, _, before := h.get("many")
	h.put("many", many, before)
	if _, ok, _ := h.get("many"); ok {
		t.Error("a history is kept that has a quarter of the room of many")
	}
	_, _, before = h.get("x")
	h.drop("x")
	h.put("x", nil, before)
	if _, ok, _ := h.get("x"); ok {
		t.Error("what was read before a change is kept after it")
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
