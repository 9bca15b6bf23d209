package neural

import (
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/blas/blas64"

	"github.com/kith-io/kith/model"
)

// Float is what networks compute with.
type Float interface{ float32 | float64 }

// Matrix is rows×cols numbers, row by row, without gaps.
type Matrix[T Float] struct {
	Rows, Cols int
	Data       []T
}

// Row returns row i, which shares the memory of m.
func (m Matrix[T]) Row(i int) []T { return m.Data[i*m.Cols : (i+1)*m.Cols : (i+1)*m.Cols] }

// Resize returns rows×cols zeros, in the memory of m if that is enough.
func (m Matrix[T]) Resize(rows, cols int) Matrix[T] {
	out := m.reshape(rows, cols)
	clear(out.Data)
	return out
}

// reshape is Resize without zeroing: what is in the result is not defined.
func (m Matrix[T]) reshape(rows, cols int) Matrix[T] {
	n := rows * cols
	if cap(m.Data) < n {
		m.Data = model.Aligned[T](n)
	}
	return Matrix[T]{rows, cols, m.Data[:n]}
}

// product sets c to op(a)·op(b) + beta·c, where op transposes if its flag is set. The shapes must fit, which is up to the layers of this package.
// Cost: rows·cols·inner multiply-adds.
func product[T Float](transA, transB bool, a, b Matrix[T], beta T, c Matrix[T]) {
	m, k := a.Rows, a.Cols
	if transA {
		m, k = k, m
	}
	n := b.Cols
	if transB {
		n = b.Rows
	}
	if m == 0 || n == 0 || k == 0 {
		if beta == 0 {
			clear(c.Data)
		}
		return
	}
	ta, tb := blas.NoTrans, blas.NoTrans
	if transA {
		ta = blas.Trans
	}
	if transB {
		tb = blas.Trans
	}
	switch x := any(a.Data).(type) {
	case []float32:
		blas32.Implementation().Sgemm(ta, tb, m, n, k, 1, x, a.Cols, any(b.Data).([]float32), b.Cols, float32(beta), any(c.Data).([]float32), c.Cols)
	case []float64:
		blas64.Implementation().Dgemm(ta, tb, m, n, k, 1, x, a.Cols, any(b.Data).([]float64), b.Cols, float64(beta), any(c.Data).([]float64), c.Cols)
	}
}

// Axpy adds a·x to y, which are of one length.
func Axpy[T Float](a T, x, y []T) {
	switch x := any(x).(type) {
	case []float32:
		blas32.Implementation().Saxpy(len(x), float32(a), x, 1, any(y).([]float32), 1)
	case []float64:
		blas64.Implementation().Daxpy(len(x), float64(a), x, 1, any(y).([]float64), 1)
	}
}

// Dot returns the sum of products of two vectors of one length. The order of the sum depends on the length alone; that of gonum depends on where in memory
// a vector begins.
func Dot[T Float](x, y []T) T {
	y = y[:len(x)]
	var sums [4]T
	i := 0
	for ; i+4 <= len(x); i += 4 {
		sums[0] += x[i] * y[i]
		sums[1] += x[i+1] * y[i+1]
		sums[2] += x[i+2] * y[i+2]
		sums[3] += x[i+3] * y[i+3]
	}
	for ; i < len(x); i++ {
		sums[0] += x[i] * y[i]
	}
	return sums[0] + sums[1] + (sums[2] + sums[3])
}

// Product sets c to a·bᵀ: a is m×k, b n×k, c m×n.
func Product[T Float](a, b, c Matrix[T]) { product(false, true, a, b, 0, c) }

// AddProduct adds a·b, or aᵀ·b if transpose is set, to c.
func AddProduct[T Float](a, b Matrix[T], transpose bool, c Matrix[T]) {
	product(transpose, false, a, b, 1, c)
}
