package partition_test

import (
	"fmt"
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

func TestAssignGivesEachTaskOnceAndEvenly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries := rapid.SliceOfN(rapid.Float64Range(0, 10), 0, 40).Draw(t, "entries")
		sides := partition.Sides(blocksOf(entries), entries, 2*len(entries), rapid.Float64Range(1, 100).Draw(t, "most"))
		costs := partition.TaskCosts(entries, sides)
		nodes := rapid.IntRange(1, 9).Draw(t, "nodes")
		var pending []int
		var total, largest float64
		for i, c := range costs {
			if rapid.Bool().Draw(t, "pending") {
				pending = append(pending, i)
				total += c
				largest = max(largest, c)
			}
		}
		plan := partition.Assign(costs, pending, nodes)
		if got := slices.Concat(plan...); len(plan) != nodes || !slices.Equal(got, pending) {
			t.Fatalf("tasks given: %v, want each once, ascending: %v", plan, pending)
		}
		for _, tasks := range plan {
			var cost float64
			for _, n := range tasks {
				cost += costs[n]
			}
			// A run ends within half a task of where it should, on either side.
			if limit := total/float64(nodes) + largest; total > 0 && cost > limit*(1+1e-9) {
				t.Fatalf("a node has cost %v, want at most %v", cost, limit)
			}
		}
	})
}

// blocksOf returns a block of two items for each number of entries.
func blocksOf(entries []float64) []partition.Range {
	blocks := make([]partition.Range, len(entries))
	for b := range uint32(len(blocks)) {
		blocks[b] = partition.Range{Lo: 2 * b, Hi: 2*b + 2}
	}
	return blocks
}

func TestSidesCoverAllBlocks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries := rapid.SliceOfN(rapid.Float64Range(0, 10), 0, 40).Draw(t, "entries")
		most := rapid.Float64Range(1, 500).Draw(t, "most")
		widest := rapid.IntRange(1, 120).Draw(t, "widest")
		blocks := blocksOf(entries)
		sides := partition.Sides(blocks, entries, widest, most)
		next := uint32(0)
		for _, s := range sides {
			var sum float64
			for _, e := range entries[s.Lo:s.Hi] {
				sum += e
			}
			if s.Lo != next || s.Hi <= s.Lo {
				t.Fatalf("sides %v of %d blocks", sides, len(blocks))
			}
			items := int(blocks[s.Hi-1].Hi - blocks[s.Lo].Lo)
			if s.Len() > 1 && (sum > most || items > widest) {
				t.Fatalf("sides %v of %v with at most %v entries and %d items", sides, entries, most, widest)
			}
			next = s.Hi
		}
		if int(next) != len(entries) {
			t.Fatalf("sides %v of %d blocks", sides, len(entries))
		}
	})
	three := []float64{3, 3, 3}
	if got := partition.Sides(blocksOf(three), three, 6, 100); len(got) != 1 {
		t.Errorf("%v, want one side while it fits", got)
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
	got := partition.TaskCosts([]float64{2, 3, 1}, []partition.Range{{Lo: 0, Hi: 2}, {Lo: 2, Hi: 3}})
	if diff := cmp.Diff([]float64{10, 15, 5, 2, 3, 1}, got); diff != "" {
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
