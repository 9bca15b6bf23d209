package worker

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"

	"google.golang.org/grpc"

	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/similarity"
)

// FollowRows implements kithv1.ComputeServiceServer.
func (w *Worker) FollowRows(ctx context.Context, req *kithv1.FollowRowsRequest) (*kithv1.FollowRowsResponse, error) {
	if err := w.cfg.Room(); err != nil {
		return nil, err
	}
	ctx, j, leave, err := w.enter(ctx, req.Job, false)
	if err != nil {
		return nil, err
	}
	defer leave()
	f, err := w.followed(j)
	if err != nil {
		return nil, err
	}
	resp := &kithv1.FollowRowsResponse{}
	cpu, err := w.compute(ctx, func() error {
		users, rows, err := f.changeRows(req.Partition)
		if err != nil {
			return err
		}
		file, err := w.artifacts.WriteRows(req.Job, req.Partition, f.head.FirstUser[req.Partition], users, rows)
		if err != nil {
			return err
		}
		resp.Rows = fileToProto(file)
		w.written(req.Job, file.Name)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.rows[req.Partition] = rows
		return nil
	})
	j.spend(&kithv1.NodeUsage{CpuSeconds: cpu})
	resp.Usage = w.report(j)
	return resp, cause(ctx, err)
}

// changeRows returns the rows of a partition in the numbers of the job: those of the base, and in their place those that have changed.
func (f *following) changeRows(p uint32) (users []string, rows *similarity.Rows, err error) {
	f.mu.Lock()
	c := f.told[p]
	f.mu.Unlock()
	if c == nil || int(p)+1 >= len(f.firstChange) {
		return nil, nil, fmt.Errorf("the changes of partition %d were not told here: %w", p, wire.ErrBuildLost)
	}
	changed := f.step.Changes()[f.firstChange[p]:f.firstChange[p+1]]
	if len(changed) != len(c.users) {
		return nil, nil, fmt.Errorf("%d changes of partition %d came back, and %d were told: %w", len(changed), p, len(c.users), wire.ErrBuildLost)
	}
	m := c.base.Matrix()
	a := rowAppender{step: f.step, weights: f.step.Weighed(), rows: similarity.Rows{
		NumItems: f.step.Len(), Start: make([]int64, 1, len(m.Start)+len(changed)),
		Item: make([]uint32, 0, len(m.Item)+len(m.Item)/64), Weight: make([]float32, 0, len(m.Item)+len(m.Item)/64),
	}}
	users = make([]string, 0, m.NumUsers()+len(changed))
	for row := range rowsNow(c.base, c.users) {
		items, weights := []uint32(nil), []float32(nil)
		if row.at < 0 {
			x := changed[row.changed].New
			if items, weights = x.Item, x.Weight; len(items) == 0 {
				continue
			}
		} else {
			from, to := m.Start[row.at], m.Start[row.at+1]
			if items = m.Item[from:to]; m.Weight != nil {
				weights = m.Weight[from:to]
			}
		}
		users = append(users, row.user)
		if err := a.add(items, weights); err != nil {
			return nil, nil, err
		}
	}
	if got, want := uint32(len(users)), f.head.FirstUser[p+1]-f.head.FirstUser[p]; got != want {
		return nil, nil, fmt.Errorf("partition %d has %d users, and %d were told: %w", p, got, want, wire.ErrBuildLost)
	}
	return users, &a.rows, nil
}

// rowAppender appends rows under new numbers.
type rowAppender struct {
	step    *similarity.Step
	weights bool // count, and must be whole
	rows    similarity.Rows
}

// add appends a row of items as they were numbered. No weights stand for ones.
func (a *rowAppender) add(items []uint32, weights []float32) error {
	r := &a.rows
	from := len(r.Item)
	for k, i := range items {
		id, w := a.step.Next(i), float32(1)
		if len(weights) > 0 {
			w = weights[k]
		}
		if id == similarity.Gone || a.weights && (w < 1 || w != float32(math.Trunc(float64(w)))) {
			return fmt.Errorf("item %d with weight %v in a row: %w", i, w, errFull)
		}
		r.Item, r.Weight = append(r.Item, id), append(r.Weight, w)
	}
	sortRow(r.Item[from:], r.Weight[from:])
	r.Start = append(r.Start, int64(len(r.Item)))
	return nil
}

// rowsOf returns the rows of partitions that were written here.
func (f *following) rowsOf(partitions []uint32) ([]*similarity.Rows, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	rows := make([]*similarity.Rows, len(partitions))
	for k, p := range partitions {
		if rows[k] = f.rows[p]; rows[k] == nil {
			return nil, fmt.Errorf("partition %d: its rows were not written here: %w", p, wire.ErrBuildLost)
		}
	}
	return rows, nil
}

// SumPairs implements kithv1.ComputeServiceServer.
func (w *Worker) SumPairs(stream grpc.BidiStreamingServer[kithv1.SumPairsRequest, kithv1.SumPairsResponse]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	ctx, j, leave, err := w.enter(stream.Context(), first.Job, false)
	if err != nil {
		return err
	}
	defer leave()
	f, err := w.followed(j)
	if err != nil {
		return err
	}
	wanted := wire.AppendPairSums(nil, first.Wanted)
	err = wire.Receive(stream, func(m *kithv1.SumPairsRequest) error {
		wanted = wire.AppendPairSums(wanted, m.Wanted)
		return nil
	})
	if err != nil {
		return cause(ctx, err)
	}
	var mu sync.Mutex
	var total []similarity.PairSums
	err = w.eachShare(ctx, j, first.Partitions, func(partitions []uint32) error {
		rows, err := f.rowsOf(partitions)
		if err != nil {
			return err
		}
		sums, err := f.step.SumPairs(ctx, rows, wanted)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		if total == nil {
			total = sums
			return nil
		}
		return errors.Join(similarity.AddPairSums(total, sums), similarity.FitPairSums(wanted, total))
	})
	if err != nil {
		return cause(ctx, err)
	}
	for chunk := range wire.ChunkPairSums(wire.PairSums(total)) {
		if err := stream.Send(&kithv1.SumPairsResponse{Sums: chunk}); err != nil {
			return err
		}
	}
	return nil
}
