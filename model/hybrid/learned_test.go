package hybrid_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/hybrid"
	"github.com/kith-io/kith/model/kinds"
	"github.com/kith-io/kith/model/methods"
	"github.com/kith-io/kith/model/modeltest"
	"github.com/kith-io/kith/model/slim"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

// trainRanker trains a ranker of a base over workers, and returns its file.
func trainRanker(ctx context.Context, s model.Settings, base []train.BaseModel, data []*train.Data, threads int) ([]byte, error) {
	k, err := hybrid.LearnedRanker.Of(base)
	if err != nil {
		return nil, err
	}
	return train.Run(ctx, k, s, data, train.Options{Threads: threads})
}

// baseOf makes a base of models, which are named a, b and so on. Neighbor lists are by BM25.
func baseOf(t testing.TB, texts ...string) (base []train.BaseModel) {
	all := slices.Concat(kinds.All, methods.Kinds(similarity.Options{Measure: similarity.BM25, K: 10}))
	for i, text := range texts {
		name, given, err := model.ParseName(text)
		if err != nil {
			t.Fatal(err)
		}
		b := train.BaseModel{Name: string(rune('a' + i))}
		if b.Kind, err = train.Find(all, name); err != nil {
			t.Fatal(err)
		}
		if b.Settings, err = b.Kind.ParseSettings(given); err != nil {
			t.Fatal(err)
		}
		base = append(base, b)
	}
	return base
}

// knownOf divides a matrix of modeltest.Blocks among workers, with products that say of what block an item is, three of them behind the matrix, and users who say it of themselves.
func knownOf(rows *similarity.Rows, times []int64, workers int) []*train.Data {
	var products []train.Product
	for i := range rows.NumItems + 3 {
		products = append(products, train.Product{Attributes: []train.Attribute{{Name: "kind", Texts: []string{fmt.Sprint(i % 4)}}, {Name: "price", Number: float64(i % 7)}}})
	}
	data := train.Split(rows, times, workers)
	for w, d := range data {
		d.Products = products
		for u := range d.Rows.NumUsers() {
			d.Profiles = append(d.Profiles, profileOf(d.Shape.FirstUser[w]+u))
		}
	}
	return data
}

func profileOf(user int) []train.Attribute {
	return []train.Attribute{{Name: "club", Texts: []string{fmt.Sprint(user % 4)}}}
}

// TestLearnedRanker: any number of workers learn what Learn learns of models that were made of the rest alone, whatever these learn from, and what is read ranks as a ranker of both.
func TestLearnedRanker(t *testing.T) {
	rows, _ := modeltest.Blocks()
	var times []int64
	for p := range rows.Item {
		times = append(times, int64(p*7919%1000+1))
	}
	base := baseOf(t, "slim", "item-knn", "rp3beta(k=20)", "user-knn", "content(k=20)", "hybrid", "warp(iterations=1,batches=3,user-attributes=club)", "popularity")
	// made trains the base.
	made := func(rows *similarity.Rows, times []int64) (parts []hybrid.Part) {
		for _, b := range base {
			file, err := train.Run(t.Context(), b.Kind, b.Settings, knownOf(rows, times, 2), train.Options{Threads: 1})
			if err != nil {
				t.Fatal(err)
			}
			m, err := b.Kind.Read(file)
			if err != nil {
				t.Fatal(err)
			}
			parts = append(parts, hybrid.Part{Name: b.Name, Model: m})
		}
		return parts
	}
	var profiles [][]train.Attribute
	for u := range rows.NumUsers() {
		profiles = append(profiles, profileOf(u))
	}
	for _, timed := range [][]int64{nil, times} {
		rest, restTimes, held := hybrid.HoldOut(rows, timed, 0.2, false, 1, 0)
		ofRest, parts, catalog := made(rest, restTimes), made(rows, timed), hybrid.NewCatalog(rows, timed)
		for _, learner := range hybrid.Learners() {
			s, err := hybrid.LearnedRanker.ParseSettings(map[string]string{"base": "a+b+c+d+e+f+g+h", "learner": learner, "depth": "20", "users": "50", "trees": "5"})
			if err != nil {
				t.Fatal(err)
			}
			o := hybrid.LearnOptionsOf(s, 2)
			o.Profiles = profiles
			w, err := hybrid.Learn(t.Context(), ofRest, rest, restTimes, held, o)
			if err != nil {
				t.Fatal(err)
			}
			want, err := hybrid.New(hybrid.NewRanking(catalog, w), parts, catalog)
			if err != nil {
				t.Fatal(err)
			}
			var first []byte
			for _, workers := range []int{1, 3} {
				file, err := trainRanker(t.Context(), s, base, knownOf(rows, timed, workers), workers)
				if err != nil {
					t.Fatal(err)
				}
				if first == nil {
					first = file
				}
				if !bytes.Equal(file, first) {
					t.Errorf("%s: %d workers make another file than one", learner, workers)
				}
			}
			read, err := hybrid.ReadCombination(first)
			if err != nil {
				t.Fatal(err)
			}
			got, err := hybrid.New(read, parts, catalog)
			if err != nil {
				t.Fatal(err)
			}
			for u := range rows.NumUsers() {
				q := model.Query{User: u, Items: rows.Item[rows.Start[u]:rows.Start[u+1]], Profile: profiles[u], N: 15}
				a, err := want.Recommend(q)
				if err != nil {
					t.Fatal(err)
				}
				b, err := got.Recommend(q)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(a, b) {
					t.Fatalf("%s, user %d: got %v, want %v", learner, u, b, a)
				}
			}
		}
	}
}

