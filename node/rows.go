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

// unknownCost is how many times the users that are read may cost a pass over all where nothing is known of users, as it is then known for the times that follow.
const unknownCost = 4

// Changed implements worker.ChangedSource. A cut is asked for once all earlier ones are done with; see store.Changed. The errors are those of Shard. Cost: a pass over the users that have
// changed, in memory.
func (n *Node) Changed(ctx context.Context, p partition.ID, after, cut uint64) (users []fusion.UserChange, known bool, err error) {
	err = n.pass(ctx, p, cut, func(s *store.Store, _ func(error) error) (err error) {
		users, known, err = s.Changed(after, cut)
		return err
	})
	if err != nil || !known {
		return nil, false, err
	}
	return users, true, nil
}

// RowsOf implements worker.ChangedSource. The errors are those of Shard. Cost: a seek and the events of each of the users.
func (n *Node) RowsOf(ctx context.Context, p partition.ID, cut uint64, users []string, w fusion.Weights, nowMs int64) (shard *worker.Shard, ok bool, err error) {
	rows := newRows(w, nowMs)
	rows.empty = true
	err = n.pass(ctx, p, cut, func(s *store.Store, _ func(error) error) error {
		cost := seekCost * uint64(len(users))
		if !s.KnowsUsers() {
			cost *= unknownCost
		}
		if _, all := s.Stats(); len(users) > seekUsers && cost > all {
			return nil
		}
		ok = true
		return s.ScanUsers(ctx, cut, users, func(user string, events []fusion.Event) error {
			rows.add(user, events)
			return nil
		})
	})
	if err != nil || !ok {
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
