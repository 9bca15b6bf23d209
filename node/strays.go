package node

import (
	"context"
	"fmt"
	"time"
)

// strayTimeout bounds one try to remove a stray: a question to the coordinator, and a change of a group.
const strayTimeout = 5 * time.Second

// removeStrays takes members without a vote out of the groups that this node leads, if neither the shard map nor a move names them, until
// ctx is done. A call that adds one may be late, and come between the end of its move and the next change of the group: ChangeReplica
// asks first whether the move goes on, and changes the group then. Nobody would miss such a member, nor remove it, and the leader
// would send to it for ever.
func (n *Node) removeStrays(ctx context.Context) {
	timer := time.NewTicker(lookInterval)
	defer timer.Stop()
	for ctx.Err() == nil {
		changed := n.control.Changed()
		for _, r := range n.all() {
			if err := n.removeStray(ctx, r); err != nil && ctx.Err() == nil {
				n.cfg.Logger.Warn("remove a stray member of a group", "partition", r.id, "err", err)
			}
		}
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
}

// removeStray removes one stray of a group, if there is any and this node leads it. As in ChangeReplica the configuration is read before
// the decisions, and the group refuses the change if it has another one by then. A move that adds the same member at this moment
// finds it missing, and adds it at its next try.
func (n *Node) removeStray(ctx context.Context, r *replica) error {
	if !r.group.IsLeader() {
		return nil
	}
	members, after, err := r.group.Configuration()
	if err != nil {
		return nil //nolint:nilerr // it closes, or leads no more
	}
	named := func(id string) bool {
		view := n.control.View()
		return int(r.id) >= len(view.Replicas) || view.Holds(r.id, id)
	}
	for _, m := range members {
		if m.Voter || named(m.ID) {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, strayTimeout)
		defer cancel()
		if err := n.control.Confirm(ctx); err != nil {
			return fmt.Errorf("ask whether %s belongs to it: %w", m.ID, err)
		}
		if named(m.ID) {
			continue
		}
		if err := r.group.Remove(ctx, m.ID, after); err != nil {
			return err
		}
		n.cfg.Logger.Info("removed a member of a group that nobody has asked for", "partition", r.id, "member", m.ID)
		return nil
	}
	return nil
}
