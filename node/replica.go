package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node/consensus"
	"github.com/kith-io/kith/node/store"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/node/worker"
	"github.com/kith-io/kith/partition"
)

// openBytes must be free to open a replica: a segment of its log, and files of its event store.
const openBytes = 8 << 20

// replica is this node's copy of one partition.
type replica struct {
	id        partition.ID
	eventsDir string
	store     *store.Store
	group     *consensus.Group
	// joinsHeld is until when no join begins, in Unix nanoseconds.
	joinsHeld atomic.Int64
}

// holdTime is how long a cut that waits for joins keeps others from beginning: longer than a round of it takes, and less than those who join wait.
const holdTime = 2 * time.Second

// dir returns the folder of a partition's replica.
func (n *Node) dir(id partition.ID) string {
	return filepath.Join(n.cfg.Dir, "partitions", fmt.Sprintf("%05d", id))
}

// countStores returns how many replicas have a folder below dir.
func countStores(dir string) int {
	entries, err := os.ReadDir(filepath.Join(dir, "partitions"))
	if err != nil {
		return 0 // a new node
	}
	return len(entries)
}

func (n *Node) openReplica(id partition.ID) (*replica, error) {
	if free := n.disk.Free(); free < openBytes {
		return nil, fmt.Errorf("node %s: %w: %d KiB are free, and opening needs %d MiB; make room and it goes on by itself",
			n.cfg.ID, wire.ErrDiskFull, free>>10, openBytes>>20)
	}
	dir := n.dir(id)
	if _, err := os.Stat(filepath.Join(dir, "raft")); n.promised.has(id) && errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("partition %d: %w: %s is gone, and with it what this node has acknowledged; let the other replicas fill it: "+
			"empty this node with 'kith cluster drain' and take it into use again with --off", id, consensus.ErrCorrupt, filepath.Join(dir, "raft"))
	}
	// Store and group make their folders, and this one, durably.
	st, err := n.openStore(id, filepath.Join(dir, "events"))
	if err != nil {
		return nil, err
	}
	cfg := n.cfg.Consensus
	cfg.Group, cfg.NodeID, cfg.Dir = fmt.Sprintf("partition-%d", id), n.cfg.ID, filepath.Join(dir, "raft")
	cfg.NoRestoreOnStart, cfg.Log, cfg.Resolve = true, n.cfg.Logger, n.peers.RaftAddr
	cfg.Room, cfg.Probation = n.disk.LogRoom, true
	group, err := consensus.Open(cfg, n.mux, store.FSM{Store: st})
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return &replica{id: id, eventsDir: filepath.Join(dir, "events"), store: st, group: group}, nil
}

func (r *replica) close() error {
	r.store.Interrupt() // or the group waits for a command that waits for room
	return errors.Join(r.group.Shutdown(), r.store.Close())
}

// replica returns the replica of a partition. It may be closed at any time; its calls then fail with errors that convert knows.
func (n *Node) replica(id partition.ID) (*replica, error) {
	n.mu.RLock()
	r := n.replicas[id]
	n.mu.RUnlock()
	if r == nil {
		return nil, n.absent(id)
	}
	return r, nil
}

// Leaderless returns how long the replica of a partition on this node has known no leader: 0 if it knows one, or if there is no
// replica here. One that comes or goes does not count: nobody calls it.
func (n *Node) Leaderless(p partition.ID) time.Duration {
	view := n.control.View()
	r, err := n.replica(p)
	if err != nil || int(p) >= len(view.Replicas) || !slices.Contains(view.Replicas[p], n.cfg.ID) {
		return 0
	}
	return r.group.Leaderless()
}

// held is replica for callers from outside. A caller that goes by another shard map may have come to the wrong node, and is told so; if
// the replica is here it does not matter.
func (n *Node) held(p uint32, epoch uint64) (*replica, error) {
	view := n.control.View()
	if view.Epoch > 0 && int64(p) >= int64(len(view.Replicas)) {
		return nil, fmt.Errorf("%w: partition %d of %d", wire.ErrInvalid, p, len(view.Replicas))
	}
	r, err := n.replica(partition.ID(p))
	if err != nil && epoch != view.Epoch {
		return nil, fmt.Errorf("partition %d: %w: have %d, got %d", p, wire.ErrStaleEpoch, view.Epoch, epoch)
	}
	return r, err
}

// absent is the error of a replica that is not open, with the reason if there is one.
func (n *Node) absent(id partition.ID) error {
	n.mu.RLock()
	why := n.refused[id]
	n.mu.RUnlock()
	if why == nil {
		return fmt.Errorf("partition %d on node %s: %w", id, n.cfg.ID, wire.ErrNoReplica)
	}
	return fmt.Errorf("partition %d on node %s: %w: %w", id, n.cfg.ID, wire.ErrNoReplica, why)
}

