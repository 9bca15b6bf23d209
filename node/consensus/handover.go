package consensus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// transferTries bounds the tries to give leadership away: raft takes the same member again when it is gone, as when all stop.
	transferTries = 5
	// transferPause is the pause between two tries.
	transferPause = 50 * time.Millisecond
)

// HandOver gives leadership to one voter, and returns when this member leads no more. It returns ErrNotLeader if it did not
// lead. The voter must be nearly up to date, or raft gives up.
func (g *Group) HandOver(ctx context.Context, id string) error {
	members, err := g.Members()
	if err != nil {
		return err
	}
	if !g.IsLeader() {
		return ErrNotLeader
	}
	for _, m := range members {
		if m.ID != id || !m.Voter {
			continue
		}
		_, err := g.await(ctx, func() error {
			return translate(g.raft.LeadershipTransferToServer(raft.ServerID(id), raft.ServerAddress(m.Addr)).Error())
		})
		if err != nil {
			return fmt.Errorf("group %s: hand leadership to %s: %w", g.cfg.Group, id, err)
		}
		return nil
	}
	return fmt.Errorf("group %s: hand leadership to %s: not a voter", g.cfg.Group, id)
}

// Resign hands leadership to another voter, if there is one and this member leads. It tries a few times, and
// until ctx ends.
func (g *Group) Resign(ctx context.Context) error {
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
		case err == nil, errors.Is(err, ErrNotLeader):
			return nil
		case errors.Is(err, ErrClosed), try == transferTries:
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
