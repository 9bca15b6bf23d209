// Package slim is SLIM: a sparse linear model of items × items.
//
// For each item j it finds the column w of weights, zero for j itself, that minimizes
//
//	½‖x_j − X·w‖² + l2/2·‖w‖² + l1·‖w‖₁
//
// with w ≥ 0 unless nonnegative=no; x_j is the column of X, users × items. l1 makes most weights zero. The score of an item is history · W. Ning and Karypis,
// ICDM 2011 [ning2011]. The columns are found by coordinate descent with covariance updates and an active set, Friedman et al., Journal of
// Statistical Software 33(1), 2010 [friedman2010]:
//
//	w_i = S(r_i + G_ii·w_i, l1) / (G_ii + l2),  r = G_j − G·w,  S(x, l) = max(x − l, 0), or sign(x)·max(|x| − l, 0)
//
// G = XᵀX. With neighbors=K only the K items with the largest cosine to j may have a weight: fsSLIM, section 4.3 of the same paper.
//
// The workers form G in ranges of items, each then has all of it and finds the columns of its items. Cost: for each item and sweep about
// items · weights that change; 12·items² bytes in each worker.
package slim

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"

	"gonum.org/v1/gonum/blas/blas64"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/linear"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

// Kind is SLIM.
var Kind = &train.Kind{
	Name: "slim",
	Doc:  "sparse linear model of items × items, by elastic net (Ning and Karypis 2011)",
	Parameters: []model.Parameter{
		{Name: "l1", Doc: "makes weights zero; in units of common users", Default: 0.5, High: 1e9, Search: [2]float64{0.1, 100}, Log: true},
		{Name: "l2", Doc: "makes weights small; in units of users", Default: 100, High: 1e9, Search: [2]float64{1, 10_000}, Log: true},
		{Name: "nonnegative", Doc: "yes: no weight is below zero", Choices: []string{"yes", "no"}},
		{Name: "neighbors", Doc: "only so many items nearest by cosine may have a weight (fsSLIM); 0 for all", High: 1 << 20, Whole: true},
		{Name: "iterations", Doc: "most sweeps over the weights of an item", Default: 100, Low: 1, High: 1e6, Whole: true},
		{Name: "tolerance", Doc: "an item is done when no weight changes by more in a sweep", Default: 1e-4, Low: 1e-12, High: 1},
		linear.ParameterWeights, linear.ParameterItems, linear.ParameterMaxItems,
	},
	NewDriver: func(shape train.Shape, s model.Settings) (train.Driver, error) {
		limits := linear.LimitsOf(s)
		limits.Even = true
		return linear.NewDriver(shape, limits, stepGram, stepFit, stepTurn), nil
	},
	NewWorker: func(data *train.Data, s model.Settings, threads int) (train.Worker, error) {
		return &worker{linear.NewShard(data, threads, linear.Ones(s)), net{
			l1: s.Number("l1"), l2: s.Number("l2"), nonnegative: s.Choice("nonnegative") == "yes",
			iterations: s.Whole("iterations"), tolerance: s.Number("tolerance"),
		}, s.Whole("neighbors")}, nil
	},
	Write: func(ctx context.Context, shape train.Shape, s model.Settings, get func(context.Context, int, string) ([]byte, error), w io.Writer) error {
		return linear.WriteFile(ctx, shape, linear.Ones(s), get, w)
	},
	Read: func(file []byte) (train.Model, error) {
		m, err := linear.Read(file)
		if err != nil {
			return nil, fmt.Errorf("slim: %w", err)
		}
		return m, nil
	},
}

const (
	stepGram = "gram" // all workers put rows of the Gram matrix
	stepFit  = "fit"  // each finds the columns of its items
	stepTurn = "turn" // and takes its rows from the columns of all

	nameColumns = "columns"
)

type worker struct {
	linear.Shard
	net
	neighbors int
}

func (w *worker) Do(ctx context.Context, step train.Step, peers train.Peers) ([]byte, error) {
	switch step.Name {
	case linear.StepCount:
		return w.Count(), w.PutRows(peers)
	case stepGram:
		if err := w.TakePlan(step.Input); err != nil {
			return nil, err
		}
		return nil, w.Gram(ctx, peers)
	case stepFit:
		columns, err := w.fit(ctx, peers)
		if err != nil {
			return nil, err
		}
		return nil, peers.Put(nameColumns, columns)
	case stepTurn:
		linear.DropGram(peers)
		rows, err := w.turn(ctx, peers)
		if err != nil {
			return nil, err
		}
		return nil, w.PutMatrix(peers, rows)
	}
	return nil, fmt.Errorf("unknown step %q", step.Name)
}

