package worker

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"sync"

	"google.golang.org/grpc"

	"github.com/kith-io/kith/node/artifact"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/similarity"
)

// FollowRows implements kithv1.ComputeServiceServer.
func (w *Worker) FollowRows(ctx context.Context, req *kithv1.FollowRowsRequest) (*kithv1.FollowRowsResponse, error) {
	if err := w.cfg.Room(); err != nil {
		return nil, err
	}
	ctx, j, f, leave, err := w.enterFollowing(ctx, req.Job)
	if err != nil {
		return nil, err
	}
	defer leave()
	resp := &kithv1.FollowRowsResponse{}
	cpu, err := w.compute(ctx, func() error {
		room := rowsRooms.Get().(*rowsRoom)
		defer rowsRooms.Put(room)
		if err := f.changeRows(req.Partition, room); err != nil {
			return err
		}
		file, err := w.artifacts.WriteRowsOf(req.Job, req.Partition, f.head.FirstUser[req.Partition], &room.users, &room.rows)
		if err != nil {
			return err
		}
		resp.Rows = fileToProto(file)
		w.written(req.Job, file.Name)
		return w.openNext(f, req)
	})
	j.spend(&kithv1.NodeUsage{CpuSeconds: cpu})
	resp.Usage = w.report(j)
	return resp, cause(ctx, err)
}

// openNext opens rows that were written, for sums: they are in the system's cache, and memory is not held for them.
func (w *Worker) openNext(f *following, req *kithv1.FollowRowsRequest) error {
	rows, err := w.artifacts.OpenRows(req.Job, req.Partition)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opened = append(f.opened, rows) // a call before may still read its own
	f.rows[req.Partition] = rows.Matrix()
	return nil
}

// rowsRoom is memory for the rows of a partition.
type rowsRoom struct {
	users artifact.Keys
	rows  similarity.Rows
}

// rowsRooms are those that nobody needs now. Memory that a process has not used for a while costs more time than what is written to it.
var rowsRooms = sync.Pool{New: func() any { return &rowsRoom{} }}

// changeRows makes the rows of a partition in the numbers of the job: those of the base, and in their place those that have changed.
func (f *following) changeRows(p uint32, to *rowsRoom) error {
	f.mu.Lock()
	c := f.told[p]
	f.mu.Unlock()
	if c == nil || int(p)+1 >= len(f.firstChange) {
		return fmt.Errorf("the changes of partition %d were not told here: %w", p, wire.ErrBuildLost)
	}
	changed := f.step.Rows()[f.firstChange[p]:f.firstChange[p+1]]
	if len(changed) != len(c.users) {
		return fmt.Errorf("%d changes of partition %d came back, and %d were told: %w", len(changed), p, len(c.users), wire.ErrBuildLost)
	}
	more := 0
	for k := range changed {
		more += len(changed[k].Item)
	}
	a := newRowAppender(f.step, to, c.base.NumUsers()+len(changed), len(c.base.Matrix().Item)+more)
	at := 0
	for k, user := range c.users {
		place, had := c.base.Place(user)
		if err := a.addRows(c.base, at, place); err != nil {
			return err
		}
		if at = place; had {
			at++
		}
		if row := changed[k]; len(row.Item) > 0 {
			if err := a.add(user, row); err != nil {
				return err
			}
		}
	}
	if err := a.addRows(c.base, at, c.base.NumUsers()); err != nil {
		return err
	}
	if got, want := uint32(to.users.Len()), f.head.FirstUser[p+1]-f.head.FirstUser[p]; got != want {
		return fmt.Errorf("partition %d has %d users, and %d were told: %w", p, got, want, wire.ErrBuildLost)
	}
	return nil
}

// rowAppender appends rows under new numbers.
type rowAppender struct {
	step    *similarity.Step
	weights bool // count, and must be whole
	*rowsRoom
}

// newRowAppender returns one that begins with no rows, and expects some.
func newRowAppender(step *similarity.Step, to *rowsRoom, users, entries int) *rowAppender {
	to.users.Reset()
	to.rows = similarity.Rows{
		NumItems: step.Len(), Start: append(emptied(to.rows.Start, users+1), 0), Item: emptied(to.rows.Item, entries), Weight: emptied(to.rows.Weight, entries),
	}
	return &rowAppender{step, step.Weighed(), to}
}

// emptied returns an empty slice with room for n elements: s if it has that, or one that fits somewhat larger partitions, too.
func emptied[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, 0, n+n/8)
	}
	return s[:0]
}

