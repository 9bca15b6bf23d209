package partition

import (
	"math"
	"slices"
)

// Task is the unit of work of a build: the items of a block with those of a side. A
// side is a run of blocks, given by the range of their places.
type Task struct{ Block, Side int }

// Sides groups blocks, which have the given loads and follow each other, into runs: the
// number wanted, or more where a run would be above most, whose Updates are not looked
// at. A block with more makes a side of its own, and fewer blocks than sides make fewer
// sides. Fewer sides are fewer visits to each user.
//
// The updates of a side are what its tasks cost in sum. They are in proportion to whole
// numbers of nodes, as even as those can be, so that Assign can give each side to
// nodes of its own: a node then needs the entries of one side.
func Sides(loads []Load, wanted, nodes int, most Load) []Range {
	most.Updates = 0
	var left Load
	for _, l := range loads {
		left = left.plus(l)
	}
	var out []Range
	for lo := 0; lo < len(loads); {
		n := pieces(wanted-len(out), left, most)
		share := left.Updates / float64(n)
		if nodes >= n {
			mine := (nodes + n - 1) / n
			share = left.Updates * float64(mine) / float64(nodes)
			nodes -= mine
		}
		hi, sum := lo+1, loads[lo]
		for hi < len(loads) && sum.plus(loads[hi]).within(most) && sum.Updates+loads[hi].Updates/2 <= share {
			sum = sum.plus(loads[hi])
			hi++
		}
		out = append(out, Range{uint32(lo), uint32(hi)})
		left.Entries, left.Updates = left.Entries-sum.Entries, left.Updates-sum.Updates
		lo = hi
	}
	return out
}

// TaskAt returns the task with a number below blocks times sides. Tasks of a side
// follow each other, so that a run of tasks needs few sides.
func TaskAt(number, blocks int) Task { return Task{number % blocks, number / blocks} }

// TaskCosts estimates the updates of all tasks, by number: those of the block times the
// side's share of all. The sums over a block, a side and all are exact; between block
// and side it is as if users chose items independently.
func TaskCosts(loads []Load, sides []Range) []float64 {
	var total float64
	for _, l := range loads {
		total += l.Updates
	}
	var out []float64
	for _, side := range sides {
		var sum float64
		for _, l := range loads[side.Lo:side.Hi] {
			sum += l.Updates
		}
		for _, l := range loads {
			out = append(out, l.Updates*(sum/max(1, total)))
		}
	}
	return out
}

// sideSlack is how far the mean cost of the nodes of a side may be from that of all
// nodes. Half a block more or less at the end of a side is half as many tasks as there
// are sides, so more sides need more slack.
func sideSlack(sides int) float64 { return min(1.0/12, float64(sides)/100) }

// Assign gives the pending tasks, which ascend, of the given number of sides to nodes:
// result[k] lists those of node k, ascending. The cost of the nodes is as even as tasks
// allow, but that nodes end where a side ends if that costs little evenness, 2 percent
// with two sides and at most 8: a node with tasks of two sides needs the entries of
// both. It panics if nodes is below 1. Cost: O(tasks).
func Assign(costs []float64, sides int, pending []int, nodes int) [][]int {
	if nodes < 1 {
		panic("partition: Assign needs a node")
	}
	if !slices.ContainsFunc(pending, func(t int) bool { return costs[t] > 0 }) {
		costs = slices.Repeat([]float64{1}, len(costs)) // nothing to tell tasks apart by
	}
	var total float64
	for _, t := range pending {
		total += costs[t]
	}
	slack := sideSlack(sides)
	// fair reports whether n nodes with this cost in sum have about what all nodes have in the mean.
	fair := func(cost float64, n int) bool {
		return n > 0 && math.Abs(cost*float64(nodes)-total*float64(n)) <= slack*total*float64(n)
	}
	blocks := len(costs) / max(1, sides)
	out := make([][]int, 0, nodes)
	from := 0 // the first task that is not given
	var sum, given float64
	for i, t := range pending {
		sum += costs[t]
		if i+1 == len(pending) || pending[i+1]/blocks == t/blocks {
			continue // no side ends here, or the last one
		}
		done := int(math.Round(sum / total * float64(nodes)))
		if fair(sum-given, done-len(out)) && fair(total-sum, nodes-done) {
			out = append(out, cutEvenly(pending[from:i+1], costs, done-len(out))...)
			from, given = i+1, sum
		}
	}
	return append(out, cutEvenly(pending[from:], costs, nodes-len(out))...)
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