// fit returns the columns of the items of this worker: for each uint32 the number of weights, and then for each uint32 its row and float32 the weight.
func (w *worker) fit(ctx context.Context, peers train.Peers) ([]byte, error) {
	g, err := w.Gathered(ctx, peers)
	if err != nil {
		return nil, err
	}
	n := len(w.Plan.Kept)
	first, end := w.Plan.Own(w.Data.Worker)
	columns := make([][]byte, end-first)
	fitters := make([]fitter, w.Threads)
	if err := linear.ForEach(ctx, w.Threads, end-first, func(thread, k int) error {
		f := &fitters[thread]
		f.choose(g, n, first+k, w.neighbors)
		w.solve(f)
		b := make([]byte, 4)
		for c, x := range f.w {
			if x := float32(x); x != 0 {
				b = binary.LittleEndian.AppendUint32(b, f.rows[c])
				b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
			}
		}
		binary.LittleEndian.PutUint32(b, uint32(len(b)/8))
		columns[k] = b
		return nil
	}); err != nil {
		return nil, err
	}
	return slices.Concat(columns...), nil
}

// turn returns the rows of the items of this worker.
func (w *worker) turn(ctx context.Context, peers train.Peers) ([]linear.Row, error) {
	first, end := w.Plan.Own(w.Data.Worker)
	rows := make([]linear.Row, end-first)
	for k := range rows {
		rows[k].Item = w.Plan.Kept[first+k]
	}
	for from := range w.Data.Shape.Workers() {
		b, err := peers.Get(ctx, from, nameColumns)
		if err != nil {
			return nil, err
		}
		r := model.NewReader(b)
		lo, hi := w.Plan.Own(from)
		for j := lo; j < hi; j++ {
			column := model.NewReader(r.Take(uint64(r.Uint32()), 8))
			for column.Len() > 0 {
				i, x := int(column.Uint32()), column.Float32()
				if i >= first && i < end {
					row := &rows[i-first].Entries
					*row = append(*row, similarity.Neighbor{ID: w.Plan.Kept[j], Score: x})
				}
			}
		}
		if err := r.End(); err != nil {
			return nil, fmt.Errorf("columns of worker %d: %w", from, err)
		}
	}
	return rows, nil
}

// net is an elastic net.
type net struct {
	l1, l2      float64
	nonnegative bool
	iterations  int
	tolerance   float64
}

// fitter finds the weights of one item after the other.
type fitter struct {
	rows []uint32  // the items that may have a weight, ascending
	g    []float64 // their Gram matrix, len(rows)²
	r    []float64 // G_j − G·w
	w    []float64
	self int // the place in rows of the item itself, or -1

	local []float64
	order []candidate
}

type candidate struct {
	cosine float64
	row    uint32
}

// choose begins with item j of n, of which g is the Gram matrix: the weights are zero. neighbors is how many others may have one, 0 for all.
func (f *fitter) choose(g []float64, n, j, neighbors int) {
	f.rows, f.self = f.rows[:0], -1
	if neighbors == 0 || neighbors >= n-1 {
		for i := range n {
			f.rows = append(f.rows, uint32(i))
		}
		f.self, f.g = j, g
	} else {
		f.order = f.order[:0]
		for i, x := range g[j*n : (j+1)*n] {
			if i != j && x != 0 {
				f.order = append(f.order, candidate{x / math.Sqrt(g[i*n+i]*g[j*n+j]), uint32(i)})
			}
		}
		slices.SortFunc(f.order, func(a, b candidate) int { return cmp.Or(cmp.Compare(b.cosine, a.cosine), cmp.Compare(a.row, b.row)) })
		for _, c := range f.order[:min(neighbors, len(f.order))] {
			f.rows = append(f.rows, c.row)
		}
		slices.Sort(f.rows)
		f.local = f.local[:0]
		for _, i := range f.rows {
			for _, k := range f.rows {
				f.local = append(f.local, g[int(i)*n+int(k)])
			}
		}
		f.g = f.local
	}
	f.r, f.w = f.r[:0], f.w[:0]
	for _, i := range f.rows {
		f.r, f.w = append(f.r, g[j*n+int(i)]), append(f.w, 0)
	}
}

// solve finds the weights of f. Sweeps over all items that may have a weight alternate with those over the ones that have one, until a sweep over all changes nothing
// any more, or there were n.iterations of either kind.
func (n *net) solve(f *fitter) {
	all := true
	for range n.iterations {
		largest := 0.0
		for i := range f.w {
			if i == f.self || !all && f.w[i] == 0 {
				continue
			}
			largest = max(largest, math.Abs(n.step(f, i)))
		}
		done := largest <= n.tolerance
		if done && all {
			return
		}
		all = done
	}
}

// step sets weight i to its best value while the others stay, and returns by how much it changes.
func (n *net) step(f *fitter, i int) float64 {
	m := len(f.w)
	own := f.g[i*m+i]
	x := n.shrink(f.r[i]+own*f.w[i]) / (own + n.l2)
	if own+n.l2 == 0 {
		x = 0
	}
	change := x - f.w[i]
	if change == 0 {
		return 0
	}
	f.w[i] = x
	blas64.Axpy(-change, blas64.Vector{N: m, Inc: 1, Data: f.g[i*m : (i+1)*m]}, blas64.Vector{N: m, Inc: 1, Data: f.r})
	return change
}

// shrink is the soft threshold S(x, l1).
func (n *net) shrink(x float64) float64 {
	switch {
	case x > n.l1:
		return x - n.l1
	case x < -n.l1 && !n.nonnegative:
		return x + n.l1
	}
	return 0
}
