package factors

// Vectors of factors are float32, and padded with zeros to a multiple of lanes, so that loops have no rest. The kernels below are what training
// and queries spend their time in. The assembly and the Go of each do the same additions in the same order, and give the same bits; neither fuses a
// multiplication with an addition.

// lanes is what the length of a vector is a multiple of.
const lanes = 8

// padded returns the length of a vector of k factors.
func padded(k int) int { return (k + lanes - 1) / lanes * lanes }

// numbers has the integers from 0 on: the ids of rows that follow one another.
var numbers = func() (n [maxWidth]uint32) {
	for i := range n {
		n[i] = uint32(i)
	}
	return n
}()

// dotsAt writes the product of x and each row of y that ids names to dst: dst[i] = x · y[ids[i]]. y has rows of len(x), which is a multiple of lanes;
// dst and ids have one length. The caller vouches for the ids. Cost: O(len(ids)·len(x)).
func dotsAt(dst, x, y []float32, ids []uint32) {
	if len(ids) == 0 || len(x) == 0 {
		return
	}
	dst = dst[:len(ids)]
	if hasAVX2 {
		dotsAtAVX2(&dst[0], &x[0], &y[0], &ids[0], len(ids), 4*len(x))
		return
	}
	dotsAtGo(dst, x, y, ids)
}

// combineAt adds a combination of rows of y to dst: dst += sum of coef[i] · y[ids[i]]. The rows of y are stride apart, and len(dst), a multiple of lanes, is
// what is read of each; coef and ids have one length. The caller vouches for the ids. Cost: O(len(ids)·len(dst)).
func combineAt(dst, coef, y []float32, ids []uint32, stride int) {
	if len(ids) == 0 || len(dst) == 0 {
		return
	}
	coef = coef[:len(ids)]
	if hasAVX2 {
		combineAtAVX2(&dst[0], &coef[0], &y[0], &ids[0], len(ids), 4*len(dst), 4*stride)
		return
	}
	combineAtGo(dst, coef, y, ids, stride)
}

// dot returns x · y.
func dot(x, y []float32) float32 {
	var out [1]float32
	dotsAt(out[:], x, y[:len(x)], numbers[:1])
	return out[0]
}

// add adds a·x to dst.
func add(dst []float32, a float32, x []float32) {
	coef := [1]float32{a}
	combineAt(dst, coef[:], x[:len(dst)], numbers[:1], 0)
}

// pair moves three vectors at once, each from what all were before: x to keep·x + step·(a - b), a to keep·a + step·x, b to keep·b - step·x. They have one length, a
// multiple of lanes, and share no memory.
func pair(x, a, b []float32, step, keep float32) {
	if len(x) == 0 {
		return
	}
	a, b = a[:len(x)], b[:len(x)]
	if hasAVX2 {
		pairAVX2(&x[0], &a[0], &b[0], 4*len(x), step, keep)
		return
	}
	pairGo(x, a, b, step, keep)
}

func pairGo(x, a, b []float32, step, keep float32) {
	for j, v := range x {
		move := float32(step * v)
		x[j] = float32(keep*v) + float32(step*(a[j]-b[j]))
		a[j] = float32(keep*a[j]) + move
		b[j] = float32(keep*b[j]) - move
	}
}

func dotsAtGo(dst, x, y []float32, ids []uint32) {
	for i, id := range ids {
		row := y[int(id)*len(x):][:len(x)]
		var sum [4][lanes]float32
		at := 0
		for ; at+4*lanes <= len(x); at += 4 * lanes {
			for part := range sum {
				for l := range lanes {
					j := at + part*lanes + l
					sum[part][l] += float32(x[j] * row[j])
				}
			}
		}
		for ; at < len(x); at += lanes {
			for l := range lanes {
				sum[0][l] += float32(x[at+l] * row[at+l])
			}
		}
		var half [lanes / 2]float32
		for l := range half {
			m := l + lanes/2
			half[l] = ((sum[0][l] + sum[1][l]) + (sum[2][l] + sum[3][l])) + ((sum[0][m] + sum[1][m]) + (sum[2][m] + sum[3][m]))
		}
		dst[i] = (half[0] + half[1]) + (half[2] + half[3])
	}
}

func combineAtGo(dst, coef, y []float32, ids []uint32, stride int) {
	for i, id := range ids {
		row, a := y[int(id)*stride:][:len(dst)], coef[i]
		for j, x := range row {
			dst[j] += float32(a * x)
		}
	}
}
