package server_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/covisit"
	"github.com/kith-io/kith/model/hybrid"
	"github.com/kith-io/kith/model/neighborhood"
	"github.com/kith-io/kith/model/popularity"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/node/artifact"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server/clustertest"
	"github.com/kith-io/kith/similarity"
)

// modelsAreCombined: combinations answer as the same ones over the whole matrix in one memory, as an evaluation makes them, and say what their base has found.
func modelsAreCombined(t *testing.T, c *clustertest.Cluster, version uint64) {
	events := withRows(modelEvents())
	users, items, rows := matrix(events, 4)
	popular := popularity.New(rows)
	o := similarity.Options{Measure: similarity.Cosine, K: 10}
	byItems, err := neighborhood.NewItemKNN(t.Context(), rows, popular, o)
	if err != nil {
		t.Fatal(err)
	}
	byUsers, err := neighborhood.NewUserKNN(rows, popular, o)
	if err != nil {
		t.Fatal(err)
	}
	of := map[string]hybrid.Recommender{"item-knn": byItems, "user-knn": byUsers, "hybrid": neighborhood.NewHybridKNN(byItems, byUsers), "popularity": popular}
	for _, name := range []string{"covisit", "wide"} {
		file, err := artifact.OpenModel(modelPath(c, 0, version, name))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = file.Close() }()
		if of[name], err = covisit.Kind.Read(file.Content()); err != nil {
			t.Fatal(err)
		}
	}
	combinations := map[string]train.Combination{}
	for _, m := range []struct {
		name, text string
		kind       *train.Kind
	}{
		{"rrf", "rrf(base=covisit+wide+item-knn)", hybrid.RRF},
		{"mix", "blend(base=hybrid+covisit,weight-2=3,depth=40)", hybrid.WeightedBlend},
		{"switch", "switch(base=popularity+user-knn,until-1=12)", hybrid.LengthSwitch},
	} {
		_, given, err := model.ParseName(m.text)
		if err != nil {
			t.Fatal(err)
		}
		s, err := m.kind.ParseSettings(given)
		if err != nil {
			t.Fatal(err)
		}
		var file bytes.Buffer
		if err := m.kind.Write(t.Context(), train.Shape{}, s, nil, &file); err != nil {
			t.Fatal(err)
		}
		if combinations[m.name], err = m.kind.ReadCombination(file.Bytes()); err != nil {
			t.Fatal(err)
		}
	}
	ranker, err := artifact.OpenModel(modelPath(c, 0, version, "ranker")) // package hybrid tests what it learns
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ranker.Close() }()
	if combinations["ranker"], err = hybrid.ReadCombination(ranker.Content()); err != nil {
		t.Fatal(err)
	}
	bases := map[string]bool{} // that have answered a switch
	for u, key := range users {
		q, known := history(events, key, items, rows, u)
		q.User, q.N = u, 8
		for name, combination := range combinations {
			var parts []hybrid.Part
			for _, b := range combination.Base() {
				parts = append(parts, hybrid.Part{Name: b, Model: unknown{of[b], items, known}})
			}
			m, err := hybrid.New(combination, parts, hybrid.NewCatalog(rows, nil))
			if err != nil {
				t.Fatal(err)
			}
			want, err := m.Recommend(q)
			if err != nil {
				t.Fatal(err)
			}
			req := ask(key, name)
			req.Explain = true
			got := recommend(t, c, u%3, req)
			if got.ModelName != name || got.Partial || len(got.Items) != len(want) {
				t.Fatalf("%s, %s: got %v, want %d items", key, name, got, len(want))
			}
			for i, g := range got.Items {
				if want[i].Filled {
					break
				}
				if g.Item != items[want[i].Item] || g.Score != want[i].Score || g.Source != kithv1.Model_MODEL_TRAINED {
					t.Fatalf("%s, %s, rank %d: got %v, want %s %v", key, name, i+1, g, items[want[i].Item], want[i].Score)
				}
				said := 0
				for _, p := range parts {
					q.N = len(items)
					all, err := p.Model.Recommend(q)
					if q.N = 8; err != nil {
						t.Fatal(err)
					}
					at := slices.IndexFunc(all, func(s model.Scored) bool { return items[s.Item] == g.Item })
					f := slices.IndexFunc(g.Found, func(f *kithv1.Found) bool { return f.Model == p.Name })
					switch {
					case f < 0 && (name != "rrf" || at < 0): // not asked, or not so deep
						continue
					case f < 0 || int(g.Found[f].Rank) != at+1 || g.Found[f].Score != all[at].Score:
						t.Fatalf("%s, %s, rank %d: found %v, want %s at rank %d with %v", key, name, i+1, g.Found, p.Name, at+1, all[at].Score)
					}
					said++
					bases[p.Name] = bases[p.Name] || name == "switch"
					sum := 0.0
					for _, part := range g.Found[f].Contributions {
						sum += part.Score
					}
					if d := sum - g.Found[f].Score; p.Name != "popularity" && (d > 1e-9 || d < -1e-9) {
						t.Fatalf("%s, %s, rank %d: %s has contributions %v, want the sum %v", key, name, i+1, p.Name, g.Found[f].Contributions, g.Found[f].Score)
					}
				}
				if said == 0 || said != len(g.Found) {
					t.Fatalf("%s, %s, rank %d: found by %v", key, name, i+1, g.Found)
				}
			}
		}
	}
	if !bases["popularity"] || !bases["user-knn"] {
		t.Errorf("the switch has answered by %v, want both of its base", bases)
	}
	// Rules hold, and a filter leaves a whole answer: what is not allowed is not in the way.
	first := recommend(t, c, 0, ask("u003", "rrf")).Items
	req := ask("u003", "rrf")
	req.Filter = &kithv1.Filter{Deny: keys(first)}
	req.Boosts = []*kithv1.Boost{{Filter: &kithv1.Filter{Allow: []string{"i0050"}}, Factor: 1000}}
	if got := recommend(t, c, 1, req).Items; len(got) != 8 || slices.ContainsFunc(got, func(x *kithv1.RecommendedItem) bool { return slices.Contains(req.Filter.Deny, x.Item) }) {
		t.Errorf("with rules: got %v, behind %v without", keys(got), keys(first))
	}
}
