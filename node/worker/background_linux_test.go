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

// lowThreads returns how many threads of this process have a low priority. The first thread does not count: it cannot end, so the
// runtime puts it to sleep for good.
func lowThreads(t *testing.T) (n int) {
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
		if fields := strings.Fields(rest); len(fields) > 16 && fields[16] == fmt.Sprint(lowPriority) {
			n++
		}
	}
	return n
}

// TestComputeHasLowPriority checks that work in the background has a low priority, and that no thread keeps it.
func TestComputeHasLowPriority(t *testing.T) {
	before := lowThreads(t)
	for _, background := range []bool{false, true} {
		w := &Worker{cfg: Config{Background: background}, turns: make(chan struct{}, 1)}
		var nice int
		_, err := w.compute(t.Context(), func() error {
			kernel, err := unix.Getpriority(unix.PRIO_PROCESS, unix.Gettid())
			nice = 20 - kernel // what the kernel returns is never negative
			return err
		})
		if err != nil {
			t.Error(err)
		}
		if background != (nice == lowPriority) {
			t.Errorf("background %t: nice value %d", background, nice)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); lowThreads(t) > before; {
		if time.Now().After(deadline) {
			t.Fatalf("%d threads keep it, %d were before", lowThreads(t), before)
		}
		time.Sleep(time.Millisecond) // the system tells nobody of the end of a thread
	}
}
