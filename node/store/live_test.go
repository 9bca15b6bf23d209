package store

import (
	"context"
	"errors"
	"testing"

	"github.com/kith-io/kith/fusion"
)

// holdPasses lets no pass over all events begin until the result is called.
func holdPasses() (release func()) {
	for range cap(passes) {
		passes <- struct{}{}
	}
	return func() {
		for range cap(passes) {
			<-passes
		}
	}
}

// TestPassOutlivesItsQuestion: what is made of all events is made although nobody waits for it any more, once, and is there for the next question.
func TestPassOutlivesItsQuestion(t *testing.T) {
	s := openMem(t)
	apply(t, s, 1, fusion.Event{User: "u", Item: "i", Behavior: fusion.Purchase, Value: 1, Time: 5, ID: "1"})
	release := holdPasses()
	gone, leave := context.WithCancel(t.Context())
	leave()
	var first *pass[*windows]
	for range 2 {
		if _, err := s.Last(gone, 1, 10); !errors.Is(err, context.Canceled) {
			t.Errorf("a question that nobody waits for ends with %v, want %v", err, context.Canceled)
		}
		if _, _, err := s.BoughtTogether(gone, "i"); !errors.Is(err, context.Canceled) {
			t.Errorf("a question about baskets that nobody waits for ends with %v, want %v", err, context.Canceled)
		}
		s.cur.mu.Lock()
		if first == nil {
			first = s.cur.windows.pass
		} else if first != s.cur.windows.pass {
			t.Error("each question has a pass of its own")
		}
		s.cur.mu.Unlock()
	}
	s.cur.mu.Lock()
	windows, baskets := s.cur.windows.pass, s.cur.baskets.pass
	s.cur.mu.Unlock()
	release()
	<-windows.done
	<-baskets.done
	if windows.err != nil || baskets.err != nil {
		t.Fatalf("passes end with %v and %v", windows.err, baskets.err)
	}
	defer holdPasses()() // no other pass is needed
	if last, err := s.Last(t.Context(), 1, 10); err != nil || len(last) != 1 || last[0].Item != "i" {
		t.Errorf("last events are %v, %v", last, err)
	}
	if _, n, err := s.BoughtTogether(t.Context(), "i"); err != nil || n != 1 {
		t.Errorf("the item is in %d baskets, %v", n, err)
	}
}

// TestCloseEndsPasses: a store that is closed waits for no pass, and who waits for one is told.
func TestCloseEndsPasses(t *testing.T) {
	s := openMem(t)
	defer holdPasses()()
	d := s.cur
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := s.Last(gone, 1, 10); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	d.mu.Lock()
	pass := d.windows.pass
	d.mu.Unlock()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	<-pass.done
	if !errors.Is(pass.err, ErrClosed) {
		t.Errorf("the pass ends with %v, want %v", pass.err, ErrClosed)
	}
}
