package warp

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/modeltest"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// small trains fast.
var small = map[string]float64{"factors": 8, "iterations": 3, "batches": 2}

func TestConformance(t *testing.T) {
	modeltest.RunImpersonal(t, modeltest.OfKind(t.Context(), Kind, small))
}

// TestStructure: it finds what a matrix of tastes says, at the length of training that this takes.
func TestStructure(t *testing.T) {
	rows, right := modeltest.Blocks()
	m, err := modeltest.OfKind(t.Context(), Kind, map[string]float64{"factors": 8, "iterations": 60, "batches": 2, "learning-rate": 0.2})(rows)
	if err != nil {
		t.Fatal(err)
	}
	for u := range rows.NumUsers() {
		answer, err := m.Recommend(model.Query{User: u, Items: rows.Item[rows.Start[u]:rows.Start[u+1]], N: len(right[u])})
		if err != nil {
			t.Fatal(err)
		}
		var got []uint32
		for _, s := range answer {
			got = append(got, s.Item)
		}
		if slices.Sort(got); !slices.Equal(got, right[u]) {
			t.Errorf("user %d: items %v, want %v", u, got, right[u])
		}
	}
}

func TestSameBytes(t *testing.T) { modeltest.RunSameBytes(t, Kind, small) }

// TestSameBytesWithFeatures is TestSameBytes for features with weights.
func TestSameBytesWithFeatures(t *testing.T) {
	rows, _ := modeltest.Blocks()
	features := tastes(48)
	features.Weight = make([]float32, len(features.Item))
	for i := range features.Weight {
		features.Weight[i] = 0.3 + float32(i%5)/7
	}
	want := trained(t, small, rows, features, 1, 1)
	for _, workers := range []int{2, 3, 7} {
		if !bytes.Equal(trained(t, small, rows, features, workers, 9), want) {
			t.Errorf("%d workers make another file than one", workers)
		}
	}
	other := map[string]float64{"seed": 2}
	for name, x := range small {
		other[name] = x
	}
	if bytes.Equal(trained(t, other, rows, features, 1, 1), want) {
		t.Error("another seed makes the same file")
	}
}

func TestDamaged(t *testing.T) { modeltest.RunDamaged(t, Kind, small) }

func FuzzRead(f *testing.F) {
	rows, _ := modeltest.Blocks()
	file, err := modeltest.Train(f.Context(), Kind, map[string]float64{"factors": 1, "iterations": 1}, rows, 1, 1)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file)
	f.Add(modeltest.Damage(file, 1))
	f.Add(file[:headerSize])
	f.Fuzz(func(t *testing.T, file []byte) { modeltest.Ask(t, Kind, file) })
}

// tastes are features of items: one for each of the four tastes of modeltest.Blocks.
func tastes(items int) *similarity.Rows {
	f := &similarity.Rows{NumItems: 4, Start: []int64{0}}
	for i := range items {
		f.Item = append(f.Item, uint32(i%4))
		f.Start = append(f.Start, int64(i+1))
	}
	return f
}

