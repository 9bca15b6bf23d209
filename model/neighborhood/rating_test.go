package neighborhood_test

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/kith-io/kith/model/baseline"
	"github.com/kith-io/kith/model/neighborhood"
	"github.com/kith-io/kith/similarity"
)

// ratingTwin predicts as the formulas say, from a dense matrix, all over again for each pair.
type ratingTwin struct {
	o      neighborhood.RatingOptions
	base   *baseline.Model
	rating [][]float64 // x × y, NaN for none
}

func newRatingTwin(rows *similarity.Rows, base *baseline.Model, o neighborhood.RatingOptions) *ratingTwin {
	t := &ratingTwin{o: o, base: base}
	numX, numY := rows.NumItems, rows.NumUsers()
	if o.UserBased {
		numX, numY = numY, numX
	}
	for range numX {
		t.rating = append(t.rating, slices.Repeat([]float64{math.NaN()}, numY))
	}
	for u := range rows.NumUsers() {
		for p := rows.Start[u]; p < rows.Start[u+1]; p++ {
			x, y := int(rows.Item[p]), u
			if o.UserBased {
				x, y = y, x
			}
			t.rating[x][y] = float64(rows.Weight[p])
		}
	}
	return t
}

func (t *ratingTwin) baseline(x, y int) float64 {
	if t.o.UserBased {
		return t.base.At(uint32(x), uint32(y))
	}
	return t.base.At(uint32(y), uint32(x))
}

func (t *ratingTwin) ratingsOf(xs ...int) (all []float64) {
	for _, x := range xs {
		for _, r := range t.rating[x] {
			if !math.IsNaN(r) {
				all = append(all, r)
			}
		}
	}
	return all
}

