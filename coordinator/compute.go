package coordinator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

const (
	// maxBatch is the most tasks that a call takes. More would save calls, fewer leave more to be taken over when a node is
	// slow.
	maxBatch = 8
	// batchShare is the part of a queue, one in so many, that a node takes at once: little when little is left, so that the
	// nodes end together.
	batchShare = 4
	// spareCalls is how many calls a node has in flight beyond its threads: their tasks fetch what they need, and wait for
	// a thread.
	spareCalls = 1
)

// compute runs all tasks that are not finished. Every node works off its own queue, made so that it needs few sides; a
// node that has nothing left takes from the longest queue. When a node fails, the others go on with its tasks.
func (a *attempt) compute(ctx context.Context) error {
	rec := a.cfg.Log.State().Job(a.job)
	if rec == nil {
		return wire.ErrUnknownJob
	}
	total := a.plan.NumTasks()
	done := make([]bool, total)
	for _, f := range rec.Finished {
		if !slices.Contains(a.workers, f.Node) {
			if err := a.reopen(ctx, f.Node); err != nil {
				return err
			}
			continue
		}
		for _, t := range f.Tasks {
			done[t] = true
		}
	}
	pending := []int{}
	for t, d := range done {
		if !d {
			pending = append(pending, t)
		}
	}
	if len(pending) == 0 {
		return nil
	}
	queues := a.plan.Assign(pending, len(a.workers))

	calls := make([]int, len(a.workers))
	for w := range calls {
		calls[w] = a.threads[w] + spareCalls
	}
	q := newQueue(queues, calls)
	notes := newRecorder(a, total, total-len(pending))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var recorder sync.WaitGroup
	recorder.Go(func() {
		notes.run(ctx)
		if notes.err != nil {
			cancel() // not the coordinator any more
		}
	})
	sources := a.sources()
	errs := make([]error, len(a.workers))
	var workers sync.WaitGroup
	for w, node := range a.workers {
		workers.Go(func() {
			errs[w] = q.work(ctx, w, func(ctx context.Context, batch []uint32, finished func(uint32)) error {
				return a.runBatch(ctx, node, batch, sources, func(task uint32) {
					finished(task)
					notes.finished(node, task)
				})
			})
		})
	}
	workers.Wait()
	notes.close()
	recorder.Wait()
	if notes.err != nil {
		return notes.err
	}
	if q.left() == 0 {
		return nil
	}
	return errors.Join(errs...)
}

// runBatch runs tasks on a node and tells which are finished.
func (a *attempt) runBatch(ctx context.Context, node string, batch []uint32, sources []*kithv1.PartSource, finished func(task uint32)) error {
	return a.whileAlive(ctx, node, func(ctx context.Context) error {
		return a.call(ctx, node, func(ctx context.Context, c kithv1.ComputeServiceClient) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			stream, err := c.RunTasks(ctx, &kithv1.RunTasksRequest{Job: a.job, Tasks: batch, Sources: sources})
			if err != nil {
				return err
			}
			for left := len(batch); ; left-- {
				m, err := stream.Recv()
				if errors.Is(err, io.EOF) {
					if left > 0 {
						return fmt.Errorf("a call left out %d of tasks %v", left, batch)
					}
					return nil
				}
				if err != nil {
					return err
				}
				a.note(m.Usage)
				finished(m.Task)
			}
		})
	})
}

// whileAlive runs f with a context that ends when the node is no longer alive: a paused process breaks no connection.
func (a *attempt) whileAlive(ctx context.Context, node string, f func(context.Context) error) error {
	err, cause := while(ctx, a.cfg.Nodes.Changed, func() error {
		if _, ok := slices.BinarySearch(a.cfg.Nodes.Alive(), node); !ok {
			return fmt.Errorf("node %s is gone: %w", node, wire.ErrNotReady)
		}
		return nil
	}, f)
	if err != nil && cause != nil {
		return cause
	}
	return err
}

// queue holds the tasks that are not finished, by the node that should run them.
type queue struct {
	// calls that each node has in flight at most.
	calls []int

	mu sync.Mutex
	// tasks of each node, in the order in which they should run.
	tasks [][]uint32
	// running counts tasks that were taken and not yet given back.
	running int
	// changed is closed and replaced when tasks come back or all is done.
	changed chan struct{}
}

func newQueue(tasks [][]int, calls []int) *queue {
	q := &queue{calls: calls, tasks: make([][]uint32, len(tasks)), changed: make(chan struct{})}
	for w, list := range tasks {
		for _, t := range list {
			q.tasks[w] = append(q.tasks[w], uint32(t))
		}
	}
	return q
}