func trained(t *testing.T, given map[string]float64, rows, features *similarity.Rows, workers, threads int) []byte {
	t.Helper()
	s, err := model.NewSettings(Kind.Parameters, given)
	if err != nil {
		t.Fatal(err)
	}
	data := train.Split(rows, nil, workers)
	for _, d := range data {
		d.Features = features
	}
	file, err := train.Run(t.Context(), Kind, s, data, train.Options{Workers: workers, Threads: threads})
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// TestColdItems: four items that nobody has are recommended to those whose taste they are of, by their features, and say something in a history.
func TestColdItems(t *testing.T) {
	rows, right := modeltest.Blocks()
	rows.NumItems += 4
	file := trained(t, map[string]float64{"factors": 8, "iterations": 60, "batches": 2, "learning-rate": 0.2}, rows, tastes(rows.NumItems), 2, 2)
	m, err := Kind.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	for u := range rows.NumUsers() {
		answer, err := m.Recommend(model.Query{User: u, Items: rows.Item[rows.Start[u]:rows.Start[u+1]], N: len(right[u]) + 1})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(answer, func(s model.Scored) bool { return s.Item == uint32(48+u%4) && !s.Filled }) {
			t.Errorf("user %d of taste %d: %v has not the new item of it, %d", u, u%4, answer, 48+u%4)
		}
	}
	for taste := range uint32(4) {
		answer, err := m.Recommend(model.Query{User: -1, Items: []uint32{48 + taste}, N: 12})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range answer {
			if s.Item%4 != taste {
				t.Errorf("of the new item of taste %d: item %d of another one", taste, s.Item)
			}
		}
	}
}

func TestFeaturesThatDoNotFit(t *testing.T) {
	rows, _ := modeltest.Blocks()
	s, err := model.NewSettings(Kind.Parameters, small)
	if err != nil {
		t.Fatal(err)
	}
	for name, features := range map[string]*similarity.Rows{
		"47 items":       tastes(47),
		"no valid shape": {NumItems: 1, Start: []int64{0, 1}, Item: []uint32{1}},
	} {
		data := train.Split(rows, nil, 1)
		data[0].Features = features
		if _, err := train.Run(t.Context(), Kind, s, data, train.Options{}); err == nil || !strings.Contains(err.Error(), "features") {
			t.Errorf("%s: error %v, want one about features", name, err)
		}
	}
}

// TestGradient compares the gradients of a user with differences of the loss as it stands in the package comment.
func TestGradient(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		items, factors := rapid.IntRange(4, 12).Draw(t, "items"), rapid.IntRange(1, 4).Draw(t, "factors")
		rows := &similarity.Rows{NumItems: items, Start: []int64{0, 0}}
		features := &similarity.Rows{NumItems: 3, Start: []int64{0}, Weight: []float32{}}
		for id := range items {
			if rapid.Bool().Draw(t, "has") {
				rows.Item = append(rows.Item, uint32(id))
				rows.Start[1]++
			}
			for f := range uint32(3) {
				if rapid.IntRange(0, 2).Draw(t, "feature") == 0 {
					features.Item, features.Weight = append(features.Item, f), append(features.Weight, float32(1+f)/2)
				}
			}
			features.Start = append(features.Start, int64(len(features.Item)))
		}
		data := train.Split(rows, nil, 1)[0]
		data.Features = features
		given := map[string]string{"factors": strconv.Itoa(factors), "draws": "5"}
		counts := bytes.Repeat([]byte{1, 0, 0, 0, 0, 0, 0, 0}, items)
		cold := false
		if rapid.Bool().Draw(t, "profile") {
			given["user-attributes"] = "age+club"
			data.Profiles = [][]model.Attribute{{{Name: "age", Number: 12}, {Name: "club", Texts: []string{"a", "b", "unknown"}}}}
			counts = append(counts, `[{"name":"age","knots":[10,20]},{"name":"club","texts":["a","b","c"]}]`...)
			cold = rapid.Bool().Draw(t, "cold")
		}
		s, err := model.ParseSettings(Kind.Parameters, given)
		if err != nil {
			t.Fatal(err)
		}
		made, err := newWorker(data, s, 1)
		if err != nil {
			t.Fatal(err)
		}
		w := made.(*worker)
		if err := w.first(counts); err != nil {
			t.Fatal(err)
		}
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		for i := range w.own {
			w.own[i] = float32(random.NormFloat64())
		}
		own := slices.Clone(w.own)
		// begin adds features to what owners have put; here they have put what is there.
		if err := w.begin(t.Context(), nil, put{w: w}); err != nil {
			t.Fatal(err)
		}
		w.learn(&w.drawing[0], 0, rand.New(rand.NewPCG(7, 7)), cold)

		loss := drawnLoss(w, own, rand.New(rand.NewPCG(7, 7)), cold)
		if loss == nil {
			t.Skip("a draw depends on rounding")
		}
		for k := range own {
			const h = 1e-3
			at := float64(own[k])
			// The loss is linear in each parameter, or a square.
			want := (loss(k, at+h) - loss(k, at-h)) / (2 * h)
			if got := float64(w.sums[k]) / fixedOne; math.Abs(got-want) > 1e-4*(1+math.Abs(want)) {
				t.Fatalf("gradient %d of row %d is %v, want %v", k%w.width(), k/w.width(), got, want)
			}
		}
	})
}

