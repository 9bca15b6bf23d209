package main

import (
	"time"

	"golang.org/x/sys/unix"
)

// sleepExactly sleeps for about d, if that is more than 0. A timer of Go may be a millisecond late, as the process waits for it in whole ones: with many queries
// a second that would be most of what they take.
func sleepExactly(d time.Duration) {
	if d <= 0 {
		return
	}
	left := unix.NsecToTimespec(int64(d))
	_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &left, nil) // when it is interrupted the next query comes early by less than d
}
