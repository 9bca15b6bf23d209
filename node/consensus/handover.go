package consensus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// transferTries bounds the tries to give leadership away.
	transferTries = 5
	// transferPause is the pause between two tries.
	transferPause = 50 * time.Millisecond
	// transferSends is how many requests must have gone to a member, after it did not take leadership, before it is asked again:
	// see followers.
	transferSends = 64
)

// followers knows of each member what the transport sees of it, and whom raft may be asked to hand leadership to.
//
// To hand it over, raft puts a question into a channel with room for one, which the sender to that member reads when it chooses what to
// do next. A member that does not answer keeps the sender, so raft gives up and leaves the question there. A later transfer to the member
// then waits for room. If this member stops leading meanwhile the sender ends, and the transfer waits for ever: raft holds it for under
// way for as long as the process lives, and when the member leads again it refuses all commands (issue 696 of
// hashicorp/raft). So a member that did not take leadership is not asked again before its sender must have read the question: each request of
// a pipeline is a choice between what is there to do, at least as often as not for the question.
type followers struct {
	mu sync.Mutex
	of map[raft.ServerID]*follower
}

type follower struct {
	sent  uint64    // requests of pipelines
	heard time.Time // the last answer to a heartbeat, or to a request outside of pipelines
	// closed is what sent must come to before leadership is offered again in term; in another the sender is another.
	closed, term uint64
}

func (f *follower) open(term uint64) bool { return f.term != term || f.sent >= f.closed }

// update runs do on what is known of a member, alone.
func (s *followers) update(id raft.ServerID, do func(*follower)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil {
		s.of = make(map[raft.ServerID]*follower)
	}
	f := s.of[id]
	if f == nil {
		f = new(follower)
		s.of[id] = f
	}
	do(f)
}

// sent notes a request of a pipeline.
func (s *followers) sent(id raft.ServerID) { s.update(id, func(f *follower) { f.sent++ }) }

// heard notes an answer.
func (s *followers) heard(id raft.ServerID) { s.update(id, func(f *follower) { f.heard = time.Now() }) }

// offer runs transfer, which offers leadership to a member in a term, unless that may not be. Until it has ended nobody else may; in vain it was with an error but
// ErrNotLeader.
func (s *followers) offer(id raft.ServerID, term uint64, transfer func() error) error {
	var may bool
	s.update(id, func(f *follower) {
		if may = f.open(term); may {
			f.term, f.closed = term, math.MaxUint64
		}
	})
	if !may {
		return errors.New("it does not answer, or is asked already")
	}
	err := transfer()
	s.update(id, func(f *follower) {
		switch {
		case f.term != term: // there was another since
		case err == nil, errors.Is(err, ErrNotLeader):
			f.closed = 0
		default:
			f.closed = f.sent + transferSends
		}
	})
	return err
}

// sort puts those behind who were last heard before a time, and those last who may not be offered leadership in a term.
func (s *followers) sort(members []Member, term uint64, silent time.Time) {
	rank := make(map[string]int, len(members))
	for _, m := range members {
		s.update(raft.ServerID(m.ID), func(f *follower) {
			if f.heard.Before(silent) {
				rank[m.ID]++
			}
			if !f.open(term) {
				rank[m.ID] += 2
			}
		})
	}
	slices.SortStableFunc(members, func(a, b Member) int { return cmp.Compare(rank[a.ID], rank[b.ID]) })
}

// HandOver gives leadership to one voter, and returns when this member leads no more. It returns ErrNotLeader if it did not
// lead. The voter must be nearly up to date, or raft gives up. One that did not take it a moment ago is not asked.
func (g *Group) HandOver(ctx context.Context, id string) error {
	members, err := g.Members()
	if err != nil {
		return err
	}
	for _, m := range members {
		if m.ID == id && m.Voter {
			return g.handOver(ctx, m)
		}
	}
	return fmt.Errorf("group %s: hand leadership to %s: not a voter", g.cfg.Group, id)
}

func (g *Group) handOver(ctx context.Context, to Member) error {
	if !g.IsLeader() {
		return ErrNotLeader
	}
	id := raft.ServerID(to.ID)
	_, err := g.await(ctx, func() error {
		return g.followers.offer(id, g.raft.CurrentTerm(), func() error {
			return translate(g.raft.LeadershipTransferToServer(id, raft.ServerAddress(to.Addr)).Error())
		})
	})
	if err != nil {
		return fmt.Errorf("group %s: hand leadership to %s: %w", g.cfg.Group, to.ID, err)
	}
	return nil
}

// TransferLeadership hands leadership to another voter, one that was heard a moment ago if there is one, and
// returns when this member leads no more. It returns ErrNotLeader if it did not lead.
func (g *Group) TransferLeadership(ctx context.Context) error {
	heirs, err := g.heirs()
	switch {
	case err != nil:
		return err
	case !g.IsLeader():
		return ErrNotLeader
	case len(heirs) == 0:
		return fmt.Errorf("group %s: transfer leadership: no other member has a vote", g.cfg.Group)
	}
	return g.handOver(ctx, heirs[0])
}

// heirs returns the other voters, those first that take leadership most likely.
func (g *Group) heirs() ([]Member, error) {
	members, err := g.Members()
	if err != nil {
		return nil, err
	}
	members = slices.DeleteFunc(members, func(m Member) bool { return !m.Voter || m.ID == g.cfg.NodeID })
	g.followers.sort(members, g.raft.CurrentTerm(), time.Now().Add(-g.cfg.HeartbeatTimeout))
	return members, nil
}

// Resign hands leadership to another voter, if there is one and this member leads. It tries a few times, and
// until ctx ends.
func (g *Group) Resign(ctx context.Context) error {
	for try := 1; g.IsLeader(); try++ {
		heirs, err := g.heirs()
		if err != nil || len(heirs) == 0 {
			return err
		}
		// Each try takes until the other has won, or an election timeout.
		switch err := g.handOver(ctx, heirs[0]); {
		case err == nil, errors.Is(err, ErrNotLeader) && !g.IsLeader():
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
