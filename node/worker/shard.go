package worker

import (
	"context"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/partition"
)

// Shard is the rows of one partition: interactions by user.
type Shard struct {
	// Users ascend; their rows are Item[Start[u]:Start[u+1]].
	Users []string
	// Items are unique, in any order.
	Items []string
	Start []int64
	// Item holds positions in Items, unique within a row, in any order.
	Item []uint32
	// Weight goes with Item; nil means that all are one.
	Weight []float32
}

// Source has the rows of partitions.
type Source interface {
	// Shard returns the rows of partition p made of all events up to index cut of its log, weighed by w as seen at nowMs. It
	// gives the same shard on every replica. The caller may change the result.
	Shard(ctx context.Context, p partition.ID, cut uint64, w fusion.Weights, nowMs int64) (*Shard, error)
}

// TableSource serves a table as if its users were spread over partitions. Weights and cuts do not matter: the table is
// fused already. The table is only read.
func TableSource(t *fusion.Table, partitions int) Source {
	s := &tableSource{table: t, users: make([][]uint32, partitions)}
	for u, key := range t.Users {
		p := partition.Of(key, partitions)
		s.users[p] = append(s.users[p], uint32(u))
	}
	return s
}

type tableSource struct {
	table *fusion.Table
	users [][]uint32 // of each partition, ascending
}

// Shard implements Source.
func (s *tableSource) Shard(ctx context.Context, p partition.ID, _ uint64, _ fusion.Weights, _ int64) (*Shard, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t, users := s.table, s.users[p]
	entries := int64(0)
	for _, u := range users {
		entries += t.Start[u+1] - t.Start[u]
	}
	out := &Shard{
		Users: make([]string, len(users)), Items: t.Items, Start: make([]int64, 1, len(users)+1),
		Item: make([]uint32, 0, entries),
	}
	if t.Weight != nil {
		out.Weight = make([]float32, 0, entries)
	}
	for i, u := range users {
		lo, hi := t.Start[u], t.Start[u+1]
		out.Users[i] = t.Users[u]
		out.Item = append(out.Item, t.Item[lo:hi]...)
		if t.Weight != nil {
			out.Weight = append(out.Weight, t.Weight[lo:hi]...)
		}
		out.Start = append(out.Start, int64(len(out.Item)))
	}
	return out, nil
}
