// Package baseline predicts a rating as mu + b_u + b_i: the mean of all ratings, how far the user rates above it, and how far
// the item is rated above it. It says nothing of a user's taste; it is what neighborhood models predict around, and the line
// that they have to beat.
//
// The biases minimize the regularized squared error over the ratings,
//
//	sum (r_ui - mu - b_u - b_i)² + a penalty on the squares of the biases,
//
// by alternating least squares (ALS) or by stochastic gradient descent (SGD). Koren, ACM TKDD 4(1), 2010, section 2.1
// [koren2010]. Both, their defaults and the order of their steps are those of the Surprise library (Hug, JOSS 5(52), 2020
// [hug2020]), so that figures compare.
//
// All sums are float64, in the order of users and items within rows: equal data give equal bits on one
// kind of processor.
package baseline

import (
	"errors"
	"fmt"
	"math"

	"github.com/kith-io/kith/similarity"
)

// ErrNoRatings is matched by the error about a matrix without entries or without weights.
var ErrNoRatings = errors.New("no ratings")

// Model predicts mu + b_u + b_i. It is not changed once made, and safe for concurrent use.
type Model struct {
	// Mean is mu, the mean of all ratings.
	Mean float64
	// User and Item are the biases b_u and b_i, in units of ratings. Those without ratings have 0.
	User, Item []float64
	// Low and High are the least and the greatest rating.
	Low, High float64
}

// At returns mu + b_u + b_i, which may be outside of [Low, High]. An id outside of the model, as of a user who is new, has
// bias 0.
func (m *Model) At(user, item uint32) float64 {
	x := m.Mean
	if int64(user) < int64(len(m.User)) {
		x += m.User[user]
	}
	if int64(item) < int64(len(m.Item)) {
		x += m.Item[item]
	}
	return x
}

// Clip brings a prediction into [Low, High].
func (m *Model) Clip(rating float64) float64 {
	return min(m.High, max(m.Low, rating))
}

// Predict writes the rating that users[p] is expected to give items[p] to dst[p]: At, clipped. The three slices have one
// length. Cost: O(1) for each.
func (m *Model) Predict(users, items []uint32, dst []float64) {
	for p, user := range users {
		dst[p] = m.Clip(m.At(user, items[p]))
	}
}

// Mean returns the model without biases: mu for every pair. rows is users×items; its weights are the ratings. It returns an
// error matching similarity.ErrShape if rows is not valid, or ErrNoRatings. Cost: O(entries).
func Mean(rows *similarity.Rows) (*Model, error) {
	if err := rows.Validate(); err != nil {
		return nil, fmt.Errorf("baseline: %w", err)
	}
	ratings := rows.Weight
	if ratings != nil {
		ratings = ratings[rows.Start[0]:rows.Start[rows.NumUsers()]]
	}
	if len(ratings) == 0 {
		return nil, fmt.Errorf("baseline: %w", ErrNoRatings)
	}
	m := &Model{Low: math.Inf(1), High: math.Inf(-1)}
	var sum float64
	for _, r := range ratings {
		x := float64(r)
		sum += x
		m.Low, m.High = min(m.Low, x), max(m.High, x)
	}
	m.Mean = sum / float64(len(ratings))
	return m, nil
}

// zero is Mean with biases of zero.
func zero(rows *similarity.Rows) (*Model, error) {
	m, err := Mean(rows)
	if err != nil {
		return nil, err
	}
	m.User, m.Item = make([]float64, rows.NumUsers()), make([]float64, rows.NumItems)
	return m, nil
}

// ALSConfig are the settings of ALS. All change results.
type ALSConfig struct {
	// UserRegularization and ItemRegularization are added to the number of ratings that a bias is the mean of, so that few
	// ratings give a bias near 0. They are in units of ratings, at least 0.
	UserRegularization, ItemRegularization float64
	// Iterations is the number of passes over the items and the users, at least 1.
	Iterations int
}

// DefaultALS returns the settings of Surprise, which suit the five stars of MovieLens.
func DefaultALS() ALSConfig {
	return ALSConfig{
		UserRegularization: 15, // users of MovieLens 100K differ less than items do
		ItemRegularization: 10,
		Iterations:         10, // the error hardly changes after the third
	}
}

