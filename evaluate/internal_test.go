package evaluate

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"gonum.org/v1/gonum/stat"
	"pgregory.net/rapid"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/similarity"
)

func TestFoldByHand(t *testing.T) {
	// Training data: a has user 0, b has 0 and 1, c has 1, d has none. So b is first, then a and c by key, then d.
	table := &fusion.Table{
		Users: []string{"u", "v", "w"}, Items: []string{"a", "b", "c", "d"},
		Start:  []int64{0, 3, 6, 8},
		Item:   []uint32{0, 1, 3, 0, 1, 2, 1, 2},
		Weight: []float32{1, 2, 3, 4, 5, 6, 7, 8},
	}
	f := newFold(table, &Division{Folds: 1, TestOf: []int32{-1, -1, 0, 0, -1, -1, 0, 0}}, 0, 4)
	want := &fold{
		items:    []string{"b", "a", "c", "d"},
		train:    &similarity.Rows{NumItems: 3, Start: []int64{0, 2, 4, 4}, Item: []uint32{0, 1, 0, 2}, Weight: []float32{2, 1, 5, 6}},
		test:     &similarity.Rows{NumItems: 4, Start: []int64{0, 1, 2, 4}, Item: []uint32{3, 1, 0, 2}, Weight: []float32{3, 4, 7, 8}},
		relevant: &similarity.Rows{NumItems: 4, Start: []int64{0, 0, 1, 3}, Item: []uint32{1, 0, 2}, Weight: []float32{4, 7, 8}},
	}
	want.history = want.train
	if diff := gocmp.Diff(want, f, gocmp.AllowUnexported(fold{})); diff != "" {
		t.Errorf("fold (-want +got):\n%s", diff)
	}
	counts := FoldCounts{
		TrainEntries: 4, TestEntries: 4, CatalogItems: 3, RelevantEntries: 3,
		TestUsers: 2, LeftOutUsers: 1, ColdUsers: 1,
	}
	if diff := gocmp.Diff(counts, f.counts()); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	f = newFold(table, &Division{Folds: 1, TestOf: []int32{-1, -1, 0, 0, -1, -1, 0, 0}}, 0, 0)
	if c := f.counts(); c.ColdEntries != 1 || c.TestUsers != 3 {
		t.Errorf("without threshold: counts %+v, want 3 users and the entry of d as a cold one", c)
	}
}

func TestOverFoldsByHand(t *testing.T) {
	// Mean 2, deviation 1, standard error 1/sqrt(3); Student's t with 2 degrees of freedom: 4.302653.
	e := overFolds([]float64{1, 2, 3})
	half := 4.302652729911275 / math.Sqrt(3)
	for name, c := range map[string]struct{ got, want float64 }{
		"mean": {e.Mean, 2}, "low": {e.Low, 2 - half}, "high": {e.High, 2 + half},
	} {
		if math.Abs(c.got-c.want) > 1e-6 {
			t.Errorf("%s is %v, want %v", name, c.got, c.want)
		}
	}
	if e := overFolds([]float64{0.5}); e != (Estimate{0.5, 0.5, 0.5}) {
		t.Errorf("one fold: %+v, want no interval", e)
	}
	if e := overFolds([]float64{0.5, 0.5}); e != (Estimate{0.5, 0.5, 0.5}) {
		t.Errorf("equal folds: %+v, want no interval", e)
	}
}

// With y = 1 the ratio is a mean, and its interval the one of textbooks.
func TestRatioIsMean(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.SliceOfN(rapid.Float64Range(0, 1), 2, 40).Draw(t, "x")
		var all ratio
		for _, v := range x {
			all.observe(v, 1)
		}
		got, want := all.estimate(), overFolds(x)
		// Squares of 40 numbers are summed and subtracted; the root of what is left of rounding is below 1e-7.
		for name, c := range map[string]struct{ got, want float64 }{
			"mean": {got.Mean, stat.Mean(x, nil)}, "low": {got.Low, want.Low}, "high": {got.High, want.High},
		} {
			if math.Abs(c.got-c.want) > 1e-6 {
				t.Fatalf("%s of %v is %v, want %v", name, x, c.got, c.want)
			}
		}
	})
}

