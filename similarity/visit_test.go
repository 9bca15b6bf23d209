package similarity

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// visits returns two equal visits, with slots of their own, of random rows on a Side of
// some width. Some slots are not zero.
func visits(t *rapid.T, rng *rand.Rand) (a, b visit) {
	width := rapid.IntRange(1, 300).Draw(t, "width")
	users := rapid.IntRange(0, 40).Draw(t, "users")
	v := visit{words: []uint32{0}, values: []float32{0}, table: new([256]float32)}
	for c := range v.table {
		v.table[c] = float32(rng.NormFloat64())
	}
	for range users {
		row := rng.Perm(width)[:rng.IntN(width+1)]
		if rng.IntN(3) > 0 {
			row = row[:min(len(row), 9)]
		}
		slices.Sort(row)
		if len(row) == 0 {
			v.at = append(v.at, 0)
			continue
		}
		v.at = append(v.at, uint32(len(v.words)))
		v.words = append(v.words, uint32(len(row)))
		v.values = append(v.values, 0)
		for _, j := range row {
			v.words = append(v.words, uint32(j)<<8|uint32(rng.IntN(256)))
			v.values = append(v.values, float32(rng.NormFloat64()))
		}
	}
	rng.Shuffle(len(v.at), func(i, j int) { v.at[i], v.at[j] = v.at[j], v.at[i] })
	v.rows = len(v.at)
	v.at = append(v.at, make([]uint32, visitAhead)...)
	if rapid.Bool().Draw(t, "lengths") {
		for _, at := range v.at {
			v.lengths = append(v.lengths, rng.Uint32N(v.words[at]+1))
		}
	}
	for range v.rows {
		v.weights = append(v.weights, float32(rng.NormFloat64()))
	}
	v.sums, v.counts, v.touched = make([]float32, width), make([]uint32, width), make([]uint32, width+1)
	for j := range width {
		if rng.IntN(4) == 0 {
			v.sums[j], v.counts[j] = float32(rng.NormFloat64()), rng.Uint32N(9)
		}
	}
	v.room = rapid.IntRange(0, width).Draw(t, "room")
	v.count = rapid.IntRange(0, v.room).Draw(t, "count")
	v.turn = rapid.SampledFrom([]int{1, 20, 1000, 1 << 20}).Draw(t, "turn")
	a, b = v, v
	b.sums, b.counts, b.touched = slices.Clone(v.sums), slices.Clone(v.counts), slices.Clone(v.touched)
	return a, b
}

// TestVisitsEqualThoseInGo compares the loops that a build uses with those in Go, which
// are plain to read, bit for bit.
func TestVisitsEqualThoseInGo(t *testing.T) {
	for name, pair := range map[string][2]func(*visit){
		"touch coded": {touchCoded, touchCodedGo}, "touch valued": {touchValued, touchValuedGo}, "touch ones": {touchOnes, touchOnesGo},
		"add coded": {addCoded, addCodedGo}, "add valued": {addValued, addValuedGo}, "add ones": {addOnes, addOnesGo},
	} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				got, want := visits(t, rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)))
				pair[0](&got)
				pair[1](&want)
				// What is behind the last id noted may differ.
				got.touched, want.touched = got.touched[:got.count], want.touched[:want.count]
				if diff := cmp.Diff(want, got, cmp.AllowUnexported(visit{}), cmp.Comparer(sameBits)); diff != "" {
					t.Fatal("(-Go +used):\n" + diff)
				}
			})
		})
	}
}

func sameBits(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) }

// TestEstimatesEqualThoseInGo is TestVisitsEqualThoseInGo for what is done with sums.
func TestEstimatesEqualThoseInGo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		width := rapid.IntRange(0, 100).Draw(t, "width")
		sums, inverse, counts := make([]float32, width), make([]float32, width), make([]uint32, width)
		for j := range width {
			inverse[j] = rng.Float32()
			if rng.IntN(3) > 0 {
				sums[j], counts[j] = float32(rng.NormFloat64()), rng.Uint32N(1<<30)
			}
		}
		ids := make([]uint32, 0, width+takeAhead)
		for j := range width {
			if rng.IntN(2) == 0 {
				ids = append(ids, uint32(j), uint32(rng.IntN(width))) // some twice
			}
		}
		ids = append(ids, make([]uint32, takeAhead)...)[:len(ids)]
		scale, bound := float32(rng.NormFloat64()), rapid.OneOf(rapid.Just(float32(math.Inf(1))), rapid.Float32Range(0, 1)).Draw(t, "bound")
		type result struct {
			Pairs         int
			Places        []uint32
			Dot, Estimate []float32
			Sums          []float32
			Counts        []uint32
		}
		equal := func(name string, run func(r *result, used bool)) {
			var results [2]result
			for n := range results {
				r := &results[n]
				*r = result{
					Dot: make([]float32, len(ids)), Estimate: make([]float32, max(len(ids), width)),
					Sums: slices.Clone(sums), Counts: slices.Clone(counts),
				}
				run(r, n == 1)
			}
			if diff := cmp.Diff(results[0], results[1], cmp.Comparer(sameBits)); diff != "" {
				t.Fatalf("%s (-Go +used):\n%s", name, diff)
			}
		}
		equal("take sums", func(r *result, used bool) {
			f := takeSumsGo
			if used {
				f = takeSums
			}
			r.Places = make([]uint32, len(ids)+1)
			var reached int
			r.Pairs, reached = f(r.Dot, r.Estimate, ids, r.Sums, inverse, scale, r.Places, bound)
			r.Places = r.Places[:reached]
		})
		equal("take counts", func(r *result, used bool) {
			f := takeCountsGo
			if used {
				f = takeCounts
			}
			r.Places = make([]uint32, len(ids)+1)
			var reached int
			r.Pairs, reached = f(r.Dot, r.Estimate, ids, r.Counts, inverse, scale, r.Places, bound)
			r.Places = r.Places[:reached]
		})
		equal("scan sums", func(r *result, used bool) {
			f := scanSumsGo
			if used {
				f = scanSums
			}
			r.Pairs = f(r.Estimate, r.Sums, inverse, scale)
		})
		equal("scan counts", func(r *result, used bool) {
			f := scanCountsGo
			if used {
				f = scanCounts
			}
			r.Pairs = f(r.Estimate, r.Counts, inverse, scale)
		})
	})
}

