package hybrid_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/hybrid"
	"github.com/kith-io/kith/model/modeltest"
	"github.com/kith-io/kith/model/neighborhood"
	"github.com/kith-io/kith/model/popularity"
	"github.com/kith-io/kith/similarity"
)

// fixed is a model that always says the same.
type fixed []model.Scored

func (f fixed) Recommend(q model.Query) ([]model.Scored, error) {
	return f[:min(q.N, len(f))], nil
}

func scored(pairs ...float64) (out fixed) {
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, model.Scored{Item: uint32(pairs[i]), Score: pairs[i+1]})
	}
	return out
}

// abc are two models by hand: one finds items 0, 1, 2 with scores 5, 3, 1, the other 2, 3 with 10, 6, and fills in.
func abc() []hybrid.Part {
	second := append(scored(2, 10, 3, 6), model.Scored{Item: 0, Filled: true})
	return []hybrid.Part{{Name: "a", Model: scored(0, 5, 1, 3, 2, 1)}, {Name: "b", Model: second}}
}

// names are those of parts.
func names(parts []hybrid.Part) (names []string) {
	for _, p := range parts {
		names = append(names, p.Name)
	}
	return names
}

// blend returns a blend of parts, the later ones of the larger weights.
func blend(parts []hybrid.Part, c *hybrid.Catalog, n hybrid.Normalization, depth int) (*hybrid.Model, error) {
	var weights []float64
	for i := range parts {
		weights = append(weights, float64(i+1))
	}
	b, err := hybrid.NewBlending(names(parts), weights, n, depth)
	if err != nil {
		return nil, err
	}
	return hybrid.New(b, parts, c)
}

// switched returns a switch between parts.
func switched(parts []hybrid.Part, c *hybrid.Catalog, until ...int) (*hybrid.Model, error) {
	s, err := hybrid.NewSwitching(names(parts), until)
	if err != nil {
		return nil, err
	}
	return hybrid.New(s, parts, c)
}

// ranker returns a ranker of parts.
func ranker(parts []hybrid.Part, c *hybrid.Catalog, w *hybrid.Weighing) (*hybrid.Model, error) {
	return hybrid.New(hybrid.NewRanking(c, w), parts, c)
}

// five is a catalog of five items, of which item 4 is the most popular, and no other has a user.
func five() *hybrid.Catalog {
	return hybrid.NewCatalog(&similarity.Rows{NumItems: 5, Start: []int64{0, 1}, Item: []uint32{4}}, nil)
}

func TestBlend(t *testing.T) {
	z := math.Sqrt(1.5) // of 5, 3, 1: mean 3, deviation sqrt(8/3)
	for n, want := range [][]model.Scored{
		hybrid.MinMax:     {{Item: 2, Score: 0 + 2*1}, {Item: 0, Score: 1}, {Item: 1, Score: 0.5}, {Item: 3, Score: 0}},
		hybrid.ZScore:     {{Item: 2, Score: -z + 2}, {Item: 0, Score: z - 2}, {Item: 1, Score: -2}, {Item: 3, Score: -z - 2}},
		hybrid.Rank:       {{Item: 2, Score: 0.8 + 2}, {Item: 3, Score: 2 * 0.9}, {Item: 0, Score: 1}, {Item: 1, Score: 0.9}},
		hybrid.Reciprocal: {{Item: 2, Score: 1.0/63 + 2.0/61}, {Item: 3, Score: 2.0 / 62}, {Item: 0, Score: 1.0 / 61}, {Item: 1, Score: 1.0 / 62}},
	} {
		b, err := blend(abc(), five(), hybrid.Normalization(n), 10)
		if err != nil {
			t.Fatal(err)
		}
		got, err := b.Recommend(model.Query{User: -1, N: 5})
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, model.Scored{Item: 4, Filled: true})
		if !slices.EqualFunc(got, want, func(a, b model.Scored) bool {
			return a.Item == b.Item && a.Filled == b.Filled && math.Abs(a.Score-b.Score) < 1e-12
		}) {
			t.Errorf("%s: %v, want %v", hybrid.Normalizations()[n], got, want)
		}
	}
}

