package similarity

import (
	"fmt"
	"math"
	"strings"
)

// Measure names a similarity of two items x and y, given by their columns of the
// weighed matrix. The zero value is no measure.
type Measure uint8

const (
	// Cosine is x·y / (|x||y|), norms over all users of an item (a user without
	// an entry counts as 0). Sarwar et al., WWW 2001, section 3.1.1 [sarwar2001].
	Cosine Measure = iota + 1
	// Jaccard is the number of common users over the number of users of either
	// item. Every stored entry counts, whatever its weight. Jaccard,
	// New Phytologist 11(2), 1912 [jaccard1912].
	Jaccard
	// AdjustedCosine is the cosine after each user's mean weight, over all entries
	// of that user, is taken from the user's entries. Scores are in [-1, 1];
	// negative ones are kept and rank last. Norms run over all users of an item,
	// as those of Cosine do. Sarwar et al., WWW 2001, section 3.1.3 [sarwar2001].
	AdjustedCosine
)

var measureNames = [...]string{Cosine: "cosine", Jaccard: "jaccard", AdjustedCosine: "adjusted-cosine"}

// Measures returns all measures in a fixed order.
func Measures() []Measure {
	return []Measure{Cosine, Jaccard, AdjustedCosine}
}

// ParseMeasure returns the measure of a name: "cosine", "jaccard" or
// "adjusted-cosine". The error for any other name lists these.
func ParseMeasure(name string) (Measure, error) {
	for _, m := range Measures() {
		if m.String() == name {
			return m, nil
		}
	}
	return 0, fmt.Errorf("unknown measure %q, want one of %s", name, strings.Join(measureNames[Cosine:], ", "))
}

// String returns the name that ParseMeasure reads.
func (m Measure) String() string {
	if m.valid() {
		return measureNames[m]
	}
	return fmt.Sprintf("measure(%d)", uint8(m))
}

func (m Measure) valid() bool {
	return m >= Cosine && int(m) < len(measureNames)
}

// Options of a build. All but Threads change results.
type Options struct {
	// Measure is required.
	Measure Measure
	// K is the length at which lists are cut, at least 1.
	K int
	// Shrinkage s multiplies a score by n/(n+s), n the number of common users, so
	// that a score with little support ranks lower; 0 is off. Users whose weight
	// is zero count in n.
	Shrinkage float64
	// MinSupport drops pairs with fewer common users; 0 and 1 are off.
	MinSupport int
	// Threads is the number of goroutines of Build; 0 means one for each processor
	// that the runtime uses.
	Threads int
}

// Validate returns an error that names the first field out of its bounds.
func (o Options) Validate() error {
	switch {
	case !o.Measure.valid():
		return fmt.Errorf("options: Measure is %s, want one of %s", o.Measure, strings.Join(measureNames[Cosine:], ", "))
	case o.K < 1:
		return fmt.Errorf("options: K is %d, want at least 1", o.K)
	case !(o.Shrinkage >= 0) || math.IsInf(o.Shrinkage, 1):
		return fmt.Errorf("options: Shrinkage is %v, want a finite number of at least 0", o.Shrinkage)
	case o.MinSupport < 0:
		return fmt.Errorf("options: MinSupport is %d, want at least 0", o.MinSupport)
	case o.Threads < 0:
		return fmt.Errorf("options: Threads is %d, want at least 0", o.Threads)
	}
	return nil
}

// needsCount tells whether a score depends on the number of common users.
func (o Options) needsCount() bool {
	return o.Measure == Jaccard || o.Shrinkage > 0 || o.MinSupport > 1
}

// score finishes the score of a pair from the sum over its common users, the sums
// of squares and the numbers of users of both items, and the number of common
// users. Jaccard uses only the counts, and common is not used unless needsCount.
func (o Options) score(dot, squaresX, squaresY float64, usersX, usersY, common uint32) float32 {
	var s float64
	if o.Measure == Jaccard {
		s = float64(common) / (float64(usersX) + float64(usersY) - float64(common))
	} else {
		p := squaresX * squaresY
		if p == 0 {
			return 0
		}
		s = min(1, max(-1, dot/math.Sqrt(p)))
	}
	if o.Shrinkage > 0 {
		s *= float64(common) / (float64(common) + o.Shrinkage)
	}
	return float32(s)
}

// Weigh returns r with the weights that the measure is computed from. It works
// row by row, so the rows of a matrix may be weighed apart. r is not changed;
// the result may share its slices. r must be valid. Cost: O(users + entries).
func Weigh(r *Rows, m Measure) *Rows {
	switch {
	case m == Jaccard && r.Weight != nil:
		return &Rows{NumItems: r.NumItems, Start: r.Start, Item: r.Item}
	case m == AdjustedCosine:
		w := &Rows{NumItems: r.NumItems, Start: r.Start, Item: r.Item, Weight: make([]float32, len(r.Item))}
		for u := range r.NumUsers() {
			_, row := r.row(u) // nil stands for ones, whose residuals are all zero
			center(w.Weight[r.Start[u]:r.Start[u+1]], row)
		}
		return w
	default:
		return r
	}
}

// WeighRow returns the weights of one row of n entries as Weigh does. nil stands for
// ones, in weights and in the result, which may be weights itself; that is not changed.
func WeighRow(n int, weights []float32, m Measure) []float32 {
	switch m {
	case Jaccard:
		return nil
	case AdjustedCosine:
		dst := make([]float32, n)
		center(dst, weights)
		return dst
	default:
		return weights
	}
}

// noise is the part of the largest weight of a row below which a residual is
// taken for the rounding of float32 weights. Without this, an item whose users all
// gave it their mean (0.1, 0.2, 0.3 and the item with 0.2) would get neighbors
// with scores of ±1 made of rounding alone.
const noise = 1.0 / (1 << 22)

// center writes row minus its mean to dst. The mean is exact for up to 2^29 equal
// weights, so their residuals are exactly zero.
func center(dst, row []float32) {
	if len(row) == 0 {
		return
	}
	var sum, largest float64
	for _, w := range row {
		sum += float64(w)
		largest = max(largest, math.Abs(float64(w)))
	}
	mean := sum / float64(len(row))
	for k, w := range row {
		d := float64(w) - mean
		if math.Abs(d) <= noise*largest {
			d = 0
		}
		dst[k] = float32(d)
	}
}