// TestReachAndAboveTakeWhatTheBoundSays compares with the definition.
func TestReachAndAboveTakeWhatTheBoundSays(t *testing.T) {
	values := rapid.OneOf(rapid.Just(negInf), rapid.Just[float32](0.5), rapid.Float32Range(-1, 1))
	many := rapid.OneOf(values, rapid.Float32Range(0, 1), rapid.Float32Range(0, 1), rapid.Float32Range(0, 1), rapid.Float32Range(0, 1))
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.SliceOfN(many, 0, 80).Draw(t, "x")
		bound := rapid.OneOf(rapid.Just(negInf), values).Draw(t, "bound")
		places := make([]uint32, len(x)+1)
		places = places[:reach(places, x, bound)]
		wantPlaces := []uint32{}
		for k, v := range x {
			if v >= bound {
				wantPlaces = append(wantPlaces, uint32(k))
			}
		}
		if diff := cmp.Diff(wantPlaces, places); diff != "" {
			t.Fatal("reach (-want +got):\n" + diff)
		}

		bounds := make([]float32, len(x))
		for k := range bounds {
			bounds[k] = values.Draw(t, "its bound")
		}
		places = make([]uint32, len(x)+1)
		places = places[:reachEach(places, x, bounds)]
		wantPlaces = []uint32{}
		for k, v := range x {
			if v >= bounds[k] {
				wantPlaces = append(wantPlaces, uint32(k))
			}
		}
		if diff := cmp.Diff(wantPlaces, places); diff != "" {
			t.Fatal("reach each (-want +got):\n" + diff)
		}

		room := rapid.IntRange(0, 40).Draw(t, "room")
		buf := make([]float32, room)
		filled := rapid.IntRange(0, room).Draw(t, "filled")
		want := buf[:filled:filled]
		taken, n := above(buf, filled, x, bound)
		for _, v := range x[:taken] {
			if v > bound {
				want = append(want, v)
			}
		}
		if diff := cmp.Diff(want, buf[:n], cmp.Comparer(sameBits)); diff != "" {
			t.Fatal("above (-want +got):\n" + diff)
		}
		if taken < len(x) && n < room {
			t.Fatalf("above stopped at %d of %d numbers with %d of %d places filled", taken, len(x), n, room)
		}
	})
}

// TestMembersHaveABit compares with the definition.
func TestMembersHaveABit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint32Range(1, 500).Draw(t, "n")
		bits := make([]uint64, (n+63)/64)
		for _, id := range rapid.SliceOfN(rapid.Uint32Max(n-1), 0, 300).Draw(t, "members") {
			set(bits, id)
		}
		ids := rapid.SliceOfN(rapid.Uint32Max(n-1), 0, 80).Draw(t, "ids")
		places := make([]uint32, len(ids)+1)
		places = places[:members(places, bits, ids)]
		want := []uint32{}
		for k, id := range ids {
			if isSet(bits, id) {
				want = append(want, uint32(k))
			}
		}
		if diff := cmp.Diff(want, places); diff != "" {
			t.Fatal("members (-want +got):\n" + diff)
		}
	})
}

// TestSelectBest compares with a sort, with many keys that are equal.
func TestSelectBest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SliceOfN(rapid.Uint64Range(0, rapid.Uint64Range(1, 1<<40).Draw(t, "range")), 1, 200).Draw(t, "keys")
		k := rapid.IntRange(1, len(keys)).Draw(t, "k")
		sorted := slices.Sorted(slices.Values(keys))
		slices.Reverse(sorted)
		got := selectBest(keys, k)
		slices.Sort(keys[:k])
		slices.Reverse(keys[:k])
		if got != sorted[k-1] || !slices.Equal(keys[:k], sorted[:k]) {
			t.Fatalf("the %d best are %v, the last %d; want %v", k, keys[:k], got, sorted[:k])
		}
	})
}

