package similarity

import (
	"context"
	"fmt"
	"runtime"
	"sync"
)

// Build computes the lists of all items of r in one process with o.Threads
// goroutines. Ids are the caller's own; in order of descending popularity the
// work is most local, and ties of equal scores go to the more popular item.
//
// Lists are the same, bit for bit, for any number of threads. r is only read.
// It returns an error matching ErrShape if r is not valid, or ctx's error.
// Memory: about 14 bytes an entry beside r, 4 bytes for each user and block, and
// 8·K bytes an item. Cost: the sum over users of row²/2 updates.
func Build(ctx context.Context, r *Rows, o Options) (*Lists, error) {
	l, _, err := BuildStats(ctx, r, o)
	return l, err
}

// BuildStats is Build that also tells the work done.
func BuildStats(ctx context.Context, r *Rows, o Options) (*Lists, Stats, error) {
	if err := o.Validate(); err != nil {
		return nil, Stats{}, err
	}
	if err := r.Validate(); err != nil {
		return nil, Stats{}, err
	}
	threads := o.Threads
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	return build(ctx, r, o, threads, borders(r, threads))
}

// build is BuildStats with given threads and blocks.
func build(ctx context.Context, r *Rows, o Options, threads int, borders []uint32) (*Lists, Stats, error) {
	blocks, err := cutBlocks(Weigh(r, o.Measure), borders)
	if err != nil {
		return nil, Stats{}, fmt.Errorf("build: %w", err)
	}
	k := max(1, min(o.K, r.NumItems-1))
	best := make([]*Collector, len(blocks))
	for n, b := range blocks {
		best[n] = NewCollector(b.Lo, b.Hi, k)
	}

	// One Collector a block is shared by all goroutines: the queue never hands out
	// two tasks with a common block at a time.
	q := newQueue(len(blocks))
	stats := make([]Stats, threads)
	errs := make([]error, threads)
	var wg sync.WaitGroup
	for w := range threads {
		wg.Go(func() {
			var s Scratch
			for {
				a, b, ok := q.take()
				if !ok {
					return
				}
				st, err := PairInto(ctx, blocks[a], blocks[b], best[a], best[b], o, &s)
				stats[w].add(st)
				q.done(a, b, err != nil)
				if err != nil {
					errs[w] = err
					return
				}
			}
		})
	}
	wg.Wait()
	var total Stats
	for w := range threads {
		if errs[w] != nil {
			return nil, Stats{}, fmt.Errorf("build: %w", errs[w])
		}
		total.add(stats[w])
	}

	out := &Lists{Start: make([]int64, 1, r.NumItems+1)}
	parts := make([]*Lists, len(blocks))
	entries := 0
	for n, c := range best {
		parts[n] = c.Lists()
		best[n] = nil
		entries += len(parts[n].Entries)
	}
	out.Entries = make([]Neighbor, 0, entries)
	for n, p := range parts {
		base := int64(len(out.Entries))
		for _, end := range p.Start[1:] {
			out.Start = append(out.Start, base+end)
		}
		out.Entries = append(out.Entries, p.Entries...)
		parts[n] = nil
	}
	return out, total, nil
}

// Limits of the blocks of Build. Sums of a block this wide fill half of a common
// first-level cache, with the bounds and norms beside them in the second.
const (
	buildBlockItems      = 4096
	buildBlocksPerThread = 4 // enough for any thread to find a task with free blocks
)

// borders cuts the items of r into blocks of about equal numbers of entries, which
// makes blocks of popular items narrow. Results do not depend on it.
func borders(r *Rows, threads int) []uint32 {
	counts := make([]int64, r.NumItems)
	for u := range r.NumUsers() {
		items, _ := r.row(u)
		for _, i := range items {
			counts[i]++
		}
	}
	// Each block has an index of all users; keep those well under the entries.
	blocks := (r.NumItems + buildBlockItems - 1) / buildBlockItems
	if users := int64(r.NumUsers()); users > 0 {
		blocks = min(blocks, int(4*r.entries()/users))
	}
	wide := min(MaxBlockItems, max(buildBlockItems, (r.NumItems+max(1, blocks)-1)/max(1, blocks)))
	if threads > 1 {
		blocks = max(blocks, min(buildBlocksPerThread*threads, r.NumItems/64))
	}
	target := r.entries()/int64(max(1, blocks)) + 1
	cuts := []uint32{0}
	var sum int64
	for i, n := range counts {
		width := i - int(cuts[len(cuts)-1])
		if width > 0 && (width >= wide || sum+n > target) {
			cuts = append(cuts, uint32(i))
			sum = 0
		}
		sum += n
	}
	return append(cuts, uint32(r.NumItems))
}

// queue hands out all pairs a <= b of blocks so that no two tasks at work share a
// block.
type queue struct {
	mu      sync.Mutex
	freed   sync.Cond
	pending [][2]int
	busy    []bool
	stopped bool
}

func newQueue(blocks int) *queue {
	q := &queue{busy: make([]bool, blocks)}
	q.freed.L = &q.mu
	// Pairs with a common distance follow each other, so that neighbors in the
	// order rarely share a block.
	for d := range blocks {
		for a := 0; a+d < blocks; a++ {
			q.pending = append(q.pending, [2]int{a, a + d})
		}
	}
	return q
}

// take waits for a task whose blocks are free and marks them; ok is false when no
// task is left or the queue was stopped.
func (q *queue) take() (a, b int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.stopped && len(q.pending) > 0 {
		for n, p := range q.pending {
			if q.busy[p[0]] || q.busy[p[1]] {
				continue
			}
			q.busy[p[0]], q.busy[p[1]] = true, true
			q.pending = append(q.pending[:n], q.pending[n+1:]...)
			return p[0], p[1], true
		}
		q.freed.Wait()
	}
	return 0, 0, false
}

// done frees the blocks of a task; stop ends the queue for all.
func (q *queue) done(a, b int, stop bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.busy[a], q.busy[b] = false, false
	q.stopped = q.stopped || stop
	q.freed.Broadcast()
}
