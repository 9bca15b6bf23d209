package cluster

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/train"
)

// driver leads the workers.
type driver struct {
	shape train.Shape
	s     model.Settings
	rank  int
	turns int // multiplications done
	phase string
	sigma []float64
	fit   *fitting
	h     header
}

func newDriver(shape train.Shape, s model.Settings) (train.Driver, error) {
	return &driver{shape: shape, s: s, rank: s.Whole("rank")}, nil
}

func (d *driver) Progress() float64 {
	all := float64(d.s.Whole("power") + 1)
	if d.fit == nil {
		return 0.4 * float64(d.turns) / all
	}
	return 0.4 + 0.5*d.fit.progress()
}

func (d *driver) Next(said [][]byte) (train.Step, bool, error) {
	step := func(name string, input []byte) (train.Step, bool, error) {
		d.phase = name
		return train.Step{Name: name, Input: input}, false, nil
	}
	switch d.phase {
	case "":
		return step("count", nil)
	case "count":
		return step("total", nil)
	case "total":
		return step("multiply", nil)
	case "multiply":
		return step("gather", nil)
	case "gather":
		turn, err := d.turn(said)
		if err != nil {
			return train.Step{}, false, err
		}
		d.turns++
		return step("turn", turn)
	case "turn":
		if d.turns <= d.s.Whole("power") {
			return step("multiply", nil)
		}
		return step("vectors", putSlice(nil, d.sigma))
	case "vectors", "cluster":
		return d.cluster(said, step)
	case "describe":
		d.h.entries = make([]int64, len(d.h.counts))
		for w, b := range said {
			entries, err := only[int64](b, "numbers of entries", len(d.h.counts))
			if err != nil {
				return train.Step{}, false, fmt.Errorf("worker %d: %w", w, err)
			}
			for c, n := range entries {
				d.h.entries[c] += n
			}
		}
		return step("finish", d.h.encode())
	default:
		return train.Step{}, true, nil
	}
}

// turn returns what makes the columns of Y orthonormal, of its Gram matrix YᵀY = WΛWᵀ: W·Λ^-½, and 0 for what is below the rounding of Y. The singular values
// are those of R, as Y is about RᵀR·V.
func (d *driver) turn(said [][]byte) ([]byte, error) {
	gram := mat.NewSymDense(d.rank, nil)
	for w, b := range said {
		part, err := only[float64](b, "numbers of a Gram matrix", d.rank*d.rank)
		if err != nil {
			return nil, fmt.Errorf("worker %d: %w", w, err)
		}
		for i := range d.rank {
			for j := i; j < d.rank; j++ {
				gram.SetSym(i, j, gram.At(i, j)+part[i*d.rank+j])
			}
		}
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(gram, true) {
		return nil, fmt.Errorf("the eigenvalues of the sums over items cannot be found; are there entries of extreme weight?")
	}
	values := eigen.Values(nil)
	var vectors mat.Dense
	eigen.VectorsTo(&vectors)
	out := make([]float64, d.rank*d.rank)
	d.sigma = make([]float64, d.rank)
	for c := range d.rank { // eigenvalues ascend
		value := values[d.rank-1-c]
		if value <= 1e-12*values[d.rank-1] || value <= 0 {
			continue
		}
		d.sigma[c] = math.Sqrt(math.Sqrt(value))
		for j := range d.rank {
			out[j*d.rank+c] = vectors.At(j, d.rank-1-c) / math.Sqrt(value)
		}
	}
	return putSlice(nil, out), nil
}

// cluster goes on with k-means.
func (d *driver) cluster(said [][]byte, step func(string, []byte) (train.Step, bool, error)) (train.Step, bool, error) {
	replies := make([]reply, len(said))
	for w, b := range said {
		var err error
		if replies[w], err = decodeReply(b); err != nil {
			return train.Step{}, false, fmt.Errorf("worker %d: %w", w, err)
		}
	}
	if d.fit == nil {
		var total int64
		for _, r := range replies {
			total += r.Changed
		}
		d.h.dim = d.rank
		d.fit = newFitting(d.rank, total, numbersOf(d.s), optionsOf(d.s))
		if total == 0 {
			return step("describe", d.h.encode())
		}
		replies = nil
	}
	st, done := d.fit.next(replies)
	if !done {
		return step("cluster", st.encode())
	}
	f := d.fit
	d.h.centers, d.h.counts, d.h.spread, d.h.trials, d.h.best = f.found[f.best], f.counts, f.spread, f.trials, f.best
	_, d.h.silhouet = silhouette(f.sample, d.h.centers, d.rank)
	d.h.entries = make([]int64, len(d.h.counts))
	return step("describe", d.h.encode())
}
