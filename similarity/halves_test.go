package similarity

import (
	"context"
	"errors"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// TestHalves has a matrix of which Build forms each sum once, and compares with whole rows.
func TestHalves(t *testing.T) {
	r := syntheticRows(900, 120, 40, 5, false)
	minus := &Rows{NumItems: r.NumItems, Start: r.Start, Item: r.Item, Weight: slices.Clone(r.Weight)} // scores below 0
	for k := range minus.Weight {
		minus.Weight[k] -= 3
	}
	ones := &Rows{NumItems: r.NumItems, Start: r.Start, Item: r.Item}
	for name, r := range map[string]*Rows{"weights": r, "of both signs": minus, "ones": ones} {
		for _, o := range []Options{{Measure: Cosine, K: 5}, {Measure: Cosine, K: 40}, {Measure: BM25, K: 8}, {Measure: AdjustedCosine, K: 8}} {
			for _, threads := range []int{1, 3} {
				if o.Threads = threads; o.K == 40 && threads > 1 {
					continue // lists are too large for that
				}
				if !inHalves(r, &o, threads) {
					t.Fatalf("%s, %+v: not in halves", name, o)
				}
				got, st, err := BuildStats(t.Context(), r, o)
				if err != nil {
					t.Fatal(err)
				}
				want, whole, err := build(t.Context(), r, o, threads, borders(r, threads, false), false)
				if err != nil {
					t.Fatal(err)
				}
				if diff := gocmp.Diff(want, got, equateEmpty); diff != "" {
					t.Errorf("%s, %+v (-whole rows +halves):\n%s", name, o, diff)
				}
				if 2*st.PairUpdates != whole.PairUpdates || 2*st.Pairs != whole.Pairs {
					t.Errorf("%s, %+v: %+v, want half of %+v", name, o, st, whole)
				}
			}
		}
	}
}

// TestInHalves has what must be whole rows: scores that differ for the two items of a pair or need more than a sum, and lists that are large beside the matrix.
func TestInHalves(t *testing.T) {
	r := syntheticRows(900, 120, 40, 5, false)
	for _, o := range []Options{
		{Measure: AsymmetricCosine, K: 5, Alpha: 0.3},
		{Measure: Jaccard, K: 5},
		{Measure: Pearson, K: 5},
		{Measure: Swing, K: 5},
		{Measure: LogLikelihood, K: 5},
		{Measure: Cosine, K: 5, Shrinkage: 1},
		{Measure: Cosine, K: 5, MinSupport: 2},
		{Measure: Cosine, K: 119},
	} {
		if inHalves(r, &o, 1) {
			t.Errorf("%+v: in halves", o)
		}
	}
	if o := (Options{Measure: Cosine, K: 5}); inHalves(r, &o, 16) {
		t.Error("lists of 16 goroutines are larger than the matrix")
	}
}

func TestHalvesAreCanceled(t *testing.T) {
	r, o := syntheticRows(900, 120, 40, 5, false), Options{Measure: Cosine, K: 5, Threads: 2}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Build(ctx, r, o); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
}
