package identity

import "math"

// minHash computes signatures: for each of a number of hash functions the least hash of a set. Two sets agree at a place with a probability of their
// Jaccard similarity, so the share of equal places estimates it with a standard error of sqrt(J(1-J)/places).
//
// Broder [broder1997]. The functions are multiplications of hashes that are spread already, by odd numbers drawn from the seed.
type minHash struct {
	factors, terms []uint64
}

func newMinHash(places int, seed uint64) *minHash {
	h := &minHash{make([]uint64, places), make([]uint64, places)}
	state := spread(seed)
	for i := range h.factors {
		state = spread(state)
		h.factors[i] = state | 1
		state = spread(state)
		h.terms[i] = state
	}
	return h
}

// sign sets dst, of as many places as there are functions, to the signature of a set of hashes. That of the empty set is all ones.
func (h *minHash) sign(dst []uint32, set []uint64) {
	for i := range dst {
		dst[i] = math.MaxUint32
	}
	factors, terms := h.factors[:len(dst)], h.terms[:len(dst)]
	for _, x := range set {
		x ^= x >> 32
		for i := range dst {
			if v := uint32((x*factors[i] + terms[i]) >> 32); v < dst[i] {
				dst[i] = v
			}
		}
	}
}

// jaccard returns the similarity of two sorted sets: the size of what they share over that of what either has, 0 for two empty ones [jaccard1912].
func jaccard(a, b []uint64) float64 {
	both, i, j := 0, 0, 0
	for i < len(a) && j < len(b) {
		switch {
		case a[i] < b[j]:
			i++
		case a[i] > b[j]:
			j++
		default:
			both++
			i++
			j++
		}
	}
	if all := len(a) + len(b) - both; all > 0 {
		return float64(both) / float64(all)
	}
	return 0
}
