//go:build !amd64 || purego || portable

package similarity

func scores(keys []uint64, ids []uint32, sums []float32, squares []float64, own float64) {
	scoresGo(keys, ids, sums, squares, own)
}

func anySlot([]float32, []uint32) bool { return true }
