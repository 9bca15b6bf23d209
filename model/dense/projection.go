package dense

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/lapack/lapack64"
	"gonum.org/v1/gonum/mat"

	"github.com/kith-io/kith/similarity"
)

// ProjectionOptions say how a Projection is made. All change results.
type ProjectionOptions struct {
	// Rank is the numbers of a vector; it is cut at the smaller side of the matrix.
	Rank int
	// Oversampling is how many more directions are followed, and Iterations how often the matrix is applied to them and back: both bring the result nearer to the best one.
	Oversampling, Iterations int
	Seed                     uint64
}

// DefaultProjectionOptions are those that Halko et al. find good where singular values fall slowly, as those of texts do.
func DefaultProjectionOptions() ProjectionOptions {
	return ProjectionOptions{Rank: 128, Oversampling: 10, Iterations: 4, Seed: 1}
}

// Projection makes vectors of few numbers of sparse ones, such as the words of a text: latent semantic analysis, Deerwester et al., 1990 [deerwester1990]. Words
// that stand beside the same others come near each other. It is not changed once made.
type Projection struct {
	// Singular are the singular values, descending.
	Singular []float64
	columns  int
	basis    []float32 // columns × rank: right singular vectors
}

// NewProjection finds the Rank largest singular values of a (documents × terms, read only), and their vectors, by random directions: algorithms 4.4 and 5.1 of Halko, Martinsson and
// Tropp, SIAM Review 53(2), 2011 [halko2011]. It returns ctx's error when ctx ends, which is looked at once for each pass. The same seed gives the same numbers.
//
// Cost: (2·Iterations+2)·entries·l + (Iterations+1)·(documents + terms)·l², l = Rank + Oversampling; memory 16·l bytes for each document and term.
func NewProjection(ctx context.Context, a *similarity.Rows, o ProjectionOptions) (*Projection, error) {
	if o.Rank < 1 || o.Rank > MaxDim || o.Oversampling < 0 || o.Oversampling > MaxDim || o.Iterations < 0 {
		return nil, fmt.Errorf("projection: rank %d, oversampling %d, %d iterations, want 1 to %d, 0 to %d, and 0 or more", o.Rank, o.Oversampling, o.Iterations, MaxDim, MaxDim)
	}
	if err := a.Validate(); err != nil {
		return nil, fmt.Errorf("projection: %w", err)
	}
	n, m := a.NumUsers(), a.NumItems
	least := min(n, m)
	p := &Projection{columns: m}
	if least == 0 {
		return p, nil
	}
	l := min(o.Rank+o.Oversampling, least)
	rank := min(o.Rank, least)
	rng := rand.New(rand.NewPCG(o.Seed, 0))
	random := make([]float64, m*l)
	for i := range random {
		random[i] = rng.NormFloat64()
	}
	q := orthonormal(times(a, mat.NewDense(m, l, random)))
	for range o.Iterations {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		q = orthonormal(times(a, orthonormal(timesTransposed(a, q))))
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var svd mat.SVD // of (QᵀA)ᵀ, terms × l: its left vectors are the right ones of A
	if !svd.Factorize(timesTransposed(a, q), mat.SVDThin) {
		return nil, fmt.Errorf("projection: the singular values of a matrix of %d × %d do not converge", m, l)
	}
	p.Singular = svd.Values(nil)[:rank]
	var right mat.Dense
	svd.UTo(&right)
	p.basis = make([]float32, m*rank)
	for k := range rank {
		// A vector and its opposite are as good: the one whose largest number is positive is taken.
		largest := 0.0
		for j := range m {
			if x := right.At(j, k); math.Abs(x) > math.Abs(largest) {
				largest = x
			}
		}
		for j := range m {
			p.basis[j*rank+k] = float32(math.Copysign(1, largest) * right.At(j, k))
		}
	}
	return p, nil
}

// orthonormal returns an orthonormal basis of the columns of y, which are no more than its rows, in the place of y: the thin Q of Householder's decomposition.
func orthonormal(y *mat.Dense) *mat.Dense {
	a := y.RawMatrix()
	tau := make([]float64, a.Cols)
	work := make([]float64, 64*a.Cols) // a block of lapack's
	lapack64.Geqrf(a, tau, work, len(work))
	lapack64.Orgqr(a, tau, work, len(work))
	return y
}

// times returns a·x.
func times(a *similarity.Rows, x *mat.Dense) *mat.Dense {
	_, l := x.Dims()
	y := mat.NewDense(a.NumUsers(), l, nil)
	for i := range a.NumUsers() {
		row := y.RawRowView(i)
		each(a, i, func(j int, w float64) {
			for k, f := range x.RawRowView(j) {
				row[k] += w * f
			}
		})
	}
	return y
}

// timesTransposed returns aᵀ·x.
func timesTransposed(a *similarity.Rows, x *mat.Dense) *mat.Dense {
	_, l := x.Dims()
	y := mat.NewDense(a.NumItems, l, nil)
	for i := range a.NumUsers() {
		row := x.RawRowView(i)
		each(a, i, func(j int, w float64) {
			to := y.RawRowView(j)
			for k, f := range row {
				to[k] += w * f
			}
		})
	}
	return y
}

// each calls f with the entries of a row.
func each(a *similarity.Rows, row int, f func(column int, weight float64)) {
	for i := a.Start[row]; i < a.Start[row+1]; i++ {
		w := 1.0
		if a.Weight != nil {
			w = float64(a.Weight[i])
		}
		f(int(a.Item[i]), w)
	}
}

// Dim returns the numbers of a vector.
func (p *Projection) Dim() int { return len(p.Singular) }

// Embed returns the vector of a sparse one: x·V. For a row of the matrix it is a row of U·Σ. Terms that are not columns are left out.
func (p *Projection) Embed(terms []uint32, weights []float32) []float32 {
	sum := make([]float64, p.Dim())
	for i, t := range terms {
		if int64(t) >= int64(p.columns) {
			continue
		}
		w := 1.0
		if weights != nil {
			w = float64(weights[i])
		}
		for k, f := range p.basis[int(t)*p.Dim() : (int(t)+1)*p.Dim()] {
			sum[k] += w * float64(f)
		}
	}
	out := make([]float32, len(sum))
	for k, s := range sum {
		out[k] = float32(s)
	}
	return out
}

// EmbedAll returns the vectors of all rows, one after the other.
func (p *Projection) EmbedAll(a *similarity.Rows) []float32 {
	out := make([]float32, 0, a.NumUsers()*p.Dim())
	for i := range a.NumUsers() {
		lo, hi := a.Start[i], a.Start[i+1]
		var weights []float32
		if a.Weight != nil {
			weights = a.Weight[lo:hi]
		}
		out = append(out, p.Embed(a.Item[lo:hi], weights)...)
	}
	return out
}
