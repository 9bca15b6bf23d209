package methods_test

import (
	"slices"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/methods"
	"github.com/kith-io/kith/model/modeltest"
	"github.com/kith-io/kith/model/neighborhood"
	"github.com/kith-io/kith/model/popularity"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// whole returns the methods as models of a whole matrix.
func whole(t *rapid.T, rows *similarity.Rows, o similarity.Options) map[string]train.Model {
	popular := popularity.New(rows)
	item, err := neighborhood.NewItemKNN(t.Context(), rows, popular, o)
	if err != nil {
		t.Fatal(err)
	}
	user, err := neighborhood.NewUserKNN(rows, popular, o)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]train.Model{"item-knn": item, "user-knn": user, "hybrid": neighborhood.NewHybridKNN(item, user), "popularity": popular}
}

// TestKindsEqualModels: what any number of workers make answers as the models of the whole matrix, to the bit, by every measure.
func TestKindsEqualModels(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := &similarity.Rows{NumItems: rapid.IntRange(0, 40).Draw(t, "items"), Start: []int64{0}}
		weighed := rapid.Bool().Draw(t, "weighed")
		for range rapid.IntRange(0, 15).Draw(t, "users") {
			step := rapid.IntRange(1, 6).Draw(t, "step")
			for id := rapid.IntRange(0, 4).Draw(t, "first"); id < rows.NumItems; id += step {
				rows.Item = append(rows.Item, uint32(id))
				if weighed {
					rows.Weight = append(rows.Weight, float32(1+id%step)/2)
				}
			}
			rows.Start = append(rows.Start, int64(len(rows.Item)))
		}
		o := similarity.Options{
			Measure: rapid.SampledFrom(similarity.Measures()).Draw(t, "measure"), K: rapid.IntRange(1, 8).Draw(t, "k"), Shrinkage: float64(rapid.IntRange(0, 1).Draw(t, "shrinkage")), Alpha: 0.5,
		}
		want := whole(t, rows, o)
		data := train.Split(rows, nil, rapid.IntRange(1, 4).Draw(t, "workers"))
		for _, k := range methods.Kinds(o) {
			file, err := train.Run(t.Context(), k, model.Settings{}, data, train.Options{Threads: rapid.IntRange(1, 8).Draw(t, "threads")})
			if err != nil {
				t.Fatal(err)
			}
			got, err := k.Read(file)
			if err != nil {
				t.Fatal(err)
			}
			for u := range rows.NumUsers() {
				q := model.Query{User: u, Items: rows.Item[rows.Start[u]:rows.Start[u+1]], N: rows.NumItems}
				if weighed {
					q.Weights = rows.Weight[rows.Start[u]:rows.Start[u+1]]
				}
				a, err := want[k.Name].Recommend(q)
				if err != nil {
					t.Fatal(err)
				}
				b, err := got.Recommend(q)
				if err != nil || !slices.Equal(a, b) {
					t.Fatalf("%s by %s, user %d: got %v, error %v, want %v", k.Name, o.Measure, u, b, err, a)
				}
			}
			delete(want, k.Name)
		}
		if len(want) > 0 {
			t.Fatalf("no kinds for %v", want)
		}
	})
}

func TestDamaged(t *testing.T) {
	for _, k := range methods.Kinds(similarity.Options{Measure: similarity.BM25, K: 5}) {
		t.Run(k.Name, func(t *testing.T) { modeltest.RunDamaged(t, k, nil) })
	}
}
