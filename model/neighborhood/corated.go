package neighborhood

import (
	"fmt"
	"math"
	"strings"
)

// CoRated names a similarity of two items x and x' that is computed from the ratings of their common users alone (of two users,
// from those of their common items). The measures of package similarity differ in that their norms run over all users of an
// item: they rank better, but for ratings a user who has not rated is unknown, not zero. The zero value is no measure.
type CoRated uint8

const (
	// MSD is 1/(1 + d), d the mean squared difference of the ratings; it is in (0, 1]. Shardanand and Maes, CHI 1995
	// [shardanand1995], as in Surprise [hug2020].
	MSD CoRated = iota + 1
	// CoRatedCosine is the cosine of the ratings. With one common user it is 1, so it needs a minimum support.
	CoRatedCosine
	// PearsonBaseline is the correlation of what the ratings are above their baselines mu + b_u + b_i; 0 with fewer than two
	// common users. Made for shrinkage. Koren, ACM TKDD 4(1), 2010, section 2.2 [koren2010].
	PearsonBaseline
)

var coRatedNames = [...]string{MSD: "msd", CoRatedCosine: "cosine", PearsonBaseline: "pearson-baseline"}

// ParseCoRated returns the measure of a name: "msd", "cosine" or "pearson-baseline". The error for any other lists these.
func ParseCoRated(name string) (CoRated, error) {
	for m := MSD; m.valid(); m++ {
		if m.String() == name {
			return m, nil
		}
	}
	return 0, fmt.Errorf("unknown measure of ratings %q, want one of %s", name, strings.Join(coRatedNames[MSD:], ", "))
}

// String returns the name that ParseCoRated reads.
func (m CoRated) String() string {
	if m.valid() {
		return coRatedNames[m]
	}
	return fmt.Sprintf("co-rated(%d)", uint8(m))
}

func (m CoRated) valid() bool { return m >= MSD && int(m) < len(coRatedNames) }

// coSums is what the similarity of a pair is finished from: sums over the common users.
type coSums struct {
	dot, squares, otherSquares float64 // of MSD, dot is the sum of the squared differences
	n                          uint32
}

// similarities holds one row of similarities at a time: those of one x to all others. Its size is that of the x axis.
type similarities struct {
	x       int64     // whose row it is, -1 for none
	row     []float64 // 0 for those without common users, and for x itself
	sums    []coSums  // all zero between rows
	touched []uint32  // where row may be other than 0
}

func newSimilarities(size int) *similarities {
	return &similarities{x: -1, row: make([]float64, size), sums: make([]coSums, size)}
}

// compute makes the row that of x, unless it is. The sums of each pair are formed in ascending order of the common users, so
// the similarity of x to x' has the bits of that of x' to x.
// Cost: O(sum over the users of x of their ratings).
func (s *similarities) compute(m *Rating, x uint32) {
	if s.x == int64(x) {
		return
	}
	for _, other := range s.touched {
		s.row[other] = 0
	}
	s.x, s.touched = int64(x), s.touched[:0]
	for p := m.byX.Start[x]; p < m.byX.Start[x+1]; p++ {
		y, value := m.byX.Item[p], m.valueX[p]
		lo, hi := m.byY.Start[y], m.byY.Start[y+1]
		others := m.valueY[lo:hi]
		for q, id := range m.byY.Item[lo:hi] {
			t, other := &s.sums[id], others[q]
			if t.n == 0 {
				s.touched = append(s.touched, id)
			}
			t.n++
			if m.o.Measure == MSD {
				d := value - other
				t.dot += float64(d * d)
				continue
			}
			t.dot += float64(value * other) // conversions forbid fused operations: the same bits on any processor
			t.squares += float64(value * value)
			t.otherSquares += float64(other * other)
		}
	}
	for _, id := range s.touched {
		s.row[id] = m.o.finish(&s.sums[id])
		s.sums[id] = coSums{}
	}
	s.row[x] = 0
}

// finish makes a similarity of the sums of a pair.
func (o *RatingOptions) finish(t *coSums) float64 {
	n := float64(t.n)
	if n < float64(o.MinSupport) || n < 2 && o.Measure == PearsonBaseline {
		return 0
	}
	var s float64
	if o.Measure == MSD {
		s = 1 / (1 + t.dot/n)
	} else if p := t.squares * t.otherSquares; p > 0 {
		s = min(1, max(-1, t.dot/math.Sqrt(p)))
	}
	if o.Shrinkage > 0 {
		s *= (n - 1) / (n - 1 + o.Shrinkage)
	}
	return s
}
