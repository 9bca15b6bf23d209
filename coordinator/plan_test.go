package coordinator

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// shape describes a matrix whose item popularity falls as 1/(rank+shift). Each user has 1 to 2·perUser draws; every tenth
// has five times as many, so that rare items are those of busy users.
type shape struct {
	name                  string
	users, items, perUser int
	shift                 float64
}

// matrix returns the rows of users, with items by descending number of users as the planner sees them.
func (s shape) matrix() (rows [][]uint32, items []*kithv1.ItemCount) {
	rng := rand.New(rand.NewPCG(1, 2))
	cumulative := make([]float64, s.items)
	var sum float64
	for i := range cumulative {
		sum += 1 / (float64(i) + s.shift)
		cumulative[i] = sum
	}
	counts := make([]*kithv1.ItemCount, s.items)
	for i := range counts {
		counts[i] = &kithv1.ItemCount{Item: fmt.Sprint(i)}
	}
	for u := range s.users {
		draws := 1 + rng.IntN(2*s.perUser)
		if u%10 == 0 {
			draws *= 5
		}
		var row []uint32
		for range draws {
			at, _ := slices.BinarySearch(cumulative, rng.Float64()*sum)
			row = append(row, uint32(min(at, s.items-1)))
		}
		slices.Sort(row)
		row = slices.Compact(row)
		for _, i := range row {
			counts[i].Count++
			counts[i].Updates += uint64(len(row))
		}
		rows = append(rows, row)
	}
	items = slices.Clone(counts)
	slices.SortStableFunc(items, func(a, b *kithv1.ItemCount) int { return int(b.Count) - int(a.Count) })
	items = slices.DeleteFunc(items, func(c *kithv1.ItemCount) bool { return c.Count == 0 })
	id := map[string]uint32{}
	for i, c := range items {
		id[c.Item] = uint32(i)
	}
	for _, row := range rows {
		for k, i := range row {
			row[k] = id[fmt.Sprint(i)]
		}
	}
	return rows, items
}

// updatesOf counts the updates of each task of a plan from the matrix, one by one.
func updatesOf(p *Plan, rows [][]uint32) []uint64 {
	blockOf := []int{}
	for b, r := range p.Blocks {
		blockOf = append(blockOf, slices.Repeat([]int{b}, r.Len())...)
	}
	sideOf := []int{}
	for s, r := range p.Sides {
		sideOf = append(sideOf, slices.Repeat([]int{s}, r.Len())...)
	}
	updates := make([]uint64, p.NumTasks())
	perBlock, perSide := make([]uint64, len(p.Blocks)), make([]uint64, len(p.Sides))
	for _, row := range rows {
		clear(perBlock)
		clear(perSide)
		for _, i := range row {
			perBlock[blockOf[i]]++
			perSide[sideOf[blockOf[i]]]++
		}
		for s, n := range perSide {
			for b, m := range perBlock {
				updates[s*len(p.Blocks)+b] += m * n
			}
		}
	}
	return updates
}

// TestNodesGetEvenWork counts, from the matrix, the updates of the tasks that each node is given, and the entries of the
// matrix that it needs.
func TestNodesGetEvenWork(t *testing.T) {
	for _, c := range []struct {
		shape
		most float64 // of the largest node, over the mean
	}{
		{shape{"dense head", 3_000, 1_500, 60, 50}, 1.05},
		{shape{"long tail", 20_000, 20_000, 10, 20}, 1.05},
		{shape{"small", 300, 200, 20, 5}, 1.05},
		// Twelve items cannot be cut finely enough.
		{shape{"tiny", 40, 12, 4, 2}, 1.3},
	} {
		rows, items := c.matrix()
		for _, nodes := range []int{2, 3, 5, 8, 16} {
			p := newBuildPlan(items, nil, planRecord{sides: WantedSides("cosine", nodes), nodes: uint32(nodes)})
			pending := make([]int, p.NumTasks())
			for n := range pending {
				pending[n] = n
			}
			updates := updatesOf(p, rows)
			p.count([][]uint64{updates})
			var total, largest, needs float64
			for _, tasks := range p.Assign(pending, nodes) {
				var sum float64
				for _, n := range tasks {
					sum += float64(updates[n])
				}
				total, largest, needs = total+sum, max(largest, sum), max(needs, p.needs(tasks))
			}
			over := largest / (total / float64(nodes))
			t.Logf("%s, %d nodes: %d blocks, %d sides; largest node has %.3f of the mean; a node needs up to %.3f of the entries, %.2f times 2/√n",
				c.name, nodes, len(p.Blocks), len(p.Sides), over, needs, needs/min(1, 2/math.Sqrt(float64(nodes))))
			if over > c.most {
				t.Errorf("%s, %d nodes: the largest has %.3f times the mean of updates, want at most %v", c.name, nodes, over, c.most)
			}
		}
	}
}

