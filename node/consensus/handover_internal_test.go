package consensus

import (
	"errors"
	"slices"
	"sync"
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
	inVain := errors.New("in vain")
	offer := func(term uint64, transfer func() error) (made bool) {
		t.Helper()
		err := s.offer("c", term, func() error {
			made = true
			return transfer()
		})
		if made == (err != nil && !errors.Is(err, inVain)) {
			t.Errorf("an offer that was made (%v) ended with %v", made, err)
		}
		return made
	}
	well, vain := func() error { return nil }, func() error { return inVain }
	if !offer(1, func() error {
		if offer(1, well) {
			t.Error("two offers to one member")
		}
		check(1, "a", "b", "c")
		return nil
	}) {
		t.Error("nobody was offered leadership, and yet c may not be")
	}
	if !offer(1, vain) {
		t.Error("no offer after one that ended well")
	}
	for range transferSends {
		if offer(1, well) {
			t.Fatal("an offer to a member that did not take the last one")
		}
		s.sent("c")
	}
	if !offer(1, vain) {
		t.Error("no offer though the sender goes on")
	}
	check(1, "a", "b", "c")
	begun, release := make(chan struct{}), make(chan struct{})
	var later sync.WaitGroup
	if !offer(2, func() error {
		later.Go(func() {
			if !offer(3, func() error { close(begun); <-release; return nil }) {
				t.Error("no offer in another term")
			}
		})
		<-begun
		return nil
	}) {
		t.Error("no offer in another term")
	}
	if offer(3, well) {
		t.Error("the late end of an offer of an earlier term ends that of a later one")
	}
	close(release)
	later.Wait()
}
