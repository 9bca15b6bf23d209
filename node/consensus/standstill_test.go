package consensus_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/kith-io/kith/node/consensus"
)

// TestLeaderWhoseDiskStandsStill holds up the writes of a leader: another takes its place, and goes on without it. When the disk
// goes on the first one follows, and what it could not store is nowhere or everywhere.
func TestLeaderWhoseDiskStandsStill(t *testing.T) {
	c := newCluster(t)
	var mu sync.Mutex
	standing := map[string]chan struct{}{} // closed when the disk of a member goes on
	c.tune = func(cfg *consensus.Config) {
		id := cfg.NodeID
		cfg.Room = func() error { // asked before each write
			mu.Lock()
			on := standing[id]
			mu.Unlock()
			if on != nil {
				<-on
			}
			return nil
		}
	}
	c.three()
	c.propose("g", "before")
	old := c.leader("g")
	on := make(chan struct{})
	release := sync.OnceFunc(func() { close(on) })
	t.Cleanup(release) // or a failed test would wait for ever
	mu.Lock()
	standing[old.id] = on
	mu.Unlock()
	held := make(chan error, 1)
	go func() {
		_, _, err := old.groups["g"].Propose(withTimeout(t), []byte("held"))
		held <- err
	}()
	var other *process
	eventually(t, func() error {
		for _, id := range ids {
			if p := c.procs[id]; p != old && p.groups["g"].IsLeader() {
				other = p
				return nil
			}
		}
		return errors.New("no other leader")
	})
	if _, _, err := other.groups["g"].Propose(withTimeout(t), []byte("meanwhile")); err != nil {
		t.Errorf("propose to the new leader: %v", err)
	}
	select {
	case err := <-held:
		t.Errorf("a proposal to a member whose disk stands still ended: %v", err)
	default:
	}
	mu.Lock()
	delete(standing, old.id)
	mu.Unlock()
	release()
	if err := <-held; !errors.Is(err, consensus.ErrUnknownOutcome) && !errors.Is(err, consensus.ErrNotLeader) {
		t.Errorf("the proposal that was held up: %v, want an unknown outcome", err)
	}
	var want []string
	c.asLeader(func(ctx context.Context, leader *consensus.Group) error {
		if _, _, err := leader.Propose(ctx, []byte("after")); err != nil {
			return err
		}
		want = c.leader("g").fsms["g"].all()
		return nil
	})
	if len(want) != 3 || want[0] != "before" || want[1] != "meanwhile" || want[2] != "after" {
		t.Errorf("commands %q, want before, meanwhile and after", want)
	}
	c.same("g", want, ids...)
}
