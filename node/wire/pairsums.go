package wire

import (
	"iter"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/similarity"
)

// pairChunk is the number of pairs in a message, but that those of one item are in one.
const pairChunk = 20000

// PairSums converts sums of pairs.
func PairSums(sums []similarity.PairSums) []*kithv1.PairSums {
	out := make([]*kithv1.PairSums, len(sums))
	for k, s := range sums {
		out[k] = &kithv1.PairSums{Item: s.Item, All: s.All, Mirror: s.Mirror, With: s.With}
		if len(s.Sum) == 0 {
			continue
		}
		out[k].Sum = make([]uint64, len(s.Sum))
		for n, x := range s.Sum {
			out[k].Sum[n] = uint64(x)
		}
	}
	return out
}

// AppendPairSums is the inverse of PairSums, behind what is there.
func AppendPairSums(dst []similarity.PairSums, sums []*kithv1.PairSums) []similarity.PairSums {
	for _, s := range sums {
		x := similarity.PairSums{Item: s.GetItem(), All: s.GetAll(), Mirror: s.GetMirror(), With: s.GetWith()}
		if sums := s.GetSum(); len(sums) > 0 {
			x.Sum = make([]float64, len(sums))
			for n, sum := range sums {
				x.Sum[n] = float64(sum)
			}
		}
		dst = append(dst, x)
	}
	return dst
}

// ChunkPairSums cuts sums into what a message takes; there is one chunk, which is empty, of none.
func ChunkPairSums(sums []*kithv1.PairSums) iter.Seq[[]*kithv1.PairSums] {
	return func(yield func([]*kithv1.PairSums) bool) {
		from, n := 0, 0
		for k, s := range sums {
			if n += 1 + len(s.With); n >= pairChunk {
				if !yield(sums[from : k+1]) {
					return
				}
				from, n = k+1, 0
			}
		}
		if from < len(sums) || len(sums) == 0 {
			yield(sums[from:])
		}
	}
}
