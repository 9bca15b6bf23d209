//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shortDrill matches a fault of each sort that is over in some seconds.
const shortDrill = `^(kill (the coordinator( while a server leaves)?|in a build: a follower|in a snapshot: a leader|in a backup: a leader)|` +
	`pause a leader|cut off.*: a server|disk stands still: a leader|slow disk: the coordinator|disk errors in all files: a leader|` +
	`clock an hour behind: the coordinator|damage (an event store|a raft log)|10% of packets lost|` +
	`another program, one server after the other, and back)$`

// TestDrill runs a short drill with a fixed seed: real processes, fifteen faults, all checks. Faults that this machine does not
// allow are left out.
func TestDrill(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	dir := t.TempDir()
	cfg := config{
		seed: 1, servers: 3, only: shortDrill, local: true, namespaces: canIsolate(), partitions: 4, replication: 3, events: 5000,
		holdLeast: time.Second / 2, holdMost: 2 * time.Second, calm: 300 * time.Millisecond, buildEvery: 3 * time.Second,
		patience: time.Minute, dir: dir,
	}
	if err := cfg.build(t.Context()); err != nil {
		t.Fatal(err)
	}
	cfg.tryDisks()
	p, err := newPlanner(cfg)
	if err != nil {
		t.Fatal(err)
	}
	cfg.faults = len(p.deck)
	if cfg.namespaces && cfg.disks && cfg.faults != 15 {
		t.Errorf("%d kinds of faults, want 15: were some renamed?", cfg.faults)
	}
	var out strings.Builder
	r, err := drill(t.Context(), cfg, &out)
	if r != nil {
		if err := r.write(&out); err != nil {
			t.Error(err)
		}
	}
	t.Log(out.String())
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Broken) > 0 {
		t.Errorf("%d promises were broken", len(r.Broken))
	}
	// A drill that did nothing would break nothing.
	f := r.Figures
	if len(r.Faults) != cfg.faults || f.Restored < f.Acknowledged || f.RestoredLists == 0 || f.Acknowledged <= 5000 || f.WatchedUsers == 0 || f.WatchedOps < 10*f.WatchedUsers || f.Lists == 0 || f.Answers == 0 ||
		f.Copies < 4*f.WatchedUsers || r.Queries == 0 {
		t.Errorf("too little was done: %d faults, %d queries, %+v", len(r.Faults), r.Queries, f)
	}
	if t.Failed() {
		logs, err := filepath.Glob(filepath.Join(dir, "*.log")) // also of the clusters that were restored to
		if err != nil {
			t.Error(err)
		}
		for _, path := range logs {
			tail(t, path)
		}
	}
}

// tail shows the end of a log.
func tail(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
		return
	}
	const most = 8 << 10
	t.Logf("end of %s:\n%s", path, b[max(0, len(b)-most):])
}
