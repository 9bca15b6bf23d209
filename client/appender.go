package client

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Defaults of an AppenderConfig.
const (
	// DefaultBatch is as many events as one message takes.
	DefaultBatch = messageEvents
	// DefaultQueue lets ten batches wait while a cluster is slow.
	DefaultQueue = 10 * DefaultBatch
	// DefaultInterval is how long a page may be behind in what it knows of its user.
	DefaultInterval = 200 * time.Millisecond
)

// AppenderConfig are the settings of an Appender. Zeros mean the defaults.
type AppenderConfig struct {
	// Batch is the number of waiting events that are sent at once, up to 1,000.
	Batch int
	// Queue is the number of events that may wait or be on their way; Add waits with more.
	Queue int
	// Interval is how long an event may wait for others.
	Interval time.Duration
	// Lost is told of each event that was not stored: err is a Rejection, or an *Error after which the event may be added again. It is
	// called by one goroutine at a time, and holds up the appender until it returns; it must not call Flush or Close. May be nil.
	Lost func(e Event, err error)
}

func (cfg *AppenderConfig) complete() error {
	for _, x := range []struct {
		name           string
		value          *int
		standard, most int
	}{
		{"Batch", &cfg.Batch, DefaultBatch, messageEvents},
		{"Queue", &cfg.Queue, DefaultQueue, 10_000_000},
	} {
		if *x.value == 0 {
			*x.value = x.standard
		}
		if *x.value < 1 || *x.value > x.most {
			return fmt.Errorf("client: %s of the appender is %d; want 1 to %d", x.name, *x.value, x.most)
		}
	}
	if cfg.Interval == 0 {
		cfg.Interval = DefaultInterval
	}
	if cfg.Interval < 0 {
		return fmt.Errorf("client: Interval of the appender is %v; want more than 0", cfg.Interval)
	}
	return nil
}

// AppenderStats counts what became of the events of an Appender.
type AppenderStats struct {
	Added, Stored, Duplicates, Erased uint64
	// Lost are those that were rejected, or could not be stored in time.
	Lost uint64
}

// Appender stores events in the background, many at once, in the order in which they were added. It is safe for concurrent use. An
// event is durable when it was added before a Flush or Close that returned without an error; until then it is only in memory.
type Appender struct {
	c      *Client
	cfg    AppenderConfig
	slots  chan struct{} // one for each event that waits or is on its way
	wake   chan struct{} // the runner has something to look at; one word is enough
	ended  chan struct{} // closed when the runner has ended
	cancel context.CancelFunc

	mu      sync.Mutex // guards all below
	waiting []Event
	urgent  uint64 // somebody waits for as many of those added
	closed  bool
	stats   AppenderStats
	settled uint64        // of those added, how many are dealt with
	change  chan struct{} // closed, and made anew, when settled grows
	loss    error         // the first
}

// NewAppender returns an appender that runs. ctx is that of its life, as in New: when it is done, what waits is lost and reported.
// The caller must Close it, before the client.
func (c *Client) NewAppender(ctx context.Context, cfg AppenderConfig) (*Appender, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	a := &Appender{
		c: c, cfg: cfg, slots: make(chan struct{}, cfg.Queue), wake: make(chan struct{}, 1),
		ended: make(chan struct{}), change: make(chan struct{}),
	}
	ctx, a.cancel = context.WithCancel(ctx)
	go a.run(ctx) // Close waits for it
	return a, nil
}

// Add hands over an event, and gives it an id and a time if it has none. It waits while the queue is full. Its errors are ErrClosed, that
// of ctx, and one that matches Invalid for an event that is too large to send.
func (a *Appender) Add(ctx context.Context, e Event) error {
	e.complete()
	if _, err := message([]Event{e}); err != nil {
		return err
	}
	select {
	case a.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-a.ended:
		return ErrClosed
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		<-a.slots
		return ErrClosed
	}
	a.waiting = append(a.waiting, e)
	a.stats.Added++
	if n := len(a.waiting); n == 1 || n == a.cfg.Batch {
		a.rouse()
	}
	return nil
}

// rouse tells the runner to look.
func (a *Appender) rouse() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// Flush sends what waits, and returns when all events that were added before are dealt with, or ctx is done. Lost and Stats tell what became
// of them.
func (a *Appender) Flush(ctx context.Context) error {
	a.mu.Lock()
	target := a.stats.Added
	a.urgent = max(a.urgent, target)
	a.rouse()
	for a.settled < target {
		change := a.change
		a.mu.Unlock()
		select {
		case <-change:
		case <-ctx.Done():
			return ctx.Err()
		}
		a.mu.Lock()
	}
	a.mu.Unlock()
	return nil
}

// Close takes no more events, sends what waits, and returns when all is dealt with. When ctx is done before, the rest is given up and
// reported as lost. Its error says how many events were lost, and why the first was.
func (a *Appender) Close(ctx context.Context) error {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.rouse()
	select {
	case <-a.ended:
	case <-ctx.Done():
		a.cancel()
		<-a.ended
	}
	a.cancel()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stats.Lost > 0 {
		return fmt.Errorf("append: %d of %d events were not stored, the first: %w", a.stats.Lost, a.stats.Added, a.loss)
	}
	return nil
}

// Stats returns the counts so far.
func (a *Appender) Stats() AppenderStats {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.stats
}

// run sends batches until the appender is closed and empty, or ctx is done.
func (a *Appender) run(ctx context.Context) {
	defer close(a.ended)
	timer := time.NewTimer(a.cfg.Interval)
	timer.Stop()
	late := false // the first event has waited long enough
	for {
		batch, waits, closed := a.take(late || ctx.Err() != nil)
		late = false
		switch {
		case len(batch) > 0:
			a.send(ctx, batch)
			continue
		case closed:
			timer.Stop()
			return
		case waits:
			timer.Reset(a.cfg.Interval)
		}
		select {
		case <-a.wake:
		case <-timer.C:
			late = true
		case <-ctx.Done():
			a.mu.Lock()
			a.closed = true
			a.mu.Unlock()
		}
	}
}

// take returns the next batch, if it is full or somebody waits for it; otherwise whether events wait. closed says that no more will come.
func (a *Appender) take(now bool) (batch []Event, waits, closed bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := min(len(a.waiting), a.cfg.Batch)
	if n == 0 {
		return nil, false, a.closed
	}
	if n < a.cfg.Batch && !now && a.settled >= a.urgent && !a.closed {
		return nil, true, false
	}
	batch = a.waiting[:n:n]
	a.waiting = a.waiting[n:]
	return batch, false, false
}

// send stores a batch and reports what was lost.
func (a *Appender) send(ctx context.Context, batch []Event) {
	counts, err := a.c.Append(ctx, batch)
	refused := map[int]error{}
	for _, r := range counts.Rejected {
		refused[r.Index] = r
	}
	done := int(counts.Stored+counts.Duplicates+counts.Erased) + len(counts.Rejected) // those of the messages before an error
	if err != nil {
		for i := done; i < len(batch); i++ {
			refused[i] = err
		}
	}
	for i := range batch {
		if lost := refused[i]; lost != nil && a.cfg.Lost != nil {
			a.cfg.Lost(batch[i], lost)
		}
		<-a.slots
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := 0; i < len(batch) && a.loss == nil; i++ {
		a.loss = refused[i]
	}
	a.stats.Stored += counts.Stored
	a.stats.Duplicates += counts.Duplicates
	a.stats.Erased += counts.Erased
	a.stats.Lost += uint64(len(refused))
	a.settled += uint64(len(batch))
	close(a.change)
	a.change = make(chan struct{})
}
