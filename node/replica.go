package node

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node/consensus"
	"github.com/kith-io/kith/node/store"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/node/worker"
	"github.com/kith-io/kith/partition"
)

// replica is this node's copy of one partition.
type replica struct {
	id    partition.ID
	store *store.Store
	group *consensus.Group

	// mu is held for reading while the replica is used, and for writing when it is closed.
	mu     sync.RWMutex
	closed bool
}

// dir returns the folder of a partition's replica.
func (n *Node) dir(id partition.ID) string {
	return filepath.Join(n.cfg.Dir, "partitions", fmt.Sprintf("%05d", id))
}

func (n *Node) openReplica(id partition.ID) (*replica, error) {
	// Store and group make their folders, and this one, durably.
	dir := n.dir(id)
	st, err := store.Open(store.Options{Dir: filepath.Join(dir, "events"), Cache: n.cache, Log: n.cfg.Logger})
	if err != nil {
		return nil, err
	}
	cfg := n.cfg.Consensus
	cfg.Group, cfg.NodeID, cfg.Dir = fmt.Sprintf("partition-%d", id), n.cfg.ID, filepath.Join(dir, "raft")
	cfg.NoRestoreOnStart, cfg.Log, cfg.Resolve = true, n.cfg.Logger, n.peers.RaftAddr
	group, err := consensus.Open(cfg, n.mux, store.FSM{Store: st})
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return &replica{id: id, store: st, group: group}, nil
}

// close waits until nobody uses the replica.
func (r *replica) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	return errors.Join(r.group.Shutdown(), r.store.Close())
}

// use returns the replica of a partition, which stays open until the caller calls release.
func (n *Node) use(p partition.ID) (*replica, error) {
	n.mu.RLock()
	r := n.replicas[p]
	n.mu.RUnlock()
	if r != nil {
		r.mu.RLock()
		if !r.closed {
			return r, nil
		}
		r.mu.RUnlock()
	}
	return nil, fmt.Errorf("partition %d on node %s: %w", p, n.cfg.ID, wire.ErrNoReplica)
}

// Leaderless returns how long the replica of a partition on this node has known no leader: 0 if it knows one, or if there is no
// replica here.
func (n *Node) Leaderless(p partition.ID) time.Duration {
	r, err := n.use(p)
	if err != nil {
		return 0
	}
	defer r.release()
	return r.group.Leaderless()
}

func (r *replica) release() { r.mu.RUnlock() }

// held is use for callers from outside. A caller that goes by another shard map may have come to the wrong node, and is told so; if
// the replica is here it does not matter.
func (n *Node) held(p uint32, epoch uint64) (*replica, error) {
	view := n.control.View()
	if view.Epoch > 0 && int64(p) >= int64(len(view.Replicas)) {
		return nil, fmt.Errorf("%w: partition %d of %d", wire.ErrInvalid, p, len(view.Replicas))
	}
	r, err := n.use(partition.ID(p))
	if err != nil && epoch != view.Epoch {
		return nil, fmt.Errorf("partition %d: %w: have %d, got %d", p, wire.ErrStaleEpoch, view.Epoch, epoch)
	}
	return r, err
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
	case errors.Is(err, consensus.ErrClosed):
		return fmt.Errorf("partition %d: %w: %w", r.id, wire.ErrNotReady, err)
	}
	return fmt.Errorf("partition %d: %w", r.id, err)
}

// Shard implements worker.Source: it fuses the events of a partition up to the cut.
func (n *Node) Shard(ctx context.Context, p partition.ID, cut uint64, w fusion.Weights, nowMs int64) (*worker.Shard, error) {
	r, err := n.use(p)
	if err != nil {
		return nil, err
	}
	defer r.release()
	if err := r.group.WaitApplied(ctx, cut); err != nil {
		return nil, r.convert(err)
	}
	shard := &worker.Shard{Start: []int64{0}}
	ids := map[string]uint32{}
	err = r.store.Scan(ctx, cut, func(user string, events []fusion.Event) error {
		fused := fusion.Fuse(events, w, nowMs)
		if len(fused) == 0 {
			return nil
		}
		shard.Users = append(shard.Users, user)
		for _, x := range fused {
			id, ok := ids[x.Item]
			if !ok {
				id = uint32(len(shard.Items))
				item := strings.Clone(x.Item)
				ids[item] = id
				shard.Items = append(shard.Items, item)
			}
			shard.Item = append(shard.Item, id)
			shard.Weight = append(shard.Weight, x.Weight)
		}
		shard.Start = append(shard.Start, int64(len(shard.Item)))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("partition %d: %w", p, err)
	}
	sortItems(shard)
	return shard, nil
}

// sortItems renumbers the items of a shard by key. Rows ascend by key already, so they ascend by the new ids.
func sortItems(s *worker.Shard) {
	order := make([]uint32, len(s.Items))
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(a, b uint32) int { return strings.Compare(s.Items[a], s.Items[b]) })
	items, renumber := make([]string, len(order)), make([]uint32, len(order))
	for i, old := range order {
		items[i], renumber[old] = s.Items[old], uint32(i)
	}
	for i, id := range s.Item {
		s.Item[i] = renumber[id]
	}
	s.Items = items
}
