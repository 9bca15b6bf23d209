package similarity

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// denseRows draws a matrix in which most pairs have common users, and many scores are equal
// or nearly so.
func denseRows(rng *rand.Rand, users, items int, weight func() float32) *Rows {
	r := &Rows{NumItems: items, Start: make([]int64, 1)}
	for range users {
		share := 0.02 + 0.3*rng.Float64()
		for i := range items {
			if rng.Float64() < share {
				r.Item = append(r.Item, uint32(i))
				if weight != nil {
					r.Weight = append(r.Weight, weight())
				}
			}
		}
		r.Start = append(r.Start, int64(len(r.Item)))
	}
	return r
}

// exactLists computes all scores of all pairs, where sums are exact in any order, and sorts
// them: what no bound and no buffer can spoil.
func exactLists(t *testing.T, r *Rows, o Options) [][]Neighbor {
	t.Helper()
	weighed := weigh(t, r, o.Measure)
	columns := weighed.Transpose()
	all := normsOf(columns, 1)
	lists := make([][]Neighbor, r.NumItems)
	for i := range lists {
		for j := range r.NumItems {
			var dot float64
			var common uint32
			a, x := columns.row(i)
			b, y := columns.row(j)
			for p, u := range a {
				if q, ok := slices.BinarySearch(b, u); ok && i != j {
					dot += float64(weightAt(x, p)) * float64(weightAt(y, q))
					common++
				}
			}
			if common == 0 || int(common) < o.MinSupport {
				continue
			}
			if s := o.score(dot, all.of(i), all.of(j), common, uint32(r.NumUsers())); s != 0 {
				lists[i] = append(lists[i], Neighbor{ID: uint32(j), Score: s})
			}
		}
		slices.SortFunc(lists[i], func(a, b Neighbor) int {
			return cmp.Compare(rankKey(b.Score, b.ID), rankKey(a.Score, a.ID))
		})
		lists[i] = lists[i][:min(o.K, len(lists[i]))]
	}
	return lists
}

// TestListsAreExact goes through the dense and the sparse ways of the kernel with lists
// much shorter than rows, where bounds and buffers turn most pairs away, on one side and
// on several that add to one Collector.
func TestListsAreExact(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	matrices := map[string]*Rows{
		"ones":    denseRows(rng, 120, 230, nil),
		"ratings": denseRows(rng, 120, 230, func() float32 { return float32(1+rng.IntN(10)) / 2 }),
		"signed":  denseRows(rng, 60, 230, func() float32 { return float32(rng.IntN(9) - 4) }),
		"sparse":  syntheticRows(150, 1_500, 12, 30, false),
	}
	for name, r := range matrices {
		if testing.Short() && name != "sparse" && name != "signed" {
			continue
		}
		for _, o := range []Options{
			{Measure: Cosine, K: 3},
			{Measure: Cosine, K: 20},
			{Measure: Cosine, K: 7, Shrinkage: 5},
			{Measure: Cosine, K: 7, MinSupport: 3},
			{Measure: AsymmetricCosine, K: 7, Alpha: 0.25},
			{Measure: Jaccard, K: 7},
			{Measure: Dice, K: 7},
			{Measure: Lift, K: 7, MinSupport: 2},
			{Measure: ConditionalProbability, K: 7},
			{Measure: LogLikelihood, K: 7},
		} {
			t.Run(fmt.Sprintf("%s/%s/k=%d/shrink=%v/support=%d", name, o.Measure, o.K, o.Shrinkage, o.MinSupport), func(t *testing.T) {
				want := exactLists(t, r, o)
				got, err := Build(t.Context(), r, o)
				if err != nil {
					t.Fatal(err)
				}
				checkLists(t, "one side", want, got)
				checkLists(t, "several sides", want, buildOnSides(t, r, o))
			})
		}
	}
}

func checkLists(t *testing.T, how string, want [][]Neighbor, got *Lists) {
	t.Helper()
	for i := range want {
		if list := got.Entries[got.Start[i]:got.Start[i+1]]; !slices.Equal(want[i], list) {
			t.Fatalf("%s: item %d (-want +got):\n%s", how, i, gocmp.Diff(want[i], list))
		}
	}
}

