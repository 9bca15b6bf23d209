package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"google.golang.org/grpc"

	"github.com/kith-io/kith/node/artifact"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/similarity"
)

// LookLists implements kithv1.ComputeServiceServer.
func (w *Worker) LookLists(req *kithv1.LookListsRequest, stream grpc.ServerStreamingServer[kithv1.LookListsResponse]) error {
	ctx, j, f, leave, err := w.enterFollowing(stream.Context(), req.Job)
	if err != nil {
		return err
	}
	defer leave()
	if req.Alone && !f.all(req.Partitions) {
		return fmt.Errorf("%w: partitions %v are said to be all", wire.ErrInvalid, req.Partitions)
	}
	if err := f.look(req.Bounds); err != nil {
		return err
	}
	var mu sync.Mutex
	var wanted []similarity.PairSums
	err = w.eachPartition(ctx, j, req.Partitions, func(_ int, p uint32) error {
		follower, err := w.lookOver(ctx, f, p)
		if err != nil {
			return err
		}
		mine := follower.Wanted()
		mu.Lock()
		defer mu.Unlock()
		wanted = append(wanted, mine...)
		return nil
	})
	if err != nil {
		return cause(ctx, err)
	}
	if wanted, err = similarity.JoinWanted(wanted, f.step.Len()); err != nil {
		return err
	}
	if req.Alone {
		sums, err := w.sumPairs(ctx, j, f, req.Partitions, wanted)
		if err != nil {
			return cause(ctx, err)
		}
		f.keep(sums)
		return stream.Send(&kithv1.LookListsResponse{Formed: true})
	}
	for chunk := range wire.ChunkPairSums(wanted) {
		m := &kithv1.LookListsResponse{}
		m.Wanted, m.Columns = wire.FormPairSums(chunk, req.Columns)
		if err := stream.Send(m); err != nil {
			return err
		}
	}
	return nil
}

// keep keeps the sums that all lists want.
func (f *following) keep(sums []similarity.PairSums) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.formed, f.sums = true, sums
}

// takeLists hands out what was looked over, and the sums that it wants, once: those that came or, if they were formed here, those that are kept.
func (f *following) takeLists(partitions []uint32, formed bool, came []similarity.PairSums) ([]*similarity.Follower, []similarity.PairSums, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if formed != f.formed || formed && len(came) > 0 {
		return nil, nil, fmt.Errorf("sums of %d items came, all were formed here: %v, and they should be: %v: %w", len(came), f.formed, formed, wire.ErrBuildLost)
	}
	followers := make([]*similarity.Follower, len(partitions))
	for k, p := range partitions {
		if followers[k] = f.lists[p]; followers[k] == nil {
			return nil, nil, fmt.Errorf("partition %d: its lists were not looked over here: %w", p, wire.ErrBuildLost)
		}
		delete(f.lists, p) // sums can be given once
	}
	if formed {
		came, f.formed, f.sums = f.sums, false, nil
	}
	return followers, came, nil
}

// lookOver looks over the lists of a partition.
func (w *Worker) lookOver(ctx context.Context, f *following, p uint32) (*similarity.Follower, error) {
	base, err := f.base.Lists(p)
	if err != nil {
		return nil, err
	}
	rest, err := w.restOf(f, p)
	if err != nil {
		return nil, err
	}
	if !slices.Equal(base.Items(), rest.Items()) {
		return nil, fmt.Errorf("partition %d: what comes behind the lists of version %d is not of these: %w", p, f.number, wire.ErrBuildLost)
	}
	var items []uint32
	for id := range uint32(f.step.Len()) {
		if item, _, _ := f.step.Was(id); uint32(f.owner[item]) == p {
			items = append(items, item)
		}
	}
	follower := similarity.NewFollower(f.step, items, func(item uint32) (h similarity.HeldList) {
		if at, ok := base.Find(item); ok {
			h.List = base.At(at)
			h.Rest, h.Bound = rest.At(at)
		}
		return h
	})
	if err := follower.Look(ctx); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lists[p] = follower
	return follower, nil
}