func TestSwitch(t *testing.T) {
	s, err := switched([]hybrid.Part{{Name: "a", Model: scored(0, 1)}, {Name: "b", Model: scored(1, 1)}, {Name: "c", Model: scored(2, 1)}}, five(), 1, 3)
	if err != nil {
		t.Fatal(err)
	}
	for items, want := range []uint32{0, 1, 1, 2, 2} {
		q := model.Query{User: -1, N: 1, WithSeen: true}
		for i := range items {
			q.Items = append(q.Items, uint32(i))
		}
		if got, err := s.Recommend(q); err != nil || got[0].Item != want {
			t.Errorf("history of %d items: %v, error %v, want model %d", items, got, err, want)
		}
	}
}

func TestRefuses(t *testing.T) {
	none := func(_ any, err error) error { return err }
	o := hybrid.DefaultLearnOptions()
	rest := &similarity.Rows{NumItems: 5, Start: []int64{0, 1}, Item: []uint32{0}}
	for name, err := range map[string]error{
		"no models":        none(blend(nil, five(), hybrid.MinMax, 10)),
		"weight":           none(hybrid.NewBlending([]string{"a", "b"}, []float64{1, math.NaN()}, hybrid.MinMax, 10)),
		"depth":            none(blend(abc(), five(), hybrid.MinMax, 0)),
		"normalization":    none(blend(abc(), five(), 9, 10)),
		"lengths":          none(switched(abc(), five())),
		"descending":       none(switched(append(abc(), abc()...)[:3], five(), 3, 3)),
		"options":          none(hybrid.Learn(t.Context(), abc(), rest, nil, make([][]uint32, 1), hybrid.LearnOptions{Depth: 1})),
		"users":            none(hybrid.Learn(t.Context(), abc(), rest, nil, nil, o)),
		"nothing is found": none(hybrid.Learn(t.Context(), abc(), rest, nil, [][]uint32{{4}}, o)),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
		if name == "nothing is found" && !errors.Is(err, hybrid.ErrNothing) {
			t.Errorf("%s: %v, want an error matching ErrNothing", name, err)
		}
	}
}

// neighbors are two models of neighbors of a matrix.
func neighbors(rows *similarity.Rows) ([]hybrid.Part, error) {
	popular := popularity.New(rows)
	o := similarity.Options{Measure: similarity.Cosine, K: 20, Threads: 1}
	item, err := neighborhood.NewItemKNN(context.Background(), rows, popular, o)
	if err != nil {
		return nil, err
	}
	user, err := neighborhood.NewUserKNN(rows, popular, o)
	return []hybrid.Part{{Name: "item", Model: item}, {Name: "user", Model: user}}, err
}

