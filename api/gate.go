package api

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/kith-io/kith/node/wire"
)

const (
	// firstTurns is how many queries may be under way at a time when a server starts, and leastTurns and mostTurns are the bounds of that.
	firstTurns, leastTurns, mostTurns = 1024, 16, 4096
	// cutPause is the least time between two cuts: what was let in before the first is still to end.
	cutPause = 100 * time.Millisecond
	// leastPatience is how long a query may take however little time its caller gives it: callers in a hurry must not close the gate to others.
	leastPatience = 100 * time.Millisecond
	// turnPause is when one who is turned away may come back.
	turnPause = 100 * time.Millisecond
)

// gate bounds the queries that are under way at a time by what the server turns out to be able to do. Without it, a server that is asked for more than
// it can do works on all queries at once, and none of the answers is in time. The bound is cut to seven tenths of what is under way when a query takes more than
// half of its time, and grows while those who feel it are answered sooner, as a sender of TCP finds out what a path can carry [jacobson1988]. It takes no lock.
type gate struct {
	limit, underWay atomic.Int64
	sooner          atomic.Int64 // answers since the limit grew last
	cut             atomic.Int64 // when it was cut last, in Unix nanoseconds
}

func newGate() *gate {
	g := &gate{}
	g.limit.Store(firstTurns)
	return g
}

// begin lets a query in and sees that this process knows all decisions, unless the caller is content with old ones. The context that it returns has a deadline;
// done must be called, and only if there is no error. Errors match wire.ErrOverloaded and wire.ErrNotReady.
func (a *API) begin(ctx context.Context, stale bool) (_ context.Context, done func(), err error) {
	bounded := newDeadlined(ctx)
	turn, err := a.gate.enter(bounded)
	if err != nil {
		return ctx, nil, err
	}
	if err := a.coordinator.CatchUp(bounded); err != nil && !stale {
		turn.leave()
		bounded.end()
		return ctx, nil, err
	}
	return bounded, func() { turn.leave(); bounded.end() }, nil
}

// turn is a query that was let in.
type turn struct {
	gate     *gate
	began    time.Time
	patience time.Duration
}

// enter lets a query in, until leave of what it returns. ctx must have a deadline. An error matches wire.ErrOverloaded.
func (g *gate) enter(ctx context.Context) (turn, error) {
	deadline, _ := ctx.Deadline()
	if limit := g.limit.Load(); g.underWay.Add(1) > limit {
		g.underWay.Add(-1)
		return turn{}, fmt.Errorf("%d queries are under way: %w", limit, &wire.OverloadedError{RetryIn: turnPause})
	}
	now := time.Now()
	return turn{g, now, deadline.Sub(now)}, nil
}

// leave ends a query, and learns from how long it took.
func (t turn) leave() {
	g, now := t.gate, time.Now()
	underWay, limit := g.underWay.Add(-1)+1, g.limit.Load()
	if 2*underWay < limit {
		return // the bound is not felt; what is slow now is slow for another reason
	}
	if now.Sub(t.began) <= max(t.patience/2, leastPatience) {
		if g.sooner.Add(1) >= limit {
			g.sooner.Store(0)
			g.limit.CompareAndSwap(limit, min(mostTurns, limit+max(1, limit/16)))
		}
		return
	}
	last := g.cut.Load()
	if now.UnixNano()-last >= int64(cutPause) && g.cut.CompareAndSwap(last, now.UnixNano()) {
		g.limit.Store(max(leastTurns, underWay*7/10))
	}
}
