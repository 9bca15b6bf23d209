// Package model holds what all predictors of kith share: the question of a top-N query, the form of its answer, and
// the rule that fills an answer up. The predictors themselves are the packages below it.
//
// Every ranking has one order: score descending, then dense id ascending. Dense ids are given in popularity order
// by those who prepare the data, so that ties go to the more popular item. An answer never depends on N: the first
// n items of a longer answer are the answer to n.
package model

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// ErrQuery is matched by the error of a query that no model can answer: an id outside the catalog, items out of
// order, a negative N, weights that do not go with the items.
var ErrQuery = errors.New("invalid query")

// Query asks a model for the N best items for one history.
type Query struct {
	// User is the row of the training matrix that the history belongs to, or negative for none (a basket, a user
	// who is not in the matrix). User-based models leave that row out of the neighbors.
	User int
	// Items is the history, ascending and unique. The model only reads it.
	Items []uint32
	// Weights goes with Items; nil means all ones.
	Weights []float32
	// Times goes with Items: when the user last had to do with each, in Unix milliseconds, 0 for unknown; nil means all unknown. Models of
	// sequences look at it; items of one time, or of none, are in the order of their ids.
	Times []int64
	// Ratings goes with Items: what the user has rated each, NaN for one without a rating; nil means that the weights are ratings. Models of ratings look at it.
	Ratings []float32
	// Profile is what is known of the subject beside the history. Models that learned from attributes of users look at it.
	Profile []Attribute
	// N is the length of the answer; 0 gives an empty one.
	N int
	// WithSeen lets items of the history into the answer.
	WithSeen bool
}

// Attribute is a named value of what is known of a user or an item: a Vector or Texts where there are any, else Number.
type Attribute struct {
	Name   string
	Texts  []string
	Number float64
	// Vector has two numbers or more, all finite; it is only read.
	Vector []float32
}

// IsNumber reports whether the value is Number.
func (a *Attribute) IsNumber() bool { return len(a.Texts) == 0 && a.Vector == nil }

// Check returns an error matching ErrQuery unless the query fits a catalog of numItems items and numUsers rows.
// Cost: O(len(q.Items)).
func (q *Query) Check(numItems, numUsers int) error {
	switch {
	case q.N < 0:
		return fmt.Errorf("%w: N is %d, want 0 or more", ErrQuery, q.N)
	case q.Weights != nil && len(q.Weights) != len(q.Items):
		return fmt.Errorf("%w: %d weights for %d items", ErrQuery, len(q.Weights), len(q.Items))
	case q.Times != nil && len(q.Times) != len(q.Items):
		return fmt.Errorf("%w: %d times for %d items", ErrQuery, len(q.Times), len(q.Items))
	case q.Ratings != nil && len(q.Ratings) != len(q.Items):
		return fmt.Errorf("%w: %d ratings for %d items", ErrQuery, len(q.Ratings), len(q.Items))
	case q.User >= numUsers:
		return fmt.Errorf("%w: user %d of %d", ErrQuery, q.User, numUsers)
	}
	for i, id := range q.Items {
		if int64(id) >= int64(numItems) {
			return fmt.Errorf("%w: item %d of %d", ErrQuery, id, numItems)
		}
		if i > 0 && id <= q.Items[i-1] {
			return fmt.Errorf("%w: item %d after %d, want ascending and unique", ErrQuery, id, q.Items[i-1])
		}
	}
	return nil
}

// Weight returns the weight of the i-th item of the history.
func (q *Query) Weight(i int) float32 {
	if q.Weights == nil {
		return 1
	}
	return q.Weights[i]
}

// MaxRating bounds the magnitude of ratings, as weights are bounded. What a query has above it is no rating but says that the user likes the item best.
const MaxRating = 1 << 40

// AsRating returns a value as a rating, brought into the range of MaxRating; NaN stays NaN.
func AsRating(x float64) float32 { return float32(max(-MaxRating, min(x, MaxRating))) }

// Rating returns the rating of the i-th item of the history, NaN for none.
func (q *Query) Rating(i int) float32 {
	if q.Ratings == nil {
		return q.Weight(i)
	}
	return q.Ratings[i]
}

// Excluded returns the items that the answer must not have, ascending: the history, or none with WithSeen.
func (q *Query) Excluded() []uint32 {
	if q.WithSeen {
		return nil
	}
	return q.Items
}

// Scored is one item of an answer.
type Scored struct {
	Item uint32
	// Score is the model's own measure of preference; it orders one answer and compares with no other model's.
	// It is 0 for a filled item.
	Score float64
	// Filled says that the model had nothing to say about the item, and that it comes from popularity.
	Filled bool
}

// Compare is the order of every ranking: score descending, then id ascending.
func (s Scored) Compare(o Scored) int {
	return cmp.Or(cmp.Compare(o.Score, s.Score), cmp.Compare(s.Item, o.Item))
}

// Keep puts an item into its place among the best n so far, which are in order, if it belongs there, and returns them. Cost: O(n), and O(1) for what is not among them;
// Best costs less where n is large.
func Keep(top []Scored, n int, s Scored) []Scored {
	if n == 0 || len(top) == n && s.Compare(top[n-1]) > 0 {
		return top
	}
	at, _ := slices.BinarySearchFunc(top, s, Scored.Compare)
	return slices.Insert(top[:min(len(top), n-1)], at, s)
}

// Aligned returns n zeros that begin at a multiple of 16 bytes, as all memory of a multiple of 16 bytes does in Go: the order in which gonum adds up products
// depends on it.
func Aligned[T float32 | float64](n int) []T { return make([]T, n, (n+3)&^3) }

// Contribution is the part of the score of one item of an answer that is due to one item of the history.
type Contribution struct {
	Item  uint32
	Score float64
}

// Fill appends items of order (the catalog, most popular first) to top until it has n items or the order ends, and
// marks each as filled. It skips what top has already and what excluded (ascending) has.
// Cost: O((len(top) + len(excluded) + n) log n) at worst.
func Fill(top []Scored, n int, order, excluded []uint32) []Scored {
	if len(top) >= n {
		return top
	}
	have := make([]uint32, len(top))
	for i, s := range top {
		have[i] = s.Item
	}
	slices.Sort(have)
	for _, id := range order {
		if len(top) >= n {
			break
		}
		if contains(have, id) || contains(excluded, id) {
			continue
		}
		top = append(top, Scored{Item: id, Filled: true})
	}
	return top
}

func contains(ascending []uint32, id uint32) bool {
	_, found := slices.BinarySearch(ascending, id)
	return found
}
