package consensus

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/hashicorp/raft"
	"github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/types"
)

// lossyDisk is a file system whose syncs can fail as those of Linux do: what was written before a failed sync can be read, is not on
// the disk, and is not brought there by the next sync. What is on the disk is in files of another folder.
type lossyDisk struct {
	*fs.FS
	durable string

	mu     sync.Mutex
	broken bool
	dirty  map[string][]written // by name, since the last sync
}

type written struct {
	at   int64
	data []byte
}

func (d *lossyDisk) Create(dir, name string, size uint64) (types.WritableFile, error) {
	f, err := d.FS.Create(dir, name, size)
	return &lossyFile{f, name, d}, err
}

func (d *lossyDisk) OpenWriter(dir, name string) (types.WritableFile, error) {
	f, err := d.FS.OpenWriter(dir, name)
	return &lossyFile{f, name, d}, err
}

func (d *lossyDisk) fail(broken bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.broken = broken
}

type lossyFile struct {
	types.WritableFile
	name string
	disk *lossyDisk
}

func (f *lossyFile) WriteAt(b []byte, at int64) (int, error) {
	f.disk.mu.Lock()
	f.disk.dirty[f.name] = append(f.disk.dirty[f.name], written{at, slices.Clone(b)})
	f.disk.mu.Unlock()
	return f.WritableFile.WriteAt(b, at)
}

func (f *lossyFile) Sync() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	dirty := f.disk.dirty[f.name]
	delete(f.disk.dirty, f.name)
	if f.disk.broken {
		return syscall.EIO
	}
	file, err := os.OpenFile(filepath.Join(f.disk.durable, f.name), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	for _, w := range dirty {
		if _, err := file.WriteAt(w.data, w.at); err != nil {
			return errors.Join(err, file.Close())
		}
	}
	return file.Close()
}

// lossyLog is a log on a lossyDisk.
type lossyLog struct {
	t    *testing.T
	dir  string
	disk *lossyDisk
	done chan struct{}
}

func newLossyLog(t *testing.T) *lossyLog {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "wal"), 0o700); err != nil {
		t.Fatal(err)
	}
	return &lossyLog{t, dir, &lossyDisk{FS: fs.New(), durable: t.TempDir(), dirty: map[string][]written{}}, make(chan struct{})}
}

// open opens the log as the next process does.
func (l *lossyLog) open() *logStore {
	l.t.Helper()
	s, err := openLogOn(l.disk, l.dir, nil, slog.New(slog.DiscardHandler), l.done)
	if err != nil {
		l.t.Fatal(err)
	}
	return s
}

