package node_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-io/kith/node"
	"github.com/kith-io/kith/node/wire"
)

// TestInflightHoldsItsBound lets many callers take and free at random, and looks at what they hold together.
func TestInflightHoldsItsBound(t *testing.T) {
	const limit = 1 << 20
	f := node.NewInflight("n1", limit)
	var held, refused atomic.Int64
	var callers sync.WaitGroup
	for c := range 16 {
		callers.Go(func() {
			for i := range 2000 {
				bytes := int64((c*7919 + i*104729) % (400 << 10))
				free, err := f.Take(bytes)
				if err != nil {
					refused.Add(1)
					continue
				}
				if now := held.Add(bytes); now > limit {
					t.Errorf("%d bytes are under way, bound %d", now, limit)
				}
				held.Add(-bytes)
				free()
			}
		})
	}
	callers.Wait()
	if now, peak := f.Bytes(); now != 0 || peak == 0 || peak > limit {
		t.Errorf("at the end %d bytes, peak %d; want 0 and at most %d", now, peak, limit)
	}
}

func TestInflightRefusesWithAHint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := node.NewInflight("n1", 1<<20)
		free, err := f.Take(100 << 20)
		if err != nil {
			t.Fatalf("a call larger than the bound, with nothing else under way: %v", err)
		}
		if _, err := f.Take(1); !errors.Is(err, wire.ErrOverloaded) || wire.RetryIn(err) < 50*time.Millisecond {
			t.Fatalf("got %v, want ErrOverloaded with a hint of 50ms or more", err)
		}
		time.Sleep(time.Minute) // of the fake clock: calls take long now
		free()
		free, err = f.Take(1 << 20)
		if err != nil {
			t.Fatalf("after the first call ended: %v", err)
		}
		defer free()
		_, err = f.Take(1)
		if got := wire.RetryIn(err); got < time.Second || got > 5*time.Second {
			t.Errorf("hint when calls take a minute: got %v, want some seconds", got)
		}
	})
}
