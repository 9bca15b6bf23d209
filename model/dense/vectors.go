package dense

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/blas/blas32"
)

// Metric says when vectors are near each other.
type Metric uint8

const (
	// Cosine is q·x/(|q||x|); 0 where either is all zeros.
	Cosine Metric = iota
	// Dot is q·x.
	Dot
	// L2 is minus the Euclidean distance.
	L2
)

// Metrics are the names of all metrics, by number.
var Metrics = []string{"cosine", "dot", "l2"}

func (m Metric) String() string { return Metrics[m] }

// ParseMetric returns the metric of a name.
func ParseMetric(name string) (Metric, error) {
	if i := slices.Index(Metrics, name); i >= 0 {
		return Metric(i), nil
	}
	return 0, fmt.Errorf("unknown metric %q, want one of %q", name, Metrics)
}

const (
	// MaxDim is the most numbers of a vector.
	MaxDim = 1 << 14
	// MaxRows is the most vectors.
	MaxRows = 1 << 30
	// maxNorm is the greatest length of a vector: its square is far inside of float32.
	maxNorm = 1e15
	pad     = 8 // float32 of a row, so that all are aligned alike
)

// Vectors is a matrix of vectors × numbers, ready to be searched. It is not changed once made, and safe for concurrent use.
type Vectors struct {
	metric  Metric
	dim     int
	n       int
	stride  int // of a row, a multiple of pad, above or equal to dim
	data    []float32
	bias    []float32 // of L2
	longest float64   // norm of the longest row, as it is stored
}

// New takes vectors row by row, dim numbers each, and copies them. The error for what is not finite or too long names the row.
func New(metric Metric, dim int, data []float32) (*Vectors, error) {
	switch {
	case int(metric) >= len(Metrics):
		return nil, fmt.Errorf("unknown metric %d", metric)
	case dim < 1 || dim > MaxDim:
		return nil, fmt.Errorf("vectors of %d numbers, want 1 to %d", dim, MaxDim)
	case len(data)%dim != 0 || len(data)/dim > MaxRows:
		return nil, fmt.Errorf("%d numbers for vectors of %d, want a multiple, and at most %d vectors", len(data), dim, MaxRows)
	}
	return pack(metric, dim, data, metric == Cosine)
}

// pack is New; normalize is false for rows of the cosine that have been made of length 1 before.
func pack(metric Metric, dim int, data []float32, normalize bool) (*Vectors, error) {
	v := &Vectors{metric: metric, dim: dim, n: len(data) / dim}
	v.stride = (dim + pad - 1) / pad * pad
	if metric == Dot {
		v.stride = (dim + pad) / pad * pad // room for one more
	}
	v.data = make([]float32, v.n*v.stride)
	squares := make([]float64, v.n)
	for i := range v.n {
		row := v.row(i)
		copy(row, data[i*dim:(i+1)*dim])
		square, err := check(row)
		if err != nil {
			return nil, fmt.Errorf("vector %d: %w", i, err)
		}

		if normalize {
			square = toUnit(row, square)
		}
		squares[i] = square
		v.longest = max(v.longest, math.Sqrt(square))
	}
	switch metric {
	case Dot:
		for i, square := range squares {
			v.row(i)[dim] = float32(math.Sqrt(max(0, v.longest*v.longest-square)))
		}
		v.longest *= 1 + 1e-6
	case L2:
		v.bias = make([]float32, v.n)
		for i, square := range squares {
			v.bias[i] = float32(square / 2)
		}
	}
	return v, nil
}

// check returns the square of the norm of a vector.
func check(x []float32) (square float64, err error) {
	for _, f := range x {
		square += float64(f) * float64(f)
	}
	if !(square <= maxNorm*maxNorm) {
		return 0, fmt.Errorf("its length is %v, want at most %v", math.Sqrt(square), float64(maxNorm))
	}
	return square, nil
}

// toUnit makes the norm 1, unless the vector is zero, and returns the square of what it is.
func toUnit(x []float32, square float64) float64 {
	if square == 0 {
		return 0
	}
	by := 1 / math.Sqrt(square)
	for i, f := range x {
		x[i] = float32(float64(f) * by)
	}
	return 1
}

// Len returns the number of vectors, and Dim that of the numbers of one.
func (v *Vectors) Len() int { return v.n }

// Dim returns the numbers of a vector.
func (v *Vectors) Dim() int { return v.dim }

// Metric returns what New was given.
func (v *Vectors) Metric() Metric { return v.metric }

// row returns a row as it is stored.
func (v *Vectors) row(i int) []float32 { return v.data[i*v.stride : (i+1)*v.stride : (i+1)*v.stride] }

// query is a vector that others are compared with, in the form of a row.
type query struct {
	x      []float32
	square float64
	self   int // a row that is not looked for, or -1
}

// newQuery takes a query apart from its owner. dst has room for a row.
func (v *Vectors) newQuery(dst, x []float32) (query, error) {
	if len(x) != v.dim {
		return query{}, fmt.Errorf("a query of %d numbers, want %d", len(x), v.dim)
	}
	clear(dst)
	copy(dst, x)
	square, err := check(dst)
	if err != nil {
		return query{}, fmt.Errorf("query: %w", err)
	}
	if v.metric == Cosine {
		square = toUnit(dst, square)
	}
	return query{dst, square, -1}, nil
}

// rowQuery is the query for the neighbors of a row.
func (v *Vectors) rowQuery(dst []float32, i int) query {
	copy(dst, v.row(i))
	if v.metric == Dot {
		dst[v.dim] = 0
	}
	square, _ := check(dst) // it was checked when it came
	return query{dst, square, i}
}

// key returns the key of row i for a vector, in float32: near what score says, and much faster.
func (v *Vectors) key(x []float32, i int) float32 {
	key := blas32.Dot(blas32.Vector{N: v.stride, Inc: 1, Data: x}, blas32.Vector{N: v.stride, Inc: 1, Data: v.row(i)})
	if v.bias != nil {
		key -= v.bias[i]
	}
	return key
}

// score returns the score of row i, summed in float64.
func (v *Vectors) score(q *query, i int) float32 {
	row := v.row(i)
	var sum float64
	if v.metric == L2 {
		for j, f := range q.x[:v.dim] {
			d := float64(f) - float64(row[j])
			sum += d * d
		}
		return float32(-math.Sqrt(sum))
	}
	for j, f := range q.x[:v.dim] {
		sum += float64(f) * float64(row[j])
	}
	return float32(sum)
}

// worst returns a key that every row with a score of at least s has, even as key computes it: what is below need not be looked at.
func (v *Vectors) worst(q *query, s float32) float64 {
	key := float64(s)
	slack := math.Abs(key)
	size := math.Sqrt(q.square) * v.longest // bounds q·x
	if v.metric == L2 {
		slack = key * key
		key = (q.square - key*key) / 2
		size += v.longest*v.longest/2 + q.square
	}
	const unit = 1.0 / (1 << 23)                                 // twice the rounding of float32
	return key - unit*(float64(v.stride+8)*size+2*slack) - 1e-30 // products below the smallest float32 are lost
}
