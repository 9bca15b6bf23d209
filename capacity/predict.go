package capacity

import (
	"math"

	"github.com/kith-io/kith/coordinator"
	"github.com/kith-io/kith/partition"
	"github.com/kith-io/kith/similarity"
)

// Cluster is what a build would run on, and how.
type Cluster struct {
	Nodes   int
	Threads int // of each node
	// Bandwidth of each node in bytes a second, each way.
	Bandwidth float64
	// Partitions of the cluster: each part of a block has a head.
	Partitions int
	Options    similarity.Options
}

const (
	// listBytes is about what a neighbor of an encoded list takes: similarity.AppendLists.
	listBytes = 5
	// itemBytes is about what an item of the dictionary takes on the way: a key of eight characters, users and updates.
	itemBytes = 20
	// itemNorms is what the norms of an item of a side or a block take.
	itemNorms = 16
	// scratchItem is what an item of a side takes for each thread: similarity.Scratch.
	scratchItem = 28
)

// Node is what one node would do and hold.
type Node struct {
	Tasks   int     `json:"tasks"`
	Updates float64 `json:"updates"`
	// Estimate is the part of all work that the planner takes the tasks for.
	Estimate float64 `json:"estimated_share"`
	// Matrix is the share of the entries that the node needs, as sides and as blocks.
	Matrix float64 `json:"matrix_share"`
	// PartsIn and ListsIn are the bytes that it receives: of the matrix, and of partial lists for the merge.
	PartsIn float64 `json:"parts_in_bytes"`
	ListsIn float64 `json:"lists_in_bytes"`
	// Memory is what it holds at most for the tasks: sides, blocks, Collectors, parts.
	Memory float64 `json:"memory_bytes"`
	// CPU is the time of one thread for all of its work; Seconds the time on all of its threads, with its traffic.
	CPU     float64 `json:"cpu_seconds"`
	Seconds float64 `json:"seconds"`
}

// Prediction is what a build would take.
type Prediction struct {
	Blocks int `json:"blocks"`
	Sides  int `json:"sides"`
	Tasks  int `json:"tasks"`
	// BalanceEstimated is the largest work of a node over the mean, where both are what the planner estimates before the
	// export. BalanceUncounted is that of the true updates, if tasks were given out by the estimate; Balance if they are
	// given out by their updates, which a build counts where there are several sides.
	BalanceEstimated float64 `json:"balance_estimated"`
	BalanceUncounted float64 `json:"balance_uncounted"`
	Balance          float64 `json:"balance"`
	// MatrixBytes is the encoded size of all parts.
	MatrixBytes float64 `json:"matrix_bytes"`
	// DictionaryBytes are those that the coordinator sends to all nodes.
	DictionaryBytes float64 `json:"dictionary_bytes"`
	// Seconds is the time of the slowest node, after that of sending the dictionary.
	Seconds float64 `json:"seconds"`
	PerNode []Node  `json:"per_node"`
}

// Predict plans a build and adds up what each node would do. It is a function of its arguments. Cost: that of the plan and
// of m.Work.
func Predict(m Matrix, cost *Cost, c Cluster) *Prediction {
	nodes := max(1, c.Nodes)
	counts, updates := m.Counts()
	plan := coordinator.NewPlan(counts, updates, 0, coordinator.WantedSides(c.Options.Measure.String(), nodes), uint32(nodes))
	made := m.Work(plan)
	p := &Prediction{Blocks: len(plan.Blocks), Sides: len(plan.Sides), Tasks: plan.NumTasks()}
	pending := make([]int, plan.NumTasks())
	for n := range pending {
		pending[n] = n
	}
	estimate := plan.Costs
	given := plan.Assign(pending, nodes)
	p.BalanceEstimated, p.BalanceUncounted = balance(given, estimate), balance(given, made.Updates)
	if len(plan.Sides) > 1 { // the export counts
		plan.Costs = made.Updates
		given = plan.Assign(pending, nodes)
	}
	p.Balance = balance(given, made.Updates)

	b := adder{size: m.Size(), cost: cost, c: c, plan: plan, work: made, nodes: float64(nodes)}
	b.encode(counts)
	p.MatrixBytes = sum(b.bytes)
	total := sum(estimate)
	for _, tasks := range given {
		n := b.node(tasks)
		for _, t := range tasks {
			n.Estimate += estimate[t] / max(1, total)
		}
		p.PerNode = append(p.PerNode, n)
	}
	b.merge(p.PerNode)
	p.DictionaryBytes = b.size.Items * itemBytes * (b.nodes - 1)
	for _, n := range p.PerNode {
		p.Seconds = max(p.Seconds, n.Seconds)
	}
	p.Seconds += p.DictionaryBytes / c.Bandwidth
	return p
}

