package similarity

import (
	"fmt"
	"math"
	"strings"
)

// Measure names a similarity of two items x and y of a users×items matrix. The zero
// value is no measure.
//
// In the formulas n is the number of users who have both, a those of x and b those
// of y, N all users; x·y the sum of products over the n common users, |x| the root
// of the sum of squares over all users of x. Where a measure is not symmetric, x is
// the item whose list it is, and y the neighbor.
type Measure uint8

const (
	// Cosine is x·y / (|x||y|). Sarwar et al., WWW 2001, section 3.1.1 [sarwar2001].
	Cosine Measure = iota + 1
	// AdjustedCosine is the cosine after each user's mean weight, over all entries
	// of that user, is taken from the user's entries. Scores are in [-1, 1];
	// negative ones are kept and rank last. Norms run over all users of an item,
	// as those of Cosine do. Sarwar et al., WWW 2001, section 3.1.3 [sarwar2001].
	AdjustedCosine
	// Pearson is the correlation of the weights of the common users alone, means
	// and variances too: (n·Σxy - Σx·Σy) / √((n·Σx²-(Σx)²)(n·Σy²-(Σy)²)), as
	// pearson in Surprise [hug2020]. Where either has no variance there is no
	// score. Scores are in [-1, 1]; negative ones are kept and rank last. Pairs with
	// few common users have extreme scores: set MinSupport or Shrinkage.
	Pearson
	// Jaccard is n / (a+b-n). Every stored entry counts, whatever its weight.
	// Jaccard, New Phytologist 11(2), 1912 [jaccard1912].
	Jaccard
	// Dice is 2n / (a+b). Dice, Ecology 26(3), 1945 [dice1945].
	Dice
	// LogLikelihood is the ratio 2·Σ O·ln(O/E) over the table of observed and expected
	// numbers of users with both, one and neither. Dunning, Computational Linguistics
	// 19(1), 1993 [dunning1993]; the value is that of logLikelihoodRatio in Mahout,
	// which also reports 1-1/(1+ratio), in the same order. It is negative where fewer
	// users have both than chance would give, and then ranks last, as
	// rootLogLikelihoodRatio in Mahout has it. Weights do not count.
	LogLikelihood
	// TFIDF is the cosine of the weights √w·idf, idf of a user with m of M items
	// ln(M) - ln(1+m): users of few items tell more. As TFIDFRecommender in implicit
	// [frederickson2023].
	TFIDF
	// BM25 is the sum of products of the weights w(K1+1)/(w+K1(1-B+B·l))·idf, l the sum
	// of the weights of an item over the mean of that of all items, idf as that of
	// TFIDF, K1=1.2, B=0.75; it is not divided by norms. As BM25Recommender in
	// implicit [frederickson2023], after Robertson and Zaragoza [robertson2009].
	BM25
	// AsymmetricCosine is x·y / (|x|^2α |y|^2(1-α)). With α=0.5 it is Cosine; a smaller
	// one favors rare neighbors, a larger one popular ones. Aiolli, RecSys 2013
	// [aiolli2013].
	AsymmetricCosine
	// ConditionalProbability is n / a: the part of the users of x who have y.
	// Deshpande and Karypis, TOIS 22(1), 2004, section 4.1 [deshpande2004].
	ConditionalProbability
	// Lift is n·N / (a·b): how many times as many users have both as would if they
	// chose independently. Brin et al., SIGMOD 1997 (interest) [brin1997]. Rare pairs
	// have the largest scores: set MinSupport.
	Lift
	// Swing is the sum, over all pairs {u, v} of common users, of
	// 1/√|u| · 1/√|v| · 1/(1+|u∩v|), |u| the number of items of u and |u∩v| that of
	// common ones: users who agree on little else tell most. Yang et al., 2020
	// [yang2020]. An item's list looks at up to 1,000 of its users, evenly spaced.
	// Weights do not count. Cost: the sum over items of (users, to 1,000)² · row / 2.
	Swing
)

var measureNames = [...]string{
	Cosine: "cosine", AdjustedCosine: "adjusted-cosine", Pearson: "pearson", Jaccard: "jaccard", Dice: "dice",
	LogLikelihood: "log-likelihood", TFIDF: "tf-idf", BM25: "bm25", AsymmetricCosine: "asymmetric-cosine",
	ConditionalProbability: "conditional-probability", Lift: "lift", Swing: "swing",
}

// Measures returns all measures in a fixed order.
func Measures() []Measure {
	var all []Measure
	for m := Cosine; m.valid(); m++ {
		all = append(all, m)
	}
	return all
}

// ParseMeasure returns the measure of a name, such as "cosine" or "log-likelihood".
// The error for any other name lists all.
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

// WholeRows tells whether a task needs whole rows of users, so that all items must be
// one Side.
func (m Measure) WholeRows() bool { return m == Swing }

// Unit is what a score counts in a sum of scores. It is 1 for measures that are at
// most 1 in magnitude (AsymmetricCosine may be above, by weights alone) and 1/1024 for
// the others, so that sums of bounded width hold both.
func (m Measure) Unit() float32 {
	switch m {
	case LogLikelihood, BM25, Lift, Swing:
		return 1.0 / 1024
	}
	return 1
}

// OfUsers returns the measure by which a Searcher compares users where items are
// compared by m. What BM25 and Swing say about items has no counterpart for users:
// there it is TFIDF and Jaccard.
func (m Measure) OfUsers() Measure {
	switch m {
	case BM25:
		return TFIDF
	case Swing:
		return Jaccard
	}
	return m
}

// kind is what is added up for a pair.
type kind uint8

const (
	products kind = iota // of the weights of the common users
	commons              // the number of common users
	moments              // of the weights of the common users
	swings
)

