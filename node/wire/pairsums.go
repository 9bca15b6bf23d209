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
		for _, x := range s.Sum {
			out[k].Sum = append(out[k].Sum, uint64(x))
		}
	}
	return out
}

// AppendPairSums is the inverse of PairSums, behind what is there.
func AppendPairSums(dst []similarity.PairSums, sums []*kithv1.PairSums) []similarity.PairSums {
	for _, s := range sums {
		x := similarity.PairSums{Item: s.GetItem(), All: s.GetAll(), Mirror: s.GetMirror(), With: s.GetWith()}
		for _, sum := range s.GetSum() {
			x.Sum = append(x.Sum, float64(sum))
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
