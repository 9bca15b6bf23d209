package worker

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// lowPriority is a nice value: a third of the weight of other threads. With the highest, 19, a thread of a build got a fiftieth, and on a busy
// machine the whole process waited for it: whenever the runtime stops all goroutines for a moment, as it does to collect garbage, each
// thread has to run until it notices.
const lowPriority = 5

// lowerPriority gives the thread of this goroutine less priority than others. The thread ends with the goroutine: without
// privileges there is no way back.
func lowerPriority() {
	runtime.LockOSThread()
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), lowPriority) // if refused, builds are as fast as all else
}