// balance returns the largest sum of costs of a node over the mean.
func balance(given [][]int, costs []float64) float64 {
	var total, largest float64
	for _, tasks := range given {
		var sum float64
		for _, t := range tasks {
			sum += costs[t]
		}
		total, largest = total+sum, max(largest, sum)
	}
	if total == 0 {
		return 1
	}
	return largest / total * float64(len(given))
}

func sum(x []float64) (s float64) {
	for _, v := range x {
		s += v
	}
	return s
}

// adder holds what is known while the work of nodes is added up.
type adder struct {
	size  Size
	cost  *Cost
	c     Cluster
	plan  *coordinator.Plan
	work  Work
	nodes float64
	// bytes of the parts of each block, and its items that have users.
	bytes, leads []float64
	// lists are the neighbors of partial lists of each node.
	lists []float64
}

// weightBytes is that of a weight once it is weighed for the measure.
func (b *adder) weightBytes() int {
	switch b.c.Options.Measure {
	case similarity.AdjustedCosine, similarity.TFIDF, similarity.BM25: // of which there are many
		return 4
	case similarity.Cosine, similarity.AsymmetricCosine, similarity.Pearson:
		return b.size.WeightBytes
	}
	return 0 // counts users
}

// encode sets what is known of each block.
func (b *adder) encode(counts []uint32) {
	b.bytes, b.leads = make([]float64, len(b.plan.Blocks)), make([]float64, len(b.plan.Blocks))
	for k, r := range b.plan.Blocks {
		b.bytes[k] = encodedBytes(counts[r.Lo:r.Hi], b.size.Users, b.weightBytes(), b.c.Partitions)
		b.leads[k] = nonZero(counts, r)
	}
}

// node adds up what the node of tasks does, but for the merge.
func (b *adder) node(tasks []int) Node {
	n := Node{Tasks: len(tasks)}
	blocks := len(b.plan.Blocks)
	led, held := make([]bool, blocks), make([]bool, blocks)
	side := -1
	var kernel, blockEntries, sideEntries, widest float64
	pairs := map[int]float64{} // of each block that it leads
	weights := 0.0
	if b.weightBytes() > 0 {
		weights = 4
	}
	for _, t := range tasks {
		at := partition.TaskAt(t, blocks)
		load := b.plan.Loads[at.Block]
		n.Updates += b.work.Updates[t]
		kernel += b.cost.task(work{b.work.Updates[t], load.Entries, b.work.Pairs[t], b.leads[at.Block]})
		pairs[at.Block] += b.work.Pairs[t]
		if !led[at.Block] {
			led[at.Block] = true
			blockEntries += load.Entries
			n.Memory += load.Entries*(4+weights) + float64(load.Items)*(itemNorms+8*float64(b.c.Options.K))
		}
		if at.Side != side { // tasks of a side follow each other
			side = at.Side
			var items, entries float64
			for k := b.plan.Sides[side].Lo; k < b.plan.Sides[side].Hi; k++ {
				held[k] = true
				items, entries = items+float64(b.plan.Loads[k].Items), entries+b.plan.Loads[k].Entries
			}
			values := 0.0
			if b.weightBytes() > 1 {
				values = 4
			}
			n.Memory += entries*(4+values) + 8*b.size.Users + items*(itemNorms+4)
			sideEntries, widest = sideEntries+entries, max(widest, items)
		}
	}
	var entries float64
	for k, l := range b.plan.Loads {
		if !led[k] && !held[k] {
			continue
		}
		entries += l.Entries
		n.PartsIn += b.bytes[k] * (1 - 1/b.nodes)
		if led[k] != held[k] { // what was fetched stays for the use that may come
			n.Memory += b.bytes[k] * (1 - 1/b.nodes)
		}
	}
	n.Matrix = entries / max(1, b.size.Interactions)
	n.Memory += sum(b.bytes)/b.nodes + scratchItem*widest*float64(b.c.Threads)
	var lists float64
	for k, found := range pairs {
		lists += min(found, float64(b.plan.Loads[k].Items)*float64(b.c.Options.K))
	}
	b.lists = append(b.lists, lists)
	encode, block, whole := b.cost.Encode*b.size.Interactions/b.nodes, b.cost.Block*blockEntries, b.cost.Side*sideEntries
	n.CPU = encode + block + whole + kernel
	// A side is made by one thread.
	n.Seconds = (encode+block+kernel)/float64(b.c.Threads) + whole + n.PartsIn/b.c.Bandwidth
	return n
}