// afterPowerLoss returns what the log holds when the machine has lost its power now.
func (l *lossyLog) afterPowerLoss() []string {
	l.t.Helper()
	dir := l.t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(l.dir)); err != nil {
		l.t.Fatal(err)
	}
	segments, err := filepath.Glob(filepath.Join(dir, "wal", "*.wal"))
	if err != nil || len(segments) == 0 {
		l.t.Fatal(segments, err)
	}
	for _, path := range segments {
		b, err := os.ReadFile(filepath.Join(l.disk.durable, filepath.Base(path)))
		if err != nil && !os.IsNotExist(err) {
			l.t.Fatal(err)
		}
		if err := os.WriteFile(path, append(b, make([]byte, segmentBytes-len(b))...), 0o600); err != nil {
			l.t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(dir, "tail")); err != nil { // or it says that something is lost
		l.t.Fatal(err)
	}
	s, err := openLog(dir, nil, slog.New(slog.DiscardHandler), l.done)
	if err != nil {
		l.t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	return contents(l.t, s)
}

func contents(t *testing.T, s *logStore) (out []string) {
	t.Helper()
	first, err := s.FirstIndex()
	last, err2 := s.LastIndex()
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	for i := max(first, 1); i <= last; i++ {
		var l raft.Log
		if err := s.GetLog(i, &l); err != nil {
			t.Fatal(err)
		}
		out = append(out, string(l.Data))
	}
	return out
}

func entry(index uint64, text string) *raft.Log {
	return &raft.Log{Index: index, Term: 1, Data: []byte(text)}
}

// TestFailedSyncIsNotTrusted has a sync of the log fail, and looks at what the log takes for stored: all of it must be on the disk, in
// the process that saw the error and in the next one.
func TestFailedSyncIsNotTrusted(t *testing.T) {
	stored := []string{"one", "two", "three"}
	prepare := func(t *testing.T) (*lossyLog, *logStore) {
		l := newLossyLog(t)
		s := l.open()
		for i, text := range stored {
			if err := s.StoreLog(entry(uint64(i+1), text)); err != nil {
				t.Fatal(err)
			}
		}
		l.disk.fail(true)
		err := s.StoreLog(entry(4, "four"))
		if !errors.Is(err, syscall.EIO) {
			t.Fatalf("an entry whose sync fails: %v, want the error of the disk", err)
		}
		if err := translate(err); !errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("to who has proposed it: %v, want %v", err, ErrUnknownOutcome)
		}
		if got := l.afterPowerLoss(); !slices.Equal(got, stored) {
			t.Fatalf("on the disk are %q, want %q", got, stored)
		}
		return l, s
	}
	same := func(t *testing.T, l *lossyLog, s *logStore, want ...string) {
		t.Helper()
		if got := contents(t, s); !slices.Equal(got, want) {
			t.Errorf("the log holds %q, want %q", got, want)
		}
		if got := l.afterPowerLoss(); !slices.Equal(got, want) {
			t.Errorf("on the disk are %q, and the log takes %q for stored", got, want)
		}
	}
	t.Run("goes on", func(t *testing.T) {
		l, s := prepare(t)
		l.disk.fail(false)
		for i, text := range []string{"another four", "five"} {
			if err := s.StoreLog(entry(uint64(i+4), text)); err != nil {
				t.Fatalf("the disk is well again: %v", err)
			}
		}
		same(t, l, s, "one", "two", "three", "another four", "five")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("starts anew", func(t *testing.T) {
		l, s := prepare(t)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		l.disk.fail(false)
		s = l.open() // it finds the fourth, which raft then counts as stored
		same(t, l, s, "one", "two", "three", "four")
		if err := s.StoreLog(entry(5, "five")); err != nil {
			t.Fatal(err)
		}
		same(t, l, s, "one", "two", "three", "four", "five")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("starts anew while the disk fails", func(t *testing.T) {
		l, s := prepare(t)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		_, err := openLogOn(l.disk, l.dir, nil, slog.New(slog.DiscardHandler), l.done)
		if !errors.Is(err, syscall.EIO) || errors.Is(err, ErrCorrupt) {
			t.Errorf("open with entries that cannot be made durable: %v, want the error of the disk and nothing about damage", err)
		}
	})
}

// TestMetaFilesThatDiffer has the second of the two files not be written: the first one is newer, and perhaps not on the disk, so
// the next process must not rely on it before it has written both.
func TestMetaFilesThatDiffer(t *testing.T) {
	dir := t.TempDir()
	open := func() *metaStore {
		m := &metaStore{log: slog.New(slog.DiscardHandler)}
		if _, err := m.Load(dir); err != nil {
			t.Fatal(err)
		}
		return m
	}
	m := open()
	if err := m.SetStable([]byte("term"), []byte("1")); err != nil {
		t.Fatal(err)
	}
	if err := m.files[1].Close(); err != nil {
		t.Fatal(err)
	}
	if err := m.SetStable([]byte("term"), []byte("2")); err == nil {
		t.Fatal("a file that is closed was written")
	}
	if b, _ := m.GetStable([]byte("term")); string(b) != "1" {
		t.Errorf("after an error the term is %s, want the old one", b)
	}
	if err := m.files[0].Close(); err != nil {
		t.Fatal(err)
	}
	m = open()
	defer func() { _ = m.Close() }()
	var got []string
	for i := range m.files {
		is, sequence, err := readMeta(metaPath(dir, i))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%s at %d", is.Stable["term"], sequence))
	}
	if got[0] != got[1] || got[0][0] != '2' {
		t.Errorf("the files say %q, want 2 and the same of both", got)
	}
}
