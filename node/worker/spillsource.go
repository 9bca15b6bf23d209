package worker

import (
	"context"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/partition"
)

// SpillSource serves spilled rows, whose partitions must be those of partition.Of. Weights and cuts do not matter: the
// Spill has them.
func SpillSource(s *fusion.Spill) Source { return spillSource{s} }

type spillSource struct{ spill *fusion.Spill }

var _ Sized = spillSource{}

// Shard implements Source.
func (s spillSource) Shard(ctx context.Context, p partition.ID, _ uint64, _ fusion.Weights, _ int64) (*Shard, error) {
	t, err := s.spill.Table(ctx, int(p))
	if err != nil {
		return nil, err
	}
	return &Shard{Users: t.Users, Items: t.Items, Start: t.Start, Item: t.Item, Weight: t.Weight}, nil
}

// ShardBytes implements Sized.
func (s spillSource) ShardBytes(p partition.ID) int64 { return s.spill.TableBytes(int(p)) }