func (m Measure) kind() kind {
	switch m {
	case Jaccard, Dice, LogLikelihood, ConditionalProbability, Lift:
		return commons
	case Pearson:
		return moments
	case Swing:
		return swings
	}
	return products
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
	// Alpha is that of AsymmetricCosine, from 0 to 1. Other measures have none.
	Alpha float64
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
	case !(o.Alpha >= 0 && o.Alpha <= 1):
		return fmt.Errorf("options: Alpha is %v, want 0 to 1", o.Alpha)
	case o.Threads < 0:
		return fmt.Errorf("options: Threads is %d, want at least 0", o.Threads)
	}
	return nil
}

// needsCount tells whether a score depends on the number of common users.
func (o *Options) needsCount() bool {
	return o.Measure.kind() != products || o.Shrinkage > 0 || o.MinSupport > 1
}

// side is one of the two items of a pair.
type side struct {
	squares float64 // sum of the squares of its weights
	users   uint32
}

// score finishes the score of a pair from what was added up over its common users:
// products, or what Swing adds up. n is their number, which counts only if needsCount,
// and all that of all users.
func (o *Options) score(sum float64, x, y side, n, all uint32) float32 {
	common, a, b := float64(n), float64(x.users), float64(y.users)
	var s float64
	switch o.Measure {
	case Jaccard:
		s = common / (a + b - common)
	case Dice:
		s = 2 * common / (a + b)
	case LogLikelihood:
		s = logLikelihood(n, x.users, y.users, all)
	case ConditionalProbability:
		s = common / a
	case Lift:
		s = common * float64(all) / (a * b)
	case BM25, Swing:
		s = sum
	case AsymmetricCosine:
		p := math.Pow(x.squares, o.Alpha) * math.Pow(y.squares, 1-o.Alpha)
		if p == 0 {
			return 0
		}
		s = sum / p
	default:
		p := x.squares * y.squares
		if p == 0 {
			return 0
		}
		s = min(1, max(-1, sum/math.Sqrt(p)))
	}
	return o.shrink(s, common)
}

func (o *Options) shrink(s, common float64) float32 {
	if o.Shrinkage > 0 {
		s *= common / (common + o.Shrinkage)
	}
	return float32(s)
}

// inverse returns what a sum of products is multiplied by for an item y, and scale for
// an item x, to estimate the score.
func (o *Options) inverse(squares float64) float32 {
	return o.power(squares, 1-o.Alpha)
}

func (o *Options) scale(squares float64) float32 {
	return o.power(squares, o.Alpha)
}

func (o *Options) power(squares, alpha float64) float32 {
	switch {
	case o.Measure == BM25:
		return 1
	case squares == 0:
		return 0
	case o.Measure == AsymmetricCosine:
		return float32(1 / math.Pow(squares, alpha))
	}
	return float32(1 / math.Sqrt(squares))
}

// direct tells whether scores are those of a sum and of norms, without a count of common users.
func (o *Options) direct() bool { return o.Measure.kind() == products && !o.needsCount() }

// logLikelihood is the ratio for a table of users: n with both, a and b with either, of
// all.
func logLikelihood(n, a, b, all uint32) float64 {
	both, x, y := uint64(n), uint64(a), uint64(b)
	total := float64(all)
	notX, notY := total-float64(a), total-float64(b)
	ratio := 2 * (surprise(float64(both), float64(x), float64(y), total) +
		surprise(float64(x-both), float64(x), notY, total) +
		surprise(float64(y-both), notX, float64(y), total) +
		surprise(total-float64(x+y-both), notX, notY, total))
	switch {
	case ratio <= 0: // rounding: it is the sum of squares of a kind
		return 0
	case both*uint64(all) < x*y:
		return -ratio
	}
	return ratio
}

// surprise is O·ln(O/E) of a cell of a table with the sums of its row and column.
func surprise(observed, row, column, total float64) float64 {
	if observed == 0 {
		return 0
	}
	return float64(observed * math.Log(observed*total/(row*column)))
}

// moment is what Pearson adds up over the common users of a pair.
type moment struct{ n, x, y, xx, yy, xy float64 }

func (m *moment) add(x, y float64) {
	m.n++
	m.x += x
	m.y += y
	m.xx += float64(x * x)
	m.yy += float64(y * y)
	m.xy += float64(x * y)
}

// flat is the part of n·Σx² under which a variance is rounding, for each user.
const flat = 1.0 / (1 << 50)

// correlation finishes the score of Pearson.
func (o *Options) correlation(m *moment) float32 {
	xx, yy := float64(m.n*m.xx), float64(m.n*m.yy)
	vx, vy := xx-float64(m.x*m.x), yy-float64(m.y*m.y)
	if vx <= flat*m.n*xx || vy <= flat*m.n*yy {
		return 0
	}
	r := (float64(m.n*m.xy) - float64(m.x*m.y)) / math.Sqrt(vx*vy)
	return o.shrink(min(1, max(-1, r)), m.n)
}

// Followable tells whether a build of whole weights can be followed (see Follow): the score of a pair is one of what is added up for it and of its two items alone, and nothing but one sum is added
// up.
func (o *Options) Followable() bool {
	switch o.Measure {
	case Cosine:
		return !o.needsCount()
	case Jaccard, Dice: // conditional probability does not fall when the neighbor grows, so a neighbor that is not held can come before those that are held with the same score
		return o.MinSupport <= 1
	}
	return false
}

// Reserve is how many neighbors behind the K best a build that is to be followed keeps of each item, so that few lists have to be built again when some of the best fall.
func (o *Options) Reserve() int { return o.K/4 + 8 }