// learned learns from a part of the matrix of tastes.
func learned(t testing.TB, l hybrid.Learner) *hybrid.Weighing {
	rows, _ := modeltest.Blocks()
	rest, _, held := hybrid.HoldOut(rows, nil, 0.3, true, 1, 0)
	parts, err := neighbors(rest)
	if err != nil {
		t.Fatal(err)
	}
	o := hybrid.DefaultLearnOptions()
	o.Learner, o.Trees, o.Depth = l, 10, 60
	w, err := hybrid.Learn(t.Context(), parts, rest, nil, held, o)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestModels(t *testing.T) {
	for n, name := range hybrid.Normalizations() {
		t.Run(name, func(t *testing.T) {
			modeltest.Run(t, func(rows *similarity.Rows) (modeltest.Recommender, error) {
				parts, err := neighbors(rows)
				if err != nil {
					return nil, err
				}
				return blend(parts, hybrid.NewCatalog(rows, nil), hybrid.Normalization(n), hybrid.DefaultDepth)
			})
		})
	}
	t.Run("switch", func(t *testing.T) {
		modeltest.Run(t, func(rows *similarity.Rows) (modeltest.Recommender, error) {
			parts, err := neighbors(rows)
			if err != nil {
				return nil, err
			}
			return switched(parts, hybrid.NewCatalog(rows, nil), 4)
		})
	})
	for l, name := range hybrid.Learners() {
		w := learned(t, hybrid.Learner(l))
		t.Run(name, func(t *testing.T) {
			modeltest.Run(t, func(rows *similarity.Rows) (modeltest.Recommender, error) {
				parts, err := neighbors(rows)
				if err != nil {
					return nil, err
				}
				return ranker(parts, hybrid.NewCatalog(rows, nil), w)
			})
		})
	}
}

// TestRankerFindsTheGoodModel: one model says what is right, others say something else with larger scores; who learns follows the good one.
func TestRankerFindsTheGoodModel(t *testing.T) {
	const users, items = 200, 40
	rows := &similarity.Rows{NumItems: items, Start: []int64{0}}
	held := make([][]uint32, users)
	for u := range users {
		rows.Item = append(rows.Item, uint32(u%items))
		rows.Start = append(rows.Start, int64(len(rows.Item)))
		held[u] = []uint32{uint32((u + 1) % items)}
	}
	next := byItem(func(id uint32) []float64 {
		return []float64{float64((id + 1) % items), 0.2, float64((id + 2) % items), 0.1, float64((id + 3) % items), 0.05}
	})
	wrong := byItem(func(id uint32) []float64 {
		return []float64{float64((id + 7) % items), 90, float64((id + 8) % items), 80, float64((id + 1) % items), 10}
	})
	parts := []hybrid.Part{{Name: "wrong", Model: wrong}, {Name: "next", Model: next}}
	for l, name := range hybrid.Learners() {
		o := hybrid.DefaultLearnOptions()
		o.Learner = hybrid.Learner(l)
		w, err := hybrid.Learn(t.Context(), parts, rows, nil, held, o)
		if err != nil {
			t.Fatal(err)
		}
		r, err := ranker(parts, hybrid.NewCatalog(rows, nil), w)
		if err != nil {
			t.Fatal(err)
		}
		for u := range users {
			got, err := r.Recommend(model.Query{User: u, Items: rows.Item[u : u+1], N: 1})
			if err != nil || got[0].Item != held[u][0] {
				t.Fatalf("%s: user %d: %v, error %v, want item %d first", name, u, got, err, held[u][0])
			}
		}
		o.Threads = 3
		again, err := hybrid.Learn(t.Context(), parts, rows, nil, held, o)
		if err != nil || !bytes.Equal(file(t, w), file(t, again)) {
			t.Errorf("%s: with three threads it learns something else (error %v)", name, err)
		}
		if _, err := ranker([]hybrid.Part{parts[1], parts[0]}, five(), w); err == nil {
			t.Errorf("%s: takes models of another order", name)
		}
	}
}

// byItem is a model of the first item of the history.
type byItem func(id uint32) []float64

func (f byItem) Recommend(q model.Query) ([]model.Scored, error) {
	if len(q.Items) == 0 {
		return nil, nil
	}
	return scored(f(q.Items[0])...).Recommend(q)
}

func TestHoldOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := &similarity.Rows{NumItems: 30, Start: []int64{0}, Weight: []float32{}}
		var times []int64
		for range rapid.IntRange(0, 10).Draw(t, "users") {
			for id := range rows.NumItems {
				if rapid.IntRange(0, 2).Draw(t, "has") == 0 {
					rows.Item, rows.Weight = append(rows.Item, uint32(id)), append(rows.Weight, float32(id)+0.5)
					times = append(times, int64(rapid.IntRange(1, 9).Draw(t, "time")))
				}
			}
			rows.Start = append(rows.Start, int64(len(rows.Item)))
		}
		random := rapid.Bool().Draw(t, "random")
		part := rapid.Float64Range(0.05, 0.9).Draw(t, "part")
		rest, restTimes, held := hybrid.HoldOut(rows, times, part, random, 1, 0)
		for u := range rows.NumUsers() {
			all := rows.Item[rows.Start[u]:rows.Start[u+1]]
			kept := rest.Item[rest.Start[u]:rest.Start[u+1]]
			joined := slices.Sorted(slices.Values(append(slices.Clone(kept), held[u]...)))
			if !slices.Equal(joined, all) || !slices.IsSorted(kept) || !slices.IsSorted(held[u]) || len(all) > 0 && len(kept) == 0 {
				t.Fatalf("user %d: %v is divided into %v and %v", u, all, kept, held[u])
			}
			if want := part * float64(len(all)); len(all) > 1 && math.Abs(float64(len(held[u]))-want) > 1 {
				t.Fatalf("user %d: %d of %d held back, want %v", u, len(held[u]), len(all), want)
			}
			var newest, oldest int64 = 0, math.MaxInt64
			for i, id := range all {
				if _, out := slices.BinarySearch(held[u], id); out {
					oldest = min(oldest, times[rows.Start[u]+int64(i)])
				} else {
					newest = max(newest, times[rows.Start[u]+int64(i)])
				}
			}
			if !random && newest > oldest {
				t.Fatalf("user %d: what is kept is of %d, what is held back of %d", u, newest, oldest)
			}
		}
		for p, id := range rest.Item {
			if rest.Weight[p] != float32(id)+0.5 || restTimes[p] == 0 {
				t.Fatalf("item %d has weight %v and time %d", id, rest.Weight[p], restTimes[p])
			}
		}
	})
}

