package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/similarity"
)

// concurrentFetches bounds the parts of one block that are fetched at a time.
const concurrentFetches = 8

// tasks is what a job's tasks have made on this node. A block has a Collector for each task that is at work on it, taken
// from those that are idle, so that no task waits for another. All of them are merged in the end; which neighbors are
// kept does not depend on who collected them.
type tasks struct {
	blocks []blockState

	mu sync.Mutex
	// done holds the tasks whose pairs are in the Collectors; running those at work, with a channel that is closed when they
	// end.
	done    map[uint32]bool
	running map[uint32]chan struct{}
	// broken is set when a task ended in the middle: the Collectors then hold pairs that would be counted twice.
	broken error
}

type blockState struct {
	// lock has room for one: who puts something in may fetch the block.
	lock  chan struct{}
	block *similarity.Block

	mu sync.Mutex
	// idle Collectors, and lists of those that were emptied.
	idle  []*similarity.Collector
	lists *similarity.Lists
}

func newTasks(blocks int) *tasks {
	t := &tasks{blocks: make([]blockState, blocks), done: map[uint32]bool{}, running: map[uint32]chan struct{}{}}
	for b := range t.blocks {
		t.blocks[b].lock = make(chan struct{}, 1)
	}
	return t
}

// RunTasks implements kithv1.ComputeServiceServer. Tasks that were done before are reported again.
func (w *Worker) RunTasks(req *kithv1.RunTasksRequest, stream grpc.ServerStreamingServer[kithv1.RunTasksResponse]) error {
	ctx, j, leave, err := w.enter(stream.Context(), req.Job, false)
	if err != nil {
		return err
	}
	defer leave()
	p, err := j.planned()
	if err != nil {
		return err
	}
	if len(req.Sources) != int(p.head.Partitions) {
		return fmt.Errorf("%w: %d sources for %d partitions", wire.ErrInvalid, len(req.Sources), p.head.Partitions)
	}
	for _, task := range req.Tasks {
		if total := partition.NumPairs(len(p.blocks)); int(task) >= total {
			return fmt.Errorf("%w: task %d of %d", wire.ErrInvalid, task, total)
		}
	}
	finished := make(chan *kithv1.RunTasksResponse)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(w.cfg.Threads + 1) // one sends
	g.Go(func() error {
		for range req.Tasks {
			select {
			case m := <-finished:
				if err := stream.Send(m); err != nil {
					return err
				}
			case <-gctx.Done():
				return nil
			}
		}
		return nil
	})
	for _, task := range req.Tasks {
		if gctx.Err() != nil {
			break
		}
		g.Go(func() error {
			updates, err := w.runTask(gctx, j, p, task, req.Sources)
			if err != nil {
				return fmt.Errorf("task %d: %w", task, err)
			}
			select {
			case finished <- &kithv1.RunTasksResponse{Task: task, PairUpdates: updates, Usage: w.report(j)}:
			case <-gctx.Done():
			}
			return nil
		})
	}
	return cause(ctx, errors.Join(g.Wait(), ctx.Err()))
}

// begin claims a task. It returns false if the task has been done; it waits while another call runs it.
func (t *tasks) begin(ctx context.Context, task uint32) (bool, error) {
	for {
		t.mu.Lock()
		running := t.running[task]
		switch {
		case t.broken != nil:
			t.mu.Unlock()
			return false, t.broken
		case t.done[task]:
			t.mu.Unlock()
			return false, nil
		case running == nil:
			t.running[task] = make(chan struct{})
			t.mu.Unlock()
			return true, nil
		}
		t.mu.Unlock()
		select {
		case <-running:
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
}

func (t *tasks) end(task uint32, done bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.running[task])
	delete(t.running, task)
	if done {
		t.done[task] = true
	}
}

// fail makes all that was collected useless.
func (t *tasks) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.broken = fmt.Errorf("a task ended in the middle (%w): %w", err, wire.ErrBuildLost)
}

// check returns an error matching wire.ErrBuildLost unless all the tasks were done here.
func (t *tasks) check(tasks []uint32) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.broken != nil {
		return t.broken
	}
	for _, task := range tasks {
		if !t.done[task] {
			return fmt.Errorf("task %d was not done here: %w", task, wire.ErrBuildLost)
		}
	}
	return nil
}

