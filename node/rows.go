package node

import (
	"context"
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
	return rows.shard, nil
}

const (
	// seekCost is how many users are read in a pass over all, in the time that one takes who is looked for.
	seekCost = 2
	// seekUsers are so few that it does not matter.
	seekUsers = 1000
)

// ChangedRows returns what Shard has at a cut of the users that the log has changed behind the index after: all whose rows differ from those at that
// cut, and perhaps others. Users who have no row any more, or never had, have an empty one here. known is false, and the shard nil, if this node does not know all of
// them, as it has come to hold the partition since, was started since, or so many have changed that it costs less to read the events of all: another replica may know. A cut is asked for once all earlier
// ones are done with; see store.Changed. The errors are those of Shard. Cost: a seek and the events of each of the users.
func (n *Node) ChangedRows(ctx context.Context, p partition.ID, after, cut uint64, w fusion.Weights, nowMs int64) (shard *worker.Shard, known bool, err error) {
	rows := newRows(w, nowMs)
	rows.empty = true
	err = n.pass(ctx, p, cut, func(s *store.Store, _ func(error) error) (err error) {
		var users []string
		if users, known, err = s.Changed(after, cut); err != nil || !known {
			return err
		}
		if _, all := s.Stats(); len(users) > seekUsers && seekCost*uint64(len(users)) > all {
			known = false
			return nil
		}
		return s.ScanUsers(ctx, cut, users, func(user string, events []fusion.Event) error {
			rows.add(user, events)
			return nil
		})
	})
	if err != nil || !known {
		return nil, false, err
	}
	return rows.shard, true, nil
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

var _ worker.ChangedSource = (*Node)(nil)
