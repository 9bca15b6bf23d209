package worker

import (
	"context"
	"testing"
	"time"
)

// TestPartsAreDroppedAfterTwoUses checks that parts are kept for the block and the side, and made anew for who asks later.
func TestPartsAreDroppedAfterTwoUses(t *testing.T) {
	b := &newTasks(1, 1).blocks[0]
	fetched := 0
	get := func() int {
		t.Helper()
		if _, err := b.parts.get(t.Context(), func() ([][]byte, error) { fetched++; return [][]byte{{1}}, nil }); err != nil {
			t.Fatal(err)
		}
		return fetched
	}
	for n, want := range []int{1, 1, 2} { // fetched, kept after the first use, dropped after the second
		if got := get(); got != want {
			t.Errorf("before use %d: fetched %d times, want %d", n+1, got, want)
		}
		b.used()
	}
}

func TestOnceCanBeTriedAgain(t *testing.T) {
	o := newOnce[int]()
	if _, err := o.get(t.Context(), func() (int, error) { return 0, context.Canceled }); err == nil {
		t.Error("an error was not returned")
	}
	if got, err := o.get(t.Context(), func() (int, error) { return 7, nil }); got != 7 || err != nil {
		t.Errorf("got %d, %v; want 7", got, err)
	}
	o.lock <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := o.get(ctx, nil); err == nil {
		t.Error("a wait did not end with its context")
	}
}

// TestIdleClock plays two calls with a pause between them, on two threads.
func TestIdleClock(t *testing.T) {
	var c idleClock
	at := func(seconds int) time.Time { return time.Unix(1000+int64(seconds), 0) }
	check := func(seconds int, want time.Duration) {
		t.Helper()
		if got := c.idle(at(seconds), 2); got != want {
			t.Errorf("after %d s: idle for %v, want %v", seconds, got, want)
		}
	}
	check(0, 0)
	c.call(at(1), true)
	c.work(at(2), 1) // both were idle for a second
	check(2, 2*time.Second)
	c.work(at(3), 1) // one was for another
	check(5, 3*time.Second)
	c.work(at(6), -1)
	c.work(at(6), -1)
	c.call(at(6), false)
	check(6, 3*time.Second)
	check(9, 3*time.Second) // no call may follow
	c.call(at(10), true)    // one does: both were idle for four seconds
	c.work(at(10), 2)
	check(12, 11*time.Second)
	c.work(at(12), -2)
	c.call(at(12), false)
	check(20, 11*time.Second)
}
