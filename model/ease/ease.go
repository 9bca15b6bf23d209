// Package ease is EASE: the linear model of items × items that fits the data best, in closed form.
//
// Of all matrices B with zeros on the diagonal it finds the one that minimizes
//
//	‖X − X·B‖² + regularization·‖B‖²
//
// X users × items. With P = (XᵀX + regularization·I)⁻¹ that is B_ij = −P_ij / P_jj for i ≠ j. The score of an item is history · B. Steck, WWW 2019
// [steck2019].
//
// The workers form the Gram matrix XᵀX in ranges of items; the first one inverts it. Cost: about items³ multiply-adds there, 12·items² bytes while it takes the matrix and
// 8·items² while it inverts it, and 16 bytes for each weight that is kept while the file is made, of 8 bytes each.
package ease

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/linear"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

// Kind is EASE.
var Kind = &train.Kind{
	Name: "ease",
	Doc:  "linear model of items × items in closed form (Steck 2019)",
	Parameters: []model.Parameter{
		{
			Name: "regularization", Doc: "added to the diagonal of the Gram matrix; larger where data are few", Default: 200,
			Low: 1e-3, High: 1e9, Search: [2]float64{10, 10_000}, Log: true,
		},
		{Name: "keep", Doc: "so many weights of each row, those of the largest magnitude; 0 for all", High: 1 << 20, Whole: true},
		linear.ParameterWeights, linear.ParameterItems, linear.ParameterMaxItems,
	},
	NewDriver: func(shape train.Shape, s model.Settings) (train.Driver, error) {
		return linear.NewDriver(shape, linear.LimitsOf(s), stepGram, stepGather, stepSolve), nil
	},
	NewWorker: func(data *train.Data, s model.Settings, threads int) (train.Worker, error) {
		return &worker{
			Shard: linear.NewShard(data, threads, linear.Ones(s)), regularization: s.Number("regularization"), keep: s.Whole("keep"),
		}, nil
	},
	Write: func(ctx context.Context, shape train.Shape, s model.Settings, get func(context.Context, int, string) ([]byte, error), w io.Writer) error {
		return linear.WriteFile(ctx, shape, linear.Ones(s), get, w)
	},
	Read: func(file []byte) (train.Model, error) {
		m, err := linear.Read(file)
		if err != nil {
			return nil, fmt.Errorf("ease: %w", err)
		}
		return m, nil
	},
}

const (
	stepGram   = "gram"   // all workers put rows of the Gram matrix
	stepGather = "gather" // the first worker takes them
	stepSolve  = "solve"  // and makes the model of them
)

type worker struct {
	linear.Shard
	regularization float64
	keep           int
	gram           []float64 // of the first worker, between two steps
}

func (w *worker) Do(ctx context.Context, step train.Step, peers train.Peers) ([]byte, error) {
	first := w.Data.Worker == 0
	switch step.Name {
	case linear.StepCount:
		return w.Count(), w.PutRows(peers)
	case stepGram:
		if err := w.TakePlan(step.Input); err != nil {
			return nil, err
		}
		return nil, w.Gram(ctx, peers)
	case stepGather:
		if !first {
			return nil, nil
		}
		var err error
		w.gram, err = w.Gathered(ctx, peers)
		return nil, err
	case stepSolve:
		linear.DropGram(peers)
		if !first {
			return nil, w.PutMatrix(peers, nil)
		}
		rows, err := w.solve(ctx)
		if err != nil {
			return nil, err
		}
		return nil, w.PutMatrix(peers, rows)
	}
	return nil, fmt.Errorf("unknown step %q", step.Name)
}

// solve turns the Gram matrix into the rows of B, and gives it up.
func (w *worker) solve(ctx context.Context) ([]linear.Row, error) {
	n, a := len(w.Plan.Kept), w.gram
	w.gram = nil
	for i := range n {
		a[i*n+i] += w.regularization
	}
	if err := invert(ctx, w.Threads, a, n); err != nil {
		return nil, err
	}
	rows := make([]linear.Row, n)
	err := linear.ForEach(ctx, w.Threads, n, func(_, i int) error {
		rows[i] = linear.Row{Item: w.Plan.Kept[i], Entries: w.row(a, i)}
		return nil
	})
	return rows, err
}

// row is a row of B, of the inverse p.
func (w *worker) row(p []float64, i int) []similarity.Neighbor {
	n := len(w.Plan.Kept)
	row := make([]similarity.Neighbor, 0, n)
	for j, x := range p[i*n : (i+1)*n] {
		if b := float32(-x / p[j*n+j]); b != 0 && j != i {
			row = append(row, similarity.Neighbor{ID: w.Plan.Kept[j], Score: b})
		}
	}
	if w.keep == 0 || len(row) <= w.keep {
		return row
	}
	slices.SortFunc(row, func(x, y similarity.Neighbor) int {
		return cmp.Or(cmp.Compare(max(y.Score, -y.Score), max(x.Score, -x.Score)), cmp.Compare(x.ID, y.ID))
	})
	row = slices.Clone(row[:w.keep])
	slices.SortFunc(row, func(x, y similarity.Neighbor) int { return cmp.Compare(x.ID, y.ID) })
	return row
}
