package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/kith-io/kith/node/artifact"
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

// collect makes lists of all Collectors, several blocks at a time.
func (w *Worker) collect(ctx context.Context, j *job, p *plan) error {
	if j.spool != nil {
		p.tasks.turn.drop() // the lists are in files; no task should follow
		return nil
	}
	var g errgroup.Group
	g.SetLimit(w.cfg.Threads)
	for n := range p.blocks {
		g.Go(func() error {
			cpu, err := w.compute(ctx, func() error {
				_, err := p.partials(n)
				return err
			})
			j.spend(&kithv1.NodeUsage{CpuSeconds: cpu})
			return err
		})
	}
	return g.Wait()
}

// partialsOf returns the lists that were made here of the items of block n that belong to a partition: lists of all items of
// the block, empty for the others. It returns nil if there are none.
func (p *plan) partialsOf(j *job, n int, id uint32) (*similarity.Lists, error) {
	if j.spool != nil {
		return p.tasks.blocks[n].spilledOf(p.options.K, id)
	}
	lists, err := p.partials(n)
	if err != nil || lists == nil {
		return nil, err
	}
	return p.listsOf(id, p.blocks[n], lists), nil
}

// FetchPartials implements kithv1.ComputeServiceServer.
func (w *Worker) FetchPartials(req *kithv1.FetchPartialsRequest, stream grpc.ServerStreamingServer[kithv1.FetchPartialsResponse]) error {
	ctx, j, leave, err := w.enter(stream.Context(), req.Job, false)
	if err != nil {
		return err
	}
	defer leave()
	p, err := j.planned()
	if err != nil {
		return err
	}
	if err := p.checkPartition(req.Partition); err != nil {
		return err
	}
	if err := errors.Join(p.tasks.check(req.Tasks), w.collect(ctx, j, p)); err != nil {
		return err
	}
	for n := range p.blocks {
		var data []byte
		cpu, err := w.compute(ctx, func() error {
			lists, err := p.partialsOf(j, n, req.Partition)
			if lists != nil {
				data = similarity.AppendLists(nil, lists)
			}
			return err
		})
		if err != nil {
			return err
		}
		j.spend(&kithv1.NodeUsage{CpuSeconds: cpu, BytesOut: uint64(len(data))})
		for chunk := range slices.Chunk(data, partChunk) {
			if err := stream.Send(&kithv1.FetchPartialsResponse{Data: chunk, Block: uint32(n)}); err != nil {
				return err
			}
		}
	}
	return nil
}

// MergeLists implements kithv1.ComputeServiceServer. It merges one block after the other, as their lists come from the nodes.
func (w *Worker) MergeLists(ctx context.Context, req *kithv1.MergeListsRequest) (*kithv1.MergeListsResponse, error) {
	if err := w.cfg.Room(); err != nil {
		return nil, err
	}
	ctx, j, leave, err := w.enter(ctx, req.Job, false)
	if err != nil {
		return nil, err
	}
	defer leave()
	p, err := j.planned()
	if err != nil {
		return nil, err
	}
	if err := p.checkPartition(req.Partition); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx) // ends the streams
	defer cancel()
	sources := make([]partialSource, len(req.Sources))
	var g errgroup.Group // at the same time, as each node has work to do before it sends the first
	for i, source := range req.Sources {
		g.Go(func() (err error) {
			if sources[i], err = w.openPartials(ctx, j, p, req.Partition, source); err != nil {
				return cause(ctx, fmt.Errorf("partial lists of node %s: %w", source.Node, err))
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	out, err := w.artifacts.CreateLists(req.Job, req.Partition)
	if err != nil {
		return nil, err
	}
	defer out.Abort()
	for n := range p.blocks {
		parts := []*similarity.Lists{p.noLists(n)}
		for i, s := range sources {
			lists, err := s(n)
			if err != nil {
				return nil, cause(ctx, fmt.Errorf("partial lists of node %s: %w", req.Sources[i].Node, err))
			}
			parts = append(parts, lists)
		}
		cpu, err := w.compute(ctx, func() error { return p.merge(out, req.Partition, n, parts) })
		j.spend(&kithv1.NodeUsage{CpuSeconds: cpu})
		if err != nil {
			return nil, err
		}
	}
	file, err := out.Commit()
	if err != nil {
		return nil, err
	}
	if _, err := w.compute(ctx, func() error { w.written(req.Job, file.Name); return nil }); err != nil {
		return nil, err
	}
	return &kithv1.MergeListsResponse{Artifact: fileToProto(file), Usage: w.report(j)}, nil
}

// noLists returns empty lists of the items of a block.
func (p *plan) noLists(n int) *similarity.Lists {
	return &similarity.Lists{Lo: p.blocks[n].Lo, Start: make([]int64, p.blocks[n].Len()+1)}
}

// merge merges the partial lists of a block and adds those of the items of a partition to out.
func (p *plan) merge(out *artifact.ListsWriter, id uint32, n int, parts []*similarity.Lists) error {
	merged, err := similarity.Merge(p.options.K, parts...)
	if err != nil {
		return fmt.Errorf("%w: block %d: %w", wire.ErrInvalid, n, err)
	}
	var items []uint32
	lists := &similarity.Lists{Start: []int64{0}, Entries: merged.Entries}
	for i, end := range merged.Start[1:] {
		item := p.blocks[n].Lo + uint32(i)
		if uint32(p.owner[item]) != id {
			continue // has no entries
		}
		items = append(items, item)
		lists.Start = append(lists.Start, end)
	}
	return out.Add(items, lists)
}

// partialSource returns the partial lists of a node for one block after the other, nil for a block without.
type partialSource func(block int) (*similarity.Lists, error)

// openPartials begins to read the partial lists of a node. They end with ctx.
func (w *Worker) openPartials(ctx context.Context, j *job, p *plan, id uint32, source *kithv1.PartialSource) (partialSource, error) {
	if source.Node == w.cfg.NodeID {
		if err := errors.Join(p.tasks.check(source.Tasks), w.collect(ctx, j, p)); err != nil {
			return nil, err
		}
		return func(n int) (*similarity.Lists, error) { return p.partialsOf(j, n, id) }, nil
	}
	conn, err := w.peers.Conn(ctx, source.Node, source.GrpcAddr)
	if err != nil {
		return nil, err
	}
	stream, err := kithv1.NewComputeServiceClient(conn).FetchPartials(ctx, &kithv1.FetchPartialsRequest{Job: j.id, Partition: id, Tasks: source.Tasks})
	if err != nil {
		return nil, err
	}
	var next *kithv1.FetchPartialsResponse // came with another block, or is the end
	return func(n int) (lists *similarity.Lists, err error) {
		var data []byte
		for {
			if next == nil {
				if next, err = stream.Recv(); errors.Is(err, io.EOF) {
					next = &kithv1.FetchPartialsResponse{Block: math.MaxUint32}
				} else if err != nil {
					return nil, err
				}
			}
			if int64(next.Block) != int64(n) {
				break
			}
			data = append(data, next.Data...)
			next = nil
		}
		if int64(next.Block) < int64(n) {
			return nil, fmt.Errorf("%w: lists of block %d came after those of block %d", wire.ErrInvalid, next.Block, n)
		}
		if data == nil {
			return nil, nil
		}
		cpu, err := w.compute(ctx, func() (err error) {
			lists, err = similarity.DecodeLists(data)
			return err
		})
		j.spend(&kithv1.NodeUsage{CpuSeconds: cpu, BytesIn: uint64(len(data))})
		return lists, err
	}, nil
}
