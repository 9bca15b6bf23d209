package ease

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/lapack/lapack64"
)

// gram returns a Gram matrix of random entries with a regularized diagonal.
func gram(n int) []float64 {
	if n == 0 {
		return nil
	}
	r := rand.New(rand.NewPCG(1, uint64(n)))
	x := blas64.General{Rows: 2*n + 1, Cols: n, Stride: n, Data: make([]float64, (2*n+1)*n)}
	for i := range x.Data {
		if r.IntN(10) == 0 {
			x.Data[i] = 1
		}
	}
	a := make([]float64, n*n)
	blas64.Gemm(blas.Trans, blas.NoTrans, 1, x, x, 0, blas64.General{Rows: n, Cols: n, Stride: n, Data: a})
	for i := range n {
		a[i*n+i] += 10
	}
	return a
}

// TestInvert compares with LAPACK, for sizes below, at and above those of blocks.
func TestInvert(t *testing.T) {
	for _, n := range []int{0, 1, 5, sweepBlock - 1, sweepBlock, sweepBlock + 1, 2*sweepBlock + 40} {
		a := gram(n)
		want := slices.Clone(a)
		if n > 0 {
			f, ok := lapack64.Potrf(blas64.Symmetric{Uplo: blas.Upper, N: n, Stride: n, Data: want})
			if !ok {
				t.Fatal("the test matrix is singular")
			}
			lapack64.Potri(f)
		}
		one := slices.Clone(a)
		if err := errors.Join(invert(t.Context(), 3, a, n), invert(t.Context(), 1, one, n)); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(a, one) {
			t.Errorf("n=%d: the inverse is another one with 3 threads", n)
		}
		for i := range n {
			for j := range n {
				// The condition of these matrices is below 1e4, so that at least 11 of 16 digits are right; entries are below 1.
				if got, want := a[i*n+j], want[min(i, j)*n+max(i, j)]; math.Abs(got-want) > 1e-11 {
					t.Fatalf("n=%d: entry %d,%d is %v, want %v", n, i, j, got, want)
				}
			}
		}
	}
}

func TestInvertRefuses(t *testing.T) {
	a := make([]float64, 4)
	if err := invert(t.Context(), 1, a, 2); !errors.Is(err, errSingular) {
		t.Errorf("error of a matrix of zeros is %v, want %v", err, errSingular)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := invert(ctx, 1, gram(5), 5); !errors.Is(err, context.Canceled) {
		t.Errorf("error after the context has ended is %v", err)
	}
}

func BenchmarkInvert(b *testing.B) {
	for _, n := range []int{1000, 2000, 4000} {
		a := gram(n)
		work := make([]float64, len(a))
		b.Run(fmt.Sprintf("sweep/n=%d", n), func(b *testing.B) {
			for b.Loop() {
				copy(work, a)
				if err := invert(b.Context(), 2, work, n); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(2*math.Pow(float64(n), 3)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOPS")
		})
		b.Run(fmt.Sprintf("cholesky/n=%d", n), func(b *testing.B) {
			for b.Loop() {
				copy(work, a)
				t, _ := lapack64.Potrf(blas64.Symmetric{Uplo: blas.Upper, N: n, Stride: n, Data: work})
				lapack64.Potri(t)
			}
			b.ReportMetric(2*math.Pow(float64(n), 3)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOPS")
		})
	}
}
