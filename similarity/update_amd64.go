//go:build !purego && !portable

package similarity

//go:noescape
func scoresAVX2(keys *uint64, ids *uint32, sums *float32, squares *float64, n int, own float64)

//go:noescape
func anySlotAVX2(slots *float32, ids *uint32, n int) bool

// scores writes the keys of pairs. All have room for a multiple of 8.
func scores(keys []uint64, ids []uint32, sums []float32, squares []float64, own float64) {
	if !hasAVX2 || len(ids) == 0 {
		scoresGo(keys, ids, sums, squares, own)
		return
	}
	scoresAVX2(&keys[0], &ids[0], &sums[0], &squares[0], (len(ids)+3)&^3, own)
}

// anySlot tells whether a slot of ids is not zero, and may do so where that of an id behind is not.
func anySlot(slots []float32, ids []uint32) bool {
	if !hasAVX2 || len(ids) == 0 {
		return true
	}
	return anySlotAVX2(&slots[0], &ids[0], (len(ids)+7)&^7)
}
