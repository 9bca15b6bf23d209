package consensus_test

import (
	"errors"
	"testing"

	"github.com/kith-io/kith/node/consensus"
)

// TestHaltsAtWhatItDoesNotKnow: a member applies nothing behind a command that its program does not know, and cuts off nothing of its log; a newer program goes on there.
// The older one does not read its snapshot.
func TestHaltsAtWhatItDoesNotKnow(t *testing.T) {
	c := newCluster(t)
	c.found("a")
	known := c.propose("g", "one")
	old := c.procs["a"].groups["g"]
	ctx := withTimeout(t)
	for _, command := range []string{"new", "two"} {
		if _, _, err := old.Propose(ctx, []byte(command)); !errors.Is(err, consensus.ErrTooNew) {
			t.Errorf("propose %s: %v, want ErrTooNew", command, err)
		}
	}
	if err := old.Halt(ctx); !errors.Is(err, consensus.ErrTooNew) {
		t.Errorf("halted with %v, want ErrTooNew", err)
	}
	if err := old.Snapshot(ctx); err == nil {
		t.Error("a member that has halted takes a snapshot")
	}
	if _, err := old.ReadIndex(ctx); err == nil {
		t.Error("a member that has halted says that it knows all commands")
	}
	if old.AppliedIndex() != known {
		t.Errorf("applied up to %d, want %d", old.AppliedIndex(), known)
	}
	c.same("g", []string{"one"}, "a")
	c.stop("a")

	c.knows = true
	newer := c.open(c.start("a"), "g")
	c.leader("g")
	c.same("g", []string{"one", "new", "two"}, "a")
	if err := newer.Snapshot(withTimeout(t)); err != nil {
		t.Fatal(err)
	}
	c.stop("a")

	c.knows = false
	if _, err := c.tryOpen(c.start("a"), "g"); !errors.Is(err, consensus.ErrTooNew) {
		t.Errorf("open with a snapshot of a newer program: %v, want ErrTooNew", err)
	}
}
