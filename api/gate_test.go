package api

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-io/kith/node/wire"
)

// TestGateOverload asks a server that can answer 100 queries a second for twice as many, with one second of patience each: half of the answers could be in time, and
// are, but for those that wait behind what was let in before the bound was found.
func TestGateOverload(t *testing.T) {
	const capacity, rate, seconds, patience = 100, 200, 60, time.Second
	for _, gated := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			g, server := newGate(), make(chan struct{}, 1)
			var inTime, refused atomic.Int64
			var queries sync.WaitGroup
			for range rate * seconds {
				queries.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					defer cancel()
					if gated {
						turn, err := g.enter(ctx)
						if err != nil {
							if !errors.Is(err, wire.ErrOverloaded) || wire.RetryIn(err) != turnPause {
								t.Errorf("refused with %v", err)
							}
							refused.Add(1)
							return
						}
						defer turn.leave()
					}
					server <- struct{}{} // as a server that does not notice that nobody waits for it
					time.Sleep(time.Second / capacity)
					<-server
					if ctx.Err() == nil {
						inTime.Add(1)
					}
				})
				time.Sleep(time.Second / rate)
			}
			queries.Wait()
			share := float64(inTime.Load()) / (rate * seconds)
			t.Logf("gated %t: %.2f of the answers in time, %d refused, limit %d", gated, share, refused.Load(), g.limit.Load())
			if gated && share < 0.4 || !gated && share > 0.05 {
				t.Errorf("gated %t: %.2f of the answers in time", gated, share)
			}
			if g.underWay.Load() != 0 {
				t.Errorf("%d under way at the end", g.underWay.Load())
			}
		})
	}
}

// TestGateIsFelt checks that only queries that are late while there are many lower the bound, and that it comes back.
func TestGateIsFelt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		ask := func(n int, took time.Duration) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			var turns []turn
			for range n {
				turn, err := g.enter(ctx)
				if err != nil {
					t.Fatal(err)
				}
				turns = append(turns, turn)
			}
			time.Sleep(took)
			for _, turn := range turns {
				turn.leave()
			}
		}
		ask(500, 900*time.Millisecond)
		if got := g.limit.Load(); got != firstTurns {
			t.Errorf("a few that are late: limit %d, want %d", got, firstTurns)
		}
		ask(1000, 900*time.Millisecond)
		if got := g.limit.Load(); got != 700 {
			t.Errorf("many that are late: limit %d, want 700", got)
		}
		for range 20 {
			ask(int(g.limit.Load()), 900*time.Millisecond)
		}
		if got := g.limit.Load(); got != leastTurns {
			t.Errorf("late again and again: limit %d, want %d", got, leastTurns)
		}
		for i := 0; i < 500 && g.limit.Load() < mostTurns; i++ {
			ask(int(g.limit.Load()), 10*time.Millisecond)
		}
		if got := g.limit.Load(); got != mostTurns {
			t.Errorf("in time: limit %d, want %d", got, mostTurns)
		}
	})
}
