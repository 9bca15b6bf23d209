package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/similarity"
)

// concurrentFetches bounds the calls by which a node fetches parts at a time, and the partial lists of a merge.
const concurrentFetches = 8

// tasks is what a job's tasks have made on this node. A block has a Collector for each task that is at work on it, taken
// from those that are idle, so that no task waits for another. All of them are merged in the end; which neighbors are
// kept does not depend on who collected them.
type tasks struct {
	blocks []blockState
	sides  []sideState
	// turn has the side in the place of sides where memory is limited.
	turn *turn

	mu sync.Mutex
	// done holds the tasks whose pairs are in the Collectors; running those at work, with a channel that is closed when they
	// end.
	done    map[uint32]bool
	running map[uint32]chan struct{}
	// broken is set when a task ended in the middle: the Collectors then hold pairs that would be counted twice.
	broken error
}

type sideState struct {
	parts once[struct{}] // made when the parts of all blocks of the side are here
	side  once[*similarity.Side]
}

type blockState struct {
	// parts of all partitions, until both the block and the side with its items are made.
	parts once[[][]byte]
	lead  once[*similarity.Block]

	mu sync.Mutex
	// uses counts what was made of the parts.
	uses int
	// idle Collectors, and lists of those that were emptied.
	idle  []*similarity.Collector
	lists *similarity.Lists
	// files have the lists in the place of both where memory is limited.
	files []*partialFile
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

// has reports whether there is a value; it waits for one that is being made.
func (o *once[T]) has() bool {
	o.lock <- struct{}{}
	defer func() { <-o.lock }()
	return o.made
}

// put sets the value.
func (o *once[T]) put(value T) {
	o.lock <- struct{}{}
	defer func() { <-o.lock }()
	o.value, o.made = value, true
}

// drop forgets the value; who asks again makes another.
func (o *once[T]) drop() {
	o.lock <- struct{}{}
	defer func() { <-o.lock }()
	o.forget()
}

// dropIdle is drop, unless the value is being made.
func (o *once[T]) dropIdle() {
	select {
	case o.lock <- struct{}{}:
		defer func() { <-o.lock }()
		o.forget()
	default:
	}
}

func (o *once[T]) forget() {
	var none T
	o.value, o.made = none, false
}

func newTasks(blocks, sides int) *tasks {
	t := &tasks{
		blocks: make([]blockState, blocks), sides: make([]sideState, sides), turn: newTurn(),
		done: map[uint32]bool{}, running: map[uint32]chan struct{}{},
	}
	for b := range t.blocks {
		t.blocks[b].parts, t.blocks[b].lead = newOnce[[][]byte](), newOnce[*similarity.Block]()
	}
	for s := range t.sides {
		t.sides[s].parts, t.sides[s].side = newOnce[struct{}](), newOnce[*similarity.Side]()
	}
	return t
}

// rest drops blocks and sides, once lists are asked for: usually no task follows. One that does makes its own.
func (t *tasks) rest() {
	for n := range t.blocks {
		t.blocks[n].lead.dropIdle()
	}
	for n := range t.sides {
		t.sides[n].side.dropIdle()
	}
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
	j.callForTasks(true)
	defer j.callForTasks(false)
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
	if j.spool != nil {
		updates, err = w.runLimited(ctx, j, p, at, sources)
		done = err == nil
		return updates, err
	}
	if err := w.fetchSide(ctx, j, p, at.Side, sources); err != nil {
		return 0, err
	}
	// The block first: while one task makes the side, the others make their blocks.
	lead, err := w.lead(ctx, j, p, at.Block, sources)
	if err != nil {
		return 0, err
	}
	side, err := w.side(ctx, j, p, at.Side, sources)
	if err != nil {
		return 0, err
	}
	scratch, release, err := w.slot(ctx, j)
	if err != nil {
		return 0, err
	}
	defer release()
	c := t.blocks[at.Block].take()
	if c == nil {
		c = p.newCollector(at.Block)
	}
	var st similarity.Stats
	// The task goes on when the call breaks off: the next coordinator wants it. It ends with the job.
	cpu, err := w.compute(j.ctx, func() (err error) {
		st, err = similarity.Run(j.ctx, lead, side, c, p.options, scratch)
		return err
	})
	if err != nil {
		t.fail(err)
		return 0, err
	}
	t.blocks[at.Block].give(c)
	done = true
	j.spend(&kithv1.NodeUsage{CpuSeconds: cpu, Tasks: 1, PairUpdates: uint64(st.PairUpdates)})
	return uint64(st.PairUpdates), nil
}

// slot waits for a thread, and returns its working memory. The caller must call release.
func (w *Worker) slot(ctx context.Context, j *job) (scratch *similarity.Scratch, release func(), err error) {
	select {
	case scratch = <-w.slots:
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
	j.work(1)
	return scratch, func() {
		j.work(-1)
		w.slots <- scratch
	}, nil
}

// take returns an idle Collector of the block, nil if there is none.
func (s *blockState) take() *similarity.Collector {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.idle); n > 0 {
		c := s.idle[n-1]
		s.idle = s.idle[:n-1]
		return c
	}
	return nil
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
		cpu, err := w.compute(ctx, func() (err error) {
			b, err = similarity.NewBlock(p.blocks[n].Lo, p.blocks[n].Hi, p.head.Users, parts)
			return err
		})
		j.spend(&kithv1.NodeUsage{CpuSeconds: cpu})
		if err == nil {
			p.tasks.blocks[n].used()
		}
		return b, err
	})
}

// used drops the parts after their two uses, a block and a side, and when they come again after each.
func (s *blockState) used() {
	s.mu.Lock()
	s.uses++
	last := s.uses >= 2
	s.mu.Unlock()
	if last {
		s.parts.drop()
	}
}

