package consensus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"

	"github.com/kith-io/kith/durable"
)

const (
	// sumFormat is the first byte of the extensions of an entry as it is stored; the crc32c of the entry follows.
	sumFormat = 1
	sumLength = 5
	// roomPause is the pause between tries of what must be written to a full disk.
	roomPause = 500 * time.Millisecond
)

// logStore is the log and the stable store of a group. It is a raft-wal with what that lacks:
//
//   - Each entry has a checksum. raft-wal checks the last batch of its last segment when it opens, and nothing else. For the rest of
//     what it keeps see metaStore.
//   - The file "tail" holds the index of the last entry that was stored, so that a log that has lost entries at its end is
//     told from one whose last write was cut by a crash. It is written after the log and not synced: it may be
//     behind, never ahead.
//   - Without room on the disk it refuses to write, and after a write that failed for want of room, or by an error of the disk, it
//     opens the files again: a raft-wal whose next segment could not be made takes no more entries for ever.
//   - Once the kernel has told that a sync failed, the next sync succeeds whether or not the pages are on the disk, and they can be read
//     like any other. So what a failed write has left is never taken for stored: this process cuts it off, and the next one, which
//     finds entries behind "tail", writes their pages once more (resync).
type logStore struct {
	dir   string
	files types.VFS // of the segments
	room  func() error
	log   *slog.Logger
	done  <-chan struct{} // ends the wait for room for the term

	disk standstill // of StoreLogs, which raft calls one at a time

	write sync.Mutex // one writer at a time
	tail  *os.File
	// failed is the error of the last write, if the state of the files is not that of wal; final if it stays so until a restart.
	failed error
	final  bool
	// started says that raft runs: from then on a term that cannot be written waits.
	started bool

	mu  sync.RWMutex // held to read, and to replace wal
	wal *wal.WAL
}

var (
	_ raft.MonotonicLogStore = (*logStore)(nil)
	_ raft.LogStore          = (*logStore)(nil)
	_ raft.StableStore       = (*logStore)(nil)
)

// openLog opens or makes the log in dir. It returns an error that matches ErrCorrupt if the files are damaged, as far as that
// shows without reading the entries: see verify.
func openLog(dir string, room func() error, log *slog.Logger, done <-chan struct{}) (*logStore, error) {
	return openLogOn(fs.New(), dir, room, log, done)
}

// openLogOn is openLog with the file system of the segments.
func openLogOn(files types.VFS, dir string, room func() error, log *slog.Logger, done <-chan struct{}) (_ *logStore, err error) {
	if room == nil {
		room = func() error { return nil }
	}
	s := &logStore{dir: dir, files: files, room: room, log: log, done: done, disk: standstill{done: done}}
	if s.tail, err = os.OpenFile(filepath.Join(dir, "tail"), os.O_CREATE|os.O_RDWR, 0o644); err != nil {
		return nil, err
	}
	if s.wal, err = s.openWAL(); err != nil {
		return nil, errors.Join(err, s.tail.Close())
	}
	if err := s.checkTail(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// openWAL opens the raft-wal.
func (s *logStore) openWAL() (*wal.WAL, error) {
	dir := filepath.Join(s.dir, "wal")
	meta := &metaStore{log: s.log}
	w, err := wal.Open(dir, wal.WithSegmentSize(segmentBytes), wal.WithLogger(newHCLogger(s.log)), wal.WithMetaStore(meta),
		wal.WithSegmentFiler(segment.NewFiler(dir, s.files)))
	if err == nil {
		return w, nil
	}
	err = errors.Join(err, meta.Close())
	if ofDisk(err) || errors.Is(err, ErrCorrupt) {
		return nil, fmt.Errorf("log in %s: %w", dir, err)
	}
	return nil, fmt.Errorf("log in %s: %w: %w", dir, ErrCorrupt, err)
}

// ofDisk reports whether an error is of the system or the disk, and may pass: it says nothing about what is in the files.
func ofDisk(err error) bool {
	var errno syscall.Errno
	return errors.As(err, &errno) && errno != syscall.ENOENT
}

// checkTail returns an error if the log ends before the last entry that is known to have been stored. Entries behind that one it
// makes durable.
func (s *logStore) checkTail() error {
	var b [12]byte
	var stored uint64
	switch _, err := s.tail.ReadAt(b[:], 0); {
	case errors.Is(err, io.EOF): // new: nothing is known to have been stored
	case err != nil:
		return err
	case crc32.Checksum(b[:8], crcTable) != binary.LittleEndian.Uint32(b[8:]):
		s.log.Warn("file is damaged, its hint is lost", "file", s.tail.Name())
	default:
		stored = binary.LittleEndian.Uint64(b[:8])
	}
	last, err := s.wal.LastIndex()
	switch {
	case err != nil:
		return err
	case last < stored:
		return fmt.Errorf("%w: log in %s ends at entry %d, and entry %d was stored", ErrCorrupt, s.dir, last, stored)
	case last > stored:
		return s.resync(stored)
	}
	return nil
}

// setTail records the index of the last entry.
func (s *logStore) setTail(last uint64, sync bool) error {
	b := binary.LittleEndian.AppendUint64(make([]byte, 0, 12), last)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, crcTable))
	_, err := s.tail.WriteAt(b, 0)
	if err == nil && sync {
		err = s.tail.Sync()
	}
	return err
}

