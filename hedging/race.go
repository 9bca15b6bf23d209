package hedging

import (
	"context"
	"errors"
	"time"
)

// ErrLost is why the call that lost a Race is given up.
var ErrLost = errors.New("another call was answered first")

// Race makes a call, and, when it has taken longer than after, the one that second returns, if any; after 0 is never. It returns the first outcome that settles the matter, or the last one.
// Of two calls the other is then canceled, with ErrLost as the cause. Both have ended when Race returns. second is called by the goroutine of the caller.
func Race[T any](ctx context.Context, after time.Duration, first func(context.Context) T, second func() func(context.Context) T, settles func(T) bool) T {
	if after == 0 {
		return first(ctx)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	outcomes := make(chan T, 2)            // nobody waits for the loser's
	go func() { outcomes <- first(ctx) }() // received below
	timer := time.NewTimer(after)
	defer timer.Stop()
	select {
	case o := <-outcomes:
		return o
	case <-timer.C:
	}
	other := second()
	if other == nil {
		return <-outcomes
	}
	go func() { outcomes <- other(ctx) }() // received below
	o := <-outcomes
	if !settles(o) {
		return <-outcomes
	}
	cancel(ErrLost)
	<-outcomes
	return o
}
