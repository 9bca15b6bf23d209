package partition

import "slices"

// Task is the unit of work of a build: the items of a block with those of a side. A
// side is a run of blocks, given by the range of their places.
type Task struct{ Block, Side int }

// Sides groups blocks, which follow each other and have the given numbers of entries,
// into runs of about equal entries: as few as hold at most maxItems items and maxEntries
// entries each, and one at least where there are blocks. A block with more makes a side
// of its own. Fewer sides are fewer visits to each user.
func Sides(blocks []Range, entries []float64, maxItems int, maxEntries float64) []Range {
	var left float64
	for _, e := range entries {
		left += e
	}
	var out []Range
	for lo := 0; lo < len(blocks); {
		share := left / max(1, float64(ceilDiv(int64(left), int64(maxEntries))))
		hi, sum := lo+1, entries[lo]
		for hi < len(blocks) && int(blocks[hi].Hi-blocks[lo].Lo) <= maxItems &&
			sum+entries[hi] <= maxEntries && sum+entries[hi]/2 <= share {
			sum += entries[hi]
			hi++
		}
		out = append(out, Range{uint32(lo), uint32(hi)})
		left -= sum
		lo = hi
	}
	return out
}

// TaskAt returns the task with a number below blocks times sides. Tasks of a side
// follow each other, so that a run of tasks needs few sides.
func TaskAt(number, blocks int) Task { return Task{number % blocks, number / blocks} }

// TaskCosts estimates the work of all tasks, by number, as the product of the entries
// of block and side. The unit has no meaning; see Blocks for the model.
func TaskCosts(entries []float64, sides []Range) []float64 {
	var out []float64
	for _, side := range sides {
		var sum float64
		for _, e := range entries[side.Lo:side.Hi] {
			sum += e
		}
		for _, e := range entries {
			out = append(out, e*sum)
		}
	}
	return out
}

// Assign gives the pending tasks, which ascend, to nodes: result[k] lists those of
// node k, ascending. The cost of the nodes is as even as tasks allow. It panics if
// nodes is below 1. Cost: O(tasks).
func Assign(costs []float64, pending []int, nodes int) [][]int {
	if nodes < 1 {
		panic("partition: Assign needs a node")
	}
	if !slices.ContainsFunc(pending, func(t int) bool { return costs[t] > 0 }) {
		costs = slices.Repeat([]float64{1}, len(costs)) // nothing to tell tasks apart by
	}
	return cutEvenly(pending, costs, nodes)
}

// cutEvenly cuts the order into one run a node, each end where the sum of costs comes
// nearest to the node's part of the total.
func cutEvenly(order []int, costs []float64, nodes int) [][]int {
	var total float64
	for _, t := range order {
		total += costs[t]
	}
	out := make([][]int, nodes)
	var sum float64
	at := 0
	for k := range out {
		limit := total * float64(k+1) / float64(nodes)
		from := at
		for at < len(order) && (k == nodes-1 || sum+costs[order[at]]/2 <= limit) {
			sum += costs[order[at]]
			at++
		}
		out[k] = slices.Clone(order[from:at])
	}
	return out
}
