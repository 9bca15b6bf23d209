package neighborhood_test

import (
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/modeltest"
	"github.com/kith-io/kith/model/neighborhood"
	"github.com/kith-io/kith/model/popularity"
	"github.com/kith-io/kith/similarity"
)

var (
	_ modeltest.Explainer = (*neighborhood.ItemKNN)(nil)
	_ modeltest.Explainer = (*neighborhood.UserKNN)(nil)
	_ modeltest.Explainer = (*neighborhood.HybridKNN)(nil)
)

func newHybrid(t testing.TB, rows *similarity.Rows, o similarity.Options) (*neighborhood.ItemKNN, *neighborhood.UserKNN, *neighborhood.HybridKNN, error) {
	popular := popularity.New(rows)
	item, err := neighborhood.NewItemKNN(t.Context(), rows, popular, o)
	if err != nil {
		return nil, nil, nil, err
	}
	user, err := neighborhood.NewUserKNN(rows, popular, o)
	if err != nil {
		return nil, nil, nil, err
	}
	return item, user, neighborhood.NewHybridKNN(item, user), nil
}

func TestConformance(t *testing.T) {
	for _, measure := range []similarity.Measure{similarity.Cosine, similarity.Jaccard} {
		o := similarity.Options{Measure: measure, K: 15, Threads: 1}
		t.Run("itemknn/"+measure.String(), func(t *testing.T) {
			modeltest.Run(t, func(rows *similarity.Rows) (modeltest.Recommender, error) {
				return neighborhood.NewItemKNN(t.Context(), rows, popularity.New(rows), o)
			})
		})
		t.Run("userknn/"+measure.String(), func(t *testing.T) {
			modeltest.Run(t, func(rows *similarity.Rows) (modeltest.Recommender, error) {
				return neighborhood.NewUserKNN(rows, popularity.New(rows), o)
			})
		})
		t.Run("hybrid/"+measure.String(), func(t *testing.T) {
			modeltest.Run(t, func(rows *similarity.Rows) (modeltest.Recommender, error) {
				_, _, m, err := newHybrid(t, rows, o)
				return m, err
			})
		})
	}
	// Without weights all residuals are zero, so the structure of a binary matrix cannot be found.
	o := similarity.Options{Measure: similarity.AdjustedCosine, K: 15, Threads: 1}
	t.Run("hybrid/adjusted-cosine", func(t *testing.T) {
		modeltest.RunImpersonal(t, func(rows *similarity.Rows) (modeltest.Recommender, error) {
			_, _, m, err := newHybrid(t, rows, o)
			return m, err
		})
	})
}

// byHand is a matrix of four users and four items, without weights.
var byHand = &similarity.Rows{
	NumItems: 4,
	Start:    []int64{0, 2, 5, 7, 8},
	Item:     []uint32{0, 1, 0, 1, 2, 1, 2, 3},
}

func TestRecommendByHand(t *testing.T) {
	// Users of the items: 0 {0,1}, 1 {0,1,2}, 2 {1,2}, 3 {3}.
	// Jaccard: (0,1) 2/3, (0,2) 1/3, (1,2) 2/3; item 3 is like none.
	item, user, hybrid, err := newHybrid(t, byHand, similarity.Options{Measure: similarity.Jaccard, K: 3, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	q := model.Query{User: -1, Items: []uint32{0, 1}, Weights: []float32{3, 1.5}, N: 4, WithSeen: true}
	third, twoThirds := neighborhood.Float(neighborhood.Fixed(1, float32(1.0/3))), neighborhood.Float(neighborhood.Fixed(1, float32(2.0/3)))
	// Item-based: 0 gets 1.5·2/3, 1 gets 3·2/3, 2 gets 3·1/3 + 1.5·2/3.
	fixed := func(w, s float32) float64 { return neighborhood.Float(neighborhood.Fixed(w, s)) }
	a0, a1 := fixed(1.5, float32(2.0/3)), fixed(3, float32(2.0/3))
	a2 := fixed(3, float32(1.0/3)) + a0
	// User-based: the history {0,1} is like users 0 by 1, 1 by 2/3, 2 by 1/3; three nearest. Their items:
	// 0 gets 1 + 2/3, 1 gets 1 + 2/3 + 1/3, 2 gets 2/3 + 1/3.
	b0, b1, b2 := 1+twoThirds, 1+twoThirds+third, twoThirds+third
	fill := model.Scored{Item: 3, Filled: true}
	for _, c := range []struct {
		name  string
		model modeltest.Recommender
		want  []model.Scored
	}{
		{"item", item, []model.Scored{{Item: 1, Score: a1}, {Item: 2, Score: a2}, {Item: 0, Score: a0}, fill}},
		{"user", user, []model.Scored{{Item: 1, Score: b1}, {Item: 0, Score: b0}, {Item: 2, Score: b2}, fill}},
		{"hybrid", hybrid, []model.Scored{{Item: 1, Score: 1}, {Item: 2, Score: (a2/a1 + b2/b1) / 2}, {Item: 0, Score: (a0/a1 + b0/b1) / 2}, fill}},
	} {
		got, err := c.model.Recommend(q)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		near := gocmp.Comparer(func(x, y float64) bool { return x-y < 1e-9 && y-x < 1e-9 })
		if diff := gocmp.Diff(c.want, got, near); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}

	// Of item 2's user-based score 1, the like user 1 {0,1,2} gives 2/3, by items 0 and 1 alike, and user 2 {1,2} gives
	// 1/3, by item 1 alone.
	got, err := user.Explain(q, 2)
	if err != nil {
		t.Fatal(err)
	}
	want := []model.Contribution{{Item: 1, Score: twoThirds/2 + third}, {Item: 0, Score: twoThirds / 2}}
	near := gocmp.Comparer(func(x, y float64) bool { return x-y < 1e-9 && y-x < 1e-9 })
	if diff := gocmp.Diff(want, got, near); diff != "" {
		t.Errorf("Explain by users (-want +got):\n%s", diff)
	}
}

// A query must give what the layer below gives when a router calls it for parts of the history.
func TestPartsGiveTheWhole(t *testing.T) {
	rows, _ := modeltest.Blocks()
	o := similarity.Options{Measure: similarity.Cosine, K: 10, Threads: 1}
	lists, err := similarity.Build(t.Context(), rows, o)
	if err != nil {
		t.Fatal(err)
	}
	m, err := neighborhood.NewItemKNN(t.Context(), rows, popularity.New(rows), o)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		u := rapid.IntRange(0, rows.NumUsers()-1).Draw(t, "user")
		q := model.Query{User: u, Items: rows.Item[rows.Start[u]:rows.Start[u+1]], N: 20}
		for range q.Items {
			q.Weights = append(q.Weights, rapid.Float32Range(0, 5).Draw(t, "weight"))
		}
		parts := make([]*neighborhood.Scores, rapid.IntRange(1, 5).Draw(t, "nodes"))
		for p := range parts {
			parts[p] = neighborhood.NewScores()
		}
		for i, id := range q.Items {
			parts[rapid.IntRange(0, len(parts)-1).Draw(t, "node")].AddNeighbors(q.Weights[i], lists.List(id))
		}
		merged := neighborhood.NewScores()
		for _, p := range parts {
			merged.Add(p.All())
		}
		want, err := m.Recommend(q)
		if err != nil {
			t.Fatal(err)
		}
		got := model.Fill(merged.Top(q.N, q.Excluded()), q.N, popularity.New(rows).Order(), q.Excluded())
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Fatalf("%d nodes (-one process +merged):\n%s", len(parts), diff)
		}
	})
}