func mean(values []float64) float64 {
	var sum float64
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

func deviation(values []float64) float64 {
	var squares []float64
	for _, v := range values {
		squares = append(squares, (v-mean(values))*(v-mean(values)))
	}
	return math.Sqrt(mean(squares))
}

func (t *ratingTwin) similarity(x, other int) float64 {
	var a, b []float64
	for y := range t.rating[x] {
		r, s := t.rating[x][y], t.rating[other][y]
		if math.IsNaN(r) || math.IsNaN(s) {
			continue
		}
		if t.o.Measure == neighborhood.PearsonBaseline {
			r, s = r-t.baseline(x, y), s-t.baseline(other, y)
		}
		a, b = append(a, r), append(b, s)
	}
	n := float64(len(a))
	if x == other || n == 0 || n < float64(t.o.MinSupport) {
		return 0
	}
	var dot, aa, bb, differences float64
	for i := range a {
		dot += a[i] * b[i]
		aa += a[i] * a[i]
		bb += b[i] * b[i]
		differences += (a[i] - b[i]) * (a[i] - b[i])
	}
	var s float64
	switch {
	case t.o.Measure == neighborhood.MSD:
		s = 1 / (1 + differences/n)
	case t.o.Measure == neighborhood.PearsonBaseline && n < 2 || aa*bb == 0:
		return 0
	default:
		s = min(1, dot/math.Sqrt(aa*bb))
	}
	if t.o.Shrinkage == 0 {
		return s
	}
	return s * ((n - 1) / (n - 1 + t.o.Shrinkage))
}

func (t *ratingTwin) predict(x, y int) float64 {
	knownY := y < len(t.rating[0]) && slices.ContainsFunc(t.rating, func(row []float64) bool { return !math.IsNaN(row[y]) })
	if x >= len(t.rating) || len(t.ratingsOf(x)) == 0 || !knownY {
		if t.o.Center == neighborhood.Baselines {
			return t.base.Clip(t.baseline(x, y))
		}
		return t.base.Mean
	}
	center := func(x int) (offset, scale float64) {
		switch t.o.Center {
		case neighborhood.Means:
			return mean(t.ratingsOf(x)), 1
		case neighborhood.ZScores:
			scale = deviation(t.ratingsOf(x))
			if scale == 0 {
				var all []int
				for x := range t.rating {
					all = append(all, x)
				}
				scale = deviation(t.ratingsOf(all...))
			}
			if scale == 0 {
				scale = 1
			}
			return mean(t.ratingsOf(x)), scale
		case neighborhood.Baselines:
			return t.baseline(x, y), 1
		}
		return 0, 1
	}
	type neighbor struct {
		x          int
		similarity float64
	}
	var neighbors []neighbor
	for other := range t.rating {
		if s := t.similarity(x, other); s > 0 && !math.IsNaN(t.rating[other][y]) {
			neighbors = append(neighbors, neighbor{other, s})
		}
	}
	slices.SortStableFunc(neighbors, func(a, b neighbor) int { return cmp.Compare(b.similarity, a.similarity) })
	neighbors = neighbors[:min(t.o.K, len(neighbors))]
	offset, scale := center(x)
	if len(neighbors) < t.o.MinK {
		if t.o.Center == neighborhood.NoCenter {
			return t.base.Mean
		}
		return t.base.Clip(offset)
	}
	var sum, weights float64
	for _, n := range neighbors {
		o, s := center(n.x)
		sum += n.similarity * ((t.rating[n.x][y] - o) / s)
		weights += n.similarity
	}
	return t.base.Clip(offset + scale*sum/weights)
}

var centers = []neighborhood.Center{neighborhood.NoCenter, neighborhood.Means, neighborhood.ZScores, neighborhood.Baselines}

func drawRatingOptions(t *rapid.T) neighborhood.RatingOptions {
	o := neighborhood.RatingOptions{
		UserBased:  rapid.Bool().Draw(t, "user-based"),
		Center:     rapid.SampledFrom(centers).Draw(t, "center"),
		Measure:    rapid.SampledFrom([]neighborhood.CoRated{neighborhood.MSD, neighborhood.CoRatedCosine, neighborhood.PearsonBaseline}).Draw(t, "measure"),
		K:          rapid.IntRange(1, 6).Draw(t, "k"),
		MinSupport: rapid.IntRange(0, 3).Draw(t, "min support"),
		Shrinkage:  rapid.SampledFrom([]float64{0, 1, 100}).Draw(t, "shrinkage"),
	}
	o.MinK = rapid.IntRange(1, o.K).Draw(t, "min k")
	return o
}

// drawRatings draws a matrix with at least one rating, in half stars from 0.5 to 5.
func drawRatings(t *rapid.T) *similarity.Rows {
	r := &similarity.Rows{NumItems: rapid.IntRange(1, 9).Draw(t, "items"), Start: []int64{0}}
	for range rapid.IntRange(1, 9).Draw(t, "users") {
		for i := range uint32(r.NumItems) {
			if rapid.IntRange(0, 2).Draw(t, "has") > 0 {
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

func newRating(t interface{ Fatal(...any) }, rows *similarity.Rows, o neighborhood.RatingOptions) (*neighborhood.Rating, *baseline.Model) {
	base, err := baseline.ALS(rows, baseline.DefaultALS())
	if err != nil {
		t.Fatal(err)
	}
	m, err := neighborhood.NewRating(rows, base, o)
	if err != nil {
		t.Fatal(err)
	}
	return m, base
}

func TestRatingEqualsTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, o := drawRatings(t), drawRatingOptions(t)
		m, base := newRating(t, rows, o)
		twin := newRatingTwin(rows, base, o)
		var users, items []uint32
		for u := range uint32(rows.NumUsers() + 1) { // one more of each: the unknown
			for i := range uint32(rows.NumItems + 1) {
				users, items = append(users, u), append(items, i)
			}
		}
		// In any order, and in any order once more: rows of similarities are shared, and left over in the working memory.
		for range 2 {
			order := rapid.Permutation(slices.Collect(func(yield func(int) bool) {
				for p := range users {
					if !yield(p) {
						return
					}
				}
			})).Draw(t, "order")
			us, is, got := make([]uint32, len(order)), make([]uint32, len(order)), make([]float64, len(order))
			for p, from := range order {
				us[p], is[p] = users[from], items[from]
			}
			m.Predict(us, is, got)
			for p := range order {
				x, y := int(is[p]), int(us[p])
				if o.UserBased {
					x, y = y, x
				}
				// Sums of at most 9 terms of at most 25, each rounded once.
				if want := twin.predict(x, y); !(math.Abs(got[p]-want) < 1e-9) {
					t.Fatalf("%+v: user %d, item %d: %v, want %v", o, us[p], is[p], got[p], want)
				}
			}
		}
	})
}

func TestRatingByHand(t *testing.T) {
	// Users rate items 0, 1, 2:  5 4 -, 1 2 -, 4 - 4, 3 4 2.
	rows := &similarity.Rows{
		NumItems: 3,
		Start:    []int64{0, 2, 4, 6, 9},
		Item:     []uint32{0, 1, 0, 1, 0, 2, 0, 1, 2},
		Weight:   []float32{5, 4, 1, 2, 4, 4, 3, 4, 2},
	}
	for _, c := range []struct {
		name       string
		o          neighborhood.RatingOptions
		user, item uint32
		want       float64
	}{
		// MSD of (2,0): (0+1)/2, similarity 2/3; of (2,1): 4/1, similarity 1/5. User 0: 5 and 4.
		{"none", neighborhood.RatingOptions{Center: neighborhood.NoCenter, K: 2}, 0, 2, (2.0/3*5 + 1.0/5*4) / (2.0/3 + 1.0/5)},
		{"one neighbor", neighborhood.RatingOptions{Center: neighborhood.NoCenter, K: 1}, 1, 2, 1},
		// Means of the items: 13/4, 10/3, 3.
		{"means", neighborhood.RatingOptions{Center: neighborhood.Means, K: 1}, 0, 2, 3 + 5 - 13.0/4},
		{"support", neighborhood.RatingOptions{Center: neighborhood.Means, K: 2, MinSupport: 2}, 0, 2, 3 + 5 - 13.0/4},
		// (2,0) has 2 common users: factor 1/2; (2,1) has one: factor 0, no neighbor.
		{"shrinkage", neighborhood.RatingOptions{Center: neighborhood.Means, K: 2, Shrinkage: 1}, 0, 2, 3 + 5 - 13.0/4},
		{"clipped", neighborhood.RatingOptions{Center: neighborhood.Means, K: 1}, 1, 2, 1}, // 3 + 1 - 13/4
		{"too few, means", neighborhood.RatingOptions{Center: neighborhood.Means, K: 2, MinK: 2, MinSupport: 2}, 0, 2, 3},
		{"too few, none", neighborhood.RatingOptions{Center: neighborhood.NoCenter, K: 2, MinK: 2, MinSupport: 2}, 0, 2, 29.0 / 9},
		// Users 2 and 0: MSD 1, 1/2; 2 and 3: (1+4)/2, 2/7. Item 1: 4 and 4. Means of users: 9/2, 3/2, 4, 3.
		{"user-based", neighborhood.RatingOptions{UserBased: true, Center: neighborhood.Means, K: 1}, 2, 1, 4 + 4 - 9.0/2},
		{"user-based, support", neighborhood.RatingOptions{UserBased: true, Center: neighborhood.Means, K: 1, MinSupport: 2}, 2, 1, 4 + 4 - 3},
	} {
		c.o.Measure, c.o.MinK = neighborhood.MSD, max(1, c.o.MinK)
		m, _ := newRating(t, rows, c.o)
		got := []float64{0}
		m.Predict([]uint32{c.user}, []uint32{c.item}, got)
		if !(math.Abs(got[0]-c.want) < 1e-12) {
			t.Errorf("%s: %v, want %v", c.name, got[0], c.want)
		}
	}
}

// A rating model serves many goroutines at a time.
func TestRatingConcurrency(t *testing.T) {
	rows := &similarity.Rows{NumItems: 30, Start: []int64{0}}
	for u := range 40 {
		for i := range uint32(30) {
			if (u*7+int(i)*11)%3 > 0 {
				rows.Item, rows.Weight = append(rows.Item, i), append(rows.Weight, float32((u*3+int(i)*5)%5+1))
			}
		}
		rows.Start = append(rows.Start, int64(len(rows.Item)))
	}
	var users, items []uint32
	for i := range uint32(30) {
		for u := range uint32(40) {
			users, items = append(users, u), append(items, i)
		}
	}
	m, _ := newRating(t, rows, neighborhood.DefaultRatingOptions())
	var got [4][]float64
	var wg sync.WaitGroup
	for g := range got {
		got[g] = make([]float64, len(users))
		wg.Go(func() { m.Predict(users, items, got[g]) })
	}
	wg.Wait()
	for g := range got {
		if !slices.Equal(got[g], got[0]) {
			t.Errorf("goroutine %d predicts otherwise than the first", g)
		}
	}
}

func TestRatingRefused(t *testing.T) {
	rows := &similarity.Rows{NumItems: 2, Start: []int64{0, 2}, Item: []uint32{0, 1}, Weight: []float32{1, 2}}
	_, base := newRating(t, rows, neighborhood.DefaultRatingOptions())
	for name, change := range map[string]func(*neighborhood.RatingOptions){
		"center":      func(o *neighborhood.RatingOptions) { o.Center = 0 },
		"measure":     func(o *neighborhood.RatingOptions) { o.Measure = neighborhood.PearsonBaseline + 1 },
		"k":           func(o *neighborhood.RatingOptions) { o.K = 0 },
		"min k":       func(o *neighborhood.RatingOptions) { o.MinK = o.K + 1 },
		"shrinkage":   func(o *neighborhood.RatingOptions) { o.Shrinkage = math.NaN() },
		"min support": func(o *neighborhood.RatingOptions) { o.MinSupport = -1 },
	} {
		o := neighborhood.DefaultRatingOptions()
		change(&o)
		if _, err := neighborhood.NewRating(rows, base, o); err == nil {
			t.Errorf("%s: NewRating takes %+v, want an error", name, o)
		}
	}
	binary := &similarity.Rows{NumItems: 2, Start: rows.Start, Item: rows.Item}
	if _, err := neighborhood.NewRating(binary, base, neighborhood.DefaultRatingOptions()); !errors.Is(err, baseline.ErrNoRatings) {
		t.Errorf("no weights: error %v, want ErrNoRatings", err)
	}
	narrow := &similarity.Rows{NumItems: 1, Start: []int64{0, 1}, Item: []uint32{0}, Weight: []float32{1}}
	if _, err := neighborhood.NewRating(narrow, base, neighborhood.DefaultRatingOptions()); !errors.Is(err, similarity.ErrShape) {
		t.Errorf("baselines of another matrix: error %v, want ErrShape", err)
	}
}

func TestParseCoRated(t *testing.T) {
	for _, m := range []neighborhood.CoRated{neighborhood.MSD, neighborhood.CoRatedCosine, neighborhood.PearsonBaseline} {
		if got, err := neighborhood.ParseCoRated(m.String()); err != nil || got != m {
			t.Errorf("ParseCoRated(%q) = %v, %v, want %v", m.String(), got, err, m)
		}
	}
	if m, err := neighborhood.ParseCoRated("jaccard"); err == nil {
		t.Errorf("ParseCoRated(jaccard) = %v, want an error", m)
	}
}
