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
	sides  []once[*similarity.Side]

	mu sync.Mutex
	// done holds the tasks whose pairs are in the Collectors; running those at work, with a channel that is closed when they
	// end.
	done    map[uint32]bool
	running map[uint32]chan struct{}
	// broken is set when a task ended in the middle: the Collectors then hold pairs that would be counted twice.
	broken error
}

type blockState struct {
	parts once[[][]byte] // of all partitions
	lead  once[*similarity.Block]

	mu sync.Mutex
	// idle Collectors, and lists of those that were emptied.
	idle  []*similarity.Collector
	lists *similarity.Lists
}

// once holds a value that the first caller makes.
type once[T any] struct {
	// lock has room for one: who puts something in may make the value. A channel, so that waiting can end with a context.
	lock  chan struct{}
	made  bool
	value T
}

func newOnce[T any]() once[T] { return once[T]{lock: make(chan struct{}, 1)} }

// get returns the value; where there is none yet, first makes it.
func (o *once[T]) get(ctx context.Context, first func() (T, error)) (T, error) {
	select {
	case o.lock <- struct{}{}:
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
	defer func() { <-o.lock }()
	if o.made {
		return o.value, nil
	}
	var err error
	o.value, err = first()
	o.made = err == nil
	return o.value, err
}

func newTasks(blocks, sides int) *tasks {
	t := &tasks{
		blocks: make([]blockState, blocks), sides: make([]once[*similarity.Side], sides),
		done: map[uint32]bool{}, running: map[uint32]chan struct{}{},
	}
	for b := range t.blocks {
		t.blocks[b].parts, t.blocks[b].lead = newOnce[[][]byte](), newOnce[*similarity.Block]()
	}
	for s := range t.sides {
		t.sides[s] = newOnce[*similarity.Side]()
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
		if total := len(p.blocks) * len(p.sides); int(task) >= total {
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
	at := partition.TaskAt(int(task), len(p.blocks))
	side, err := w.side(ctx, j, p, at.Side, sources)
	if err != nil {
		return 0, err
	}
	lead, err := w.lead(ctx, j, p, at.Block, sources)
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
	c := t.blocks[at.Block].take(p.blocks[at.Block], keep)
	var st similarity.Stats
	// The task goes on when the call breaks off: the next coordinator wants it. It ends with the job.
	cpu := cpuSeconds(func() { st, err = similarity.Run(j.ctx, lead, side, c, p.options, scratch) })
	if err != nil {
		t.fail(err)
		return 0, err
	}
	t.blocks[at.Block].give(c)
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

// lead returns a block; the first call makes it from its parts.
func (w *Worker) lead(ctx context.Context, j *job, p *plan, n int, sources []*kithv1.PartSource) (*similarity.Block, error) {
	return p.tasks.blocks[n].lead.get(ctx, func() (b *similarity.Block, err error) {
		parts, err := w.parts(ctx, j, p, n, sources)
		if err != nil {
			return nil, err
		}
		cpu := cpuSeconds(func() { b, err = similarity.NewBlock(p.blocks[n].Lo, p.blocks[n].Hi, p.head.Users, parts) })
		j.spend(&kithv1.NodeUsage{CpuSeconds: cpu})
		return b, err
	})
}

// side returns a side; the first call makes it from the parts of its blocks.
func (w *Worker) side(ctx context.Context, j *job, p *plan, n int, sources []*kithv1.PartSource) (*similarity.Side, error) {
	return p.tasks.sides[n].get(ctx, func() (s *similarity.Side, err error) {
		blocks := p.blocks[p.sides[n].Lo:p.sides[n].Hi]
		parts := make([][][]byte, len(blocks))
		ends := make([]uint32, len(blocks))
		for b, r := range blocks {
			ends[b] = r.Hi
			if parts[b], err = w.parts(ctx, j, p, int(p.sides[n].Lo)+b, sources); err != nil {
				return nil, err
			}
		}
		cpu := cpuSeconds(func() { s, err = similarity.NewSide(blocks[0].Lo, ends, p.head.Users, parts, p.options) })
		j.spend(&kithv1.NodeUsage{CpuSeconds: cpu})
		return s, err
	})
}

// parts returns the parts of a block; the first call fetches them.
func (w *Worker) parts(ctx context.Context, j *job, p *plan, n int, sources []*kithv1.PartSource) ([][]byte, error) {
	return p.tasks.blocks[n].parts.get(ctx, func() ([][]byte, error) {
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
		return parts, g.Wait()
	})
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
