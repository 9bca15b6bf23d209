package node

import (
	"context"
	"time"

	"github.com/kith-io/kith/node/consensus"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

const (
	// handOverPause is how often a node whose disk is full looks whether it leads partitions that another could lead.
	handOverPause = time.Second
	// handOverTimeout bounds the question to another node and one transfer; an election takes less.
	handOverTimeout = 2 * time.Second
)

// yieldWhileFull gives away the leadership of partitions while the disk of this node is full, until ctx is done. It may win
// elections meanwhile, so it looks again and again.
func (n *Node) yieldWhileFull(ctx context.Context) {
	for ctx.Err() == nil {
		changed := n.disk.Changed()
		var again <-chan time.Time
		if n.disk.Room() != nil {
			n.yield(ctx)
			again = time.After(handOverPause)
		}
		select {
		case <-changed:
		case <-again:
		case <-ctx.Done():
		}
	}
}

// yield gives each partition that this node leads to the first voter that has room. A partition without one stays: it refuses
// events and answers reads.
func (n *Node) yield(ctx context.Context) {
	room := map[string]bool{} // what other nodes said in this round
	for _, r := range n.all() {
		if !r.group.IsLeader() {
			continue
		}
		members, err := r.group.Members()
		if err != nil {
			continue // it closes
		}
		for _, m := range members {
			if m.ID == n.cfg.ID || !m.Voter {
				continue
			}
			has, asked := room[m.ID]
			if !asked {
				has = n.hasRoom(ctx, m.ID)
				room[m.ID] = has
			}
			if !has {
				continue
			}
			if err := n.handOver(ctx, r, m); err != nil {
				n.cfg.Logger.Warn("hand over leadership", "partition", r.id, "to", m.ID, "err", err)
				continue
			}
			n.cfg.Logger.Info("handed over leadership, as the disk is full", "partition", r.id, "to", m.ID)
			break
		}
	}
}

func (n *Node) handOver(ctx context.Context, r *replica, to consensus.Member) error {
	ctx, cancel := context.WithTimeout(ctx, handOverTimeout)
	defer cancel()
	return r.group.HandOver(ctx, to.ID)
}

// TransferLeader implements kithv1.PartitionServiceServer.
func (n *Node) TransferLeader(ctx context.Context, req *kithv1.TransferLeaderRequest) (*kithv1.TransferLeaderResponse, error) {
	r, err := n.replica(partition.ID(req.Partition))
	if err != nil {
		return nil, err
	}
	if err := r.group.HandOver(ctx, req.To); err != nil {
		return nil, r.convert(err)
	}
	return &kithv1.TransferLeaderResponse{}, nil
}

// hasRoom asks a node whether its disk has room; one that does not answer has none.
func (n *Node) hasRoom(ctx context.Context, id string) bool {
	ctx, cancel := context.WithTimeout(ctx, handOverTimeout)
	defer cancel()
	conn, err := n.peers.Conn(ctx, id)
	if err != nil {
		return false
	}
	info, err := kithv1.NewPartitionServiceClient(conn).Info(ctx, &kithv1.InfoRequest{})
	return err == nil && !info.DiskFull
}
