package factors

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/modeltest"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

var ratingKinds = []*train.Kind{MF, SVDPP}

func TestRatingContract(t *testing.T) {
	for _, k := range ratingKinds {
		t.Run(k.Name, func(t *testing.T) {
			given := map[string]float64{"factors": 4, "iterations": 3}
			// Weights are ratings, and who has what says little of them: nothing is said of the structure of a matrix without weights.
			modeltest.RunImpersonal(t, modeltest.OfKind(t.Context(), k, given))
			modeltest.RunDamaged(t, k, given)
		})
	}
}

func FuzzReadRatings(f *testing.F) {
	for _, k := range ratingKinds {
		rows, _ := modeltest.Blocks()
		file, err := modeltest.Train(f.Context(), k, map[string]float64{"factors": 3, "iterations": 1}, rows, 1, 1)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(file)
		f.Add(file[:len(file)-1])
		nans := bytes.Clone(file)
		for i := fileHeader + 8; i+4 <= len(nans)-4*rows.NumItems; i += 4 { // behind the report, up to the counts
			binary.LittleEndian.PutUint32(nans[i:], math.Float32bits(float32(math.NaN())))
		}
		f.Add(nans)
	}
	f.Add([]byte("kithfact"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, k := range ratingKinds {
			modeltest.Ask(t, k, b)
			m, err := k.Read(b)
			if err != nil {
				continue
			}
			answer, err := m.Recommend(model.Query{User: -1, Items: []uint32{0, 2}, N: 5})
			for _, s := range answer {
				if err == nil && (math.IsNaN(s.Score) || math.IsInf(s.Score, 0)) {
					t.Errorf("%s: score %v", k.Name, s.Score)
				}
			}
		}
	})
}

