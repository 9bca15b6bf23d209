package partition_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kith-io/kith/partition"
)

func TestBlocksCoverAllItemsWithinLimits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		counts := rapid.SliceOfN(rapid.Uint32Range(0, 50), 0, 200).Draw(t, "counts")
		slices.SortFunc(counts, func(a, b uint32) int { return int(b) - int(a) })
		maxItems := rapid.IntRange(0, 40).Draw(t, "max items")
		maxEntries := rapid.Int64Range(0, 300).Draw(t, "max entries")
		next := uint32(0)
		for _, r := range partition.Blocks(counts, maxItems, maxEntries) {
			if r.Lo != next || r.Hi <= r.Lo {
				t.Fatalf("range %v after %d", r, next)
			}
			next = r.Hi
			if maxItems > 0 && r.Len() > maxItems {
				t.Fatalf("range %v is wider than %d", r, maxItems)
			}
			if e := entries(counts, r); maxEntries > 0 && e > maxEntries && r.Len() > 1 {
				t.Fatalf("range %v has %d entries, more than %d", r, e, maxEntries)
			}
		}
		if int(next) != len(counts) {
			t.Fatalf("ranges end at %d of %d", next, len(counts))
		}
	})
}

func entries(counts []uint32, r partition.Range) (n int64) {
	for _, c := range counts[r.Lo:r.Hi] {
		n += int64(c)
	}
	return n
}

func TestBlocksAreLevel(t *testing.T) {
	counts := zipf(20_000, 5_000)
	var total int64
	for _, c := range counts {
		total += int64(c)
	}
	blocks := partition.Blocks(counts, 0, total/32)
	for _, b := range blocks {
		if e := entries(counts, b); e < total/40 || e > total/32 {
			t.Errorf("block %v has %d entries, want %d to %d", b, e, total/40, total/32)
		}
	}
	if len(blocks) < 32 || len(blocks) > 36 {
		t.Errorf("%d blocks, want 32 to 36", len(blocks))
	}
}

// zipf gives item counts top/(1+i/10), at least 1.
func zipf(items, top int) []uint32 {
	counts := make([]uint32, items)
	for i := range counts {
		counts[i] = uint32(max(1, float64(top)/(1+float64(i)/10)))
	}
	return counts
}

func TestPairsCoverEachPairOnce(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 7, 64, 301} {
		pairs := partition.Pairs(n)
		if len(pairs) != partition.NumPairs(n) {
			t.Fatalf("%d pairs of %d blocks, want %d", len(pairs), n, partition.NumPairs(n))
		}
		seen := map[partition.Pair]bool{}
		for at, p := range pairs {
			if p.A < 0 || p.A > p.B || p.B >= n || seen[p] {
				t.Fatalf("pair %v of %d blocks, seen %v", p, n, seen[p])
			}
			seen[p] = true
			if p.Index(n) != at || partition.PairAt(at, n) != p {
				t.Fatalf("pair %v at %d of %d blocks: Index %d, PairAt %v", p, at, n, p.Index(n), partition.PairAt(at, n))
			}
		}
	}
	const n = 3_000_000 // beyond what the root of a float64 resolves exactly
	for _, p := range []partition.Pair{{0, 0}, {n - 1, n - 1}, {n / 2, n/2 + 1}, {n - 2, n - 1}, {1, n - 1}, {2, 2}} {
		if got := partition.PairAt(p.Index(n), n); got != p {
			t.Errorf("PairAt of %v gives %v", p, got)
		}
	}
}

func checkEachOnce(t interface{ Fatalf(string, ...any) }, tasks []int, plan [][]int) {
	var got []int
	for _, node := range plan {
		if !slices.IsSorted(node) {
			t.Fatalf("tasks of a node do not ascend: %v", node)
		}
		got = append(got, node...)
	}
	slices.Sort(got)
	want := slices.Sorted(slices.Values(tasks))
	if !slices.Equal(got, want) {
		t.Fatalf("tasks given: %v, want each once: %v", got, want)
	}
}

func TestAssignGivesEachTaskOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.Float64Range(0, 10), 0, 20).Draw(t, "sizes")
		costs := partition.PairCosts(sizes)
		nodes := rapid.IntRange(1, 9).Draw(t, "nodes")
		all := make([]int, len(costs))
		for i := range all {
			all[i] = i
		}
		plan := partition.Assign(costs, sizes, nodes)
		checkEachOnce(t, all, plan)
		pending := plan[0]
		have := make([][]int, nodes-1)
		for k := range have {
			have[k] = blocksOf(plan[k+1], len(sizes))
		}
		if nodes > 1 {
			checkEachOnce(t, pending, partition.AssignRemaining(costs, sizes, pending, nodes-1, have))
		}
	})
}

func blocksOf(tasks []int, n int) []int {
	seen := make([]bool, n)
	for _, t := range tasks {
		p := partition.PairAt(t, n)
		seen[p.A], seen[p.B] = true, true
	}
	var out []int
	for b, s := range seen {
		if s {
			out = append(out, b)
		}
	}
	return out
}

