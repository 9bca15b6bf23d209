package neighborhood

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/kith-io/kith/model/baseline"
	"github.com/kith-io/kith/similarity"
)

// Center names what a rating is predicted around: what is taken from the ratings of the neighbors before they are averaged, and
// added to the average for the item (if user-based, the user) in question. The zero value is no center.
type Center uint8

const (
	// NoCenter averages the ratings themselves. Surprise's KNNBasic.
	NoCenter Center = iota + 1
	// Means takes away the mean rating of the item (of the user, if user-based). Resnick et al., CSCW 1994 [resnick1994]; KNNWithMeans.
	Means
	// ZScores takes away the mean and divides by the standard deviation. Herlocker et al., SIGIR 1999 [herlocker1999]; KNNWithZScore.
	ZScores
	// Baselines takes away mu + b_u + b_i. Koren, ACM TKDD 4(1), 2010, equation 3 [koren2010]; KNNBaseline.
	Baselines
)

var centerNames = [...]string{NoCenter: "none", Means: "means", ZScores: "z-scores", Baselines: "baselines"}

// String returns the name of the center.
func (c Center) String() string {
	if c.valid() {
		return centerNames[c]
	}
	return fmt.Sprintf("center(%d)", uint8(c))
}

func (c Center) valid() bool { return c >= NoCenter && int(c) < len(centerNames) }

// RatingOptions are the settings of the prediction of ratings. All change results.
type RatingOptions struct {
	// UserBased predicts from similar users instead of similar items.
	UserBased bool
	Center    Center
	Measure   CoRated
	// K is the largest number of neighbors that are averaged, at least 1.
	K int
	// MinK is the least number; with fewer, the prediction is the center alone, or the mean of all ratings if there is none.
	MinK int
	// Shrinkage s multiplies a similarity by (n-1)/(n-1+s), n the number of common users; 0 is off.
	Shrinkage float64
	// MinSupport makes the similarity of pairs with fewer common users 0; 0 and 1 are off.
	MinSupport int
}

// DefaultRatingOptions returns the best of what Surprise offers, with its settings: neighbors of items around baselines.
func DefaultRatingOptions() RatingOptions {
	return RatingOptions{
		Center:    Baselines,
		Measure:   PearsonBaseline,
		K:         40,
		MinK:      1,
		Shrinkage: 100, // a correlation over 100 common users counts half
	}
}

// Validate returns an error that names the first field out of its bounds.
func (o RatingOptions) Validate() error {
	switch {
	case !o.Center.valid():
		return fmt.Errorf("rating options: Center is %s, want one of %s", o.Center, strings.Join(centerNames[NoCenter:], ", "))
	case !o.Measure.valid():
		return fmt.Errorf("rating options: Measure is %s, want one of %s", o.Measure, strings.Join(coRatedNames[MSD:], ", "))
	case o.K < 1:
		return fmt.Errorf("rating options: K is %d, want at least 1", o.K)
	case o.MinK < 1 || o.MinK > o.K:
		return fmt.Errorf("rating options: MinK is %d, want 1 to K = %d", o.MinK, o.K)
	case !(o.Shrinkage >= 0) || math.IsInf(o.Shrinkage, 1):
		return fmt.Errorf("rating options: Shrinkage is %v, want a finite number of at least 0", o.Shrinkage)
	case o.MinSupport < 0:
		return fmt.Errorf("rating options: MinSupport is %d, want at least 0", o.MinSupport)
	}
	return nil
}

