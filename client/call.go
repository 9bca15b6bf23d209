package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"

	"github.com/kith-io/kith/hedging"
)

const (
	// firstPause is the pause before the second attempt; each further one is twice as long, up to longestPause.
	firstPause   = 25 * time.Millisecond
	longestPause = time.Second
)

// plan is how a call is made.
type plan struct {
	// op names it in errors.
	op string
	// timeout bounds all attempts where the context does not, attempt one where there are several nodes.
	timeout, attempt time.Duration
	// once forbids a second attempt: repeating the call might change what it does.
	once bool
	// kind has the latencies of reads, which may be hedged; nil for writes.
	kind *hedging.Latencies
}

// read is the plan of a read.
func (c *Client) read(op, method string) plan {
	return plan{op: op, timeout: c.cfg.timeout, attempt: c.cfg.attemptTimeout, kind: c.kinds[method]}
}

// write is the plan of a write.
func (c *Client) write(op string) plan {
	return plan{op: op, timeout: c.cfg.writeTimeout, attempt: slowWrites * c.cfg.attemptTimeout}
}

// call runs f with one node after the other until it succeeds, fails for good, or the time is over. Errors are *Error, or ErrClosed.
func call[T any](ctx context.Context, c *Client, p plan, f func(context.Context, *grpc.ClientConn) (T, error)) (T, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.timeout)
		defer cancel()
	}
	if p.kind != nil {
		c.hedges.Earn()
	}
	var none T
	var last *Error
	var tried []*node
	for attempts := 1; ; attempts++ {
		n := c.nodes.pick(tried)
		if n == nil {
			return none, ErrClosed
		}
		tried = append(tried, n)
		value, err := race(ctx, c, p, &tried, n, f)
		if err == nil {
			return value, nil
		}
		if last != nil && ctx.Err() != nil {
			last.cause = errors.Join(last.cause, ctx.Err()) // the one before says more than that the time is over
			return none, last
		}
		last = err
		last.Attempts = attempts
		if p.once || !err.passes() || ctx.Err() != nil {
			return none, err
		}
		if wait(ctx, pause(attempts, err.RetryIn)) != nil {
			last.cause = errors.Join(last.cause, ctx.Err())
			return none, last
		}
	}
}

// pause is how long to wait after an attempt failed: a random time of a range that doubles, and no less than the server asks for [brooker2015].
func pause(attempts int, asked time.Duration) time.Duration {
	d := min(longestPause, firstPause<<min(attempts-1, 10))
	return max(asked, d/2) + rand.N(d/2)
}

// wait waits for d. Where ctx ends earlier it returns an error at once: waiting for that would tell nothing new.
func wait(ctx context.Context, d time.Duration) error {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < d {
		return context.DeadlineExceeded
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// outcome is that of one attempt.
type outcome[T any] struct {
	value T
	err   *Error
}

// race makes an attempt at a node, and, if it takes long and hedges are allowed, one at another: the first good answer counts, or the
// last error. Both have ended when it returns.
func race[T any](ctx context.Context, c *Client, p plan, tried *[]*node, first *node, f func(context.Context, *grpc.ClientConn) (T, error)) (T, *Error) {
	var after time.Duration
	if p.kind != nil && c.cfg.hedging > 0 {
		_, after = p.kind.Quantiles()
	}
	at := func(n *node) func(context.Context) outcome[T] {
		return func(ctx context.Context) outcome[T] {
			value, err := try(ctx, c, p, n, f)
			return outcome[T]{value, err}
		}
	}
	second := func() func(context.Context) outcome[T] {
		n := c.hedge(*tried)
		if n == nil {
			return nil
		}
		*tried = append(*tried, n)
		return at(n)
	}
	o := hedging.Race(ctx, after, at(first), second, func(o outcome[T]) bool { return o.err == nil || !o.err.passes() })
	return o.value, o.err
}

// hedge returns a node for a second attempt at the same time, if the budget allows one and there is a node that is well.
func (c *Client) hedge(tried []*node) *node {
	n := c.nodes.another(tried)
	if n != nil && !c.hedges.Spend() {
		c.nodes.release(n, unknown)
		return nil
	}
	return n
}

// try makes one attempt and releases the node.
func try[T any](ctx context.Context, c *Client, p plan, n *node, f func(context.Context, *grpc.ClientConn) (T, error)) (T, *Error) {
	attempt := ctx
	if c.nodes.several() {
		var cancel context.CancelFunc
		attempt, cancel = context.WithTimeout(ctx, p.attempt)
		defer cancel()
	}
	began := time.Now()
	value, err := f(attempt, n.conn)
	took := time.Since(began)
	var median, p95 time.Duration
	if p.kind != nil {
		median, p95 = p.kind.Quantiles()
		if err == nil || took >= p95 && attempt.Err() != nil {
			p.kind.Add(took)
		}
	}
	if err == nil {
		v := good
		if median > 0 && took > max(slowLeast, slowFactor*median) {
			v = slow
		}
		c.nodes.release(n, v)
		return value, nil
	}
	e := failure(p.op, n.addr, err)
	v := good // it answered
	switch {
	case errors.Is(context.Cause(ctx), hedging.ErrLost) && took >= p95: // not the hedge, which came later
		v = slow
	case ctx.Err() != nil:
		v = unknown // the caller gave up
	case e.faulty():
		v = bad
	}
	c.nodes.release(n, v)
	return value, e
}