func TestSidesGrowWithNodes(t *testing.T) {
	for _, c := range []struct {
		measure string
		nodes   int
		want    uint32
	}{{"cosine", 0, 1}, {"cosine", 1, 1}, {"cosine", 3, 1}, {"cosine", 4, 2}, {"jaccard", 8, 2}, {"cosine", 9, 3}, {"cosine", 1024, 32}, {"swing", 16, 1}} {
		if got := WantedSides(c.measure, c.nodes); got != c.want {
			t.Errorf("%s on %d nodes: %d sides, want %d", c.measure, c.nodes, got, c.want)
		}
	}
}

// TestPlansOfOldRecords checks that what was recorded or counted by earlier versions gives a plan with one side.
func TestPlansOfOldRecords(t *testing.T) {
	items := []*kithv1.ItemCount{{Item: "a", Count: 3}, {Item: "b", Count: 2}, {Item: "c", Count: 1}}
	p := newBuildPlan(items, nil, planRecord{})
	if len(p.Blocks) != 3 || len(p.Sides) != 1 {
		t.Errorf("blocks %v and sides %v, want 3 and 1", p.Blocks, p.Sides)
	}
	p.count([][]uint64{nil, {1, 2, 3}})
	if want := []float64{3, 2, 1}; !slices.Equal(p.Costs, want) {
		t.Errorf("costs %v, want those of the counts, %v", p.Costs, want)
	}
	p.count([][]uint64{{4, 0, 0}, {1, 2, 3}})
	if want := []float64{5, 2, 3}; !slices.Equal(p.Costs, want) {
		t.Errorf("costs %v, want the sums over partitions, %v", p.Costs, want)
	}
}

// TestPlanKeepsToBounds checks the sides and blocks of bounds that were recorded.
func TestPlanKeepsToBounds(t *testing.T) {
	_, items := shape{"long tail", 5_000, 8_000, 10, 20}.matrix()
	free := newBuildPlan(items, nil, planRecord{sides: 1, nodes: 1})
	var total, largest float64
	for _, l := range free.Loads {
		total += l.Entries
	}
	for _, c := range items {
		largest = max(largest, float64(c.Count))
	}
	b := Bounds{SideEntries: int64(total / 5), BlockEntries: int64(total / 200), BlockItems: 90}
	p := newBuildPlan(items, nil, planRecord{sides: 1, nodes: 1, bounds: b.record()})
	if len(free.Sides) != 1 || len(p.Sides) < 5 || len(p.Sides) > 8 {
		t.Errorf("%d sides without bounds, %d with a fifth of the entries in one; want 1, and a few more than 5", len(free.Sides), len(p.Sides))
	}
	for _, r := range p.Sides {
		var sum float64
		for _, l := range p.Loads[r.Lo:r.Hi] {
			sum += l.Entries
		}
		if sum > float64(b.SideEntries) {
			t.Errorf("side of blocks %v has %v entries, want at most %d", r, sum, b.SideEntries)
		}
	}
	for n, l := range p.Loads {
		if l.Items > b.BlockItems || l.Entries > max(float64(b.BlockEntries), largest) {
			t.Errorf("block %d is %+v, want at most %+v", n, l, b)
		}
	}
	if (Bounds{}).record() != nil {
		t.Error("no bounds make a record")
	}
}

