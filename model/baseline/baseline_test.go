package baseline_test

import (
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/kith-io/kith/model/baseline"
	"github.com/kith-io/kith/similarity"
)

// byHand has mean 3. Ratings: user 0 gives 5, 3; user 1 gives 1, 3; user 2 has none; item 2 has none.
var byHand = &similarity.Rows{
	NumItems: 3,
	Start:    []int64{0, 2, 4, 4},
	Item:     []uint32{0, 1, 0, 1},
	Weight:   []float32{5, 3, 1, 3},
}

func TestALSByHand(t *testing.T) {
	m, err := baseline.ALS(byHand, baseline.ALSConfig{UserRegularization: 2, ItemRegularization: 1, Iterations: 1})
	if err != nil {
		t.Fatal(err)
	}
	// Items first: both have the residuals (2, -2) or (0, 0), so their biases are 0. Then users: (2+0)/(2+2), (-2+0)/(2+2).
	for _, c := range []struct {
		name       string
		user, item uint32
		at         float64
	}{
		{"both known", 0, 0, 3.5},
		{"other user", 1, 1, 2.5},
		{"user without ratings", 2, 0, 3},
		{"item without ratings", 0, 2, 3.5},
		{"unknown user", 3, 1, 3},
		{"unknown item", 1, 9, 2.5},
		{"largest ids", math.MaxUint32, math.MaxUint32, 3},
	} {
		if got := m.At(c.user, c.item); got != c.at {
			t.Errorf("%s: At(%d, %d) = %v, want %v", c.name, c.user, c.item, got, c.at)
		}
	}
	if m.Low != 1 || m.High != 5 {
		t.Errorf("range [%v, %v], want [1, 5]", m.Low, m.High)
	}
}

func TestSGDByHand(t *testing.T) {
	m, err := baseline.SGD(byHand, baseline.SGDConfig{LearningRate: 0.5, Regularization: 1, Iterations: 1})
	if err != nil {
		t.Fatal(err)
	}
	// 5: residual 2, b_u0 = b_i0 = 1.  3: residual -1, b_u0 = 1 + (-1-1)/2 = 0, b_i1 = -1/2.
	// 1: residual 1-3-0-1 = -3, b_u1 = -3/2, b_i0 = 1 + (-3-1)/2 = -1.
	// 3: residual 0+3/2+1/2 = 2, b_u1 = -3/2 + (2+3/2)/2 = 1/4, b_i1 = -1/2 + (2+1/2)/2 = 3/4.
	for name, c := range map[string]struct{ got, want float64 }{
		"user 0": {m.User[0], 0}, "user 1": {m.User[1], 0.25}, "user 2": {m.User[2], 0},
		"item 0": {m.Item[0], -1}, "item 1": {m.Item[1], 0.75}, "item 2": {m.Item[2], 0},
	} {
		if c.got != c.want {
			t.Errorf("bias of %s is %v, want %v", name, c.got, c.want)
		}
	}
}

func TestPredictClips(t *testing.T) {
	m := &baseline.Model{Mean: 3, User: []float64{3, -3, 0}, Item: []float64{0}, Low: 1, High: 5}
	dst := make([]float64, 3)
	m.Predict([]uint32{0, 1, 2}, []uint32{0, 0, 0}, dst)
	if dst[0] != 5 || dst[1] != 1 || dst[2] != 3 {
		t.Errorf("Predict = %v, want [5 1 3]", dst)
	}
}

