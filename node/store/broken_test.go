package store

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// closeSoon closes a store, and fails if that does not end.
func closeSoon(t *testing.T, s *Store) error {
	t.Helper()
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	select {
	case err := <-closed:
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("a store whose files cannot be written does not close")
		return nil
	}
}

// TestFolderIsGone deletes the folder under a store that has something in memory, and closes it.
func TestFolderIsGone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	s, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	apply(t, s, 1, event("u", "1", "i", 5))
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := closeSoon(t, s); err != nil {
		t.Errorf("close: %v", err) // there is nothing that could be lost
	}
}

// TestDiskFails has the disk return errors for files of some kind. Nothing hangs, nothing is taken for stored that is not, and a store that
// is opened when the disk is well again goes on from what was durable.
func TestDiskFails(t *testing.T) {
	for _, kind := range []string{`\.sst$`, "store"} {
		t.Run(kind, func(t *testing.T) {
			var broken atomic.Bool
			var told atomic.Int32
			mem := vfs.NewCrashableMem()
			fails := failing(&broken, kind)
			o := Options{Dir: "store", fs: errorfs.Wrap(mem, fails), Failed: func() { told.Add(1) }}
			s, err := Open(o)
			if err != nil {
				t.Fatal(err)
			}
			apply(t, s, 1, event("u", "1", "i", 5))
			snapshot(t, s) // from now on it is durable
			apply(t, s, 2, event("u", "2", "i", 5))
			broken.Store(true)
			p, err := s.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			if err := p.WriteTo(t.Context(), io.Discard); !errors.Is(err, errStuck) {
				t.Errorf("a snapshot of what cannot be written: %v, want errStuck", err)
			}
			p.Release()
			if err := s.Trouble(); !errors.Is(err, ErrFailed) || !errors.Is(err, syscall.EIO) || errors.Is(err, ErrCorrupt) {
				t.Errorf("the trouble is %v, want the error of the disk", err)
			}
			if _, err := s.Apply(3, nil); !errors.Is(err, syscall.EIO) {
				t.Errorf("a command: %v, want the error of the disk", err)
			}
			if told.Load() != 1 {
				t.Errorf("told %d times, want once", told.Load())
			}
			if err := closeSoon(t, s); err != nil && !errors.Is(err, syscall.EIO) {
				t.Errorf("close: %v", err)
			}
			o.fs = errorfs.Wrap(mem.CrashClone(vfs.CrashCloneCfg{}), fails)
			if kind == "store" { // to open one writes no tables
				if _, err := Open(o); !errors.Is(err, syscall.EIO) || errors.Is(err, ErrCorrupt) {
					t.Errorf("opened while the disk fails: %v, want its error", err)
				}
			}
			broken.Store(false)
			if s, err = Open(o); err != nil {
				t.Fatalf("the disk is well again: %v", err)
			}
			if got := s.Applied(); got != 1 {
				t.Errorf("%d commands are there, want 1", got)
			}
			if err := closeSoon(t, s); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
}

// TestCheckpointCannotBeMade has the disk fail for the folder of a snapshot alone.
func TestCheckpointCannotBeMade(t *testing.T) {
	var broken atomic.Bool
	s := open(t, errorfs.Wrap(vfs.NewMem(), failing(&broken, checkPrefix+`\d+$`)))
	apply(t, s, 1, event("u", "1", "i", 5))
	broken.Store(true)
	p, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.WriteTo(t.Context(), io.Discard), s.Verify(t.Context())); !errors.Is(err, syscall.EIO) {
		t.Errorf("got %v, want the error of the disk", err)
	}
	p.Release()
	broken.Store(false)
	snapshot(t, s)
	if err := closeSoon(t, s); err != nil {
		t.Errorf("close: %v", err)
	}
}

// TestManifestCannotBeMade makes a store while its manifest cannot be written, of which Pebble says that it cannot go on.
func TestManifestCannotBeMade(t *testing.T) {
	var broken atomic.Bool
	broken.Store(true)
	o := Options{Dir: "store", fs: errorfs.Wrap(vfs.NewMem(), failing(&broken, "MANIFEST"))}
	if _, err := Open(o); err == nil || errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "input/output error") {
		t.Errorf("got %v, want the error of the disk", err)
	}
	broken.Store(false)
	if err := closeSoon(t, open(t, o.fs)); err != nil {
		t.Errorf("close: %v", err)
	}
}

// failing has writes to files whose paths match a pattern fail while broken is set.
func failing(broken *atomic.Bool, pattern string) errorfs.Injector {
	paths := regexp.MustCompile(pattern)
	return errorfs.InjectorFunc(func(op errorfs.Op) error {
		switch op.Kind {
		case errorfs.OpCreate, errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
			if broken.Load() && paths.MatchString(op.Path) {
				return &os.PathError{Op: "write", Path: op.Path, Err: syscall.EIO}
			}
		}
		return nil
	})
}
