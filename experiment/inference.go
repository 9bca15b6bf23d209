package experiment

import "math"

const (
	// concentration of the prior of shares, around those that are expected. Shares that differ from a half by some 0.05, a fifth more on one side than on the
	// other, are found with the fewest; see TestPeekingAtDifferentVariants.
	concentration = 100
	// DefaultExpected is the number of users for which intervals are narrowest.
	DefaultExpected = 10_000
	// minUsers and minOutcomes are how many users each variant must have, and how many with an outcome other than 0 two of them together, before there are
	// intervals: they rest on the central limit theorem.
	minUsers    = 100
	minOutcomes = 25
)

// SplitP returns an always-valid p-value of the hypothesis that each of the counted came to its place by chance, with the expected shares: at any time, and
// however often one has looked, it was ever at most α with a probability of at most α. Shares are above 0; they need not add up to 1.
//
// It is one over the ratio of the marginal likelihood under shares from a Dirichlet distribution around those expected, to that under the expected: a martingale
// in the order in which the counted come, whose value depends on the counts alone. Lindon and Malek, NeurIPS 2022 [lindon2022].
//
// Of users who were exposed it tests the split itself. Of users who bought it tests whether the variants are alike: by the randomization alone, whenever after
// their exposure they bought, and whatever else made them buy.
func SplitP(counts []uint64, shares []float64) float64 {
	return min(1, math.Exp(-logMixture(counts, shares, concentration)))
}

// logMixture returns the logarithm of the ratio of likelihoods for a prior of some concentration.
func logMixture(counts []uint64, shares []float64, concentration float64) float64 {
	total := 0.0
	for _, s := range shares {
		total += s
	}
	n, ratio := 0.0, 0.0
	for i, c := range counts {
		x, a := float64(c), concentration*shares[i]/total
		ratio += logGamma(a+x) - logGamma(a) - x*math.Log(shares[i]/total)
		n += x
	}
	return ratio + logGamma(concentration) - logGamma(concentration+n)
}

func logGamma(x float64) float64 {
	y, _ := math.Lgamma(x) // of numbers above 0 the sign is plus
	return y
}

// Sample sums up an outcome of users.
type Sample struct {
	// N is the number of users, Outcomes that of those whose outcome is not 0.
	N, Outcomes uint64
	// Sum and Squares are those of the outcomes.
	Sum, Squares float64
}

// Mean returns the mean outcome of a user; 0 without users.
func (s Sample) Mean() float64 {
	if s.N == 0 {
		return 0
	}
	return s.Sum / float64(s.N)
}

// variance returns that of one outcome.
func (s Sample) variance() float64 {
	return max(0, s.Squares/float64(s.N)-s.Mean()*s.Mean())
}

// Difference is how much larger a mean is than another.
type Difference struct {
	// Known is false where there is too little to say: see minUsers. Then the rest is 0, but P is 1.
	Known bool
	// Value is estimated; with a probability of 1-α the true one is between Low and High at all looks.
	Value, Low, High float64
	// P is the always-valid p-value of no difference: the least α for which 0 is outside the interval.
	P float64
}

// Compare returns the difference of the means of a variant and the control, by an asymptotic confidence sequence at level 1-alpha that is narrowest at expected
// users: Waudby-Smith and others, Annals of Statistics 2024 [waudbysmith2024], theorem 2.2, with the variance of the difference of two means
// in the place of that of one,
//
//	d ± √(V·n) · √( 2(nρ²+1)/(n²ρ²) · ln(√(nρ²+1)/α) ),   V = s²(control)/n(control) + s²(variant)/n(variant)
//
// of n users in both, and ρ² = (2ln(1/α) + ln(1+2ln(1/α)))/expected. It is the mixture sequential test of normal means with estimated variances. That holds for
// all looks behind the first, in the limit of many users.
func Compare(control, variant Sample, alpha float64, expected uint64) Difference {
	if control.N < minUsers || variant.N < minUsers || control.Outcomes+variant.Outcomes < minOutcomes {
		return Difference{P: 1}
	}
	n := float64(control.N + variant.N)
	v := control.variance()/float64(control.N) + variant.variance()/float64(variant.N)
	if !(v > 0) || math.IsInf(v, 0) { // not a number, too
		return Difference{P: 1}
	}
	tau := 2 * math.Log(1/alpha)
	rho := (tau + math.Log(1+tau)) / float64(expected) // squared
	spread := n*rho + 1
	d := Difference{Known: true, Value: variant.Mean() - control.Mean()}
	radius := math.Sqrt(v * n * 2 * spread / (n * n * rho) * math.Log(math.Sqrt(spread)/alpha))
	d.Low, d.High = d.Value-radius, d.Value+radius
	d.P = min(1, math.Sqrt(spread)*math.Exp(-d.Value*d.Value*n*rho/(2*v*spread)))
	return d
}