// asked is a model that keeps the queries that it gets.
type asked struct {
	train.Model
	mu      *sync.Mutex
	queries *[]model.Query
}

func (m asked) Recommend(q model.Query) ([]model.Scored, error) {
	m.mu.Lock()
	*m.queries = append(*m.queries, q)
	m.mu.Unlock()
	return m.Model.Recommend(q)
}

// TestLearnedRankerAsksForRatings: models of ratings are asked with the ratings of what is not held back, which are of events and no weights.
func TestLearnedRankerAsksForRatings(t *testing.T) {
	rows, _ := modeltest.Blocks()
	data := train.Split(rows, nil, 2)
	for _, d := range data {
		d.Shape.Behaviors = []string{"view", train.Rating}
		d.Events = func(_ context.Context, f func(user int, events []train.Event) error) error {
			for u := range d.Rows.NumUsers() {
				var events []train.Event
				for _, id := range d.Rows.Item[d.Rows.Start[u]:d.Rows.Start[u+1]] {
					events = append(events, train.Event{Item: id, Behavior: uint8(id % 2), Value: float32(id)})
				}
				if err := f(d.Shape.FirstUser[d.Worker]+u, events); err != nil {
					return err
				}
			}
			return nil
		}
	}
	var mu sync.Mutex
	var queries []model.Query
	rater := *slim.Kind
	rater.PredictsRatings = true
	rater.Read = func(file []byte) (train.Model, error) {
		m, err := slim.Kind.Read(file)
		return asked{m, &mu, &queries}, err
	}
	settings, err := rater.ParseSettings(nil)
	if err != nil {
		t.Fatal(err)
	}
	k, err := hybrid.LearnedRanker.Of([]train.BaseModel{{Name: "a", Kind: &rater, Settings: settings}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := hybrid.LearnedRanker.ParseSettings(map[string]string{"base": "a", "depth": "20", "users": "50", "trees": "2"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := train.Run(t.Context(), k, s, data, train.Options{Threads: 2}); err != nil {
		t.Fatal(err)
	}
	if len(queries) == 0 {
		t.Fatal("the model was not asked")
	}
	for _, q := range queries {
		if len(q.Ratings) != len(q.Items) {
			t.Fatalf("%d ratings for %d items", len(q.Ratings), len(q.Items))
		}
		for i, id := range q.Items {
			if r := q.Ratings[i]; id%2 == 1 && r != float32(id) || id%2 == 0 && r == r {
				t.Fatalf("item %d has the rating %v, want its number if that is odd", id, r)
			}
		}
	}
}

// combinationFiles are files of all forms.
func combinationFiles(t testing.TB) (files [][]byte) {
	for text, k := range map[string]*train.Kind{"rrf(base=a+b)": hybrid.RRF, "switch(base=a+b+c,until-1=3)": hybrid.LengthSwitch} {
		_, given, err := model.ParseName(text)
		if err != nil {
			t.Fatal(err)
		}
		s, err := k.ParseSettings(given)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := k.Write(t.Context(), train.Shape{}, s, nil, &b); err != nil {
			t.Fatal(err)
		}
		files = append(files, b.Bytes())
	}
	rows, _ := modeltest.Blocks()
	s, err := hybrid.LearnedRanker.ParseSettings(map[string]string{"base": "a", "trees": "3"})
	if err != nil {
		t.Fatal(err)
	}
	ranker, err := trainRanker(t.Context(), s, baseOf(t, "rp3beta"), train.Split(rows, nil, 2), 1)
	if err != nil {
		t.Fatal(err)
	}
	return append(files, ranker)
}

// askCombination asks a combination, whose file may be damaged.
func askCombination(file []byte) {
	c, err := hybrid.ReadCombination(file)
	if err != nil {
		return
	}
	for _, q := range []model.Query{{User: -1, N: 5}, {User: -1, N: 5, Items: []uint32{0, 1, 2, 3}}} {
		answers := make([][]model.Scored, len(c.Base()))
		for i := range c.Depths(q) {
			answers[i] = []model.Scored{{Item: uint32(i), Score: 2}, {Item: 1 << 20, Score: 1}}
		}
		c.Combine(q, answers)
	}
}

// TestCombinationFiles: what is cut or goes on is refused, and what is damaged answers or is refused.
func TestCombinationFiles(t *testing.T) {
	for _, file := range combinationFiles(t) {
		for n := range file {
			if _, err := hybrid.ReadCombination(file[:n:n]); err == nil {
				t.Fatalf("reads a file cut at %d of %d bytes", n, len(file))
			}
		}
		if _, err := hybrid.ReadCombination(append(slices.Clone(file), 0)); err == nil {
			t.Error("reads a file with a byte more")
		}
		for seed := range uint64(1000) {
			askCombination(modeltest.Damage(file, seed))
		}
	}
}

func FuzzReadCombination(f *testing.F) {
	for _, file := range combinationFiles(f) {
		f.Add(file)
	}
	f.Fuzz(func(_ *testing.T, file []byte) { askCombination(file) })
}

// TestRankerRefuses: a base that a ranker cannot learn from is an error, and so are data that the base cannot learn from.
func TestRankerRefuses(t *testing.T) {
	if _, err := hybrid.LearnedRanker.Of([]train.BaseModel{{Name: "x", Kind: hybrid.RRF}}); err == nil {
		t.Error("a ranker of rrf: no error")
	}
	if _, err := hybrid.LearnedRanker.ParseSettings(nil); err == nil {
		t.Error("a ranker of nothing: no error")
	}
	s, err := hybrid.LearnedRanker.ParseSettings(map[string]string{"base": "a"})
	if err != nil {
		t.Fatal(err)
	}
	rows, _ := modeltest.Blocks()
	if _, err := trainRanker(t.Context(), s, baseOf(t, "content"), train.Split(rows, nil, 2), 1); err == nil || !strings.Contains(err.Error(), "give records of products") {
		t.Errorf("a ranker of content without products: error %v, want one that says what it lacks", err)
	}
}

// TestRankerLearnsFromWhatItsBaseDoes: who trains a ranker must know what data its base needs.
func TestRankerLearnsFromWhatItsBaseDoes(t *testing.T) {
	for _, c := range []struct {
		base       []train.BaseModel
		products   bool
		attributes []string
	}{
		{baseOf(t, "slim", "item-knn"), false, nil},
		{baseOf(t, "slim", "content"), true, nil},
		{baseOf(t, "warp(user-attributes=club+age)", "warp(user-attributes=age+zip)"), true, []string{"age", "club", "zip"}},
	} {
		k, err := hybrid.LearnedRanker.Of(c.base)
		if err != nil {
			t.Fatal(err)
		}
		if got := k.AttributesOf(model.Settings{}); k.LearnsFromProducts() != c.products || !slices.Equal(got, c.attributes) {
			t.Errorf("base %v: products %v, attributes %v, want %v and %v", c.base, k.LearnsFromProducts(), got, c.products, c.attributes)
		}
	}
	if hybrid.LearnedRanker.LearnsFromProducts() {
		t.Error("a ranker of no base learns from products, want that bound to a base alone to do so")
	}
}