func TestRatioByHand(t *testing.T) {
	var a, b ratio
	a.observe(2, 1)
	b.observe(4, 4)
	a.add(b)
	// R = 6/5; residuals 2-1.2 = 0.8 and 4-4.8 = -0.8; variance 2/1 · 1.28/25; t with 1 degree of freedom: 12.7062.
	e := a.estimate()
	half := 12.706204736 * math.Sqrt(2*1.28/25)
	if math.Abs(e.Mean-1.2) > 1e-12 || math.Abs(e.High-1.2-half) > 1e-6 || math.Abs(1.2-half-e.Low) > 1e-6 {
		t.Errorf("estimate %+v, want 1.2 ± %v", e, half)
	}
	var one ratio
	one.observe(3, 2)
	if e := one.estimate(); e != (Estimate{1.5, 1.5, 1.5}) {
		t.Errorf("one user: %+v, want no interval", e)
	}
	if e := (Estimate{4, -1, 9}).root(); e != (Estimate{2, 0, 3}) {
		t.Errorf("root %+v, want 2 from 0 to 3", e)
	}
}

// Of 95% intervals about 95% must hold the truth, also where users have different numbers of entries and errors of their own size.
func TestRatioCoversTruth(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0))
	const rounds, users = 2000, 200
	covered := 0
	for range rounds {
		var r ratio
		for range users {
			entries := float64(1 + rng.IntN(20))
			own := rng.ExpFloat64() // mean squared error of the user, 1 in the mean
			r.observe(own*entries, entries)
		}
		if e := r.estimate(); e.Low <= 1 && 1 <= e.High {
			covered++
		}
	}
	if share := float64(covered) / rounds; share < 0.92 || share > 0.97 {
		t.Errorf("%v of the intervals hold the truth, want about 0.95", share)
	}
}

func TestInChunks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 100).Draw(t, "n")
		cuts := evenCuts(n, rapid.IntRange(1, 30).Draw(t, "size"))
		threads := rapid.IntRange(1, 5).Draw(t, "threads")
		var at, most atomic.Int32
		visits := make([]int, n)
		told := 0
		err := inChunks(t.Context(), cuts, threads, func(elements int) { told += elements }, func(c int) error {
			lower(&most, -at.Add(1)) // the lowest of the negated is the most
			for i := cuts[c]; i < cuts[c+1]; i++ {
				visits[i]++
			}
			at.Add(-1)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if told != n || slices.ContainsFunc(visits, func(v int) bool { return v != 1 }) {
			t.Fatalf("told of %d of %d, visits %v", told, n, visits)
		}
		if int(-most.Load()) > threads {
			t.Fatalf("%d goroutines at a time, want at most %d", -most.Load(), threads)
		}
	})
}

func TestInChunksStops(t *testing.T) {
	broken := errors.New("broken")
	var calls atomic.Int32
	err := inChunks(t.Context(), evenCuts(1000, 1), 2, func(int) {}, func(int) error {
		calls.Add(1)
		return broken
	})
	if !errors.Is(err, broken) || calls.Load() > 2 {
		t.Errorf("error %v after %d calls, want the first", err, calls.Load())
	}
	ctx, cancel := context.WithCancel(t.Context())
	err = inChunks(ctx, evenCuts(1000, 1), 2, func(int) {}, func(c int) error {
		if c == 10 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want canceled", err)
	}
}

func TestOrderPairs(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 0))
	f := &fold{test: &similarity.Rows{NumItems: 40, Start: []int64{0}}}
	for range 300 {
		for i := range uint32(40) {
			if rng.IntN(4) > 0 {
				f.test.Item = append(f.test.Item, i)
			}
		}
		f.test.Start = append(f.test.Start, int64(len(f.test.Item)))
	}
	for _, byItem := range []bool{false, true} {
		p := orderPairs(f, byItem)
		seen := make([]bool, len(f.test.Item))
		key := p.users
		if byItem {
			key = p.items
		}
		for i, entry := range p.entry {
			u := p.users[i]
			if seen[entry] || f.test.Item[entry] != p.items[i] || int64(entry) < f.test.Start[u] || int64(entry) >= f.test.Start[u+1] {
				t.Fatalf("by item %v: pair %d is user %d, item %d; entry %d is not", byItem, i, u, p.items[i], entry)
			}
			seen[entry] = true
		}
		if len(p.entry) != len(seen) || !slices.IsSorted(key) {
			t.Errorf("by item %v: %d of %d pairs, in order: %v", byItem, len(p.entry), len(seen), slices.IsSorted(key))
		}
		if p.cuts[0] != 0 || p.cuts[len(p.cuts)-1] != len(seen) || len(p.cuts) < 3 {
			t.Errorf("by item %v: cuts %v of %d", byItem, p.cuts, len(seen))
		}
		for _, c := range p.cuts[1 : len(p.cuts)-1] {
			if key[c] == key[c-1] {
				t.Errorf("by item %v: cut at %d, within the pairs of %d", byItem, c, key[c])
			}
		}
	}
}
