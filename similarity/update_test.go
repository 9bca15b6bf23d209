package similarity

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// split takes n entries out of r, at random or some at a time of a user.
func split(r *Rows, n, burst int, rng *rand.Rand) (rest *Rows, taken []Change) {
	out := make([]bool, len(r.Item))
	for len(taken) < n {
		if burst == 0 {
			k := rng.IntN(len(r.Item))
			if !out[k] {
				out[k] = true
				taken = append(taken, Change{Item: uint32(k)})
			}
			continue
		}
		k := int64(rng.IntN(len(r.Item)))
		u, _ := slices.BinarySearch(r.Start, k+1)
		lo, hi := r.Start[u-1], r.Start[u]
		for range burst {
			k := lo + rng.Int64N(hi-lo)
			if !out[k] {
				out[k] = true
				taken = append(taken, Change{Item: uint32(k)})
			}
		}
	}
	slices.SortFunc(taken, func(a, b Change) int { return int(a.Item) - int(b.Item) })
	rest = &Rows{NumItems: r.NumItems, Start: make([]int64, 1, len(r.Start))}
	at := 0
	for u := range r.NumUsers() {
		for k := r.Start[u]; k < r.Start[u+1]; k++ {
			if out[k] {
				taken[at] = Change{uint32(u), r.Item[k], r.Weight[k]}
				at++
			} else {
				rest.Item, rest.Weight = append(rest.Item, r.Item[k]), append(rest.Weight, r.Weight[k])
			}
		}
		rest.Start = append(rest.Start, int64(len(rest.Item)))
	}
	return rest, taken
}

func compareLists(t *testing.T, want, got *Lists) {
	t.Helper()
	bad := 0
	for i := range want.Len() {
		if !slices.Equal(want.List(uint32(i)), got.List(uint32(i))) {
			if bad++; bad < 5 {
				a, b := got.List(uint32(i)), want.List(uint32(i))
				k := 0
				for k < len(a) && k < len(b) && a[k] == b[k] {
					k++
				}
				t.Errorf("item %d: from %d of %d got %v, want %v", i, k, len(b), a[k:min(k+3, len(a))], b[k:min(k+3, len(b))])
			}
		}
	}
	if bad > 0 {
		t.Errorf("%d of %d lists differ", bad, want.Len())
	}
}

// Lists that follow updates are those of a build, and what bounds pairs does, on matrices with few weights and so many ties.
func TestUpdatesEqualBuild(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 1))
		r := syntheticRows(20+rng.IntN(300), 5+rng.IntN(300), 2+rng.IntN(20), 1+float64(rng.IntN(20)), seed%3 == 0)
		if r.Weight == nil {
			r.Weight = make([]float32, len(r.Item))
			for k := range r.Weight {
				r.Weight[k] = 1
			}
		}
		o := Options{Measure: Cosine, K: 1 + rng.IntN(10), Threads: 1 + rng.IntN(2)}
		base := r
		var batches [][]Change
		for range 6 {
			var taken []Change
			if base, taken = split(base, rng.IntN(len(r.Item)/10+1), rng.IntN(3), rng); len(base.Item) == 0 {
				t.Fatal("nothing left")
			}
			for k := range taken { // some weights rise
				if w := taken[k].Weight; w > 1 && rng.IntN(2) == 0 {
					base = withEntry(base, taken[k].User, taken[k].Item, 1+float32(rng.IntN(int(w-1))))
				}
			}
			batches = append(batches, taken)
		}
		x, err := NewKept(t.Context(), base, o, o.K+rng.IntN(5), float64(1+rng.IntN(10)))
		if err != nil {
			t.Fatal(err)
		}
		for n, changes := range slices.Backward(batches) {
			if _, err := x.Update(t.Context(), changes); err != nil {
				t.Fatal(err)
			}
			for i := range uint32(r.NumItems) {
				if bad := x.check(i); bad != "" {
					t.Fatalf("seed %d, %d updates left, item %d: %s", seed, n, i, bad)
				}
			}
		}
		want, err := Build(t.Context(), r, o)
		if err != nil {
			t.Fatal(err)
		}
		compareLists(t, want, x.Lists())
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// withEntry returns r with one entry more.
func withEntry(r *Rows, user, item uint32, w float32) *Rows {
	at, _ := slices.BinarySearch(r.Item[r.Start[user]:r.Start[user+1]], item)
	k := int(r.Start[user]) + at
	out := &Rows{NumItems: r.NumItems, Start: slices.Clone(r.Start)}
	out.Item = slices.Insert(slices.Clone(r.Item), k, item)
	out.Weight = slices.Insert(slices.Clone(r.Weight), k, w)
	for u := int(user) + 1; u < len(out.Start); u++ {
		out.Start[u]++
	}
	return out
}

// check tells what is wrong with the bounds of item i.
func (x *Kept) check(i uint32) string {
	sums := map[uint32]float32{}
	for _, e := range x.columnOf(i) {
		at := x.at[e>>8]
		for _, f := range x.words[at+1 : at+1+x.words[at]] {
			if f>>8 != i {
				sums[f>>8] += float32(uint8(e)) * float32(uint8(f))
			}
		}
	}
	at := int(i) * x.stride
	for k := range int(x.size[i]) {
		j := x.heldID[at+k]
		if sums[j] != x.heldSum[at+k] {
			return fmt.Sprintf("held %d has sum %v, want %v", j, x.heldSum[at+k], sums[j])
		}
		delete(sums, j)
	}
	cells := x.cellsOf(i)
	for j, s := range sums {
		t := s * x.inverse[j]
		if t > x.bound[i] {
			return fmt.Sprintf("pair %d of sum %v has t %v above the bound %v", j, s, t, x.bound[i])
		}
		if len(cells) == 0 {
			continue
		}
		c := cells[x.cell(j, len(cells))]
		if c&filterBits(j) != filterBits(j) {
			return fmt.Sprintf("pair %d of sum %v is not in the filter", j, s)
		}
		if code := c >> codeShift; code != noLimit && float32(code)*x.unit[i]*slackUp < t {
			return fmt.Sprintf("pair %d of sum %v has t %v above the code %d of unit %v", j, s, t, code, x.unit[i])
		}
	}
	return ""
}

// TestUpdateErrors has changes that cannot be, after each of which the lists are as they were.
func TestUpdateErrors(t *testing.T) {
	r := syntheticRows(50, 20, 5, 9, true)
	r.Weight = slices.Repeat([]float32{2}, len(r.Item))
	o := Options{Measure: Cosine, K: 5, Threads: 1}
	x, err := NewKept(t.Context(), r, o, 8, 4)
	if err != nil {
		t.Fatal(err)
	}
	before := x.Lists()
	there := Change{User: 0, Item: r.Item[0], Weight: 3}
	for name, changes := range map[string][]Change{
		"user": {there, {User: 50, Weight: 1}}, "item": {there, {Item: 20, Weight: 1}}, "twice": {there, there}, "part of one": {{Weight: 1.5}}, "none": {{Weight: 0}},
		"too large": {{Weight: 256}}, "falling": {{Item: r.Item[0], Weight: 1}},
	} {
		if _, err := x.Update(t.Context(), changes); !errors.Is(err, ErrShape) {
			t.Errorf("%s: %v, want ErrShape", name, err)
		}
	}
	if _, err := NewKept(t.Context(), r, Options{Measure: Jaccard, K: 5}, 8, 4); !errors.Is(err, ErrShape) {
		t.Errorf("another measure: %v, want ErrShape", err)
	}
	compareLists(t, before, x.Lists())
}
