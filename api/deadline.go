package api

import (
	"context"
	"sync"
	"time"
)

// withDeadline gives ctx a deadline unless it has one.
func withDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, defaultDeadline)
}

// deadlined is what withDeadline returns, for queries: most are answered from memory before anybody waits for the end of their context, so it is made when
// somebody does. A timer for each is a fiftieth of what they cost. It is safe for concurrent use.
type deadlined struct {
	context.Context // of the caller
	deadline        time.Time

	mu     sync.Mutex         // guards what follows
	made   context.Context    // nil until somebody waits
	cancel context.CancelFunc // of made
	ended  bool
}

func newDeadlined(ctx context.Context) *deadlined {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(defaultDeadline)
	}
	return &deadlined{Context: ctx, deadline: deadline}
}

// end cancels what was made of the context.
func (d *deadlined) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = true
	if d.made != nil {
		d.cancel()
	}
}

// Deadline implements context.Context.
func (d *deadlined) Deadline() (time.Time, bool) { return d.deadline, true }

// Done implements context.Context.
func (d *deadlined) Done() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.made == nil {
		d.made, d.cancel = context.WithDeadline(d.Context, d.deadline)
		if d.ended {
			d.cancel()
		}
	}
	return d.made.Done()
}

// Err implements context.Context.
func (d *deadlined) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.made != nil:
		return d.made.Err()
	case d.Context.Err() != nil:
		return d.Context.Err()
	case d.ended:
		return context.Canceled
	case !time.Now().Before(d.deadline):
		return context.DeadlineExceeded
	}
	return nil
}

// Value implements context.Context. By it contexts that are made of this one find what to end with.
func (d *deadlined) Value(key any) any {
	d.mu.Lock()
	of := d.made
	d.mu.Unlock()
	if of == nil {
		of = d.Context
	}
	return of.Value(key)
}
