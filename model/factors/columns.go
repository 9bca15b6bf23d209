package factors

import (
	"context"
	"fmt"
	"math"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

// Alternating least squares solve items from all of their users. So the matrix is dealt out once: each worker has every n-th item, with its users.

// dealt returns how many of n items a worker has, if they are dealt out in turn: ids descend by popularity, so that ranges would be of very different work.
func dealt(n, worker, workers int) int { return (n - worker + workers - 1) / workers }

// putColumns is the name under which a worker puts the users of the items of another.
func putColumns(owner int) string { return fmt.Sprintf("columns-%d", owner) }

// dealColumns puts the columns of each owner: its number of items, the number of users of each, the users, and the weights if there are any. rows is own users × items. Cost: O(entries).
func dealColumns(d *train.Data, rows *similarity.Rows, peers train.Peers) error {
	t := rows.Transpose()
	first, workers := uint32(d.Shape.FirstUser[d.Worker]), d.Shape.Workers()
	for owner := range workers {
		var counts, users []uint32
		var weights []float32
		for i := owner; i < d.Shape.Items; i += workers {
			lo, hi := t.Start[i], t.Start[i+1]
			counts = append(counts, uint32(hi-lo))
			for _, u := range t.Item[lo:hi] {
				users = append(users, first+u)
			}
			if t.Weight != nil {
				weights = append(weights, t.Weight[lo:hi]...)
			}
		}
		b := make([]byte, 0, 4*(len(counts)+len(users)+len(weights)))
		b = model.Append(model.Append(model.Append(b, counts...), users...), weights...)
		if err := peers.Put(putColumns(owner), b); err != nil {
			return err
		}
	}
	return nil
}

// gatherColumns makes own items × all users of what all workers have dealt out. Cost: O(entries).
func gatherColumns(ctx context.Context, d *train.Data, peers train.Peers) (*similarity.Rows, error) {
	n := dealt(d.Shape.Items, d.Worker, d.Shape.Workers())
	c := &similarity.Rows{NumItems: d.Shape.Users, Start: make([]int64, n+1)}
	parts := make([][]uint32, d.Shape.Workers())
	weighed := false
	for worker := range parts {
		b, err := peers.Get(ctx, worker, putColumns(d.Worker))
		if err != nil {
			return nil, err
		}
		parts[worker] = model.View[uint32](b)
		if len(parts[worker]) < n {
			return nil, fmt.Errorf("worker %d has dealt out %d items, want %d", worker, len(parts[worker]), n)
		}
		entries := 0
		for i, count := range parts[worker][:n] {
			c.Start[i+1] += int64(count)
			entries += int(count)
		}
		switch rest := len(parts[worker]) - n; {
		case rest == 2*entries && entries > 0:
			weighed = true
		case rest != entries:
			return nil, fmt.Errorf("worker %d has dealt out %d entries, want %d or twice that", worker, rest, entries)
		}
	}
	for i := range n {
		c.Start[i+1] += c.Start[i]
	}
	c.Item = make([]uint32, c.Start[n])
	if weighed {
		c.Weight = make([]float32, c.Start[n])
	}
	next := append([]int64{}, c.Start[:n]...)
	for _, p := range parts {
		counts, users := p[:n], p[n:]
		entries := 0
		for _, count := range counts {
			entries += int(count)
		}
		weights := users[entries:] // none if all of this worker are 1
		for i, count := range counts {
			to := next[i]
			next[i] += int64(count)
			copy(c.Item[to:], users[:count])
			users = users[count:]
			for j := range count {
				switch {
				case len(weights) > 0:
					c.Weight[to+int64(j)] = math.Float32frombits(weights[j])
				case weighed:
					c.Weight[to+int64(j)] = 1
				}
			}
			weights = weights[min(int(count), len(weights)):]
		}
	}
	places := *c
	places.Weight = nil // may have what no rows of a build have: NaN for an entry without a rating
	if err := places.Validate(); err != nil {
		return nil, fmt.Errorf("columns: %w", err)
	}
	return c, nil
}

// getCounts returns a number of each item, by id, of what their owners have put.
func getCounts(ctx context.Context, get func(context.Context, int, string) ([]byte, error), shape *train.Shape) ([]uint32, error) {
	counts, workers := make([]uint32, shape.Items), shape.Workers()
	for worker := range workers {
		b, err := get(ctx, worker, putItemCounts)
		if err != nil {
			return nil, err
		}
		if n := dealt(shape.Items, worker, workers); len(b) != 4*n {
			return nil, fmt.Errorf("worker %d has put %d bytes under %q, want %d", worker, len(b), putItemCounts, 4*n)
		}
		for j, count := range model.View[uint32](b) {
			counts[j*workers+worker] = count
		}
	}
	return counts, nil
}
