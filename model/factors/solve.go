package factors

import (
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/lapack/lapack64"
)

// objective is what ALS minimizes, over all pairs of a user and an item:
//
//	sum over stored entries of c_ui (1 - x_u·y_i)²
//	+ sum over all others of c_0 (x_u·y_i)²
//	+ sum of λ_u |x_u|² over users + sum of λ_i |y_i|² over items,
//
// with c_ui = c_0 + alpha·f(w_ui), and λ_u = λ (n_u + c_0·items)^ν, n_u being the number of entries of the user; λ_i has the users of the item and all users in
// the place of these. c_0 = 1, ν = 0 and f(w) = w give the objective of Hu et al. [hu2008]; c_0 below 1 and ν = 1 are what Rendle et al. [rendle2022]
// found to be far better.
type objective struct {
	alpha, unobserved, regularization, scaling float64
	weights                                    weighting
}

// weighting is the f of an objective: 1, ln(1+w), or w.
type weighting int

const (
	ones weighting = iota
	logarithmic
	linear
)

// extra returns alpha·f(w): by how much an entry counts more than a pair without one. Weights below 0 count as 0.
func (o *objective) extra(w float32) float32 {
	switch {
	case !(w > 0):
		return 0
	case o.weights == ones:
		w = 1
	case o.weights == logarithmic:
		w = float32(math.Log1p(float64(w)))
	}
	return float32(o.alpha) * w
}

// penalty returns the λ of a row with n entries out of all that there are.
func (o *objective) penalty(n, all int) float64 {
	if o.scaling == 0 {
		return o.regularization
	}
	return o.regularization * math.Pow(float64(n)+o.unobserved*float64(all), o.scaling)
}

// side is what the factors of one side, users or items, are solved from: those of the other.
type side struct {
	objective
	width int
	other []float32 // rows of width
	gram  []float32 // c_0 times the sum of y·yᵀ over the rows of other, width×width
	all   int       // rows of other
}

// solver solves rows of a side. It is memory of one goroutine.
type solver struct {
	*side
	extras, coef, dots []float32 // by entry of the row
	r, p, q            []float32 // of width
	matrix             []float32 // width×width
	rows, scaled       []float32 // entries×width and its transpose
	wide               []float64 // width×width
	b                  []float64
}

func newSolver(s *side) *solver {
	return &solver{side: s, r: make([]float32, s.width), p: make([]float32, s.width), q: make([]float32, s.width)}
}

// begin prepares for a row, and returns the sum of its c.
func (s *solver) begin(weights []float32, n int) (sum float64) {
	if cap(s.extras) < n {
		s.extras, s.coef, s.dots = make([]float32, 2*n), make([]float32, 2*n), make([]float32, 2*n)
	}
	s.extras, s.coef, s.dots = s.extras[:n], s.coef[:n], s.dots[:n]
	one := s.extra(1)
	for i := range s.extras {
		s.extras[i] = one
		if weights != nil {
			s.extras[i] = s.extra(weights[i])
		}
		sum += s.unobserved + float64(s.extras[i])
	}
	return sum
}

// tiny is the squared length of a residual at which conjugate gradients have arrived.
const tiny = 1e-20

// gradients moves x towards the solution of (gram + λ + sum (c - c_0) y·yᵀ) x = sum c·y over the entries of the row, by steps of conjugate gradients, and returns the
// part of the objective that is of this row, λ|x|² with it. It never forms the matrix. Takács et al. [takacs2011].
//
// The objective costs nothing beside: it is sum c - b·x - x·r, where r = b - A·x is at hand, and b·x is the sum of c·(y·x), which the steps have.
//
// Cost: O(steps·(len(ids) + width)·width).
func (s *solver) gradients(x []float32, ids []uint32, weights []float32, steps int) float64 {
	if len(ids) == 0 {
		clear(x)
		return 0
	}
	loss := s.begin(weights, len(ids))
	penalty, floor := float32(s.penalty(len(ids), s.all)), float32(s.unobserved)
	// r = b - A·x
	clear(s.q)
	add(s.q, penalty, x)
	combineAt(s.q, x, s.gram, numbers[:s.width], s.width)
	dotsAt(s.dots, x, s.other, ids)
	var bx float64
	for i, d := range s.dots {
		c := floor + s.extras[i]
		s.coef[i] = c - float32(s.extras[i]*d)
		bx += float64(c) * float64(d)
	}
	clear(s.r)
	combineAt(s.r, s.coef, s.other, ids, s.width)
	add(s.r, -1, s.q)

	copy(s.p, s.r)
	length := dot(s.r, s.r)
	for range steps {
		if !(length > tiny) {
			break
		}
		// q = A·p
		clear(s.q)
		add(s.q, penalty, s.p)
		combineAt(s.q, s.p, s.gram, numbers[:s.width], s.width)
		dotsAt(s.dots, s.p, s.other, ids)
		var bp float64
		for i, d := range s.dots {
			s.coef[i] = float32(s.extras[i] * d)
			bp += float64(floor+s.extras[i]) * float64(d)
		}
		combineAt(s.q, s.coef, s.other, ids, s.width)

		step := length / dot(s.p, s.q)
		add(x, step, s.p)
		add(s.r, -step, s.q)
		bx += float64(step) * bp
		before := length
		length = dot(s.r, s.r)
		copy(s.q, s.r)
		add(s.q, length/before, s.p)
		s.p, s.q = s.q, s.p
	}
	return loss - bx - float64(dot(x, s.r))
}

