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
		updates := make([]uint64, len(counts))
		for i, n := range counts {
			updates[i] = uint64(n) * rapid.Uint64Range(1, 9).Draw(t, "row")
		}
		number := rapid.IntRange(0, 30).Draw(t, "number")
		most := partition.Load{Items: rapid.IntRange(0, 40).Draw(t, "items"), Entries: float64(rapid.IntRange(0, 300).Draw(t, "entries"))}
		blocks := partition.Blocks(counts, updates, number, most)
		next := uint32(0)
		for _, r := range blocks {
			if r.Lo != next || r.Hi <= r.Lo {
				t.Fatalf("range %v after %d", r, next)
			}
			next = r.Hi
			if most.Items > 0 && r.Len() > most.Items {
				t.Fatalf("range %v is wider than %d", r, most.Items)
			}
			if l := partition.LoadOf(counts, updates, r); most.Entries > 0 && l.Entries > most.Entries && r.Len() > 1 {
				t.Fatalf("range %v has %v entries, more than %v", r, l.Entries, most.Entries)
			}
		}
		if int(next) != len(counts) {
			t.Fatalf("ranges end at %d of %d", next, len(counts))
		}
		if most == (partition.Load{}) && len(blocks) > max(1, number) {
			t.Fatalf("%d ranges without a limit, want at most %d", len(blocks), number)
		}
	})
}

func TestBlocksAreLevel(t *testing.T) {
	counts, updates := zipf(20_000, 5_000, 10)
	all := partition.LoadOf(counts, updates, partition.Range{Lo: 0, Hi: 20_000})
	blocks := partition.Blocks(counts, updates, 32, partition.Load{})
	for _, b := range blocks {
		if l := partition.LoadOf(counts, updates, b); l.Updates < all.Updates/36 || l.Updates > all.Updates/28 {
			t.Errorf("block %v has %v updates, want %v to %v", b, l.Updates, all.Updates/36, all.Updates/28)
		}
	}
	if len(blocks) != 32 {
		t.Errorf("%d blocks, want 32", len(blocks))
	}
}

// zipf gives items with top/(1+i/shift) users, at least 1, and updates as if the users of rare items had more than others.
func zipf(items, top, shift int) (counts []uint32, updates []uint64) {
	counts, updates = make([]uint32, items), make([]uint64, items)
	for i := range counts {
		counts[i] = uint32(max(1, float64(top)/(1+float64(i)/float64(shift))))
		updates[i] = uint64(float64(counts[i]) * (20 + 20*float64(i)/float64(items)))
	}
	return counts, updates
}

func TestAssignGivesEachTaskOnceAndEvenly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		loads := loadsOf(rapid.SliceOfN(rapid.Float64Range(0, 10), 0, 40).Draw(t, "updates"))
		nodes := rapid.IntRange(1, 9).Draw(t, "nodes")
		sides := partition.Sides(loads, rapid.IntRange(0, 5).Draw(t, "sides"), nodes, partition.Load{})
		costs := partition.TaskCosts(loads, sides)
		var pending []int
		var total, largest float64
		for i, c := range costs {
			if rapid.Bool().Draw(t, "pending") {
				pending = append(pending, i)
				total += c
				largest = max(largest, c)
			}
		}
		plan := partition.Assign(costs, len(sides), pending, nodes)
		if got := slices.Concat(plan...); len(plan) != nodes || !slices.Equal(got, pending) {
			t.Fatalf("tasks given: %v, want each once, ascending: %v", plan, pending)
		}
		for _, tasks := range plan {
			var cost float64
			for _, n := range tasks {
				cost += costs[n]
			}
			// A run ends within half a task of where it should, on either side, and the ends of up to five sides 5 percent.
			if limit := total/float64(nodes)*1.05 + largest; total > 0 && cost > limit*(1+1e-9) {
				t.Fatalf("a node has cost %v, want at most %v", cost, limit)
			}
		}
	})
}

// TestNodesNeedFewEntries counts what the nodes of clusters of 1 to 1024 need for their tasks: the entries of sides, and
// of blocks. The least is about 2/√n of the matrix.
func TestNodesNeedFewEntries(t *testing.T) {
	counts, updates := zipf(20_000, 500, 100)
	worst := 0.0
	for nodes := 1; nodes <= 1024; nodes++ {
		if testing.Short() && nodes > 64 && nodes%31 != 1 {
			continue // 1024 is one of those left
		}
		wanted := int(math.Sqrt(float64(nodes)))
		blocks := partition.Blocks(counts, updates, max(1, 32/wanted)*nodes, partition.Load{})
		loads := make([]partition.Load, len(blocks))
		var all float64
		pending := []int{}
		for b, r := range blocks {
			loads[b] = partition.LoadOf(counts, updates, r)
			all += loads[b].Entries
		}
		sides := partition.Sides(loads, wanted, nodes, partition.Load{})
		if len(sides) != wanted {
			t.Fatalf("%d nodes: %d sides, want %d", nodes, len(sides), wanted)
		}
		for n := range len(blocks) * len(sides) {
			pending = append(pending, n)
		}
		for k, tasks := range partition.Assign(partition.TaskCosts(loads, sides), len(sides), pending, nodes) {
			needed, side := make([]bool, len(blocks)), -1
			for _, n := range tasks {
				task := partition.TaskAt(n, len(blocks))
				needed[task.Block] = true
				if task.Side != side { // tasks of a side follow each other
					side = task.Side
					for b := sides[side].Lo; b < sides[side].Hi; b++ {
						needed[b] = true
					}
				}
			}
			var entries float64
			for b, n := range needed {
				if n {
					entries += loads[b].Entries
				}
			}
			share := entries / all / min(1, 2/math.Sqrt(float64(nodes)))
			worst = max(worst, share)
			if share > 1.3 {
				t.Errorf("%d nodes: node %d needs %.3f of the entries, %.2f times 2/√n", nodes, k, entries/all, share)
			}
		}
	}
	t.Logf("at most %.2f times 2/√n", worst)
}

