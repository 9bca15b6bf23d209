package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node/store"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/node/worker"
	"github.com/kith-io/kith/partition"
)

// rowOf is a row of a shard by keys.
func rowOf(s *worker.Shard, u int) map[string]float32 {
	row := map[string]float32{}
	for i := s.Start[u]; i < s.Start[u+1]; i++ {
		row[s.Items[s.Item[i]]] = s.Weight[i]
	}
	return row
}

// TestChangedRows asks for who has changed, with what, and compares their rows with those of a whole shard.
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
		want       string // users that have changed up to the cut, with what has come; those without have to be read
	}{
		{begin, cuts[0], "a:x/view b c:w/view"}, // b cancels later
		{begin, cuts[2], "a:a/view:x/view:x/view b c:w/view d:y/unknown e:z/view"},
		{cuts[0], cuts[1], "b d:y/unknown"},
		{cuts[1], cuts[2], "a:a/view:x/view e:z/view"},
		{cuts[2], cuts[2], ""},
	} {
		all, err := n.Shard(t.Context(), 0, test.cut, weights, now) // from which on it is known what users have
		if err != nil {
			t.Fatal(err)
		}
		changed, known, err := n.Changed(t.Context(), 0, test.after, test.cut)
		if err != nil || !known {
			t.Fatalf("case %d: known %v, %v", i, known, err)
		}
		var users, texts []string
		for _, c := range changed {
			text := c.User
			slices.SortFunc(c.Events, func(a, b fusion.Addition) int { return strings.Compare(a.Item, b.Item) })
			for _, e := range c.Events {
				text += ":" + e.Item + "/" + string(e.Behavior)
			}
			users, texts = append(users, c.User), append(texts, text)
		}
		if got := strings.Join(texts, " "); got != test.want {
			t.Errorf("case %d: changed are %q, want %q", i, got, test.want)
		}
		got, ok, err := n.RowsOf(t.Context(), 0, test.cut, users, weights, now)
		if err != nil || !ok || !slices.Equal(got.Users, users) || len(got.Start) != len(users)+1 {
			t.Fatalf("case %d: rows of %q: %+v, %v, %v", i, users, got, ok, err)
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
	many := make([]string, seekUsers+1)
	for i := range many {
		many[i] = fmt.Sprintf("u%05d", i)
	}
	if shard, ok, err := n.RowsOf(t.Context(), 0, cuts[2], many, weights, now); shard != nil || ok || err != nil {
		t.Errorf("more users than there are: %v, %v; want that a pass costs less", ok, err)
	}
	if users, known, err := n.Changed(t.Context(), 0, cuts[0], cuts[2]); users != nil || known || err != nil {
		t.Errorf("behind a cut that is done with: %+v, known %v, %v; want that it is not known", users, known, err)
	}
	both := func(ctx context.Context, p partition.ID, cut uint64, want error, what string) {
		t.Helper()
		if _, _, err := n.Changed(ctx, p, cuts[2], cut); !errors.Is(err, want) {
			t.Errorf("%s, changes: %v, want %v", what, err, want)
		}
		if _, _, err := n.RowsOf(ctx, p, cut, nil, weights, now); !errors.Is(err, want) {
			t.Errorf("%s, rows: %v, want %v", what, err, want)
		}
	}
	both(t.Context(), 1, cuts[2], wire.ErrNoReplica, "a partition that is elsewhere")
	propose(store.EncodeErase(nil, store.Erase{User: "c", Time: 2}))
	both(t.Context(), 0, cuts[2], wire.ErrErased, "an erasure has overtaken the cut")
	ctx, stop := context.WithCancel(t.Context())
	stop()
	both(ctx, 0, 1<<40, context.Canceled, "a cut that does not come")
}