// ratingModel trains a kind.
func ratingModel(t *testing.T, k *train.Kind, data []*train.Data, given map[string]float64) *RatingModel {
	t.Helper()
	s, err := model.NewSettings(k.Parameters, given)
	if err != nil {
		t.Fatal(err)
	}
	file, err := train.Run(t.Context(), k, s, data, train.Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	m, err := k.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	return m.(*RatingModel)
}

// withEvents gives data events of their entries: a rating with the value of rows, or, where seen says so, a view.
func withEvents(data []*train.Data, seen func(user int, item uint32) bool) []*train.Data {
	for _, d := range data {
		d.Shape.Behaviors = []string{train.Rating, "view"}
		d.Events = func(_ context.Context, f func(user int, events []train.Event) error) error {
			for u := range d.Rows.NumUsers() {
				user := d.Shape.FirstUser[d.Worker] + u
				var events []train.Event
				for at := d.Rows.Start[u]; at < d.Rows.Start[u+1]; at++ {
					e := train.Event{Item: d.Rows.Item[at], Value: d.Rows.Weight[at]}
					if seen(user, e.Item) {
						e.Behavior = 1
					}
					events = append(events, e)
				}
				if err := f(user, events); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return data
}

// TestRatingIsTheMinimum: after many iterations no part of the model can be moved to make the objective smaller, which is summed up here from its definition.
func TestRatingIsTheMinimum(t *testing.T) {
	rows := ratings(30, 12)
	seen := func(user int, item uint32) bool { return (int(item)+user)%3 == 0 }
	data := withEvents(train.Split(rows, nil, 2), seen)
	var queries []model.Query
	for u := range rows.NumUsers() {
		q := model.Query{User: -1, Items: rows.Item[rows.Start[u]:rows.Start[u+1]]}
		for i, id := range q.Items {
			q.Ratings = append(q.Ratings, rows.Weight[rows.Start[u]+int64(i)])
			if seen(u, id) {
				q.Ratings[i] = float32(math.NaN())
			}
		}
		queries = append(queries, q)
	}
	for _, k := range ratingKinds {
		const lambda, scaling, beta, gamma = 0.8, 0.6, 2.0, 1.5
		given := map[string]float64{"factors": 3, "iterations": 800, "regularization": lambda, "scaling": scaling, "bias-regularization": beta}
		if k == SVDPP {
			given["implicit-regularization"] = gamma
		}
		m := ratingModel(t, k, data, given)
		const f = 3
		w := m.width()
		items, implicit := toWide(m.items), toWide(m.implicit)
		users := make([]float64, len(queries)*w)
		for u := range queries {
			x, err := m.fold(&queries[u])
			if err != nil {
				t.Fatal(err)
			}
			copy(users[u*w:], toWide(x))
			if x != nil {
				users[u*w+f+1] -= m.span.mean
			}
		}
		counts := make([]float64, rows.NumItems)
		objective := func() (sum float64) {
			clear(counts)
			for u, q := range queries {
				x := users[u*w:][:w]
				var z [f]float64
				n := 0.0
				for i, id := range q.Items {
					y := items[int(id)*w:][:w]
					for j := range z {
						if implicit != nil {
							z[j] += implicit[int(id)*w+j] / math.Sqrt(float64(len(q.Items)))
						}
					}
					if r := float64(q.Ratings[i]); r == r {
						n++
						counts[id]++
						e := r - m.span.mean - x[f+1] - y[f]
						for j := range f {
							e -= x[j] * y[j]
						}
						sum += e * e
					}
				}
				for j := range z {
					sum += lambda * math.Pow(n, scaling) * (x[j] - z[j]) * (x[j] - z[j])
				}
				sum += beta * x[f+1] * x[f+1]
			}
			for id, n := range counts {
				y := items[id*w:][:w]
				for j := range f {
					sum += lambda * math.Pow(n, scaling) * y[j] * y[j]
					if implicit != nil {
						sum += gamma * implicit[id*w+j] * implicit[id*w+j]
					}
				}
				sum += beta * y[f] * y[f]
			}
			return sum
		}
		least := objective()
		if losses := m.Losses(); math.Abs(losses[len(losses)-1]-least) > 1e-4*least {
			t.Errorf("%s: objective %v after the last iteration, want %v", k.Name, losses[len(losses)-1], least)
		}
		slope := func(name string, row, slot int, x []float64) {
			const step = 1e-3
			at := row*w + slot
			before := x[at]
			x[at] = before + step
			up := objective()
			x[at] = before - step
			down := objective()
			x[at] = before
			if g := (up - down) / (2 * step); math.Abs(g) > 0.02 {
				t.Errorf("%s: the objective has slope %v by number %d of %s %d, want 0", k.Name, g, slot, name, row)
			}
		}
		for u := 1; u < len(queries); u += 7 {
			for slot := range f {
				slope("user", u, slot, users)
			}
			slope("user", u, f+1, users)
		}
		for i := 0; i < rows.NumItems-1; i += 3 {
			for slot := range f + 1 {
				slope("item", i, slot, items)
			}
			for slot := range f {
				if implicit != nil {
					slope("second vector", i, slot, implicit)
				}
			}
		}
	}
}

func toWide(x []float32) (out []float64) {
	for _, v := range x {
		out = append(out, float64(v))
	}
	return out
}

// TestRatingWorkers: one worker and three give the same bits, and the same objective but for the rounding of its sum.
func TestRatingWorkers(t *testing.T) {
	rows := ratings(60, 41)
	for _, k := range ratingKinds {
		given := map[string]float64{"factors": 6, "iterations": 5}
		one, three := ratingModel(t, k, train.Split(rows, nil, 1), given), ratingModel(t, k, train.Split(rows, nil, 3), given)
		if !slices.Equal(one.items, three.items) || !slices.Equal(one.implicit, three.implicit) || !slices.Equal(one.counts, three.counts) || one.settings != three.settings {
			t.Errorf("%s: three workers make another model than one", k.Name)
		}
		for i, loss := range one.Losses() {
			if other := three.Losses()[i]; math.Abs(loss-other) > 1e-12*loss {
				t.Errorf("%s: objective %v of one worker after iteration %d, %v of three", k.Name, loss, i+1, other)
			}
		}
	}
}

// TestRatingLossesFall: the objective rises after no iteration.
func TestRatingLossesFall(t *testing.T) {
	rows := ratings(60, 41)
	for _, k := range ratingKinds {
		given := map[string]float64{"factors": 6, "iterations": 20}
		losses := ratingModel(t, k, train.Split(rows, nil, 3), given).Losses()
		if len(losses) != 20 {
			t.Fatalf("%s: %d losses, want 20", k.Name, len(losses))
		}
		for i := 1; i < len(losses); i++ {
			if losses[i] > losses[i-1]*(1+1e-6) {
				t.Errorf("%s: the objective rises from %v to %v in iteration %d", k.Name, losses[i-1], losses[i], i+1)
			}
		}
	}
}

// TestRatingBiases follows biases alone by hand. User 0 rates item 0 with 5 and item 1 with 2, user 1 item 0 with 2; the mean is 3. With β = 1, items without a bias yet give
//
//	b_u0 = (2 - 1)/3 = 1/3, b_u1 = -1/2,
//
// and these give b_i0 = (2 - 1/3 - 1 + 1/2)/3 = 7/18 and b_i1 = (-1 - 1/3)/2 = -2/3. A user who then rates item 0 with 4 has the bias (4 - 3 - 7/18)/2 = 11/36.
func TestRatingBiases(t *testing.T) {
	rows := &similarity.Rows{NumItems: 3, Start: []int64{0, 2, 3}, Item: []uint32{0, 1, 0}, Weight: []float32{5, 2, 2}}
	given := map[string]float64{"factors": 0, "iterations": 1, "bias-regularization": 1}
	m := ratingModel(t, MF, train.Split(rows, nil, 2), given)
	nan := float32(math.NaN())
	for name, c := range map[string]struct {
		q    model.Query
		want []float64 // of items 0, 1, 2 and one that is not there
	}{
		"rated":                       {model.Query{Items: []uint32{0}, Weights: []float32{9}, Ratings: []float32{4}}, []float64{3 + 7./18 + 11./36, 3 + 11./36 - 2./3, 3 + 11./36, 3 + 11./36}},
		"weights are ratings":         {model.Query{Items: []uint32{0}, Weights: []float32{4}}, []float64{3 + 7./18 + 11./36, 3 + 11./36 - 2./3, 3 + 11./36, 3 + 11./36}},
		"nobody":                      {model.Query{}, []float64{3 + 7./18, 3 - 2./3, 3, 3}},
		"without a rating":            {model.Query{Items: []uint32{0}, Ratings: []float32{nan}}, []float64{3 + 7./18, 3 - 2./3, 3, 3}},
		"an item that nobody rated":   {model.Query{Items: []uint32{2}, Ratings: []float32{5}}, []float64{3 + 7./18, 3 - 2./3, 3, 3}},
		"above all counts as 5":       {model.Query{Items: []uint32{1}, Ratings: []float32{math.MaxFloat32}}, []float64{3 + 7./18 + 4./3, 3 + 4./3 - 2./3, 3 + 4./3, 3 + 4./3}},
		"not above the highest":       {model.Query{Items: []uint32{0, 1}, Ratings: []float32{5, 5}}, []float64{3 + 7./18 + 77./54, 3 + 77./54 - 2./3, 3 + 77./54, 3 + 77./54}},
		"not below the least, as low": {model.Query{Items: []uint32{0}, Ratings: []float32{-50}}, []float64{3 + 7./18 - 25./36, 2, 3 - 25./36, 3 - 25./36}},
	} {
		got := make([]float64, 4)
		c.q.User = -1
		if err := m.Rate(c.q, []uint32{0, 1, 2, 9}, got); err != nil {
			t.Fatal(err)
		}
		for i, want := range c.want {
			if want = min(5, max(2, want)); math.Abs(got[i]-want) > 1e-6 {
				t.Errorf("%s, item %d: %v, want %v", name, i, got[i], want)
			}
		}
	}
	// What is recommended has the same figures, but is not cut at the greatest rating, and does not have item 2.
	top, err := m.Recommend(model.Query{User: -1, Items: []uint32{0, 1}, Ratings: []float32{5, 5}, N: 3, WithSeen: true})
	if err != nil || len(top) != 3 || math.Abs(top[0].Score-(3+7./18+77./54)) > 1e-6 || top[0].Item != 0 || top[1].Item != 1 || !top[2].Filled {
		t.Errorf("recommended are %v (%v)", top, err)
	}
}

// TestSVDPPLearnsFromWhatIsSeen: users of two tastes rate items 0 to 9 high if these are of their taste, and see those of the others that are. SVD++ tells by what a newcomer has seen
// what the ratings will be, and MF does not.
func TestSVDPPLearnsFromWhatIsSeen(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	rows := &similarity.Rows{NumItems: 20, Start: []int64{0}}
	for u := range 80 {
		for i := range 20 {
			if like := i%2 == u%2; rng.IntN(2) == 0 && (like || i < 10) {
				rating := float32(2)
				if like {
					rating = 4
				}
				rows.Item, rows.Weight = append(rows.Item, uint32(i)), append(rows.Weight, rating)
			}
		}
		rows.Start = append(rows.Start, int64(len(rows.Item)))
	}
	data := withEvents(train.Split(rows, nil, 2), func(_ int, item uint32) bool { return item >= 10 })
	nan := float32(math.NaN())
	for _, k := range ratingKinds {
		m := ratingModel(t, k, data, map[string]float64{"factors": 4, "regularization": 0.1})
		var got [2]float64
		if err := m.Rate(model.Query{User: -1, Items: []uint32{10, 12, 14}, Ratings: []float32{nan, nan, nan}}, []uint32{2, 3}, got[:]); err != nil {
			t.Fatal(err)
		}
		if told := got[0] > got[1]+0.4; told != (k == SVDPP) {
			t.Errorf("%s: who has seen items of one taste would rate one of it %v, of the other %v", k.Name, got[0], got[1])
		}
	}
}

func TestNoRatings(t *testing.T) {
	data := withEvents(train.Split(ratings(5, 5), nil, 2), func(int, uint32) bool { return true })
	for _, k := range ratingKinds {
		s, err := model.NewSettings(k.Parameters, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := train.Run(t.Context(), k, s, data, train.Options{}); err == nil || !strings.Contains(err.Error(), "behavior rating") {
			t.Errorf("%s: error %v of data without ratings, want one that names the behavior", k.Name, err)
		}
	}
}

// TestColumnsOfMixedWeights: a worker whose weights are all 1 need not have any, whatever the others have.
func TestColumnsOfMixedWeights(t *testing.T) {
	rows := ratings(9, 8)
	for at := rows.Start[6]; at < rows.Start[9]; at++ {
		rows.Weight[at] = 1
	}
	data := train.Split(rows, nil, 3)
	s, err := model.NewSettings(ALS.Parameters, map[string]float64{"factors": 3, "weights": 2})
	if err != nil {
		t.Fatal(err)
	}
	want, err := train.Run(t.Context(), ALS, s, data, train.Options{})
	if err != nil {
		t.Fatal(err)
	}
	data[2].Rows.Weight = nil
	if got, err := train.Run(t.Context(), ALS, s, data, train.Options{}); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes (%v), want the %d with all weights", len(got), err, len(want))
	}
}
