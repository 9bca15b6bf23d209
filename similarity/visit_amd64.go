//go:build !purego && !portable

package similarity

import "golang.org/x/sys/cpu"

// The functions in assembly trust their arguments: positions and ids that point outside of
// their arrays read or write there. Parts are checked when they are opened.

//go:noescape
func touchCoded(v *visit)

//go:noescape
func touchValued(v *visit)

//go:noescape
func touchOnes(v *visit)

//go:noescape
func addCoded(v *visit)

//go:noescape
func addValued(v *visit)

//go:noescape
func addOnes(v *visit)

//go:noescape
func takeSums(dot, estimate []float32, ids []uint32, sums, inverse []float32, scale float32, places []uint32, bound float32) (pairs, reached int)

//go:noescape
func takeCounts(dot, estimate []float32, ids, counts []uint32, inverse []float32, scale float32, places []uint32, bound float32) (pairs, reached int)

//go:noescape
func scanSumsAVX2(estimate, sums, inverse *float32, n int, scale float32) (zeros int)

//go:noescape
func scanCountsAVX2(estimate *float32, counts *uint32, inverse *float32, n int, scale float32) (zeros int)

//go:noescape
func reachAVX2(places *uint32, x *float32, n int, bound float32) (count int)

//go:noescape
func reachEachAVX2(places *uint32, x, bounds *float32, n int) (count int)

//go:noescape
func aboveAVX2(buf *float32, filled, room int, x *float32, n int, bound float32) (taken, count int)

//go:noescape
func membersAVX2(places *uint32, bits *uint64, ids *uint32, n int) (count int)

// fetch asks for the memory of x at ids.
//
//go:noescape
func fetch(x []float64, ids []uint32)

var hasAVX2 = cpu.X86.HasAVX2

// eights is the greatest multiple of 8 that is at most n, or 0 without AVX2.
func eights(n int) int {
	if !hasAVX2 {
		return 0
	}
	return n &^ 7
}

func scanSums(estimate, sums, inverse []float32, scale float32) (pairs int) {
	n := eights(len(sums))
	if n > 0 {
		pairs = n - scanSumsAVX2(&estimate[0], &sums[0], &inverse[0], n, scale)
	}
	return pairs + scanSumsGo(estimate[n:], sums[n:], inverse[n:], scale)
}

func scanCounts(estimate []float32, counts []uint32, inverse []float32, scale float32) (pairs int) {
	n := eights(len(counts))
	if n > 0 {
		pairs = n - scanCountsAVX2(&estimate[0], &counts[0], &inverse[0], n, scale)
	}
	return pairs + scanCountsGo(estimate[n:], counts[n:], inverse[n:], scale)
}

func reach(places []uint32, x []float32, bound float32) (count int) {
	n := eights(len(x))
	if n > 0 {
		count = reachAVX2(&places[0], &x[0], n, bound)
	}
	return count + reachGo(places[count:], n, x[n:], bound)
}

func reachEach(places []uint32, x, bounds []float32) (count int) {
	n := eights(len(x))
	if n > 0 {
		count = reachEachAVX2(&places[0], &x[0], &bounds[0], n)
	}
	return count + reachEachGo(places[count:], n, x[n:], bounds[n:])
}

func members(places []uint32, bits []uint64, ids []uint32) (count int) {
	n := eights(len(ids))
	if n > 0 {
		count = membersAVX2(&places[0], &bits[0], &ids[0], n)
	}
	return count + membersGo(places[count:], bits, n, ids[n:])
}

func above(buf []float32, filled int, x []float32, bound float32) (taken, count int) {
	for {
		if n := eights(len(x) - taken); n > 0 && filled < len(buf) {
			var seen int
			seen, filled = aboveAVX2(&buf[0], filled, len(buf), &x[taken], n, bound)
			taken += seen
		}
		// What is less than eight numbers, or might not fit.
		few := x[taken:min(len(x), taken+8)]
		var seen int
		seen, filled = aboveGo(buf, filled, few, bound)
		taken += seen
		if taken == len(x) || seen < len(few) {
			return taken, filled
		}
	}
}
