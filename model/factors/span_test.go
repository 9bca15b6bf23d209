package factors

import (
	"context"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/train"
)

// spanOf makes the span of ratings that are divided among workers, as workers and driver do.
func spanOf(t *testing.T, ratings []float32, workers int, w within) *span {
	t.Helper()
	all := make([]histogram, workers)
	for i, r := range ratings {
		all[i%workers].add(r)
	}
	var said [][]byte
	for i := range all {
		said = append(said, all[i].encode())
	}
	s, err := newSpan(said, w)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSpan compares with ratings that are sorted.
func TestSpan(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	open := within{-model.MaxRating, model.MaxRating}
	draw := map[string]func() float32{
		"stars":      func() float32 { return float32(1 + rng.IntN(5)) },
		"halves":     func() float32 { return float32(rng.IntN(21)-10) / 2 },
		"any number": func() float32 { return float32(rng.NormFloat64()) },
	}
	for name, f := range draw {
		for _, n := range []int{1, 9, 10, 11, 999, 1000, 1001, 5000} {
			var ratings []float32
			for range n {
				ratings = append(ratings, f())
			}
			if s := spanOf(t, ratings, 1+rng.IntN(4), open); s.low != float64(slices.Min(ratings)) || s.high != float64(slices.Max(ratings)) || s.notes() != nil {
				t.Errorf("%d ratings, %s: from %v to %v, want all of them; notes %q", n, name, s.low, s.high, s.notes())
			}
			if n < 10 {
				continue
			}
			ratings[0], ratings[1] = 1e9, -1e12
			s := spanOf(t, ratings, 1+rng.IntN(4), open)
			if s.notes() == nil {
				t.Errorf("%d ratings, %s: nothing is said of some that are far off", n, name)
			}
			slices.Sort(ratings)
			cut := (n + 999) / 1000
			low, high, sum := float64(ratings[cut]), float64(ratings[n-1-cut]), 0.0
			// Numbers that are no round ones are found but for a part of 128.
			if math.Abs(s.low-low) > math.Abs(low)/128 || math.Abs(s.high-high) > math.Abs(high)/128 || s.low > low || s.high < high {
				t.Errorf("%d ratings, %s: from %v to %v, want %v to %v", n, name, s.low, s.high, low, high)
			}
			for _, r := range ratings {
				sum += s.clip(float64(r))
			}
			if math.Abs(s.mean-sum/float64(n)) > 1e-9 {
				t.Errorf("%d ratings, %s: mean %v, want %v", n, name, s.mean, sum/float64(n))
			}
		}
	}
	// An end that is given is where the ratings end.
	thin := append(slices.Repeat([]float32{2, 3, 4}, 100), -1000, 500)
	for w, want := range map[within][2]float64{open: {2, 4}, {-1e4, model.MaxRating}: {-1000, 4}, {-model.MaxRating, 900}: {2, 500}, {-1e4, 900}: {-1000, 500}} {
		if s := spanOf(t, thin, 2, w); s.low != want[0] || s.high != want[1] {
			t.Errorf("of %v: from %v to %v, want %v", w, s.low, s.high, want)
		}
	}
	// An end that few reach is one all the same.
	for name, ratings := range map[string][]float32{
		"few dislikes": append(slices.Repeat([]float32{1}, 5000), 0, 0, 0, 0, 0), "one star": append(slices.Repeat([]float32{5}, 9), 1), "the ends of a scale": append(slices.Repeat([]float32{2, 3, 4}, 1000), 1, 5),
	} {
		if s := spanOf(t, ratings, 2, open); s.low != float64(slices.Min(ratings)) || s.high != float64(slices.Max(ratings)) || s.notes() != nil {
			t.Errorf("%s: from %v to %v; notes %q", name, s.low, s.high, s.notes())
		}
	}
}

// TestRatingsOffTheScale: one rating of any size changes little, and ends no build.
func TestRatingsOffTheScale(t *testing.T) {
	const users, items = 60, 41
	clean := ratings(users, items)
	liked := model.Query{User: -1, Items: []uint32{3}, Weights: []float32{1}, Ratings: []float32{math.MaxFloat32}}
	rate := func(m *RatingModel) []float64 {
		out := make([]float64, items)
		all := make([]uint32, items)
		for i := range all {
			all[i] = uint32(i)
		}
		if err := m.Rate(liked, all, out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	for _, k := range ratingKinds {
		given := map[string]float64{"factors": 4, "iterations": 3}
		want := rate(ratingModel(t, k, train.Split(clean, nil, 2), given))
		for _, outlier := range []float32{500, 1e5, -1e20, math.MaxFloat32} {
			rows := ratings(users, items)
			const marked = 77
			rows.Weight[len(rows.Weight)/2] = marked
			data := withEvents(train.Split(rows, nil, 2), func(int, uint32) bool { return false })
			for _, d := range data {
				events := d.Events
				d.Events = func(ctx context.Context, f func(user int, events []train.Event) error) error {
					return events(ctx, func(user int, events []train.Event) error {
						for i := range events {
							if events[i].Value == marked {
								events[i].Value = outlier // what no matrix has
							}
						}
						return f(user, events)
					})
				}
			}
			m := ratingModel(t, k, data, given)
			if m.span.low != 1 || m.span.high != 5 {
				t.Errorf("%s with a rating of %v: ratings go from %v to %v, want 1 to 5", k.Name, outlier, m.span.low, m.span.high)
			}
			for i, got := range rate(m) {
				if math.Abs(got-want[i]) > 0.5 {
					t.Errorf("%s with a rating of %v: predicts %v for item %d, without %v", k.Name, outlier, got, i, want[i])
				}
			}
			// Left out, it is as if it was not there, in the training and in a query.
			m = ratingModel(t, k, data, map[string]float64{"factors": 4, "iterations": 3, "least": 1, "greatest": 5})
			without := rate(m)
			q := liked
			q.Items, q.Ratings, q.Weights = []uint32{3, 5}, []float32{math.MaxFloat32, model.AsRating(float64(outlier))}, nil
			if k == SVDPP {
				continue // learns from what has no rating
			}
			got := []float64{0}
			if err := m.Rate(q, []uint32{7}, got); err != nil || got[0] != without[7] {
				t.Errorf("%s: predicts %v (%v) with a rating of %v in the query, without %v", k.Name, got[0], err, outlier, without[7])
			}
		}
	}
}

// TestRatingNotes: what of the ratings does not count as it is is told.
func TestRatingNotes(t *testing.T) {
	small := map[string]float64{"factors": 2, "iterations": 2} // the notes are of the ratings alone
	rows := ratings(60, 41)
	rows.Weight[7], rows.Weight[90], rows.Weight[200] = 1e9, -40, 6
	for want, given := range map[string]map[string]float64{
		"ratings go from -40 to 1e+09, and count as 1 to 5: leave those out that are none by least=... and greatest=...":                                                        {},
		"ratings left out, which are not from least to greatest: 3":                                                                                                             {"least": 0, "greatest": 5},
		"ratings left out, which are not from least to greatest: 1; ratings go from -40 to 6, and count as 1 to 6: leave those out that are none by least=... and greatest=...": {"greatest": 6},
	} {
		maps.Copy(given, small)
		s, err := model.NewSettings(MF.Parameters, given)
		if err != nil {
			t.Fatal(err)
		}
		data := train.Split(rows, nil, 3)
		driver, err := MF.NewDriver(data[0].Shape, s)
		if err != nil {
			t.Fatal(err)
		}
		k := *MF
		k.NewDriver = func(train.Shape, model.Settings) (train.Driver, error) { return driver, nil }
		if _, err := train.Run(t.Context(), &k, s, data, train.Options{}); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(driver.(train.Noter).Notes(), "; "); got != want {
			t.Errorf("with %v: notes %q, want %q", given, got, want)
		}
	}
	// Where most are off the scale the error names it.
	for i := range rows.Weight {
		if i%2 == 0 {
			rows.Weight[i] = 1 << 39
		}
	}
	s, err := model.NewSettings(MF.Parameters, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := train.Run(t.Context(), MF, s, train.Split(rows, nil, 2), train.Options{}); err == nil || !strings.Contains(err.Error(), "to 5.49756e+11; leave those out") {
		t.Errorf("error %v of ratings of 2^39, want one that tells how far they go", err)
	}
	if _, err := MF.ParseSettings(map[string]string{"least": "5", "greatest": "1"}); err == nil {
		t.Error("takes a least rating above the greatest")
	}
}
