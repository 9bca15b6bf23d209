// Package rp3beta is RP3beta: random walks of three steps from an item over a user to an item, and from there on, with popular ends held back.
//
// The matrix is
//
//	W_ij = d_j^−beta · Σ_u (1/d_i)^alpha · (1/d_u)^alpha
//
// over the users u who have both i and j; d_u, d_i and d_j are the numbers of items of a user and of users of an item. With beta 0 it is P3alpha: the probability, to
// the power of alpha in each step, of a walk from i to j. The k largest of each row are kept, and the score of an item is history · W, the walk's first step
// being even over the history. Paudel et al., ACM TiiS 7(1), 2017 [paudel2017]; P3alpha is Cooper et al., WWW 2014 [cooper2014].
//
// The sum is a dot product of the columns of entries d_u^(−alpha/2), so the rows are those of the similarity engine, which makes
// them at its speed: entries also bear d_i^−beta, so that the order within a row is that of the products, and what
// depends on the row alone follows. All weights are then multiplied by one power of two, so that the largest is from ½ to 1. They have the same bits for any number of
// workers and threads.
package rp3beta

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/linear"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

// Kind is RP3beta.
var Kind = &train.Kind{
	Name: "rp3beta",
	Doc:  "random walks over users to items, with popular items held back (Paudel et al. 2017); P3alpha with beta=0",
	Parameters: []model.Parameter{
		{Name: "alpha", Doc: "power of the probability of each step", Default: 0.8, High: 2, Search: [2]float64{0.2, 2}},
		{Name: "beta", Doc: "power of the number of users of an item by which it is divided; 0 for P3alpha", Default: 0.4, High: 2, Search: [2]float64{0, 1}},
		{Name: "k", Doc: "weights that are kept of each row", Default: 200, Low: 1, High: 1 << 20, Whole: true, Search: [2]float64{10, 1000}, Log: true},
	},
	NewDriver: func(shape train.Shape, _ model.Settings) (train.Driver, error) {
		return &driver{Driver: linear.NewDriver(shape, linear.Limits{}, stepParts, stepRows, stepScale), shape: shape}, nil
	},
	NewWorker: func(data *train.Data, s model.Settings, threads int) (train.Worker, error) {
		return &worker{Shard: linear.NewShard(data, threads, true), alpha: s.Number("alpha"), beta: s.Number("beta"), k: s.Whole("k")}, nil
	},
	Write: func(ctx context.Context, shape train.Shape, _ model.Settings, get func(context.Context, int, string) ([]byte, error), w io.Writer) error {
		return linear.WriteFile(ctx, shape, true, get, w)
	},
	Read: func(file []byte) (train.Model, error) {
		m, err := linear.Read(file)
		if err != nil {
			return nil, fmt.Errorf("rp3beta: %w", err)
		}
		return m, nil
	},
}

const (
	stepParts = "parts" // workers weigh their entries, and put them by blocks of items
	stepRows  = "rows"  // each makes the rows of its items, and tells the largest weight
	stepScale = "scale" // and multiplies them by what brings the largest of all near to 1
)

// driver passes the largest weight on.
type driver struct {
	*linear.Driver
	shape train.Shape
}

func (d *driver) Next(said [][]byte) (train.Step, bool, error) {
	step, done, err := d.Driver.Next(said)
	if done || err != nil || step.Name != stepScale {
		return step, done, err
	}
	largest := uint64(0) // the bits of a float64 that is not negative compare as it does
	for worker, b := range said {
		if len(b) != 8 {
			return step, false, fmt.Errorf("largest weight of worker %d: %d bytes, want 8", worker, len(b))
		}
		largest = max(largest, binary.LittleEndian.Uint64(b))
	}
	step.Input = binary.LittleEndian.AppendUint64(nil, largest)
	return step, false, nil
}

type worker struct {
	linear.Shard
	alpha, beta float64
	k           int
	rows        []scored // between two steps
}

