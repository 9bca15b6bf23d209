package similarity

import (
	"fmt"
	"math"
	"math/bits"
)

// Weigher turns the stored weights of rows into those that a measure is computed
// from. It works row by row, so the rows of a matrix may be weighed apart. It is not
// changed once made.
type Weigher struct {
	how measureWeight
	// numItems is that of the whole matrix, and perItem a number for each item:
	// BM25's K1(1-B+B·l), or the inverse document frequency where users are compared.
	numItems int
	perItem  []float64
}

type measureWeight uint8

const (
	asStored measureWeight = iota
	asOnes
	lessMean
	rootIDF     // of the user
	saturated   // and idf of the user
	rootItemIDF // of the item
)

// Constants of BM25, as the defaults of implicit.
const (
	bm25K1 = 1.2
	bm25B  = 0.75
)

// NewWeigher returns the Weigher for a comparison of items by m, in a matrix of
// numItems. sums has the sum of weights of each item, if m.NeedsSums.
func NewWeigher(m Measure, numItems int, sums []Sum) (*Weigher, error) {
	w := &Weigher{numItems: numItems}
	switch m {
	case AdjustedCosine:
		w.how = lessMean
	case TFIDF:
		w.how = rootIDF
	case BM25:
		if len(sums) != numItems {
			return nil, fmt.Errorf("%s: %d sums of weights for %d items: %w", m, len(sums), numItems, ErrShape)
		}
		w.how = saturated
		w.perItem = lengthNorms(sums)
	default:
		if m.kind() == commons || m.kind() == swings {
			w.how = asOnes
		}
	}
	return w, nil
}

// NewUserWeigher returns the Weigher for a comparison of users where items are compared
// by m: users×items rows of a matrix of numUsers, in which counts has the number of
// users of each item. Cost: O(items) where idf is needed.
func NewUserWeigher(m Measure, numUsers uint64, counts []uint64) *Weigher {
	w := &Weigher{numItems: len(counts)}
	switch m = m.OfUsers(); {
	case m == AdjustedCosine:
		w.how = lessMean
	case m == TFIDF:
		w.how = rootItemIDF
		w.perItem = make([]float64, len(counts))
		for i, n := range counts {
			w.perItem[i] = idf(float64(numUsers), float64(n))
		}
	case m.kind() == commons:
		w.how = asOnes
	}
	return w
}

// NeedsSums tells whether weights depend on the sums of the weights of items.
func (m Measure) NeedsSums() bool { return m == BM25 }

// NeedsCounts tells whether weights of users depend on the number of users of each item.
func (m Measure) NeedsCounts() bool { return m.OfUsers() == TFIDF }

func idf(documents, having float64) float64 { return math.Log(documents) - math.Log1p(having) }

// lengthNorms returns K1(1-B+B·l) of each item.
func lengthNorms(sums []Sum) []float64 {
	var total Sum
	for _, s := range sums {
		total.Merge(s)
	}
	mean := total.Float() / float64(len(sums))
	norms := make([]float64, len(sums))
	for i, s := range sums {
		l := 1.0
		if mean > 0 {
			l = max(0, s.Float()/mean)
		}
		norms[i] = bm25K1 * (1 - bm25B + float64(bm25B*l))
	}
	return norms
}

// ByRow tells whether the weight of an entry depends on its row. If not, Rows may be given columns.
func (w *Weigher) ByRow() bool { return w.how != asStored && w.how != asOnes }

// Rows returns r, which must be valid, with its weights weighed. r is not changed; the
// result may share its slices. Cost: O(users + entries).
func (w *Weigher) Rows(r *Rows) *Rows {
	switch {
	case w.how == asStored || w.how == asOnes && r.Weight == nil:
		return r
	case w.how == asOnes:
		return &Rows{NumItems: r.NumItems, Start: r.Start, Item: r.Item}
	}
	out := &Rows{NumItems: r.NumItems, Start: r.Start, Item: r.Item, Weight: make([]float32, len(r.Item))}
	for u := range r.NumUsers() {
		items, row := r.row(u)
		w.row(out.Weight[r.Start[u]:r.Start[u+1]], items, row)
	}
	return out
}

// Row returns the weights of one row with the given items, as Rows does. nil stands for
// ones, in weights and in the result, which may be weights itself; that is not changed.
func (w *Weigher) Row(items []uint32, weights []float32) []float32 {
	switch w.how {
	case asStored:
		return weights
	case asOnes:
		return nil
	}
	dst := make([]float32, len(items))
	w.row(dst, items, weights)
	return dst
}

func (w *Weigher) row(dst []float32, items []uint32, weights []float32) {
	if w.how == lessMean {
		center(dst, weights)
		return
	}
	user := 1.0
	if w.how != rootItemIDF {
		user = idf(float64(w.numItems), float64(len(items)))
	}
	for k, i := range items {
		x := float64(weightAt(weights, k))
		size := math.Abs(x)
		switch {
		case w.how == saturated && size > 0:
			size *= (bm25K1 + 1) / (w.perItem[i] + size)
		case w.how != saturated:
			size = math.Sqrt(size)
		}
		weight := user
		if w.how == rootItemIDF && int(i) < len(w.perItem) {
			weight = w.perItem[i]
		}
		dst[k] = float32(math.Copysign(size, x) * weight)
	}
}

// noise is the part of the largest weight of a row below which a residual is
// taken for the rounding of float32 weights. Without this, an item whose users all
// gave it their mean (0.1, 0.2, 0.3 and the item with 0.2) would get neighbors
// with scores of ±1 made of rounding alone.
const noise = 1.0 / (1 << 22)

// center writes row minus its mean to dst; no row stands for ones. The mean is exact
// for up to 2^29 equal weights, so their residuals are exactly zero.
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

// Sum is a sum of weights in fixed point: a two's complement integer of 128 bits in
// units of 2^-54, which holds 2^32 weights of MaxWeight. So it depends neither on the
// order nor on the grouping of what is added. The zero value is 0.
type Sum struct{ High, Low uint64 }

// unitBits is the number of bits after the point of a Sum.
const unitBits = 54

// Add adds a weight, at most MaxWeight in magnitude, whose bits under 2^-54 are cut.
func (s *Sum) Add(w float32) {
	x := math.Ldexp(math.Abs(float64(w)), unitBits)
	high := math.Floor(math.Ldexp(x, -64))
	add := Sum{High: uint64(high), Low: uint64(x - math.Ldexp(high, 64))}
	if w < 0 {
		var borrow uint64
		add.Low, borrow = bits.Sub64(0, add.Low, 0)
		add.High, _ = bits.Sub64(0, add.High, borrow)
	}
	s.Merge(add)
}

// Merge adds another sum.
func (s *Sum) Merge(o Sum) {
	var carry uint64
	s.Low, carry = bits.Add64(s.Low, o.Low, 0)
	s.High, _ = bits.Add64(s.High, o.High, carry)
}

// Float returns the sum, rounded.
func (s Sum) Float() float64 {
	if s.High>>63 == 1 {
		low, borrow := bits.Sub64(0, s.Low, 0)
		high, _ := bits.Sub64(0, s.High, borrow)
		return -Sum{high, low}.Float()
	}
	return math.Ldexp(float64(s.High), 64-unitBits) + math.Ldexp(float64(s.Low), -unitBits)
}

// SumsOf returns the sum of the weights of each item.
func SumsOf(r *Rows) []Sum {
	sums := make([]Sum, r.NumItems)
	for u := range r.NumUsers() {
		for k := r.Start[u]; k < r.Start[u+1]; k++ {
			sums[r.Item[k]].Add(r.weight(k))
		}
	}
	return sums
}
