package train

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/similarity"
)

// Options says how Run trains. Both change speed, and Workers the rounding of sums.
type Options struct {
	// Workers is the number of shards of users, at least 1, and Threads that of the goroutines of all of them together.
	Workers, Threads int
	// Progress is told how far the training is; it may be nil.
	Progress func(part float64)
}

// Run trains a model in this process, and returns its file. shape and data are those of all workers, as Split makes them.
func Run(ctx context.Context, k *Kind, s model.Settings, data []*Data, o Options) ([]byte, error) {
	if len(data) == 0 {
		return nil, fmt.Errorf("train %s: no workers", k.Name)
	}
	shape := data[0].Shape
	driver, err := k.NewDriver(shape, s)
	if err != nil {
		return nil, fmt.Errorf("train %s: %w", k.Name, err)
	}
	workers := make([]Worker, len(data))
	board := &board{put: make([]map[string][]byte, len(data)), next: make([]map[string][]byte, len(data))}
	features, err := k.FeaturesOf(data[0].Products, s)
	if err != nil {
		return nil, fmt.Errorf("train %s: %w", k.Name, err)
	}
	for i, d := range data {
		if features != nil && d.Features == nil {
			with := *d
			with.Features, d = features, &with
		}
		if err := k.Check(d); err != nil {
			return nil, fmt.Errorf("train %s: %w", k.Name, err)
		}
		board.put[i], board.next[i] = map[string][]byte{}, map[string][]byte{}
		if workers[i], err = k.NewWorker(d, s, max(1, o.Threads/len(data))); err != nil {
			return nil, fmt.Errorf("train %s: %w", k.Name, err)
		}
	}
	var said [][]byte
	for {
		step, done, err := driver.Next(said)
		if err != nil {
			return nil, fmt.Errorf("train %s: %w", k.Name, err)
		}
		if o.Progress != nil {
			o.Progress(driver.Progress())
		}
		if done {
			break
		}
		said = make([][]byte, len(workers))
		if len(workers) == 1 { // on this goroutine, whose thread may have a low priority
			said[0], err = workers[0].Do(ctx, step, &peer{board, 0})
		} else {
			g, stepCtx := errgroup.WithContext(ctx)
			for i, w := range workers {
				g.Go(func() (err error) {
					said[i], err = w.Do(stepCtx, step, &peer{board, i})
					return err
				})
			}
			err = g.Wait()
		}
		if err != nil {
			return nil, fmt.Errorf("train %s: step %s: %w", k.Name, step.Name, err)
		}
		board.turn()
	}
	var file bytes.Buffer
	if err := k.Write(ctx, shape, s, board.get, &file); err != nil {
		return nil, fmt.Errorf("train %s: %w", k.Name, err)
	}
	return file.Bytes(), nil
}

// board is what the workers of one process have put. What they put in a step can be got from the next on, as over nodes: otherwise what a worker
// gets would depend on who is faster.
type board struct {
	mu sync.Mutex
	// put is what was put in earlier steps, and next what is put in this one, nil where it is dropped; by worker.
	put, next []map[string][]byte
	shares    Shares
}

// turn ends a step.
func (b *board) turn() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for w, next := range b.next {
		for name, x := range next {
			if x == nil {
				delete(b.put[w], name)
			} else {
				b.put[w][name] = x
			}
		}
		clear(next)
	}
	b.shares.Clear()
}

func (b *board) get(_ context.Context, worker int, name string) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if worker < 0 || worker >= len(b.put) {
		return nil, fmt.Errorf("no worker %d of %d", worker, len(b.put))
	}
	x, ok := b.put[worker][name]
	if !ok {
		return nil, fmt.Errorf("worker %d has put nothing under %q", worker, name)
	}
	return x, nil
}

type peer struct {
	*board
	self int
}

func (p *peer) Put(name string, b []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b == nil {
		b = []byte{}
	}
	p.next[p.self][name] = b
	return nil
}

func (p *peer) Drop(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next[p.self][name] = nil
}

func (p *peer) Get(ctx context.Context, worker int, name string) ([]byte, error) {
	return p.get(ctx, worker, name)
}

func (p *peer) Share(ctx context.Context, name string, f func() (any, error)) (any, error) {
	return p.shares.Share(ctx, name, f)
}

// Split divides a matrix among n workers: contiguous ranges of users of about equal numbers. times are those of its entries, or nil. The data
// share the memory of both.
func Split(rows *similarity.Rows, times []int64, n int) []*Data {
	users := rows.NumUsers()
	shape := Shape{Users: users, Items: rows.NumItems, Entries: rows.Start[users] - rows.Start[0]}
	for w := range n + 1 {
		shape.FirstUser = append(shape.FirstUser, w*users/n)
	}
	out := make([]*Data, n)
	for w := range out {
		first, end := shape.FirstUser[w], shape.FirstUser[w+1]
		part := *rows
		part.Start = rows.Start[first : end+1]
		out[w] = &Data{Shape: shape, Worker: w, Rows: &part}
		if times != nil {
			out[w].Times = times[part.Start[0]-rows.Start[0] : part.Start[end-first]-rows.Start[0]]
		}
	}
	return out
}
