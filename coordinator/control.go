package coordinator

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/kith-io/kith/node"
	"github.com/kith-io/kith/node/consensus"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// Control is what a process knows of the decisions of its control group, and how it makes sure that it knows the newest.
type Control struct {
	*Machine
	group *consensus.Group
	peers *node.Peers
	// caughtUp is set when this process has known all decisions once since it started.
	caughtUp atomic.Bool
}

var _ node.Control = (*Control)(nil)

// NewControl returns a Control over an open control group whose state machine is machine.
func NewControl(machine *Machine, group *consensus.Group, peers *node.Peers) *Control {
	return &Control{Machine: machine, group: group, peers: peers}
}

// Confirm implements node.Control: it asks the coordinator for an index that covers all decisions, and waits for it.
func (c *Control) Confirm(ctx context.Context) error {
	index, err := c.readIndex(ctx)
	if err == nil {
		err = c.group.WaitApplied(ctx, index)
	}
	if err != nil {
		return fmt.Errorf("confirm the decisions of the control group: %w", err)
	}
	return nil
}

// CatchUp returns nil if this process has known all decisions at some time since it started, and otherwise does its best that it
// does. A process that starts knows old decisions only, or none: its answers could be those of last week.
func (c *Control) CatchUp(ctx context.Context) error {
	if c.caughtUp.Load() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, share(ctx, 3)) // the caller may ask another server then
	defer cancel()
	for {
		err := c.Confirm(ctx)
		if err == nil {
			c.caughtUp.Store(true)
			return nil
		}
		if !sleep(ctx, firstPause) {
			return fmt.Errorf("%w: node %s has not heard of all decisions since it started: %w", wire.ErrNotReady, c.peers.Self(), err)
		}
	}
}

func (c *Control) readIndex(ctx context.Context) (uint64, error) {
	leader, ok := c.group.Leader()
	switch {
	case !ok:
		return 0, fmt.Errorf("%w: the control group has no leader", wire.ErrNotReady)
	case leader == c.peers.Self():
		index, err := c.group.ReadIndex(ctx)
		return index, c.convert(err)
	}
	conn, err := c.peers.Conn(ctx, leader)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	resp, err := kithv1.NewControlServiceClient(conn).ReadIndex(ctx, &kithv1.ReadIndexRequest{})
	if err != nil {
		return 0, fmt.Errorf("coordinator %s: %w", leader, err)
	}
	return resp.Index, nil
}

// convert turns errors of the raft group into those of the wire.
func (c *Control) convert(err error) error {
	switch {
	case errors.Is(err, consensus.ErrNotLeader):
		leader, _ := c.group.Leader()
		return &wire.NotLeaderError{Leader: leader}
	case errors.Is(err, consensus.ErrUnknownOutcome):
		return fmt.Errorf("%w: %w", wire.ErrUnknownOutcome, err)
	case errors.Is(err, consensus.ErrClosed):
		return fmt.Errorf("%w: %w", wire.ErrNotReady, err)
	}
	return err
}
