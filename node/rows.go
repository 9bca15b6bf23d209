package node

import (
	"context"
	"slices"
	"strings"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node/store"
	"github.com/kith-io/kith/node/worker"
	"github.com/kith-io/kith/partition"
)

// Shard implements worker.Source: it fuses the events of a partition up to the cut.
func (n *Node) Shard(ctx context.Context, p partition.ID, cut uint64, w fusion.Weights, nowMs int64) (*worker.Shard, error) {
	rows := newRows(w, nowMs)
	err := n.pass(ctx, p, cut, func(s *store.Store, _ func(error) error) error {
		return s.Scan(ctx, cut, "", func(user string, events []fusion.Event) error {
			rows.add(user, events)
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return rows.done(), nil
}

// ChangedRows returns what Shard has at a cut of the users that the log has changed behind the index after: all whose rows differ from those at that
// cut, and perhaps others. Users who have no row any more, or never had, have an empty one here. known is false, and the shard nil, if this node does not know all of
// them, as it has come to hold the partition since, was started since, or too many have changed: another replica may know. A cut is asked for once all earlier
// ones are done with; see store.Changed. The errors are those of Shard. Cost: a seek and the events of each of the users.
func (n *Node) ChangedRows(ctx context.Context, p partition.ID, after, cut uint64, w fusion.Weights, nowMs int64) (shard *worker.Shard, known bool, err error) {
	rows := newRows(w, nowMs)
	rows.empty = true
	err = n.pass(ctx, p, cut, func(s *store.Store, _ func(error) error) (err error) {
		var users []string
		if users, known, err = s.Changed(after, cut); err != nil || !known {
			return err
		}
		return s.ScanUsers(ctx, cut, users, func(user string, events []fusion.Event) error {
			rows.add(user, events)
			return nil
		})
	})
	if err != nil || !known {
		return nil, false, err
	}
	return rows.done(), true, nil
}

// rows makes a shard of the events of users.
type rows struct {
	weights fusion.Weights
	nowMs   int64
	empty   bool // users without interactions have a row
	shard   *worker.Shard
	ids     map[string]uint32 // of items, in order of their first row
}

func newRows(w fusion.Weights, nowMs int64) *rows {
	return &rows{weights: w, nowMs: nowMs, shard: &worker.Shard{Start: []int64{0}}, ids: map[string]uint32{}}
}

// add takes the events of a user, who is behind all before. It keeps none of them.
func (r *rows) add(user string, events []fusion.Event) {
	fused := fusion.Fuse(events, r.weights, r.nowMs)
	if len(fused) == 0 && !r.empty {
		return
	}
	shard := r.shard
	shard.Users = append(shard.Users, user)
	for _, x := range fused {
		id, ok := r.ids[x.Item]
		if !ok {
			id = uint32(len(shard.Items))
			item := strings.Clone(x.Item)
			r.ids[item] = id
			shard.Items = append(shard.Items, item)
		}
		shard.Item = append(shard.Item, id)
		shard.Weight = append(shard.Weight, x.Weight)
	}
	shard.Start = append(shard.Start, int64(len(shard.Item)))
}

// done returns the shard.
func (r *rows) done() *worker.Shard {
	sortItems(r.shard)
	return r.shard
}

// sortItems renumbers the items of a shard by key. Rows ascend by key already, so they ascend by the new ids.
func sortItems(s *worker.Shard) {
	order := make([]uint32, len(s.Items))
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(a, b uint32) int { return strings.Compare(s.Items[a], s.Items[b]) })
	items, renumber := make([]string, len(order)), make([]uint32, len(order))
	for i, old := range order {
		items[i], renumber[old] = s.Items[old], uint32(i)
	}
	for i, id := range s.Item {
		s.Item[i] = renumber[id]
	}
	s.Items = items
}

var _ worker.ChangedSource = (*Node)(nil)