// buildOnSides is a build in which one Collector and one Scratch go from side to side, as
// those of a node do.
func buildOnSides(t *testing.T, r *Rows, o Options) *Lists {
	t.Helper()
	weighed := weigh(t, r, o.Measure)
	n := uint32(r.NumItems)
	ends := []uint32{n / 10, n / 2, n - 5, n}
	parts := make([][][]byte, len(ends))
	for b, part := range Parts(weighed, 0, ends) {
		parts[b] = [][]byte{part}
	}
	lead, err := NewBlock(0, n, uint32(r.NumUsers()), [][]byte{AppendPart(nil, weighed, 0, 0, n)})
	if err != nil {
		t.Fatal(err)
	}
	c := NewCollector(0, n, o.K)
	var s Scratch
	lo := uint32(0)
	for b, end := range ends {
		side, err := NewSide(lo, ends[b:b+1], uint32(r.NumUsers()), parts[b:b+1], o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Run(t.Context(), lead, side, c, o, &s); err != nil {
			t.Fatal(err)
		}
		lo = end
	}
	return c.Lists()
}

// TestSmallWeights has weights from the least to the largest in one matrix: estimates stay
// finite, so that the K-th of them turns nobody away.
func TestSmallWeights(t *testing.T) {
	// Items 0 and 1 have two common users. Item 0 has one with 70 items of the least weight, which none else has.
	r := &Rows{NumItems: 72, Start: []int64{0, 2, 4, 75}, Item: []uint32{0, 1, 0, 1}, Weight: []float32{1, 1, MaxWeight, 1}}
	for i := range uint32(72) {
		if i != 1 {
			r.Item, r.Weight = append(r.Item, i), append(r.Weight, MinWeight)
		}
	}
	for _, m := range []Measure{Cosine, AsymmetricCosine} {
		for _, alpha := range []float64{0, 0.5, 1} {
			o := Options{Measure: m, K: 50, Alpha: alpha}
			got, err := Build(t.Context(), r, o)
			if err != nil {
				t.Fatal(err)
			}
			checkLists(t, m.String(), exactLists(t, r, o), got)
		}
	}
	r.Weight[0] = MinWeight / 2
	if err := r.Validate(); !errors.Is(err, ErrShape) || !strings.Contains(err.Error(), "2^-40") {
		t.Errorf("a weight below the least: error %v, want one that names it", err)
	}
}

// lateContext is done when it has been asked a number of times.
type lateContext struct {
	context.Context
	left int
}

func (c *lateContext) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// TestRunStopsWithinAnItem stops a task while it adds up an item with some million
// updates. What it leaves in the Scratch does not spoil the next.
func TestRunStopsWithinAnItem(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	r := &Rows{NumItems: 600, Start: make([]int64, 1)}
	for range 5000 { // so dense that few users are enough
		for i := range r.NumItems {
			if rng.IntN(4) > 0 {
				r.Item = append(r.Item, uint32(i))
			}
		}
		r.Start = append(r.Start, int64(len(r.Item)))
	}
	o := Options{Measure: Cosine, K: 5, Threads: 1}
	blocks, sides, err := prepare(r, []uint32{0, 3, 600}, &o, 1)
	if err != nil {
		t.Fatal(err)
	}
	var s Scratch
	run := func(ctx context.Context, s *Scratch) (*Lists, Stats, error) {
		c := NewCollector(0, 3, o.K)
		st, err := Run(ctx, blocks[0], sides[0], c, o, s)
		return c.Lists(), st, err
	}
	want, whole, err := run(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if whole.PairUpdates < 3*visitTurn/2 {
		t.Fatalf("%d updates of three items are too few for the test", whole.PairUpdates)
	}
	if _, st, err := run(&lateContext{t.Context(), 1}, &s); !errors.Is(err, context.Canceled) || st.PairUpdates != 0 {
		t.Fatalf("error %v after %d updates, want it within the first item", err, st.PairUpdates)
	}
	got, _, err := run(t.Context(), &s)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("after a task that was stopped (-want +got):\n%s", diff)
	}
}
