package evaluate

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/similarity"
)

// smallFold has 4 users in the training data, and items a: 4 users, b: users 0 and 1, c: user 0, d: user 1.
func smallFold() *fold {
	return &fold{
		train: &similarity.Rows{NumItems: 4, Start: []int64{0, 3, 6, 7, 8}, Item: []uint32{0, 1, 2, 0, 1, 3, 0, 0}},
		items: []string{"a", "b", "c", "d"},
	}
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if !(math.Abs(got-want) < 1e-12) {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func TestListsByHand(t *testing.T) {
	b := newBeyond(smallFold(), map[string][]string{"a": {"drama"}, "b": {"drama", "war"}, "c": {"war"}})
	expected := func(item uint32, n int) bool { return int(item) < n } // popularity without a history
	got := b.lists([]uint32{1, 0, 2, 3}, []uint32{2, 3}, []uint32{0, 2}, []int{1, 2, 4}, expected, b.newPairs())

	// One item is no pair; b has 2 of 4 users: 1 bit. b is not relevant.
	if !math.IsNaN(got[0].diversity) {
		t.Errorf("diversity of one item is %v, want none", got[0].diversity)
	}
	near(t, "novelty@1", got[0].novelty, 1)
	near(t, "serendipity@1", got[0].serendipity, 0)
	// cos(a, b) = 2 / sqrt(4·2). a has all users: 0 bits.
	near(t, "diversity@2", got[1].diversity, 1-2/math.Sqrt(8))
	near(t, "novelty@2", got[1].novelty, 0.5)
	// Pairs: ab 2/sqrt 8, ac 1/sqrt 4, ad 1/sqrt 4, bc 1/sqrt 2, bd 1/sqrt 2, cd 0. c and d have 1 of 4 users: 2 bits. At 4, popularity has all items.
	near(t, "diversity@4", got[2].diversity, 1-(2/math.Sqrt(8)+0.5+0.5+2/math.Sqrt2)/6)
	near(t, "novelty@4", got[2].novelty, (1+0+2+2)/4.0)
	near(t, "serendipity@4", got[2].serendipity, 0)

	// History a and c: p = (drama 1/2, war 1/2, none 0). Answer b: q is the same, the divergence 0. Answer b and a: q = (3/4, 1/4).
	near(t, "calibration@1", got[0].calibration, 0)
	q := func(q float64) float64 { return 0.5 * math.Log(0.5/(0.99*q+0.01*0.5)) }
	near(t, "calibration@2", got[1].calibration, q(0.75)+q(0.25))
	// b, a, c, d: drama 1.5 of 4, war 1.5 of 4, and d is of the class without a name.
	near(t, "calibration@4", got[2].calibration, 2*q(1.5/4))

	// Popularity has a and b, so that c, relevant and second, is unexpected at 2.
	got = b.lists([]uint32{0, 2}, []uint32{0, 2}, nil, []int{2}, expected, b.newPairs())
	near(t, "serendipity of c", got[0].serendipity, 0.5)
	if !math.IsNaN(got[0].calibration) {
		t.Errorf("calibration without a history is %v, want none", got[0].calibration)
	}
}

func TestClassesOfPopularity(t *testing.T) {
	b := &beyond{}
	b.classifyByPopularity([]int64{10, 10, 40, 20, 10, 10}) // of 100: those that begin before 20 are head, from 80 on tail
	var got []int32
	for _, c := range b.classes {
		got = append(got, c...)
	}
	if want := []int32{0, 0, 1, 1, 2, 2}; !slices.Equal(got, want) {
		t.Errorf("classes %v, want %v", got, want)
	}
}

func TestGiniByHand(t *testing.T) {
	// n = 4, ascending 0 0 0 4: (2·4-4-1)·4 / (4·4) = 3/4.
	near(t, "one item has all", gini([]int64{0, 4, 0, 0}), 0.75)
	near(t, "all are equal", gini([]int64{3, 3, 3}), 0)
	// Ascending 1 3: (-1·1 + 1·3) / (2·4).
	near(t, "1 and 3", gini([]int64{3, 1}), 0.25)
	if x := gini([]int64{0, 0}); !math.IsNaN(x) {
		t.Errorf("without answers it is %v, want none", x)
	}
}

func TestAUCByHand(t *testing.T) {
	// Six candidates, relevant at ranks 1 and 4: of the 4 others, the first is above 4, the second above 2. 6 of 8 pairs.
	near(t, "auc", auc([]int{1, 4}, 6, 6, 2, 2), 6.0/8)
	// A third relevant item is no candidate: 6 of 12.
	near(t, "auc with a cold item", auc([]int{1, 4}, 6, 6, 2, 3), 6.0/12)
	// The answer has 3 of 6 candidates, the first relevant: it is above the two others there and the two that are missing; the other relevant one is missing
	// like two others, which counts half of each. (4 + 1) / 8.
	near(t, "auc of a short answer", auc([]int{1}, 3, 6, 2, 2), 5.0/8)
	if x := auc([]int{1}, 1, 1, 1, 1); !math.IsNaN(x) {
		t.Errorf("without others it is %v, want none", x)
	}
}

func TestRandomizationByHand(t *testing.T) {
	// Ten equal differences: 2 of 2^10 signs give a sum as large, so that p is near 2/1024; with 20,000 samples its standard error is 0.0003.
	equal := slices.Repeat([]float64{0.5}, 10)
	p, err := randomization(t.Context(), equal, 20_000, 2, 1)
	if err != nil || math.Abs(p-2.0/1024) > 0.0012 {
		t.Errorf("p is %v, %v, want about %v", p, err, 2.0/1024)
	}
	// 3, 1, -1: of the 8 sums ±3±1±1, those as far from 0 as 3 are all but ±(3-1-1): 6 of 8.
	if p, err := randomization(t.Context(), []float64{3, 1, -1}, 20_000, 2, 1); err != nil || math.Abs(p-0.75) > 0.02 {
		t.Errorf("p is %v, %v, want about 0.75", p, err)
	}
	if p, err := randomization(t.Context(), make([]float64, 5), 100, 1, 1); err != nil || p != 1 {
		t.Errorf("p of no difference is %v, %v, want 1", p, err)
	}
}

// Without a difference, p is below 0.1 in a tenth of the cases.
func TestRandomizationIsUniform(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 0))
	const rounds = 500
	low := 0
	for round := range uint64(rounds) {
		differences := make([]float64, 30)
		for i := range differences {
			differences[i] = rng.NormFloat64()
		}
		p, err := randomization(t.Context(), differences, 200, 1, round)
		if err != nil {
			t.Fatal(err)
		}
		if p <= 0.1 {
			low++
		}
	}
	if low < 30 || low > 70 { // three standard errors
		t.Errorf("%d of %d are below 0.1, want about a tenth", low, rounds)
	}
}

