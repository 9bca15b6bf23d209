package cluster

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/train"
)

// worker has a part of the users, and owns a part of the items.
type worker struct {
	*train.Data
	s             model.Settings
	of            int
	rank, threads int
	first, end    int       // own items
	users         []int64   // of each own item
	scale         []float32 // of every item: n^-discount, 0 for one without users
	y, q          []float32 // own items × rank
	vectors       *shard
	rows          []uint32 // user of this worker, or own item, of each vector
}

func newWorker(d *train.Data, s model.Settings, threads int) (train.Worker, error) {
	w := &worker{Data: d, s: s, rank: s.Whole("rank"), of: s.Whole("of"), threads: max(1, threads)}
	if w.of == ofOrders && d.Events == nil {
		return nil, fmt.Errorf("orders are made of single events, which these data do not have; want of=users or of=items")
	}
	w.first, w.end = d.Shape.ItemsOf(d.Worker)
	return w, nil
}

func (w *worker) Do(ctx context.Context, st train.Step, peers train.Peers) ([]byte, error) {
	switch st.Name {
	case "count":
		return nil, w.count(peers)
	case "total":
		return nil, w.total(ctx, peers)
	case "multiply":
		return nil, w.multiply(ctx, peers)
	case "gather":
		return w.gather(ctx, peers)
	case "turn":
		return nil, w.turn(st.Input, peers)
	case "vectors":
		return w.makeVectors(ctx, st.Input, peers)
	case "cluster":
		next, err := decodeStep(st.Input)
		if err != nil {
			return nil, err
		}
		if len(next.Centers)%w.rank != 0 {
			return nil, fmt.Errorf("%d numbers are not centers of %d", len(next.Centers), w.rank)
		}
		r, err := w.vectors.do(ctx, next)
		return r.encode(), err
	case "describe":
		return w.describe(ctx, st.Input, peers)
	case "finish":
		return nil, w.finish(ctx, st.Input, peers)
	default:
		return nil, fmt.Errorf("unknown step %q", st.Name)
	}
}

func (w *worker) count(peers train.Peers) error {
	counts := make([]uint32, w.Shape.Items)
	n := w.Rows.NumUsers()
	for _, id := range w.Rows.Item[w.Rows.Start[0]:w.Rows.Start[n]] {
		counts[id]++
	}
	return putOwners(w, peers, "count", counts, 1)
}

func (w *worker) total(ctx context.Context, peers train.Peers) error {
	w.users = make([]int64, w.end-w.first)
	if err := sumOwned(ctx, w, peers, "count", 1, func(i int, n uint32) { w.users[i] += int64(n) }); err != nil {
		return err
	}
	return peers.Put("users", putSlice(nil, w.users))
}

// makeVectors makes the vectors that are grouped, and says their number.
func (w *worker) makeVectors(ctx context.Context, input []byte, peers train.Peers) ([]byte, error) {
	sigma, err := only[float64](input, "singular values", w.rank)
	if err != nil {
		return nil, err
	}
	var x []float32
	var ids []uint64
	keep := func(v []float32, id uint64, row int) {
		if unit(v) {
			x, ids, w.rows = append(x, v...), append(ids, id), append(w.rows, uint32(row))
		}
	}
	switch w.of {
	case ofItems:
		v := make([]float32, w.rank)
		for i := range w.end - w.first {
			for j, s := range sigma {
				v[j] = w.q[i*w.rank+j] * float32(s)
			}
			keep(v, uint64(w.first+i), i)
		}
	default:
		v, err := fromOwners[float32](ctx, &w.Shape, peers.Get, "q", w.rank)
		if err != nil {
			return nil, err
		}
		if w.of == ofUsers {
			y, err := w.project(ctx, v)
			if err != nil {
				return nil, err
			}
			for u := range w.Rows.NumUsers() {
				keep(y[u*w.rank:(u+1)*w.rank], uint64(w.Shape.FirstUser[w.Worker]+u), u)
			}
			break
		}
		one := make([]float32, w.rank)
		err = w.orders(ctx, func(user, number int, items []uint32) {
			clear(one)
			project(one, items, func(int) float32 { return 1 }, w.scale, v)
			keep(one, uint64(w.Shape.FirstUser[w.Worker]+user)<<24+uint64(number), user)
		})
		if err != nil {
			return nil, err
		}
	}
	w.vectors = newShard(x, w.rank, ids, uint64(w.s.Number("seed")), w.s.Choice("bounds") == "none", w.threads)
	n := reply{Changed: int64(w.vectors.len())}
	return n.encode(), nil
}

// orders calls f with the items of each order of each user, ascending and unique, if it has any of the matrix.
func (w *worker) orders(ctx context.Context, f func(user, number int, items []uint32)) error {
	return w.Events(ctx, func(user int, events []train.Event) error {
		events = slices.DeleteFunc(slices.Clone(events), func(e train.Event) bool { return int64(e.Item) >= int64(w.Shape.Items) })
		slices.SortStableFunc(events, func(a, b train.Event) int {
			return cmp.Or(cmp.Compare(a.Basket, b.Basket), cmp.Compare(a.Item, b.Item))
		})
		number := 0
		for len(events) > 0 {
			var items []uint32
			n := 0
			for n < len(events) && events[n].Basket == events[0].Basket {
				items = append(items, events[n].Item)
				n++
			}
			f(user, number, slices.Compact(items))
			events = events[n:]
			number++
		}
		return nil
	})
}

func (w *worker) row(u int) (items []uint32, weight func(i int) float32) {
	lo, hi := w.Rows.Start[u], w.Rows.Start[u+1]
	if w.Rows.Weight == nil {
		return w.Rows.Item[lo:hi], func(int) float32 { return 1 }
	}
	weights := w.Rows.Weight[lo:hi]
	return w.Rows.Item[lo:hi], func(i int) float32 { return weights[i] }
}

// ranges calls f for parts of [0, n), several at a time.
func (w *worker) ranges(ctx context.Context, n int, f func(lo, hi int)) error {
	g, ctx := errgroup.WithContext(ctx)
	for t := range w.threads {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			f(t*n/w.threads, (t+1)*n/w.threads)
			return nil
		})
	}
	return g.Wait()
}
