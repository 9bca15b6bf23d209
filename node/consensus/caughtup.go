package consensus

import (
	"errors"

	"github.com/hashicorp/raft"
)

// CaughtUp reports whether this member knows a leader, and its FSM has taken every command that the leader has told it to be
// committed. Before that the state of a member that was restarted may be of long ago, as it comes to it command by command. A
// member that has caught up may fall behind again, as any follower. Cost: a read of the log or a few.
func (g *Group) CaughtUp() bool {
	commit := g.raft.CommitIndex() // 0 until a leader has called
	if _, ok := g.Leader(); !ok || commit == 0 {
		return false
	}
	for index := commit; index > 0; index-- {
		var entry raft.Log
		if err := g.wal.GetLog(index, &entry); err != nil {
			return errors.Is(err, raft.ErrLogNotFound) // in the snapshot, which was restored before
		}
		if entry.Type == raft.LogCommand { // others change no state
			return g.machine.applied.Load() >= index
		}
	}
	return true
}
