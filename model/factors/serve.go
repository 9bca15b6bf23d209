package factors

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/lapack/lapack64"

	"github.com/kith-io/kith/model"
)

// ALSModel answers by folding in: the factors of a user are solved from the history of the query, whole, with the factors of the items as they are. What the user
// did a moment ago counts in the next answer, and users need not be known. It is immutable and safe for concurrent use.
//
// Scores are about 1 for what the user has, and about 0 for what says nothing. An item with a score of 0 or less, or that nobody has, is in an answer only to fill it up.
type ALSModel struct {
	*catalog
	side   *side
	solver sync.Pool // *solver
}

// ReadALS makes a model of the file of one. The model looks at the file in place where the processor allows.
func ReadALS(b []byte) (*ALSModel, error) {
	f, err := readFile(b, fileALS)
	if err != nil {
		return nil, err
	}
	if err := f.checkSettings(); err != nil {
		return nil, err
	}
	m := &ALSModel{catalog: newCatalog(f)}
	m.side = &side{
		objective: objective{alpha: f.settings[0], unobserved: f.settings[1], regularization: f.settings[2], scaling: f.settings[3], weights: weighting(f.settings[4])},
		width:     f.width(), other: f.items, gram: f.gram, all: len(f.counts),
	}
	m.solver.New = func() any { return newSolver(m.side) }
	return m, nil
}

// Losses returns the objective after each iteration of the training.
func (m *ALSModel) Losses() []float64 { return slices.Clone(m.report) }

// fold returns the factors of a user with the history of q, nil if it says nothing. s has the matrix that they were solved from.
func (m *ALSModel) fold(s *solver, q *model.Query) ([]float32, error) {
	x := make([]float32, m.width())
	if _, ok := s.cholesky(x, q.Items, q.Weights); !ok {
		return nil, fmt.Errorf("als: the history has no one solution: train with a regularization above 0, or the file is damaged")
	}
	if slices.IndexFunc(x, func(f float32) bool { return f != 0 }) < 0 {
		return nil, nil
	}
	return x, nil
}

// Recommend answers a query; an error matches model.ErrQuery. The answer has q.N items unless the catalog ends.
// Cost: O(history·factors² + factors³ + items·factors).
func (m *ALSModel) Recommend(q model.Query) ([]model.Scored, error) {
	if err := m.check(&q); err != nil {
		return nil, err
	}
	s := m.solver.Get().(*solver)
	defer m.solver.Put(s)
	x, err := m.fold(s, &q)
	if err != nil {
		return nil, err
	}
	return m.answer(&q, x, true), nil
}

// Explain returns what each item of the history contributes to the score that Recommend gives an item, highest first: c_uj · y_i·A⁻¹·y_j for item j of the history,
// A being the matrix that the factors of the user are solved from. Hu et al., section 5 [hu2008]. The contributions add up to the score exactly; what the rounding of
// the score leaves over is in the largest of them. There are none for an item that was filled in. Cost: that of Recommend without the last term.
func (m *ALSModel) Explain(q model.Query, item uint32) ([]model.Contribution, error) {
	if err := m.checkItem(&q, item); err != nil {
		return nil, err
	}
	s := m.solver.Get().(*solver)
	defer m.solver.Put(s)
	x, err := m.fold(s, &q)
	if err != nil || x == nil {
		return nil, err
	}
	w := m.width()
	y := m.items[int(item)*w:][:w]
	left := fixed(float64(dot(x, y)))
	if left <= 0 || m.counts[item] == 0 {
		return nil, nil
	}
	v := make([]float64, w)
	for j, f := range y {
		v[j] = float64(f)
	}
	t, _ := s.factor(q.Items, q.Weights)
	lapack64.Potrs(t, blas64.General{Rows: w, Cols: 1, Stride: 1, Data: v})
	shares, largest := make([]int64, len(q.Items)), 0
	for i, id := range q.Items {
		var sum float64
		for j, f := range m.items[int(id)*w:][:w] {
			sum += v[j] * float64(f)
		}
		shares[i] = fixed((m.side.unobserved + float64(s.extras[i])) * sum)
		left -= shares[i]
		if max(shares[i], -shares[i]) > max(shares[largest], -shares[largest]) {
			largest = i
		}
	}
	shares[largest] += left
	var cs []model.Contribution
	for i, x := range shares {
		if x != 0 {
			cs = append(cs, model.Contribution{Item: q.Items[i], Score: float(x)})
		}
	}
	slices.SortFunc(cs, func(a, b model.Contribution) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Item, b.Item))
	})
	return cs, nil
}
