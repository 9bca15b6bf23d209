package partition

import (
	"cmp"
	"math"
	"slices"
)

// Pair is a pair of blocks, A <= B: one task of a build.
type Pair struct{ A, B int }

// Pairs returns all pairs of n blocks, by ascending A, then B. The place of a pair
// in it is the pair's index, by which tasks are named.
func Pairs(n int) []Pair {
	out := make([]Pair, 0, max(0, NumPairs(n)))
	for a := range n {
		for b := a; b < n; b++ {
			out = append(out, Pair{a, b})
		}
	}
	return out
}

// NumPairs returns the number of pairs of n blocks.
func NumPairs(n int) int { return n * (n + 1) / 2 }

// Index returns the place of p in Pairs(n). p must be one of them.
func (p Pair) Index(n int) int {
	return p.A*n - p.A*(p.A-1)/2 + p.B - p.A
}

// PairAt returns the pair at a place of Pairs(n), the inverse of Index.
func PairAt(index, n int) Pair {
	// A is the largest a with a·n - a(a-1)/2 <= index. The root may be off by one.
	m := float64(2*n + 1)
	a := int((m - math.Sqrt(max(0, m*m-8*float64(index)))) / 2)
	for a > 0 && (Pair{a, a}).Index(n) > index {
		a--
	}
	for a+1 < n && (Pair{a + 1, a + 1}).Index(n) <= index {
		a++
	}
	return Pair{a, a + index - (Pair{a, a}).Index(n)}
}

// PairCosts estimates the work of all pairs of blocks, in the order of Pairs, from the
// number of entries of each block: the product, and half of it for a block with
// itself, where each pair of items is computed once. The unit has no meaning; see
// Blocks for the model.
func PairCosts(entries []float64) []float64 {
	out := make([]float64, 0, NumPairs(len(entries)))
	for a, x := range entries {
		out = append(out, x*x/2)
		for _, y := range entries[a+1:] {
			out = append(out, x*y)
		}
	}
	return out
}

// Assign gives all tasks to nodes: result[k] lists, in ascending order, the indexes
// (of Pairs) of the tasks of node k. costs has one entry a pair, sizes one a block;
// each cost must be finite and not negative.
//
// The cost of the nodes is as even as tasks allow, and a node needs few distinct blocks:
// about 2/sqrt(nodes) of the matrix, by size. For that the pairs, points (a, b) of
// a triangle, are put in an order along which neighbors lie near each other, and the
// order is cut into runs of equal cost. The tests hold the figures.
// It panics if costs does not fit sizes or nodes is below 1.
// Cost: O(tasks · log tasks).
func Assign(costs, sizes []float64, nodes int) [][]int {
	pending := make([]int, len(costs))
	for t := range pending {
		pending[t] = t
	}
	return AssignRemaining(costs, sizes, pending, nodes, nil)
}

// AssignRemaining is Assign for the pending tasks only, when some are finished or
// nodes were lost. have[k] lists the blocks that node k holds already, nil if that
// does not matter: the tasks are cut into even runs as by Assign, and each run goes
// to a node that lacks little of its blocks.
// Cost: O(tasks · log tasks + nodes²·(blocks + log nodes)).
func AssignRemaining(costs, sizes []float64, pending []int, nodes int, have [][]int) [][]int {
	n := len(sizes)
	if len(costs) != NumPairs(n) || nodes < 1 {
		panic("partition: Assign needs one cost for each pair of blocks, and a node")
	}
	order := alongCurve(pending, sizes)
	if !slices.ContainsFunc(order, func(t int) bool { return costs[t] > 0 }) {
		costs = slices.Repeat([]float64{1}, len(costs)) // nothing to tell tasks apart by
	}
	out := cutEvenly(order, costs, nodes)
	if have != nil {
		out = nearest(out, sizes, have)
	}
	for _, tasks := range out {
		slices.Sort(tasks)
	}
	return out
}

// curveSide is the number of cells along an edge of the square that the curve fills.
const curveSide = 1 << 20

// alongCurve sorts tasks along a Hilbert curve, on which any run of points is
// compact [hilbert1891]. A block's place on both axes is the middle of its part of the
// matrix, so that compact means few entries rather than few blocks.
func alongCurve(tasks []int, sizes []float64) []int {
	n := len(sizes)
	var total, before float64
	for _, s := range sizes {
		total += s
	}
	place := make([]int, n)
	for b, s := range sizes {
		if total > 0 {
			place[b] = int((before + s/2) / total * (curveSide - 1))
		}
		before += s
	}
	type point struct{ at, task int }
	points := make([]point, len(tasks))
	for k, t := range tasks {
		p := PairAt(t, n)
		points[k] = point{hilbert(place[p.A], place[p.B]), t}
	}
	slices.SortFunc(points, func(a, b point) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.task, b.task))
	})
	out := make([]int, len(points))
	for k, p := range points {
		out[k] = p.task
	}
	return out
}

// hilbert returns the distance of (x, y) from the start of the curve, which ends in
// the corner x > y where there are no tasks.
func hilbert(x, y int) int {
	d := 0
	for s := curveSide / 2; s > 0; s /= 2 {
		rx, ry := 0, 0
		if x&s != 0 {
			rx = 1
		}
		if y&s != 0 {
			ry = 1
		}
		d += s * s * (3*rx ^ ry)
		x, y = x&(s-1), y&(s-1)
		if ry == 0 {
			if rx == 1 {
				x, y = s-1-x, s-1-y
			}
			x, y = y, x
		}
	}
	return d
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

// nearest gives the runs to the nodes anew: of all runs and nodes that are left, time
// and again the two with the smallest size of blocks that the node lacks. Where
// nothing is gained, a run stays where it is.
func nearest(runs [][]int, sizes []float64, have [][]int) [][]int {
	type match struct {
		lacks     float64
		run, node int
	}
	var matches []match
	for r, tasks := range runs {
		needs := make([]bool, len(sizes))
		for _, t := range tasks {
			p := PairAt(t, len(sizes))
			needs[p.A], needs[p.B] = true, true
		}
		var all float64
		for b, need := range needs {
			if need {
				all += sizes[b]
			}
		}
		for k := range runs {
			lacks := all
			if k < len(have) {
				for _, b := range have[k] {
					if needs[b] {
						lacks -= sizes[b]
					}
				}
			}
			matches = append(matches, match{lacks, r, k})
		}
	}
	slices.SortFunc(matches, func(a, b match) int {
		moves := func(m match) int {
			if m.run == m.node {
				return 0
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.lacks, b.lacks), cmp.Compare(moves(a), moves(b)), cmp.Compare(a.run, b.run), cmp.Compare(a.node, b.node))
	})
	out := make([][]int, len(runs))
	given, taken := make([]bool, len(runs)), make([]bool, len(runs))
	for _, m := range matches {
		if !given[m.run] && !taken[m.node] {
			given[m.run], taken[m.node] = true, true
			out[m.node] = runs[m.run]
		}
	}
	return out
}
