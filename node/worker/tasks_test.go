package worker

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-io/kith/fusion"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/similarity"
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
	for n, want := range []int{1, 1, 2, 3} { // fetched, kept after the first use, dropped after the second and each that follows
		if got := get(); got != want {
			t.Errorf("before use %d: fetched %d times, want %d", n+1, got, want)
		}
		b.used()
	}
}

// TestBlocksAndSidesAreDropped checks that they are dropped once lists are asked for, but for one that is being made.
func TestBlocksAndSidesAreDropped(t *testing.T) {
	tasks := newTasks(2, 1)
	tasks.sides[0].side.put(&similarity.Side{})
	for b := range tasks.blocks {
		tasks.blocks[b].lead.put(&similarity.Block{})
	}
	busy := &tasks.blocks[1].lead
	busy.lock <- struct{}{}
	tasks.rest()
	<-busy.lock
	if side, idle, busy := tasks.sides[0].side.has(), tasks.blocks[0].lead.has(), busy.has(); side || idle || !busy {
		t.Errorf("side %v, idle block %v and busy block %v are there, want the last alone", side, idle, busy)
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

// TestTurn checks that one side is held at a time, the lowest first, and that it is made once for those who follow each other.
func TestTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turn := newTurn()
		var mu sync.Mutex
		var made []int
		held, holders := -1, 0
		var wg sync.WaitGroup
		for _, n := range []int{2, 0, 1, 0, 2, 1, 1} {
			wg.Go(func() {
				time.Sleep(time.Millisecond) // all at once
				if _, err := turn.acquire(t.Context(), n, func() (*similarity.Side, error) {
					mu.Lock()
					defer mu.Unlock()
					if holders > 0 {
						t.Errorf("side %d is made while side %d is held", n, held)
					}
					made = append(made, n)
					return &similarity.Side{Lo: uint32(n)}, nil
				}); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if holders > 0 && held != n {
					t.Errorf("sides %d and %d are held", held, n)
				}
				held, holders = n, holders+1
				mu.Unlock()
				time.Sleep(time.Second)
				mu.Lock()
				holders--
				mu.Unlock()
				turn.release()
			})
		}
		wg.Wait()
		if !slices.IsSorted(made[1:]) || len(made) > 4 { // who comes first cannot know of the others
			t.Errorf("sides were made in the order %v, want ascending but for the first", made)
		}

		failed := errors.New("failed")
		if _, err := turn.acquire(t.Context(), 5, func() (*similarity.Side, error) { return nil, failed }); !errors.Is(err, failed) {
			t.Errorf("got %v, want %v", err, failed)
		}
		if _, err := turn.acquire(t.Context(), 5, func() (*similarity.Side, error) { return &similarity.Side{}, nil }); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := turn.acquire(ctx, 6, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("while another side is held: got %v, want the end of the context", err)
		}
		turn.drop() // it is held
		if turn.value == nil {
			t.Error("a side that is held was dropped")
		}
		turn.release()
		turn.drop()
		if turn.value != nil || len(turn.waiting) > 0 {
			t.Error("a side that nobody holds was kept, or somebody waits")
		}
	})
}

func TestFollowable(t *testing.T) {
	for _, tc := range []struct {
		name    string
		spec    *kithv1.BuildSpec
		options similarity.Options
		weights fusion.Weights
		want    bool
	}{
		{name: "cosine", options: similarity.Options{Measure: similarity.Cosine}, want: true},
		{name: "jaccard", options: similarity.Options{Measure: similarity.Jaccard}, want: true},
		{name: "tf-idf", options: similarity.Options{Measure: similarity.TFIDF}},
		{name: "decay", options: similarity.Options{Measure: similarity.Cosine}, weights: fusion.Weights{HalfLife: time.Hour}},
		{name: "models", options: similarity.Options{Measure: similarity.Cosine}, spec: &kithv1.BuildSpec{Models: []*kithv1.ModelSpec{{Kind: "als"}}}},
	} {
		if got := followable(tc.spec, &tc.options, &tc.weights); got != tc.want {
			t.Errorf("%s: got %v, want %v", tc.name, got, tc.want)
		}
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
