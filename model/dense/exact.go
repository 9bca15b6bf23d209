package dense

import (
	"context"
	"fmt"
	"math"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/similarity"
)

// A tile is the keys of some queries with some rows: small enough for the cache, and for gonum to do it without goroutines of its own.
const (
	tileQueries = 64
	tileRows    = 192
)

// Nearest returns, for each query, the k nearest vectors in rank order. queries has v.Dim() numbers for each. It returns ctx's error when ctx ends.
//
// The result is exact: the tiles of float32 only choose whose score is computed, with room for their rounding. Cost: queries · rows · numbers multiply-adds, and the scores of few
// rows each; memory 8·k bytes a query, and 512·k bytes and 48 KiB a thread.
func (v *Vectors) Nearest(ctx context.Context, queries []float32, k, threads int) ([][]similarity.Neighbor, error) {
	if len(queries)%v.dim != 0 {
		return nil, fmt.Errorf("%d numbers for queries of %d, want a multiple", len(queries), v.dim)
	}
	return v.search(ctx, len(queries)/v.dim, k, threads, func(dst []float32, i int) (query, error) {
		q, err := v.newQuery(dst, queries[i*v.dim:(i+1)*v.dim])
		if err != nil {
			return q, fmt.Errorf("query %d: %w", i, err)
		}
		return q, nil
	})
}

// All returns, for each vector, the k nearest others, as Nearest does.
func (v *Vectors) All(ctx context.Context, k, threads int) ([][]similarity.Neighbor, error) {
	return v.search(ctx, v.n, k, threads, func(dst []float32, i int) (query, error) { return v.rowQuery(dst, i), nil })
}

// search finds the nearest of n queries, which make gives, written to dst.
func (v *Vectors) search(ctx context.Context, n, k, threads int, take func(dst []float32, i int) (query, error)) ([][]similarity.Neighbor, error) {
	if k < 0 {
		return nil, fmt.Errorf("%d neighbors, want 0 or more", k)
	}
	out := make([][]similarity.Neighbor, n)
	var next atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for range min(max(1, threads), n/tileQueries+1) {
		g.Go(func() error {
			x := make([]float32, tileQueries*v.stride)
			keys := make([]float32, tileQueries*tileRows)
			found := make([]model.Best[float32], tileQueries)
			for first := int(next.Add(tileQueries)) - tileQueries; first < n; first = int(next.Add(tileQueries)) - tileQueries {
				queries := make([]query, min(tileQueries, n-first))
				for i := range queries {
					var err error
					if queries[i], err = take(x[i*v.stride:(i+1)*v.stride], first+i); err != nil {
						return err
					}
				}
				if err := v.searchTile(ctx, out[first:first+len(queries)], queries, k, found, x, keys); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return out, nil
}

// searchTile compares queries, whose vectors are in x, with all rows. found and keys are working memory.
func (v *Vectors) searchTile(ctx context.Context, out [][]similarity.Neighbor, queries []query, k int, found []model.Best[float32], x, keys []float32) error {
	floor := make([]float64, len(queries)) // keys below are not among the best
	for i := range floor {
		found[i].Reset(k, v.n)
		floor[i] = math.Inf(-1)
	}
	a := blas32.General{Rows: len(queries), Cols: v.stride, Stride: v.stride, Data: x}
	for lo := 0; lo < v.n && k > 0; lo += tileRows {
		if err := ctx.Err(); err != nil {
			return err
		}
		rows := min(tileRows, v.n-lo)
		b := blas32.General{Rows: rows, Cols: v.stride, Stride: v.stride, Data: v.data[lo*v.stride : (lo+rows)*v.stride]}
		c := blas32.General{Rows: len(queries), Cols: rows, Stride: tileRows, Data: keys}
		blas32.Gemm(blas.NoTrans, blas.Trans, 1, a, b, 0, c)
		for i := range queries {
			q := &queries[i]
			for j, key := range keys[i*tileRows : i*tileRows+rows] {
				if v.bias != nil {
					key -= v.bias[lo+j]
				}
				if float64(key) < floor[i] || lo+j == q.self {
					continue
				}
				if r := (model.Ranked[float32]{Score: v.score(q, lo+j), Item: uint32(lo + j)}); found[i].Takes(r) && found[i].Add(r) {
					floor[i] = v.worst(q, found[i].Last().Score)
				}
			}
		}
	}
	for i := range out {
		ranking := found[i].Ranking()
		out[i] = make([]similarity.Neighbor, len(ranking))
		for j, r := range ranking {
			out[i][j] = similarity.Neighbor{ID: r.Item, Score: r.Score}
		}
	}
	return nil
}
