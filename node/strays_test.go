package node

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestStraysAreRemoved adds members without a vote to a group: one that nobody has asked for, as by a call that was late, and one that a move
// brings. Only the first is removed, and the second when its move is given up.
func TestStraysAreRemoved(t *testing.T) {
	view := View{Epoch: 1, Replicas: [][]string{{"n1"}}, Applied: 1, Moves: []MoveView{{ID: 1, Add: "comes", Remove: "n1"}}}
	control := &decisions{view: view}
	n := runNode(t, control, nil)
	var r *replica
	await(t, func() error {
		var err error
		if r, err = n.replica(0); err == nil && !r.group.IsLeader() {
			err = fmt.Errorf("it does not lead its partition")
		}
		return err
	})
	for _, id := range []string{"stray", "comes"} {
		if err := r.group.AddNonvoter(t.Context(), id, "127.0.0.1:1", 0); err != nil {
			t.Fatal(err)
		}
	}
	members := func(want ...string) {
		t.Helper()
		await(t, func() error {
			list, err := r.group.Members()
			var got []string
			for _, m := range list {
				got = append(got, m.ID)
			}
			if err == nil && !slices.Equal(got, want) {
				err = fmt.Errorf("members are %q, want %q", got, want)
			}
			return err
		})
	}
	view.Formed, view.Applied = true, 2
	control.set(view) // a reason to look
	members("n1", "comes")
	view.Applied, view.Moves = 3, nil
	control.set(view)
	members("n1")
}

// await waits until f returns nil.
func await(t *testing.T, f func() error) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
