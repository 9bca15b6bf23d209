package similarity

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var indexMeasures = []Measure{Cosine, AsymmetricCosine, Jaccard, Dice, ConditionalProbability}

// replaced returns r with other rows.
func replaced(r *Rows, changes []UserRow, numItems int) *Rows {
	users := r.NumUsers()
	for _, c := range changes {
		users = max(users, int(c.User)+1)
	}
	out := &Rows{NumItems: numItems, Start: []int64{0}, Weight: []float32{}}
	for u := range users {
		var items []uint32
		var weights []float32
		if u < r.NumUsers() {
			items, weights = r.row(u)
		}
		for _, c := range changes {
			if int(c.User) == u {
				items, weights = c.Items, c.Weight
			}
		}
		out.Item = append(out.Item, items...)
		for k := range items {
			w := float32(1)
			if weights != nil {
				w = weights[k]
			}
			out.Weight = append(out.Weight, w)
		}
		out.Start = append(out.Start, int64(len(out.Item)))
	}
	return out
}

// changedRow is the row of user u with some entries more, fewer and of other weight.
func changedRow(rng *rand.Rand, r *Rows, u, numItems int, fractions bool) UserRow {
	row := map[uint32]float32{}
	if u < r.NumUsers() {
		items, weights := r.row(u)
		for k, i := range items {
			row[i] = 1
			if weights != nil {
				row[i] = weights[k]
			}
		}
	}
	for i := range row {
		if rng.IntN(12) == 0 {
			delete(row, i)
		}
	}
	for range 1 + rng.IntN(3) {
		w := float32(rng.IntN(5)) // a weight of zero is an entry too
		if fractions {
			w = float32(rng.IntN(5000)) / 1000
		}
		row[uint32(float64(numItems)*rng.Float64()*rng.Float64())] = w
	}
	c := UserRow{User: uint32(u), Weight: []float32{}}
	for i := range row {
		c.Items = append(c.Items, i)
	}
	slices.Sort(c.Items)
	for _, i := range c.Items {
		c.Weight = append(c.Weight, row[i])
	}
	return c
}

// TestUpdateEqualsBuild goes from one matrix to the next by changes of few rows: entries and users come and go, items come.
// With a small reserve bounds wear out; with sparse matrices lists are not full.
func TestUpdateEqualsBuild(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		users, items := 5+rng.IntN(150), 3+rng.IntN(40)
		fractions := rapid.Bool().Draw(t, "fractions")
		o := Options{
			Measure: rapid.SampledFrom(indexMeasures).Draw(t, "measure"), K: rapid.IntRange(1, 8).Draw(t, "k"),
			Alpha: rapid.SampledFrom([]float64{0.5, 0, 0.3, 1}).Draw(t, "alpha"), Threads: rapid.IntRange(1, 3).Draw(t, "threads"),
		}
		empty := &Rows{NumItems: items, Start: make([]int64, 1)}
		var first []UserRow
		for u := range users {
			c := changedRow(rng, empty, u, items, fractions)
			for range rng.IntN(4) {
				more := changedRow(rng, replaced(empty, []UserRow{c}, items), u, items, fractions)
				c = more
			}
			first = append(first, c)
		}
		r := replaced(empty, first, items)
		x, err := newIndex(t.Context(), r, o, rapid.IntRange(0, 6).Draw(t, "reserve"),
			rapid.SampledFrom([]float64{smallFall, 0.1, 0.5}).Draw(t, "small fall"))
		if err != nil {
			t.Fatal(err)
		}
		for step := range rapid.IntRange(1, 10).Draw(t, "steps") {
			items += rng.IntN(2)
			var changes []UserRow
			for range rng.IntN(4) {
				u := rng.IntN(r.NumUsers() + 2)
				if slices.ContainsFunc(changes, func(c UserRow) bool { return int(c.User) == u }) {
					continue
				}
				c := changedRow(rng, r, u, items, fractions)
				if rng.IntN(4) == 0 {
					c = UserRow{User: uint32(u)} // forgotten
				}
				changes = append(changes, c)
			}
			if _, err := x.Update(t.Context(), changes, items); err != nil {
				t.Fatal(err)
			}
			r = replaced(r, changes, items)
			want, err := Build(t.Context(), r, o)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(want, x.Lists(), equateEmpty); diff != "" {
				t.Fatalf("step %d (-build +update):\n%s", step, diff)
			}
		}
	})
}

func TestIndexRefusesWhatItCannotKeep(t *testing.T) {
	for _, o := range []Options{
		{Measure: BM25, K: 1},
		{Measure: Lift, K: 1},
		{Measure: Pearson, K: 1},
		{Measure: AdjustedCosine, K: 1},
		{Measure: Cosine, K: 1, Shrinkage: 1},
		{Measure: Cosine, K: 1, MinSupport: 2},
		{Measure: Cosine},
	} {
		if _, err := NewIndex(t.Context(), fiveUsers, o); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
	negative := &Rows{NumItems: 1, Start: []int64{0, 1}, Item: []uint32{0}, Weight: []float32{-1}}
	if _, err := NewIndex(t.Context(), negative, Options{Measure: Cosine, K: 1}); !errors.Is(err, ErrShape) {
		t.Errorf("negative weight: %v", err)
	}
	x, err := NewIndex(t.Context(), fiveUsers, Options{Measure: Cosine, K: 2})
	if err != nil {
		t.Fatal(err)
	}
	before := x.Lists()
	for name, c := range map[string]struct {
		rows     []UserRow
		numItems int
	}{
		"fewer items": {nil, 5},
		"item":        {[]UserRow{{User: 0, Items: []uint32{6}}}, 6},
		"order":       {[]UserRow{{User: 0, Items: []uint32{2, 1}}}, 6},
		"twice":       {[]UserRow{{User: 7, Items: []uint32{1}}, {User: 7, Items: []uint32{2}}}, 6},
		"negative":    {[]UserRow{{User: 0, Items: []uint32{1}, Weight: []float32{-2}}}, 6},
		"user":        {[]UserRow{{User: 1<<32 - 1, Items: []uint32{1}}}, 6},
	} {
		if _, err := x.Update(t.Context(), c.rows, c.numItems); !errors.Is(err, ErrShape) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if diff := gocmp.Diff(before, x.Lists()); diff != "" {
		t.Errorf("a refused update changed lists:\n%s", diff)
	}
}
