package similarity

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// nearestTwin is Nearest by the score of each row, over all rows.
func nearestTwin(rows *Rows, o Options, items []uint32, weights []float32, k, self int) []Neighbor {
	o.Measure = o.Measure.OfUsers()
	if o.Measure.kind() == commons {
		weights = nil
	}
	place := map[uint32]int{}
	for at, item := range items {
		place[item] = at
	}
	x := side{squaredNorm(len(items), weights), uint32(len(items))}
	var all []Neighbor
	for u := range rows.NumUsers() {
		of, by := rows.row(u)
		var sum float32
		var m moment
		common := uint32(0)
		for k, item := range of {
			if at, ok := place[item]; ok {
				common++
				sum += float32(weightAt(weights, at) * weightAt(by, k))
				m.add(float64(weightAt(weights, at)), float64(weightAt(by, k)))
			}
		}
		if u == self || common == 0 || int(common) < o.MinSupport {
			continue
		}
		score := o.score(float64(sum), x, side{squaredNorm(len(of), by), uint32(len(of))}, common, uint32(rows.NumItems))
		if o.Measure == Pearson {
			score = o.correlation(&m)
		}
		if score != 0 {
			all = append(all, Neighbor{uint32(u), score})
		}
	}
	slices.SortStableFunc(all, func(a, b Neighbor) int {
		switch {
		case a.Score > b.Score:
			return -1
		case a.Score < b.Score:
			return 1
		}
		return 0
	})
	return all[:min(k, len(all))]
}

// usersFrom returns the rows of some users.
func usersFrom(r *Rows, lo, hi int) *Rows {
	part := &Rows{NumItems: r.NumItems, Start: []int64{0}}
	for u := lo; u < hi; u++ {
		items, weights := r.row(u)
		part.Item, part.Weight = append(part.Item, items...), append(part.Weight, weights...)
		part.Start = append(part.Start, int64(len(part.Item)))
	}
	if r.Weight == nil {
		part.Weight = nil
	}
	return part
}

// partsOf cuts rows into parts that begin at some users, and weighs them.
func partsOf(r *Rows, w *Weigher, o Options, starts ...int) []SearchPart {
	var parts []SearchPart
	for i, lo := range starts {
		hi := r.NumUsers()
		if i+1 < len(starts) {
			hi = starts[i+1]
		}
		parts = append(parts, SearchPart{Searcher: NewSearcher(w.Rows(usersFrom(r, lo, hi)), o), First: uint32(lo), Self: -1})
	}
	return parts
}

func userWeigher(r *Rows, m Measure) *Weigher {
	counts := make([]uint64, r.NumItems)
	for _, i := range r.Item {
		counts[i]++
	}
	return NewUserWeigher(m, uint64(r.NumUsers()), counts)
}

// TestNearestOverParts: where there are many more candidates than places, those of all parts are the best of all rows, with the same scores.
func TestNearestOverParts(t *testing.T) {
	const users, items = 3000, 150
	rng := rand.New(rand.NewPCG(4, 5))
	kinds := map[string]func(u int) float32{
		"ones":   nil,
		"whole":  func(int) float32 { return float32(1 + rng.IntN(5)) },
		"any":    func(int) float32 { return rng.Float32() + 1e-6 },
		"signed": func(int) float32 { return float32(rng.NormFloat64()) },
		"zeros":  func(int) float32 { return float32(rng.IntN(3)) },
		"far":    func(u int) float32 { return float32(math.Pow(10, float64(u%60-30))) }, // products are not, or infinite
		// Many estimates are in another order than the scores.
		"near":        func(int) float32 { return 1 + float32(rng.IntN(8))/(1<<22) },
		"near of far": func(u int) float32 { return (1 + float32(rng.IntN(8))/(1<<22)) * float32(int(1)<<(u%2*20)) },
		"far of a":    func(int) float32 { return float32(math.Pow(10, float64(rng.IntN(30)-30))) },
	}
	for name, weight := range kinds {
		r := syntheticRows(users, items, 12, 5, true)
		if weight != nil {
			for u := range users {
				for range r.Start[u+1] - r.Start[u] {
					r.Weight = append(r.Weight, weight(u))
				}
			}
		}
		for _, o := range []Options{
			{Measure: Cosine},
			{Measure: Cosine, Shrinkage: 3},
			{Measure: Cosine, MinSupport: 4},
			{Measure: AdjustedCosine},
			{Measure: Pearson, MinSupport: 3},
			{Measure: Jaccard},
			{Measure: Dice},
			{Measure: LogLikelihood},
			{Measure: TFIDF},
			{Measure: BM25},
			{Measure: AsymmetricCosine, Alpha: 0.2},
			{Measure: AsymmetricCosine, Alpha: 1},
			{Measure: ConditionalProbability},
			{Measure: Lift},
		} {
			t.Run(fmt.Sprintf("%s/%s shrinkage=%v support=%d alpha=%v", name, o.Measure, o.Shrinkage, o.MinSupport, o.Alpha), func(t *testing.T) {
				w := userWeigher(r, o.Measure)
				weighed := w.Rows(r)
				parts := partsOf(r, w, o, 0, 700, 700, 701, 2500, users)
				for _, u := range []int{0, 699, 700, 1500, users - 1} {
					its, raw := r.row(u)
					query := w.Row(its, raw)
					for i := range parts {
						parts[i].Self = -1
						if lo := int(parts[i].First); u >= lo && u < lo+parts[i].rows.NumUsers() {
							parts[i].Self = u - lo
						}
					}
					all := nearestTwin(weighed, o, its, query, users, u)
					for _, k := range []int{1, 20, 50, 2 * users} {
						want, got := all[:min(k, len(all))], Nearest(parts, its, query, k)
						if !slices.Equal(want, got) {
							t.Fatalf("%d nearest of row %d (-want +got):\n%s", k, u, gocmp.Diff(want, got, equateEmpty))
						}
					}
				}
			})
		}
	}
}

// BenchmarkNearest finds the 50 nearest of 100,000 users in 16 parts, of users of the matrix in turn.
func BenchmarkNearest(b *testing.B) {
	const users, partCount = 100_000, 16
	r := syntheticRows(users, 50_000, 20, 20, false)
	for _, o := range []Options{{Measure: Cosine}, {Measure: Cosine, Shrinkage: 10}, {Measure: Jaccard}, {Measure: Pearson, MinSupport: 2}} {
		b.Run(fmt.Sprintf("%s/shrink=%v", o.Measure, o.Shrinkage), func(b *testing.B) {
			var starts []int
			for p := range partCount {
				starts = append(starts, p*users/partCount)
			}
			w := userWeigher(r, o.Measure)
			parts := partsOf(r, w, o, starts...)
			counts, _ := r.Counts()
			postings, u := uint64(0), 0
			b.ReportAllocs()
			for b.Loop() {
				items, raw := r.row(u)
				for _, i := range items {
					postings += uint64(counts[i])
				}
				if near := Nearest(parts, items, w.Row(items, raw), 50); len(near) == 0 && o.Measure == Cosine {
					b.Fatal("nobody is near to a user of the matrix")
				}
				u = (u + 7919) % users
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(postings), "ns/posting")
			b.ReportMetric(float64(postings)/float64(b.N), "postings")
		})
	}
}
