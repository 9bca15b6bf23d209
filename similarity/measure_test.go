package similarity

import (
	"math"
	"slices"
	"strings"
	"testing"
)

// fiveUsers rate six items, three each:
//
//	     0  1  2  3  4  5
//	u0   5  3     1
//	u1   4        1     2
//	u2   1  1     5
//	u3         5  4  1
//	u4      1  5  4
var fiveUsers = &Rows{
	NumItems: 6,
	Start:    []int64{0, 3, 6, 9, 12, 15},
	Item:     []uint32{0, 1, 3, 0, 3, 5, 0, 1, 3, 2, 3, 4, 1, 2, 3},
	Weight:   []float32{5, 3, 1, 4, 1, 2, 1, 1, 5, 5, 4, 1, 1, 5, 4},
}

// TestMeasuresByHand has a worked example of every measure. Items 0 and 1 have the common
// users 0 and 2, x = (5, 1), y = (3, 1); items 0 and 3 the users 0, 1 and 2, x = (5, 4, 1),
// y = (1, 1, 5).
func TestMeasuresByHand(t *testing.T) {
	for _, c := range []struct {
		o    Options
		x, y uint32
		want float64
		how  string
	}{
		{Options{Measure: Cosine}, 0, 1, 16 / math.Sqrt(42*11), "x·y = 15+1, |x|² = 25+16+1, |y|² = 9+1+1"},
		{Options{Measure: Cosine, Shrinkage: 3}, 0, 1, 16 / math.Sqrt(42*11) * 2 / 5, "n = 2: times 2/(2+3)"},
		{
			Options{Measure: AdjustedCosine},
			0, 1, 16 / math.Sqrt(77*65),
			"means 3, 7/3, 7/3, 10/3; x = (6, 5, -4)/3, y = (0, -4)/3 and -7/3 of user 4: x·y = 16/9, |x|² = 77/9, |y|² = 65/9",
		},
		{
			Options{Measure: Pearson},
			0, 3, -28 / math.Sqrt(26*32),
			"n = 3, Σx = 10, Σy = 7, Σx² = 42, Σy² = 27, Σxy = 14: (42-70)/√((126-100)(81-49))",
		},
		{Options{Measure: Pearson}, 0, 1, 1, "two points are on a line"},
		{Options{Measure: Pearson}, 2, 4, 0, "a single common user has no variance"},
		{Options{Measure: Pearson}, 2, 3, 0, "(5, 5) has no variance"},
		{Options{Measure: Jaccard}, 0, 3, 3. / 5, "n = 3, a = 3, b = 5: 3/(3+5-3)"},
		{Options{Measure: Dice}, 0, 3, 6. / 8, "2·3/(3+5)"},
		{Options{Measure: ConditionalProbability}, 0, 3, 1, "all 3 users of item 0 have item 3"},
		{Options{Measure: ConditionalProbability}, 3, 0, 3. / 5, "3 of 5 users of item 3 have item 0"},
		{Options{Measure: Lift}, 0, 1, 10. / 9, "2·5/(3·3)"},
		{
			Options{Measure: LogLikelihood},
			0, 1, 2 * (2*math.Log(2/1.8) + 2*math.Log(1/1.2) + math.Log(1/0.8)),
			"observed 2, 1, 1, 1 and expected 1.8, 1.2, 1.2, 0.8",
		},
		{
			Options{Measure: LogLikelihood},
			1, 2, -2 * (math.Log(1/1.2) + 2*math.Log(2/1.8) + math.Log(1/0.8) + math.Log(1/1.2)),
			"observed 1, 2, 1, 1 and expected 1.2, 1.8, 0.8, 1.2: fewer together than by chance",
		},
		{Options{Measure: TFIDF}, 0, 1, (math.Sqrt(15) + 1) / math.Sqrt(50), "all users have 3 items and so the same idf: the cosine of roots"},
		{
			Options{Measure: BM25},
			0, 1, (5*2.2/(5+1.2*(0.25+7.5*6/43))*3*2.2/(3+1.2*(0.25+3.75*6/43)) +
				2.2/(1+1.2*(0.25+7.5*6/43))*2.2/(1+1.2*(0.25+3.75*6/43))) * math.Pow(math.Log(6./4), 2),
			"sums 10 and 5, mean 43/6, idf ln(6/4)",
		},
		{Options{Measure: AsymmetricCosine, Alpha: 0.3}, 0, 1, 16 / (math.Pow(42, 0.3) * math.Pow(11, 0.7)), "x·y = 16, |x|² = 42, |y|² = 11"},
		{Options{Measure: AsymmetricCosine, Alpha: 0.5}, 0, 1, 16 / math.Sqrt(42*11), "is the cosine"},
		{Options{Measure: Swing}, 0, 1, 1. / 3 / 4, "users 0 and 2 have 3 items each and 3 in common: 1/√3 · 1/√3 · 1/(1+3)"},
		{Options{Measure: Swing}, 0, 3, 1./9 + 1./12 + 1./9, "the pairs of users 0, 1, 2 have 2, 3 and 2 items in common"},
	} {
		c.o.K = 5
		l, err := Build(t.Context(), fiveUsers, c.o)
		if err != nil {
			t.Fatal(err)
		}
		var got float64
		for _, n := range l.List(c.x) {
			if n.ID == c.y {
				got = float64(n.Score)
			}
		}
		if math.Abs(got-c.want) > 1e-6 {
			t.Errorf("%s of %d and %d: got %v, want %v (%s)", c.o.Measure, c.x, c.y, got, c.want, c.how)
		}
	}
}

