package consensus

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
)

// snapshotStore keeps snapshots in files, and writes none while there is no room on the disk.
type snapshotStore struct {
	raft.SnapshotStore
	room func() error
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
	return roomySink{sink, s.room}, nil
}

// roomySink breaks a snapshot off when the disk fills: raft deletes what there is of it.
type roomySink struct {
	raft.SnapshotSink
	room func() error
}

// Write implements io.Writer.
func (s roomySink) Write(p []byte) (int, error) {
	if err := s.room(); err != nil {
		return 0, err
	}
	return s.SnapshotSink.Write(p)
}

// goodSnapshot returns the index of the newest snapshot that is undamaged, or 0, and sets damaged newer ones aside. Cost: reading
// it.
func (g *Group) goodSnapshot(snaps raft.SnapshotStore) (uint64, error) {
	list, err := snaps.List()
	if err != nil {
		return 0, fmt.Errorf("list snapshots: %w", err)
	}
	for _, meta := range list {
		err := checkSnapshot(snaps, meta.ID)
		if err == nil {
			return meta.Index, nil
		}
		from := filepath.Join(g.cfg.Dir, "snapshots", meta.ID)
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
