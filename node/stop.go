package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/kith-io/kith/node/consensus"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
)

const (
	// transferTries bounds the tries to give a leadership away: raft takes the same member again when it is gone, as when all stop.
	transferTries = 5
	// transferPause is the pause between two tries.
	transferPause = 50 * time.Millisecond
)

// Ready returns nil when every replica that the shard map gives this node is open and knows a leader of its partition. Otherwise
// the error says which does not, and matches wire.ErrNotReady.
func (n *Node) Ready() error {
	for p, nodes := range n.control.View().Replicas {
		if !slices.Contains(nodes, n.cfg.ID) {
			continue
		}
		r, err := n.replica(partition.ID(p))
		if err != nil {
			return fmt.Errorf("%w: the replica of partition %d is not open", wire.ErrNotReady, p)
		}
		if _, led := r.group.Leader(); !led {
			return fmt.Errorf("%w: partition %d has no leader that is known here", wire.ErrNotReady, p)
		}
	}
	return nil
}

// HandOver gives the leadership of all partitions that this node leads to other replicas, and returns when it leads none, or
// with an error for each that it could not give away. It goes on serving as a follower. Partitions without
// another replica stay.
func (n *Node) HandOver(ctx context.Context) error {
	replicas := n.all()
	errs := make([]error, len(replicas))
	var wg sync.WaitGroup
	for i, r := range replicas {
		wg.Go(func() { errs[i] = HandOver(ctx, r.group) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// HandOver makes a group be led by another of its voters, if there is one and this process leads. It tries a few times, and
// until ctx ends.
func HandOver(ctx context.Context, g *consensus.Group) error {
	for try := 1; g.IsLeader(); try++ {
		members, err := g.Members()
		if err != nil {
			return err
		}
		voters := 0
		for _, m := range members {
			if m.Voter {
				voters++
			}
		}
		if voters < 2 {
			return nil
		}
		// Each try takes until the other has won, or an election timeout.
		switch err := g.TransferLeadership(ctx); {
		case err == nil, errors.Is(err, consensus.ErrNotLeader):
			return nil
		case errors.Is(err, consensus.ErrClosed), try == transferTries:
			return err
		default:
			select {
			case <-time.After(transferPause):
			case <-ctx.Done():
				return err
			}
		}
	}
	return nil
}