// factor makes the Cholesky factor of A of a row, and b in s.b. It says whether A is positive definite. Cost: O(len(ids)·width² + width³).
func (s *solver) factor(ids []uint32, weights []float32) (blas64.Triangular, bool) {
	s.begin(weights, len(ids))
	w := s.width
	if s.matrix == nil {
		s.matrix, s.rows, s.scaled = make([]float32, w*w), make([]float32, tile*w), make([]float32, tile*w)
		s.wide, s.b = make([]float64, w*w), make([]float64, w)
	}
	copy(s.matrix, s.gram)
	clear(s.q)
	for i := range s.coef {
		s.coef[i] = float32(s.unobserved) + s.extras[i]
	}
	combineAt(s.q, s.coef, s.other, ids, w)
	for from := 0; from < len(ids); from += tile {
		part := ids[from:min(len(ids), from+tile)]
		for i, id := range part {
			row := s.other[int(id)*w:][:w]
			copy(s.rows[i*w:], row)
			extra := s.extras[from+i]
			for j, y := range row {
				s.scaled[j*tile+i] = extra * y
			}
		}
		for j := range w {
			first := j &^ (lanes - 1)
			combineAt(s.matrix[j*w+first:(j+1)*w], s.scaled[j*tile:][:len(part)], s.rows[first:], numbers[:len(part)], w)
		}
	}
	for i, x := range s.matrix {
		s.wide[i] = float64(x)
	}
	penalty := s.penalty(len(ids), s.all)
	for j := range w {
		s.wide[j*w+j] += penalty
		if s.wide[j*w+j] == 0 { // padding, or no regularization at all: that factor stays 0
			s.wide[j*w+j] = 1
		}
		s.b[j] = float64(s.q[j])
	}
	return lapack64.Potrf(blas64.Symmetric{N: w, Stride: w, Data: s.wide, Uplo: blas.Upper})
}

// cholesky sets x to the solution that gradients moves towards, and returns the same. ok is false if the matrix is not positive definite, as it can be
// only without regularization or of numbers that are not finite; then x is 0. Cost: that of factor.
func (s *solver) cholesky(x []float32, ids []uint32, weights []float32) (loss float64, ok bool) {
	clear(x)
	if len(ids) == 0 {
		return 0, true
	}
	t, ok := s.factor(ids, weights)
	if !ok {
		return 0, false
	}
	for i := range s.extras {
		loss += s.unobserved + float64(s.extras[i])
	}
	lapack64.Potrs(t, blas64.General{Rows: s.width, Cols: 1, Stride: 1, Data: s.b})
	for j, v := range s.b {
		x[j] = float32(v)
	}
	return loss - float64(dot(s.q, x)), true
}

// tile is how many rows are worked on at a time, so that they stay near the processor.
const tile = 128

// addGram adds the sum of y·yᵀ over the rows of y to sum (width×width): those rows of it that are of one part out of parts, so that these can be made at the same
// time; together they are all, and the bits do not depend on parts. Products are added up in float32 within a tile, and tiles in float64.
// Cost: O(rows·width²/(2·parts)).
func addGram(sum []float64, y []float32, width, part, parts int) {
	scratch, columns := make([]float32, width), make([]float32, lanes*tile)
	for from := 0; from < len(y); from += tile * width {
		rows := y[from:min(len(y), from+tile*width)]
		n := len(rows) / width
		for first := part * lanes; first < width; first += parts * lanes {
			for i := range n {
				for l, v := range rows[i*width+first:][:lanes] {
					columns[l*tile+i] = v
				}
			}
			for l := range lanes {
				g := scratch[first:width]
				clear(g)
				combineAt(g, columns[l*tile:][:n], rows[first:], numbers[:n], width)
				j := first + l
				for m := j; m < width; m++ {
					sum[j*width+m] += float64(scratch[m])
				}
			}
		}
	}
}

// mirror copies what is above the diagonal below it.
func mirror(square []float64, width int) {
	for j := range width {
		for m := range j {
			square[j*width+m] = square[m*width+j]
		}
	}
}
