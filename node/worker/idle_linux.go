package worker

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// leastPriority is the highest nice value: a fiftieth of the weight of other threads.
const leastPriority = 19

// becomeIdle gives the thread of this goroutine the least priority. The thread ends with the goroutine: without privileges there
// is no way back.
func becomeIdle() {
	runtime.LockOSThread()
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), leastPriority) // if refused, builds are as fast as all else
}
