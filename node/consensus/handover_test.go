package consensus_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/kith-io/kith/node/consensus"
)

// TestLeadershipThatIsNotTaken offers leadership to a member whose disk stands still again and again; then the leader loses its
// majority. When it leads again it takes commands, which raft by itself refuses for ever, once in a few times.
func TestLeadershipThatIsNotTaken(t *testing.T) {
	c := newCluster(t)
	var mu sync.Mutex
	var still string // the member whose writes wait
	on := make(chan struct{})
	c.tune = func(cfg *consensus.Config) {
		id := cfg.NodeID
		cfg.Room = func() error { // asked before each write
			mu.Lock()
			wait := id == still
			mu.Unlock()
			if wait {
				<-on
			}
			return nil
		}
	}
	five := []string{"a", "b", "c", "d", "e"}
	c.found(five...)
	release := sync.OnceFunc(func() { close(on) })
	t.Cleanup(release) // or a failed test would wait for ever
	c.propose("g", "before")
	c.same("g", []string{"before"}, five...)
	leader := c.leader("g")
	var others []*process
	for _, id := range five {
		if p := c.procs[id]; p != leader {
			others = append(others, p)
		}
	}
	silent, others := others[0], others[1:]
	mu.Lock()
	still = silent.id
	mu.Unlock()
	c.propose("g", "held up")
	if !leader.groups["g"].IsLeader() {
		t.Skip("another leads, as this machine is too busy")
	}
	handOver := func(to string) error { return leader.groups["g"].HandOver(withTimeout(t), to) }
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := leader.groups["g"].HandOver(gone, silent.id); !errors.Is(err, context.Canceled) {
		t.Errorf("a call whose context has ended: %v", err)
	}
	if err := handOver(silent.id); err == nil || strings.Contains(err.Error(), "does not answer") {
		t.Errorf("a member whose disk stands still is offered leadership: %v, want that it took too long", err)
	}
	for range 3 {
		if err := handOver(silent.id); err == nil || !strings.Contains(err.Error(), "does not answer") {
			t.Errorf("it is offered leadership once more: %v, want that it is not asked", err)
		}
	}
	for _, p := range others {
		c.stop(p.id)
	}
	eventually(t, func() error {
		if leader.groups["g"].IsLeader() {
			return errors.New("leads without a majority")
		}
		return nil
	})
	mu.Lock()
	still = ""
	mu.Unlock()
	release()
	for _, p := range others {
		c.start(p.id)
		c.open(p, "g")
	}

	// All three lead in turn, the one that was not heard too.
	for _, p := range []*process{silent, others[0], leader} {
		eventually(t, func() error {
			now := c.leader("g")
			if now == p {
				return nil
			}
			if err := now.groups["g"].HandOver(withTimeout(t), p.id); err != nil {
				return err
			}
			return fmt.Errorf("%s does not lead yet", p.id)
		})
	}
	c.asLeader(func(ctx context.Context, g *consensus.Group) error {
		_, _, err := g.Propose(ctx, []byte("after"))
		return err
	})
}