// side returns a side; the first call makes it from the parts of its blocks.
func (w *Worker) side(ctx context.Context, j *job, p *plan, n int, sources []*kithv1.PartSource) (*similarity.Side, error) {
	return p.tasks.sides[n].side.get(ctx, func() (s *similarity.Side, err error) {
		blocks := p.blocks[p.sides[n].Lo:p.sides[n].Hi]
		states := p.tasks.blocks[p.sides[n].Lo:p.sides[n].Hi]
		parts := make([][][]byte, len(blocks))
		ends := make([]uint32, len(blocks))
		for b, r := range blocks {
			ends[b] = r.Hi
			if parts[b], err = w.parts(ctx, j, p, int(p.sides[n].Lo)+b, sources); err != nil {
				return nil, err
			}
		}
		cpu, err := w.compute(ctx, func() (err error) {
			s, err = similarity.NewSide(blocks[0].Lo, ends, p.head.Users, parts, p.options)
			return err
		})
		j.spend(&kithv1.NodeUsage{CpuSeconds: cpu})
		if err == nil {
			for b := range states {
				states[b].used()
			}
		}
		return s, err
	})
}

// fetchSide fetches the parts of all blocks of a side that are not here, with one call to each node.
func (w *Worker) fetchSide(ctx context.Context, j *job, p *plan, n int, sources []*kithv1.PartSource) error {
	_, err := p.tasks.sides[n].parts.get(ctx, func() (none struct{}, err error) {
		var missing []uint32
		for b := p.sides[n].Lo; b < p.sides[n].Hi; b++ {
			if !p.tasks.blocks[b].parts.has() {
				missing = append(missing, b)
			}
		}
		if len(missing) == 0 {
			return none, nil
		}
		parts, err := w.fetchParts(ctx, j, missing, sources)
		if err != nil {
			return none, err
		}
		for i, b := range missing {
			p.tasks.blocks[b].parts.put(parts[i])
		}
		return none, nil
	})
	return err
}

// parts returns the parts of a block; the first call fetches them.
func (w *Worker) parts(ctx context.Context, j *job, p *plan, n int, sources []*kithv1.PartSource) ([][]byte, error) {
	return p.tasks.blocks[n].parts.get(ctx, func() ([][]byte, error) {
		parts, err := w.fetchParts(ctx, j, []uint32{uint32(n)}, sources)
		if err != nil {
			return nil, err
		}
		return parts[0], nil
	})
}

// fetchParts returns the parts of blocks, by block and partition. It calls each node once, several at a time.
func (w *Worker) fetchParts(ctx context.Context, j *job, blocks []uint32, sources []*kithv1.PartSource) ([][][]byte, error) {
	parts := make([][][]byte, len(blocks))
	for i := range parts {
		parts[i] = make([][]byte, len(sources))
	}
	byNode := map[string][]int{} // places of the sources
	for at, source := range sources {
		byNode[source.Node] = append(byNode[source.Node], at)
	}
	g, gctx := errgroup.WithContext(ctx)
	for node, places := range byNode {
		g.Go(func() error {
			fetch := w.fetchFrom
			if node == w.cfg.NodeID {
				fetch = w.takeParts
			}
			if err := fetch(gctx, j, blocks, sources, places, parts); err != nil {
				return fmt.Errorf("parts of %d blocks from block %d on, from node %s: %w", len(blocks), blocks[0], node, err)
			}
			return nil
		})
	}
	return parts, g.Wait()
}

// takeParts sets parts to those of the sources at places, which were exported here.
func (w *Worker) takeParts(ctx context.Context, j *job, blocks []uint32, sources []*kithv1.PartSource, places []int, parts [][][]byte) (err error) {
	for i, b := range blocks {
		for _, at := range places {
			if parts[i][at], err = j.part(ctx, sources[at].Partition, b); err != nil {
				return err
			}
		}
	}
	return nil
}

// fetchFrom sets parts to those of the sources at places, which are all of another node.
func (w *Worker) fetchFrom(ctx context.Context, j *job, blocks []uint32, sources []*kithv1.PartSource, places []int, parts [][][]byte) error {
	select {
	case w.fetches <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-w.fetches }()
	conn, err := w.peers.Conn(ctx, sources[places[0]].Node, sources[places[0]].GrpcAddr)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req := &kithv1.FetchPartRequest{Job: j.id, Blocks: blocks}
	placeOf, indexOf := map[uint32]int{}, map[uint32]int{}
	for _, at := range places {
		req.Partitions = append(req.Partitions, sources[at].Partition)
		placeOf[sources[at].Partition] = at
	}
	for i, b := range blocks {
		indexOf[b] = i
	}
	stream, err := kithv1.NewComputeServiceClient(conn).FetchPart(ctx, req)
	if err != nil {
		return err
	}
	err = wire.Receive(stream, func(m *kithv1.FetchPartResponse) error {
		i, known := indexOf[m.Block]
		at, ours := placeOf[m.Partition]
		if !known || !ours {
			return fmt.Errorf("%w: part of block %d and partition %d was not asked for", wire.ErrInvalid, m.Block, m.Partition)
		}
		if parts[i][at] == nil {
			parts[i][at] = m.Data // nobody else has it
		} else {
			parts[i][at] = append(parts[i][at], m.Data...)
		}
		j.spend(&kithv1.NodeUsage{BytesIn: uint64(len(m.Data))})
		return nil
	})
	if err != nil {
		return err
	}
	for i, b := range blocks {
		for _, at := range places {
			if parts[i][at] == nil {
				return fmt.Errorf("no part of block %d and partition %d came: %w", b, sources[at].Partition, wire.ErrBuildLost)
			}
		}
	}
	return nil
}
