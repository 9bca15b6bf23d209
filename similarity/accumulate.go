package similarity

// The loops in which a build spends its time. Each is a function of its own, small
// enough for the compiler to keep all it needs in registers: within a larger
// function, by hand or by inlining, the same loops took up to three times as long.
//
// The conversion of a product to float32 keeps compilers from fusing it with the
// addition, which would give other bits on other processors.

// one returns 1 for true, which the compiler does without a branch.
func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

// addCoded adds w times a row of a Side to sums.
//
//go:noinline
func addCoded(sums []float32, row []uint32, w float32, weight *[256]float32) {
	for _, e := range row {
		sums[e>>8] += float32(w * weight[uint8(e)])
	}
}

// addValued is addCoded where the weights of the row are in an array.
//
//go:noinline
func addValued(sums []float32, row []uint32, w float32, value []float32) {
	value = value[:len(row)]
	for k, e := range row {
		sums[e>>8] += float32(w * value[k])
	}
}

// addOnes counts the items of a row.
//
//go:noinline
func addOnes(counts, row []uint32) {
	for _, e := range row {
		counts[e>>8]++
	}
}

// touchCoded is addCoded that also notes the items whose sum was zero, in
// touched[n:], and returns the number of those noted so far. touched needs room for
// one more than it can hold. No branch depends on the sums, so none is mispredicted.
//
//go:noinline
func touchCoded(sums []float32, touched []uint32, n int, row []uint32, w float32, weight *[256]float32) int {
	for _, e := range row {
		id := e >> 8
		sum := sums[id]
		touched[n] = id
		n += one(sum == 0)
		sums[id] = sum + float32(w*weight[uint8(e)])
	}
	return n
}

// touchValued is touchCoded where the weights of the row are in an array.
//
//go:noinline
func touchValued(sums []float32, touched []uint32, n int, row []uint32, w float32, value []float32) int {
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

// touchOnes is addOnes that notes new items as touchCoded does.
//
//go:noinline
func touchOnes(counts, touched []uint32, n int, row []uint32) int {
	for _, e := range row {
		id := e >> 8
		count := counts[id]
		touched[n] = id
		n += one(count == 0)
		counts[id] = count + 1
	}
	return n
}

// touchMoments adds a row of a Side, with its values, to the moments of a leading item
// with the weight w, and notes new items as touchCoded does.
//
//go:noinline
func touchMoments(m []moment, touched []uint32, n int, row []uint32, w float64, values []float32) int {
	values = values[:len(row)]
	for k, e := range row {
		id := e >> 8
		slot := &m[id]
		touched[n] = id
		n += one(slot.n == 0)
		slot.add(w, float64(values[k]))
	}
	return n
}

// nonZero writes the positions of the slots that are not zero to ids, which needs
// room for one more than there are slots, and returns their number.
func nonZero[T float32 | uint32](slots []T, ids []uint32) (n int) {
	for j, x := range slots {
		ids[n] = uint32(j)
		n += one(x != 0)
	}
	return n
}

// takeAll moves the slots of ids to dst and leaves zeros.
func takeAll[T float32 | uint32](dst, slots []T, ids []uint32) {
	dst = dst[:len(ids)]
	for k, j := range ids {
		dst[k], slots[j] = slots[j], 0
	}
}

// positions appends the positions of the rows of users. The loads do not wait for
// each other here, as they would between rows.
//
//go:noinline
func positions(dst, at, users []uint32) []uint32 {
	for _, u := range users {
		dst = append(dst, at[u])
	}
	return dst
}

// cosines writes dot·inverse·scale of the items of ids.
//
//go:noinline
func cosines(dst, dot []float32, scale float32, ids []uint32, inverse []float32) {
	dst, dot = dst[:len(ids)], dot[:len(ids)]
	for k, j := range ids {
		dst[k] = dot[k] * inverse[j] * scale
	}
}

// jaccards writes common / (own + users - common) of the items of ids.
//
//go:noinline
func jaccards(dst, common []float32, own float32, ids, users []uint32) {
	dst, common = dst[:len(ids)], common[:len(ids)]
	for k, j := range ids {
		dst[k] = common[k] / (own + float32(users[j]) - common[k])
	}
}

// kthFinder finds the k-th largest of many numbers.
type kthFinder struct{ buf []float32 }

// find returns the k-th largest of x, which has no NaN, or -Inf if there are not k.
// Numbers go to a buffer of 2k; when it is full, the k largest stay and the least of
// them is what the next must beat.
func (f *kthFinder) find(x []float32, k int) float32 {
	if len(x) < k {
		return negInf
	}
	if want := 2*k + 64; len(f.buf) < want {
		f.buf = make([]float32, want)
	}
	buf := f.buf[:2*k+64]
	n, bound := 0, negInf
	for {
		var taken int
		taken, n = above(buf, n, x, bound)
		x = x[taken:]
		if len(x) == 0 {
			break
		}
		n, bound = k, selectBest(buf, k)
	}
	if n < k {
		return negInf
	}
	return selectBest(buf[:n], k)
}

// above appends to buf[n:] the numbers of x that are above bound, without a branch,
// and stops before buf could overflow. It returns how many of x it has seen.
//
//go:noinline
func above(buf []float32, n int, x []float32, bound float32) (taken, filled int) {
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
