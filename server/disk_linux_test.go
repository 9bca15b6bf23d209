package server_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server"
	"github.com/kith-io/kith/server/clustertest"
)

// smallDisk mounts a disk of some MiB in memory, and skips the test where it may not.
func smallDisk(t *testing.T, mib int) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", mib)); err != nil {
		t.Skipf("this test needs a small disk and the right to mount one (root): %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

// fill takes all that is left of a disk, and returns the file that does it.
func fill(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for block := make([]byte, 1<<20); len(block) > 0; {
		if _, err := f.Write(block); err != nil {
			block = block[:len(block)/2]
		}
	}
	return path
}

// blind makes a member believe that its disk has room, so that it meets the end of it.
func blind(cfg *server.Config) {
	cfg.DiskSpace = func(string) (free, total uint64, err error) { return roomy, 2 * roomy, nil }
}

// TestDiskReallyFull fills the disk of a single server behind its back, under load. What was acknowledged is there, before and
// after a restart, and events are taken again as soon as there is room.
func TestDiskReallyFull(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for calls to fail")
	}
	t.Parallel()
	dir := smallDisk(t, 160)
	c := clustertest.Start(t, clustertest.Options{Servers: 1, Partitions: 2, Configure: func(_ int, cfg *server.Config) {
		cfg.DataDir = dir
		blind(cfg)
	}})
	acknowledged := 0
	send := func(round int) error {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		err := appendOnce(ctx, c, 0, largeEvents(0, round, "u"))
		if err == nil {
			acknowledged += perCall
		}
		return err
	}
	for round := range 4 {
		if err := send(round); err != nil {
			t.Fatal(err)
		}
	}
	ballast := fill(t, dir)
	refused := 0
	for round := 4; refused == 0; round++ {
		if round > 300 {
			t.Fatal("the disk does not fill up")
		}
		if err := send(round); err != nil {
			t.Logf("round %d: %v", round, err)
			refused++
		}
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	c.Eventually(func() error { return send(1000) })
	check := func(when string) {
		t.Helper()
		// What was refused may have been stored all the same, but nothing is there twice.
		events, err := list(t, c, 0, "u")
		if err != nil || len(events) < acknowledged || len(events) > acknowledged+perCall*refused {
			t.Errorf("%s: %d events, want %d that were acknowledged: %v", when, len(events), acknowledged, err)
		}
	}
	check("with room again")
	c.Stop(0)
	c.Run(0)
	c.Ready()
	check("after a restart")
}

// TestDiskOfOneReallyFull fills the disk of one member of three behind its back. The cluster goes on, and the member catches up
// when there is room.
func TestDiskOfOneReallyFull(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for calls to fail")
	}
	t.Parallel()
	dir := smallDisk(t, 160)
	c := clustertest.Start(t, clustertest.Options{Partitions: 2, Configure: func(member int, cfg *server.Config) {
		if member == 1 {
			cfg.DataDir = dir
			blind(cfg)
		}
	}})
	ballast := fill(t, dir)
	for round := range 30 {
		c.Eventually(func() error {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			return appendOnce(ctx, c, 0, largeEvents(0, round, fmt.Sprint("u", round%4)))
		})
	}
	if _, err := kithv1.NewClusterServiceClient(c.Conn(1)).Status(t.Context(), &kithv1.StatusRequest{}); err != nil {
		t.Errorf("the member with the full disk does not answer: %v", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	sameEverywhere(t, c)
}