// work runs batches of node w, several at a time, until nothing is left or one fails: the node is then lost, and its other
// calls end. run tells which tasks of a batch are finished, and fails unless all are.
func (q *queue) work(ctx context.Context, w int, run func(ctx context.Context, batch []uint32, finished func(uint32)) error) error {
	g, ctx := errgroup.WithContext(ctx)
	for range q.calls[w] {
		g.Go(func() error {
			for {
				batch := q.take(ctx, w)
				if len(batch) == 0 {
					return ctx.Err()
				}
				rest := slices.Clone(batch)
				err := run(ctx, batch, func(task uint32) {
					rest = slices.DeleteFunc(rest, func(t uint32) bool { return t == task })
				})
				q.done(w, len(batch), rest)
				if err != nil {
					return err
				}
			}
		})
	}
	return g.Wait()
}

// take returns the next batch of node w: from its own queue or, when that is empty, from the end of the longest one. It
// waits while others run tasks that may come back, and returns nothing when all is done or ctx is.
func (q *queue) take(ctx context.Context, w int) []uint32 {
	for ctx.Err() == nil {
		q.mu.Lock()
		batch := q.pick(w)
		running, changed := q.running, q.changed
		q.mu.Unlock()
		if len(batch) > 0 || running == 0 {
			return batch
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
	return nil
}

// pick is take without waiting. The lock is held.
func (q *queue) pick(w int) []uint32 {
	from := w
	if len(q.tasks[w]) == 0 {
		for i := range q.tasks {
			if len(q.tasks[i]) > len(q.tasks[from]) {
				from = i
			}
		}
	}
	list := q.tasks[from]
	// All calls of the node together take one part in batchShare.
	n := min(len(list), maxBatch, max(1, len(list)/(batchShare*q.calls[w])))
	var batch []uint32
	if from == w {
		batch, q.tasks[w] = list[:n:n], list[n:]
	} else {
		batch, q.tasks[from] = list[len(list)-n:], list[:len(list)-n:len(list)-n]
	}
	q.running += n
	return batch
}

// done ends a batch of n tasks of node w, of which rest was not finished.
func (q *queue) done(w, n int, rest []uint32) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.running -= n
	q.tasks[w] = append(rest, q.tasks[w]...)
	close(q.changed)
	q.changed = make(chan struct{})
}

// left returns the number of tasks that nobody has taken.
func (q *queue) left() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for _, list := range q.tasks {
		n += len(list)
	}
	return n
}

// recorder tells the log which tasks are finished: all that came in while the last entry was written make the next one,
// so a slow log does not hold up the work.
type recorder struct {
	a *attempt

	mu sync.Mutex
	// byNode holds the tasks that are not recorded yet.
	byNode map[string][]uint32
	done   int
	closed bool
	// err is why the log refused; written by run only, read after it returned.
	err error

	total int
	// wake has room for one: it says that there is something to do.
	wake chan struct{}
}

func newRecorder(a *attempt, total, done int) *recorder {
	return &recorder{a: a, byNode: map[string][]uint32{}, total: total, done: done, wake: make(chan struct{}, 1)}
}

func (r *recorder) finished(node string, task uint32) {
	r.mu.Lock()
	r.byNode[node] = append(r.byNode[node], task)
	r.done++
	done := r.done
	r.mu.Unlock()
	r.a.cfg.Progress(kithv1.JobPhase_JOB_PHASE_COMPUTE, done, r.total)
	r.poke()
}

// close makes run return when it has recorded everything.
func (r *recorder) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.poke()
}

func (r *recorder) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *recorder) run(ctx context.Context) {
	for {
		select {
		case <-r.wake:
		case <-ctx.Done():
			r.err = ctx.Err()
			return
		}
		r.mu.Lock()
		byNode, closed := r.byNode, r.closed
		r.byNode = map[string][]uint32{}
		r.mu.Unlock()
		for _, node := range slices.Sorted(maps.Keys(byNode)) {
			_, err := r.a.cfg.Log.Propose(ctx, &kithv1.ControlCommand{Command: &kithv1.ControlCommand_FinishTasks{FinishTasks: &kithv1.FinishTasks{
				Job: r.a.job, Node: node, Tasks: byNode[node],
			}}})
			if err != nil {
				r.err = fmt.Errorf("record finished tasks: %w", err)
				return
			}
		}
		if closed {
			return
		}
	}
}
