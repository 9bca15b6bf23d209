package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
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
		wg.Go(func() { errs[i] = r.group.Resign(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
