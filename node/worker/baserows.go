package worker

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node/artifact"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// shard returns the rows of a partition. They are made of those of the version that the request names and of what has changed since, or where that is not to be had, of
// the events of all: the same interactions, with items in another order. Cost: a pass over the rows and a seek for each user that must be read, or a pass over all events, which takes some twenty times as long.
func (w *Worker) shard(ctx context.Context, req *kithv1.CountRequest) (*Shard, error) {
	_, weights, err := wire.ParseSpec(req.Spec)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", wire.ErrInvalid, err)
	}
	if source, ok := w.source.(ChangedSource); ok && req.Base != 0 && w.cfg.Base != nil && weights.HalfLife == 0 {
		shard, err := w.shardSince(ctx, source, weights, req)
		if shard != nil || ctx.Err() != nil {
			return shard, err
		}
		level := slog.LevelDebug
		if !errors.Is(err, errUnknown) {
			level = slog.LevelInfo // as of a file that is damaged
		}
		w.cfg.Log.Log(ctx, level, "a build reads all events of a partition", "job", req.Job, "partition", req.Partition, "version", req.Base, "why", err)
	}
	return w.source.Shard(ctx, partition.ID(req.Partition), req.Cut, weights, req.ReferenceUnixMs)
}

// errUnknown is matched by errors that say why rows cannot be made of those of a version before.
var errUnknown = errors.New("all events must be read")

func (w *Worker) shardSince(ctx context.Context, source ChangedSource, weights fusion.Weights, req *kithv1.CountRequest) (*Shard, error) {
	version, err := w.cfg.Base(req.Base)
	if err != nil {
		return nil, err
	}
	defer version.Release()
	dictionary, err := version.Dictionary()
	if err != nil {
		return nil, err
	}
	base, err := w.artifacts.OpenRows(req.Base, req.Partition)
	if err != nil {
		return nil, err
	}
	defer func() { _ = base.Close() }() // only read
	if items := base.Matrix().NumItems; items != dictionary.Len() {
		return nil, fmt.Errorf("rows of %d items beside a dictionary of %d: %w", items, dictionary.Len(), artifact.ErrCorrupt)
	}
	changed, err := changedSince(ctx, source, base, dictionary, change{partition.ID(req.Partition), req.BaseCut, req.Cut, weights, req.ReferenceUnixMs})
	if err != nil {
		return nil, err
	}
	return changeShard(base, dictionary, changed), nil
}

// changeShard returns the rows of base, and in the place of those of changed users their rows as they are now. Users without interactions have none.
func changeShard(base *artifact.Rows, dictionary *artifact.Dictionary, changed *changedRows) *Shard {
	m := base.Matrix()
	room := len(m.Item) + len(changed.item)
	out := &Shard{Users: make([]string, 0, m.NumUsers()+len(changed.rows)), Start: make([]int64, 1, len(m.Start)+len(changed.rows)), Item: make([]uint32, 0, room), Weight: make([]float32, 0, room)}
	for row := range rowsNow(base, changed.users()) {
		if row.at >= 0 {
			from, to := m.Start[row.at], m.Start[row.at+1]
			out.Item, out.Weight = append(out.Item, m.Item[from:to]...), appendWeights(out.Weight, m.Weight, from, to)
		} else {
			r := changed.rows[row.changed]
			if r.from == r.to {
				continue
			}
			out.Item, out.Weight = append(out.Item, changed.item[r.from:r.to]...), append(out.Weight, changed.weight[r.from:r.to]...)
		}
		out.Users, out.Start = append(out.Users, row.user), append(out.Start, int64(len(out.Item)))
	}
	added := changed.added
	// Only items that have users are items of the shard.
	place := make([]uint32, dictionary.Len()+len(added))
	for _, i := range out.Item {
		place[i] = 1
	}
	var used []uint32
	for i := range dictionary.Len() {
		if place[i] != 0 {
			place[i] = uint32(len(used))
			used = append(used, uint32(i))
		}
	}
	out.Items = dictionary.Keys(used)
	for k, key := range added {
		if at := dictionary.Len() + k; place[at] != 0 {
			place[at] = uint32(len(out.Items))
			out.Items = append(out.Items, key)
		}
	}
	for n, i := range out.Item {
		out.Item[n] = place[i]
	}
	return out
}

// appendWeights appends the weights of the entries [from, to). nil stands for ones.
func appendWeights(dst, weights []float32, from, to int64) []float32 {
	if weights == nil {
		for range to - from {
			dst = append(dst, 1)
		}
		return dst
	}
	return append(dst, weights[from:to]...)
}

// rowNow is the row of a user: the one at a place of a base, or with at below 0 that of a place among users who have changed.
type rowNow struct {
	at, changed int
	user        string
}

// rowsNow goes over the users of base and over those who have changed, who ascend, by key.
func rowsNow(base *artifact.Rows, changed []string) iter.Seq[rowNow] {
	return func(yield func(rowNow) bool) {
		for at, k := 0, 0; at < base.NumUsers() || k < len(changed); {
			row := rowNow{at: at}
			if at < base.NumUsers() {
				row.user = base.Key(at)
			}
			if k < len(changed) && (at == base.NumUsers() || changed[k] <= row.user) {
				if changed[k] == row.user {
					at++ // it was
				}
				row = rowNow{at: -1, changed: k, user: changed[k]}
				k++
			} else {
				at++
			}
			if !yield(row) {
				return
			}
		}
	}
}