// scored is a row with weights in full.
type scored struct {
	item uint32
	to   []similarity.Neighbor // Score is the product of the engine
	unit float64               // what that is multiplied by
}

func (w *worker) Do(ctx context.Context, step train.Step, peers train.Peers) ([]byte, error) {
	switch step.Name {
	case linear.StepCount:
		return w.Count(), nil
	case stepParts:
		if err := w.TakePlan(step.Input); err != nil {
			return nil, err
		}
		return nil, w.PutParts(peers, w.weighed())
	case stepRows:
		if err := w.makeRows(ctx, peers); err != nil {
			return nil, err
		}
		largest := 0.0
		for _, r := range w.rows {
			for _, n := range r.to {
				largest = max(largest, float64(n.Score)*r.unit)
			}
		}
		return binary.LittleEndian.AppendUint64(nil, math.Float64bits(largest)), nil
	case stepScale:
		w.DropParts(peers)
		if len(step.Input) != 8 {
			return nil, fmt.Errorf("largest weight has %d bytes, want 8", len(step.Input))
		}
		return nil, w.PutMatrix(peers, w.scaled(math.Float64frombits(binary.LittleEndian.Uint64(step.Input))))
	}
	return nil, fmt.Errorf("unknown step %q", step.Name)
}

// weighed returns the rows of this worker with the weights that the engine multiplies.
func (w *worker) weighed() *similarity.Rows {
	rows := w.Data.Rows
	first, end := rows.Start[0], rows.Start[rows.NumUsers()]
	out := &similarity.Rows{NumItems: rows.NumItems, Item: rows.Item[first:end], Weight: make([]float32, end-first), Start: []int64{0}}
	center := w.center()
	for u := range rows.NumUsers() {
		lo, hi := rows.Start[u]-first, rows.Start[u+1]-first
		user := math.Pow(float64(hi-lo), -w.alpha/2)
		for k := lo; k < hi; k++ {
			out.Weight[k] = float32(max(similarity.MinWeight, user*math.Pow(float64(w.Plan.Counts[out.Item[k]])/center, -w.beta)))
		}
		out.Start = append(out.Start, hi)
	}
	return out
}

// center is the root of the largest number of users of an item: by it the factors of items are brought to both sides of 1, far from the limits of weights.
func (w *worker) center() float64 {
	if len(w.Plan.Counts) == 0 {
		return 1
	}
	return math.Sqrt(float64(max(1, slices.Max(w.Plan.Counts))))
}

// makeRows makes the rows of the items of this worker, of the parts of all.
func (w *worker) makeRows(ctx context.Context, peers train.Peers) error {
	// BM25 is the sum of products of the entries as they are, when these are not weighed by it.
	lists, err := w.Lists(ctx, peers, similarity.Options{Measure: similarity.BM25, K: w.k})
	if err != nil {
		return err
	}
	center := w.center()
	for i := range lists.Len() {
		item := lists.Lo + uint32(i)
		if to := lists.List(item); len(to) > 0 {
			// The engine's product has (d_i/center)^−beta, which the row does not, and center^beta of the other side.
			users := float64(w.Plan.Counts[item])
			w.rows = append(w.rows, scored{item, to, math.Pow(users/center, w.beta) * math.Pow(users, -w.alpha) * math.Pow(center, -w.beta)})
		}
	}
	return nil
}

// scaled returns the rows with their weights, of which the largest of all workers is given, as float32.
func (w *worker) scaled(largest float64) []linear.Row {
	_, exponent := math.Frexp(largest)
	out := make([]linear.Row, 0, len(w.rows))
	for _, r := range w.rows {
		row := linear.Row{Item: r.item, Entries: slices.Clone(r.to)}
		slices.SortFunc(row.Entries, func(a, b similarity.Neighbor) int { return cmp.Compare(a.ID, b.ID) })
		for k := range row.Entries {
			row.Entries[k].Score = float32(math.Ldexp(float64(row.Entries[k].Score)*r.unit, -exponent))
		}
		out = append(out, row)
	}
	w.rows = nil
	return out
}