// verify reads all entries and returns the index of the last damaged one, or 0, and what is wrong with it. Cost: reading the log.
func (s *logStore) verify() (damaged uint64, why error) {
	s.mu.RLock()
	first, err := s.wal.FirstIndex()
	last, err2 := s.wal.LastIndex()
	s.mu.RUnlock()
	if err := errors.Join(err, err2); err != nil || first == 0 {
		return 0, err
	}
	for i := first; i <= last; i++ {
		err := s.GetLog(i, new(raft.Log))
		if errors.Is(err, raft.ErrLogNotFound) {
			if now, _ := s.FirstIndex(); now > i {
				continue // the log was cut meanwhile
			}
		}
		if err != nil {
			damaged, why = i, err
		}
	}
	return damaged, why
}

// sum returns the checksum of an entry.
func sum(l *raft.Log) uint32 {
	var head [17]byte
	binary.LittleEndian.PutUint64(head[:], l.Index)
	binary.LittleEndian.PutUint64(head[8:], l.Term)
	head[16] = byte(l.Type)
	return crc32.Update(crc32.Checksum(head[:], crcTable), crcTable, l.Data)
}

// StoreLog implements raft.LogStore.
func (s *logStore) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs implements raft.LogStore.
func (s *logStore) StoreLogs(logs []*raft.Log) error {
	defer s.disk.write()()
	if err := s.room(); err != nil {
		return err
	}
	sealed := make([]raft.Log, len(logs))
	refs := make([]*raft.Log, len(logs))
	for i, l := range logs {
		sealed[i] = *l
		sealed[i].Extensions = binary.LittleEndian.AppendUint32([]byte{sumFormat}, sum(l))
		refs[i] = &sealed[i]
	}
	s.write.Lock()
	defer s.write.Unlock()
	if err := s.mend(); err != nil {
		return err
	}
	err := s.wal.StoreLogs(refs)
	if errors.Is(err, wal.ErrSealed) { // the next segment could not be made
		s.failed = err
		if err = s.mend(); err == nil {
			err = s.wal.StoreLogs(refs)
		}
	}
	if err != nil {
		return s.fail(err)
	}
	if len(logs) == 0 {
		return nil
	}
	if err := s.setTail(logs[len(logs)-1].Index, false); err != nil {
		s.log.Warn("record the end of the log", "file", s.tail.Name(), "err", err) // only a hint is lost
	}
	return nil
}

// fail notes that a write failed. An error that is not of the disk is one of raft-wal, and opening the files again does not cure it.
func (s *logStore) fail(err error) error {
	s.failed = err
	s.final = !ofDisk(err) && !errors.Is(err, wal.ErrSealed)
	return fmt.Errorf("log in %s: %w: %w", s.dir, errUnwritten, err)
}

// errUnwritten means that entries were not written, as far as is known.
var errUnwritten = errors.New("not written")

// mend opens the files again after a write that failed. It waits until that succeeds, or the group is shut down.
func (s *logStore) mend() error {
	switch {
	case s.failed == nil:
		return nil
	case s.final:
		return fmt.Errorf("log in %s: takes no entries until a restart: %w: %w", s.dir, errUnwritten, s.failed)
	}
	s.mu.Lock() // readers wait: to raft an entry that cannot be read is the end
	defer s.mu.Unlock()
	end, err := s.wal.LastIndex()
	if err != nil {
		return err
	}
	if err := s.wal.Close(); err != nil {
		return fmt.Errorf("log in %s: close: %w", s.dir, err)
	}
	for {
		if s.wal, err = s.reopen(end); err == nil {
			s.failed = nil
			s.log.Info("log takes entries again", "dir", s.dir)
			return nil
		}
		s.log.Error("open the log again", "dir", s.dir, "err", err)
		select {
		case <-time.After(roomPause):
		case <-s.done:
			return err
		}
	}
}

