package ease

import (
	"context"
	"errors"
	"fmt"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/lapack/lapack64"

	"github.com/kith-io/kith/model/linear"
)

// sweepBlock is how many rows are eliminated at a time: the panels of a step then fit the second-level cache.
const sweepBlock = 128

var errSingular = errors.New("the matrix is not positive definite: raise regularization")

// invert replaces a, n×n, symmetric and positive definite, by its inverse. It is the sweep operator (Goodnight, The American Statistician 33(3), 1979
// [goodnight1979]) on blocks: with the pivot block K and the others R, and P the inverse of A_KK,
//
//	A_RR -= A_RK·P·A_KR,  A_KR = P·A_KR,  A_KK = -P
//
// for one K after the other leaves -A⁻¹. Only blocks on and above the diagonal are computed. Each element is the sum of the same terms in the same order for any
// number of threads. Cost: about n³ multiply-adds, nearly all of them in products of matrices; 16·n·sweepBlock bytes beside a.
func invert(ctx context.Context, threads int, a []float64, n int) error {
	column, row := make([]float64, n*sweepBlock), make([]float64, n*sweepBlock)
	pivot := make([]float64, sweepBlock*sweepBlock)
	blocks := (n + sweepBlock - 1) / sweepBlock
	for k := range blocks {
		lo, hi := k*sweepBlock, min(n, (k+1)*sweepBlock)
		size := hi - lo
		p := blas64.General{Rows: size, Cols: size, Stride: size, Data: pivot[:size*size]}
		if err := invertPivot(p, a, n, lo); err != nil {
			return fmt.Errorf("rows %d to %d: %w", lo, hi, err)
		}
		// A_RK, in which rows of K are zero, and P·A_KR.
		rk := blas64.General{Rows: n, Cols: size, Stride: size, Data: column[:n*size]}
		kr := blas64.General{Rows: size, Cols: n, Stride: n, Data: row[:size*n]}
		for i := range n {
			to := rk.Data[i*size : (i+1)*size]
			switch {
			case i < lo:
				copy(to, a[i*n+lo:i*n+hi])
			case i < hi:
				clear(to)
			default:
				for c := range to {
					to[c] = a[(lo+c)*n+i]
				}
			}
		}
		if err := linear.ForEach(ctx, threads, blocks, func(_, b int) error {
			from, to := b*sweepBlock, min(n, (b+1)*sweepBlock)
			blas64.Gemm(blas.NoTrans, blas.Trans, 1, p, part(rk, from, to, 0, size), 0, part(kr, 0, size, from, to))
			return nil
		}); err != nil {
			return err
		}
		whole := blas64.General{Rows: n, Cols: n, Stride: n, Data: a}
		if err := linear.ForEach(ctx, threads, blocks, func(_, b int) error {
			if b == k {
				return nil
			}
			from, to := b*sweepBlock, min(n, (b+1)*sweepBlock)
			// All columns from the diagonal on; those of K are zero in kr.
			blas64.Gemm(blas.NoTrans, blas.NoTrans, -1, part(rk, from, to, 0, size), part(kr, 0, size, from, n), 1, part(whole, from, to, from, n))
			return nil
		}); err != nil {
			return err
		}
		for i := range lo {
			for c := range size {
				a[i*n+lo+c] = kr.Data[c*n+i]
			}
		}
		for c := range size {
			copy(a[(lo+c)*n+hi:(lo+c+1)*n], kr.Data[c*n+hi:(c+1)*n])
			for j := c; j < size; j++ {
				a[(lo+c)*n+lo+j] = -p.Data[c*size+j]
			}
		}
	}
	return linear.ForEach(ctx, threads, blocks, func(_, b int) error {
		for i := b * sweepBlock; i < min(n, (b+1)*sweepBlock); i++ {
			for j := i; j < n; j++ {
				a[i*n+j] = -a[i*n+j]
				a[j*n+i] = a[i*n+j]
			}
		}
		return nil
	})
}

// invertPivot writes the inverse of the block of a that begins at row and column lo to p, whole.
func invertPivot(p blas64.General, a []float64, n, lo int) error {
	for i := range p.Rows {
		copy(p.Data[i*p.Stride+i:(i+1)*p.Stride], a[(lo+i)*n+lo+i:(lo+i)*n+lo+p.Rows])
	}
	t, ok := lapack64.Potrf(blas64.Symmetric{Uplo: blas.Upper, N: p.Rows, Stride: p.Stride, Data: p.Data})
	if !ok {
		return errSingular
	}
	lapack64.Potri(t)
	for i := range p.Rows {
		for j := range i {
			p.Data[i*p.Stride+j] = p.Data[j*p.Stride+i]
		}
	}
	return nil
}

// part is the rows [r0, r1) and columns [c0, c1) of m.
func part(m blas64.General, r0, r1, c0, c1 int) blas64.General {
	if r0 == r1 || c0 == c1 {
		return blas64.General{Rows: r1 - r0, Cols: c1 - c0, Stride: max(1, c1-c0)}
	}
	return blas64.General{Rows: r1 - r0, Cols: c1 - c0, Stride: m.Stride, Data: m.Data[r0*m.Stride+c0 : (r1-1)*m.Stride+c1]}
}
