package factors

import (
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/lapack/lapack64"

	"github.com/kith-io/kith/model"
)

// ratingSettings are those of the objective of MF and SVDPP that rows are solved by.
type ratingSettings struct {
	factors                                     int
	regularization, scaling, biasRegularization float64
}

func ratingSettingsOf(s model.Settings) ratingSettings {
	return ratingSettings{s.Whole("factors"), s.Number("regularization"), s.Number("scaling"), s.Number("bias-regularization")}
}

// slots is what a row has behind its factors: the bias of an item in slot factors and that of a user in slot factors+1. A user has 1 in the slot of the item's bias, and an item in that of
// the user's, so that the product of both is p·q + b_u + b_i. The rest up to the width is 0.
const slots = 2

func (o *ratingSettings) rowWidth() int { return padded(o.factors + slots) }

// penalty returns the weight of the penalty on the factors of a row with n ratings.
func (o *ratingSettings) penalty(n int) float64 {
	return o.regularization * math.Pow(float64(n), o.scaling)
}

// rowSolver solves users and items from ratings, in training and for queries. It is memory of one goroutine.
type rowSolver struct {
	ratingSettings
	ids           []uint32  // of the last row: what has a rating
	targets, dots []float32 // by ids
	expected      []float32 // of the last user: where the factors are expected

	matrix       []float32 // width×width
	rows, scaled []float32 // tile×width and its transpose
	above        []float32 // of tile
	sums         []float32 // of width
	wide         []float64 // width×width
	b            []float64 // of width
	one          []float32 // ones
}

func newRowSolver(o ratingSettings) *rowSolver {
	w := o.rowWidth()
	return &rowSolver{
		ratingSettings: o, expected: make([]float32, w), matrix: make([]float32, w*w), rows: make([]float32, tile*w), scaled: make([]float32, tile*w),
		above: make([]float32, tile), sums: make([]float32, w), wide: make([]float64, w*w), b: make([]float64, w),
	}
}

// ones returns n ones.
func (s *rowSolver) ones(n int) []float32 {
	for len(s.one) < n {
		s.one = append(s.one, 1)
	}
	return s.one[:n]
}

// user sets x to the row of a user who has the items of ids, with ratings that may be NaN. y has the second vectors of items, if there are any. ok is as of solve.
func (s *rowSolver) user(x, items, y []float32, ids []uint32, ratings []float32, span *span) (ok bool) {
	s.take(ids, ratings, span)
	clear(s.expected)
	if len(y) > 0 && len(ids) > 0 {
		combineAt(s.expected, s.ones(len(ids)), y, ids, len(x))
		share := float32(1 / math.Sqrt(float64(len(ids))))
		for j := range s.expected {
			s.expected[j] *= share
		}
		s.dots = append(s.dots[:0], s.targets...)
		dotsAt(s.dots, s.expected, items, s.ids)
		for i, d := range s.dots {
			s.targets[i] -= d
		}
	}
	_, ok = s.solve(x, s.factors, items)
	add(x, 1, s.expected)
	return ok
}

// item sets x to the row of an item that the users of ids have, with ratings that may be NaN, and returns its part of the objective but for the penalty on users. ok is as of solve.
func (s *rowSolver) item(x, users []float32, ids []uint32, ratings []float32, span *span) (least float64, ok bool) {
	s.take(ids, ratings, span)
	return s.solve(x, s.factors+1, users)
}

// take keeps what has a rating, with what that counts for.
func (s *rowSolver) take(ids []uint32, ratings []float32, span *span) {
	s.ids, s.targets = s.ids[:0], s.targets[:0]
	for i, r := range ratings {
		if rated(r) {
			s.ids, s.targets = append(s.ids, ids[i]), append(s.targets, float32(span.clip(float64(r))-span.mean))
		}
	}
}

// solve sets x to the row that minimizes
//
//	sum of (target - x·y)² over ids + penalty·|factors of x|² + biasRegularization·(bias of x)²,
//
// where y are rows of other, and slot one of x is 1. It returns the least sum; ok is false if x is not unique, or what is given not finite. Products are added up in float32, in the order of
// ids, and solved in float64 by Cholesky. Cost: O(len(ids)·width² + width³).
func (s *rowSolver) solve(x []float32, one int, other []float32) (least float64, ok bool) {
	clear(x)
	x[one] = 1
	if len(s.ids) == 0 {
		return 0, true
	}
	w := len(x)
	clear(s.matrix)
	clear(s.sums)
	for from := 0; from < len(s.ids); from += tile {
		part := s.ids[from:min(len(s.ids), from+tile)]
		for i, id := range part {
			row := s.rows[i*w:][:w]
			copy(row, other[int(id)*w:])
			s.above[i] = s.targets[from+i] - row[one]
			row[one] = 0
			least += float64(s.above[i]) * float64(s.above[i])
			for j, v := range row {
				s.scaled[j*tile+i] = v
			}
		}
		combineAt(s.sums, s.above[:len(part)], s.rows, numbers[:len(part)], w)
		for j := range w {
			first := j &^ (lanes - 1)
			combineAt(s.matrix[j*w+first:(j+1)*w], s.scaled[j*tile:][:len(part)], s.rows[first:], numbers[:len(part)], w)
		}
	}
	for i, v := range s.matrix {
		s.wide[i] = float64(v)
	}
	penalty := s.penalty(len(s.ids))
	for j := range w {
		switch {
		case j < s.factors:
			s.wide[j*w+j] += penalty
		case j == one || j >= s.factors+slots:
			s.wide[j*w+j] = 1
		default:
			s.wide[j*w+j] += s.biasRegularization
		}
		s.b[j] = float64(s.sums[j])
	}
	t, ok := lapack64.Potrf(blas64.Symmetric{N: w, Stride: w, Data: s.wide, Uplo: blas.Upper})
	if !ok {
		return 0, false
	}
	lapack64.Potrs(t, blas64.General{Rows: w, Cols: 1, Stride: 1, Data: s.b})
	for j, v := range s.b {
		least -= v * float64(s.sums[j])
		x[j] = float32(v)
	}
	x[one] = 1
	return least, true
}
