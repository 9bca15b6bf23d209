//go:build !amd64 || purego || portable

package similarity

func touchCoded(v *visit)  { touchCodedGo(v) }
func touchValued(v *visit) { touchValuedGo(v) }
func touchOnes(v *visit)   { touchOnesGo(v) }
func addCoded(v *visit)    { addCodedGo(v) }
func addValued(v *visit)   { addValuedGo(v) }
func addOnes(v *visit)     { addOnesGo(v) }

func takeSums(dot, estimate []float32, ids []uint32, sums, inverse []float32, scale float32, places []uint32, bound float32) (pairs, reached int) {
	return takeSumsGo(dot, estimate, ids, sums, inverse, scale, places, bound)
}

func takeCounts(dot, estimate []float32, ids, counts []uint32, inverse []float32, scale float32, places []uint32, bound float32) (pairs, reached int) {
	return takeCountsGo(dot, estimate, ids, counts, inverse, scale, places, bound)
}

func scanSums(estimate, sums, inverse []float32, scale float32) (pairs int) {
	return scanSumsGo(estimate, sums, inverse, scale)
}

func scanCounts(estimate []float32, counts []uint32, inverse []float32, scale float32) (pairs int) {
	return scanCountsGo(estimate, counts, inverse, scale)
}

func reach(places []uint32, x []float32, bound float32) (count int) {
	return reachGo(places, 0, x, bound)
}

func reachEach(places []uint32, x, bounds []float32) (count int) {
	return reachEachGo(places, 0, x, bounds)
}

func members(places []uint32, bits []uint64, ids []uint32) (count int) {
	return membersGo(places, bits, 0, ids)
}

func above(buf []float32, filled int, x []float32, bound float32) (taken, count int) {
	return aboveGo(buf, filled, x, bound)
}

func fetch([]float64, []uint32) {}