// TestMeasuresOfImplicit compares with the lists of implicit 0.7.3 [frederickson2023] of the same matrix, by
// CosineRecommender, TFIDFRecommender and BM25Recommender with their defaults.
func TestMeasuresOfImplicit(t *testing.T) {
	for m, want := range map[Measure][][]float64{
		Cosine: {
			{0, 0.744387368, 0, 0.281240191, 0, 0.6172134},
			{0.744387368, 0, 0.213200716, 0.471041203, 0, 0},
			{0, 0.213200716, 0, 0.736459694, 0.707106781, 0},
			{0.281240191, 0.471041203, 0.736459694, 0, 0.520755644, 0.130188911},
			{0, 0, 0.707106781, 0.520755644, 0, 0},
			{0.6172134, 0, 0, 0.130188911, 0, 0},
		},
		TFIDF: {
			{0, 0.689143914, 0, 0.528447688, 0, 0.632455532},
			{0.689143914, 0, 0.316227766, 0.689138997, 0, 0},
			{0, 0.316227766, 0, 0.730296743, 0.707106781, 0},
			{0.528447688, 0.689138997, 0.730296743, 0, 0.516397779, 0.25819889},
			{0, 0, 0.707106781, 0.516397779, 0, 0},
			{0.632455532, 0, 0, 0.25819889, 0, 0},
		},
		BM25: {
			{0, 0.624993248, 0, 0.587249787, 0, 0.449113859},
			{0.624993248, 0, 0.314781822, 0.745133723, 0, 0},
			{0, 0.314781822, 0, 0.785119611, 0.42570005, 0},
			{0.587249787, 0.745133723, 0.785119611, 0, 0.361052559, 0.195933713},
			{0, 0, 0.42570005, 0.361052559, 0, 0},
			{0.449113859, 0, 0, 0.195933713, 0, 0},
		},
	} {
		l, err := Build(t.Context(), fiveUsers, Options{Measure: m, K: 6})
		if err != nil {
			t.Fatal(err)
		}
		for x, row := range want {
			got := make([]float64, len(row))
			for _, n := range l.List(uint32(x)) {
				got[n.ID] = float64(n.Score)
			}
			for y := range row {
				if math.Abs(got[y]-row[y]) > 1e-6 {
					t.Errorf("%s of %d and %d: got %v, implicit has %v", m, x, y, got[y], row[y])
				}
			}
		}
	}
}

