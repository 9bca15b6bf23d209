package worker

import (
	"runtime"
	"syscall"
)

// cpuSeconds runs f and returns the processor time that this goroutine spent in it. Goroutines that f starts do not
// count.
func cpuSeconds(f func()) float64 {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := threadSeconds()
	f()
	return threadSeconds() - before
}

func threadSeconds() float64 {
	const rusageThread = 1 // RUSAGE_THREAD, which package syscall does not name
	var u syscall.Rusage
	if err := syscall.Getrusage(rusageThread, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
