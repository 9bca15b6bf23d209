package node_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-io/kith/node"
	"github.com/kith-io/kith/node/wire"
)

// TestDiskMarks goes down and up through the marks: there is room again only a quarter above each.
func TestDiskMarks(t *testing.T) {
	const mib = 1 << 20
	free := uint64(10_000 * mib)
	disk := func(t *testing.T, reserve int64) *node.Disk {
		t.Helper()
		d, err := node.NewDisk(node.DiskConfig{
			Node: "n1", Dir: "/data", ReserveBytes: reserve, Logger: slog.New(slog.DiscardHandler),
			Space: func(string) (uint64, uint64, error) { return free, 100_000 * mib, nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	synctest.Test(t, func(t *testing.T) {
		d := disk(t, 100*mib)
		for _, step := range []struct {
			free           uint64
			room, logsRoom bool
		}{
			{101, true, true},
			{99, false, true},
			{120, false, true},
			{125, true, true},
			{101, true, true},
			{26, false, true},
			{24, false, false},
			{31, false, false},
			{32, false, true},
			{0, false, false},
			{200, true, true},
		} {
			free = step.free * mib
			time.Sleep(time.Second) // of the fake clock: looks are cached for less
			err, logErr := d.Room(), d.LogRoom()
			if (err == nil) != step.room || (logErr == nil) != step.logsRoom {
				t.Errorf("with %d MiB free: %v and for logs %v, want room %v and %v", step.free, err, logErr, step.room, step.logsRoom)
			}
			for _, err := range []error{err, logErr} {
				if err != nil && (!errors.Is(err, wire.ErrDiskFull) || !strings.Contains(err.Error(), "n1") || !strings.Contains(err.Error(), "/data")) {
					t.Errorf("got %q, want an ErrDiskFull that names the node and the folder", err)
				}
			}
		}
		free = 257 * mib
		if err := disk(t, 0).Room(); err != nil {
			t.Errorf("default reserve of a large disk: %v, want at most 256 MiB", err)
		}
		free = 255 * mib
		if disk(t, 0).Room() == nil {
			t.Error("default reserve of a large disk: want 256 MiB")
		}
	})
}
