//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// overlay is what the drill changes when it builds kith, by the overlay of the go command: the sources and the Go installation are
// left alone, and a program that is built otherwise has nothing of it. It is a path for each file that is put in the place of another.
//
//   - The wall clock of a process can be set off by what is in a file, clockEnv (see clock.go). The monotonic clock goes on,
//     as it does when the clock of a machine is set.
//   - Raft groups take snapshots after snapshotEntries entries, keep keptEntries behind them, and look every second. With the usual numbers
//     hardly a snapshot would be taken in a drill, and none sent.
type overlay map[string]string

// clockEnv names the file with the seconds by which the wall clock of a process is off.
const clockEnv = "KITH_DRILL_CLOCK"

// Some seconds' worth of entries of a partition in a drill.
const (
	snapshotEntries = 32
	keptEntries     = 8
)

// clockSource maps the file to memory at the start.
const clockSource = `package main

import (
	"os"
	"syscall"
	"time"
	"unsafe"
)

func init() {
	path, ok := os.LookupEnv("` + clockEnv + `")
	if !ok {
		return
	}
	file, err := os.Open(path)
	if err != nil {
		panic(err)
	}
	b, err := syscall.Mmap(int(file.Fd()), 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		panic(err)
	}
	time.DrillSkew((*int64)(unsafe.Pointer(&b[0])))
	_ = file.Close()
}
`

// change replaces a text that must be there exactly once.
type change struct{ from, to string }

// changes are those to existing files, by paths below the Go installation and below the module.
var (
	goChanges = map[string][]change{
		"src/time/time.go": {
			{"\tsec, nsec, mono := runtimeNow()\n", "\tsec, nsec, mono := runtimeNow()\n\tif drillSkew != nil {\n\t\tsec += *drillSkew\n\t}\n"},
			{"// Now returns the current local time.\n", "var drillSkew *int64\n\nfunc DrillSkew(seconds *int64) { drillSkew = seconds }\n\n// Now returns the current local time.\n"},
		},
	}
	kithChanges = map[string][]change{
		"node/consensus/config.go": {
			{"c.SnapshotThreshold = 8192\n", fmt.Sprintf("c.SnapshotThreshold = %d\n", snapshotEntries)},
			{"c.TrailingLogs = 10240\n", fmt.Sprintf("c.TrailingLogs = %d\n", keptEntries)},
			{"c.SnapshotInterval = 30 * time.Second\n", "c.SnapshotInterval = time.Second\n"},
		},
	}
)

// apply carries out changes on a text.
func apply(text string, changes []change) (string, error) {
	for _, c := range changes {
		if n := strings.Count(text, c.from); n != 1 {
			return "", fmt.Errorf("%q is there %d times, want once; mend scripts/drill/overlay.go", c.from, n)
		}
		text = strings.Replace(text, c.from, c.to, 1)
	}
	return text, nil
}

// newOverlay writes the files of an overlay to a folder.
func newOverlay(ctx context.Context, dir string) (overlay, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT", "GOMOD").Output()
	if err != nil {
		return nil, fmt.Errorf("ask go for its folders: %w", err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != 2 {
		return nil, fmt.Errorf("go env tells %q, want two folders; run the drill in the module of kith", out)
	}
	root, module := lines[0], filepath.Dir(lines[1])
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	o := overlay{}
	add := func(path, text string) error {
		o[path] = filepath.Join(dir, fmt.Sprintf("%d-%s", len(o), filepath.Base(path)))
		return os.WriteFile(o[path], []byte(text), 0o600)
	}
	err = add(filepath.Join(module, "cmd/kith/clock_of_drill.go"), clockSource)
	for base, files := range map[string]map[string][]change{root: goChanges, module: kithChanges} {
		for name, changes := range files {
			path := filepath.Join(base, name)
			old, reading := os.ReadFile(path)
			text, changing := apply(string(old), changes)
			if bad := errors.Join(reading, changing); bad != nil {
				return nil, fmt.Errorf("%s: %w", path, bad)
			}
			err = errors.Join(err, add(path, text))
		}
	}
	return o, err
}

// flag writes the overlay to a folder, as the go command reads it, and returns the flag that names it.
func (o overlay) flag(dir string) (string, error) {
	b, err := json.Marshal(map[string]overlay{"Replace": o})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return "-overlay=" + path, os.WriteFile(path, b, 0o600)
}

// buildKith builds the program to drill with the changes of the overlay, under a name, and returns its path.
func buildKith(ctx context.Context, dir, name string, flags ...string) (string, error) {
	changes := filepath.Join(dir, "overlay")
	o, err := newOverlay(ctx, changes)
	if err != nil {
		return "", err
	}
	flag, err := o.flag(changes)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, name)
	args := append([]string{"build", flag, "-o", path}, flags...)
	if out, err := exec.CommandContext(ctx, "go", append(args, "github.com/kith-io/kith/cmd/kith")...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build kith: %w\n%s", err, out)
	}
	return path, nil
}
