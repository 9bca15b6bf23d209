package similarity

import "math"

// The loops of visit.go in Go. Each is a function of its own, small enough for the compiler
// to keep all it needs in registers: within a larger function, by hand or by inlining, the
// same loops took up to three times as long.
//
// The conversion of a product to float32 keeps compilers from fusing it with the
// addition, which would give other bits on other processors.

func (v *visit) row(k int) (first, end uint32) {
	at := v.at[k]
	if v.lengths != nil {
		return at + 1, at + 1 + v.lengths[k]
	}
	return at + 1, at + 1 + v.words[at]
}

// touch is the loop over rows that all touch functions have; row adds one.
func (v *visit) touch(row func(k int, first, end uint32)) {
	for v.done = 0; v.done < v.rows && v.turn > 0; v.done++ {
		first, end := v.row(v.done)
		if v.count+int(end-first) > v.room {
			return
		}
		v.updates += int(end - first)
		v.turn -= int(end - first)
		row(v.done, first, end)
	}
}

// add is the loop over rows that all add functions have.
func (v *visit) add(row func(k int, first, end uint32)) {
	for v.done = 0; v.done < v.rows && v.turn > 0; v.done++ {
		first, end := v.row(v.done)
		v.updates += int(end - first)
		v.turn -= int(end - first)
		row(v.done, first, end)
	}
}

func touchCodedGo(v *visit) {
	v.touch(func(k int, first, end uint32) {
		v.count = touchCodedRow(v.sums, v.touched, v.count, v.words[first:end], v.weights[k], v.table)
	})
}

func touchValuedGo(v *visit) {
	v.touch(func(k int, first, end uint32) {
		v.count = touchValuedRow(v.sums, v.touched, v.count, v.words[first:end], v.weights[k], v.values[first:end])
	})
}

func touchOnesGo(v *visit) {
	v.touch(func(_ int, first, end uint32) {
		v.count = touchOnesRow(v.counts, v.touched, v.count, v.words[first:end])
	})
}

func addCodedGo(v *visit) {
	v.add(func(k int, first, end uint32) { addCodedRow(v.sums, v.words[first:end], v.weights[k], v.table) })
}

func addValuedGo(v *visit) {
	v.add(func(k int, first, end uint32) {
		addValuedRow(v.sums, v.words[first:end], v.weights[k], v.values[first:end])
	})
}

func addOnesGo(v *visit) {
	v.add(func(_ int, first, end uint32) { addOnesRow(v.counts, v.words[first:end]) })
}

// one returns 1 for true, which the compiler does without a branch.
func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

// addCodedRow adds w times a row of a Side to sums.
//
//go:noinline
func addCodedRow(sums []float32, row []uint32, w float32, weight *[256]float32) {
	for _, e := range row {
		sums[e>>8] += float32(w * weight[uint8(e)])
	}
}

// addValuedRow is addCodedRow where the weights of the row are in an array.
//
//go:noinline
func addValuedRow(sums []float32, row []uint32, w float32, value []float32) {
	value = value[:len(row)]
	for k, e := range row {
		sums[e>>8] += float32(w * value[k])
	}
}

// addOnesRow counts the items of a row.
//
//go:noinline
func addOnesRow(counts, row []uint32) {
	for _, e := range row {
		counts[e>>8]++
	}
}

// touchCodedRow is addCodedRow that also notes the items whose sum was zero, in
// touched[n:], and returns the number of those noted so far. touched needs room for
// one more than it can hold. No branch depends on the sums, so none is mispredicted.
//
//go:noinline
func touchCodedRow(sums []float32, touched []uint32, n int, row []uint32, w float32, weight *[256]float32) int {
	for _, e := range row {
		id := e >> 8
		sum := sums[id]
		touched[n] = id
		n += one(sum == 0)
		sums[id] = sum + float32(w*weight[uint8(e)])
	}
	return n
}

// touchValuedRow is touchCodedRow where the weights of the row are in an array.
//
//go:noinline
func touchValuedRow(sums []float32, touched []uint32, n int, row []uint32, w float32, value []float32) int {
	value = value[:len(row)]
	for k, e := range row {
		id := e >> 8
		sum := sums[id]
		touched[n] = id
		n += one(sum == 0)
		sums[id] = sum + float32(w*value[k])
	}
	return n
}

// touchOnesRow is addOnesRow that notes new items as touchCodedRow does.
//
//go:noinline
func touchOnesRow(counts, touched []uint32, n int, row []uint32) int {
	for _, e := range row {
		id := e >> 8
		count := counts[id]
		touched[n] = id
		n += one(count == 0)
		counts[id] = count + 1
	}
	return n
}

