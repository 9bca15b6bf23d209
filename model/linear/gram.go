package linear

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

const (
	nameUsers = "rows" // of users, as AppendRows has them; "users" was a form without the leading number
	nameGram  = "gram" // rows of the Gram matrix
)

// PutRows puts the rows of this worker for Gram.
func (s *Shard) PutRows(peers train.Peers) error {
	rows := *s.Data.Rows
	if s.Ones {
		rows.Weight = nil
	}
	return peers.Put(nameUsers, AppendRows(nil, &rows))
}

// AppendRows appends rows of users to b, for ReadRows: a byte or two for each entry, and 4 for its weight if there are any.
func AppendRows(b []byte, rows *similarity.Rows) []byte {
	weighed := uint64(0)
	if rows.Weight != nil {
		weighed = 1
	}
	b = binary.AppendUvarint(binary.AppendUvarint(b, weighed), uint64(rows.NumUsers()))
	for u := range rows.NumUsers() {
		lo, hi := rows.Start[u], rows.Start[u+1]
		b = binary.AppendUvarint(b, uint64(hi-lo))
		next := uint32(0)
		for k := lo; k < hi; k++ {
			b = binary.AppendUvarint(b, uint64(rows.Item[k]-next))
			next = rows.Item[k] + 1
			if rows.Weight != nil {
				b = binary.LittleEndian.AppendUint32(b, math.Float32bits(rows.Weight[k]))
			}
		}
	}
	return b
}

// ReadRows appends what AppendRows wrote to rows, whose Start is not empty: users come behind those that are there. Some workers may have weights and others none, which are ones.
func ReadRows(b []byte, rows *similarity.Rows) error {
	r := model.NewReader(b)
	weighed := r.Uvarint() == 1
	if weighed && rows.Weight == nil {
		rows.Weight = slices.Repeat([]float32{1}, len(rows.Item))
	}
	for range r.Within("the number of users", int64(r.Uvarint()), 0, int64(r.Len())) {
		next := 0
		for range r.Within("the number of entries", int64(r.Uvarint()), 0, int64(r.Len())) {
			id := next + r.Within("a step to the next item", int64(r.Uvarint()), 0, int64(rows.NumItems-next-1))
			weight := float32(1)
			if weighed {
				weight = r.Float32()
			}
			if r.Err() != nil {
				return r.Err()
			}
			next = id + 1
			rows.Item = append(rows.Item, uint32(id))
			if rows.Weight != nil {
				rows.Weight = append(rows.Weight, weight)
			}
		}
		rows.Start = append(rows.Start, int64(len(rows.Item)))
	}
	return r.End()
}

// join returns the rows of all users, in which Plan.Kept[i] is item i, and others are not.
func (s *Shard) join(ctx context.Context, peers train.Peers) (*similarity.Rows, error) {
	all := &similarity.Rows{NumItems: s.Data.Shape.Items, Start: []int64{0}}
	for worker := range s.Data.Shape.Workers() {
		b, err := peers.Get(ctx, worker, nameUsers)
		if err != nil {
			return nil, err
		}
		if err := ReadRows(b, all); err != nil {
			return nil, fmt.Errorf("rows of worker %d: %w", worker, err)
		}
	}
	place := make([]int32, all.NumItems)
	for i := range place {
		place[i] = -1
	}
	for k, id := range s.Plan.Kept {
		place[id] = int32(k)
	}
	at := int64(0)
	for u := range all.NumUsers() {
		lo, hi := all.Start[u], all.Start[u+1]
		all.Start[u] = at
		for p := lo; p < hi; p++ {
			k := place[all.Item[p]]
			if k < 0 {
				continue
			}
			all.Item[at] = uint32(k)
			if all.Weight != nil {
				all.Weight[at] = all.Weight[p]
			}
			at++
		}
	}
	all.NumItems, all.Item, all.Start[all.NumUsers()] = len(s.Plan.Kept), all.Item[:at], at
	if all.Weight != nil {
		all.Weight = all.Weight[:at]
	}
	return all, nil
}