// reopen opens the files and cuts what is behind entry end: an entry whose write failed may have arrived, and raft does not know
// of it. It returns a closed log with an error.
func (s *logStore) reopen(end uint64) (*wal.WAL, error) {
	w, err := s.openWAL()
	if err != nil {
		return s.wal, err
	}
	now, err := w.LastIndex()
	if err == nil && now > end {
		err = w.DeleteRange(end+1, now)
	}
	if err == nil {
		err = durable.SyncDir(filepath.Join(s.dir, "wal")) // raft-wal does so once for each file, even if that fails
	}
	if err != nil {
		return w, errors.Join(err, w.Close())
	}
	return w, nil
}

// GetLog implements raft.LogStore. It returns an error that matches ErrCorrupt if the entry is damaged.
func (s *logStore) GetLog(index uint64, l *raft.Log) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	err := s.read(index, l)
	switch {
	case errors.Is(err, wal.ErrNotFound):
		return raft.ErrLogNotFound
	case errors.Is(err, wal.ErrClosed):
		return ErrClosed
	case err != nil:
		return fmt.Errorf("log in %s: entry %d: %w: %w", s.dir, index, ErrCorrupt, err)
	}
	ext := l.Extensions
	l.Extensions = nil // ours, not for the other members
	if l.Index != index || len(ext) != sumLength || ext[0] != sumFormat || binary.LittleEndian.Uint32(ext[1:]) != sum(l) {
		return fmt.Errorf("log in %s: %w: checksum of entry %d", s.dir, ErrCorrupt, index)
	}
	return nil
}

// read reads an entry. The library does not check what it decodes: some damaged bytes make it panic.
func (s *logStore) read(index uint64, l *raft.Log) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("cannot be decoded: %v", p)
		}
	}()
	return s.wal.GetLog(index, l)
}

// FirstIndex implements raft.LogStore.
func (s *logStore) FirstIndex() (uint64, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.wal.FirstIndex()
}

// LastIndex implements raft.LogStore.
func (s *logStore) LastIndex() (uint64, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.wal.LastIndex()
}

// DeleteRange implements raft.LogStore.
func (s *logStore) DeleteRange(first, last uint64) error {
	s.write.Lock()
	defer s.write.Unlock()
	if err := s.mend(); err != nil {
		return err
	}
	begin, err := s.wal.FirstIndex()
	end, err2 := s.wal.LastIndex()
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	if last >= end { // the end moves back: say so before it does
		now := uint64(0)
		if first > begin {
			now = first - 1
		}
		if err := s.setTail(now, true); err != nil {
			return fmt.Errorf("log in %s: record its end: %w", s.dir, err)
		}
	}
	if err := s.wal.DeleteRange(first, last); err != nil {
		return s.fail(err)
	}
	return nil
}

// IsMonotonic implements raft.MonotonicLogStore.
func (s *logStore) IsMonotonic() bool { return true }

// Set implements raft.StableStore.
func (s *logStore) Set(key, value []byte) error {
	for {
		s.mu.RLock()
		err := s.wal.Set(key, value)
		s.mu.RUnlock()
		if err == nil || !s.started || !ofDisk(err) && !errors.Is(err, wal.ErrClosed) {
			return err
		}
		// raft ends the process if it cannot write a term. A member that neither votes nor follows for a while harms less.
		s.log.Error("cannot write the term: this member waits", "dir", s.dir, "err", err)
		select {
		case <-time.After(roomPause):
		case <-s.done:
			// Nothing comes of the term any more: the entries and the vote that would need it are refused.
			if string(key) == currentTermKey {
				return nil
			}
			return err
		}
	}
}

// currentTermKey is the key under which raft keeps its term.
const currentTermKey = "CurrentTerm"

// Get implements raft.StableStore.
func (s *logStore) Get(key []byte) ([]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.wal.Get(key)
}

// SetUint64 implements raft.StableStore.
func (s *logStore) SetUint64(key []byte, value uint64) error {
	return s.Set(key, binary.LittleEndian.AppendUint64(nil, value))
}

// GetUint64 implements raft.StableStore. A value that is not there is 0.
func (s *logStore) GetUint64(key []byte) (uint64, error) {
	b, err := s.Get(key)
	if err != nil || b == nil {
		return 0, err
	}
	if len(b) != 8 {
		return 0, fmt.Errorf("log in %s: %w: %s has %d bytes", s.dir, ErrCorrupt, key, len(b))
	}
	return binary.LittleEndian.Uint64(b), nil
}

// Close closes the files. It waits for writes.
func (s *logStore) Close() error {
	s.write.Lock()
	defer s.write.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.wal.Close(), s.tail.Close())
}