// Rating predicts explicit ratings by k nearest neighbors: around the center of x, the average, weighted by similarity, of what
// the K items most similar to x among those that the user has rated are above their own centers (of equally similar ones, those
// with the lower ids). Neighbors with a similarity of 0 or less do not count, and x is not its own neighbor. If user-based, x is
// the user, and the neighbors are users who have rated the item. Sarwar et al., WWW 2001, section 3.2.1 [sarwar2001].
//
// No matrix of similarities is kept: a row of it is computed when a prediction needs it, in float64. So memory grows with the
// ratings and the catalog, not with its square. A row costs as much as a full matrix would for it; predictions that share one
// come cheap (see Predict).
//
// A Rating is not changed once made, and is safe for concurrent use.
type Rating struct {
	o    RatingOptions
	base *baseline.Model
	// What has neighbors is x: items, or users if user-based; y is the other. Entries of byX and byY are the same ratings.
	byX, byY       *similarity.Rows
	valueX, valueY []float64 // what similarities are made of, for the entries of byX and of byY
	above          []float64 // (rating - center) / scale, for the entries of byY
	center, scale  []float64 // of each x; nil where they are 0 and 1, center also if it is the baseline
	scratch        sync.Pool // *ratingScratch
}

type ratingScratch struct {
	*similarities
	best []ratedNeighbor
}

// ratedNeighbor is a neighbor of x that y has rated.
type ratedNeighbor struct {
	similarity float64
	id         uint32
	above      float64
}

// compare orders neighbors by similarity descending, then id ascending.
func (n ratedNeighbor) compare(o ratedNeighbor) int {
	switch {
	case n.similarity > o.similarity:
		return -1
	case n.similarity < o.similarity:
		return 1
	}
	return cmp.Compare(n.id, o.id)
}

// NewRating prepares the prediction of ratings from rows (users×items; the weights are the ratings), which it keeps and does not
// change, and from a baseline model of the same rows. It returns an error if o is not valid, one matching similarity.ErrShape if
// rows is not or base does not fit it, or baseline.ErrNoRatings if rows has no weights.
// Cost: O(entries); memory: 32 bytes an entry, and in use 44 bytes for each x and goroutine.
func NewRating(rows *similarity.Rows, base *baseline.Model, o RatingOptions) (*Rating, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if err := rows.Validate(); err != nil {
		return nil, fmt.Errorf("rating: %w", err)
	}
	if rows.Weight == nil {
		return nil, fmt.Errorf("rating: %w", baseline.ErrNoRatings)
	}
	if len(base.User) > rows.NumUsers() || len(base.Item) > rows.NumItems {
		return nil, fmt.Errorf("rating: baselines of %d users and %d items for %d and %d: %w",
			len(base.User), len(base.Item), rows.NumUsers(), rows.NumItems, similarity.ErrShape)
	}
	m := &Rating{o: o, base: base, byX: rows.Transpose(), byY: rows}
	if o.UserBased {
		m.byX, m.byY = m.byY, m.byX
	}
	m.scratch.New = func() any { return &ratingScratch{similarities: newSimilarities(m.byX.NumUsers())} }
	m.valueX = values(m.byX, func(x int, y uint32, r float64) float64 { return m.value(uint32(x), y, r) })
	m.valueY = values(m.byY, func(y int, x uint32, r float64) float64 { return m.value(x, uint32(y), r) })
	switch o.Center {
	case Means:
		m.center, _ = moments(m.byX)
	case ZScores:
		m.center, m.scale = moments(m.byX)
	}
	m.above = values(m.byY, func(y int, x uint32, r float64) float64 {
		d := r - m.centerOf(x, uint32(y))
		if m.scale != nil {
			d /= m.scale[x]
		}
		return d
	})
	return m, nil
}

// values maps the entries of a matrix.
func values(rows *similarity.Rows, f func(row int, column uint32, rating float64) float64) []float64 {
	v := make([]float64, len(rows.Item))
	for u := range rows.NumUsers() {
		for p := rows.Start[u]; p < rows.Start[u+1]; p++ {
			v[p] = f(u, rows.Item[p], float64(rows.Weight[p]))
		}
	}
	return v
}

