package consensus

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/hashicorp/raft"
)

// snapshotStore keeps snapshots in files, and writes none while there is no room on the disk. raft's own store has a checksum of the
// state, and none of the metadata beside it: of the index, the term and the members. That is in the file meta.sum, as eight hex
// digits.
type snapshotStore struct {
	raft.SnapshotStore
	dir  string // of the snapshots
	room func() error
	log  *slog.Logger
}

// metaSum is the name of the file with the checksum, and sumDigits its length.
const (
	metaSum   = "meta.sum"
	sumDigits = 8
)

// List implements raft.SnapshotStore: the newest first, and none whose metadata are damaged.
func (s snapshotStore) List() ([]*raft.SnapshotMeta, error) {
	list, err := s.SnapshotStore.List()
	return slices.DeleteFunc(list, func(m *raft.SnapshotMeta) bool {
		err := s.checkMeta(m.ID)
		if err != nil {
			s.log.Error("snapshot is left out", "err", err)
		}
		return err != nil
	}), err
}

// metaChecksum returns the checksum of the metadata of a snapshot.
func (s snapshotStore) metaChecksum(id string) (string, error) {
	b, err := os.ReadFile(filepath.Join(s.dir, id, "meta.json"))
	return fmt.Sprintf("%0*x", sumDigits, crc32.Checksum(b, crcTable)), err
}

// checkMeta returns an error that matches ErrCorrupt if the metadata of a snapshot are damaged. A checksum that is not there, as
// after a crash at the wrong moment, is no error.
func (s snapshotStore) checkMeta(id string) error {
	if _, err := os.Stat(filepath.Join(s.dir, id)); err != nil { // the id is in the metadata, too
		return fmt.Errorf("%w: id of a snapshot: %w", ErrCorrupt, err)
	}
	want, err := os.ReadFile(filepath.Join(s.dir, id, metaSum))
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(want) < sumDigits {
		return nil
	}
	got, err2 := s.metaChecksum(id)
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	if got != string(want) {
		return fmt.Errorf("%w: metadata of snapshot %s", ErrCorrupt, filepath.Join(s.dir, id))
	}
	return nil
}

// Create implements raft.SnapshotStore.
func (s snapshotStore) Create(version raft.SnapshotVersion, index, term uint64, conf raft.Configuration, confIndex uint64, trans raft.Transport) (raft.SnapshotSink, error) {
	if err := s.room(); err != nil {
		return nil, err
	}
	sink, err := s.SnapshotStore.Create(version, index, term, conf, confIndex, trans)
	if err != nil {
		return nil, err
	}
	return snapshotSink{sink, s}, nil
}

// snapshotSink breaks a snapshot off when the disk fills: raft deletes what there is of it.
type snapshotSink struct {
	raft.SnapshotSink
	store snapshotStore
}

// Write implements io.Writer.
func (s snapshotSink) Write(p []byte) (int, error) {
	if err := s.store.room(); err != nil {
		return 0, err
	}
	return s.SnapshotSink.Write(p)
}

// Close implements io.Closer: the snapshot is complete.
func (s snapshotSink) Close() error {
	if err := s.SnapshotSink.Close(); err != nil {
		return err
	}
	sum, err := s.store.metaChecksum(s.ID())
	if err != nil {
		return err
	}
	file, err := os.Create(filepath.Join(s.store.dir, s.ID(), metaSum))
	if err != nil {
		return err
	}
	_, err = file.WriteString(sum)
	return errors.Join(err, file.Sync(), file.Close())
}

// unfinished ends the name of the folder of a snapshot that raft is writing.
const unfinished = ".tmp"

// removeUnfinished deletes what a process that ended in the middle has left of snapshots: raft passes over it, and would keep it for
// ever. Nothing may be writing a snapshot to dir, which need not exist.
func removeUnfinished(dir string, log *slog.Logger) error {
	left, err := filepath.Glob(filepath.Join(dir, "*"+unfinished))
	if err != nil {
		return fmt.Errorf("look for unfinished snapshots in %s: %w", dir, err)
	}
	for _, path := range left {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("remove an unfinished snapshot: %w", err)
		}
		log.Info("removed a snapshot that was not finished", "snapshot", path)
	}
	return nil
}

// goodSnapshot returns the index of the newest snapshot that is undamaged, or 0, and sets damaged newer ones aside. Cost: reading
// it.
func (g *Group) goodSnapshot() (uint64, error) {
	list, err := g.snaps.List()
	if err != nil {
		return 0, fmt.Errorf("list snapshots: %w", err)
	}
	for _, meta := range list {
		err := checkSnapshot(g.snaps, meta.ID)
		if err == nil {
			return meta.Index, nil
		}
		from := filepath.Join(g.snaps.dir, meta.ID)
		to := filepath.Join(g.cfg.Dir, "damaged-snapshot-"+meta.ID)
		g.log.Error("snapshot is damaged, set aside", "snapshot", from, "moved", to, "err", err)
		if err := os.Rename(from, to); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// checkSnapshot reads a snapshot and returns an error that matches ErrCorrupt if it is damaged.
func checkSnapshot(snaps raft.SnapshotStore, id string) error {
	_, rc, err := snaps.Open(id) // compares a checksum
	if err != nil {
		return fmt.Errorf("%w: snapshot %s: %w", ErrCorrupt, id, err)
	}
	r, _, err := newFrameReader(rc)
	if err == nil {
		_, err = io.Copy(io.Discard, r)
	}
	return errors.Join(err, rc.Close())
}
