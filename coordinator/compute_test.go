package coordinator

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// cluster plays nodes whose tasks take time and nothing else.
type cluster struct {
	slots []chan struct{} // one for each thread of a node
	cost  func(node int, task uint32) time.Duration
	fails func(node int, task uint32) bool

	mu   sync.Mutex
	ran  []int            // tasks that each node finished
	busy []time.Duration  // of the threads of each node
	by   map[uint32][]int // nodes that finished a task
}

func newCluster(threads []int) *cluster {
	c := &cluster{ran: make([]int, len(threads)), busy: make([]time.Duration, len(threads)), by: map[uint32][]int{}}
	for _, n := range threads {
		c.slots = append(c.slots, make(chan struct{}, n))
	}
	return c
}

var errNode = errors.New("node is gone")

// run is a call to a node.
func (c *cluster) run(ctx context.Context, node int, batch []uint32, finished func(uint32)) error {
	var calls sync.WaitGroup
	done := make(chan uint32, len(batch))
	errs := make(chan error, len(batch))
	for _, task := range batch {
		calls.Go(func() {
			select {
			case c.slots[node] <- struct{}{}:
			case <-ctx.Done():
				errs <- ctx.Err()
				return
			}
			defer func() { <-c.slots[node] }()
			if c.fails != nil && c.fails(node, task) {
				errs <- errNode
				return
			}
			time.Sleep(c.cost(node, task))
			c.mu.Lock()
			c.ran[node]++
			c.busy[node] += c.cost(node, task)
			c.by[task] = append(c.by[task], node)
			c.mu.Unlock()
			done <- task
		})
	}
	go func() {
		calls.Wait()
		close(done)
	}()
	for task := range done {
		finished(task)
	}
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}

// compute runs tasks that were given to nodes, and returns the time it took and the errors of the nodes.
func (c *cluster) compute(t *testing.T, tasks [][]int) (time.Duration, []error) {
	calls := make([]int, len(tasks))
	for w := range calls {
		calls[w] = cap(c.slots[w]) + spareCalls
	}
	q := newQueue(tasks, calls)
	began := time.Now()
	errs := make([]error, len(tasks))
	var nodes sync.WaitGroup
	for w := range tasks {
		nodes.Go(func() {
			errs[w] = q.work(t.Context(), w, func(ctx context.Context, batch []uint32, finished func(uint32)) error {
				return c.run(ctx, w, batch, finished)
			})
		})
	}
	nodes.Wait()
	if n := q.left(); n != 0 {
		t.Errorf("%d tasks are left", n)
	}
	return time.Since(began), errs
}

// deal gives tasks 0 to n-1 to nodes in runs of the given lengths.
func deal(lengths ...int) (tasks [][]int, n int) {
	for _, l := range lengths {
		var run []int
		for range l {
			run = append(run, n)
			n++
		}
		tasks = append(tasks, run)
	}
	return tasks, n
}

func TestEqualNodesEndTogether(t *testing.T) {
	for _, c := range []struct {
		name    string
		lengths []int
	}{
		{"64 tasks on three nodes", []int{21, 22, 21}},
		{"all tasks given to one", []int{64, 0, 0}},
		{"few tasks", []int{3, 3, 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tasks, n := deal(c.lengths...)
				nodes := newCluster([]int{2, 2, 2})
				nodes.cost = func(int, uint32) time.Duration { return time.Second }
				took, errs := nodes.compute(t, tasks)
				if err := errors.Join(errs...); err != nil {
					t.Fatal(err)
				}
				// Six threads in step, and a second more at the end.
				if limit := time.Duration((n+5)/6+1) * time.Second; took > limit {
					t.Errorf("took %v, want at most %v", took, limit)
				}
				if most, least := slices.Max(nodes.ran), slices.Min(nodes.ran); most-least > 3 {
					t.Errorf("nodes ran %v tasks, want as many each but for a task a call", nodes.ran)
				}
			})
		})
	}
}

func TestSlowNodesAreHelped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tasks, n := deal(40, 40, 40)
		nodes := newCluster([]int{1, 2, 4})
		nodes.cost = func(node int, task uint32) time.Duration {
			if node == 2 {
				return 3 * time.Second // each of its threads is slower
			}
			return time.Second + time.Duration(task%5)*100*time.Millisecond
		}
		took, errs := nodes.compute(t, tasks)
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		if len(nodes.by) != n {
			t.Errorf("%d tasks ran, want %d", len(nodes.by), n)
		}
		// At the end a node may wait for two tasks in turn: one that runs, and the spare one.
		for w, busy := range nodes.busy {
			if idle := took - busy/time.Duration(cap(nodes.slots[w])); idle > 6*time.Second {
				t.Errorf("threads of node %d were idle for %v of %v", w, idle, took)
			}
		}
	})
}

func TestTasksOfLostNodesRunElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tasks, n := deal(20, 20, 20)
		nodes := newCluster([]int{2, 2, 2})
		nodes.cost = func(int, uint32) time.Duration { return time.Second }
		began := time.Now()
		nodes.fails = func(node int, _ uint32) bool { return node == 1 && time.Since(began) > 3*time.Second }
		_, errs := nodes.compute(t, tasks)
		if errs[0] != nil || errs[2] != nil || !errors.Is(errs[1], errNode) {
			t.Errorf("errors %v, want one of node 1", errs)
		}
		for task := range uint32(n) {
			if len(nodes.by[task]) != 1 {
				t.Errorf("task %d finished on nodes %v, want one", task, nodes.by[task])
			}
		}
		if nodes.ran[1] == 0 || nodes.ran[1] > 10 {
			t.Errorf("node 1 finished %d tasks in its four seconds", nodes.ran[1])
		}
	})
}