func TestHolmByHand(t *testing.T) {
	// Ascending 0.01, 0.03, 0.04, times 3, 2, 1: 0.03, 0.06, and 0.04 that is raised to 0.06.
	all := []*Comparison{{P: 0.04}, {P: 0.01}, {P: 0.03}}
	holm(all)
	for i, want := range []float64{0.06, 0.03, 0.06} {
		near(t, "corrected p", all[i].PHolm, want)
	}
	large := []*Comparison{{P: 0.6}, {P: 0.7}}
	holm(large)
	if large[0].PHolm != 1 || large[1].PHolm != 1 {
		t.Errorf("corrected %v and %v, want 1", large[0].PHolm, large[1].PHolm)
	}
}

func TestDifferencesByHand(t *testing.T) {
	none := math.NaN()
	// Two folds. In the first both have two users, in the second the one; each counts half.
	a := []*values{{x: []float64{0.5, 1, none}}, {x: []float64{1, none, none}}}
	b := []*values{{x: []float64{0.25, 1, none}}, {x: []float64{0.5, none, none}}}
	got := differences(a, b)
	if len(got) != 2 {
		t.Fatalf("differences %v, want those of two users", got)
	}
	near(t, "first", got[0], 0.25/4+0.5/2)
	near(t, "second", got[1], 0)
	// Weights: the first user has 3 ratings, the other 1.
	a = []*values{{x: []float64{3, 2}, y: []float64{3, 1}}}
	b = []*values{{x: []float64{1, 2}, y: []float64{3, 1}}}
	near(t, "with weights", differences(a, b)[0], 2.0/4)
}

