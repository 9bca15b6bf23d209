package factors

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/train"
)

// Alternating least squares solve all rows of one side from those of the other, which their workers have put: users in ranges, items dealt out. What is put in a half is dropped in the next,
// so that a worker keeps one generation of both sides.

// getFactors returns what a worker has put, n rows.
func getFactors(ctx context.Context, get func(context.Context, int, string) ([]byte, error), worker int, name string, n, width int) ([]float32, error) {
	b, err := get(ctx, worker, name)
	if err != nil {
		return nil, err
	}
	if len(b) != 4*n*width {
		return nil, fmt.Errorf("worker %d has put %d bytes under %q, want %d", worker, len(b), name, 4*n*width)
	}
	return model.View[float32](b), nil
}

// getItems returns the rows of all items, by id, of what their owners have put under a name.
func getItems(ctx context.Context, get func(context.Context, int, string) ([]byte, error), name string, shape *train.Shape, width int) ([]float32, error) {
	workers := shape.Workers()
	var items []float32
	for worker := range workers {
		part, err := getFactors(ctx, get, worker, name, dealt(shape.Items, worker, workers), width)
		if err != nil || workers == 1 {
			return part, err
		}
		if items == nil {
			items = make([]float32, shape.Items*width)
		}
		for j := 0; j*width < len(part); j++ {
			copy(items[(j*workers+worker)*width:], part[j*width:(j+1)*width])
		}
	}
	return items, nil
}

// allItems is getItems for the workers of a process together.
func allItems(ctx context.Context, shape *train.Shape, width int, peers train.Peers, name string) ([]float32, error) {
	return together(ctx, peers, name, func() ([]float32, error) { return getItems(ctx, peers.Get, name, shape, width) })
}

// allUsers returns the rows of all users, by number, of what all workers have put under a name, for the workers of a process together.
func allUsers(ctx context.Context, shape *train.Shape, width int, peers train.Peers, name string) ([]float32, error) {
	return together(ctx, peers, name, func() (users []float32, err error) {
		for worker := range shape.Workers() {
			part, err := getFactors(ctx, peers.Get, worker, name, shape.FirstUser[worker+1]-shape.FirstUser[worker], width)
			if err != nil || shape.Workers() == 1 {
				return part, err
			}
			if users == nil {
				users = make([]float32, 0, shape.Users*width)
			}
			users = append(users, part...)
		}
		return users, nil
	})
}

// together returns rows that one worker of a process makes for all, in a step.
func together(ctx context.Context, peers train.Peers, name string, rows func() ([]float32, error)) ([]float32, error) {
	made, err := peers.Share(ctx, name, func() (any, error) { return rows() })
	if err != nil {
		return nil, err
	}
	return made.([]float32), nil
}

// lossOf adds up what workers have said of the objective after an iteration. An error says what to do where it is no number.
func lossOf(said [][]byte, iteration int, remedy string) (loss float64, err error) {
	for _, b := range said {
		f := model.View[float64](b)
		if len(f) != 1 {
			return 0, errors.New("a worker did not say its part of the objective")
		}
		loss += f[0]
	}
	if math.IsNaN(loss) || math.IsInf(loss, 0) {
		return 0, fmt.Errorf("the objective is %v after iteration %d: %s", loss, iteration, remedy)
	}
	return loss, nil
}

// eachRow calls solve for n rows, each once, from some threads with a solver each. It returns the sums of the parts of an objective and of a penalty that solve returns, added up in the order of
// rows, whatever the number of threads.
func eachRow[S any](ctx context.Context, threads, n int, newSolver func() S, solve func(solver S, row int) (part, penalty float64, err error)) (part, penalty float64, err error) {
	const chunk = 16 // rows that a goroutine takes at a time
	sums := make([][2]float64, (n+chunk-1)/chunk)
	var next atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for range min(threads, len(sums)) {
		g.Go(func() error {
			solver := newSolver()
			for {
				c := int(next.Add(1)) - 1
				if c >= len(sums) {
					return nil
				}
				if err := ctx.Err(); err != nil {
					return err
				}
				for row := c * chunk; row < min(n, (c+1)*chunk); row++ {
					part, penalty, err := solve(solver, row)
					if err != nil {
						return err
					}
					sums[c][0], sums[c][1] = sums[c][0]+part, sums[c][1]+penalty
				}
			}
		})
	}
	if err := g.Wait(); err != nil {
		return 0, 0, err
	}
	for _, s := range sums {
		part, penalty = part+s[0], penalty+s[1]
	}
	return part, penalty, nil
}
