package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node/store"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/node/worker"
)

// rowOf is a row of a shard by keys.
func rowOf(s *worker.Shard, u int) map[string]float32 {
	row := map[string]float32{}
	for i := s.Start[u]; i < s.Start[u+1]; i++ {
		row[s.Items[s.Item[i]]] = s.Weight[i]
	}
	return row
}

// TestChangedRows compares the rows of users that have changed with those of a whole shard.
func TestChangedRows(t *testing.T) {
	control := &decisions{view: View{Epoch: 1, Replicas: [][]string{{"n1"}}, Applied: 1}}
	n := runNode(t, control, nil)
	var r *replica
	await(t, func() error {
		var err error
		if r, err = n.replica(0); err == nil && !r.group.IsLeader() {
			err = fmt.Errorf("it does not lead its partition")
		}
		return err
	})
	propose := func(command []byte) uint64 {
		t.Helper()
		index, _, err := r.group.Propose(t.Context(), command)
		if err != nil {
			t.Fatal(err)
		}
		return index
	}
	add := func(events ...fusion.Event) uint64 {
		t.Helper()
		for i := range events {
			events[i].ID, events[i].Value, events[i].Time = fmt.Sprint(time.Now().UnixNano(), "-", i), 1, 1
		}
		return propose(store.EncodeBatch(nil, events))
	}
	weights := fusion.Weights{Behavior: map[fusion.Behavior]float64{fusion.View: 1, fusion.Purchase: 5, fusion.Cancel: -5}}
	const now = 1 << 40
	begin := r.store.Applied()
	var cuts []uint64
	for _, events := range [][]fusion.Event{
		{{User: "a", Item: "x", Behavior: fusion.View}, {User: "b", Item: "x", Behavior: fusion.Purchase}, {User: "c", Item: "w", Behavior: fusion.View}},
		{{User: "b", Item: "x", Behavior: fusion.Cancel}, {User: "d", Item: "y", Behavior: "unknown"}}, // two users without a row
		{{User: "e", Item: "z", Behavior: fusion.View}, {User: "a", Item: "a", Behavior: fusion.View}, {User: "a", Item: "x", Behavior: fusion.View}},
	} {
		cuts = append(cuts, add(events...))
	}
	for i, test := range []struct {
		after, cut uint64
		users      []string // that have changed up to the cut
	}{
		{begin, cuts[0], []string{"a", "b", "c"}},
		{begin, cuts[2], []string{"a", "b", "c", "d", "e"}},
		{cuts[0], cuts[1], []string{"b", "d"}},
		{cuts[1], cuts[2], []string{"a", "e"}},
		{cuts[2], cuts[2], nil},
	} {
		all, err := n.Shard(t.Context(), 0, test.cut, weights, now)
		if err != nil {
			t.Fatal(err)
		}
		got, known, err := n.ChangedRows(t.Context(), 0, test.after, test.cut, weights, now)
		if err != nil || !known {
			t.Fatalf("case %d: known %v, %v", i, known, err)
		}
		if !slices.IsSorted(got.Users) || len(got.Start) != len(got.Users)+1 {
			t.Errorf("case %d: not a shard: %+v", i, got)
		}
		for _, user := range test.users {
			if !slices.Contains(got.Users, user) {
				t.Errorf("case %d: user %q is missing in %q", i, user, got.Users)
			}
		}
		for u, user := range got.Users {
			want := map[string]float32{}
			if of, ok := slices.BinarySearch(all.Users, user); ok {
				want = rowOf(all, of)
			}
			if diff := cmp.Diff(want, rowOf(got, u)); diff != "" {
				t.Errorf("case %d, user %q: -want +got:\n%s", i, user, diff)
			}
		}
	}
	if shard, known, err := n.ChangedRows(t.Context(), 0, cuts[0], cuts[2], weights, now); shard != nil || known || err != nil {
		t.Errorf("behind a cut that is done with: %+v, known %v, %v; want that it is not known", shard, known, err)
	}
	if _, _, err := n.ChangedRows(t.Context(), 1, begin, cuts[2], weights, now); !errors.Is(err, wire.ErrNoReplica) {
		t.Errorf("a partition that is elsewhere: %v, want ErrNoReplica", err)
	}
	propose(store.EncodeErase(nil, store.Erase{User: "c", Time: 2}))
	if _, _, err := n.ChangedRows(t.Context(), 0, cuts[2], cuts[2], weights, now); !errors.Is(err, wire.ErrErased) {
		t.Errorf("an erasure has overtaken the cut: %v, want ErrErased", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, _, err := n.ChangedRows(ctx, 0, cuts[2], 1<<40, weights, now); !errors.Is(err, context.Canceled) {
		t.Errorf("a cut that does not come: %v, want the end of the wait", err)
	}
}