func TestRefused(t *testing.T) {
	empty := &similarity.Rows{NumItems: 2, Start: []int64{0, 0}, Weight: []float32{}}
	binary := &similarity.Rows{NumItems: 2, Start: []int64{0, 1}, Item: []uint32{1}}
	for name, rows := range map[string]*similarity.Rows{"no entries": empty, "no weights": binary} {
		if _, err := baseline.ALS(rows, baseline.DefaultALS()); !errors.Is(err, baseline.ErrNoRatings) {
			t.Errorf("%s: error %v, want ErrNoRatings", name, err)
		}
	}
	if _, err := baseline.Mean(&similarity.Rows{}); !errors.Is(err, similarity.ErrShape) {
		t.Errorf("no Start: error %v, want ErrShape", err)
	}
	for _, c := range []baseline.ALSConfig{
		{UserRegularization: -1, Iterations: 1},
		{ItemRegularization: math.NaN(), Iterations: 1},
		{ItemRegularization: math.Inf(1), Iterations: 1},
		{},
	} {
		if _, err := baseline.ALS(byHand, c); err == nil {
			t.Errorf("ALS takes %+v, want an error", c)
		}
	}
	for _, c := range []baseline.SGDConfig{
		{Iterations: 1},
		{LearningRate: 1, Iterations: 1},
		{LearningRate: 0.5, Regularization: 3, Iterations: 1},
		{LearningRate: 0.1, Regularization: -1, Iterations: 1},
		{LearningRate: 0.1},
	} {
		if _, err := baseline.SGD(byHand, c); err == nil {
			t.Errorf("SGD takes %+v, want an error", c)
		}
	}
}

func drawRatings(t *rapid.T) *similarity.Rows {
	r := &similarity.Rows{NumItems: rapid.IntRange(1, 8).Draw(t, "items"), Start: []int64{0}, Weight: []float32{}}
	for range rapid.IntRange(1, 8).Draw(t, "users") {
		for i := range uint32(r.NumItems) {
			if rapid.Bool().Draw(t, "has") {
				r.Item = append(r.Item, i)
				r.Weight = append(r.Weight, float32(rapid.IntRange(1, 10).Draw(t, "rating"))/2)
			}
		}
		r.Start = append(r.Start, int64(len(r.Item)))
	}
	if len(r.Item) == 0 {
		t.Skip("no ratings")
	}
	return r
}

// At the end of ALS no bias can be better: the gradient of the regularized squared error is zero.
func TestALSComesToTheOptimum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := drawRatings(t)
		c := baseline.ALSConfig{UserRegularization: 3, ItemRegularization: 2, Iterations: 400}
		m, err := baseline.ALS(rows, c)
		if err != nil {
			t.Fatal(err)
		}
		byUser, byItem := make([]float64, rows.NumUsers()), make([]float64, rows.NumItems)
		for u := range rows.NumUsers() {
			for p := rows.Start[u]; p < rows.Start[u+1]; p++ {
				residual := float64(rows.Weight[p]) - m.At(uint32(u), rows.Item[p])
				byUser[u] += residual
				byItem[rows.Item[p]] += residual
			}
		}
		for u, g := range byUser {
			if g -= c.UserRegularization * m.User[u]; math.Abs(g) > 1e-9 {
				t.Fatalf("gradient %v at the bias of user %d, want 0", g, u)
			}
		}
		for i, g := range byItem {
			if g -= c.ItemRegularization * m.Item[i]; math.Abs(g) > 1e-9 {
				t.Fatalf("gradient %v at the bias of item %d, want 0", g, i)
			}
		}
	})
}

// A window of a larger matrix is a matrix like any other.
func TestWindow(t *testing.T) {
	window := &similarity.Rows{NumItems: 3, Start: byHand.Start[1:], Item: byHand.Item, Weight: byHand.Weight}
	alone := &similarity.Rows{NumItems: 3, Start: []int64{0, 2, 2}, Item: byHand.Item[2:], Weight: byHand.Weight[2:]}
	a, err := baseline.ALS(window, baseline.DefaultALS())
	if err != nil {
		t.Fatal(err)
	}
	b, err := baseline.ALS(alone, baseline.DefaultALS())
	if err != nil {
		t.Fatal(err)
	}
	for u := range uint32(2) {
		for i := range uint32(3) {
			if a.At(u, i) != b.At(u, i) {
				t.Errorf("At(%d, %d) = %v in the window, %v alone", u, i, a.At(u, i), b.At(u, i))
			}
		}
	}
}