// put is a Peers from which a worker gets its own parameters back.
type put struct {
	train.Peers // nil: it is asked for nothing else
	w           *worker
}

// drawnLoss makes the draws of a user, and returns the loss with one parameter changed; nil if one of them is so near to the margin that rounding
// decides.
func drawnLoss(w *worker, own []float32, random *rand.Rand, cold bool) func(k int, x float64) float64 {
	rows, width := w.data.Rows, w.width()
	effective := func(p []float64, item int, from, n int) []float64 {
		v := slices.Clone(p[item*width+from : item*width+from+n])
		w.eachFeature(item, func(row int, weight float32) {
			for f := range v {
				v[f] += float64(weight) * p[row*width+from+f]
			}
		})
		return v
	}
	score := func(p []float64, without, item uint32) float64 {
		s := effective(p, int(item), w.factors, 1)[0]
		x := effective(p, int(item), 0, w.factors)
		q, others := make([]float64, w.factors), 0
		for _, id := range rows.Item {
			if cold || id == without {
				continue
			}
			others++
			for f, y := range effective(p, int(id), w.factors+1, w.factors) {
				q[f] += y
			}
		}
		if w.data.Profiles != nil { // of age 12, which is a fifth of the way from 10 to 20, in clubs a and b
			others++
			for trait, weight := range []float64{0.8, 0.2, 0.5, 0.5} {
				for f := range q {
					q[f] += weight * p[(w.firstTrait()+trait)*width+w.factors+1+f]
				}
			}
		}
		for f := range q {
			s += x[f] * q[f] / math.Sqrt(float64(max(1, others)))
		}
		return s
	}
	p := make([]float64, len(own))
	for i, x := range own {
		p[i] = float64(x)
	}
	type drawn struct {
		better, worse uint32
		factor        float64
	}
	var all []drawn
	for _, id := range rows.Item {
		for draws := 1; draws <= w.draws; draws++ {
			worse := w.had[random.IntN(len(w.had))]
			above := score(p, id, worse) - (score(p, id, id) - 1)
			if math.Abs(above) < 1e-4 && !slices.Contains(rows.Item, worse) {
				return nil
			}
			if !slices.Contains(rows.Item, worse) && above > 0 {
				if rank := (len(w.had) - 1) / draws; rank > 1 {
					all = append(all, drawn{id, worse, math.Log(float64(rank))})
				}
				break
			}
		}
	}
	return func(k int, x float64) (sum float64) {
		before := p[k]
		p[k] = x
		for _, d := range all {
			sum += d.factor * (1 - score(p, d.better, d.better) + score(p, d.better, d.worse))
		}
		p[k] = before
		return sum
	}
}

func (p put) Put(string, []byte) error { return nil }
func (p put) Drop(string)              {}
func (p put) Get(context.Context, int, string) (b []byte, err error) {
	for _, x := range p.w.own {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b, nil
}

// TestLearnsFromProducts: products of four categories, and some that nobody has and that are not in the matrix, make the model of their categories as features.
func TestLearnsFromProducts(t *testing.T) {
	rows, _ := modeltest.Blocks()
	var products []train.Product
	for i := range rows.NumItems + 8 {
		products = append(products, train.Product{Attributes: []train.Attribute{
			{Name: "taste", Texts: []string{string(rune('a' + i%4))}}, {Name: "title", Texts: []string{fmt.Sprintf("of words that do not count %d", i)}},
		}})
	}
	s, err := model.NewSettings(Kind.Parameters, small)
	if err != nil {
		t.Fatal(err)
	}
	data := train.Split(rows, nil, 2)
	for _, d := range data {
		d.Products = products
	}
	got, err := train.Run(t.Context(), Kind, s, data, train.Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	if want := trained(t, small, rows, tastes(rows.NumItems), 1, 1); !bytes.Equal(got, want) {
		t.Error("another model than that of the categories")
	}
	if plain := trained(t, small, rows, nil, 1, 1); bytes.Equal(got, plain) {
		t.Error("the model without features")
	}
}
