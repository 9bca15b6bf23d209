//go:build linux

package main

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestApply(t *testing.T) {
	got, err := apply("one two three", []change{{"one", "1"}, {"three", "3"}})
	if err != nil || got != "1 two 3" {
		t.Errorf("got %q, %v", got, err)
	}
	for _, c := range []change{{"four", "4"}, {"e", "E"}} {
		if _, err := apply("one two three", []change{c}); err == nil || !strings.Contains(err.Error(), c.from) {
			t.Errorf("a change of %q: error %v, want one that names it", c.from, err)
		}
	}
}

// TestOverlay fails when what the drill changes has been moved in the sources, or in another version of Go.
func TestOverlay(t *testing.T) {
	dir := t.TempDir()
	o, err := newOverlay(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := 1 + len(goChanges) + len(kithChanges); len(o) != want {
		t.Errorf("%d files, want %d: %v", len(o), want, o)
	}
	for from, to := range o {
		old, err := os.ReadFile(from)
		if err != nil && filepath.Base(from) != "clock_of_drill.go" {
			t.Error(err)
		}
		changed, err := os.ReadFile(to)
		if err != nil || string(changed) == string(old) {
			t.Errorf("%s is not changed: %v", from, err)
		}
	}
}

func TestSetClock(t *testing.T) {
	p := &process{id: "n1", clock: filepath.Join(t.TempDir(), "clock")}
	for _, off := range []time.Duration{0, time.Hour, -time.Minute} {
		if err := p.setClock(off); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(p.clock)
		if err != nil || len(b) != 8 || int64(binary.NativeEndian.Uint64(b)) != int64(off/time.Second) {
			t.Errorf("off by %v: the file has %v: %v", off, b, err)
		}
	}
}
