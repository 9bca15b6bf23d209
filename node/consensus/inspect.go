package consensus

import (
	"context"
	"errors"
	"fmt"
)

// remedy says what to do about damaged files of a group.
const remedy = "let the other replicas fill it: for a partition empty this node with 'kith cluster drain' and take it into use again with --off, for the " +
	"control group start it with an empty data folder and a new id, as a new one; do not put back an older copy of the folder, which has forgotten what was acknowledged since"

// inspect looks at the files of a member before raft does, which ends the process where something is missing. It mends what is
// safe to mend, and returns an error that matches ErrCorrupt, names the files about what is not.
// keep says that the FSM has its state and needs no snapshot.
//
// Safe is what changes nothing that this member has promised: entries that a snapshot covers, and a state that can be made
// again from a snapshot and the entries behind it. A member must not forget an entry behind its last snapshot, its term or its
// vote: with what it forgets the group may lose what it has acknowledged.
func (g *Group) inspect() (keep bool, err error) {
	keep = g.cfg.NoRestoreOnStart
	list, err := g.snaps.List()
	if err != nil {
		return false, fmt.Errorf("list snapshots: %w", err)
	}
	snapshot, applied := uint64(0), g.machine.applied.Load()
	if len(list) > 0 {
		snapshot = list[0].Index
	}
	// The log behind a snapshot is gone: an FSM that has lost its files needs the snapshot.
	if snapshot > 0 && (!keep || applied < snapshot) {
		if keep {
			g.log.Warn("state is behind the last snapshot: restore it", "applied", applied, "snapshot", snapshot)
		}
		keep = false
		if snapshot, err = g.goodSnapshot(); err != nil {
			return false, err
		}
	}
	damaged, why := g.wal.verify()
	switch {
	case damaged > 0 && damaged <= snapshot:
		first, err := g.wal.FirstIndex()
		if err != nil {
			return false, err
		}
		g.log.Error("log is damaged where a snapshot covers it: cut it off", "entry", damaged, "snapshot", snapshot, "err", why)
		if err := g.wal.DeleteRange(first, damaged); err != nil {
			return false, err
		}
	case why != nil:
		return false, why
	}
	first, err := g.wal.FirstIndex()
	if err != nil {
		return false, err
	}
	if first > snapshot+1 {
		return false, fmt.Errorf("%w: log in %s begins at entry %d, and there is no good snapshot in %s of what is before",
			ErrCorrupt, g.cfg.Dir, first, g.snaps.dir)
	}
	return keep, g.probe()
}

// probe writes to the stable store, so that a full disk is an error of Open and not one of raft, which ends the process.
func (g *Group) probe() error {
	if err := g.wal.SetUint64([]byte("probe"), 1); err != nil {
		return fmt.Errorf("write to %s: %w; make room on the disk", g.cfg.Dir, err)
	}
	return nil
}

// Verify reads the log and the newest snapshot in full. It returns an error that matches ErrCorrupt if something is damaged, after it
// has mended what it can by a new snapshot: that replaces a damaged one, and entries that it covers are cut off. Cost: reading both,
// and with damage a snapshot.
func (g *Group) Verify(ctx context.Context) error {
	damaged, why := g.wal.verify()
	list, err := g.snaps.List()
	if err == nil && len(list) > 0 {
		err = checkSnapshot(g.snaps, list[0].ID)
	}
	if why == nil && err == nil {
		return nil
	}
	found := fmt.Errorf("group %s: %w", g.cfg.Group, errors.Join(why, err))
	if err := g.Snapshot(ctx); err != nil {
		return errors.Join(found, err)
	}
	list, err = g.snaps.List()
	if err != nil || len(list) == 0 || damaged == 0 || list[0].Index < damaged {
		return errors.Join(found, err)
	}
	first, err := g.wal.FirstIndex()
	if err == nil && first <= damaged {
		err = g.wal.DeleteRange(first, damaged)
	}
	return errors.Join(found, err)
}