// merge adds the merge: each node takes the lists of a share of the items from all.
func (b *adder) merge(nodes []Node) {
	share := sum(b.lists) / b.nodes
	for k := range nodes {
		n := &nodes[k]
		n.ListsIn = share * listBytes * (1 - 1/b.nodes)
		cpu := b.cost.Neighbor * share
		n.CPU += cpu
		n.Seconds += cpu/float64(b.c.Threads) + n.ListsIn/b.c.Bandwidth
	}
}

// Row is a cluster of a number of nodes in a simulation.
type Row struct {
	Nodes            int     `json:"nodes"`
	Sides            int     `json:"sides"`
	Blocks           int     `json:"blocks"`
	Tasks            int     `json:"tasks"`
	BalanceEstimated float64 `json:"balance_estimated"`
	BalanceUncounted float64 `json:"balance_uncounted"`
	Balance          float64 `json:"balance"`
	// Of the node that has most of each.
	Matrix   float64 `json:"matrix_share"`
	PartsIn  float64 `json:"parts_in_bytes"`
	ListsIn  float64 `json:"lists_in_bytes"`
	Memory   float64 `json:"memory_bytes"`
	Expected float64 `json:"bytes_of_two_over_root"`
	// Dictionary is what the coordinator sends.
	Dictionary float64 `json:"dictionary_bytes"`
	// CPU is that of all nodes, BusiestCPU that of the one with most.
	CPU        float64 `json:"cpu_seconds"`
	BusiestCPU float64 `json:"busiest_cpu_seconds"`
	Seconds    float64 `json:"seconds"`
	SpeedUp    float64 `json:"speed_up"`
}

// SimulatedNodes are the numbers of nodes of a simulation.
func SimulatedNodes() []int {
	return []int{1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024}
}

// Simulate predicts builds on clusters of the given numbers of nodes, the first of which is what speed-ups refer to.
func Simulate(m Matrix, cost *Cost, c Cluster, nodes []int) []Row {
	var rows []Row
	for _, n := range nodes {
		c.Nodes = n
		p := Predict(m, cost, c)
		r := Row{
			Nodes: n, Sides: p.Sides, Blocks: p.Blocks, Tasks: p.Tasks,
			BalanceEstimated: p.BalanceEstimated, BalanceUncounted: p.BalanceUncounted, Balance: p.Balance,
			Dictionary: p.DictionaryBytes, Seconds: p.Seconds,
			Expected: p.MatrixBytes * min(1, 2/math.Sqrt(float64(n))) * (1 - 1/float64(n)),
		}
		for _, x := range p.PerNode {
			r.Matrix, r.PartsIn, r.ListsIn = max(r.Matrix, x.Matrix), max(r.PartsIn, x.PartsIn), max(r.ListsIn, x.ListsIn)
			r.Memory, r.CPU, r.BusiestCPU = max(r.Memory, x.Memory), r.CPU+x.CPU, max(r.BusiestCPU, x.CPU)
		}
		rows = append(rows, r)
		rows[len(rows)-1].SpeedUp = rows[0].Seconds / max(1e-12, r.Seconds)
	}
	return rows
}
