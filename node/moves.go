package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/kith-io/kith/node/consensus"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

const (
	// confirmTimeout bounds one question whether a decision still stands.
	confirmTimeout = 3 * time.Second
	// confirmPause is the pause before the next one when nobody answered.
	confirmPause = 250 * time.Millisecond
	// gone is the ending of the folder of a replica that is being deleted.
	gone = ".gone"
)

// followShardMap opens the replicas that this node should have and deletes those that it should not. A node that starts goes
// through old decisions: what cannot be taken back, it does only after the coordinator has confirmed that they stand. It returns
// true when something waits for that. A replica that cannot be opened holds up no other: see opened.
func (n *Node) followShardMap(ctx context.Context, view View) (waiting bool) {
	for p := range view.Replicas {
		id := partition.ID(p)
		if _, err := n.replica(id); err != nil && view.Holds(id, n.cfg.ID) && !n.beyondRepair(id) && !n.isClosing(id) {
			r, err := n.startReplica(id)
			n.opened(id, r, err)
		}
	}
	fresh, drop := n.unsettled(view), n.unwanted(view)
	if len(fresh) == 0 && len(drop) == 0 {
		return false
	}
	confirm, cancel := context.WithTimeout(ctx, confirmTimeout)
	defer cancel()
	if err := n.control.Confirm(confirm); err != nil {
		n.cfg.Logger.Debug("replicas wait for the coordinator", "new", fresh, "old", drop, "err", err)
		return true
	}
	view = n.control.View()
	for _, id := range n.unsettled(view) {
		if err := n.settle(id, view); err != nil {
			n.cfg.Logger.Error("settle a new replica", "partition", id, "err", err)
			waiting = true
		}
	}
	for _, id := range n.unwanted(view) {
		n.apart(ctx, id, func() error { return n.deleteReplica(ctx, id) })
	}
	return waiting
}

func (n *Node) startReplica(id partition.ID) (*replica, error) {
	if err := os.RemoveAll(n.dir(id) + gone); err != nil {
		return nil, err
	}
	return n.openReplica(id)
}

// unsettled returns the partitions whose replicas of this node are new, and not because of a move that is under way: see settle.
func (n *Node) unsettled(view View) []partition.ID {
	var out []partition.ID
	for _, r := range n.all() {
		if slices.Contains(view.Replicas[r.id], n.cfg.ID) && r.group.OnProbation() {
			out = append(out, r.id)
		}
	}
	return out
}

// settle makes a replica that is new a full member of its group. In the first shard map each replica makes the group, all of them the
// same, so that it does not matter which of them is first. Otherwise it was one of those, and away when the group was made, or
// it came by a move that has seen it complete.
func (n *Node) settle(id partition.ID, view View) error {
	r, err := n.replica(id)
	if err != nil {
		return err
	}
	if view.Formed || view.Epoch != 1 || r.group.HasState() {
		return n.admit(r)
	}
	nodes := view.Replicas[id]
	servers := make([]consensus.Server, len(nodes))
	for i, node := range nodes {
		addr, ok := n.peers.RaftAddr(node)
		if !ok {
			addr = node // never dialed: addresses are looked up by id
		}
		servers[i] = consensus.Server{ID: node, Addr: addr}
	}
	if err := r.group.Bootstrap(servers); err != nil && !errors.Is(err, consensus.ErrHasState) { // another one called on it meanwhile
		return err
	}
	return n.admit(r)
}

// unwanted returns the partitions that are open, or have a folder, and should not.
func (n *Node) unwanted(view View) []partition.ID {
	var out []partition.ID
	for p := range view.Replicas {
		id := partition.ID(p)
		if view.Holds(id, n.cfg.ID) || n.isClosing(id) {
			continue
		}
		if _, err := os.Stat(n.dir(id)); err == nil || n.promised.has(id) {
			out = append(out, id)
		}
	}
	return out
}

// apart does what ends a replica, beside Run: to close one may take long, and the others come and go meanwhile. The replica is
// not opened before f has returned. An error is logged, and what is to be done then is found at the next look, after a pause.
func (n *Node) apart(ctx context.Context, id partition.ID, f func() error) {
	n.mu.Lock()
	n.closing[id] = true
	n.mu.Unlock()
	n.closers.Go(func() {
		if err := f(); err != nil && ctx.Err() == nil {
			n.cfg.Logger.Error("close a replica", "partition", id, "err", err)
			select {
			case <-time.After(confirmPause):
			case <-ctx.Done():
			}
		}
		n.mu.Lock()
		delete(n.closing, id)
		n.mu.Unlock()
		n.trouble.give()
	})
}

// isClosing reports whether apart has not ended for a replica.
func (n *Node) isClosing(id partition.ID) bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.closing[id]
}

// deleteReplica closes a replica and removes its folder, if the decision still stands when it is closed: the partition may be given
// back to this node at any time, and a replica that is closed cannot have become a part of its group again. A folder that was
// renamed is removed later if not now.
func (n *Node) deleteReplica(ctx context.Context, id partition.ID) error {
	n.mu.Lock()
	r := n.replicas[id]
	delete(n.replicas, id)
	n.mu.Unlock()
	if r != nil {
		if err := r.close(); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, confirmTimeout)
	defer cancel()
	if err := n.control.Confirm(ctx); err != nil {
		return err
	}
	if view := n.control.View(); view.Holds(id, n.cfg.ID) {
		return nil // it is opened again
	}
	if err := os.RemoveAll(n.dir(id) + gone); err != nil {
		return err
	}
	if err := os.Rename(n.dir(id), n.dir(id)+gone); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := n.promised.set(id, false); err != nil {
		return err
	}
	n.mu.Lock()
	delete(n.refused, id)
	n.mu.Unlock()
	n.cfg.Logger.Info("replica went elsewhere", "partition", id)
	return os.RemoveAll(n.dir(id) + gone)
}