// Gram puts the rows of the Gram matrix of the kept items that this worker owns, from the diagonal on, by the rows that all have put. Sums are float64, and
// exact while they are whole numbers below 2^53. Cost: O(the sum over users of row · the items of it that are owned).
func (s *Shard) Gram(ctx context.Context, peers train.Peers) error {
	rows, err := s.join(ctx, peers)
	if err != nil {
		return err
	}
	columns := rows.Transpose()
	n := rows.NumItems
	first, end := s.Plan.Own(s.Data.Worker)
	b := make([]byte, 8*(triangle(n, end)-triangle(n, first)))
	sums := make([][]float64, s.Threads)
	err = ForEach(ctx, s.Threads, end-first, func(thread, k int) error {
		if sums[thread] == nil {
			sums[thread] = make([]float64, n)
		}
		i, sum := first+k, sums[thread]
		for at := columns.Start[i]; at < columns.Start[i+1]; at++ {
			u := columns.Item[at]
			lo, hi := rows.Start[u], rows.Start[u+1]
			if rows.Weight == nil {
				for _, j := range rows.Item[lo:hi] {
					sum[j]++
				}
				continue
			}
			w := float64(columns.Weight[at])
			for k, j := range rows.Item[lo:hi] {
				sum[j] += w * float64(rows.Weight[lo+int64(k)]) // an exact product
			}
		}
		out := b[8*(triangle(n, i)-triangle(n, first)):]
		for j, x := range sum[i:] {
			binary.LittleEndian.PutUint64(out[8*j:], math.Float64bits(x))
		}
		clear(sum)
		return nil
	})
	if err != nil {
		return err
	}
	return peers.Put(nameGram, b)
}

// triangle is the number of entries of the first rows of the upper triangle of an n×n matrix.
func triangle(n, rows int) int { return rows*n - rows*(rows-1)/2 }

// Gathered returns the Gram matrix of the kept items, n×n, row by row, of the rows that all workers have put.
func (s *Shard) Gathered(ctx context.Context, peers train.Peers) ([]float64, error) {
	n := len(s.Plan.Kept)
	g := make([]float64, n*n)
	for worker := range s.Data.Shape.Workers() {
		b, err := peers.Get(ctx, worker, nameGram)
		if err != nil {
			return nil, err
		}
		first, end := s.Plan.Own(worker)
		if len(b) != 8*(triangle(n, end)-triangle(n, first)) {
			return nil, fmt.Errorf("rows of the Gram matrix of worker %d: %d bytes for items [%d,%d) of %d", worker, len(b), first, end, n)
		}
		for i := first; i < end; i++ {
			for j := i; j < n; j++ {
				g[i*n+j] = math.Float64frombits(binary.LittleEndian.Uint64(b))
				b = b[8:]
			}
		}
	}
	const tile = 64 // rows and columns that the first-level cache holds at a time
	err := ForEach(ctx, s.Threads, (n+tile-1)/tile, func(_, t int) error {
		for lo := 0; lo <= t*tile; lo += tile {
			for i := t * tile; i < min(n, (t+1)*tile); i++ {
				for j := lo; j < min(i, lo+tile); j++ {
					g[i*n+j] = g[j*n+i]
				}
			}
		}
		return nil
	})
	return g, err
}

// DropGram forgets what this worker has put for the Gram matrix, and for others to make it.
func DropGram(peers train.Peers) {
	peers.Drop(nameUsers)
	peers.Drop(nameGram)
}

// ForEach calls f for 0 to n-1 from some threads, each of which has a number, and waits for them. It stops at an error, or when ctx ends, and returns that.
func ForEach(ctx context.Context, threads, n int, f func(thread, i int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for t := range max(1, min(threads, n)) {
		g.Go(func() error {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := f(t, i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}