// quality returns the largest cost of a node over the mean, and the largest and the
// mean fraction of the matrix that a node needs.
func quality(plan [][]int, costs, sizes []float64) (balance, worst, mean float64) {
	var total, most, matrix float64
	for _, s := range sizes {
		matrix += s
	}
	for _, tasks := range plan {
		var cost, size float64
		for _, t := range tasks {
			cost += costs[t]
		}
		for _, b := range blocksOf(tasks, len(sizes)) {
			size += sizes[b]
		}
		total += cost
		most = max(most, cost)
		worst = max(worst, size/matrix)
		mean += size / matrix / float64(len(plan))
	}
	return most / (total / float64(len(plan))), worst, mean
}

func TestAssignIsEvenAndCompact(t *testing.T) {
	level := func(n int) []float64 { return slices.Repeat([]float64{1}, n) }
	tail := level(48)
	for i := 24; i < len(tail); i++ {
		tail[i] = 1 / float64(i-22) // blocks limited by width hold less
	}
	for _, shape := range []struct {
		name  string
		sizes []float64
	}{{"level-32", level(32)}, {"level-50", level(50)}, {"level-64", level(64)}, {"level-100", level(100)}, {"tail-48", tail}} {
		costs := partition.PairCosts(shape.sizes)
		for _, nodes := range []int{1, 2, 3, 4, 5, 8, 12, 16, 24, 32, 48, 64} {
			plan := partition.Assign(costs, shape.sizes, nodes)
			balance, worst, mean := quality(plan, costs, shape.sizes)
			root := math.Sqrt(float64(nodes))
			t.Logf("%-9s %2d nodes: max/mean cost %.3f, fraction max %.3f mean %.3f = %.2f, %.2f / sqrt(nodes)",
				shape.name, nodes, balance, worst, mean, worst*root, mean*root)
			var total float64
			for _, c := range costs {
				total += c
			}
			// A run ends within half a task of where it should, on either side.
			if slack := 1 + slices.Max(costs)/(total/float64(nodes)); balance > slack+1e-9 {
				t.Errorf("%s, %d nodes: max/mean cost %.3f, want at most %.3f", shape.name, nodes, balance, slack)
			}
			if worst*root > 2.3 || mean*root > 1.75 {
				t.Errorf("%s, %d nodes: fraction of the matrix %.3f at most and %.3f on average", shape.name, nodes, worst, mean)
			}
		}
	}
}

func TestRemainingTasksGoWhereTheirBlocksAre(t *testing.T) {
	sizes := slices.Repeat([]float64{1}, 48)
	costs := partition.PairCosts(sizes)
	for _, nodes := range []int{4, 8, 16} {
		plan := partition.Assign(costs, sizes, nodes)
		var have [][]int
		for _, tasks := range plan[1:] {
			have = append(have, blocksOf(tasks, len(sizes)))
		}
		again := partition.AssignRemaining(costs, sizes, plan[0], nodes-1, have)
		balance, _, _ := quality(again, costs, sizes)
		fetched, blind := missing(again, have, len(sizes)), missing(partition.AssignRemaining(costs, sizes, plan[0], nodes-1, nil), have, len(sizes))
		t.Logf("%d nodes, one lost: %d tasks, max/mean %.2f, %d blocks to fetch; %d without affinity", nodes, len(plan[0]), balance, fetched, blind)
		if fetched > blind {
			t.Errorf("%d nodes: %d blocks to fetch, more than %d without affinity", nodes, fetched, blind)
		}
	}
}

func missing(plan, have [][]int, n int) (blocks int) {
	for k, tasks := range plan {
		for _, b := range blocksOf(tasks, n) {
			if !slices.Contains(have[k], b) {
				blocks++
			}
		}
	}
	return blocks
}

func TestPairCosts(t *testing.T) {
	if diff := cmp.Diff([]float64{2, 6, 2, 4.5, 3, 0.5}, partition.PairCosts([]float64{2, 3, 1})); diff != "" {
		t.Errorf("costs (-want +got):\n%s", diff)
	}
}

func ExampleBlocks() {
	users := []uint32{9, 8, 3, 3, 2, 2, 1, 1, 1}
	for _, b := range partition.Blocks(users, 4, 10) {
		fmt.Println(b.Lo, b.Hi, users[b.Lo:b.Hi])
	}
	// Output:
	// 0 1 [9]
	// 1 2 [8]
	// 2 4 [3 3]
	// 4 8 [2 2 1 1]
	// 8 9 [1]
}

func ExampleAssign() {
	sizes := []float64{1, 1, 1, 1}
	plan := partition.Assign(partition.PairCosts(sizes), sizes, 2)
	for node, tasks := range plan {
		fmt.Print("node ", node, ":")
		for _, t := range tasks {
			fmt.Print(" ", partition.PairAt(t, len(sizes)))
		}
		fmt.Println()
	}
	// Output:
	// node 0: {0 0} {0 1} {0 2} {0 3} {1 1}
	// node 1: {1 2} {1 3} {2 2} {2 3} {3 3}
}
