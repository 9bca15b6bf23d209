package dense_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"
	"pgregory.net/rapid"

	"github.com/kith-io/kith/model/dense"
	"github.com/kith-io/kith/similarity"
)

// sparse returns a random matrix of n × m with about a third of the entries.
func sparse(n, m int, seed uint64) (*similarity.Rows, *mat.Dense) {
	rng := rand.New(rand.NewPCG(seed, 0))
	r := &similarity.Rows{NumItems: m, Start: []int64{0}, Weight: []float32{}}
	full := mat.NewDense(n, m, nil)
	for i := range n {
		for j := range m {
			if rng.IntN(3) == 0 {
				w := float32(rng.NormFloat64())
				r.Item, r.Weight = append(r.Item, uint32(j)), append(r.Weight, w)
				full.Set(i, j, float64(w))
			}
		}
		r.Start = append(r.Start, int64(len(r.Item)))
	}
	return r, full
}

// TestProjection: where all directions are followed the singular values are those of a whole decomposition, and products of vectors are those of rows.
func TestProjection(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, m := rapid.IntRange(1, 30).Draw(t, "n"), rapid.IntRange(1, 30).Draw(t, "m")
		a, full := sparse(n, m, rapid.Uint64().Draw(t, "seed"))
		p, err := dense.NewProjection(t.Context(), a, dense.ProjectionOptions{Rank: 30, Iterations: 1})
		if err != nil {
			t.Fatal(err)
		}
		var svd mat.SVD
		svd.Factorize(full, mat.SVDNone)
		want := svd.Values(nil)
		if len(p.Singular) != len(want) {
			t.Fatalf("%d singular values, want %d", len(p.Singular), len(want))
		}
		for k, x := range want {
			if math.Abs(p.Singular[k]-x) > 1e-9*(1+want[0]) {
				t.Fatalf("singular values %v, want %v", p.Singular, want)
			}
		}
		v := p.EmbedAll(a)
		var gram mat.Dense
		gram.Mul(full, full.T())
		for i := range n {
			for j := range n {
				if got := score(dense.Dot, v[i*p.Dim():(i+1)*p.Dim()], v[j*p.Dim():(j+1)*p.Dim()]); math.Abs(got-gram.At(i, j)) > 1e-5*(1+want[0]*want[0]) {
					t.Fatalf("vectors %d and %d have product %v, rows %v", i, j, got, gram.At(i, j))
				}
			}
		}
	})
}

// TestProjectionOfLargest: of a matrix with more directions than are followed, the largest singular values are found to a thousandth, the same for the same seed.
func TestProjectionOfLargest(t *testing.T) {
	_, full := sparse(150, 120, 1)
	for i := range 60 { // two topics stand out
		for j := range 40 {
			full.Set(i, j, full.At(i, j)+1)
			full.Set(149-i, 119-j, full.At(149-i, 119-j)+0.8)
		}
	}
	a := &similarity.Rows{NumItems: 120, Start: []int64{0}}
	for i := range 150 {
		for j, w := range full.RawRowView(i) {
			if w != 0 {
				a.Item, a.Weight = append(a.Item, uint32(j)), append(a.Weight, float32(w))
			}
		}
		a.Start = append(a.Start, int64(len(a.Item)))
	}
	o := dense.ProjectionOptions{Rank: 2, Oversampling: 10, Iterations: 4, Seed: 5}
	p, err := dense.NewProjection(t.Context(), a, o)
	if err != nil {
		t.Fatal(err)
	}
	var svd mat.SVD
	svd.Factorize(full, mat.SVDNone)
	for k, want := range svd.Values(nil)[:2] {
		if math.Abs(p.Singular[k]-want) > 1e-3*want {
			t.Errorf("singular value %d is %v, want %v", k, p.Singular[k], want)
		}
	}
	again, err := dense.NewProjection(t.Context(), a, o)
	if err != nil || !slices.Equal(p.EmbedAll(a), again.EmbedAll(a)) {
		t.Errorf("the same seed gives other vectors (%v)", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := dense.NewProjection(ended, a, o); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: %v", err)
	}
	if p, err := dense.NewProjection(t.Context(), &similarity.Rows{Start: []int64{0}}, o); err != nil || p.Dim() != 0 {
		t.Errorf("an empty matrix: %v, %v", p, err)
	}
	if _, err := dense.NewProjection(t.Context(), a, dense.ProjectionOptions{}); err == nil {
		t.Error("rank 0: no error")
	}
}