// restOf returns what is behind the lists of a partition in the version before.
func (w *Worker) restOf(f *following, p uint32) (*artifact.Rest, error) {
	f.mu.Lock()
	rest := f.rest[p]
	f.mu.Unlock()
	if rest != nil {
		return rest, nil
	}
	rest, err := w.artifacts.OpenRest(f.number, p) // which may look at all of it
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opened = append(f.opened, rest)
	f.rest[p] = rest
	return rest, nil
}

// FollowLists implements kithv1.ComputeServiceServer.
func (w *Worker) FollowLists(stream grpc.ClientStreamingServer[kithv1.FollowListsRequest, kithv1.FollowListsResponse]) error {
	if err := w.cfg.Room(); err != nil {
		return err
	}
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	ctx, j, f, leave, err := w.enterFollowing(stream.Context(), first.Job)
	if err != nil {
		return err
	}
	defer leave()
	sums, err := wire.TakePairSums(nil, first.Sums, first.Columns)
	if err != nil {
		return err
	}
	err = wire.Receive(stream, func(m *kithv1.FollowListsRequest) (err error) {
		sums, err = wire.TakePairSums(sums, m.Sums, m.Columns)
		return err
	})
	if err != nil {
		return cause(ctx, err)
	}
	followers, sums, err := f.takeLists(first.Partitions, first.Formed, sums)
	if err != nil {
		return err
	}
	files := make([]*kithv1.Artifact, len(first.Partitions))
	err = w.eachPartition(ctx, j, first.Partitions, func(k int, p uint32) error {
		if err := followers[k].Give(sums); err != nil {
			return err
		}
		file, err := w.writeLists(ctx, followers[k], j.id, p)
		if err != nil {
			return err
		}
		w.written(j.id, file.Name)
		files[k] = fileToProto(file)
		return nil
	})
	if err != nil {
		return cause(ctx, err)
	}
	return stream.SendAndClose(&kithv1.FollowListsResponse{Lists: files, Usage: w.report(j)})
}

// listsChunk is the number of items whose lists are written at a time: so few that the processor's cache holds them.
const listsChunk = 512

// writeLists writes the lists of a partition, and what is kept behind them.
func (w *Worker) writeLists(ctx context.Context, follower *similarity.Follower, version uint64, p uint32) (artifact.Info, error) {
	out, err := w.artifacts.CreateLists(version, p)
	if err != nil {
		return artifact.Info{}, err
	}
	defer out.Abort()
	behind, err := w.artifacts.CreateRest(version, p)
	if err != nil {
		return artifact.Info{}, err
	}
	defer behind.Abort()
	var items []uint32
	var bounds []float32
	o := follower.Options()
	room := func(k int) *similarity.Lists {
		return &similarity.Lists{Start: []int64{0}, Entries: make([]similarity.Neighbor, 0, listsChunk*min(k, 100))}
	}
	lists, rest := room(o.K), room(o.Reserve())
	flush := func() error {
		err := errors.Join(out.Add(items, lists), behind.Add(items, rest, bounds), ctx.Err())
		items, bounds = items[:0], bounds[:0]
		for _, x := range []*similarity.Lists{lists, rest} {
			x.Start, x.Entries = x.Start[:1], x.Entries[:0]
		}
		return err
	}
	for k, id := range follower.IDs() {
		var bound float32
		lists.Entries, rest.Entries, bound = follower.AppendList(lists.Entries, rest.Entries, k)
		lists.Start, rest.Start = append(lists.Start, int64(len(lists.Entries))), append(rest.Start, int64(len(rest.Entries)))
		items, bounds = append(items, id), append(bounds, bound)
		if len(items) == listsChunk {
			if err := flush(); err != nil {
				return artifact.Info{}, err
			}
		}
	}
	if err := flush(); err != nil {
		return artifact.Info{}, err
	}
	if _, err := behind.Commit(); err != nil {
		return artifact.Info{}, err
	}
	return out.Commit()
}
