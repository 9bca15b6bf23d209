package content_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/content"
	"github.com/kith-io/kith/model/dense"
	"github.com/kith-io/kith/model/modeltest"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
	"github.com/kith-io/kith/source/datatest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func fit(ctx context.Context, rows *similarity.Rows, products []train.Product, workers int, given map[string]float64) (*content.Model, []byte, error) {
	s, err := model.NewSettings(content.Kind.Parameters, given)
	if err != nil {
		return nil, nil, err
	}
	return fitKind(ctx, content.Kind, s, rows, products, workers)
}

func fitKind(ctx context.Context, k *train.Kind, s model.Settings, rows *similarity.Rows, products []train.Product, workers int) (*content.Model, []byte, error) {
	data := train.Split(rows, nil, workers)
	for _, d := range data {
		d.Products = products
	}
	file, err := train.Run(ctx, k, s, data, train.Options{Threads: 2})
	if err != nil {
		return nil, nil, err
	}
	m, err := content.Read(file)
	return m, file, err
}

func tagged(tags ...string) train.Product {
	return train.Product{Attributes: []train.Attribute{{Name: "tags", Texts: tags}}}
}

// The products that the suite is about are of four tastes where it looks for these, all alike where it looks at ties, and without attributes where only popularity counts.
func TestModel(t *testing.T) {
	modeltest.Run(t, func(rows *similarity.Rows) (modeltest.Recommender, error) {
		products := make([]train.Product, rows.NumItems)
		for i := range products {
			switch rows.NumItems {
			case 48:
				products[i] = tagged(fmt.Sprint("taste ", i%4))
			case 6:
			default:
				products[i] = tagged("one")
			}
		}
		m, _, err := fit(t.Context(), rows, products, 1, map[string]float64{"max-share": 1})
		return m, err
	})
}

// TestSimilarity has numbers worked out by hand. Two products with one word of two in common, the same color, and prices at both ends: of the parts with weights 1, 1 and ½ the
// cosines are c, 1 and 0, so the similarity is (c+1)/2.5.
func TestSimilarity(t *testing.T) {
	product := func(title, color string, price float64) train.Product {
		return train.Product{Attributes: []train.Attribute{
			{Name: "color", Texts: []string{color}}, {Name: "price", Number: price}, {Name: "title", Texts: []string{title}},
		}}
	}
	products := []train.Product{
		product("warm socks", "red", 1), product("warm gloves", "red", 10), product("thick socks", "blue", 4), product("thick gloves", "Blue ", 7),
	}
	m, _, err := fit(t.Context(), &similarity.Rows{Start: []int64{0}}, products, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	// All words are in two products, so the vectors of words have two equal weights, and cosines of ½.
	got := m.Similar(0)
	want := []similarity.Neighbor{{ID: 1, Score: 1.5 / 2.5}, {ID: 2, Score: 0.5 / 2.5}}
	if len(got) != 2 || got[0].ID != 1 || got[1].ID != 2 || math.Abs(float64(got[0].Score-want[0].Score)) > 1e-6 || math.Abs(float64(got[1].Score-want[1].Score)) > 1e-6 {
		t.Errorf("Similar(0) = %v, want %v", got, want)
	}
	// All four are new. A history of the first finds the second, and nothing is filled in.
	answer, err := m.Recommend(model.Query{User: -1, Items: []uint32{0}, N: 4})
	if err != nil || len(answer) != 2 || answer[0].Item != 1 || answer[0].Filled {
		t.Errorf("Recommend = %v, %v, want products 1 and 2", answer, err)
	}
}

// TestNewProduct: one that came later is compared by what is known of it, and a price beyond all others counts as the highest.
func TestNewProduct(t *testing.T) {
	var products []train.Product
	for i := range 10 {
		p := tagged(fmt.Sprint("kind ", i%2))
		p.Attributes = append([]train.Attribute{{Name: "price", Number: float64(i)}}, p.Attributes...)
		products = append(products, p)
	}
	s, err := content.NewSpace(products, content.DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	want := tagged("Kind 1", "never seen")
	want.Attributes = append([]train.Attribute{{Name: "other", Number: 1}, {Name: "price", Number: 1e300}}, want.Attributes...)
	features, weights := s.Vector(want)
	same, sameWeights := s.Vector(products[9])
	if len(features) != 2 || !slices.Equal(features, same) || !slices.Equal(weights, sameWeights) {
		t.Errorf("features %v of weights %v, want those of the last product, %v of %v", features, weights, same, sameWeights)
	}
}

// drawProducts draws products with all that they can have, and some with nothing.
func drawProducts(t *rapid.T) []train.Product {
	texts := rapid.SliceOfN(rapid.StringOfN(rapid.SampledFrom([]rune("ab c防水")), 0, 6, -1), 1, 3)
	number := rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{0, 1, 2, math.Inf(1), math.NaN(), math.MaxFloat64, -math.MaxFloat64}))
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) train.Product {
		var p train.Product
		for _, name := range []string{"a", "b", "c", "d"} {
			switch a := (train.Attribute{Name: name}); rapid.IntRange(0, 2).Draw(t, "kind") {
			case 1:
				a.Texts = texts.Draw(t, "texts")
				p.Attributes = append(p.Attributes, a)
			case 2:
				a.Number = number.Draw(t, "number")
				p.Attributes = append(p.Attributes, a)
			}
		}
		return p
	}), 0, 40).Draw(t, "products")
}

