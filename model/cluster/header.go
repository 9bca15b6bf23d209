package cluster

import (
	"math"

	"github.com/kith-io/kith/model"
)

// header is what the driver knows in the end.
type header struct {
	dim      int
	centers  []float32
	counts   []int64
	entries  []int64 // of the members
	spread   []float64
	silhouet []float64
	trials   []Trial
	best     int
}

func (h *header) encode() []byte {
	b := putSlice(putNumber(nil, uint64(h.dim)), h.centers)
	b = putSlice(putSlice(b, h.counts), h.entries)
	b = putSlice(putSlice(b, h.spread), h.silhouet)
	b = putNumber(putNumber(b, uint64(h.best)), uint64(len(h.trials)))
	for _, t := range h.trials {
		b = putNumber(putNumber(putNumber(putNumber(b, uint64(t.K)), uint64(t.Seeding)), uint64(t.Distances)), uint64(t.Plain))
		b = putSlice(putFloat(b, t.Silhouette), t.Loss)
	}
	return b
}

func (h *header) decode(r *model.Reader) {
	h.dim = size(r, "the rank", maxRank)
	h.centers, h.counts = slice[float32](r), slice[int64](r)
	k := len(h.counts)
	h.entries, h.spread, h.silhouet = exact[int64](r, "numbers of entries", k), exact[float64](r, "spreads", k), exact[float64](r, "silhouettes", k)
	h.best = size(r, "the best trial", maxTrials)
	for range size(r, "the number of trials", maxTrials) {
		t := Trial{K: size(r, "the number of groups", maxK), Seeding: int64(r.Uint64()), Distances: int64(r.Uint64()), Plain: int64(r.Uint64())}
		t.Silhouette, t.Loss = r.Float64(), slice[float64](r)
		h.trials = append(h.trials, t)
	}
	switch {
	case h.dim == 0 || len(h.centers) != k*h.dim:
		r.Fail("%d numbers are not %d centers of %d", len(h.centers), k, h.dim)
	case k > maxK, len(h.trials) > 0 && h.best >= len(h.trials):
		r.Fail("%d groups, trial %d of %d", k, h.best, len(h.trials))
	}
	for _, x := range h.centers {
		if !(math.Abs(float64(x)) <= maxComponent) {
			r.Fail("component %v of a center", x)
		}
	}
}

func decodeHeader(b []byte) (h header, err error) {
	r := model.NewReader(b)
	h.decode(r)
	return h, r.End()
}
