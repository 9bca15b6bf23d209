// Package hedging says when a call that takes unusually long may be made at a second server as well, and how many may: after the time in which 95% of its kind are answered,
// and for a share of all calls; and makes the two calls. Dean and Barroso, The tail at scale, 2013 [dean2013].
package hedging

import (
	"slices"
	"sync"
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

// Latencies keeps the last latencies of a kind of reads, and their quantiles. It is safe for concurrent use.
type Latencies struct {
	mu     sync.Mutex // guards all below
	ring   []time.Duration
	at     int // the oldest, once the ring is full
	fresh  int // since the quantiles were found
	median time.Duration
	p95    time.Duration
}

// Add takes a latency. An attempt that was given up after more than the 95th percentile counts with the time until then: it would have
// been longer, but is above the percentile in any case. Without it hedging would hide the slow ones, and the percentile would sink.
func (l *Latencies) Add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.ring) < window {
		l.ring = append(l.ring, d)
	} else {
		l.ring[l.at] = d
		l.at = (l.at + 1) % window
	}
	l.fresh++
	if len(l.ring) < warmUp || l.median > 0 && l.fresh < recount {
		return
	}
	sorted := slices.Sorted(slices.Values(l.ring))
	l.median, l.p95 = max(1, sorted[len(sorted)/2]), sorted[len(sorted)*95/100]
	l.fresh = 0
}

// Quantiles returns the median and the 95th percentile, or zeros while too few latencies are known.
func (l *Latencies) Quantiles() (median, p95 time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.median, l.p95
}

// maxTokens bounds the hedges that may come at once after a quiet time.
const maxTokens = 10

// Budget lets hedges be a share of all reads: each read earns a share of a token, each hedge costs one. It is safe for concurrent use.
type Budget struct {
	share float64

	mu     sync.Mutex // guards tokens
	tokens float64
}

// NewBudget returns a budget without tokens.
func NewBudget(share float64) *Budget { return &Budget{share: share} }

// Earn counts a read.
func (b *Budget) Earn() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens = min(maxTokens, b.tokens+b.share)
}

// Spend reports whether a hedge may be sent, and counts it.
func (b *Budget) Spend() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
