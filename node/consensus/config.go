package consensus

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/hashicorp/raft"
	"golang.org/x/time/rate"
)

// Errors of a Group, to be tested with errors.Is.
var (
	// ErrNotLeader means that this member does not lead the group and that
	// nothing happened: ask the leader instead.
	ErrNotLeader = errors.New("not the leader of the group")
	// ErrUnknownOutcome means that the proposal may have happened, or may yet
	// happen: leadership or patience was lost while it was under way.
	ErrUnknownOutcome = errors.New("outcome of the proposal is unknown")
	// ErrHasState refuses to bootstrap a member that has a log, a term or a snapshot.
	ErrHasState = errors.New("group has state already")
	// ErrClosed means that the Group or the Mux was shut down.
	ErrClosed = errors.New("group is shut down")
	// ErrCorrupt is matched by errors about damaged files and streams.
	ErrCorrupt = errors.New("data of the group is damaged")
	// ErrTooNew is matched by errors of FSM.Apply and FSM.Restore about what a newer program has written, and this one does not know: the member
	// halts. See Group.Halt.
	ErrTooNew = errors.New("written by a newer program")
)

const (
	// segmentBytes is the size of a segment file of the log. raft-wal allocates
	// it at once, and a node has many groups.
	segmentBytes = 4 << 20
	// transportTimeout bounds each RPC of raft, and scales with the size of a snapshot.
	transportTimeout = 5 * time.Second
	// maxPool is how many idle connections are kept for each other member:
	// heartbeats and votes use one beside the pipeline's.
	maxPool = 2
	// drainTimeout bounds how long Shutdown waits for calls in flight. They end by themselves:
	// a leader that cannot commit steps down within the lease.
	drainTimeout = 10 * time.Second
)

// Config sets up one member of one group. Zero values of the optional fields
// mean their defaults.
type Config struct {
	// Group names the group on the wire: 1 to 255 bytes, the same on all members.
	Group string
	// NodeID is the id of this member. It never changes.
	NodeID string
	// Dir holds the log and the snapshots; it is created if missing. No two groups share one.
	Dir string

	// HeartbeatTimeout is how long a follower hears nothing before it asks for an
	// election; leaders send every tenth of it or so. Default 500ms: a lost
	// leader is replaced in about a second, and idle groups cost little.
	HeartbeatTimeout time.Duration
	// ElectionTimeout is how long a candidate waits for votes, and not less than
	// HeartbeatTimeout. Default: HeartbeatTimeout.
	ElectionTimeout time.Duration

	// SnapshotThreshold is the number of log entries after which a snapshot is
	// taken. Default 8192.
	SnapshotThreshold uint64
	// TrailingLogs is the number of entries kept behind a snapshot, by which a
	// member that was away catches up without the whole state. Default 10240.
	TrailingLogs uint64
	// SnapshotInterval is how often the threshold is checked, at least. Default 30s.
	SnapshotInterval time.Duration
	// SnapshotLimit slows down the sending of snapshots, of all groups that share it. Nil means as fast as can be.
	SnapshotLimit *rate.Limiter
	// NoRestoreOnStart is for an FSM that keeps its state on disk: Open does
	// not restore the last snapshot into it, unless Applied says that it is behind.
	NoRestoreOnStart bool

	// Probation is for a group whose members come and go: one that begins with an empty Dir gives no votes until it is
	// bootstrapped or Admit is called. Where one member bootstraps a group of several it needs the others' votes: they must be admitted.
	Probation bool

	// Resolve returns the current raft address of a member by its id. If it is nil
	// or does not know the id, the address of the group's configuration is used. It is called
	// often, from many goroutines, and must not block.
	Resolve func(nodeID string) (addr string, ok bool)
	// Room returns an error while the disk of Dir is so full that nothing should be written there: entries are refused with
	// that error then, and snapshots not taken. It is called for each write, and must not block. Nil means that there is room.
	Room func() error
	// Log may be nil.
	Log *slog.Logger
}

// withDefaults returns c with its zero values filled in, or an error that names the field.
func (c Config) withDefaults() (Config, error) {
	switch {
	case c.Group == "" || len(c.Group) > maxGroupName:
		return c, fmt.Errorf("consensus config: Group is %q, want 1 to %d bytes", c.Group, maxGroupName)
	case c.NodeID == "":
		return c, errors.New("consensus config: NodeID is empty")
	case c.Dir == "":
		return c, errors.New("consensus config: Dir is empty")
	}
	if c.HeartbeatTimeout == 0 {
		c.HeartbeatTimeout = 500 * time.Millisecond
	}
	if c.ElectionTimeout == 0 {
		c.ElectionTimeout = c.HeartbeatTimeout
	}
	if c.SnapshotThreshold == 0 {
		c.SnapshotThreshold = 8192
	}
	if c.TrailingLogs == 0 {
		c.TrailingLogs = 10240
	}
	if c.SnapshotInterval == 0 {
		c.SnapshotInterval = 30 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// raftConfig translates c, which has its defaults.
func (c Config) raftConfig() *raft.Config {
	r := raft.DefaultConfig() // pre-vote is on
	r.LocalID = raft.ServerID(c.NodeID)
	r.HeartbeatTimeout = c.HeartbeatTimeout
	r.ElectionTimeout = c.ElectionTimeout
	r.LeaderLeaseTimeout = c.HeartbeatTimeout // as patient with a hiccup as the followers are
	r.CommitTimeout = max(min(r.CommitTimeout, c.HeartbeatTimeout/10), time.Millisecond)
	r.SnapshotThreshold = c.SnapshotThreshold
	r.TrailingLogs = c.TrailingLogs
	r.SnapshotInterval = c.SnapshotInterval
	r.NoSnapshotRestoreOnStart = c.NoRestoreOnStart
	r.ShutdownOnRemove = false // a removed member idles until its node closes it
	r.NoLegacyTelemetry = true
	r.Logger = newHCLogger(c.Log)
	return r
}
