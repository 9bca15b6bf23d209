package clean

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/kith-io/kith/fusion/record"
)

// TestQuantiles has answers by hand, by the formula in the comment of the package; numpy.quantile gives the same.
func TestQuantiles(t *testing.T) {
	for _, tt := range []struct {
		x    []float64
		p    []float64
		want []float64
	}{
		{[]float64{7}, []float64{0, 0.25, 1}, []float64{7, 7, 7}},
		{[]float64{1, 2}, []float64{0, 0.25, 0.5, 1}, []float64{1, 1.25, 1.5, 2}},
		{[]float64{1, 2, 3, 4}, []float64{0.25, 0.5, 0.75}, []float64{1.75, 2.5, 3.25}},               // (n-1)p = 0.75, 1.5, 2.25
		{[]float64{3, 5, 7, 8, 12, 13, 14, 18, 21}, []float64{0.25, 0.5, 0.75}, []float64{7, 12, 14}}, // whole ranks 2, 4, 6
		{[]float64{10, 20, 40, 80, 160}, []float64{0.1, 0.9}, []float64{14, 128}},                     // 10+0.4*10, 80+0.6*80
		{[]float64{-math.MaxFloat64, math.MaxFloat64}, []float64{0.5}, []float64{0}},
	} {
		p := newPicker(int64(len(tt.x)), tt.p)
		for _, x := range tt.x {
			p.add(x)
		}
		for i, want := range tt.want {
			if math.Abs(p.out[i]-want) > 1e-12*math.Abs(want) {
				t.Errorf("quantile %g of %v is %g, want %g", tt.p[i], tt.x, p.out[i], want)
			}
		}
	}
}

// TestMAD has the example that Rousseeuw and Croux and others use: the deviations of 1 1 2 2 4 6 9 from 2 are 1 1 0 0 2 4 7, their median is 1.
func TestMAD(t *testing.T) {
	for _, grouped := range []bool{false, true} {
		field := -1
		if grouped {
			field = 0
		}
		g := newGroups(field, 0)
		c := newColumn(&env{dir: t.TempDir()}, 1, g, need{quantiles: median, mad: true}, 1)
		for _, x := range []float64{9, 1, 2, 6, 4, 1, 2} {
			values := []record.Value{record.OfText("a"), record.OfNumber(x)}
			group, err := g.of(values)
			if err == nil {
				err = c.observe(group, values[1])
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		all, err := c.summaries(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s := all[0]
		if s.quantiles[0] != 2 || s.deviation[0] != 1 || s.n != 7 || s.min != 1 || s.max != 9 || math.Abs(s.mean-25.0/7) > 1e-15 {
			t.Errorf("got %+v", s)
		}
		// Sum of squares 143, so the variance is 143/7 - (25/7)² = 376/49.
		if want := math.Sqrt(376.0 / 49); math.Abs(s.sd()-want) > 1e-14 {
			t.Errorf("standard deviation %g, want %g", s.sd(), want)
		}
	}
}

// TestOutliersByHand takes the modified z-scores of 1 1 2 2 4 6 9: 0.6745 |x-2| is 4.72 for 9 and 2.70 for 6.
func TestOutliersByHand(t *testing.T) {
	x := []record.Field{{Name: "x", Type: record.Number}}
	in := table(x, []any{1}, []any{1}, []any{2}, []any{2}, []any{4}, []any{6}, []any{9}, []any{nil})
	for rule, want := range map[string][]string{
		"{method: modified_zscore}":                       {"1", "1", "2", "2", "4", "6", ""},
		"{method: modified_zscore, k: 2, action: 'null'}": {"1", "1", "2", "2", "4", "", "", ""},
		"{method: iqr, k: 1, action: winsorize}":          {"1", "1", "2", "2", "4", "6", "8.5", ""}, // Q1 1.5, Q3 5
		"{method: percentile, lower: 0, upper: 0.5}":      {"1", "1", "2", "2", ""},
		"{method: zscore, k: 1.9}":                        {"1", "1", "2", "2", "4", "6", ""}, // (9-25/7)/2.77 = 1.96
	} {
		cfg := parse(t, "clean: [{rule: outliers, fields: [x], "+rule[1:]+"]")
		out := clean(t, t.TempDir(), in, cfg, Options{})
		wantSlice(t, rule, out.column(t, cfg, in, "x"), want...)
	}
	// Where most values are one, none is an outlier.
	same := table(x, []any{5}, []any{5}, []any{5}, []any{5}, []any{9})
	cfg := parse(t, "clean: [{rule: outliers, fields: [x], method: modified_zscore}, {rule: outliers, fields: [x], method: iqr}]")
	if out := clean(t, t.TempDir(), same, cfg, Options{}); len(out.rows) != 5 {
		t.Errorf("kept %v", lines(out.rows))
	}
}

func TestOrdered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Float64().Draw(t, "a"), rapid.Float64().Draw(t, "b")
		if (a < b) != (ordered(a) < ordered(b)) || unordered(ordered(a)) != a {
			t.Fatalf("%g and %g are %x and %x", a, b, ordered(a), ordered(b))
		}
	})
	if ordered(math.Copysign(0, -1)) != ordered(0) {
		t.Error("there are two zeros")
	}
}

// TestTopValues compares with counting everything: exact while there are counters for all, and never too low or more than Error too high beyond.
func TestTopValues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.StringMatching(`[a-e][a-e]?`), 0, 300).Draw(t, "values")
		limit := rapid.IntRange(1, 40).Draw(t, "counters")
		top, count := newTopValues(limit), map[string]int64{}
		for _, v := range values {
			top.add(v)
			count[v]++
		}
		got := top.most(100)
		if len(got) != min(limit, len(count)) {
			t.Fatalf("%d values of %d", len(got), len(count))
		}
		for _, f := range got {
			if f.Count < count[f.Value] || f.Count-f.Error > count[f.Value] || len(count) <= limit && f.Error != 0 {
				t.Fatalf("%+v, counted %d", f, count[f.Value])
			}
		}
		if !slices.IsSortedFunc(got, func(a, b Frequent) int { return int(b.Count - a.Count) }) {
			t.Fatalf("not in order: %v", got)
		}
	})
}
