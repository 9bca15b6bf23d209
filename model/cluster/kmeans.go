package cluster

import (
	"context"
	"fmt"
	"math"
)

// Options says how KMeans looks for centers. All fields but Threads and Plain change results.
type Options struct {
	// Seed chooses the random numbers.
	Seed uint64
	// Iterations is the most passes after the first centers, at least 1; of mini-batches, their number.
	Iterations int
	// Tolerance ends the passes when the loss falls by no more than this part of it; 0 goes on until no vector changes its center.
	Tolerance float64
	// Restarts is how often it begins anew; the least loss is kept.
	Restarts int
	// MiniBatch is the expected number of vectors of a pass; 0 takes all.
	MiniBatch int
	// Spherical gives every center length 1, for vectors of length 1: the nearest center is then that of the largest cosine (Dhillon and Modha, Machine Learning 42, 2001
	// [dhillon2001]).
	Spherical bool
	// Sample is how many vectors the silhouette is estimated of; its cost grows with the square.
	Sample int
	// Plain leaves the bounds of Hamerly out: slower, with the same result.
	Plain bool
	// Threads bounds the goroutines, at least 1.
	Threads int
}

// DefaultOptions are good for most data.
func DefaultOptions() Options {
	return Options{
		Iterations: 100,  // most data settle before
		Tolerance:  1e-5, // below what changes a cluster that anybody would describe
		Restarts:   1,
		Sample:     1000, // the standard error of a silhouette is then below 0.02
		Threads:    1,
	}
}

func (o *Options) validate() error {
	switch {
	case o.Iterations < 1:
		return fmt.Errorf("option Iterations is %d, want at least 1", o.Iterations)
	case !(o.Tolerance >= 0 && o.Tolerance < 1):
		return fmt.Errorf("option Tolerance is %v, want 0 or more and below 1", o.Tolerance)
	case o.Restarts < 1 || o.Restarts > maxTrials:
		return fmt.Errorf("option Restarts is %d, want 1 to %d", o.Restarts, maxTrials)
	case o.MiniBatch < 0:
		return fmt.Errorf("option MiniBatch is %d, want at least 0", o.MiniBatch)
	case o.Sample < 0:
		return fmt.Errorf("option Sample is %d, want at least 0", o.Sample)
	}
	return nil
}

// maxTrials bounds restarts, and numbers of centers that are tried.
const maxTrials = 1000

// Trial is one way to the centers.
type Trial struct {
	// K is the number of centers: fewer than asked for only where there are fewer different vectors.
	K int
	// Loss is that before each pass moves the centers; of mini-batches, only the last.
	Loss []float64
	// Seeding is how many distances to candidates for the first centers were computed, Distances how many in the passes, and Plain how many the
	// same passes compute without bounds.
	Seeding, Distances, Plain int64
	// Silhouette is the mean of the sample, NaN where only one number of centers was tried.
	Silhouette float64
}

// Result is what KMeans found.
type Result struct {
	// K is the number of centers, and Centers are K×dim.
	K       int
	Centers []float32
	// Assign has the nearest center of each vector, of equal ones the first.
	Assign []int32
	// Counts is the number of vectors of each center, and Spread the sum of the squares of their distances to it.
	Counts []int64
	Spread []float64
	// Silhouettes are the mean silhouettes of the vectors of each center in the sample, NaN for a center without any.
	Silhouettes []float64
	// Trials are all, in their order; Best is the one that was kept.
	Trials []Trial
	Best   int
}

// KMeans groups n vectors of dim components, row by row, around k centers; several ks are all tried, and the one of the largest silhouette of a sample is kept.
// The same vectors, seed and options give the same result with any number of threads. The vectors must be finite and are only read.
//
// Cost: O(n·k·dim) for the first centers, and at most that for each pass. Memory: 32 bytes a vector, and n/4096 times the centers in float64.
func KMeans(ctx context.Context, vectors []float32, dim int, ks []int, o Options) (*Result, error) {
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("k-means: %w", err)
	}
	if dim < 1 || len(vectors)%dim != 0 {
		return nil, fmt.Errorf("k-means: %d numbers are not vectors of %d components", len(vectors), dim)
	}
	if len(ks) == 0 || len(ks)*o.Restarts > maxTrials {
		return nil, fmt.Errorf("k-means: %d numbers of centers with %d restarts each, want 1 to %d trials", len(ks), o.Restarts, maxTrials)
	}
	for _, k := range ks {
		if k < 1 {
			return nil, fmt.Errorf("k-means: %d centers, want at least 1", k)
		}
	}
	for i, x := range vectors {
		if y := float64(x); math.IsNaN(y) || math.Abs(y) > maxComponent {
			return nil, fmt.Errorf("k-means: component %d of vector %d is %v, want a magnitude of at most %g", i%dim, i/dim, x, float64(maxComponent))
		}
	}
	if len(vectors) == 0 {
		return &Result{}, nil
	}
	s := newShard(vectors, dim, nil, o.Seed, o.Plain, o.Threads)
	f := newFitting(dim, int64(s.len()), ks, o)
	var said []reply
	for {
		st, done := f.next(said)
		if done {
			break
		}
		r, err := s.do(ctx, st)
		if err != nil {
			return nil, fmt.Errorf("k-means: %w", err)
		}
		said = []reply{r}
	}
	out := &Result{K: f.trials[f.best].K, Centers: f.found[f.best], Assign: s.of, Counts: f.counts, Spread: f.spread, Trials: f.trials, Best: f.best}
	_, out.Silhouettes = silhouette(f.sample, out.Centers, dim)
	return out, nil
}

// maxComponent keeps squares and their sums inside float32.
const maxComponent = 1e15
