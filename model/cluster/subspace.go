package cluster

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/kith-io/kith/model/train"
)

// scales returns n^-discount of each item, 0 for one without users.
func scales(users []int64, discount float64) []float32 {
	out := make([]float32, len(users))
	for i, n := range users {
		if n > 0 {
			out[i] = float32(math.Pow(float64(n), -discount))
		}
	}
	return out
}

// value is the entry of R for a weight.
func value(weight, scale float32) float32 {
	return float32(math.Copysign(math.Log2(1+math.Abs(float64(weight))), float64(weight))) * scale
}

// project adds the vector of a row of R, times v, to y.
func project(y []float32, items []uint32, weight func(i int) float32, scale, v []float32) {
	rank := len(y)
	for i, id := range items {
		x := value(weight(i), scale[id])
		for j, q := range v[int(id)*rank : (int(id)+1)*rank] {
			y[j] += x * q
		}
	}
}

// project returns the rows of the own users times v.
func (w *worker) project(ctx context.Context, v []float32) ([]float32, error) {
	y := make([]float32, w.Rows.NumUsers()*w.rank)
	err := w.ranges(ctx, w.Rows.NumUsers(), func(lo, hi int) {
		for u := lo; u < hi; u++ {
			items, weight := w.row(u)
			project(y[u*w.rank:(u+1)*w.rank], items, weight, w.scale, v)
		}
	})
	return y, err
}

func (w *worker) multiply(ctx context.Context, peers train.Peers) error {
	var v []float32
	var err error
	if w.scale == nil {
		users, err := fromOwners[int64](ctx, &w.Shape, peers.Get, "users", 1)
		if err != nil {
			return err
		}
		w.scale = scales(users, w.s.Number("discount"))
		v = make([]float32, w.Shape.Items*w.rank)
		for i := range w.Shape.Items {
			rng := rand.New(rand.NewPCG(uint64(w.s.Number("seed")), uint64(i)))
			for j := range w.rank {
				v[i*w.rank+j] = float32(rng.NormFloat64())
			}
		}
	} else if v, err = fromOwners[float32](ctx, &w.Shape, peers.Get, "q", w.rank); err != nil {
		return err
	}
	y, err := w.project(ctx, v)
	if err != nil {
		return err
	}
	p := make([]float32, w.Shape.Items*w.rank)
	err = w.ranges(ctx, w.Shape.Items, func(lo, hi int) {
		for u := range w.Rows.NumUsers() {
			items, weight := w.row(u)
			at, _ := slices.BinarySearch(items, uint32(lo))
			for ; at < len(items) && int(items[at]) < hi; at++ {
				x := value(weight(at), w.scale[items[at]])
				to := p[int(items[at])*w.rank:]
				for j, e := range y[u*w.rank : (u+1)*w.rank] {
					to[j] += x * e
				}
			}
		}
	})
	if err != nil {
		return err
	}
	return putOwners(w, peers, "p", p, w.rank)
}

func (w *worker) gather(ctx context.Context, peers train.Peers) ([]byte, error) {
	sums := make([]float64, (w.end-w.first)*w.rank)
	if err := sumOwned(ctx, w, peers, "p", w.rank, func(i int, x float32) { sums[i] += float64(x) }); err != nil {
		return nil, err
	}
	w.y = make([]float32, len(sums))
	gram := make([]float64, w.rank*w.rank)
	for at := 0; at < len(sums); at += w.rank {
		row := sums[at : at+w.rank]
		for i, a := range row {
			w.y[at+i] = float32(a)
			for j, b := range row {
				gram[i*w.rank+j] += a * b
			}
		}
	}
	return putSlice(nil, gram), nil
}

func (w *worker) turn(input []byte, peers train.Peers) error {
	turn, err := only[float64](input, "numbers of a matrix", w.rank*w.rank)
	if err != nil {
		return err
	}
	for owner := range w.Shape.Workers() {
		peers.Drop(name("p", owner))
	}
	w.q = make([]float32, len(w.y))
	sum := make([]float64, w.rank)
	for at := 0; at < len(w.y); at += w.rank {
		clear(sum)
		for i, x := range w.y[at : at+w.rank] {
			for j, t := range turn[i*w.rank : (i+1)*w.rank] {
				sum[j] += float64(x) * t
			}
		}
		for j, x := range sum {
			w.q[at+j] = float32(x)
		}
	}
	return peers.Put("q", putSlice(nil, w.q))
}
