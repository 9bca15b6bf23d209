package clean

import "math"

// ordered returns a number that sorts as x does; 0 and -0 are one.
func ordered(x float64) uint64 {
	bits := math.Float64bits(x + 0)
	if bits>>63 != 0 {
		return ^bits
	}
	return bits | 1<<63
}

// unordered is the inverse of ordered.
func unordered(u uint64) float64 {
	if u>>63 != 0 {
		return math.Float64frombits(u &^ (1 << 63))
	}
	return math.Float64frombits(^u)
}
