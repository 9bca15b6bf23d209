package experiment

import (
	"math"

	"github.com/cespare/xxhash/v2"
)

// Arm is a variant, with its share of the users relative to others.
type Arm struct {
	Name string
	// Weight is above 0 and finite.
	Weight float64
}

// Assign returns the arm of a unit: a user by key, or a session. It is a function of the salt, the unit and the arms alone, and does not depend on
// the order of the arms; their names must differ. With no arms it returns -1.
//
// It is weighted rendezvous hashing [thaler1998] [schindelhauer2005]: the arm with the largest -w/ln(h), h in (0, 1) from a hash of salt, arm and
// unit. So an arm gets the share w/Σw of the units, and as few as possible move when weights change: when an arm gets a larger weight, or is new, units
// move to it and to no other; when it gets a smaller one, or is taken out, units move away from it and from no other. The shares of two arms of another
// salt are independent.
//
// Cost: a hash of some 50 bytes for each arm.
func Assign(salt, unit string, arms []Arm) int {
	best, most := -1, math.Inf(-1)
	var buf [128]byte
	for i, a := range arms {
		key := append(append(append(buf[:0], salt...), 0), a.Name...) // names and keys hold no NUL
		key = append(append(key, 0), unit...)
		h := (float64(xxhash.Sum64(key)>>12) + 0.5) / (1 << 52) // exactly: a bit more would be rounded up to 1
		score := -a.Weight / math.Log(h)
		if best < 0 || score > most || score == most && a.Name < arms[best].Name {
			best, most = i, score
		}
	}
	return best
}
