package similarity

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// syntheticRows draws a matrix whose item popularity falls as 1/(rank+shift): with a
// small shift and few items the head is dense, with many items the tail is long. Ids
// are in order of popularity.
func syntheticRows(users, items, perUser int, shift float64, ones bool) *Rows {
	rng := rand.New(rand.NewPCG(1, 2))
	cumulative := make([]float64, items)
	var sum float64
	for i := range cumulative {
		sum += 1 / (float64(i) + shift)
		cumulative[i] = sum
	}
	r := &Rows{NumItems: items, Start: make([]int64, 1, users+1)}
	counts := make([]int, items)
	for range users {
		row := make([]uint32, 0, perUser)
		for range 1 + rng.IntN(2*perUser) {
			at, _ := slices.BinarySearch(cumulative, rng.Float64()*sum)
			row = append(row, uint32(min(at, items-1)))
		}
		slices.Sort(row)
		row = slices.Compact(row)
		for _, i := range row {
			counts[i]++
		}
		r.Item = append(r.Item, row...)
		r.Start = append(r.Start, int64(len(r.Item)))
	}
	if !ones {
		r.Weight = make([]float32, len(r.Item))
		for k := range r.Weight {
			r.Weight[k] = float32(1 + rng.IntN(5))
		}
	}
	return r
}

var shapes = []struct {
	name                  string
	users, items, perUser int
	shift                 float64
}{
	{"dense-head", 6_000, 3_000, 120, 50},
	{"long-tail", 40_000, 40_000, 20, 20},
}

func BenchmarkRun(b *testing.B) {
	for _, shape := range shapes {
		for _, ones := range []bool{false, true} {
			r := syntheticRows(shape.users, shape.items, shape.perUser, shape.shift, ones)
			for _, o := range []Options{
				{Measure: Cosine, K: 50},
				{Measure: Cosine, K: 50, Shrinkage: 10},
				{Measure: Jaccard, K: 50},
				{Measure: AdjustedCosine, K: 50},
			} {
				if ones != (o.Measure == Jaccard) && (!ones || o.Shrinkage > 0 || o.Measure == AdjustedCosine) {
					continue
				}
				weighed := weigh(b, r, o.Measure)
				blocks, sides, err := prepare(weighed, []uint32{0, uint32(r.NumItems / 20), uint32(r.NumItems)}, &o, 1)
				if err != nil {
					b.Fatal(err)
				}
				side := sides[0]
				for n, part := range []string{"head", "tail"} {
					b.Run(fmt.Sprintf("%s/%s/ones=%v/shrink=%v/%s", shape.name, o.Measure, ones, o.Shrinkage, part), func(b *testing.B) {
						b.ReportAllocs()
						var s Scratch
						var total Stats
						for b.Loop() {
							c := NewCollector(blocks[n].Lo, blocks[n].Hi, o.K)
							st, err := Run(b.Context(), blocks[n], side, c, o, &s)
							if err != nil {
								b.Fatal(err)
							}
							total.add(st)
						}
						b.ReportMetric(float64(total.PairUpdates)/b.Elapsed().Seconds()/1e6, "Mupdates/s")
						b.ReportMetric(float64(total.PairUpdates)/float64(b.N), "updates")
					})
				}
			}
		}
	}
}

func BenchmarkBuild(b *testing.B) {
	for _, shape := range shapes {
		r := syntheticRows(shape.users, shape.items, shape.perUser, shape.shift, false)
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s/threads=%d", shape.name, threads), func(b *testing.B) {
				b.ReportAllocs()
				var total Stats
				for b.Loop() {
					_, st, err := BuildStats(b.Context(), r, Options{Measure: Cosine, K: 50, Threads: threads})
					if err != nil {
						b.Fatal(err)
					}
					total.add(st)
				}
				b.ReportMetric(float64(total.PairUpdates)/b.Elapsed().Seconds()/1e6, "Mupdates/s")
			})
		}
	}
}

// BenchmarkVisit adds rows up, by the loops that a build uses and by those in Go, where all
// rows are in the cache and where each comes from memory.
func BenchmarkVisit(b *testing.B) {
	const items, entries = 27_000, 300
	loops := []struct {
		name string
		f    func(*visit)
	}{
		{"addCoded/used", addCoded},
		{"addCoded/go", addCodedGo},
		{"addValued/used", addValued},
		{"addValued/go", addValuedGo},
		{"addOnes/used", addOnes},
		{"addOnes/go", addOnesGo},
		{"touchCoded/used", touchCoded},
		{"touchCoded/go", touchCodedGo},
	}
	for _, place := range []struct {
		name string
		rows int
	}{{"cached", 300}, {"memory", 150_000}} {
		v := randomVisit(place.rows, items, entries)
		for _, l := range loops {
			b.Run(l.name+"/"+place.name, func(b *testing.B) {
				b.ReportAllocs()
				v := v
				for b.Loop() {
					v.count, v.turn = 0, v.rows*entries+1
					l.f(&v)
				}
				b.ReportMetric(float64(v.updates)/b.Elapsed().Seconds()/1e6, "Mupdates/s")
			})
		}
	}
}

// randomVisit has rows of some entries each, in an order that is not that of memory.
func randomVisit(rows, items, entries int) visit {
	rng := rand.New(rand.NewPCG(1, 2))
	v := visit{
		rows: rows, room: items * rows, table: new([256]float32),
		words: make([]uint32, 1, rows*(entries+1)+1), values: make([]float32, rows*(entries+1)+1),
		sums: make([]float32, items), counts: make([]uint32, items), touched: make([]uint32, items+1),
	}
	for c := range v.table {
		v.table[c] = 1
	}
	for range rows {
		v.at, v.weights = append(v.at, uint32(len(v.words))), append(v.weights, 1)
		v.words = append(v.words, uint32(entries))
		for k := range entries { // ascending
			v.words = append(v.words, uint32(k*items/entries+rng.IntN(items/entries))<<8|uint32(rng.IntN(10)))
		}
	}
	rng.Shuffle(rows, func(i, j int) { v.at[i], v.at[j] = v.at[j], v.at[i] })
	v.at = append(v.at, make([]uint32, visitAhead)...)
	return v
}
