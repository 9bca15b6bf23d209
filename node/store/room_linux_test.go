package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kith-io/kith/fusion"
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

// largeEvents are in a batch of largeBatch.
const largeEvents = 250

// largeBatch returns events of about 4 KiB for 100 users, one log entry of a MiB. They are few and as large as may be: the store looks for each before it takes
// it, which takes far longer than the writing.
func largeBatch(index uint64) []fusion.Event {
	out := make([]fusion.Event, largeEvents)
	for i := range out {
		out[i] = event(fmt.Sprint("u", i%100), fmt.Sprintf("%d-%d", index, i), "item", 5)
		out[i].Context = map[string]string{"page": strings.Repeat(fmt.Sprintf("%08x", index*1e6+uint64(i)*7919), 500)}
	}
	return out
}

// TestDiskFull fills the disk under a store. Once its memory is full too, Apply waits; it goes on when there is room, and
// nothing is lost. A store may also be closed while it waits: what it had in memory is applied again.
func TestDiskFull(t *testing.T) {
	entries := uint64(60) // more than four tables of 8 MiB
	if testing.Short() {
		entries = 40
	}
	for _, closes := range []bool{false, true} {
		t.Run(fmt.Sprintf("closes=%t", closes), func(t *testing.T) {
			t.Parallel()
			disk := smallDisk(t, 256)
			var full atomic.Bool
			cache := NewCache(8<<20, 3) // with no room for blocks the store reads its files for each event
			defer cache.Unref()
			o := Options{Dir: filepath.Join(disk, "store"), Cache: cache, Room: func() error {
				if full.Load() {
					return errors.New("full")
				}
				return nil
			}}
			s, err := Open(o)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			full.Store(true)
			ballast := fill(t, disk)
			var applied atomic.Uint64
			done := make(chan error, 1)
			go func() {
				for i := uint64(1); i <= entries; i++ {
					if _, err := s.Apply(i, EncodeBatch(nil, largeBatch(i))); err != nil {
						done <- err
						return
					}
					applied.Store(i)
				}
				done <- nil
			}()
			// It stands still when nothing was applied for a while.
			for last := uint64(0); ; {
				select {
				case err := <-done:
					t.Fatalf("everything was applied on a full disk: %v", err)
				case <-time.After(time.Second):
				}
				now := applied.Load()
				if now == last && now > 0 {
					break
				}
				last = now
			}
			if closes {
				ended := make(chan error, 1)
				go func() { ended <- s.Close() }()
				select {
				case err := <-ended:
					t.Logf("closed on a full disk: %v", err) // it must not hang, no more
				case <-time.After(30 * time.Second):
					t.Fatal("Close hangs on a full disk")
				}
				if err := <-done; err == nil {
					t.Error("everything was applied without room")
				}
			}
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
			full.Store(false)
			if closes {
				if s, err = Open(o); err != nil {
					t.Fatal(err)
				}
				for i := uint64(1); i <= entries; i++ { // as raft does
					if _, err := s.Apply(i, EncodeBatch(nil, largeBatch(i))); err != nil {
						t.Fatal(err)
					}
				}
			} else if err := <-done; err != nil {
				t.Fatal(err)
			}
			if events, users := s.Stats(); events != entries*largeEvents || users != 100 {
				t.Errorf("%d events of %d users, want %d of 100", events, users, entries*largeEvents)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