// TestLogLikelihoodOfMahout has the values that the tests of Mahout's LogLikelihood expect, within their 0.001, for tables
// of users with both, only y, only x and neither.
func TestLogLikelihoodOfMahout(t *testing.T) {
	for _, c := range []struct {
		both, onlyY, onlyX, neither uint32
		want                        float64
	}{
		{1, 0, 0, 1, 2.773},
		{10, 0, 0, 10, 27.726},
		{5, 1995, 0, 100_000, 39.331},
		{1000, 1995, 1000, 100_000, 4730.737},
		{1000, 1000, 1000, 100_000, 5734.343},
		{1000, 1000, 1000, 99_000, 5714.932},
	} {
		got := logLikelihood(c.both, c.both+c.onlyX, c.both+c.onlyY, c.both+c.onlyX+c.onlyY+c.neither)
		if math.Abs(got-c.want) > 0.001 {
			t.Errorf("%v: got %v", c, got)
		}
	}
}

func TestSwingLooksAtEvenlySpacedUsers(t *testing.T) {
	if got := sampled(3); !slices.Equal(got, []int{0, 1, 2}) {
		t.Errorf("of 3 users: %v", got)
	}
	got := sampled(2500)
	if len(got) != swingUsers || got[0] != 0 || got[1] != 2 || got[2] != 5 || got[999] != 2497 {
		t.Errorf("of 2,500 users: %d, first %v, last %d", len(got), got[:3], got[len(got)-1])
	}
	// 1,500 users of one pair of items: all pairs of 1,000 of them, with 2 items each, both in common.
	r := &Rows{NumItems: 2, Start: []int64{0}}
	for range 1500 {
		r.Item = append(r.Item, 0, 1)
		r.Start = append(r.Start, int64(len(r.Item)))
	}
	l, err := Build(t.Context(), r, Options{Measure: Swing, K: 1})
	if err != nil {
		t.Fatal(err)
	}
	if want := 1000 * 999 / 2 / 6.; math.Abs(float64(l.List(0)[0].Score)-want) > 1e-6*want {
		t.Errorf("got %v, want %v", l.List(0)[0].Score, want)
	}
}

func TestPearsonOfEqualWeightsIsNoScore(t *testing.T) {
	r := &Rows{NumItems: 2, Start: []int64{0}}
	for u := range 10_000 {
		r.Item = append(r.Item, 0, 1)
		r.Weight = append(r.Weight, 0.1, float32(u%7)/3)
		r.Start = append(r.Start, int64(len(r.Item)))
	}
	l, err := Build(t.Context(), r, Options{Measure: Pearson, K: 1})
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Entries) != 0 {
		t.Errorf("a constant has neighbors: %v", l.Entries)
	}
}

func TestSumDependsOnNoOrder(t *testing.T) {
	weights := []float32{MaxWeight, 1e-6, -3.25, 0.1, -MaxWeight, 7, -0.1, 1.5}
	var forth, back Sum
	for k := range weights {
		forth.Add(weights[k])
		var one Sum
		one.Add(weights[len(weights)-1-k])
		back.Merge(one)
	}
	if forth != back {
		t.Errorf("%v and %v", forth, back)
	}
	if got, want := forth.Float(), 5.25+float64(float32(1e-6)); math.Abs(got-want) > 1e-15 {
		t.Errorf("got %v, want %v", got, want)
	}
	var negative Sum
	for range 1000 {
		negative.Add(-MaxWeight)
	}
	if got := negative.Float(); got != -1000*MaxWeight {
		t.Errorf("got %v", got)
	}
}

func TestBM25NeedsSums(t *testing.T) {
	if _, err := NewWeigher(BM25, 3, nil); err == nil || !strings.Contains(err.Error(), "3 items") {
		t.Errorf("got %v", err)
	}
}

func TestNamesOfMeasures(t *testing.T) {
	for _, m := range Measures() {
		back, err := ParseMeasure(m.String())
		if err != nil || back != m {
			t.Errorf("%v: %v, %v", m, back, err)
		}
	}
	if _, err := ParseMeasure("euclid"); err == nil || !strings.Contains(err.Error(), "swing") {
		t.Errorf("got %v", err)
	}
}
