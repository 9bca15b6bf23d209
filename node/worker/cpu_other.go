//go:build !linux

package worker

import "time"

// cpuSeconds runs f and returns the time that it took: the nearest thing where threads have no clock of their own.
func cpuSeconds(f func()) float64 {
	began := time.Now()
	f()
	return time.Since(began).Seconds()
}
