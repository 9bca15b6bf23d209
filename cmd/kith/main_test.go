package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// binary is the program, built when the first test needs it.
var binary struct {
	once sync.Once
	dir  string
	err  error
}

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if binary.dir != "" {
			_ = os.RemoveAll(binary.dir)
		}
		os.Exit(code)
	}))
}

// program builds the binary once and returns its path.
func program(t *testing.T) string {
	t.Helper()
	binary.once.Do(func() {
		binary.dir, binary.err = os.MkdirTemp("", "kith-test-") //nolint:usetesting // outlives the test that needs it first
		if binary.err != nil {
			return
		}
		linked := filepath.Join(binary.dir, "linked")
		out, err := exec.Command("go", "build", "-o", linked, ".").CombinedOutput()
		if err != nil {
			binary.err = fmt.Errorf("%w: %s", err, out)
			return
		}
		// What the linker has just written lies in large pages of the file cache, of which Linux counts some 20 MiB more as memory of a process than of a program
		// that was installed: a copy is as such a one.
		if out, err := exec.Command("cp", linked, filepath.Join(binary.dir, "kith")).CombinedOutput(); err != nil {
			binary.err = fmt.Errorf("%w: %s", err, out)
		}
		binary.err = errors.Join(binary.err, os.Remove(linked))
	})
	if binary.err != nil {
		t.Fatalf("build: %v", binary.err)
	}
	return filepath.Join(binary.dir, "kith")
}

// outcome is what a command left.
type outcome struct {
	code     int
	out, err string
}

// checkUsage wants a command line that was refused as such, with all of some parts in
// what it says, and nothing as a result.
func checkUsage(t *testing.T, got outcome, parts []string) {
	t.Helper()
	if got.code != exitUsage || got.out != "" {
		t.Errorf("exit code %d and output %q, want %d and nothing", got.code, got.out, exitUsage)
	}
	for _, part := range parts {
		if !strings.Contains(got.err, part) {
			t.Errorf("standard error %q lacks %q", got.err, part)
		}
	}
}

// kith runs a command line in this process. env holds pairs NAME=value.
func kith(t *testing.T, env []string, args ...string) outcome {
	t.Helper()
	return kithContext(t, t.Context(), env, args...)
}

func kithContext(t *testing.T, ctx context.Context, env []string, args ...string) outcome {
	t.Helper()
	var out, err bytes.Buffer
	a := &app{in: strings.NewReader(""), out: &out, err: &err, env: func(name string) (string, bool) {
		for _, pair := range env {
			if key, value, _ := strings.Cut(pair, "="); key == name {
				return value, true
			}
		}
		return "", false
	}}
	code := a.run(ctx, args)
	return outcome{code, out.String(), err.String()}
}

// mustKith runs a command line that must succeed, and returns its standard output.
func mustKith(t *testing.T, args ...string) string {
	t.Helper()
	got := kith(t, nil, args...)
	if got.code != exitOK {
		t.Fatalf("kith %s: exit code %d: %s", strings.Join(args, " "), got.code, got.err)
	}
	return got.out
}

// mustJSON runs a command line with -o json and decodes its standard output.
func mustJSON[T any](t *testing.T, args ...string) T {
	t.Helper()
	var v T
	out := mustKith(t, append(args, "-o", "json")...)
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatalf("kith %s: %v in %s", strings.Join(args, " "), err, out)
	}
	return v
}

// golden compares text with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; make it with -update", err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", path, d)
	}
}

// times replaces durations and rates, which differ from run to run.
func times(text string) string {
	text = regexp.MustCompile(`[0-9.]+ (ms|s)\b`).ReplaceAllString(text, "T")
	return regexp.MustCompile(`[0-9,]+/s\b`).ReplaceAllString(text, "R/s")
}

// writeFile writes a file into a temporary folder and returns its path.
func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// long skips a test that takes more than some seconds, or far more under the race detector.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("long")
	}
}

// eventually waits until f returns nil; it fails the test with the last error when that takes too long.
func eventually(t *testing.T, patience time.Duration, f func() error) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("after %v: %v", patience, err)
		}
	}
}

// jsonOf decodes what a command has printed.
func jsonOf[T any](t *testing.T, out string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	return v
}
