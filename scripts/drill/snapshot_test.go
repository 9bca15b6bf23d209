//go:build linux

package main

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// sleeper starts a process that only sleeps, on a host of its own, with an empty data folder.
func sleeper(t *testing.T) (*cluster, *process) {
	t.Helper()
	w, err := newNetwork(false, false, 1, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	p := &process{host: w.hosts[0], id: "n1", dir: filepath.Join(dir, "n1"), log: filepath.Join(dir, "log"), bin: "sleep", args: []string{"600"}}
	t.Cleanup(func() {
		if err := p.end(context.WithoutCancel(t.Context()), syscall.SIGKILL); err != nil {
			t.Error(err)
		}
		if err := w.close(); err != nil {
			t.Error(err)
		}
	})
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
	return &cluster{cfg: config{patience: time.Minute}, net: w, servers: []*process{p}}, p
}

func TestKillInSnapshot(t *testing.T) {
	c, p := sleeper(t)
	folder := filepath.Join(p.dir, "partitions/00002/raft/snapshots")
	complete, unfinishedOne := filepath.Join(folder, "2-40-1700000000000"), filepath.Join(folder, "3-50-1700000000001.tmp")
	if err := os.MkdirAll(complete, 0o700); err != nil {
		t.Fatal(err)
	}
	life := p.current()
	// A complete snapshot is none that is written.
	c.cfg.patience = 50 * time.Millisecond
	if path, err := c.killInSnapshot(t.Context(), p, func(string) *process { return p }); err == nil || path != "" || p.current() != life {
		t.Fatalf("killed in %q: %v", path, err)
	}
	if err := os.MkdirAll(unfinishedOne, 0o700); err != nil {
		t.Fatal(err)
	}
	c.cfg.patience = time.Minute
	path, err := c.killInSnapshot(t.Context(), p, func(string) *process { return p })
	if err != nil || path != unfinishedOne || p.current() != nil {
		t.Errorf("killed in %q: %v; runs still: %t", path, err, p.current() != nil)
	}
	if s, ok := life.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || s.Signal() != syscall.SIGKILL {
		t.Errorf("it ended by %v", life.cmd.ProcessState)
	}
	if note, err := leftover(p, path); err != nil || !strings.Contains(note, "cut short") {
		t.Errorf("note %q, %v", note, err)
	}
	if index, ok, err := newestSnapshot(p, 2); index != 40 || !ok || err != nil {
		t.Errorf("newest snapshot %d, %t, %v; want 40", index, ok, err)
	}
	if _, ok, err := newestSnapshot(p, 3); ok || err != nil {
		t.Errorf("a partition without files has a snapshot: %v", err)
	}
	c.cfg.patience = 50 * time.Millisecond
	if err := c.awaitGone(t.Context(), p, path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("what is left over was not found: %v", err)
	}
	if err := os.Rename(unfinishedOne, strings.TrimSuffix(unfinishedOne, unfinished)); err != nil {
		t.Fatal(err)
	}
	if err := c.awaitGone(t.Context(), p, path); err != nil {
		t.Error(err)
	}
	if note, err := leftover(p, path); err != nil || !strings.Contains(note, "complete") {
		t.Errorf("note %q, %v", note, err)
	}
}
