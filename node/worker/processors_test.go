package worker

import (
	"runtime"
	"testing"
)

// TestProcessors checks that there are more processors from when the first computes until the last has ended and the time is over.
func TestProcessors(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	want := func(n int, when string) {
		t.Helper()
		if got := runtime.GOMAXPROCS(0); got != n {
			t.Errorf("%s: %d processors, want %d", when, got, n)
		}
	}
	p := NewProcessors(3)
	want(before, "made")
	p.take()
	p.take()
	p.give()
	p.giveBack() // a timer that was about to fire
	want(before+3, "one of two has ended")
	p.give()
	want(before+3, "both have ended")
	p.take()
	p.giveBack()
	want(before+3, "begun again")
	p.give()
	p.giveBack()
	want(before, "the time is over")
	p.take()
	want(before+3, "begun once more")
	p.give()
	p.Close()
	want(before, "closed")
	(*Processors)(nil).take()
	(*Processors)(nil).give()
	(*Processors)(nil).Close()
}