// takeSumsGo moves the sums of ids to dot, leaves zeros, and writes dot·inverse·scale to
// estimate, or -Inf where a sum is zero. It returns the number of sums that are not zero, and writes to places those of which
// the bits of the estimate are not below those of bound: of which it reaches a bound above 0, or is below 0.
//
//go:noinline
func takeSumsGo(dot, estimate []float32, ids []uint32, sums, inverse []float32, scale float32, places []uint32, bound float32) (pairs, reached int) {
	dot, estimate = dot[:len(ids)], estimate[:len(ids)]
	for k, j := range ids {
		d := sums[j]
		sums[j] = 0
		e := estimated(d, inverse[j], scale)
		dot[k], estimate[k], places[reached] = d, e, uint32(k)
		pairs += one(d != 0)
		reached += one(d != 0 && math.Float32bits(e) >= math.Float32bits(bound))
	}
	return pairs, reached
}

// takeCountsGo is takeSumsGo of counts.
//
//go:noinline
func takeCountsGo(dot, estimate []float32, ids, counts []uint32, inverse []float32, scale float32, places []uint32, bound float32) (pairs, reached int) {
	dot, estimate = dot[:len(ids)], estimate[:len(ids)]
	for k, j := range ids {
		d := float32(counts[j])
		counts[j] = 0
		e := estimated(d, inverse[j], scale)
		dot[k], estimate[k], places[reached] = d, e, uint32(k)
		pairs += one(d != 0)
		reached += one(d != 0 && math.Float32bits(e) >= math.Float32bits(bound))
	}
	return pairs, reached
}

func estimated(dot, inverse, scale float32) float32 {
	if dot == 0 {
		return negInf
	}
	return float32(float32(dot*inverse) * scale)
}

// scanSumsGo writes the estimates of all slots, as takeSums does those of some, and leaves
// the slots as they are.
//
//go:noinline
func scanSumsGo(estimate, sums, inverse []float32, scale float32) (pairs int) {
	estimate, inverse = estimate[:len(sums)], inverse[:len(sums)]
	for j, d := range sums {
		estimate[j] = estimated(d, inverse[j], scale)
		pairs += one(d != 0)
	}
	return pairs
}

// scanCountsGo is scanSumsGo of counts.
//
//go:noinline
func scanCountsGo(estimate []float32, counts []uint32, inverse []float32, scale float32) (pairs int) {
	estimate, inverse = estimate[:len(counts)], inverse[:len(counts)]
	for j, c := range counts {
		estimate[j] = estimated(float32(c), inverse[j], scale)
		pairs += one(c != 0)
	}
	return pairs
}

// reachGo writes the places of the numbers of x that are at least bound, the first of
// which is at place from, and returns how many there are. places needs room for one more
// than there are numbers.
//
//go:noinline
func reachGo(places []uint32, from int, x []float32, bound float32) (n int) {
	for k, v := range x {
		places[n] = uint32(from + k)
		n += one(v >= bound)
	}
	return n
}

// reachEachGo is reachGo with a bound for each number.
//
//go:noinline
func reachEachGo(places []uint32, from int, x, bounds []float32) (n int) {
	bounds = bounds[:len(x)]
	for k, v := range x {
		places[n] = uint32(from + k)
		n += one(v >= bounds[k])
	}
	return n
}

// reachEachOf is reachEach where the bounds are those of ids.
//
//go:noinline
func reachEachOf(places []uint32, x, bounds []float32, ids []uint32) (n int) {
	ids = ids[:len(x)]
	for k, v := range x {
		places[n] = uint32(k)
		n += one(v >= bounds[ids[k]])
	}
	return n
}

// membersGo writes the places of the ids that have a bit, the first of which is at place from, and returns how many there are.
// places needs room for one more than there are ids.
//
//go:noinline
func membersGo(places []uint32, bits []uint64, from int, ids []uint32) (n int) {
	for k, id := range ids {
		places[n] = uint32(from + k)
		n += int(bits[id/64] >> (id % 64) & 1)
	}
	return n
}

// aboveGo appends to buf[n:] the numbers of x that are above bound, without a branch,
// and stops before buf could overflow. It returns how many of x it has seen.
//
//go:noinline
func aboveGo(buf []float32, n int, x []float32, bound float32) (taken, filled int) {
	for len(x) > 0 && n < len(buf) {
		part := x[:min(len(x), len(buf)-n)]
		for _, v := range part {
			buf[n] = v
			n += one(v > bound)
		}
		x = x[len(part):]
		taken += len(part)
	}
	return taken, n
}
