package clean

import "math"

// moments sums numbers up in the order in which they come, by Welford's recurrence [welford1962], which does not lose the digits that
// differences of large sums do. Products are rounded by themselves, so that the result is the same on all processors.
type moments struct {
	n        int64
	mean, m2 float64
	min, max float64
}

func (m *moments) add(x float64) {
	if m.n == 0 || x < m.min {
		m.min = x
	}
	if m.n == 0 || x > m.max {
		m.max = x
	}
	m.n++
	d := x - m.mean
	m.mean += d / float64(m.n)
	m.m2 += float64(d * (x - m.mean))
}

// sd returns the standard deviation of the population.
func (m *moments) sd() float64 {
	if m.n == 0 {
		return 0
	}
	return math.Sqrt(m.m2 / float64(m.n))
}

// picker finds quantiles of n values that come in ascending order.
type picker struct {
	ps    []float64
	out   []float64
	ranks []int64   // lower ranks
	lower []float64 // values of the lower ranks
	n, at int64
}

// newPicker returns a picker of the quantiles ps, between 0 and 1, ascending.
func newPicker(n int64, ps []float64) picker {
	p := picker{ps: ps, out: make([]float64, len(ps)), ranks: make([]int64, len(ps)), lower: make([]float64, len(ps)), n: n}
	for i, q := range ps {
		p.ranks[i] = int64(math.Floor(float64(n-1) * q))
	}
	return p
}

func (p *picker) add(x float64) {
	for i, rank := range p.ranks {
		switch p.at {
		case rank:
			p.lower[i], p.out[i] = x, x
		case rank + 1:
			g := float64(p.n-1)*p.ps[i] - float64(rank)
			p.out[i] = between(p.lower[i], x, g)
		}
	}
	p.at++
}

// between returns the value at the part g of the way from a to b.
func between(a, b, g float64) float64 {
	if d := b - a; !math.IsInf(d, 0) {
		return a + float64(g*d)
	}
	return float64(a*(1-g)) + float64(b*g)
}