func (c ALSConfig) validate() error {
	switch {
	case !nonNegative(c.UserRegularization):
		return fmt.Errorf("baseline: UserRegularization is %v, want a finite number of at least 0", c.UserRegularization)
	case !nonNegative(c.ItemRegularization):
		return fmt.Errorf("baseline: ItemRegularization is %v, want a finite number of at least 0", c.ItemRegularization)
	case c.Iterations < 1:
		return fmt.Errorf("baseline: Iterations is %d, want at least 1", c.Iterations)
	}
	return nil
}

func nonNegative(x float64) bool { return x >= 0 && !math.IsInf(x, 1) }

// ALS learns biases by alternating least squares: with the one kind fixed, each bias of the other is the sum of its residuals
// over (number of ratings + regularization), items first. It returns an error for settings out of bounds, or as Mean does.
// Cost: O(iterations · (entries + users + items)); memory: 16 bytes an item, 8 a user.
func ALS(rows *similarity.Rows, c ALSConfig) (*Model, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	m, err := zero(rows)
	if err != nil {
		return nil, err
	}
	counts := make([]float64, rows.NumItems)
	for _, i := range rows.Item[rows.Start[0]:rows.Start[rows.NumUsers()]] {
		counts[i]++
	}
	for range c.Iterations {
		clear(m.Item)
		for u, bias := range m.User {
			for p := rows.Start[u]; p < rows.Start[u+1]; p++ {
				m.Item[rows.Item[p]] += float64(rows.Weight[p]) - m.Mean - bias
			}
		}
		for i, n := range counts {
			if n > 0 {
				m.Item[i] /= n + c.ItemRegularization
			}
		}
		for u := range m.User {
			var sum float64
			for p := rows.Start[u]; p < rows.Start[u+1]; p++ {
				sum += float64(rows.Weight[p]) - m.Mean - m.Item[rows.Item[p]]
			}
			if n := float64(rows.Start[u+1] - rows.Start[u]); n > 0 {
				m.User[u] = sum / (n + c.UserRegularization)
			}
		}
	}
	return m, nil
}

// SGDConfig are the settings of SGD. All change results.
type SGDConfig struct {
	// LearningRate is the length of a step as a share of the gradient, above 0 and below 1.
	LearningRate float64
	// Regularization is the weight of the penalty on squared biases, at least 0.
	Regularization float64
	// Iterations is the number of passes over the ratings, at least 1.
	Iterations int
}

// DefaultSGD returns the settings of Surprise.
func DefaultSGD() SGDConfig {
	return SGDConfig{LearningRate: 0.005, Regularization: 0.02, Iterations: 20}
}

func (c SGDConfig) validate() error {
	switch {
	case !(c.LearningRate > 0 && c.LearningRate < 1):
		return fmt.Errorf("baseline: LearningRate is %v, want above 0 and below 1", c.LearningRate)
	case !nonNegative(c.Regularization):
		return fmt.Errorf("baseline: Regularization is %v, want a finite number of at least 0", c.Regularization)
	case c.LearningRate*c.Regularization >= 1:
		return fmt.Errorf("baseline: LearningRate times Regularization is %v, want below 1, or biases grow without bound",
			c.LearningRate*c.Regularization)
	case c.Iterations < 1:
		return fmt.Errorf("baseline: Iterations is %d, want at least 1", c.Iterations)
	}
	return nil
}

// SGD learns biases by stochastic gradient descent. It visits the ratings in the order of rows, which is the same for every
// pass: nothing is random. Errors are those of ALS. Cost: O(iterations · entries).
func SGD(rows *similarity.Rows, c SGDConfig) (*Model, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	m, err := zero(rows)
	if err != nil {
		return nil, err
	}
	for range c.Iterations {
		for u := range m.User {
			for p := rows.Start[u]; p < rows.Start[u+1]; p++ {
				user, item := &m.User[u], &m.Item[rows.Item[p]]
				residual := float64(rows.Weight[p]) - m.Mean - *user - *item
				*user += c.LearningRate * (residual - c.Regularization*(*user))
				*item += c.LearningRate * (residual - c.Regularization*(*item))
			}
		}
	}
	return m, nil
}
