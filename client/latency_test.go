package client

import (
	"testing"
	"time"
)

func TestQuantiles(t *testing.T) {
	l := &latencies{}
	for i := range warmUp {
		if median, p95 := l.quantiles(); median != 0 || p95 != 0 {
			t.Fatalf("quantiles of %d latencies are %v, %v; want none", i, median, p95)
		}
		l.add(time.Millisecond)
	}
	for i := range window { // in an order that is none
		l.add(time.Duration(1+i*7%window) * time.Millisecond)
	}
	median, p95 := l.quantiles()
	if want := 257 * time.Millisecond; median != want {
		t.Errorf("median is %v, want %v", median, want)
	}
	if want := 487 * time.Millisecond; p95 != want {
		t.Errorf("95th percentile is %v, want %v", p95, want)
	}
}

func TestBudget(t *testing.T) {
	b := newBudget(0.05)
	spent := 0
	for range 1000 {
		b.earn()
		if b.spend() {
			spent++
		}
	}
	if spent < 48 || spent > 50 {
		t.Errorf("%d hedges of 1000 reads, want 5%%", spent)
	}
	for range 10_000 {
		b.earn()
	}
	spent = 0
	for b.spend() {
		spent++
	}
	if spent != maxTokens {
		t.Errorf("%d hedges at once after a quiet time, want %d", spent, maxTokens)
	}
}

func TestPauseGrows(t *testing.T) {
	for _, c := range []struct {
		attempts  int
		asked     time.Duration
		low, high time.Duration
	}{
		{1, 0, firstPause / 2, firstPause},
		{3, 0, 2 * firstPause, 4 * firstPause},
		{1000, 0, longestPause / 2, longestPause},
		{1, time.Minute, time.Minute, time.Minute + firstPause/2},
	} {
		for range 100 {
			if got := pause(c.attempts, c.asked); got < c.low || got > c.high {
				t.Errorf("pause(%d, %v) = %v, want %v to %v", c.attempts, c.asked, got, c.low, c.high)
			}
		}
	}
}
