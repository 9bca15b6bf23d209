package worker

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/similarity"
)

// partials returns the lists that were collected here of the items of block n. Collectors are emptied into lists once;
// tasks that run later begin new ones.
func (p *plan) partials(n int) (*similarity.Lists, error) {
	s := &p.tasks.blocks[n]
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.idle) == 0 {
		return s.lists, nil
	}
	parts := []*similarity.Lists{s.lists}
	for _, c := range s.idle {
		parts = append(parts, c.Lists())
	}
	lists, err := similarity.Merge(p.options.K, parts...)
	if err != nil {
		return nil, fmt.Errorf("block %d: %w", n, err)
	}
	s.lists, s.idle = lists, nil
	return lists, nil
}

// partialsOf returns the lists that the given tasks and others made here for the items of a partition. It covers all
// items; those of other partitions have no entries.
func (w *Worker) partialsOf(j *job, p *plan, id uint32, tasks []uint32) (*similarity.Lists, error) {
	if err := p.tasks.check(tasks); err != nil {
		return nil, err
	}
	blocks := make([]*similarity.Lists, len(p.blocks))
	var g errgroup.Group
	g.SetLimit(w.cfg.Threads)
	for n := range p.blocks {
		g.Go(func() error {
			var err error
			j.spend(&kithv1.NodeUsage{CpuSeconds: cpuSeconds(func() { blocks[n], err = p.partials(n) })})
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	out := &similarity.Lists{Start: make([]int64, 1, len(p.owner)+1)}
	for n, r := range p.blocks {
		for item := r.Lo; item < r.Hi; item++ {
			if uint32(p.owner[item]) == id && blocks[n] != nil {
				out.Entries = append(out.Entries, blocks[n].List(item)...)
			}
			out.Start = append(out.Start, int64(len(out.Entries)))
		}
	}
	return out, nil
}

// FetchPartials implements kithv1.ComputeServiceServer.
func (w *Worker) FetchPartials(req *kithv1.FetchPartialsRequest, stream grpc.ServerStreamingServer[kithv1.FetchPartialsResponse]) error {
	_, j, leave, err := w.enter(stream.Context(), req.Job, false)
	if err != nil {
		return err
	}
	defer leave()
	p, err := j.planned()
	if err != nil {
		return err
	}
	lists, err := w.partialsOf(j, p, req.Partition, req.Tasks)
	if err != nil {
		return err
	}
	var data []byte
	j.spend(&kithv1.NodeUsage{CpuSeconds: cpuSeconds(func() { data = similarity.AppendLists(nil, lists) }), BytesOut: uint64(len(data))})
	for chunk := range slices.Chunk(data, partChunk) {
		if err := stream.Send(&kithv1.FetchPartialsResponse{Data: chunk}); err != nil {
			return err
		}
	}
	return nil
}

// MergeLists implements kithv1.ComputeServiceServer.
func (w *Worker) MergeLists(ctx context.Context, req *kithv1.MergeListsRequest) (*kithv1.MergeListsResponse, error) {
	ctx, j, leave, err := w.enter(ctx, req.Job, false)
	if err != nil {
		return nil, err
	}
	defer leave()
	p, err := j.planned()
	if err != nil {
		return nil, err
	}
	parts := make([]*similarity.Lists, len(req.Sources))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(concurrentFetches)
	for i, source := range req.Sources {
		g.Go(func() error {
			var err error
			if parts[i], err = w.fetchPartials(gctx, j, p, req.Partition, source); err != nil {
				return fmt.Errorf("partial lists of node %s: %w", source.Node, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, cause(ctx, err)
	}
	var items []uint32
	var lists *similarity.Lists
	j.spend(&kithv1.NodeUsage{CpuSeconds: cpuSeconds(func() { items, lists, err = p.merge(req.Partition, parts) })})
	if err != nil {
		return nil, err
	}
	file, err := w.artifacts.WriteLists(req.Job, req.Partition, items, lists)
	if err != nil {
		return nil, err
	}
	return &kithv1.MergeListsResponse{Artifact: fileToProto(file), Usage: w.report(j)}, nil
}

// merge merges the partial lists of a partition's items.
func (p *plan) merge(id uint32, parts []*similarity.Lists) (items []uint32, lists *similarity.Lists, err error) {
	for n, l := range parts {
		if l.Lo != 0 || l.Len() != len(p.owner) {
			return nil, nil, fmt.Errorf("%w: partial lists %d are of items [%d,+%d), want [0,+%d)", wire.ErrInvalid, n, l.Lo, l.Len(), len(p.owner))
		}
	}
	merged, err := similarity.Merge(p.options.K, parts...)
	if err != nil {
		return nil, nil, err
	}
	lists = &similarity.Lists{Start: []int64{0}, Entries: merged.Entries}
	for item, owner := range p.owner {
		if uint32(owner) != id {
			continue // has no entries
		}
		items = append(items, uint32(item))
		lists.Start = append(lists.Start, merged.Start[item+1])
	}
	return items, lists, nil
}

func (w *Worker) fetchPartials(ctx context.Context, j *job, p *plan, id uint32, source *kithv1.PartialSource) (*similarity.Lists, error) {
	if source.Node == w.cfg.NodeID {
		return w.partialsOf(j, p, id, source.Tasks)
	}
	conn, err := w.peers.Conn(ctx, source.Node, source.GrpcAddr)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := kithv1.NewComputeServiceClient(conn).FetchPartials(ctx, &kithv1.FetchPartialsRequest{Job: j.id, Partition: id, Tasks: source.Tasks})
	if err != nil {
		return nil, err
	}
	data, err := receive(stream, (*kithv1.FetchPartialsResponse).GetData)
	if err != nil {
		return nil, err
	}
	var lists *similarity.Lists
	cpu := cpuSeconds(func() { lists, err = similarity.DecodeLists(data) })
	j.spend(&kithv1.NodeUsage{CpuSeconds: cpu, BytesIn: uint64(len(data))})
	return lists, err
}
