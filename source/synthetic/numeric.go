package synthetic

import "math"

// The functions of package math differ between architectures in the last bit,
// and compilers may fuse x*y + z into one rounding. Both would change what is
// generated. So what decides is computed here: with operations that IEEE 754
// defines exactly, and with explicit conversions, which forbid fusing.

// mul returns x*y, rounded.
func mul(x, y float64) float64 { return float64(x * y) }

// exponentialOf returns e^x with a relative error under 1e-15 for |x| < 700.
func exponentialOf(x float64) float64 {
	// e^x = 2^k e^f with |f| <= ln(2)/2.
	const ln2High, ln2Low = 6.93147180369123816490e-01, 1.90821492927058770002e-10
	k := math.Floor(mul(x, math.Log2E) + 0.5)
	f := x - mul(k, ln2High)
	f -= mul(k, ln2Low)
	return math.Ldexp(polynomial(f, exponentialSeries[:]), int(k))
}

// logarithm returns ln(x) for x > 0 with an error under 1e-15 × max(1, |ln x|).
func logarithm(x float64) float64 {
	// ln(2^k m) = k ln 2 + 2 atanh((m-1)/(m+1)) with √½ <= m < √2.
	m, k := math.Frexp(x)
	if m < math.Sqrt2/2 {
		m *= 2
		k--
	}
	s := (m - 1) / (m + 1)
	s2 := mul(s, s)
	return mul(float64(k), math.Ln2) + mul(2*s, polynomial(s2, atanhSeries[:]))
}

// power returns x^y for x > 0.
func power(x, y float64) float64 { return exponentialOf(mul(y, logarithm(x))) }

// cosTurns returns cos(2πx) with an error under 1e-15 × max(1, |x|).
func cosTurns(x float64) float64 {
	x -= math.Floor(x)
	sign := 1.0
	if x = min(x, 1-x); x > 0.25 { // cos(2πx) = -cos(2π(½-x))
		x, sign = 0.5-x, -1
	}
	a2 := mul(mul(x, 2*math.Pi), mul(x, 2*math.Pi))
	return mul(sign, polynomial(a2, cosSeries[:]))
}

// normalBelow returns the share Φ(z) of the standard normal distribution, with an
// error under 1e-12, where 1e-9 would do for a billion users (Hart 1968, as given by
// West, "Better approximations to cumulative normal functions", 2005).
func normalBelow(z float64) float64 {
	x := math.Abs(z)
	tail := 0.0
	if x < 7.07106781186547 {
		tail = mul(exponentialOf(-mul(x, x)/2), polynomial(x, hartTop[:])) / polynomial(x, hartBottom[:])
	}
	if z > 0 {
		return 1 - tail
	}
	return tail
}

// Series, highest power first. Constants are exact until they are stored.
const (
	f2, f4, f6    = 2, 24, 720
	f8, f10, f12  = f6 * 7 * 8, f8 * 9 * 10, f10 * 11 * 12
	f14, f16, f18 = f12 * 13 * 14, f14 * 15 * 16, f16 * 17 * 18
	f20, f22      = f18 * 19 * 20, f20 * 21 * 22
)

var (
	exponentialSeries = [15]float64{
		1.0 / f14, 14.0 / f14, 1.0 / f12, 12.0 / f12, 1.0 / f10, 10.0 / f10, 1.0 / f8, 8.0 / f8,
		1.0 / f6, 6.0 / f6, 1.0 / f4, 4.0 / f4, 1.0 / f2, 1, 1,
	}
	cosSeries = [12]float64{
		-1.0 / f22, 1.0 / f20, -1.0 / f18, 1.0 / f16, -1.0 / f14, 1.0 / f12, -1.0 / f10, 1.0 / f8, -1.0 / f6, 1.0 / f4, -1.0 / f2, 1,
	}
	atanhSeries = [12]float64{
		1.0 / 23, 1.0 / 21, 1.0 / 19, 1.0 / 17, 1.0 / 15, 1.0 / 13, 1.0 / 11, 1.0 / 9, 1.0 / 7, 1.0 / 5, 1.0 / 3, 1,
	}
	hartTop = [7]float64{
		3.52624965998911e-2, 0.700383064443688, 6.37396220353165,
		33.912866078383, 112.079291497871, 221.213596169931, 220.206867912376,
	}
	hartBottom = [8]float64{
		8.83883476483184e-2, 1.75566716318264, 16.064177579207, 86.7807322029461,
		296.564248779674, 637.333633378831, 793.826512519948, 440.413735824752,
	}
)

// polynomial evaluates the coefficients, highest power first.
func polynomial(x float64, coefficients []float64) float64 {
	sum := 0.0
	for _, c := range coefficients {
		sum = mul(sum, x) + c
	}
	return sum
}

// normalQuantile returns the z with Φ(z) = p by bisection, to 1e-12, for p
// between 1e-12 and 1-1e-12. It costs 45 evaluations of Φ.
func normalQuantile(p float64) float64 {
	low, high := -7.0, 7.0
	for range 45 {
		if middle := (low + high) / 2; normalBelow(middle) < p {
			low = middle
		} else {
			high = middle
		}
	}
	return (low + high) / 2
}