// value is what a rating counts as in similarities.
func (m *Rating) value(x, y uint32, rating float64) float64 {
	if m.o.Measure == PearsonBaseline {
		return rating - m.baselineOf(x, y)
	}
	return rating
}

func (m *Rating) baselineOf(x, y uint32) float64 {
	if m.o.UserBased {
		return m.base.At(x, y)
	}
	return m.base.At(y, x)
}

func (m *Rating) centerOf(x, y uint32) float64 {
	switch {
	case m.o.Center == Baselines:
		return m.baselineOf(x, y)
	case m.center != nil:
		return m.center[x]
	}
	return 0
}

// moments returns the mean and the standard deviation (over n) of each row, the latter of all ratings where it would be 0.
func moments(rows *similarity.Rows) (means, deviations []float64) {
	means, deviations = make([]float64, rows.NumUsers()), make([]float64, rows.NumUsers())
	_, all := meanAndDeviation(rows.Weight[rows.Start[0]:rows.Start[rows.NumUsers()]])
	if all == 0 {
		all = 1 // all ratings are equal, and all residuals 0
	}
	for x := range means {
		_, ratings := row(rows, x)
		means[x], deviations[x] = meanAndDeviation(ratings)
		if deviations[x] == 0 {
			deviations[x] = all
		}
	}
	return means, deviations
}

func meanAndDeviation(ratings []float32) (mean, deviation float64) {
	if len(ratings) == 0 {
		return 0, 0
	}
	for _, r := range ratings {
		mean += float64(r)
	}
	mean /= float64(len(ratings))
	for _, r := range ratings {
		d := float64(r) - mean
		deviation += float64(d * d)
	}
	return mean, math.Sqrt(deviation / float64(len(ratings)))
}

// Predict writes the rating that users[p] is expected to give items[p] to dst[p], within the range of the ratings that the
// model was made from. The three slices have one length. For a user or an item without ratings, also one outside of the matrix, it
// is the baseline, or the mean of all ratings if the center is not Baselines, as in Surprise.
//
// Pairs that follow each other with the same item (if user-based, the same user) share one row of similarities: sort them by it.
// Cost: for each row the sum over the users of the item of their ratings, and for each pair O(n log n), n the ratings of the user.
func (m *Rating) Predict(users, items []uint32, dst []float64) {
	s := m.scratch.Get().(*ratingScratch)
	defer m.scratch.Put(s)
	xs, ys := items, users
	if m.o.UserBased {
		xs, ys = users, items
	}
	for p, x := range xs {
		dst[p] = m.base.Clip(m.predict(x, ys[p], s))
	}
}

func (m *Rating) predict(x, y uint32, s *ratingScratch) float64 {
	if !known(m.byX, x) || !known(m.byY, y) {
		if m.o.Center == Baselines {
			return m.baselineOf(x, y)
		}
		return m.base.Mean
	}
	s.compute(m, x)
	s.best = s.best[:0]
	for p := m.byY.Start[y]; p < m.byY.Start[y+1]; p++ {
		if id := m.byY.Item[p]; s.row[id] > 0 {
			s.best = append(s.best, ratedNeighbor{s.row[id], id, m.above[p]})
		}
	}
	if len(s.best) > m.o.K {
		slices.SortFunc(s.best, ratedNeighbor.compare)
		s.best = s.best[:m.o.K]
	}
	if len(s.best) < m.o.MinK {
		if m.o.Center == NoCenter {
			return m.base.Mean
		}
		return m.centerOf(x, y)
	}
	var sum, weights float64
	for _, n := range s.best {
		sum += float64(n.similarity * n.above)
		weights += n.similarity
	}
	average := sum / weights
	if m.scale != nil {
		average *= m.scale[x]
	}
	return m.centerOf(x, y) + average
}

// known tells whether a row has entries.
func known(rows *similarity.Rows, u uint32) bool {
	return int64(u) < int64(rows.NumUsers()) && rows.Start[u] < rows.Start[u+1]
}