// TestWorkersAgree: any number of workers, and brute force, find the same.
func TestWorkersAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		products := drawProducts(t)
		k := rapid.IntRange(1, 10).Draw(t, "k")
		given := map[string]float64{"k": float64(k), "weighting": float64(rapid.IntRange(0, 1).Draw(t, "weighting"))}
		rows := &similarity.Rows{NumItems: len(products) / 2, Start: []int64{0, 0, 0, 0}}
		one, _, err := fit(t.Context(), rows, products, 1, given)
		if err != nil {
			t.Fatal(err)
		}
		three, _, err := fit(t.Context(), rows, products, 3, given)
		if err != nil {
			t.Fatal(err)
		}
		o := content.DefaultOptions()
		o.Weighting = 0
		if given["weighting"] == 1 {
			o.Weighting = 1
		}
		features, err := content.Features(products, o)
		if err != nil {
			t.Fatal(err)
		}
		if err := features.Validate(); err != nil {
			t.Fatal(err)
		}
		space, err := content.NewSpace(products, o)
		if err != nil || space.Columns() != features.NumItems {
			t.Fatalf("a space of %d columns, %v, want %d", space.Columns(), err, features.NumItems)
		}
		for p := range products {
			lo, hi := features.Start[p], features.Start[p+1]
			if items, weights := space.Vector(products[p]); !slices.Equal(items, features.Item[lo:hi]) || !slices.Equal(weights, features.Weight[lo:hi]) {
				t.Fatalf("product %d alone has features %v and weights %v, among all %v and %v", p, items, weights, features.Item[lo:hi], features.Weight[lo:hi])
			}
			got := one.Similar(uint32(p))
			if !slices.Equal(got, three.Similar(uint32(p))) {
				t.Fatalf("product %d: one worker has %v, three %v", p, got, three.Similar(uint32(p)))
			}
			if want := brute(features, p, k); !agree(got, want) {
				t.Fatalf("product %d: %v, want scores %v", p, got, want)
			}
		}
	})
}

// brute returns the k largest cosines of a row with others.
func brute(r *similarity.Rows, p, k int) (scores []float64) {
	dense := func(u int) []float64 {
		v := make([]float64, r.NumItems)
		for i := r.Start[u]; i < r.Start[u+1]; i++ {
			v[r.Item[i]] = float64(r.Weight[i])
		}
		return v
	}
	dot := func(a, b []float64) (sum float64) {
		for i := range a {
			sum += a[i] * b[i]
		}
		return sum
	}
	x := dense(p)
	for u := range r.NumUsers() {
		if y := dense(u); u != p && dot(x, y) > 0 {
			scores = append(scores, dot(x, y)/math.Sqrt(dot(x, x)*dot(y, y)))
		}
	}
	slices.SortFunc(scores, func(a, b float64) int { return -compare(a, b) })
	return scores[:min(k, len(scores))]
}

