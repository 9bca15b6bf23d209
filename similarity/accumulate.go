package similarity

// The loops in which a build spends its time. Each is a function of its own, small
// enough for the compiler to keep all it needs in registers: within a larger
// function, by hand or by inlining, the same loops took up to three times as long.
//
// The conversion of a product to float32 keeps compilers from fusing it with the
// addition, which would give other bits on other processors.

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
		fresh := 0
		if sum == 0 {
			fresh = 1
		}
		n += fresh
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
		fresh := 0
		if sum == 0 {
			fresh = 1
		}
		n += fresh
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
		fresh := 0
		if count == 0 {
			fresh = 1
		}
		n += fresh
		counts[id] = count + 1
	}
	return n
}

// nonZero writes the positions of the slots that are not zero to ids, which needs
// room for one more than there are slots, and returns their number.
func nonZero[T float32 | uint32](slots []T, ids []uint32) (n int) {
	for j, x := range slots {
		ids[n] = uint32(j)
		some := 0
		if x != 0 {
			some = 1
		}
		n += some
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