func (w *Worker) runTask(ctx context.Context, j *job, p *plan, task uint32, sources []*kithv1.PartSource) (updates uint64, err error) {
	t := p.tasks
	if ok, err := t.begin(ctx, task); err != nil || !ok {
		return 0, err
	}
	done := false
	defer func() { t.end(task, done) }()
	pair := partition.PairAt(int(task), len(p.blocks))
	a, err := w.block(ctx, j, p, pair.A, sources)
	if err != nil {
		return 0, err
	}
	b, err := w.block(ctx, j, p, pair.B, sources)
	if err != nil {
		return 0, err
	}
	var scratch *similarity.Scratch
	select {
	case scratch = <-w.slots:
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	defer func() { w.slots <- scratch }()
	keep := max(1, min(p.options.K, p.dictionary.Len()-1))
	ca := t.blocks[pair.A].take(p.blocks[pair.A], keep)
	cb := ca
	if pair.B != pair.A {
		cb = t.blocks[pair.B].take(p.blocks[pair.B], keep)
	}
	var st similarity.Stats
	// The task goes on when the call breaks off: the next coordinator wants it. It ends with the job.
	cpu := cpuSeconds(func() { st, err = similarity.PairInto(j.ctx, a, b, ca, cb, p.options, scratch) })
	if err != nil {
		t.fail(err)
		return 0, err
	}
	t.blocks[pair.A].give(ca)
	if cb != ca {
		t.blocks[pair.B].give(cb)
	}
	done = true
	j.spend(&kithv1.NodeUsage{CpuSeconds: cpu, Tasks: 1, PairUpdates: uint64(st.PairUpdates)})
	return uint64(st.PairUpdates), nil
}

// take returns an idle Collector of the block, or a new one.
func (s *blockState) take(r partition.Range, keep int) *similarity.Collector {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.idle); n > 0 {
		c := s.idle[n-1]
		s.idle = s.idle[:n-1]
		return c
	}
	return similarity.NewCollector(r.Lo, r.Hi, keep)
}

func (s *blockState) give(c *similarity.Collector) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idle = append(s.idle, c)
}

// block returns a block; the first call makes it from its parts.
func (w *Worker) block(ctx context.Context, j *job, p *plan, n int, sources []*kithv1.PartSource) (*similarity.Block, error) {
	s := &p.tasks.blocks[n]
	select {
	case s.lock <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { <-s.lock }()
	if s.block != nil {
		return s.block, nil
	}
	parts := make([][]byte, len(sources))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(concurrentFetches)
	for i, source := range sources {
		g.Go(func() error {
			var err error
			if parts[i], err = w.fetchPart(gctx, j, uint32(n), source); err != nil {
				return fmt.Errorf("block %d of partition %d from node %s: %w", n, source.Partition, source.Node, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var err error
	cpu := cpuSeconds(func() { s.block, err = similarity.NewBlock(p.blocks[n].Lo, p.blocks[n].Hi, p.head.Users, parts) })
	j.spend(&kithv1.NodeUsage{CpuSeconds: cpu})
	if err != nil {
		return nil, fmt.Errorf("block %d: %w", n, err)
	}
	return s.block, nil
}

func (w *Worker) fetchPart(ctx context.Context, j *job, block uint32, source *kithv1.PartSource) ([]byte, error) {
	if source.Node == w.cfg.NodeID {
		return j.part(ctx, source.Partition, block)
	}
	conn, err := w.peers.Conn(ctx, source.Node, source.GrpcAddr)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := kithv1.NewComputeServiceClient(conn).FetchPart(ctx, &kithv1.FetchPartRequest{Job: j.id, Partition: source.Partition, Block: block})
	if err != nil {
		return nil, err
	}
	part, err := receive(stream, (*kithv1.FetchPartResponse).GetData)
	j.spend(&kithv1.NodeUsage{BytesIn: uint64(len(part))})
	return part, err
}

// receive joins the pieces of a stream.
func receive[M any](stream grpc.ServerStreamingClient[M], data func(*M) []byte) ([]byte, error) {
	var out []byte
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		out = append(out, data(m)...)
	}
}
