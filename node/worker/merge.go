package worker

import (
	"cmp"
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
	lists, err := similarity.Merge(p.keep(), parts...)
	if err != nil {
		return nil, fmt.Errorf("block %d: %w", n, err)
	}
	s.lists, s.idle = lists, nil
	return lists, nil
}

// collect makes lists of all Collectors, several blocks at a time, and drops what only tasks need.
func (w *Worker) collect(ctx context.Context, j *job, p *plan) error {
	if j.spool != nil {
		p.tasks.turn.drop() // the lists are in files; no task should follow
		return nil
	}
	p.tasks.rest()
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
		return p.tasks.blocks[n].spilledOf(p.keep(), id)
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
			if err := stream.Send(&kithv1.FetchPartialsResponse{Data: chunk, Block: uint32(n), Keep: uint32(p.keep())}); err != nil {
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
	out, err := w.createMerged(p, req)
	if err != nil {
		return nil, err
	}
	defer out.abort()
	for n := range p.blocks {
		parts := []*similarity.Lists{p.noLists(n)}
		for i, s := range sources {
			lists, keep, err := s(n)
			if err != nil {
				return nil, cause(ctx, fmt.Errorf("partial lists of node %s: %w", req.Sources[i].Node, err))
			}
			parts = append(parts, lists)
			if lists != nil && keep < p.keep() {
				out.dropRest() // a node of another version, which keeps less
			}
		}
		cpu, err := w.compute(ctx, func() error { return p.merge(out, req.Partition, n, parts) })
		j.spend(&kithv1.NodeUsage{CpuSeconds: cpu})
		if err != nil {
			return nil, err
		}
	}
	file, err := out.commit()
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

// merged is what a merge writes.
type merged struct {
	lists *artifact.ListsWriter
	// rest is nil for a build that cannot be followed.
	rest *artifact.RestWriter
}

func (w *Worker) createMerged(p *plan, req *kithv1.MergeListsRequest) (*merged, error) {
	lists, err := w.artifacts.CreateLists(req.Job, req.Partition)
	if err != nil {
		return nil, err
	}
	out := &merged{lists: lists}
	if p.follow {
		if out.rest, err = w.artifacts.CreateRest(req.Job, req.Partition); err != nil {
			out.abort()
			return nil, err
		}
	}
	return out, nil
}

// dropRest leaves out the rest.
func (m *merged) dropRest() {
	if m.rest != nil {
		m.rest.Abort()
		m.rest = nil
	}
}

// commit makes the files durable and returns the identity of the lists.
func (m *merged) commit() (artifact.Info, error) {
	if m.rest != nil {
		if _, err := m.rest.Commit(); err != nil {
			return artifact.Info{}, err
		}
	}
	return m.lists.Commit()
}

func (m *merged) abort() {
	m.dropRest()
	m.lists.Abort()
}

// merge merges the partial lists of a block and adds those of the items of a partition to out: the K best to the lists, and those
// behind them to the rest.
func (p *plan) merge(out *merged, id uint32, n int, parts []*similarity.Lists) error {
	all, err := similarity.Merge(p.keep(), parts...)
	if err != nil {
		return fmt.Errorf("%w: block %d: %w", wire.ErrInvalid, n, err)
	}
	var items []uint32
	var bounds []float32
	lists, rest := &similarity.Lists{Start: []int64{0}}, &similarity.Lists{Start: []int64{0}}
	for item := p.blocks[n].Lo; item < p.blocks[n].Hi; item++ {
		if uint32(p.owner[item]) != id {
			continue // has no entries
		}
		items = append(items, item)
		list := all.List(item)
		best := list[:min(p.options.K, len(list))]
		lists.Entries = append(lists.Entries, best...)
		lists.Start = append(lists.Start, int64(len(lists.Entries)))
		if out.rest == nil {
			continue
		}
		if len(list) > 0 && list[len(list)-1].Score < 0 {
			out.dropRest() // of negative weights, which nothing follows
			continue
		}
		rest.Entries = append(rest.Entries, list[len(best):]...)
		rest.Start = append(rest.Start, int64(len(rest.Entries)))
		bounds = append(bounds, p.bound(list))
	}
	if out.rest != nil {
		if err := out.rest.Add(items, rest, bounds); err != nil {
			return err
		}
	}
	return out.lists.Add(items, lists)
}

// bound returns what no score of an item is above but those of its list, which was cut at keep.
func (p *plan) bound(list []similarity.Neighbor) float32 {
	if keep := p.keep(); len(list) == keep && keep < p.dictionary.Len()-1 {
		return list[keep-1].Score
	}
	return 0
}

// partialSource returns the partial lists of a node for one block after the other, nil for a block without, and at what length they
// were cut.
type partialSource func(block int) (lists *similarity.Lists, keep int, err error)

// openPartials begins to read the partial lists of a node. They end with ctx.
func (w *Worker) openPartials(ctx context.Context, j *job, p *plan, id uint32, source *kithv1.PartialSource) (partialSource, error) {
	if source.Node == w.cfg.NodeID {
		if err := errors.Join(p.tasks.check(source.Tasks), w.collect(ctx, j, p)); err != nil {
			return nil, err
		}
		return func(n int) (*similarity.Lists, int, error) {
			lists, err := p.partialsOf(j, n, id)
			return lists, p.keep(), err
		}, nil
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
	return func(n int) (lists *similarity.Lists, keep int, err error) {
		var data []byte
		for {
			if next == nil {
				if next, err = stream.Recv(); errors.Is(err, io.EOF) {
					next = &kithv1.FetchPartialsResponse{Block: math.MaxUint32}
				} else if err != nil {
					return nil, 0, err
				}
			}
			if int64(next.Block) != int64(n) {
				break
			}
			data = append(data, next.Data...)
			keep = cmp.Or(int(next.Keep), p.options.K)
			next = nil
		}
		if int64(next.Block) < int64(n) {
			return nil, 0, fmt.Errorf("%w: lists of block %d came after those of block %d", wire.ErrInvalid, next.Block, n)
		}
		if data == nil {
			return nil, 0, nil
		}
		cpu, err := w.compute(ctx, func() (err error) {
			lists, err = similarity.DecodeLists(data)
			return err
		})
		j.spend(&kithv1.NodeUsage{CpuSeconds: cpu, BytesIn: uint64(len(data))})
		return lists, keep, err
	}, nil
}