func compare(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func agree(got []similarity.Neighbor, want []float64) bool {
	return slices.EqualFunc(got, want, func(n similarity.Neighbor, s float64) bool { return math.Abs(float64(n.Score)-s) < 1e-5 })
}

func TestRefused(t *testing.T) {
	rows := &similarity.Rows{NumItems: 2, Start: []int64{0, 0}}
	for name, products := range map[string][]train.Product{"nothing known": nil, "too few": {{}}} {
		if _, _, err := fit(t.Context(), rows, products, 1, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestVectors: any number of workers, blocks of any length, and brute force find the same; products without a vector have no neighbors.
func TestVectors(t *testing.T) {
	vector := rapid.Custom(func(t *rapid.T) (p train.Product) {
		p.Attributes = []train.Attribute{{Name: "price", Number: 3}}
		if rapid.IntRange(0, 3).Draw(t, "has") > 0 {
			v := make([]float32, 3)
			for i := range v {
				v[i] = float32(rapid.IntRange(-2, 4).Draw(t, "number"))
			}
			p.Attributes = append(p.Attributes, train.Attribute{Name: "taste", Vector: v})
		}
		return p
	})
	known := train.Product{Attributes: []train.Attribute{{Name: "taste", Vector: []float32{1, 2, 3}}}}
	rapid.Check(t, func(t *rapid.T) {
		products := append(rapid.SliceOfN(vector, 1, 40).Draw(t, "products"), known)
		k := rapid.IntRange(1, 10).Draw(t, "k")
		s, err := content.Vectors.ParseSettings(map[string]string{"k": fmt.Sprint(k)})
		if err != nil {
			t.Fatal(err)
		}
		rows := &similarity.Rows{NumItems: len(products) / 2, Start: []int64{0, 0, 0, 0}}
		one, _, err := fitKind(t.Context(), content.Vectors, s, rows, products, 1)
		if err != nil {
			t.Fatal(err)
		}
		three, _, err := fitKind(t.Context(), content.Vectors, s, rows, products, 3)
		if err != nil {
			t.Fatal(err)
		}
		vectors, err := content.VectorsOf(products, "taste")
		if err != nil {
			t.Fatal(err)
		}
		blocks, err := content.CompareVectors(t.Context(), vectors, 0, uint32(len(products)), k, 1, rapid.IntRange(1, 9).Draw(t, "block"))
		if err != nil {
			t.Fatal(err)
		}
		for p := range products {
			got := one.Similar(uint32(p))
			if !slices.Equal(got, three.Similar(uint32(p))) || !slices.Equal(got, blocks.List(uint32(p))) {
				t.Fatalf("product %d: one worker has %v, three %v, blocks %v", p, got, three.Similar(uint32(p)), blocks.List(uint32(p)))
			}
			got = slices.DeleteFunc(slices.Clone(got), func(n similarity.Neighbor) bool { return n.Score < 1e-6 }) // of rounding alone
			if want := brute(vectors, p, k); !agree(got, want) {
				t.Fatalf("product %d: %v, want scores %v", p, got, want)
			}
		}
	})
}

// TestVectorsRefused: what vectors cannot be made of is said.
func TestVectorsRefused(t *testing.T) {
	with := func(names ...string) (p train.Product) {
		for i, name := range names {
			p.Attributes = append(p.Attributes, train.Attribute{Name: name, Vector: make([]float32, 2+i)})
			p.Attributes[i].Vector[0] = 1
		}
		return p
	}
	for want, x := range map[string]struct {
		attribute string
		products  []train.Product
	}{
		"no product has a vector; want": {"", []train.Product{tagged("a")}},
		`as its attribute "b"`:          {"b", []train.Product{with("a")}},
		"attribute=a":                   {"", []train.Product{with("b"), with("a")}},
	} {
		if _, err := content.VectorsOf(x.products, x.attribute); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, attribute %q: error %v, want one with %q", x.products, x.attribute, err, want)
		}
	}
	if _, err := content.Vectors.ParseSettings(map[string]string{"attribute": "a+b"}); err == nil {
		t.Error("two attributes: no error")
	}
}

// TestVectorsOfOtherLengths: the model is made of the vectors with as many numbers as most have, as if the other products had none, and says how many these are.
func TestVectorsOfOtherLengths(t *testing.T) {
	of := func(numbers ...float32) train.Product {
		return train.Product{Attributes: []train.Attribute{{Name: "taste", Vector: numbers}, {Name: "weight", Number: 3}}}
	}
	rapid.Check(t, func(t *rapid.T) {
		products, without := []train.Product{}, []train.Product{}
		counts := map[int]int{}
		for range rapid.IntRange(1, 30).Draw(t, "products") {
			numbers := make([]float32, rapid.IntRange(2, 4).Draw(t, "numbers"))
			for i := range numbers {
				numbers[i] = float32(rapid.IntRange(-1, 2).Draw(t, "number"))
			}
			if slices.Max(numbers) > 0 || slices.Min(numbers) < 0 {
				counts[len(numbers)]++
			}
			products = append(products, of(numbers...))
		}
		counts[3]++
		products = append(products, of(1, 2, 3))
		most, odd := 2, 0
		for _, n := range []int{3, 4} {
			if counts[n] >= counts[most] {
				most = n
			}
		}
		for _, p := range products {
			if v := p.Attributes[0].Vector; len(v) != most {
				p = train.Product{Attributes: p.Attributes[1:]}
				if slices.Max(v) > 0 || slices.Min(v) < 0 {
					odd++
				}
			}
			without = append(without, p)
		}
		s, err := content.Vectors.ParseSettings(map[string]string{"k": "5"})
		if err != nil {
			t.Fatal(err)
		}
		rows := &similarity.Rows{NumItems: len(products) / 2, Start: []int64{0, 0, 0, 0}}
		var driver train.Driver
		noted := *content.Vectors
		noted.NewDriver = func(shape train.Shape, s model.Settings) (train.Driver, error) {
			driver, err = content.Vectors.NewDriver(shape, s)
			return driver, err
		}
		_, got, err := fitKind(t.Context(), &noted, s, rows, products, 2)
		if err != nil {
			t.Fatal(err)
		}
		_, want, err := fitKind(t.Context(), content.Vectors, s, rows, without, 2)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Fatal("the model is another than without the products")
		}
		var notes []string
		if odd > 0 {
			notes = []string{fmt.Sprintf("products left out, whose vectors have not %d numbers as most have: %d", most, odd)}
		}
		if got := driver.(train.Noter).Notes(); !slices.Equal(got, notes) {
			t.Fatalf("notes %q, want %q", got, notes)
		}
	})
}

// TestOutdoorProducts looks at real descriptions: what is most like a product is mostly of its kind, which the beginning of the text says and the model is not told.
func TestOutdoorProducts(t *testing.T) {
	file, err := os.Open(datatest.File(t, "outdoor-products/sample-data.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }() // only read
	records, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var products []train.Product
	var names []string
	for _, r := range records[1:] {
		name, _, _ := strings.Cut(r[1], " - ")
		names = append(names, name)
		products = append(products, train.Product{Attributes: []train.Attribute{{Name: "description", Texts: []string{strings.TrimPrefix(r[1], name)}}}})
	}
	m, _, err := fit(t.Context(), &similarity.Rows{Start: []int64{0}}, products, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	kind := func(p uint32) string {
		words := strings.Fields(names[p])
		return strings.TrimSuffix(words[len(words)-1], "s")
	}
	same, chance := 0, 0
	for p := range uint32(len(products)) {
		if kind(m.Similar(p)[0].ID) == kind(p) {
			same++
		}
		for other := range uint32(len(products)) {
			if other != p && kind(other) == kind(p) {
				chance++
			}
		}
	}
	// Vectors of latent semantic analysis find as much with 64 numbers a product.
	features, err := content.Features(products, content.DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	o := dense.DefaultProjectionOptions()
	o.Rank = 64
	projection, err := dense.NewProjection(t.Context(), features, o)
	if err != nil {
		t.Fatal(err)
	}
	v, err := dense.New(dense.Cosine, projection.Dim(), projection.EmbedAll(features))
	if err != nil {
		t.Fatal(err)
	}
	nearest, err := v.All(t.Context(), 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	latent := 0
	for p := range nearest {
		if kind(nearest[p][0].ID) == kind(uint32(p)) {
			latent++
		}
	}
	byChance := float64(chance) / float64(len(products)-1)
	t.Logf("the nearest of %d products has the same last word of the name for %d, by vectors of %d numbers for %d; by chance it would for %.0f",
		len(products), same, o.Rank, latent, byChance)
	if float64(latent) < 0.9*float64(same) {
		t.Errorf("the nearest by vectors is of the same kind for %d products, by words for %d", latent, same)
	}
	if same < len(products)/2 || float64(same) < 5*byChance {
		t.Errorf("the nearest is of the same kind for %d of %d products, by chance for %.0f", same, len(products), byChance)
	}
}

func FuzzRead(f *testing.F) {
	rows, _ := modeltest.Blocks()
	products := make([]train.Product, rows.NumItems+2)
	for i := range products {
		products[i] = tagged(fmt.Sprint(i%4), fmt.Sprint(i%3))
	}
	_, file, err := fit(context.Background(), rows, products, 2, map[string]float64{"k": 2})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file)
	f.Add(file[:len(file)-1])
	f.Fuzz(func(t *testing.T, file []byte) {
		m, err := content.Read(file)
		if err != nil {
			return
		}
		if _, err := m.Recommend(model.Query{User: -1, N: 3}); err != nil {
			t.Error(err)
		}
	})
}