// needs returns the share of the entries that a node needs for tasks.
func (p *Plan) needs(tasks []int) float64 {
	needed := make([]bool, len(p.Blocks))
	for _, n := range tasks {
		task := partition.TaskAt(n, len(p.Blocks))
		needed[task.Block] = true
		for b := p.Sides[task.Side].Lo; b < p.Sides[task.Side].Hi; b++ {
			needed[b] = true
		}
	}
	var some, all float64
	for b, l := range p.Loads {
		all += l.Entries
		if needed[b] {
			some += l.Entries
		}
	}
	return some / all
}

// TestAddCountOfSquares: squares are known where each partition has counted them.
func TestAddCountOfSquares(t *testing.T) {
	for _, tc := range []struct {
		parts []float64
		want  float64
	}{
		{[]float64{5}, 5}, {[]float64{5, 4, 1}, 10}, {[]float64{0, 4, 1}, 0}, {[]float64{5, 0, 1}, 0}, {[]float64{5, 4, 0}, 0},
	} {
		totals := map[string]*kithv1.ItemCount{}
		for _, x := range tc.parts {
			addCount(totals, "i", tally{count: 1, squares: x})
		}
		if got := totals["i"]; got.Squares != tc.want || got.Count != uint64(len(tc.parts)) {
			t.Errorf("%v: got %v, want %v", tc.parts, got, tc.want)
		}
	}
}

// TestAddCounts adds up counts that come as items and as columns.
func TestAddCounts(t *testing.T) {
	items := &kithv1.CountResponse{Items: []*kithv1.ItemCount{{Item: "a", Count: 1, Updates: 3, WeightLow: 5, Squares: 2}, {Item: "bb", Count: 2, Updates: 4, WeightHigh: 1, Squares: 7}}}
	columns := &kithv1.CountResponse{Columns: &kithv1.ItemColumns{
		Keys: "bbc", Lengths: []uint32{2, 1}, Counts: []uint64{3, 4}, Updates: []uint64{5, 6}, WeightsHigh: []uint64{1, 0}, WeightsLow: []uint64{2, 3}, Squares: []float64{1, 4},
	}}
	got := map[string]*kithv1.ItemCount{}
	for _, m := range []*kithv1.CountResponse{items, columns, {}} {
		if err := checkColumns(m.Columns); err != nil {
			t.Fatal(err)
		}
		addCounts(got, m)
	}
	want := map[string]*kithv1.ItemCount{
		"a":  {Item: "a", Count: 1, Updates: 3, WeightLow: 5, Squares: 2},
		"bb": {Item: "bb", Count: 5, Updates: 9, WeightHigh: 2, WeightLow: 2, Squares: 8},
		"c":  {Item: "c", Count: 4, Updates: 6, WeightLow: 3, Squares: 4},
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for _, change := range []func(c *kithv1.ItemColumns){
		func(c *kithv1.ItemColumns) { c.Keys = "bb" },
		func(c *kithv1.ItemColumns) { c.Lengths = c.Lengths[:1] },
		func(c *kithv1.ItemColumns) { c.Counts = nil },
		func(c *kithv1.ItemColumns) { c.Updates = append(c.Updates, 1) },
		func(c *kithv1.ItemColumns) { c.WeightsLow = nil },
		func(c *kithv1.ItemColumns) { c.WeightsHigh, c.WeightsLow = c.WeightsHigh[:1], c.WeightsLow[:1] },
		func(c *kithv1.ItemColumns) { c.Squares = c.Squares[:1] },
	} {
		c := proto.CloneOf(columns.Columns)
		change(c)
		if err := checkColumns(c); !errors.Is(err, wire.ErrInvalid) {
			t.Errorf("%v: %v", c, err)
		}
	}
}
