package similarity

import (
	"context"
	"errors"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// signs returns r with weights of ones, with its own, with some below 0, and with more than a Side has codes for.
func signs(r *Rows) map[string]*Rows {
	of := func(f func(k int, w float32) float32) *Rows {
		x := &Rows{NumItems: r.NumItems, Start: r.Start, Item: r.Item, Weight: slices.Clone(r.Weight)}
		for k, w := range x.Weight {
			x.Weight[k] = f(k, w)
		}
		return x
	}
	if testing.Short() {
		return map[string]*Rows{"signs": of(func(_ int, w float32) float32 { return w - 3 })}
	}
	return map[string]*Rows{
		"ones": {NumItems: r.NumItems, Start: r.Start, Item: r.Item}, "weights": r,
		"signs": of(func(_ int, w float32) float32 { return w - 3 }), "many": of(func(k int, w float32) float32 { return w + float32(k%1000)/1000 }),
	}
}

func wantLists(t *testing.T, what string, r *Rows, o Options, got *Lists, st Stats) {
	t.Helper()
	want, whole, err := build(t.Context(), r, o, o.Threads, borders(r, o.Threads, false), false)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(want, got, equateEmpty); diff != "" {
		t.Errorf("%s, %+v (-whole rows +halves):\n%s", what, o, diff)
	}
	if 2*st.PairUpdates != whole.PairUpdates {
		t.Errorf("%s, %+v: %d updates, want half of %d", what, o, st.PairUpdates, whole.PairUpdates)
	}
}

// TestHalves has a matrix of which Build forms each sum once, and compares with whole rows.
func TestHalves(t *testing.T) {
	for what, r := range signs(syntheticRows(1200, 120, 50, 5, false)) {
		for _, o := range []Options{{Measure: Cosine, K: 5}, {Measure: Cosine, K: 40}, {Measure: BM25, K: 8}, {Measure: AdjustedCosine, K: 8}} {
			for _, o.Threads = range []int{1, 3} {
				if !inHalves(r, &o, o.Threads) {
					t.Fatalf("%s, %+v: not in halves", what, o)
				}
				got, st, err := BuildStats(t.Context(), r, o)
				if err != nil {
					t.Fatal(err)
				}
				wantLists(t, what, r, o, got, st)
			}
		}
	}
}

// TestHalvesOfAFew has items that meet a few others, so that those are listed.
func TestHalvesOfAFew(t *testing.T) {
	for what, r := range signs(syntheticRows(300, 1500, 8, 5, false)) {
		for _, o := range []Options{{Measure: Cosine, K: 2, Threads: 2}, {Measure: Cosine, K: 12, Threads: 2}, {Measure: AdjustedCosine, K: 3, Threads: 1}} {
			got, st, err := build(t.Context(), r, o, o.Threads, borders(r, o.Threads, true), true)
			if err != nil {
				t.Fatal(err)
			}
			wantLists(t, what, r, o, got, st)
		}
	}
}

// TestHalvesOfSmallScores has an item with a norm so large that estimates of its pairs, as the other item forms them, are 0.
func TestHalvesOfSmallScores(t *testing.T) {
	const a = 1.0 / (1 << 40)
	const more = a * (1 + 1.0/(1<<19))
	r := &Rows{NumItems: 8, Start: []int64{0}, Weight: []float32{}}
	row := func(items []uint32, weights ...float32) {
		r.Item, r.Weight = append(r.Item, items...), append(r.Weight, weights...)
		r.Start = append(r.Start, int64(len(r.Item)))
	}
	row([]uint32{0, 5}, 1<<40, a)
	for i := range uint32(3) {
		row([]uint32{0, i + 1, 6}, more, more, a)
	}
	for i := range uint32(2) {
		row([]uint32{i + 1, 7}, a, a*(1+1.0/(1<<9)))
	}
	for range 20 {
		row([]uint32{4}, 1)
	}
	o := Options{Measure: AdjustedCosine, K: 1, Threads: 1}
	got, st, err := build(t.Context(), r, o, 1, borders(r, 1, true), true)
	if err != nil {
		t.Fatal(err)
	}
	wantLists(t, "small scores", r, o, got, st)
}

// TestInHalves has what must be whole rows: scores that differ for the two items of a pair or need more than a sum, items of few users, and what would take too much memory.
func TestInHalves(t *testing.T) {
	dense := syntheticRows(1200, 120, 50, 5, false)
	for _, o := range []Options{
		{Measure: AsymmetricCosine, K: 5, Alpha: 0.3},
		{Measure: Jaccard, K: 5},
		{Measure: Pearson, K: 5},
		{Measure: Swing, K: 5},
		{Measure: LogLikelihood, K: 5},
		{Measure: Cosine, K: 5, Shrinkage: 1},
		{Measure: Cosine, K: 5, MinSupport: 2},
	} {
		if inHalves(dense, &o, 1) {
			t.Errorf("%+v: in halves", o)
		}
	}
	o := Options{Measure: Cosine, K: 5}
	for what, c := range map[string]struct {
		rows    *Rows
		threads int
		want    bool
	}{
		"dense":                {dense, 1, true},
		"lists of many":        {dense, 64, false},
		"few users of an item": {syntheticRows(1200, 240, 50, 5, false), 1, false},
		"users of many":        {&Rows{NumItems: 10, Start: slices.Concat(make([]int64, 1_000_000), []int64{1_000_000})}, 4, false},
	} {
		if got := inHalves(c.rows, &o, c.threads); got != c.want {
			t.Errorf("%s: %t, want %t", what, got, c.want)
		}
	}
}

// TestHalvesAreCanceled stops a goroutine at its first block, and one later.
func TestHalvesAreCanceled(t *testing.T) {
	r, o := syntheticRows(1200, 120, 50, 5, false), Options{Measure: Cosine, K: 5, Threads: 2}
	for late := range 3 {
		if _, _, err := build(&lateContext{t.Context(), late}, r, o, 1, borders(r, 1, true), true); !errors.Is(err, context.Canceled) {
			t.Errorf("looked at for the time %d: %v, want the error of the context", late, err)
		}
	}
}
