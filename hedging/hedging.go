// Package hedging says when a call that takes unusually long may be made at a second server as well, and how many may: after the time in which 95% of its kind are answered,
// and for a share of all calls; and makes the two calls. Dean and Barroso, The tail at scale, 2013 [dean2013].
package hedging

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// window is the number of latencies that quantiles are of.
	window = 512
	// warmUp is the number of latencies before quantiles are known.
	warmUp = 64
	// recount is the number of latencies after which quantiles are found anew.
	recount = 32
)

// Latencies keeps the last latencies of a kind of reads, and their quantiles. It is safe for concurrent use, and nobody waits for another.
type Latencies struct {
	median, p95 atomic.Int64 // in nanoseconds

	mu    sync.Mutex // guards all below
	ring  []time.Duration
	at    int // the oldest, once the ring is full
	fresh int // since the quantiles were found
}

// Add takes a latency, unless another is taken at that moment: so many come then that one does not count. An attempt that was given up after more than the 95th percentile counts with the time until then: it would have
// been longer, but is above the percentile in any case. Without it hedging would hide the slow ones, and the percentile would sink.
func (l *Latencies) Add(d time.Duration) {
	if !l.mu.TryLock() {
		return
	}
	defer l.mu.Unlock()
	if len(l.ring) < window {
		l.ring = append(l.ring, d)
	} else {
		l.ring[l.at] = d
		l.at = (l.at + 1) % window
	}
	l.fresh++
	if len(l.ring) < warmUp || l.median.Load() > 0 && l.fresh < recount {
		return
	}
	sorted := slices.Sorted(slices.Values(l.ring))
	l.p95.Store(int64(sorted[len(sorted)*95/100]))
	l.median.Store(int64(max(1, sorted[len(sorted)/2])))
	l.fresh = 0
}

// Quantiles returns the median and the 95th percentile, or zeros while too few latencies are known.
func (l *Latencies) Quantiles() (median, p95 time.Duration) {
	return time.Duration(l.median.Load()), time.Duration(l.p95.Load())
}

// A token has so many parts, and maxTokens of them bound the hedges that may come at once after a quiet time.
const (
	parts     = 1 << 20
	maxTokens = 10
)

// Budget lets hedges be a share of all reads: each read earns a share of a token, each hedge costs one. It is safe for concurrent use, and takes no lock.
type Budget struct {
	share  int64 // in parts
	tokens atomic.Int64
}

// NewBudget returns a budget without tokens.
func NewBudget(share float64) *Budget { return &Budget{share: int64(share * parts)} }

// Earn counts a read.
func (b *Budget) Earn() {
	for {
		has := b.tokens.Load()
		if has == maxTokens*parts || b.tokens.CompareAndSwap(has, min(maxTokens*parts, has+b.share)) {
			return
		}
	}
}

// Spend reports whether a hedge may be sent, and counts it.
func (b *Budget) Spend() bool {
	for {
		has := b.tokens.Load()
		if has < parts {
			return false
		}
		if b.tokens.CompareAndSwap(has, has-parts) {
			return true
		}
	}
}
