package similarity

import "math"

// limits bounds, for one item, its sums with the items that its list does not hold: one
// number for all whose ids end in the same digits, an octave in sixteen steps. Where few
// sums are large, most pairs are known to be far from a list that has a place for them
// only because some pair may be near.
type limits struct {
	cells []uint8 // 2^n codes, 0 for no sum; none at all if there is no such item
	base  int32   // what is added to a code
}

// Steps of a code: the bits of a float32 but the low ones. New cells leave room above the
// largest sum, so that they seldom have to move.
const (
	limitShift = 19
	limitTop   = 255
	limitRoom  = 16
)

// pairsPerCell is the number of pairs to a cell, or half of that.
const pairsPerCell = 8

// reset empties the cells for n items with sums up to largest, which is above 0.
func (l *limits) reset(n int, largest float32) {
	size := 8
	for size*pairsPerCell < n {
		size *= 2
	}
	if len(l.cells) != size {
		l.cells = make([]uint8, size)
	} else {
		clear(l.cells)
	}
	l.base = limitStep(largest) - (limitTop - limitRoom)
}

// limitStep rounds up.
func limitStep(x float32) int32 {
	return int32((math.Float32bits(x) + 1<<limitShift - 1) >> limitShift)
}

// of returns what the sum with item j is at most.
func (l *limits) of(j uint32) float32 {
	if len(l.cells) == 0 {
		return 0
	}
	c := l.cells[j&uint32(len(l.cells)-1)]
	if c == 0 {
		return 0
	}
	return math.Float32frombits(uint32(int32(c)+l.base) << limitShift)
}

// raise takes in that the sum with item j is at most x, which is above 0.
func (l *limits) raise(j uint32, x float32) {
	if len(l.cells) == 0 {
		l.reset(0, x)
	}
	code := limitStep(x) - l.base
	if code > limitTop {
		l.lower(code - limitTop + limitRoom)
		code = limitStep(x) - l.base
	}
	c := &l.cells[j&uint32(len(l.cells)-1)]
	*c = max(*c, uint8(max(1, code)))
}

// lower moves all codes down by n.
func (l *limits) lower(n int32) {
	l.base += n
	for k, c := range l.cells {
		if c > 0 {
			l.cells[k] = uint8(max(1, int32(c)-n))
		}
	}
}
