package main

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// sleepExactly sleeps for about d, if that is more than 0. A timer of Go may be a millisecond late, as the process waits for it in whole ones: with many queries
// a second that would be most of what they take.
func sleepExactly(d time.Duration) {
	for until := time.Now().Add(d); d > 0; d = time.Until(until) { // it may be interrupted
		left := unix.NsecToTimespec(int64(d))
		if err := unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &left, nil); err != nil && !errors.Is(err, unix.EINTR) {
			time.Sleep(d)
		}
	}
}
