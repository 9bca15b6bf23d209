package neighborhood_test

import (
	"cmp"
	"math"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/neighborhood"
	"github.com/kith-io/kith/similarity"
)

func TestFixed(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, c := range []struct {
		name          string
		weight, score float32
		want          int64
	}{
		{"one", 1, 1, 1 << 32},
		{"half of three", 3, 0.5, 3 << 31},
		{"negative", -2, 0.25, -1 << 31},
		{"zero", 0, 1, 0},
		{"smallest kept", 1, 1.0 / (1 << 32), 1},
		{"half a step rounds to even: down", 1, 1.0 / (1 << 33), 0},
		{"half a step rounds to even: up", 3, 1.0 / (1 << 33), 2},
		{"above half a step", 1, 1.5 / (1 << 33), 1},
		{"cut above", 1 << 20, 1, neighborhood.MaxContribution << 32},
		{"cut below", -1 << 20, 1, -neighborhood.MaxContribution << 32},
		{"infinite", inf, 1, neighborhood.MaxContribution << 32},
		{"not a number", nan, 1, 0},
		{"infinite times zero", inf, 0, 0},
	} {
		if got := neighborhood.Fixed(c.weight, c.score); got != c.want {
			t.Errorf("%s: Fixed(%v, %v) = %d, want %d", c.name, c.weight, c.score, got, c.want)
		}
	}
}

func TestScoresByHand(t *testing.T) {
	s := neighborhood.NewScores()
	s.AddNeighbors(2, []similarity.Neighbor{{ID: 7, Score: 0.5}, {ID: 3, Score: 0.25}})
	s.AddNeighbors(1, []similarity.Neighbor{{ID: 3, Score: 0.5}, {ID: 9, Score: -0.5}})
	s.AddRow(0.5, []uint32{1, 7}, []float32{4, 1})
	s.AddRow(0.25, []uint32{9}, nil)
	// 1: 2; 3: 0.5+0.5; 7: 1+0.5; 9: -0.5+0.25
	want := []model.Scored{{Item: 1, Score: 2}, {Item: 7, Score: 1.5}, {Item: 3, Score: 1}}
	if diff := gocmp.Diff(want, s.Top(10, nil)); diff != "" {
		t.Errorf("Top (-want +got):\n%s", diff)
	}
	if got := neighborhood.Float(s.Score(9)); got != -0.25 {
		t.Errorf("Score(9) = %v, want -0.25", got)
	}
	if got := s.Score(1000); got != 0 {
		t.Errorf("Score of an item without one = %v, want 0", got)
	}
	if diff := gocmp.Diff(want[1:2], s.Top(1, []uint32{1})); diff != "" {
		t.Errorf("Top(1) without item 1 (-want +got):\n%s", diff)
	}
	s.Reset()
	if s.Len() != 0 || s.Score(7) != 0 || len(s.Top(10, nil)) != 0 {
		t.Errorf("after Reset: Len %d, Score(7) %d, Top %v, want nothing", s.Len(), s.Score(7), s.Top(10, nil))
	}
}

func TestSumsStayAtTheBound(t *testing.T) {
	for _, c := range []struct {
		name string
		x    int64
		want int64
	}{
		{"above", math.MaxInt64 / 2, math.MaxInt64},
		{"below", math.MinInt64 / 2, math.MinInt64},
	} {
		s := neighborhood.NewScores()
		for range 4 {
			s.Add([]uint32{1}, []int64{c.x})
		}
		if got := s.Score(1); got != c.want {
			t.Errorf("%s: sum = %d, want %d", c.name, got, c.want)
		}
	}
	s := neighborhood.NewScores()
	for range math.MaxUint16 {
		s.Add([]uint32{1}, []int64{neighborhood.Fixed(neighborhood.MaxContribution, 1)})
	}
	if got, want := neighborhood.Float(s.Score(1)), float64(math.MaxUint16)*neighborhood.MaxContribution; got != want {
		t.Errorf("65,535 of the largest contributions give %v, want %v", got, want)
	}
}

// additions draws neighbor lists with their weights, and the sums that they must give.
func additions(t *rapid.T, numItems uint32) (weights []float32, lists [][]similarity.Neighbor, want map[uint32]int64) {
	want = map[uint32]int64{}
	for range rapid.IntRange(0, 20).Draw(t, "lists") {
		weight := rapid.Float32Range(-3, 3).Draw(t, "weight")
		var list []similarity.Neighbor
		for range rapid.IntRange(0, 60).Draw(t, "length") {
			n := similarity.Neighbor{
				ID:    rapid.Uint32Range(0, numItems-1).Draw(t, "id"),
				Score: float32(rapid.IntRange(-8, 8).Draw(t, "score")) / 8,
			}
			list = append(list, n)
			want[n.ID] += neighborhood.Fixed(weight, n.Score)
		}
		weights, lists = append(weights, weight), append(lists, list)
	}
	return weights, lists, want
}

// bruteTop ranks all of want and cuts.
func bruteTop(want map[uint32]int64, n int, excluded []uint32) []model.Scored {
	var all []model.Scored
	for id, sum := range want {
		if sum > 0 && !slices.Contains(excluded, id) {
			all = append(all, model.Scored{Item: id, Score: neighborhood.Float(sum)})
		}
	}
	slices.SortFunc(all, func(a, b model.Scored) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Item, b.Item))
	})
	return all[:min(n, len(all))]
}

func TestScoresAgainstTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		numItems := rapid.Uint32Range(1, 2000).Draw(t, "items")
		weights, lists, want := additions(t, numItems)
		excluded := rapid.SliceOfDistinct(rapid.Uint32Range(0, numItems), rapid.ID[uint32]).Draw(t, "excluded")
		slices.Sort(excluded)
		n := rapid.IntRange(0, 40).Draw(t, "n")

		sparse, dense, merged := neighborhood.NewScores(), neighborhood.NewDenseScores(int(numItems)), neighborhood.NewScores()
		dense.AddNeighbors(1, []similarity.Neighbor{{ID: 0, Score: 1}}) // something to reset
		dense.Reset()
		parts := []*neighborhood.Scores{neighborhood.NewScores(), neighborhood.NewScores(), neighborhood.NewScores()}
		for i, list := range lists {
			sparse.AddNeighbors(weights[i], list)
			j := len(lists) - 1 - i // another order
			dense.AddNeighbors(weights[j], lists[j])
			parts[rapid.IntRange(0, len(parts)-1).Draw(t, "part")].AddNeighbors(weights[i], list)
		}
		for _, p := range parts {
			merged.Add(p.All())
		}
		wantTop := bruteTop(want, n, excluded)
		for name, s := range map[string]*neighborhood.Scores{"sparse": sparse, "dense": dense, "merged": merged} {
			got := map[uint32]int64{}
			items, sums := s.All()
			for i, id := range items {
				got[id] = sums[i]
			}
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Fatalf("%s: sums (-want +got):\n%s", name, diff)
			}
			top := s.Top(n, excluded)
			if !slices.Equal(top, wantTop) {
				t.Fatalf("%s: Top(%d, %v) = %v, want %v", name, n, excluded, top, wantTop)
			}
		}
	})
}

func TestHybridByHand(t *testing.T) {
	a, b := neighborhood.NewScores(), neighborhood.NewScores()
	a.AddRow(1, []uint32{1, 2, 3}, []float32{4, 2, -4})
	b.AddRow(1, []uint32{2, 5}, []float32{8, 4})
	for name, h := range map[string]*neighborhood.Scores{"a, b": neighborhood.Hybrid(a, b), "b, a": neighborhood.Hybrid(b, a)} {
		want := []model.Scored{{Item: 2, Score: 0.75}, {Item: 1, Score: 0.5}, {Item: 5, Score: 0.25}}
		if diff := gocmp.Diff(want, h.Top(10, nil)); diff != "" {
			t.Errorf("Hybrid(%s) (-want +got):\n%s", name, diff)
		}
		if got := neighborhood.Float(h.Score(3)); got != -0.5 {
			t.Errorf("Hybrid(%s): Score(3) = %v, want -0.5", name, got)
		}
	}
	want := []model.Scored{{Item: 1, Score: 0.5}, {Item: 2, Score: 0.25}}
	if diff := gocmp.Diff(want, neighborhood.Hybrid(a, neighborhood.NewScores()).Top(10, nil)); diff != "" {
		t.Errorf("Hybrid with nothing (-want +got):\n%s", diff)
	}
}

func TestHybridDoesNotDependOnOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weightsA, listsA, _ := additions(t, 50)
		weightsB, listsB, _ := additions(t, 50)
		sum := func(weights []float32, lists [][]similarity.Neighbor, order []int) *neighborhood.Scores {
			s := neighborhood.NewScores()
			for _, i := range order {
				s.AddNeighbors(weights[i], lists[i])
			}
			return s
		}
		top := func(label string) []model.Scored {
			identity := func(n int) []int {
				order := make([]int, n)
				for i := range order {
					order[i] = i
				}
				return order
			}
			orderA := rapid.Permutation(identity(len(listsA))).Draw(t, label+" a")
			orderB := rapid.Permutation(identity(len(listsB))).Draw(t, label+" b")
			return neighborhood.Hybrid(sum(weightsA, listsA, orderA), sum(weightsB, listsB, orderB)).Top(60, nil)
		}
		first, second := top("first"), top("second")
		if !slices.Equal(first, second) {
			t.Fatalf("two orders give\n%v\n%v", first, second)
		}
		for i, s := range first {
			if !(s.Score > 0 && s.Score <= 1) {
				t.Fatalf("score %v of rank %d is not in (0, 1]", s.Score, i+1)
			}
		}
	})
}

func BenchmarkAddNeighbors(b *testing.B) {
	const numItems, history, k = 100_000, 50, 100
	lists := make([][]similarity.Neighbor, history)
	x := uint32(1)
	for i := range lists {
		for range k {
			x = x*1664525 + 1013904223
			lists[i] = append(lists[i], similarity.Neighbor{ID: x % numItems, Score: float32(x>>8) / (1 << 24)})
		}
	}
	for name, s := range map[string]*neighborhood.Scores{"sparse": neighborhood.NewScores(), "dense": neighborhood.NewDenseScores(numItems)} {
		b.Run("index="+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.Reset()
				for _, list := range lists {
					s.AddNeighbors(0.5, list)
				}
				if len(s.Top(10, nil)) != 10 {
					b.Fatal("no ten items")
				}
			}
		})
	}
}

// TestBorrowedScores tells that nothing of one use of the same memory is left for the next, be it larger or smaller.
func TestBorrowedScores(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		for range rapid.IntRange(1, 8).Draw(t, "uses") {
			weights, lists, want := additions(t, rapid.SampledFrom([]uint32{10, 1000, 100_000}).Draw(t, "items"))
			s := neighborhood.BorrowScores(rapid.IntRange(0, 2000).Draw(t, "room"))
			for i, list := range lists {
				s.AddNeighbors(weights[i], list)
			}
			items, sums := s.All()
			if len(items) != len(want) {
				t.Fatalf("%d items, want %d", len(items), len(want))
			}
			for i, item := range items {
				if sums[i] != want[item] || s.Score(item) != want[item] {
					t.Fatalf("item %d has %d and %d, want %d", item, sums[i], s.Score(item), want[item])
				}
			}
			s.Return()
		}
	})
}
