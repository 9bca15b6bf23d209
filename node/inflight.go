package node

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/kith-io/kith/node/wire"
)

const (
	// callBytes is what a call takes besides its events: stacks and futures.
	callBytes = 4 << 10
	// leastRetry and mostRetry bound the pause that a refused caller is asked to make.
	leastRetry = 50 * time.Millisecond
	mostRetry  = 5 * time.Second
	// meanShare is the weight of the newest call, one in so many, in the mean of how long calls take.
	meanShare = 8
)

// Inflight bounds the bytes of events that wait for something, such as an answer or a disk. What is beyond the bound is
// refused and not queued: a queue in front of a bound is another one without. It is safe for concurrent use.
//
// Bytes are those of the wire. In memory, decoded and encoded for the log, small events take five times as much and more.
type Inflight struct {
	node  string
	limit int64

	mu   sync.Mutex // guards what follows
	held int64
	peak int64         // the most that was held
	mean time.Duration // of how long calls took lately
	// refused is the number of calls that there was no room for.
	refused uint64
}

// NewInflight returns an Inflight of a node with nothing under way.
func NewInflight(node string, limitBytes int64) *Inflight {
	return &Inflight{node: node, limit: limitBytes, mean: leastRetry}
}

// Take counts a call with bytes of events as under way until free is called, which must happen once. It never waits: if
// there is no room it returns an error that matches wire.ErrOverloaded and says when there may be. A call that is larger than the
// bound has room when there is nothing else.
func (f *Inflight) Take(bytes int64) (free func(), err error) {
	bytes = min(max(bytes, 0)+callBytes, f.limit)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.held+bytes > f.limit {
		f.refused++
		// The calls under way end about when a usual one ends. Those refused should not all come back at once.
		pause := time.Duration(float64(f.mean) * (0.75 + 0.5*rand.Float64()))
		pause = min(max(pause, leastRetry), mostRetry).Round(time.Millisecond)
		return nil, fmt.Errorf("node %s has %d of %d KiB of events under way: %w", f.node, f.held>>10, f.limit>>10, &wire.OverloadedError{RetryIn: pause})
	}
	f.held += bytes
	f.peak = max(f.peak, f.held)
	began := time.Now()
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.held -= bytes
		f.mean += (time.Since(began) - f.mean) / meanShare
	}, nil
}

// Bytes returns what is under way now, and the most that ever was.
func (f *Inflight) Bytes() (held, peak int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.held, f.peak
}

// now returns what is under way, and how many calls were refused so far.
func (f *Inflight) now() (held int64, refused uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.held, f.refused
}