// TestKthFinder compares what is found with the definition, number after number as a build does, with and without a guess.
func TestKthFinder(t *testing.T) {
	value := rapid.OneOf(rapid.Just(negInf), rapid.Float32Range(-1, 1), rapid.Float32Range(0.5, 1), rapid.SampledFrom([]float32{0.25, 0.5}))
	rapid.Check(t, func(t *rapid.T) {
		var f kthFinder
		k := rapid.IntRange(1, 20).Draw(t, "k")
		for range rapid.IntRange(1, 5).Draw(t, "times") {
			x := rapid.SliceOfN(value, 0, 300).Draw(t, "x")
			want := negInf
			if ordered := slices.Sorted(slices.Values(x)); len(x) >= k {
				want = ordered[len(x)-k]
			}
			bound := f.guess()
			var places []uint32
			reach := 0
			for n, v := range x {
				reach += one(v >= bound)
				if v != negInf && math.Float32bits(v) >= math.Float32bits(bound) { // as takeSums does
					places = append(places, uint32(n))
				}
			}
			got, ok := f.findAt(x, places, k, bound)
			if ok != (reach >= k) {
				t.Fatalf("%d of %v reach %v, and of %d it found some: %v", reach, x, bound, k, ok)
			}
			if !ok {
				got = f.find(x, k)
			}
			if got != want {
				t.Fatalf("number %d of %v: got %v, want %v", k, x, got, want)
			}
		}
	})
	f := kthFinder{last: 1}
	if got, ok := f.findAt([]float32{0.5, 0.9, 0.8}, []uint32{1, 2}, 2, f.guess()); got != 0.8 || !ok {
		t.Errorf("got %v, %v of what reaches a guess; want 0.8", got, ok)
	}
}

// TestGuessesChangeNoList gives each item guesses about what its K-th estimate is, a few roundings to either side, and far off.
func TestGuessesChangeNoList(t *testing.T) {
	r := syntheticRows(300, 400, 12, 5, false)
	for _, o := range []Options{{Measure: Cosine, K: 7}, {Measure: AdjustedCosine, K: 7}, {Measure: BM25, K: 3}} {
		borders := make([]uint32, r.NumItems+1)
		for i := range borders {
			borders[i] = uint32(i)
		}
		blocks, sides, err := prepare(weigh(t, r, o.Measure), borders, &o, 1)
		if err != nil {
			t.Fatal(err)
		}
		list := func(lead *Block, s *Scratch) []Neighbor {
			c := NewCollector(lead.Lo, lead.Hi, o.K)
			if _, err := Run(t.Context(), lead, sides[0], c, o, s); err != nil {
				t.Fatal(err)
			}
			return c.Lists().Entries
		}
		for _, lead := range blocks {
			var s Scratch
			want := list(lead, &s)
			guesses := []float32{0, float32(math.NaN()), noGuess, 2 * s.kth.last, s.kth.last / 2, math.SmallestNonzeroFloat32}
			for x, n := s.kth.last/guessShare*(1-1.0/(1<<21)), 0; n < 16; n++ {
				guesses, x = append(guesses, x), math.Nextafter32(x, noGuess)
			}
			for _, last := range guesses {
				s.kth.last = last
				if got := list(lead, &s); !slices.Equal(got, want) {
					t.Fatalf("%s, item %d, guess %v: got %v, want %v", o.Measure, lead.Lo, last*guessShare, got, want)
				}
			}
		}
	}
}

// TestCandidatesBelowAGuess: an estimate that is below the K-th by no more than what roundings hide is a candidate, though it does not reach the guess, and one that is further below is none.
func TestCandidatesBelowAGuess(t *testing.T) {
	near := math.Nextafter32(0.5, 0)
	estimate := []float32{1, near, 0.5, 0.49}
	for _, test := range []struct {
		guess  float32
		places []uint32 // that reach it
		want   []uint32
	}{
		{0.5, []uint32{0, 2}, []uint32{0, 1, 2}},
		{0.49, []uint32{0, 1, 2, 3}, []uint32{0, 1, 2}},
		{0.9, []uint32{0}, []uint32{0, 1, 2}},
		{noGuess, nil, []uint32{0, 1, 2}},
	} {
		s := &Scratch{}
		s.grow(len(estimate))
		s.best.k, s.best.bound = 2, negInf
		got, bound := (&task{s: s}).candidates(estimate, s.places[:copy(s.places, test.places)], test.guess)
		if !slices.Equal(got, test.want) || bound != lowered(0.5) {
			t.Errorf("guess %v: places %v from %v on, want %v from %v on", test.guess, got, bound, test.want, lowered(0.5))
		}
	}
}