// ChangeReplica implements kithv1.PartitionServiceServer.
func (n *Node) ChangeReplica(ctx context.Context, req *kithv1.ChangeReplicaRequest) (*kithv1.ChangeReplicaResponse, error) {
	r, err := n.replica(partition.ID(req.Partition))
	if err != nil {
		return nil, err
	}
	// What an earlier try has changed must be committed before it counts as done. A barrier also shows that this node leads.
	if err := r.group.Barrier(ctx); err != nil {
		return nil, r.convert(err)
	}
	index := r.group.AppliedIndex()
	// First the configuration, then the decision: a coordinator of before, or a call that was late, cannot change what a later move made.
	members, after, err := r.group.Configuration()
	if err != nil {
		return nil, r.convert(err)
	}
	if err := n.confirmMove(ctx, req); err != nil {
		return nil, err
	}
	at := slices.IndexFunc(members, func(m consensus.Member) bool { return m.ID == req.Node })
	switch req.Change {
	case kithv1.ReplicaChange_REPLICA_CHANGE_ADD:
		if at < 0 {
			err = r.group.AddNonvoter(ctx, req.Node, req.RaftAddr, after)
		}
	case kithv1.ReplicaChange_REPLICA_CHANGE_PROMOTE:
		if at < 0 {
			return nil, fmt.Errorf("partition %d: %w: %s is not in its group and cannot get a vote", req.Partition, wire.ErrNotReady, req.Node)
		}
		if !members[at].Voter {
			err = r.group.AddVoter(ctx, req.Node, req.RaftAddr, after)
		}
	case kithv1.ReplicaChange_REPLICA_CHANGE_REMOVE:
		switch {
		case at < 0:
		case req.Node == n.cfg.ID:
			// A leader that removes itself leaves the group without one for a while.
			if err = r.group.TransferLeadership(ctx); err == nil {
				err = consensus.ErrNotLeader // the new one removes this node
			}
		default:
			err = r.group.Remove(ctx, req.Node, after)
		}
	default:
		return nil, fmt.Errorf("%w: change %v of a replica", wire.ErrInvalid, req.Change)
	}
	if err != nil {
		return nil, r.convert(err)
	}
	return &kithv1.ChangeReplicaResponse{Index: index}, nil
}

// confirmMove returns an error unless a change is a part of a move that is under way now.
func (n *Node) confirmMove(ctx context.Context, req *kithv1.ChangeReplicaRequest) error {
	if err := n.control.Confirm(ctx); err != nil {
		return err
	}
	for _, m := range n.control.View().Moves {
		if m.ID != req.Move || m.Partition != req.Partition {
			continue
		}
		comes := req.Change != kithv1.ReplicaChange_REPLICA_CHANGE_REMOVE
		if comes && !m.Switched && m.Add == req.Node || !comes && m.Switched && m.Remove == req.Node {
			return nil
		}
	}
	return fmt.Errorf("%w: %v of node %s is not what move %d of partition %d waits for", wire.ErrInvalid, req.Change, req.Node, req.Move, req.Partition)
}

// AwaitReplica implements kithv1.PartitionServiceServer.
func (n *Node) AwaitReplica(ctx context.Context, req *kithv1.AwaitReplicaRequest) (*kithv1.AwaitReplicaResponse, error) {
	for {
		passed := n.passed.next()
		r, err := n.replica(partition.ID(req.Partition))
		if err == nil {
			if err := r.group.WaitApplied(ctx, req.Index); err != nil {
				return nil, r.convert(err)
			}
			if n.isAdded(req) && n.hasActive(req.Partition) {
				if err := n.admit(r); err != nil {
					return nil, r.convert(err)
				}
				return &kithv1.AwaitReplicaResponse{}, nil
			}
		} else if n.isRefused(partition.ID(req.Partition)) {
			return nil, err
		} else if err := n.disk.LogRoom(); err != nil {
			return nil, err // it cannot even learn of the move
		}
		select {
		case <-passed:
		case <-ctx.Done():
			return nil, fmt.Errorf("partition %d on node %s: replica is not complete: %w", req.Partition, n.cfg.ID, errors.Join(ctx.Err(), err))
		}
	}
}

// isAdded reports whether a move brings a replica to this node, as far as it knows.
func (n *Node) isAdded(req *kithv1.AwaitReplicaRequest) bool {
	return slices.ContainsFunc(n.control.View().Moves, func(m MoveView) bool {
		return m.ID == req.Move && m.Partition == req.Partition && m.Add == n.cfg.ID
	})
}

// hasActive reports whether this node has the files of a partition of the version that answers queries.
func (n *Node) hasActive(p uint32) bool {
	view := n.control.View()
	at := slices.IndexFunc(view.Versions, func(v VersionView) bool { return v.Version == view.Active })
	if at < 0 {
		return true
	}
	for _, file := range n.wanted(view, view.Versions[at]) {
		if ofPartition(file.Name, p) {
			return false
		}
	}
	return true
}