// admit makes a replica a full member of its group.
func (n *Node) admit(r *replica) error {
	if err := r.group.Admit(); err != nil {
		return err
	}
	return n.promised.set(r.id, true)
}

// isRefused reports whether a replica that should be open could not be opened at the last try.
func (n *Node) isRefused(id partition.ID) bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.refused[id] != nil
}

// opened takes over the outcome of opening a replica. What failed is tried again at the next look, unless it is damaged: that
// needs a person. The other replicas of this node, and those of the partition elsewhere, go on.
func (n *Node) opened(id partition.ID, r *replica, err error) {
	if err == nil && !r.group.OnProbation() {
		if err = n.promised.set(id, true); err != nil {
			err = errors.Join(err, r.close())
		}
	}
	n.mu.Lock()
	was := n.refused[id]
	if err == nil {
		n.replicas[id] = r
		delete(n.refused, id)
	} else {
		n.refused[id] = err
	}
	n.mu.Unlock()
	if err != nil && (was == nil || was.Error() != err.Error()) {
		n.cfg.Logger.Error("replica does not start", "partition", id, "err", err)
	}
}

// beyondRepair reports whether opening a replica again is in vain.
func (n *Node) beyondRepair(id partition.ID) bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return isDamage(n.refused[id])
}

func isDamage(err error) bool {
	return errors.Is(err, consensus.ErrCorrupt) || errors.Is(err, store.ErrCorrupt)
}

// mayOpenLater reports whether a replica could not be opened for a reason that may pass, such as an error of the disk.
func (n *Node) mayOpenLater() bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	for _, err := range n.refused {
		if !isDamage(err) {
			return true
		}
	}
	return false
}

// convert turns errors of the raft group into those of the wire.
func (r *replica) convert(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, consensus.ErrNotLeader):
		leader, _ := r.group.Leader()
		return fmt.Errorf("partition %d: %w", r.id, &wire.NotLeaderError{Leader: leader})
	case errors.Is(err, consensus.ErrUnknownOutcome):
		return fmt.Errorf("partition %d: %w: %w", r.id, wire.ErrUnknownOutcome, err)
	case errors.Is(err, store.ErrCorrupt), errors.Is(err, store.ErrFailed), errors.Is(err, store.ErrClosed):
		// Another replica has the events, and this one is mended.
		return fmt.Errorf("partition %d: %w: %w", r.id, wire.ErrNoReplica, err)
	case errors.Is(err, store.ErrErased):
		return fmt.Errorf("partition %d: %w: %w", r.id, wire.ErrErased, err)
	case errors.Is(err, wire.ErrDiskFull):
		return fmt.Errorf("partition %d: %w", r.id, err)
	case errors.Is(err, consensus.ErrClosed):
		return fmt.Errorf("partition %d: %w: %w", r.id, wire.ErrNotReady, err)
	}
	return fmt.Errorf("partition %d: %w", r.id, err)
}

// Events implements worker.Events.
func (n *Node) Events(ctx context.Context, p partition.ID, cut uint64, f func(user string, events []fusion.Event) error) error {
	return n.pass(ctx, p, cut, func(s *store.Store, own func(error) error) error {
		return s.Scan(ctx, cut, "", func(user string, events []fusion.Event) error { return own(f(user, events)) })
	})
}

// Records implements worker.Records.
func (n *Node) Records(ctx context.Context, kind catalog.Kind, p partition.ID, cut uint64, f func(r *catalog.Record) error) error {
	return n.pass(ctx, p, cut, func(s *store.Store, own func(error) error) error {
		return s.Records(ctx, kind, "", func(record catalog.Record) error {
			if record.Deleted {
				return nil
			}
			return own(f(&record))
		})
	})
}

// pass makes a pass over the store of a partition once that has applied a cut. An error that has gone through own is that of who asked for the pass, and no trouble of the store.
func (n *Node) pass(ctx context.Context, p partition.ID, cut uint64, over func(s *store.Store, own func(error) error) error) error {
	r, err := n.replica(p)
	if err != nil {
		return err
	}
	if err := r.group.WaitApplied(ctx, cut); err != nil {
		return r.convert(err)
	}
	var asked error
	err = over(r.store, func(err error) error {
		asked = err
		return err
	})
	if err != nil && asked == nil {
		return n.troubled(r, err)
	}
	return err
}

var (
	_ worker.Events  = (*Node)(nil)
	_ worker.Records = (*Node)(nil)
)