// loadsOf returns a block of two items, with as many entries as updates, for each number of updates.
func loadsOf(updates []float64) []partition.Load {
	loads := make([]partition.Load, len(updates))
	for b, n := range updates {
		loads[b] = partition.Load{Items: 2, Entries: n, Updates: n}
	}
	return loads
}

func TestSidesCoverAllBlocks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		loads := loadsOf(rapid.SliceOfN(rapid.Float64Range(0, 10), 0, 40).Draw(t, "updates"))
		wanted, nodes := rapid.IntRange(0, 9).Draw(t, "wanted"), rapid.IntRange(0, 100).Draw(t, "nodes")
		most := partition.Load{Items: rapid.IntRange(0, 120).Draw(t, "items"), Entries: rapid.Float64Range(1, 500).Draw(t, "entries")}
		sides := partition.Sides(loads, wanted, nodes, most)
		next := uint32(0)
		for _, s := range sides {
			var sum partition.Load
			for _, l := range loads[s.Lo:s.Hi] {
				sum.Items, sum.Entries = sum.Items+l.Items, sum.Entries+l.Entries
			}
			if s.Lo != next || s.Hi <= s.Lo {
				t.Fatalf("sides %v of %d blocks", sides, len(loads))
			}
			if s.Len() > 1 && (sum.Entries > most.Entries || most.Items > 0 && sum.Items > most.Items) {
				t.Fatalf("sides %v of %v, want them within %v", sides, loads, most)
			}
			next = s.Hi
		}
		if int(next) != len(loads) {
			t.Fatalf("sides %v of %d blocks", sides, len(loads))
		}
	})
}

func TestSidesFitNodes(t *testing.T) {
	ones := slices.Repeat([]float64{1}, 12)
	for _, c := range []struct {
		name          string
		wanted, nodes int
		most          partition.Load
		want          []int // blocks of each side
	}{
		{"none wanted", 0, 0, partition.Load{}, []int{12}},
		{"one wanted", 1, 3, partition.Load{}, []int{12}},
		{"even", 2, 4, partition.Load{}, []int{6, 6}},
		{"three nodes and one", 2, 3, partition.Load{}, []int{8, 4}},
		{"more sides than nodes", 3, 1, partition.Load{}, []int{4, 4, 4}},
		{"too many entries for one", 1, 1, partition.Load{Entries: 5}, []int{4, 4, 4}},
		{"too many items for one", 1, 1, partition.Load{Items: 10}, []int{5, 5, 2}},
	} {
		var got []int
		for _, s := range partition.Sides(loadsOf(ones), c.wanted, c.nodes, c.most) {
			got = append(got, s.Len())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: sides of %v blocks, want %v", c.name, got, c.want)
		}
	}
}

func TestTasksCoverEachBlockAndSideOnce(t *testing.T) {
	seen := map[partition.Task]bool{}
	for n := range 12 {
		seen[partition.TaskAt(n, 4)] = true
	}
	for block := range 4 {
		for side := range 3 {
			if !seen[partition.Task{Block: block, Side: side}] {
				t.Errorf("block %d and side %d have no task", block, side)
			}
		}
	}
	got := partition.TaskCosts(loadsOf([]float64{2, 4, 2}), []partition.Range{{Lo: 0, Hi: 2}, {Lo: 2, Hi: 3}})
	if diff := cmp.Diff([]float64{1.5, 3, 1.5, 0.5, 1, 0.5}, got); diff != "" {
		t.Errorf("costs (-want +got):\n%s", diff)
	}
}

func ExampleBlocks() {
	users := []uint32{9, 8, 3, 3, 2, 2, 1, 1, 1}
	updates := []uint64{36, 32, 12, 12, 10, 10, 7, 7, 7}
	for _, b := range partition.Blocks(users, updates, 4, partition.Load{Items: 4, Entries: 10}) {
		fmt.Println(b.Lo, b.Hi, users[b.Lo:b.Hi], updates[b.Lo:b.Hi])
	}
	// Output:
	// 0 1 [9] [36]
	// 1 2 [8] [32]
	// 2 5 [3 3 2] [12 12 10]
	// 5 9 [2 1 1 1] [10 7 7 7]
}
