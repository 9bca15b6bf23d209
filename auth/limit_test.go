package auth

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-io/kith/node/wire"
)

func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &limits{rate: 2}
		own, other := &Caller{Kind: "key", ID: "a", rate: 10, burst: 3}, &Caller{Kind: "token", ID: "a"}
		for range 3 {
			if err := l.take(own); err != nil {
				t.Fatalf("within the burst: %v", err)
			}
		}
		err := l.take(own)
		if pause := wire.RetryIn(err); !errors.Is(err, wire.ErrLimited) || pause != 100*time.Millisecond {
			t.Fatalf("got %v; want it limited for 100 ms", err)
		}
		for range 2 { // those of a second
			if err := l.take(other); err != nil {
				t.Errorf("another caller: %v", err)
			}
		}
		if err := l.take(other); !errors.Is(err, wire.ErrLimited) {
			t.Errorf("beyond the rate of the server: %v", err)
		}
		time.Sleep(100 * time.Millisecond)
		if err := l.take(own); err != nil {
			t.Errorf("after the pause that was asked for: %v", err)
		}
		if err := l.take(own); err == nil {
			t.Error("the pause brought more than one call")
		}
		// Messages of a call that goes on wait, and end with it.
		began := time.Now()
		if err := l.wait(t.Context(), own); err != nil || time.Since(began) != 100*time.Millisecond {
			t.Errorf("waited %v, %v; want 100 ms", time.Since(began), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := l.wait(ctx, own); !errors.Is(err, wire.ErrLimited) {
			t.Errorf("beyond the deadline: %v", err)
		}
		// A file of keys with another rate counts at once.
		own.rate, own.burst = 1000, 1000
		time.Sleep(time.Second)
		_ = l.take(own) // from here on the bucket fills faster
		time.Sleep(time.Second)
		for n := range 1000 {
			if err := l.take(own); err != nil {
				t.Fatalf("call %d of 1000: %v", n, err)
			}
		}
		if err := (&limits{}).take(other); err != nil {
			t.Errorf("without a bound: %v", err)
		}
		node := &Caller{Kind: "certificate", ID: "a", Roles: []Role{Node}}
		for range 10 {
			if err := l.take(node); err != nil {
				t.Errorf("a server of the cluster: %v", err)
			}
		}
	})
}

func TestLimitsForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &limits{rate: 1}
		for n := range 3 * maxBuckets {
			if err := l.take(&Caller{Kind: "token", ID: fmt.Sprint(n)}); err != nil {
				t.Fatal(err)
			}
			if n == 2*maxBuckets {
				time.Sleep(2 * time.Second)
			}
		}
		if n := len(l.buckets); n > maxBuckets {
			t.Errorf("%d callers are remembered, want %d at most", n, maxBuckets)
		}
	})
}
