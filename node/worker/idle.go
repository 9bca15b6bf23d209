package worker

import "time"

// idleClock measures how long threads are not at work on tasks, from the first call for tasks to the last.
type idleClock struct {
	calls        int // at work
	began, ended time.Time
	// busy is the time of all threads at work on tasks up to at, when their number last changed.
	threads int
	busy    time.Duration
	at      time.Time
}

// call begins a call for tasks, or ends it.
func (c *idleClock) call(now time.Time, begin bool) {
	if !begin {
		c.calls--
		c.ended = now
		return
	}
	if c.began.IsZero() {
		c.began = now
	}
	c.calls++
}

// work adds n to the threads at work.
func (c *idleClock) work(now time.Time, n int) {
	c.busy, c.at = c.busyUntil(now), now
	c.threads += n
}

func (c *idleClock) busyUntil(now time.Time) time.Duration {
	return c.busy + time.Duration(c.threads)*now.Sub(c.at)
}

// idle returns the time that of a number of threads were not at work.
func (c *idleClock) idle(now time.Time, threads int) time.Duration {
	end := c.ended
	if c.calls > 0 {
		end = now
	}
	return max(0, time.Duration(threads)*end.Sub(c.began)-c.busyUntil(now))
}
