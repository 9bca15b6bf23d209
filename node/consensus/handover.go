package consensus

import (
	"context"
	"fmt"

	"github.com/hashicorp/raft"
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
