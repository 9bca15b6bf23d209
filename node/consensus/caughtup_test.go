package consensus_test

import (
	"errors"
	"fmt"
	"testing"
)

// TestCaughtUp restarts members whose state lives in memory: none says that it has caught up before it has all that was
// committed when it stopped, with and without a snapshot, and each says so in the end.
func TestCaughtUp(t *testing.T) {
	c := three(t)
	leader := c.leader("g")
	const commands = 300
	for i := range commands {
		if _, _, err := leader.groups["g"].Propose(t.Context(), []byte(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
		if i == commands/2 {
			if err := leader.groups["g"].Snapshot(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, id := range ids {
		eventually(t, func() error {
			if n := len(c.procs[id].fsms["g"].all()); n != commands {
				return fmt.Errorf("%s has %d commands", id, n)
			}
			return nil
		})
	}
	for _, id := range ids {
		c.stop(id)
	}
	alone := c.start(ids[0])
	if g := c.open(alone, "g"); g.CaughtUp() {
		t.Error("a member alone of three has caught up")
	}
	for _, id := range ids[1:] {
		c.open(c.start(id), "g")
	}
	for _, id := range ids {
		p := c.procs[id]
		eventually(t, func() error {
			if !p.groups["g"].CaughtUp() {
				return errors.New("not caught up: " + id)
			}
			return nil
		})
		if n := len(p.fsms["g"].all()); n != commands {
			t.Errorf("%s says that it has caught up, with %d of %d commands", id, n, commands)
		}
	}
}