func file(t testing.TB, w *hybrid.Weighing) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := w.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestFile: what is read ranks as what was written; a file that is cut short, or has more than it should, is an error.
func TestFile(t *testing.T) {
	rows, _ := modeltest.Blocks()
	parts, err := neighbors(rows)
	if err != nil {
		t.Fatal(err)
	}
	for l, name := range hybrid.Learners() {
		w := learned(t, hybrid.Learner(l))
		written := file(t, w)
		read, err := hybrid.ReadWeighing(written)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(read.Parts(), []string{"item", "user"}) || !bytes.Equal(file(t, read), written) {
			t.Fatalf("%s: reads something else than was written", name)
		}
		a, err := ranker(parts, hybrid.NewCatalog(rows, nil), w)
		if err != nil {
			t.Fatal(err)
		}
		b, err := ranker(parts, hybrid.NewCatalog(rows, nil), read)
		if err != nil {
			t.Fatal(err)
		}
		q := model.Query{User: 3, Items: rows.Item[rows.Start[3]:rows.Start[4]], N: 20}
		x, err := a.Recommend(q)
		if err != nil {
			t.Fatal(err)
		}
		if y, err := b.Recommend(q); err != nil || !slices.Equal(x, y) {
			t.Errorf("%s: what was read ranks %v, error %v, want %v", name, y, err, x)
		}
		for n := 0; n < len(written); n += 1 + n/20 {
			if _, err := hybrid.ReadWeighing(written[:n]); !errors.Is(err, hybrid.ErrFile) {
				t.Fatalf("%s: %d of %d bytes: error %v, want one matching ErrFile", name, n, len(written), err)
			}
		}
		if _, err := hybrid.ReadWeighing(append(slices.Clone(written), 0)); !errors.Is(err, hybrid.ErrFile) {
			t.Errorf("%s: one byte too many: error %v, want one matching ErrFile", name, err)
		}
	}
}

// FuzzReadWeighing: no file makes reading panic, nor a ranker of what was read.
func FuzzReadWeighing(f *testing.F) {
	for l := range hybrid.Learners() {
		f.Add(file(f, learned(f, hybrid.Learner(l))))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		w, err := hybrid.ReadWeighing(b)
		if err != nil {
			return
		}
		var parts []hybrid.Part
		for i, name := range w.Parts() {
			parts = append(parts, hybrid.Part{Name: name, Model: abc()[i%2].Model})
		}
		r, err := ranker(parts, five(), w)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := r.Recommend(model.Query{User: -1, N: 5})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range answer {
			if math.IsNaN(s.Score) || math.IsInf(s.Score, 0) {
				t.Errorf("score %v", s.Score)
			}
		}
	})
}
