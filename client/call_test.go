package client

import (
	"testing"
	"time"
)

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
