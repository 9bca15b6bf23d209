package wire

import kithv1 "github.com/kith-io/kith/proto/kith/v1"

// ChangedPairs estimates how many sums a row changes: entries that are others, by all of the row. Items ascend.
func ChangedPairs(row *kithv1.ChangedRow) uint64 {
	weight := func(weights []float32, k int) float32 {
		if k < len(weights) {
			return weights[k]
		}
		return 1
	}
	changed, union, o := len(row.OldItems), len(row.OldItems), 0
	for k, i := range row.NewItems {
		for o < len(row.OldItems) && row.OldItems[o] < i {
			o++
		}
		if o == len(row.OldItems) || row.OldItems[o] != i {
			changed, union = changed+1, union+1
		} else if weight(row.OldWeights, o) == weight(row.NewWeights, k) {
			changed--
		}
	}
	return uint64(changed) * uint64(union)
}