// addRows appends the rows [from, to) of the base. Cost: O(users + entries) where few items have passed others.
func (a *rowAppender) addRows(base *artifact.Rows, from, to int) error {
	if from == to {
		return nil
	}
	a.users.AppendUsers(base, from, to)
	m, r := base.Matrix(), &a.rows
	first, last, n := m.Start[from], m.Start[to], len(r.Item)
	if m.Weight != nil {
		r.Weight = append(r.Weight, m.Weight[first:last]...)
	} else {
		r.Weight = appendWeights(r.Weight, nil, first, last)
	}
	r.Item = slices.Grow(r.Item, int(last-first))[:n+int(last-first)]
	for u := from; u < to; u++ {
		lo, hi := n+int(m.Start[u]-first), n+int(m.Start[u+1]-first)
		if err := a.rename(m.Item[m.Start[u]:m.Start[u+1]], lo, hi); err != nil {
			return err
		}
		r.Start = append(r.Start, int64(hi))
	}
	return a.check(n)
}

// add appends the row of a user. No weights stand for ones.
func (a *rowAppender) add(user string, row similarity.Row) error {
	a.users.Append(user)
	r, n, size := &a.rows, len(a.rows.Item), int64(len(row.Item))
	if len(row.Weight) > 0 {
		r.Weight = append(r.Weight, row.Weight...)
	} else {
		r.Weight = appendWeights(r.Weight, nil, 0, size)
	}
	r.Item = append(r.Item, row.Item...)
	r.Start = append(r.Start, int64(len(r.Item)))
	return cmp.Or(a.rename(row.Item, n, len(r.Item)), a.check(n))
}

// rename writes items of a row under new numbers to the entries [lo, hi), in the order of these.
func (a *rowAppender) rename(items []uint32, lo, hi int) error {
	to := a.rows.Item[lo:hi]
	if !a.step.NextRow(to, items) {
		orderRow(to, a.rows.Weight[lo:hi])
	}
	if len(to) > 0 && to[len(to)-1] == similarity.Gone { // it is above all others
		return fmt.Errorf("an item of a row has no users: %w", errFull)
	}
	return nil
}

// check checks the weights from an entry on.
func (a *rowAppender) check(from int) error {
	if !a.weights {
		return nil
	}
	for _, w := range a.rows.Weight[from:] {
		if float32(int32(w)) == w && w >= 1 {
			continue
		}
		if !(w >= 1) || w != float32(math.Trunc(float64(w))) { // as none above that is an int32
			return fmt.Errorf("weight %v in a row: %w", w, errFull)
		}
	}
	return nil
}

// orderRow is sortRow for a row that is nearly in order, with weights.
func orderRow(items []uint32, weights []float32) {
	moves := 16 * len(items)
	for n, item := range items {
		at, w := n, weights[n]
		for ; at > 0 && items[at-1] > item; at-- {
			items[at], weights[at] = items[at-1], weights[at-1]
		}
		items[at], weights[at] = item, w
		if moves -= n - at; moves < 0 {
			sortRow(items, weights)
			return
		}
	}
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

// all reports whether these are all partitions.
func (f *following) all(partitions []uint32) bool {
	n := len(f.head.FirstUser) - 1
	for p := range uint32(n) {
		if !slices.Contains(partitions, p) {
			return false
		}
	}
	return len(partitions) == n
}

// SumPairs implements kithv1.ComputeServiceServer.
func (w *Worker) SumPairs(stream grpc.BidiStreamingServer[kithv1.SumPairsRequest, kithv1.SumPairsResponse]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	ctx, j, f, leave, err := w.enterFollowing(stream.Context(), first.Job)
	if err != nil {
		return err
	}
	defer leave()
	wanted, err := wire.TakePairSums(nil, first.Wanted, first.Columns)
	if err != nil {
		return err
	}
	err = wire.Receive(stream, func(m *kithv1.SumPairsRequest) (err error) {
		wanted, err = wire.TakePairSums(wanted, m.Wanted, m.Columns)
		return err
	})
	if err != nil {
		return cause(ctx, err)
	}
	total, err := w.sumPairs(ctx, j, f, first.Partitions, wanted)
	if err != nil {
		return cause(ctx, err)
	}
	for chunk := range wire.ChunkPairSums(total) {
		m := &kithv1.SumPairsResponse{}
		m.Sums, m.Columns = wire.FormPairSums(chunk, first.Columns != nil)
		if err := stream.Send(m); err != nil {
			return err
		}
	}
	return nil
}

// sumPairs forms sums over the users of some partitions.
func (w *Worker) sumPairs(ctx context.Context, j *job, f *following, partitions []uint32, wanted []similarity.PairSums) ([]similarity.PairSums, error) {
	rows, err := f.rowsOf(partitions)
	if err != nil {
		return nil, err
	}
	var want *similarity.WantedSums
	cpu, err := w.compute(ctx, func() (err error) {
		want, err = f.step.Want(wanted)
		return err
	})
	j.spend(&kithv1.NodeUsage{CpuSeconds: cpu})
	if err != nil {
		return nil, err
	}
	return f.step.SumPairs(ctx, similarity.SumsOver{
		Parts: rows, All: f.all(partitions), Pieces: w.cfg.Threads,
		Side: func(n int, work func(k int) error) error { return w.sideBySide(ctx, j, n, work) },
	}, want)
}
