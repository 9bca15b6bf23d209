package coordinator

import (
	"math"

	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/similarity"
)

const (
	// maxBlockEntries bounds the memory of a block: about 8 bytes an entry.
	maxBlockEntries = 8 << 20
	// maxSideEntries bounds the memory of a side: 4 bytes an entry, or 8.
	maxSideEntries = 1 << 28
	// minBlocks is how many blocks the items are cut into at least, each a task on every side.
	minBlocks = 64
	// nodeTasks is about how many tasks each node has, so that they can be given evenly: the ends of a node's run are within
	// half a task of where they should be.
	nodeTasks = 32
	// maxBlocks bounds the width of blocks from below where a spec asks for less: the log of the control group must bear
	// their tasks.
	maxBlocks = 256
)

// Bounds of what a node must hold at a time. Zero means the usual bound.
type Bounds struct {
	// SideEntries bounds a side, which takes up to 8 bytes an entry.
	SideEntries int64
	// BlockEntries and BlockItems bound a block: up to 8 bytes an entry, and 8 for each neighbor of an item.
	BlockEntries int64
	BlockItems   int
}

// record returns the bounds as the log has them.
func (b Bounds) record() *kithv1.PlanBounds {
	if b == (Bounds{}) {
		return nil
	}
	return &kithv1.PlanBounds{SideEntries: uint64(b.SideEntries), BlockEntries: uint64(b.BlockEntries), BlockItems: uint32(min(b.BlockItems, similarity.MaxBlockItems))}
}

// planRecord is what the plan of a build must not take from the moment, as recorded with its cut.
type planRecord struct {
	sides, nodes uint32
	bounds       *kithv1.PlanBounds // may be nil
}

// Plan is how a build is cut into tasks: a function of the counts, the spec and what was recorded with the job.
type Plan struct {
	Blocks []partition.Range
	// Loads are those of the blocks.
	Loads []partition.Load
	// Sides are runs of blocks.
	Sides []partition.Range
	// Costs of the tasks, by number (partition.TaskAt): an estimate before the export, their updates after it.
	Costs []float64
}

// newBuildPlan plans a build of items by dense id.
func newBuildPlan(items []*kithv1.ItemCount, spec *kithv1.BuildSpec, rec planRecord) *Plan {
	counts, updates := make([]uint32, len(items)), make([]uint64, len(items))
	var known uint64
	for i, c := range items {
		counts[i], updates[i] = uint32(c.Count), c.Updates
		known += c.Updates
	}
	if known == 0 { // counted by nodes of an earlier version
		for i, c := range items {
			updates[i] = c.Count
		}
	}
	return planWithin(counts, updates, spec.GetBlockItems(), rec)
}

// NewPlan plans a build of items with the given users and updates (see partition.Load) by dense id. blockItems bounds the
// width of blocks; 0 is the default. It is what builds use, and for those who ask what a build would be like. Cost: O(items
// + tasks).
func NewPlan(counts []uint32, updates []uint64, blockItems, sides, nodes uint32) *Plan {
	return planWithin(counts, updates, blockItems, planRecord{sides: sides, nodes: nodes})
}

func planWithin(counts []uint32, updates []uint64, blockItems uint32, rec planRecord) *Plan {
	width := similarity.MaxBlockItems
	if blockItems > 0 {
		width = int(max(int64(blockItems), (int64(len(counts))+maxBlocks-1)/maxBlocks))
	}
	side, block := partition.Load{Items: similarity.MaxBlockItems, Entries: maxSideEntries}, partition.Load{Items: width, Entries: maxBlockEntries}
	if n := rec.bounds.GetSideEntries(); n > 0 {
		side.Entries = min(side.Entries, float64(n))
	}
	if n := rec.bounds.GetBlockEntries(); n > 0 {
		block.Entries = min(block.Entries, float64(n))
	}
	if n := rec.bounds.GetBlockItems(); n > 0 {
		block.Items = min(block.Items, int(n))
	}
	wanted, n := int(max(1, rec.sides)), int(max(1, rec.nodes))
	p := &Plan{Blocks: partition.Blocks(counts, updates, numBlocks(wanted, n), block)}
	for _, r := range p.Blocks {
		p.Loads = append(p.Loads, partition.LoadOf(counts, updates, r))
	}
	p.Sides = partition.Sides(p.Loads, wanted, n, side)
	p.Costs = partition.TaskCosts(p.Loads, p.Sides)
	return p
}

// count takes the updates of the tasks that were counted on each partition for their costs, if all partitions have them.
func (p *Plan) count(updates [][]uint64) {
	costs := make([]float64, p.NumTasks())
	for _, part := range updates {
		if len(part) != len(costs) {
			return // one side, whose estimate is exact, or a node of an earlier version
		}
		for n, u := range part {
			costs[n] += float64(u)
		}
	}
	p.Costs = costs
}

// numBlocks returns how many blocks give each node about nodeTasks tasks. It is a multiple of the nodes, so that whole
// blocks can make sides for whole numbers of nodes.
func numBlocks(sides, nodes int) int {
	each := math.Round(nodeTasks * math.Ceil(float64(nodes)/float64(sides)) / float64(nodes))
	return max(minBlocks, int(max(1, each))*nodes)
}

// NumTasks returns the number of tasks.
func (p *Plan) NumTasks() int { return len(p.Blocks) * len(p.Sides) }

// Assign gives pending tasks, which ascend, to nodes: what each begins with, before one that runs dry takes from others.
func (p *Plan) Assign(pending []int, nodes int) [][]int {
	return partition.Assign(p.Costs, len(p.Sides), pending, nodes)
}

// WantedSides returns the number of sides of a build that is planned while a number of nodes can work: √n. A node then
// works on about one side, 1/√n of the matrix, and with √n/n of the blocks, as much again; with fewer sides it would need
// more of the matrix, with more sides more blocks and visits to users.
func WantedSides(measure string, nodes int) uint32 {
	if m, _ := similarity.ParseMeasure(measure); m.WholeRows() { // the measure was checked when the job was made
		return 1
	}
	return uint32(max(1, math.Sqrt(float64(nodes))))
}
