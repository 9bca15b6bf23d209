package synthetic

import "math"

// Domains keep the random numbers of different purposes apart.
const (
	domainCatalog = iota + 1
	domainUser
	domainUserOrder
	domainItemOrder
	domainNames
	domainClock
	domainSession
	domainTrial
	domainDirt
	domainDevice
	domainMatrix
	domainHouseholds
	domainHousehold
	domainPerson
	domainSightings
	domainSecondAccount
	domainSize
	domainListing
	domainSKU
	domainShares
	domainStock
)

// random is SplitMix64 (Steele, Lea and Flood, OOPSLA 2014). It is seeded in a
// few nanoseconds, which a generator for each user and session needs.
type random struct{ state uint64 }

// newRandom returns the generator number n of a domain.
func newRandom(seed, domain, n uint64) random {
	return random{mix(mix(seed+domain*0x9e3779b97f4a7c15) + n)}
}

// mix is the finalizer of SplitMix64: a bijection that spreads every bit.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func (r *random) uint64() uint64 {
	x := mix(r.state)
	r.state += 0x9e3779b97f4a7c15
	return x
}

// float returns a number from 0 up to but without 1.
func (r *random) float() float64 { return float64(float64(r.uint64()>>11) / (1 << 53)) }

// open returns a number between 0 and 1, without both.
func (r *random) open() float64 { return float64((float64(r.uint64()>>12) + 0.5) / (1 << 52)) }

// intN returns a number from 0 to n-1; its bias, n/2^53, does not matter here.
func (r *random) intN(n int) int { return int(r.float() * float64(n)) }

// between returns a number from lo to hi, both included.
func (r *random) between(lo, hi int) int { return lo + r.intN(hi-lo+1) }

// normal returns a standard normal number (Box and Muller 1958).
func (r *random) normal() float64 {
	radius := math.Sqrt(-2 * logarithm(r.open()))
	return mul(radius, cosTurns(r.float()))
}

// exponential returns an exponential number of the given mean, at most eight
// times the mean.
func (r *random) exponential(mean float64) float64 {
	return mul(mean, min(-logarithm(r.open()), 8))
}

// permutation is a keyed bijection of 0..n-1: a Feistel network of four rounds
// over the next even power of two, walked until it falls below n.
type permutation struct {
	n    uint64
	half uint // bits of one half
	keys [4]uint64
}

func newPermutation(seed, domain, part uint64, n int) permutation {
	p := permutation{n: uint64(n), half: 1}
	for 1<<(2*p.half) < p.n {
		p.half++
	}
	r := newRandom(seed, domain, part)
	for i := range p.keys {
		p.keys[i] = r.uint64()
	}
	return p
}

// apply returns the image of x, invert its inverse image. Both need under four
// walks on average.
func (p *permutation) apply(x int) int {
	v := uint64(x)
	for {
		l, r := v>>p.half, v&(1<<p.half-1)
		for _, k := range p.keys {
			l, r = r, l^mix(r^k)&(1<<p.half-1)
		}
		if v = l<<p.half | r; v < p.n {
			return int(v)
		}
	}
}

func (p *permutation) invert(x int) int {
	v := uint64(x)
	for {
		l, r := v>>p.half, v&(1<<p.half-1)
		for i := len(p.keys) - 1; i >= 0; i-- {
			l, r = r^mix(l^p.keys[i])&(1<<p.half-1), l
		}
		if v = l<<p.half | r; v < p.n {
			return int(v)
		}
	}
}

// alias draws one of n numbers in proportion to weights in constant time
// (Walker 1977, built as by Vose 1991). It takes 8 bytes a number.
type alias struct {
	keep  []uint32 // in 2^-32
	other []uint32
}

// newAlias returns the table of weights, which are at least 0 with a sum above 0.
func newAlias(weights []float64) alias {
	n, sum := len(weights), 0.0
	for _, w := range weights {
		sum += w
	}
	a := alias{make([]uint32, n), make([]uint32, n)}
	scaled := make([]float64, n)
	small, large := make([]uint32, 0, n), make([]uint32, 0, n)
	for i, w := range weights {
		scaled[i] = w / sum * float64(n)
		if scaled[i] < 1 {
			small = append(small, uint32(i))
		} else {
			large = append(large, uint32(i))
		}
	}
	for len(small) > 0 && len(large) > 0 {
		s, l := small[len(small)-1], large[len(large)-1]
		small = small[:len(small)-1]
		a.keep[s], a.other[s] = uint32(scaled[s]*(1<<32-1)), l
		if scaled[l] -= 1 - scaled[s]; scaled[l] < 1 {
			large = large[:len(large)-1]
			small = append(small, l)
		}
	}
	for _, rest := range [][]uint32{small, large} {
		for _, i := range rest {
			a.keep[i], a.other[i] = math.MaxUint32, i
		}
	}
	return a
}

func (a *alias) draw(r *random) int {
	i := r.intN(len(a.keep))
	if uint32(r.uint64()>>32) <= a.keep[i] {
		return i
	}
	return int(a.other[i])
}
