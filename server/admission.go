package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/kith-io/kith/node"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

const (
	// standingPause is how often a server that is not sure of it asks what it is to the cluster.
	standingPause = 500 * time.Millisecond
	// standingTimeout bounds one such question.
	standingTimeout = 2 * time.Second
	// lonelyAfter is how long a member may know no leader of the control group before it asks others whether it is one still. Elections are
	// shorter.
	lonelyAfter = 3 * time.Second
	// lingerTime is how long a server that has left goes on answering: 'kith cluster leave --wait' may ask it alone, some times a second,
	// and an answer takes up to a second when a member is dead. It is far less than the coordinator takes to cut it off.
	lingerTime = 2 * time.Second
)

// ErrRefused ends a server that the cluster cannot take in with its id and its data folder.
var ErrRefused = errors.New("the cluster refuses this server")

// watchStanding asks what this server is to the cluster whenever that is not certain, until ctx is done. It returns an error if the server
// cannot be part of it.
//
// A server with a new data folder is not called by raft groups before a member has said that its id is free, or before it makes a
// new cluster with others. If a member has the id already, it has voted and acknowledged, and the groups would take this server, which knows
// nothing of that, for it.
//
// A member that starts asks once, and one that hears of no leader asks again and again: it may have left while it was away, and nobody
// tells it, since it is in no group any more.
func (s *Server) watchStanding(ctx context.Context) error {
	if s.folder.admitted() || s.group.HasState() {
		s.openGate()
	}
	ticker := time.NewTicker(standingPause)
	defer ticker.Stop()
	certain, heard, last := false, time.Now(), ""
	for {
		peers := s.peers.Changed()
		if _, led := s.coordinator.Leader(); led {
			heard = time.Now()
		}
		if !certain || time.Since(heard) > lonelyAfter {
			standing, err := s.standing(ctx)
			if errors.Is(err, wire.ErrUpgrade) {
				return fmt.Errorf("node %s: %w: %w", s.id, ErrRefused, err)
			}
			if err == nil {
				err = s.accept(ctx, standing)
				if err != nil {
					return err
				}
				certain = true
			} else if text := err.Error(); text != last && !s.folder.admitted() && ctx.Err() == nil {
				last = text
				s.log.Info("waiting until a member says that the id of this server is free", "reason", err)
			}
		}
		select {
		case <-ticker.C:
		case <-peers:
		case <-ctx.Done():
			return nil
		}
	}
}

// openGate lets the raft groups of other processes call this one.
func (s *Server) openGate() { s.admitOnce.Do(func() { close(s.admitted) }) }

// admit is openGate for this start and all later ones.
func (s *Server) admit() error {
	if err := s.folder.admit(); err != nil {
		return err
	}
	s.openGate()
	return nil
}

// accept takes note of what a member said. It returns an error if this server cannot be part of the cluster.
func (s *Server) accept(ctx context.Context, standing kithv1.Standing) error {
	switch standing {
	case kithv1.Standing_STANDING_LEFT:
		if !s.group.HasState() {
			return fmt.Errorf("node %s: %w: a server of this id has left for good; start with another --node-id", s.id, ErrRefused)
		}
		return s.farewell(ctx)
	case kithv1.Standing_STANDING_OTHER_FOLDER:
		return fmt.Errorf("node %s: %w: the member of this id has its data in another folder than %s; start with that folder; or, "+
			"if it is lost, with another --node-id, and let the old one leave with 'kith cluster leave'", s.id, ErrRefused, s.cfg.DataDir)
	}
	if s.folder.admitted() {
		return nil
	}
	return s.admit()
}

// standing asks one member after the other what this server is to the cluster, those first that seem to live.
func (s *Server) standing(ctx context.Context) (kithv1.Standing, error) {
	err := fmt.Errorf("no other server is known: %w", wire.ErrNotReady)
	peers := s.peers.All()
	slices.SortStableFunc(peers, func(a, b node.Peer) int {
		switch {
		case a.Alive == b.Alive:
			return 0
		case a.Alive:
			return -1
		}
		return 1
	})
	for _, p := range peers {
		if p.ID == s.id {
			continue
		}
		var standing kithv1.Standing
		if standing, err = s.askStanding(ctx, p.ID); err == nil || errors.Is(err, wire.ErrUpgrade) {
			return standing, err
		}
	}
	return 0, err
}

func (s *Server) askStanding(ctx context.Context, of string) (kithv1.Standing, error) {
	conn, err := s.peers.Conn(ctx, of)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, standingTimeout)
	defer cancel()
	resp, err := kithv1.NewControlServiceClient(conn).Standing(ctx, &kithv1.StandingRequest{
		Id: s.id, Folder: s.folder.id(), ClusterId: s.folder.cluster(), Level: s.cfg.level(),
	})
	if err != nil {
		return 0, fmt.Errorf("node %s: %w", of, err)
	}
	return resp.Standing, nil
}

// farewell goes on answering for a moment after this server has left, however it learned so, for who waits for that to hear of it, and returns
// ErrLeft.
func (s *Server) farewell(ctx context.Context) error {
	s.log.Info("has left the cluster, and stops in a moment", "after", lingerTime)
	timer := time.NewTimer(lingerTime)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return fmt.Errorf("node %s: %w", s.id, ErrLeft)
}