// The bootstrap interval of a mean is close to that of Student's t where there are many users, and holds the mean.
func TestBootstrap(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 0))
	v := newValues(400)
	for u := range v.x {
		if u%4 > 0 {
			v.x[u] = rng.Float64()
		}
	}
	squares := &values{x: make([]float64, 400), y: slices.Repeat([]float64{2}, 400)}
	for u := range squares.x {
		squares.x[u] = 2 * rng.Float64()
	}
	folds := []map[string]*values{{"ndcg@10": v, metricRMSE: squares}}
	one, err := bootstrap(t.Context(), folds, 2000, 1, 7)
	if err != nil {
		t.Fatal(err)
	}
	three, err := bootstrap(t.Context(), folds, 2000, 3, 7)
	if err != nil {
		t.Fatal(err)
	}
	if one["ndcg@10"] != three["ndcg@10"] {
		t.Errorf("%v with one thread, %v with three", one["ndcg@10"], three["ndcg@10"])
	}
	student, _ := v.estimate()
	got := one["ndcg@10"]
	// A quantile of 2,000 samples is known to about 5% of the half width.
	if half := student.High - student.Mean; math.Abs(got.Mean-student.Mean) > 1e-12 || math.Abs(got.Low-student.Low) > 0.15*half || math.Abs(got.High-student.High) > 0.15*half {
		t.Errorf("bootstrap %v, Student %v", got, student)
	}
	wide, _ := squares.estimate()
	root := wide.root()
	if got := one[metricRMSE]; math.Abs(got.Mean-root.Mean) > 1e-12 || math.Abs(got.Low-root.Low) > 0.15*(root.High-root.Low) {
		t.Errorf("bootstrap %v, ratio estimator %v", got, root)
	}
}

func TestRungs(t *testing.T) {
	for trials, want := range map[int][]rung{
		1:  {{1, 1}},
		2:  {{1, 2}},
		5:  {{1.0 / 3, 5}, {1, 2}},
		27: {{1.0 / 9, 27}, {1.0 / 3, 9}, {1, 3}},
	} {
		if got := rungs(trials); !slices.Equal(got, want) {
			t.Errorf("%d trials: %v, want %v", trials, got, want)
		}
	}
}

func TestValueAt(t *testing.T) {
	for _, c := range []struct {
		p    model.Parameter
		at   float64
		want string
	}{
		{model.Parameter{Search: [2]float64{1, 100}, Log: true}, 0.5, "10"},
		{model.Parameter{Search: [2]float64{1, 100}, Log: true, Whole: true}, 0.25, "3"},
		{model.Parameter{Search: [2]float64{0, 2}}, 1.0 / 3, "0.6667"},
		{model.Parameter{Search: [2]float64{0, 0.33333333}}, 1, "0.3333"},
		{model.Parameter{Search: [2]float64{0.66666666, 1}}, 0, "0.6667"},
		{model.Parameter{Search: [2]float64{0, 0.66666666}}, 1, "0.66666666"}, // rounding may not leave the range
		{model.Parameter{Choices: []string{"a", "b", "c"}, Search: [2]float64{0, 1}}, 0.49, "a"},
		{model.Parameter{Choices: []string{"a", "b", "c"}, Search: [2]float64{0, 1}}, 1, "b"},
		{model.Parameter{Choices: []string{"a", "b", "c"}, Search: [2]float64{1, 2}}, 0.9, "c"},
	} {
		if got := valueAt(&c.p, c.at); got != c.want {
			t.Errorf("%+v at %v is %q, want %q", c.p, c.at, got, c.want)
		}
	}
}

// The estimator of a valley must draw where the valley is, far more often than chance would: a tenth of the square.
func TestParzenGoesWhereItIsGood(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0))
	parameters := []model.Parameter{{Search: [2]float64{0, 1}}, {Search: [2]float64{0, 3}, Choices: []string{"a", "b", "c", "d"}}}
	loss := func(x []float64) float64 { return math.Abs(x[0]-0.8) + math.Abs(math.Floor(4*x[1])-2) }
	var points [][]float64
	var losses []float64
	for range 40 {
		x := []float64{rng.Float64(), rng.Float64()}
		points, losses = append(points, x), append(losses, loss(x))
	}
	m := newParzen(parameters, points, losses)
	hits := 0
	for range 200 {
		x := m.draw(rng)
		if slices.Min(x) < 0 || slices.Max(x) > 1 {
			t.Fatalf("drew %v, want 0 to 1", x)
		}
		if loss(x) < 0.2 {
			hits++
		}
	}
	if hits < 100 {
		t.Errorf("%d of 200 are in the valley, want most", hits)
	}
}

// Densities are densities: their integral over [0, 1] is 1.
func TestDensityIsOne(t *testing.T) {
	d := newDensity([]float64{0.1, 0.15, 0.9, 1}, 0)
	var sum float64
	const steps = 20_000
	for i := range steps {
		sum += math.Exp(d.log((float64(i)+0.5)/steps)) / steps
	}
	if math.Abs(sum-1) > 1e-6 {
		t.Errorf("integral %v, want 1", sum)
	}
}
