package coordinator

import (
	"fmt"
	"math"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestApartEqualsSlowTwin compares the choice with one that looks at all pairs for each place, and shows that a longer answer begins with the shorter one.
func TestApartEqualsSlowTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		count := rapid.IntRange(0, 12).Draw(t, "items")
		items, alike := make([]Ranked, count), make([][]likeness, count)
		values := map[[2]int]float64{}
		score := rapid.SampledFrom([]float64{-2, 0, 1, 3, 10}).Draw(t, "largest") + rapid.Float64Range(0, 0.5).Draw(t, "more")
		for i := range items {
			items[i] = Ranked{Item: fmt.Sprint(i), Score: score}
			score -= rapid.SampledFrom([]float64{0, 0.5, 1}).Draw(t, "step")
			for j := range i {
				if x := rapid.SampledFrom([]float64{0, 0, 0.25, 0.5, 1}).Draw(t, "alike"); x > 0 {
					values[[2]int{i, j}], values[[2]int{j, i}] = x, x
					alike[i], alike[j] = append(alike[i], likeness{j, x}), append(alike[j], likeness{i, x})
				}
			}
		}
		n, lambda := rapid.IntRange(0, 14).Draw(t, "n"), rapid.SampledFrom([]float64{0, 0.3, 0.5, 0.9}).Draw(t, "lambda")
		var chosen []int
		want := []Ranked{}
		for len(want) < min(n, count) {
			at, best := -1, math.Inf(-1)
			for i := range items {
				x, used := 0.0, false
				if least, most := min(0, items[count-1].Score), items[0].Score; most > least {
					x = lambda * ((items[i].Score - least) / (most - least))
				}
				nearest := 0.0
				for _, j := range chosen {
					nearest, used = max(nearest, values[[2]int{i, j}]), used || i == j
				}
				if x -= (1 - lambda) * nearest; !used && x > best {
					at, best = i, x
				}
			}
			chosen, want = append(chosen, at), append(want, items[at])
		}
		got := append([]Ranked{}, apart(items, n, lambda, alike)...)
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Fatalf("-want +got:\n%s", diff)
		}
		if longer := apart(items, n+3, lambda, alike); len(longer) < len(got) || len(got) > 0 && !gocmp.Equal(got, longer[:len(got)]) {
			t.Fatalf("%v does not begin with %v", longer, got)
		}
	})
}

// TestApartOfScoresBelowZero: λ weighs relevance and spread alike wherever 0 is among the scores.
func TestApartOfScoresBelowZero(t *testing.T) {
	alike := [][]likeness{{{1, 1}}, {{0, 1}}, {}}
	for _, tt := range []struct {
		scores [3]float64
		lambda float64
		want   string
	}{
		{[3]float64{-1, -1.5, -9}, 0.9, "012"}, // item 1 is as item 0, but all but as relevant, and item 2 is not at all
		{[3]float64{-1, -1.5, -9}, 0.3, "021"},
		{[3]float64{0.01, -0.5, -5}, 0.3, "021"}, // the largest score is no measure
		{[3]float64{0.01, -0.5, -5}, 0.9, "012"},
		{[3]float64{0, -1, -8}, 0.9, "012"},
		{[3]float64{-2, -2, -2}, 0.9, "021"},
		{[3]float64{10, 9.5, 2}, 0.9, "012"},
	} {
		var items []Ranked
		for i, score := range tt.scores {
			items = append(items, Ranked{Item: fmt.Sprint(i), Score: score})
		}
		got := ""
		for _, x := range apart(items, 3, tt.lambda, alike) {
			got += x.Item
		}
		if got != tt.want {
			t.Errorf("scores %v, λ %v: %s, want %s", tt.scores, tt.lambda, got, tt.want)
		}
	}
}
