package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/kith-io/kith/node/consensus"
	"github.com/kith-io/kith/node/gossip"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

const (
	// bootstrapPause is how often a server without a cluster looks whether it can make one.
	bootstrapPause = 250 * time.Millisecond
	// approvalTime is how long a server that approved one proposer refuses others. A proposer bootstraps at once.
	approvalTime = 30 * time.Second
	// approveTimeout bounds the question to one voter.
	approveTimeout = 2 * time.Second
)

// approvals remembers which proposer this server approved.
type approvals struct {
	mu       sync.Mutex
	proposer string
	until    time.Time
}

// bootstrap makes a new control group when enough servers that want one have found each other, unless there is a cluster.
//
// The servers must not make two. So one alone acts: the one with the lowest id among those that expect the same number;
// and it asks each of the voters that it chose first. A voter says yes only while it has no state, has seen no cluster,
// takes the same server for the lowest, and has approved no other lately.
func (s *Server) bootstrap(ctx context.Context) error {
	if s.cfg.BootstrapExpect == 0 {
		return nil
	}
	ticker := time.NewTicker(bootstrapPause)
	defer ticker.Stop()
	waiting := true
	for !s.group.HasState() {
		voters, err := s.candidates()
		switch {
		case err != nil:
			if waiting {
				s.log.Info("waiting for a cluster", "reason", err)
				waiting = false
			}
		case voters[0].ID == s.id:
			if err := s.propose(ctx, voters); err != nil {
				s.log.Info("cluster not made yet", "reason", err)
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// candidates returns the voters of a new cluster by this server's view, lowest id first, or why there can be none.
func (s *Server) candidates() ([]gossip.Member, error) {
	var found []gossip.Member
	for _, m := range s.gossip.Members() {
		if m.State != gossip.Alive {
			continue
		}
		if m.ID != s.id && (m.ClusterID != "" || m.HasState) {
			return nil, fmt.Errorf("node %s is part of a cluster, which will take this one in", m.ID)
		}
		if m.BootstrapExpect == s.cfg.BootstrapExpect {
			found = append(found, m)
		}
	}
	if len(found) < s.cfg.BootstrapExpect {
		return nil, fmt.Errorf("%d of %d servers found", len(found), s.cfg.BootstrapExpect)
	}
	slices.SortFunc(found, func(a, b gossip.Member) int { return cmp.Compare(a.ID, b.ID) })
	return found[:s.cfg.BootstrapExpect], nil
}

// propose asks all voters and bootstraps the control group.
func (s *Server) propose(ctx context.Context, voters []gossip.Member) error {
	ids, servers := []string{}, []consensus.Server{}
	for _, v := range voters {
		ids = append(ids, v.ID)
		servers = append(servers, consensus.Server{ID: v.ID, Addr: v.RaftAddr})
	}
	for _, v := range voters {
		if v.ID == s.id {
			if err := s.approve(ctx, s.id, ids); err != nil {
				return err
			}
			continue
		}
		conn, err := s.peers.Conn(ctx, v.ID)
		if err != nil {
			return err
		}
		call, cancel := context.WithTimeout(ctx, approveTimeout)
		_, err = kithv1.NewControlServiceClient(conn).Approve(call, &kithv1.ApproveRequest{Proposer: s.id, Voters: ids})
		cancel()
		if err != nil {
			return fmt.Errorf("node %s: %w", v.ID, err)
		}
	}
	s.log.Info("making a cluster", "voters", ids)
	return s.group.Bootstrap(servers)
}

// approve answers a proposer.
func (s *Server) approve(_ context.Context, proposer string, voters []string) error {
	mine, err := s.candidates()
	switch {
	case s.group.HasState():
		return fmt.Errorf("node %s has state already: %w", s.id, wire.ErrNotReady)
	case err != nil:
		return fmt.Errorf("node %s: %w: %w", s.id, err, wire.ErrNotReady)
	case mine[0].ID != proposer:
		return fmt.Errorf("node %s expects %s to propose, not %s: %w", s.id, mine[0].ID, proposer, wire.ErrNotReady)
	case !slices.Contains(voters, s.id):
		return fmt.Errorf("%w: node %s is not among the voters %v", wire.ErrInvalid, s.id, voters)
	}
	s.approvals.mu.Lock()
	defer s.approvals.mu.Unlock()
	now := time.Now()
	if s.approvals.proposer != proposer && now.Before(s.approvals.until) {
		return fmt.Errorf("node %s has approved %s a moment ago: %w", s.id, s.approvals.proposer, wire.ErrNotReady)
	}
	s.approvals.proposer, s.approvals.until = proposer, now.Add(approvalTime)
	// The cluster is new, and so is this server: the group needs the votes of all of its first members.
	return errors.Join(s.admit(), s.group.Admit())
}
