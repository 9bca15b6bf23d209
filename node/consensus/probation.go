package consensus

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"

	"github.com/kith-io/kith/durable"
)

// probationFile is in the folder of a member that withholds its votes.
const probationFile = "probation"

// The rules of raft hold while no member forgets what it voted for and acknowledged. A replica that is moved away and later back does: it
// comes with an empty folder and the id of a member that old configurations know as a voter. With an old replica that returns from
// a long absence, it could elect a leader that lacks what was acknowledged since. So a member that begins with an empty folder
// withholds its votes until its owner has seen that it has caught up (Ongaro 2014, chapter 4.2.1 has such members without a vote
// for another reason; that alone does not help against configurations that are older). Nor does it stand for election: the log
// that it is sent begins with such configurations, the first perhaps of this member alone.

// never is an election timeout that does not end.
const never = 100 * 365 * 24 * time.Hour

// enterProbation puts a member without files on probation, and reports whether one is.
func enterProbation(dir string) (bool, error) {
	file := filepath.Join(dir, probationFile)
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		return true, err
	}
	for _, has := range []string{"wal", "snapshots"} {
		if _, err := os.Stat(filepath.Join(dir, has)); !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	if err := makeDir(dir); err != nil {
		return false, err
	}
	f, err := os.Create(file)
	if err != nil {
		return false, err
	}
	return true, errors.Join(f.Sync(), f.Close(), durable.SyncDir(dir))
}

// OnProbation reports whether this member withholds its votes and does not stand for election.
func (g *Group) OnProbation() bool { return g.probation.Load() }

// Admit ends the probation of this member, for good. The caller knows one of two things: the group is new, and this is one of its first
// members, which may have been away when it was made; or this member has applied everything up to its adding.
func (g *Group) Admit() error {
	g.admission.Lock()
	defer g.admission.Unlock()
	if !g.OnProbation() {
		return nil
	}
	if err := os.Remove(filepath.Join(g.cfg.Dir, probationFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("admit to group %s: %w", g.cfg.Group, err)
	}
	if err := durable.SyncDir(g.cfg.Dir); err != nil {
		return fmt.Errorf("admit to group %s: %w", g.cfg.Group, err)
	}
	g.probation.Store(false)
	again := g.raft.ReloadableConfig()
	again.HeartbeatTimeout, again.ElectionTimeout = g.cfg.HeartbeatTimeout, g.cfg.ElectionTimeout
	if err := g.raft.ReloadConfig(again); err != nil {
		return fmt.Errorf("admit to group %s: %w", g.cfg.Group, err)
	}
	return nil
}

// withhold answers calls for votes, and to stand, with no while this member is on probation, and hands on all others. It ends with g.done.
func (g *Group) withhold(calls <-chan raft.RPC) <-chan raft.RPC {
	out := make(chan raft.RPC)
	g.withholding.Go(func() {
		for {
			select {
			case call := <-calls:
				if no, err := g.refusal(call); no != nil {
					call.Respond(no, err)
					continue
				}
				select {
				case out <- call:
				case <-g.done:
					return
				}
			case <-g.done:
				return
			}
		}
	})
	return out
}

// errProbation answers a leader that wants to hand on its leadership.
var errProbation = errors.New("member is on probation")

// refusal returns the answer to a call for a vote that is not given, or to stand, or nil.
func (g *Group) refusal(call raft.RPC) (answer any, err error) {
	if !g.OnProbation() {
		return nil, nil
	}
	header := raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(g.cfg.NodeID)}
	switch call.Command.(type) {
	case *raft.RequestVoteRequest:
		return &raft.RequestVoteResponse{RPCHeader: header}, nil
	case *raft.RequestPreVoteRequest:
		return &raft.RequestPreVoteResponse{RPCHeader: header}, nil
	case *raft.TimeoutNowRequest:
		return &raft.TimeoutNowResponse{RPCHeader: header}, errProbation
	}
	return nil, nil
}
