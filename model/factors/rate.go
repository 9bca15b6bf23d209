package factors

import (
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/kith-io/kith/model"
)

// RatingModel is MF or SVDPP. It answers by folding in: bias and factors of a user are solved from the ratings of the query, whole, as in the training, with the items as they are. What the
// user rated a moment ago counts in the next answer, users need not be known, and there is nothing of one to erase. It is immutable and safe for concurrent use.
//
// Scores are predicted ratings, and not brought into the range of the ratings, where many would be equal. Items without ratings are in an answer only to fill it up.
type RatingModel struct {
	*catalog
	o      ratingSettings
	span   span
	within within
	solver sync.Pool // *rowSolver
}

func readRatings(b []byte, kind uint32) (*RatingModel, error) {
	f, err := readFile(b, kind)
	if err != nil {
		return nil, err
	}
	if err := f.checkSettings(); err != nil {
		return nil, err
	}
	if f.factors < slots || f.settings[1] > f.settings[2] {
		return nil, fmt.Errorf("%w: %d numbers a row, ratings from %v to %v", errDamaged, f.factors, f.settings[1], f.settings[2])
	}
	m := &RatingModel{
		catalog: newCatalog(f), span: span{mean: f.settings[0], low: f.settings[1], high: f.settings[2]},
		o: ratingSettings{f.factors - slots, f.settings[3], f.settings[4], f.settings[5]}, within: within{f.settings[6], f.settings[7]},
	}
	if m.within == (within{}) { // of before there were such settings
		m.within = within{-model.MaxRating, model.MaxRating}
	}
	m.solver.New = func() any { return newRowSolver(m.o) }
	return m, nil
}

// Losses returns the objective after each iteration of the training.
func (m *RatingModel) Losses() []float64 { return slices.Clone(m.report) }

// fold returns the row of the user with the history of q, nil if it says nothing. Ratings count as in the training, and what is above model.MaxRating as the greatest.
// Cost: O(history·factors² + factors³).
func (m *RatingModel) fold(q *model.Query) ([]float32, error) {
	var ids []uint32
	var ratings []float32
	w := m.width()
	for i, id := range q.Items {
		r := q.Rating(i)
		if m.counts[id] == 0 || r <= model.MaxRating && !m.within.has(r) {
			r = float32(math.NaN())
		}
		switch {
		case rated(r):
		case len(m.implicit) == 0, !slices.ContainsFunc(m.implicit[int(id)*w:][:w], func(y float32) bool { return y != 0 }):
			continue
		}
		ids, ratings = append(ids, id), append(ratings, r)
	}
	if len(ids) == 0 {
		return nil, nil
	}
	s := m.solver.Get().(*rowSolver)
	defer m.solver.Put(s)
	x := make([]float32, w)
	if !s.user(x, m.items, m.implicit, ids, ratings, &m.span) {
		return nil, fmt.Errorf("the ratings have no one solution: train with a larger regularization, or the file is damaged")
	}
	x[m.o.factors+1] += float32(m.span.mean)
	return x, nil
}

// Recommend answers a query; an error matches model.ErrQuery. The answer has q.N items unless the catalog ends. Cost: O(history·factors² + factors³ + items·factors).
func (m *RatingModel) Recommend(q model.Query) ([]model.Scored, error) {
	if err := m.check(&q); err != nil {
		return nil, err
	}
	x, err := m.fold(&q)
	if err != nil {
		return nil, err
	}
	return m.answer(&q, x, false), nil
}

// Rate implements train.Rater. Cost: O(history·factors² + factors³ + len(items)·factors).
func (m *RatingModel) Rate(q model.Query, items []uint32, dst []float64) error {
	if err := m.check(&q); err != nil {
		return err
	}
	x, err := m.fold(&q)
	if err != nil {
		return err
	}
	if x == nil {
		x = make([]float32, m.width())
		x[m.o.factors], x[m.o.factors+1] = 1, float32(m.span.mean)
	}
	for i, id := range items {
		rating := float64(x[m.o.factors+1])
		if int64(id) < int64(len(m.counts)) && m.counts[id] > 0 {
			rating = float64(dot(x, m.items[int(id)*len(x):]))
		}
		if dst[i] = m.span.clip(rating); math.IsNaN(dst[i]) {
			return fmt.Errorf("%w: item %d has no rating", errDamaged, id)
		}
	}
	return nil
}
