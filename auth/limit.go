package auth

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/kith-io/kith/node/wire"
)

// maxBuckets bounds the callers whose calls are counted; of more than that, those that have been quiet are forgotten.
const maxBuckets = 10_000

// limits bounds the calls of each caller by a token bucket.
type limits struct {
	// rate is that of callers without one of their own, in calls a second; 0 means no bound.
	rate float64

	mu      sync.Mutex // guards buckets
	buckets map[string]*rate.Limiter
}

// bucket returns that of a caller, or nil if its calls are not bounded: those of servers of the cluster, or where all are alike.
func (l *limits) bucket(c *Caller) *rate.Limiter {
	if slices.Contains(c.Roles, Node) {
		return nil
	}
	perSecond, burst := c.rate, c.burst
	if perSecond == 0 {
		perSecond = l.rate
	}
	if perSecond == 0 {
		return nil
	}
	if burst == 0 {
		burst = max(1, int(math.Ceil(perSecond))) // the calls of a second at once
	}
	name := c.Kind + " " + c.ID
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets[name]
	if b == nil {
		if len(l.buckets) >= maxBuckets {
			l.forget()
		}
		b = rate.NewLimiter(rate.Limit(perSecond), burst)
		if l.buckets == nil {
			l.buckets = map[string]*rate.Limiter{}
		}
		l.buckets[name] = b
	}
	if b.Limit() != rate.Limit(perSecond) || b.Burst() != burst { // the file of keys has changed
		b.SetLimit(rate.Limit(perSecond))
		b.SetBurst(burst)
	}
	return b
}

// forget drops the buckets that are full: a new one is the same. If none is, all are dropped, which gives their callers a burst.
func (l *limits) forget() {
	before := len(l.buckets)
	for name, b := range l.buckets {
		if b.Tokens() >= float64(b.Burst()) {
			delete(l.buckets, name)
		}
	}
	if len(l.buckets) == before {
		clear(l.buckets)
	}
}

// take counts a call. An error matches wire.ErrLimited and says when to come back.
func (l *limits) take(c *Caller) error {
	b := l.bucket(c)
	if b == nil {
		return nil
	}
	r := b.Reserve()
	if pause := r.Delay(); pause > 0 {
		r.Cancel()
		return &wire.LimitedError{RetryIn: max(pause.Round(time.Millisecond), time.Millisecond)}
	}
	return nil
}

// wait counts one more message of a call that goes on, when there is room for it: the caller is held up and not refused.
func (l *limits) wait(ctx context.Context, c *Caller) error {
	b := l.bucket(c)
	if b == nil {
		return nil
	}
	if err := b.Wait(ctx); err != nil {
		return errors.Join(ctx.Err(), &wire.LimitedError{RetryIn: time.Second}) // it would be longer than the deadline of the call
	}
	return nil
}
