package consensus

import (
	"slices"
	"testing"
	"time"
)

// TestFollowers checks when a member may be offered leadership, and who is asked first.
func TestFollowers(t *testing.T) {
	var s followers
	began := time.Now()
	order := func(term uint64) (ids []string) {
		members := []Member{{ID: "a"}, {ID: "b"}, {ID: "c"}}
		s.sort(members, term, began)
		for _, m := range members {
			ids = append(ids, m.ID)
		}
		return ids
	}
	check := func(term uint64, want ...string) {
		t.Helper()
		if got := order(term); !slices.Equal(got, want) {
			t.Errorf("order %q, want %q", got, want)
		}
	}
	check(1, "a", "b", "c")
	s.heard("c")
	check(1, "c", "a", "b")
	if !s.offer("c", 1) {
		t.Error("nobody was offered leadership, and yet c may not be")
	}
	if s.offer("c", 1) {
		t.Error("two offers to one member")
	}
	check(1, "a", "b", "c")
	s.ended("c", 1, false)
	if !s.offer("c", 1) {
		t.Error("no offer after one that ended well")
	}
	s.ended("c", 1, true)
	for range transferSends {
		if s.offer("c", 1) {
			t.Fatal("an offer to a member that did not take the last one")
		}
		s.sent("c")
	}
	if !s.offer("c", 1) {
		t.Error("no offer though the sender goes on")
	}
	s.ended("c", 1, true)
	if check(1, "a", "b", "c"); !s.offer("c", 2) {
		t.Error("no offer in another term")
	}
	s.ended("c", 1, false)
	if s.offer("c", 2) {
		t.Error("the late end of an offer of an earlier term ends that of a later one")
	}
}
