package coordinator

import (
	"fmt"
	"math"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/catalog/shelf"
)

// slowChoice is the twin of choose that looks at all candidates for each place.
func slowChoice(candidates []scoredItem, n int, d *Diversity, taken map[uint32]int) (chosen []scoredItem) {
	used := make([]bool, len(candidates))
	largest := math.Inf(-1)
	for _, c := range candidates {
		largest = max(largest, c.score)
	}
	if largest = math.Abs(largest); largest == 0 {
		largest = 1
	}
	for len(chosen) < n {
		best, at := math.Inf(-1), -1
		for i, c := range candidates {
			there := 0
			if c.group != 0 {
				there = taken[c.group]
			}
			if used[i] || d.MaxPerGroup > 0 && there >= d.MaxPerGroup {
				continue
			}
			x := float64(d.Lambda * float64(c.score/largest))
			if there > 0 {
				x -= 1 - d.Lambda
			}
			if x > best {
				best, at = x, i
			}
		}
		if at < 0 {
			break
		}
		used[at] = true
		chosen = append(chosen, candidates[at])
		taken[candidates[at].group]++
	}
	return chosen
}

func drawCandidates(t *rapid.T, from, n int, least, most float64) (out []scoredItem) {
	for i := range n {
		out = append(out, scoredItem{id: uint32(from + i), score: math.Round(rapid.Float64Range(least, most).Draw(t, "score")), group: uint32(rapid.IntRange(0, 4).Draw(t, "group"))})
	}
	return out
}

// TestChooseEqualsSlowTwin compares the two heaps with a look at all, shows that a longer answer begins with the shorter one, and that what is below
// the bound would not have changed the choice.
func TestChooseEqualsSlowTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := &Diversity{Lambda: rapid.SampledFrom([]float64{0, 0.25, 0.5, 0.9, 1}).Draw(t, "lambda"), MaxPerGroup: rapid.IntRange(0, 3).Draw(t, "most")}
		if rapid.IntRange(0, 4).Draw(t, "none") == 0 {
			d = &Diversity{Lambda: 1}
		}
		all := drawCandidates(t, 0, rapid.IntRange(0, 25).Draw(t, "candidates"), -10, rapid.SampledFrom([]float64{-5, 0, 20}).Draw(t, "below"))
		sortScored(all)
		before := map[uint32]int{1: rapid.IntRange(0, 2).Draw(t, "taken")}
		taken := func() map[uint32]int { return map[uint32]int{1: before[1]} }
		n := rapid.IntRange(0, 30).Draw(t, "n")
		got, least := choose(all, n, d, taken())
		compare := func(what string, want, got []scoredItem) {
			t.Helper()
			if diff := gocmp.Diff(append([]scoredItem{}, want...), append([]scoredItem{}, got...), gocmp.AllowUnexported(scoredItem{})); diff != "" {
				t.Fatalf("%s, -want +got:\n%s", what, diff)
			}
		}
		compare("the slow twin", slowChoice(all, n, d, taken()), got)
		longer, _ := choose(all, n+3, d, taken())
		compare("the shorter answer", longer[:len(got)], got)
		if len(got) < n || math.IsInf(least, 0) {
			return
		}
		more := append(all, drawCandidates(t, 100, 5, least-20, least)...)
		for _, x := range more[len(all):] {
			if x.score >= least {
				return // rounded up
			}
		}
		sortScored(more)
		again, _ := choose(more, n, d, taken())
		compare("with candidates below the bound", got, again)
	})
}

func TestPins(t *testing.T) {
	items := func(keys ...string) (out []Ranked) {
		for _, k := range keys {
			out = append(out, Ranked{Item: k})
		}
		return out
	}
	for _, tt := range []struct {
		items []Ranked
		pins  []Pin
		n     int
		want  string
	}{
		{items("a", "b", "c"), nil, 3, "[a b c]"},
		{items("a", "b", "c"), []Pin{{"x", 1}, {"y", 3}}, 5, "[x a y b c]"},
		{items("a", "b", "c"), []Pin{{"x", 2}, {"y", 9}}, 3, "[a x b]"},
		{items("a"), []Pin{{"x", 5}, {"y", 9}}, 4, "[a x y]"},
		{nil, []Pin{{"x", 3}}, 1, "[x]"},
	} {
		var got []string
		for _, x := range pin(tt.items, tt.pins, tt.n) {
			got = append(got, x.Item)
		}
		if fmt.Sprint(got) != tt.want {
			t.Errorf("%v with %v: %v, want %s", tt.items, tt.pins, got, tt.want)
		}
	}
}

// BenchmarkJudge tests, boosts and sorts 10,000 candidates out of 100,000 products, and chooses 20.
func BenchmarkJudge(b *testing.B) {
	s := shelf.New(1 << 30)
	var keys [][]byte
	for i := range 100_000 {
		r := &catalog.Record{Key: fmt.Sprintf("product-%07d", i), Attributes: []catalog.Attribute{
			{Name: "brand", Value: catalog.Value{Type: catalog.Text, Text: fmt.Sprint("b", i%997)}},
			{Name: "category", Value: catalog.Value{Type: catalog.Text, Text: fmt.Sprint("c", i%101)}},
			{Name: "price", Value: catalog.Value{Type: catalog.Number, Number: float64(i % 100)}},
			{Name: "since", Value: catalog.Value{Type: catalog.Time, Millis: int64(i) * 1e6}},
			{Name: "stock", Value: catalog.Value{Type: catalog.Number, Number: float64(i % 4)}},
		}}
		s.Put(r)
		if i%10 == 0 {
			keys = append(keys, []byte(r.Key))
		}
	}
	rules := &Rules{
		Filter:    shelf.Filter{Conditions: []shelf.Condition{{Attribute: "stock", Op: shelf.Available}, {Attribute: "price", Op: shelf.Range, Min: 5, Max: 80}}},
		Boosts:    []Boost{{shelf.Filter{Conditions: []shelf.Condition{{Attribute: "brand", Op: shelf.AnyOf, Values: []string{"b1", "b2"}}}}, 2}},
		Freshness: &Freshness{"since", 1 << 50, 1},
		Diversity: &Diversity{Attribute: "category", Lambda: 0.7, MaxPerGroup: 3},
		Now:       1e12,
	}
	b.Run("each", func(b *testing.B) {
		s.View(func(v *shelf.View) {
			j := newJudge(rules, v)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				j.judge(keys[i])
				if i++; i == len(keys) {
					i = 0
				}
			}
		})
	})
	b.Run("answer", func(b *testing.B) {
		for b.Loop() {
			s.View(func(v *shelf.View) {
				j := newJudge(rules, v)
				var all []scoredItem
				for i, key := range keys {
					if factor, group, ok := j.judge(key); ok {
						all = append(all, scoredItem{uint32(i), 1, factor * float64(i%977), group})
					}
				}
				sortScored(all)
				choose(all, 20, rules.Diversity, map[uint32]int{})
			})
		}
	})
}
