package gossip

import (
	"testing"
	"time"
)

// A server that is alone for years tries as often as one that is not, and no more: a pause that doubles without a bound is 0 in the end.
func TestPauses(t *testing.T) {
	p := pauses{15 * time.Second, 250 * time.Millisecond}
	for i, want := 0, 250*time.Millisecond; want < 12*time.Second; i, want = i+1, 2*want {
		if got := p.next(true); got != want {
			t.Fatalf("pause %d alone: %v, want %v", i, got, want)
		}
	}
	for i := range 1000 {
		if got := p.next(i%10 > 0); got < 12*time.Second || got > 18*time.Second {
			t.Fatalf("pause %d after those that double: %v, want 12s to 18s", i, got)
		}
	}
}
