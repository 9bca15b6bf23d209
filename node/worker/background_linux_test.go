package worker

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// idleThreads returns how many threads of this process have the least priority. The first thread does not count: it cannot end, so the
// runtime puts it to sleep for good.
func idleThreads(t *testing.T) (n int) {
	t.Helper()
	files, err := filepath.Glob("/proc/self/task/*/stat")
	if err != nil || len(files) == 0 {
		t.Fatalf("threads: %v, %v", files, err)
	}
	for _, file := range files {
		if filepath.Base(filepath.Dir(file)) == fmt.Sprint(os.Getpid()) {
			continue
		}
		b, err := os.ReadFile(file)
		if err != nil {
			continue // ended meanwhile
		}
		_, rest, _ := strings.Cut(string(b), ") ") // the name may have blanks
		if fields := strings.Fields(rest); len(fields) > 16 && fields[16] == fmt.Sprint(leastPriority) {
			n++
		}
	}
	return n
}

// TestComputeIsIdle checks that work in the background has the least priority, and that no thread keeps it.
func TestComputeIsIdle(t *testing.T) {
	before := idleThreads(t)
	for _, background := range []bool{false, true} {
		w := &Worker{cfg: Config{Background: background}}
		var nice int
		w.compute(func() {
			kernel, err := unix.Getpriority(unix.PRIO_PROCESS, unix.Gettid())
			if err != nil {
				t.Error(err)
			}
			nice = 20 - kernel // what the kernel returns is never negative
		})
		if background != (nice == leastPriority) {
			t.Errorf("background %t: nice value %d", background, nice)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); idleThreads(t) > before; {
		if time.Now().After(deadline) {
			t.Fatalf("%d threads stay idle, %d were before", idleThreads(t), before)
		}
		time.Sleep(time.Millisecond) // the system tells nobody of the end of a thread
	}
}
