package main

import (
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
)

// peakMemory returns the largest resident memory of this process so far, in bytes.
func peakMemory() uint64 {
	if b, err := os.ReadFile("/proc/self/status"); err == nil {
		for line := range strings.Lines(string(b)) {
			if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
				kib, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
				if err == nil {
					return kib << 10
				}
			}
		}
	}
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return uint64(u.Maxrss) << 10
}

// byteSize is the value of a flag that takes a number of bytes, such as 512MiB or 2GB.
type byteSize int64

// sizeUnits are the units of sizes, each before those that it ends with.
var sizeUnits = []struct {
	name  string
	bytes float64
}{
	{"KiB", 1 << 10},
	{"MiB", 1 << 20},
	{"GiB", 1 << 30},
	{"TiB", 1 << 40},
	{"kB", 1e3},
	{"KB", 1e3},
	{"MB", 1e6},
	{"GB", 1e9},
	{"TB", 1e12},
	{"B", 1},
	{"", 1},
}

// String implements pflag.Value.
func (b *byteSize) String() string {
	if *b == 0 {
		return ""
	}
	return strconv.FormatInt(int64(*b), 10) + "B"
}

// Type implements pflag.Value.
func (b *byteSize) Type() string { return "size" }

// Set implements pflag.Value.
func (b *byteSize) Set(s string) error {
	for _, u := range sizeUnits {
		number, ok := strings.CutSuffix(strings.TrimSpace(s), u.name)
		if !ok {
			continue
		}
		x, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || !(x >= 0 && x*u.bytes < math.MaxInt64) {
			break
		}
		*b = byteSize(x * u.bytes)
		return nil
	}
	return fmt.Errorf("%q: want a number of bytes, such as 512MiB or 2GB", s)
}

// Parts of a memory limit.
const (
	// programBytes is what the program and what is mapped take of a limit, or one part in mappedShare of it if that is more;
	// the runtime of Go keeps to what is left.
	programBytes = 28 << 20
	mappedShare  = 10
	// growth is by how many percent the heap may grow between two collections, while that keeps to the limit.
	growth = 100
	// spareGrowth is that without a limit: most of the memory are a few large arrays, so that more than this buys no time
	// (movies of bench neighbors on two nodes of one thread: 700 MiB and 3.0 s with 20, 750 and 2.8 with 50, 820 and 2.8 with 100).
	spareGrowth = 50
)

// limitMemory makes the runtime keep to a limit until restore is called. A limit of the environment that is lower stays.
func limitMemory(limit byteSize) (restore func()) {
	old := debug.SetMemoryLimit(-1)
	debug.SetMemoryLimit(min(old, max(1<<20, int64(limit)-max(programBytes, int64(limit)/mappedShare))))
	percent := debug.SetGCPercent(growth)
	return func() {
		debug.SetMemoryLimit(old)
		debug.SetGCPercent(percent)
	}
}

// spareMemory makes the runtime collect earlier than usual until restore is called, unless the environment says when.
func spareMemory() (restore func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	percent := debug.SetGCPercent(spareGrowth)
	return func() { debug.SetGCPercent(percent) }
}
