package hedging

import (
	"testing"
	"time"
)

func TestQuantiles(t *testing.T) {
	l := &Latencies{}
	for i := range warmUp {
		if median, p95 := l.Quantiles(); median != 0 || p95 != 0 {
			t.Fatalf("quantiles of %d latencies are %v, %v; want none", i, median, p95)
		}
		l.Add(time.Millisecond)
	}
	for i := range window { // in an order that is none
		l.Add(time.Duration(1+i*7%window) * time.Millisecond)
	}
	median, p95 := l.Quantiles()
	if want := 257 * time.Millisecond; median != want {
		t.Errorf("median is %v, want %v", median, want)
	}
	if want := 487 * time.Millisecond; p95 != want {
		t.Errorf("95th percentile is %v, want %v", p95, want)
	}
}

func TestBudget(t *testing.T) {
	b := NewBudget(0.05)
	spent := 0
	for range 1000 {
		b.Earn()
		if b.Spend() {
			spent++
		}
	}
	if spent < 48 || spent > 50 {
		t.Errorf("%d hedges of 1000 reads, want 5%%", spent)
	}
	for range 10_000 {
		b.Earn()
	}
	spent = 0
	for b.Spend() {
		spent++
	}
	if spent != maxTokens {
		t.Errorf("%d hedges at once after a quiet time, want %d", spent, maxTokens)
	}
}
