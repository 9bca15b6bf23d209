package similarity

import "math"

// Loops of measures that visit.go has not.

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

// positions appends the positions of the rows of users, and has capacity for visitAhead
// more, of row 0. The loads do not wait for each other here, as they would between rows.
//
//go:noinline
func positions(dst, at, users []uint32) []uint32 {
	for _, u := range users {
		dst = append(dst, at[u])
	}
	return append(dst, make([]uint32, visitAhead)...)[:len(dst)]
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

// kthFinder finds the k-th largest of many numbers, again and again.
type kthFinder struct {
	buf  []float32
	last float32 // what was found
}

// guessShare is the part of what was found the last time that is likely to be below what is looked for: items come by popularity, so that estimates of one are like those of the next.
const guessShare = 0.7

// noGuess is what no estimate reaches.
var noGuess = float32(math.Inf(1))

// guess returns a number above 0 that the k-th largest is likely to reach, or noGuess.
func (f *kthFinder) guess() float32 {
	if f.last > 0 {
		return f.last * guessShare
	}
	return noGuess
}

// room returns the buffer for k.
func (f *kthFinder) room(k int) []float32 {
	if want := 2*k + 64; len(f.buf) < want {
		f.buf = make([]float32, want)
	}
	return f.buf[:2*k+64]
}

// find returns the k-th largest of x, which has no NaN, or -Inf if there are not k.
func (f *kthFinder) find(x []float32, k int) float32 {
	f.last = f.findAll(x, k)
	return f.last
}

// findAll is find. Numbers go to a buffer of 2k; when it is full, the k largest stay and the least of
// them is what the next must beat.
func (f *kthFinder) findAll(x []float32, k int) float32 {
	if len(x) < k {
		return negInf
	}
	buf := f.room(k)
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

// findAt is find of x, of which those at places are all that reach a bound, and perhaps others. It reports false if fewer than k reach it.
func (f *kthFinder) findAt(x []float32, places []uint32, k int, bound float32) (kth float32, ok bool) {
	if len(places) < k {
		return 0, false
	}
	buf, n := f.room(k), 0
	for _, p := range places {
		if n == len(buf) {
			selectBest(buf, k)
			n = k
		}
		buf[n] = x[p]
		n += one(x[p] >= bound)
	}
	if n < k {
		return 0, false
	}
	f.last = selectBest(buf[:n], k)
	return f.last, true
}
