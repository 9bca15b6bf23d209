package capacity

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/kith-io/kith/coordinator"
	"github.com/kith-io/kith/similarity"
	"github.com/kith-io/kith/source/synthetic"
)

var cosine = similarity.Options{Measure: similarity.Cosine, K: 50}

// steady is a cost for tests that must not depend on a clock.
var steady = &Cost{Update: 2e-9, Visit: 5e-8, Pair: 1e-8, Lead: 1e-6, Encode: 5e-8, Block: 5e-8, Side: 5e-8, Neighbor: 1e-7}

func cluster(nodes int) Cluster {
	return Cluster{Nodes: nodes, Threads: 2, Bandwidth: 1e9 / 8, Partitions: 16, Options: cosine}
}

func expected(t testing.TB, kind string, users, items, interactions int) *Expected {
	t.Helper()
	m, err := NewExpected(kind, users, items, interactions)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// drawn returns a matrix of the same law.
func drawn(t testing.TB, kind string, users, items, interactions int) *Counted {
	t.Helper()
	d, err := synthetic.DrawSized(t.Context(), kind, users, items, interactions, 3)
	if err != nil {
		t.Fatal(err)
	}
	return NewCounted(&similarity.Rows{NumItems: d.NumItems, Start: d.Start, Item: d.Item, Weight: d.Weight})
}

// near fails unless two numbers agree within a part.
func near(t *testing.T, what string, got, want, within float64) {
	t.Helper()
	if !(math.Abs(got-want) <= within*math.Abs(want)) {
		t.Errorf("%s: %.6g, want %.6g within %v", what, got, want, within)
	}
}

// TestExpectedIsLikeDrawn compares what is expected of a law with a matrix drawn by it. Updates and pairs depend on the few
// most active users, which differ between draws by some per cent.
func TestExpectedIsLikeDrawn(t *testing.T) {
	for _, c := range []struct {
		kind                       string
		users, items, interactions int
	}{
		{"shop", 20_000, 10_000, 400_000},
		{"movies", 5_000, 1_000, 300_000}, // so dense that the head saturates
		{"small", 10_000, 5_000, 200_000},
	} {
		t.Run(c.kind, func(t *testing.T) {
			m, d := expected(t, c.kind, c.users, c.items, c.interactions), drawn(t, c.kind, c.users, c.items, c.interactions)
			got, want := m.Size(), d.Size()
			near(t, "users", got.Users, want.Users, 0.01)
			near(t, "items", got.Items, want.Items, 0.01)
			near(t, "interactions", got.Interactions, want.Interactions, 1e-6)
			near(t, "updates", got.Updates, want.Updates, 0.08)
			if got.WeightBytes != want.WeightBytes {
				t.Errorf("%d bytes a weight, want %d", got.WeightBytes, want.WeightBytes)
			}
			// Tenths of the ranks, as single items scatter.
			counts, updates := m.Counts()
			drawnCounts, drawnUpdates := d.Counts()
			for tenth := range 10 {
				var users, drawnUsers, work, drawnWork float64
				for i := tenth * len(drawnCounts) / 10; i < (tenth+1)*len(drawnCounts)/10; i++ {
					users, work = users+float64(counts[i]), work+float64(updates[i])
					drawnUsers, drawnWork = drawnUsers+float64(drawnCounts[i]), drawnWork+float64(drawnUpdates[i])
				}
				within := 0.02 + 0.02*float64(tenth)
				if tenth == 9 { // sorted by what was drawn, the last have less than expected
					within = 0.4
				}
				near(t, "users of a tenth", users, drawnUsers, within)
				near(t, "updates of a tenth", work, drawnWork, 0.08+within)
			}
			for _, nodes := range []int{1, 9} {
				plan := coordinator.NewPlan(drawnCounts, drawnUpdates, 0, coordinator.WantedSides("cosine", nodes), uint32(nodes))
				got, want := m.Work(plan), d.Work(plan)
				near(t, "updates of tasks", sum(got.Updates), sum(want.Updates), 0.08)
				near(t, "pairs of tasks", sum(got.Pairs), sum(want.Pairs), 0.08)
				for n := range want.Updates {
					near(t, "updates of a task", got.Updates[n], want.Updates[n], 0.5)
				}
			}
		})
	}
}

// TestCountsAreExact compares a counted matrix with the kernel.
func TestCountsAreExact(t *testing.T) {
	d := drawn(t, "small", 1_000, 500, 20_000)
	_, stats, err := similarity.BuildStats(t.Context(), d.rows, cosine)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "updates", d.Size().Updates, float64(stats.PairUpdates), 0)
	near(t, "pairs", sum(d.pairs), float64(stats.Pairs), 0.05)
}

// TestEncodedBytes compares the estimate of the size of parts with their size.
func TestEncodedBytes(t *testing.T) {
	for _, kind := range synthetic.MatrixKinds() {
		d := drawn(t, kind, 8_000, 2_000, 120_000)
		for _, nodes := range []int{1, 16} {
			counts, updates := d.Counts()
			plan := coordinator.NewPlan(counts, updates, 0, coordinator.WantedSides("cosine", nodes), uint32(nodes))
			var ends []uint32
			var got, want float64
			for _, r := range plan.Blocks {
				ends = append(ends, r.Hi)
				got += encodedBytes(counts[r.Lo:r.Hi], d.Size().Users, 1, 1)
			}
			for _, part := range similarity.Parts(d.rows, 0, ends) {
				want += float64(len(part))
			}
			near(t, kind, got, want, 0.03)
		}
	}
}

// TestMemory compares the memory of one node with what its side, its blocks and its parts have.
func TestMemory(t *testing.T) {
	for _, kind := range synthetic.MatrixKinds() {
		d := drawn(t, kind, 8_000, 2_000, 120_000)
		counts, updates := d.Counts()
		plan := coordinator.NewPlan(counts, updates, 0, 1, 1)
		var ends []uint32
		for _, r := range plan.Blocks {
			ends = append(ends, r.Hi)
		}
		parts := make([][][]byte, len(ends))
		var want float64
		for b, part := range similarity.Parts(d.rows, 0, ends) {
			parts[b] = [][]byte{part}
			want += float64(len(part))
		}
		users := uint32(d.rows.NumUsers())
		for b, r := range plan.Blocks {
			lead, err := similarity.NewBlock(r.Lo, r.Hi, users, parts[b])
			if err != nil {
				t.Fatal(err)
			}
			want += float64(lead.SizeBytes())
		}
		side, err := similarity.NewSide(0, ends, users, parts, cosine)
		if err != nil {
			t.Fatal(err)
		}
		c := cluster(1)
		c.Partitions = 1
		want += float64(side.SizeBytes()) + float64(d.rows.NumItems)*float64(8*c.Options.K+scratchItem*c.Threads)
		near(t, kind, Predict(d, steady, c).PerNode[0].Memory, want, 0.03)
	}
}

func TestPredictionsGrow(t *testing.T) {
	m := expected(t, "shop", 50_000, 20_000, 1_000_000)
	base := Predict(m, steady, cluster(4))
	for _, c := range []struct {
		name    string
		m       Matrix
		cluster Cluster
	}{
		{"more interactions", expected(t, "shop", 50_000, 20_000, 2_000_000), cluster(4)},
		{"fewer nodes", m, cluster(2)},
		{"one node", m, cluster(1)},
	} {
		more := Predict(c.m, steady, c.cluster)
		most := func(p *Prediction, value func(Node) float64) float64 {
			var x float64
			for _, n := range p.PerNode {
				x = max(x, value(n))
			}
			return x
		}
		for what, value := range map[string]func(Node) float64{
			"updates": func(n Node) float64 { return n.Updates },
			"memory":  func(n Node) float64 { return n.Memory },
			"CPU":     func(n Node) float64 { return n.CPU },
		} {
			if most(more, value) <= most(base, value) {
				t.Errorf("%s: %s is %g, want above %g", c.name, what, most(more, value), most(base, value))
			}
		}
	}
	slow, many, long := cluster(4), cluster(4), cluster(4)
	slow.Bandwidth /= 10
	many.Threads *= 2
	long.Options.K *= 2
	if p := Predict(m, steady, slow); p.Seconds <= base.Seconds {
		t.Errorf("with less bandwidth %g s, want above %g", p.Seconds, base.Seconds)
	}
	if p := Predict(m, steady, many); p.Seconds >= base.Seconds || p.PerNode[0].Memory <= base.PerNode[0].Memory {
		t.Errorf("with more threads %g s and %g bytes, want under %g s and more bytes", p.Seconds, p.PerNode[0].Memory, base.Seconds)
	}
	if p := Predict(m, steady, long); p.PerNode[0].Memory <= base.PerNode[0].Memory || p.PerNode[0].ListsIn <= base.PerNode[0].ListsIn {
		t.Errorf("with a larger K %+v, want more than %+v", p.PerNode[0], base.PerNode[0])
	}
}

// TestPredictionAddsUp checks that nodes together do all of the work, once.
// TestWeightsOfMeasures has parts without weights for a measure that counts, and of full
// weights for one that makes many of few.
func TestWeightsOfMeasures(t *testing.T) {
	m := expected(t, "movies", 5_000, 1_000, 200_000)
	bytes := func(measure similarity.Measure) float64 {
		c := cluster(4)
		c.Options.Measure = measure
		return Predict(m, steady, c).MatrixBytes
	}
	entries := m.Size().Interactions
	for measure, more := range map[similarity.Measure]float64{
		similarity.Cosine: 1, similarity.AdjustedCosine: 4, similarity.TFIDF: 4, similarity.Dice: 0,
	} {
		near(t, measure.String(), bytes(measure)-bytes(similarity.Jaccard), more*entries, 0.05)
	}
}

func TestPredictionAddsUp(t *testing.T) {
	for _, m := range []Matrix{expected(t, "movies", 5_000, 1_000, 200_000), drawn(t, "small", 2_000, 800, 40_000)} {
		for _, nodes := range []int{1, 2, 7} {
			p := Predict(m, steady, cluster(nodes))
			var tasks int
			var updates, share float64
			for _, n := range p.PerNode {
				tasks, updates, share = tasks+n.Tasks, updates+n.Updates, share+n.Estimate
				if n.Matrix <= 0 || n.Matrix > 1.001 || n.Memory <= 0 || (nodes == 1) != (n.PartsIn == 0) {
					t.Errorf("%d nodes: one has %+v", nodes, n)
				}
			}
			if tasks != p.Tasks || len(p.PerNode) != nodes {
				t.Errorf("%d nodes: %d have %d tasks, want %d", nodes, len(p.PerNode), tasks, p.Tasks)
			}
			near(t, "shares", share, 1, 1e-9)
			size := m.Size()
			near(t, "updates", updates, size.Updates+size.Interactions, 1e-3)
		}
	}
}

// TestSimulation holds the promises of the planner on a matrix of a shop: nodes have even work, and need about 2/√N of it.
func TestSimulation(t *testing.T) {
	rows := Simulate(expected(t, "shop", 1_000_000, 500_000, 20_000_000), steady, cluster(1), SimulatedNodes())
	if first, last := rows[0], rows[len(rows)-1]; first.Nodes != 1 || first.SpeedUp != 1 || first.PartsIn != 0 || last.Nodes != 1024 {
		t.Fatalf("from %+v to %+v", first, last)
	}
	for _, r := range rows {
		if r.Balance < 1 || r.Balance > 1.05 || r.BalanceEstimated > 1.05 || r.BalanceUncounted < 1 {
			t.Errorf("%d nodes: balance %.3f, estimated %.3f, uncounted %.3f; want at most 1.05 of the first two",
				r.Nodes, r.Balance, r.BalanceEstimated, r.BalanceUncounted)
		}
		if r.PartsIn > 1.5*r.Expected || r.Matrix > 1.5*min(1, 2/math.Sqrt(float64(r.Nodes))) {
			t.Errorf("%d nodes: %.3g bytes and %.3f of the matrix for one, want at most 1.5 times %.3g and 2/√N", r.Nodes, r.PartsIn, r.Matrix, r.Expected)
		}
		if want := max(1, int(math.Sqrt(float64(r.Nodes)))); r.Sides != want {
			t.Errorf("%d nodes: %d sides, want %d", r.Nodes, r.Sides, want)
		}
	}
}

func TestShapes(t *testing.T) {
	for _, c := range []struct {
		kind                       string
		users, items, interactions int
	}{
		{"books", 10, 10, 10}, {"shop", 1, 10, 5}, {"shop", 10, 1, 5}, {"shop", 10, 10, 0}, {"shop", 10, 10, 91}, {"shop", 10, maxItems + 1, 10},
	} {
		if _, err := NewExpected(c.kind, c.users, c.items, c.interactions); !errors.Is(err, ErrShape) {
			t.Errorf("%+v: error %v, want ErrShape", c, err)
		}
	}
	for _, c := range [][3]int{{2, 2, 1}, {2, 2, 3}, {10, 100_000, 10}, {100_000, 2, 10}, {50, 50, 2250}} {
		p := Predict(expected(t, "movies", c[0], c[1], c[2]), steady, cluster(3))
		if len(p.PerNode) != 3 || math.IsNaN(p.Seconds) || math.IsInf(p.Seconds, 0) {
			t.Errorf("%v: %+v", c, p)
		}
	}
}

// TestCalibrate checks that samples of all sorts of matrices give costs; how high they are is the machine's affair.
func TestCalibrate(t *testing.T) {
	swing := cosine
	swing.Measure = similarity.Swing
	for _, c := range []struct {
		m Matrix
		o similarity.Options
	}{
		{expected(t, "shop", 3_000, 1_500, 30_000), cosine},
		{drawn(t, "movies", 500, 200, 5_000), cosine},
		{expected(t, "small", 200, 100, 1_000), swing},
		{expected(t, "shop", 3, 3, 8), cosine}, // denser than can be drawn
	} {
		cost, err := Calibrate(t.Context(), c.m, c.o, 20*time.Millisecond, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		if cost.Update < 0 || cost.Visit < 0 || cost.Pair < 0 || cost.Lead < 0 || len(cost.Samples) != 4 {
			t.Errorf("cost %+v", cost)
		}
	}
}

// TestFit checks that the costs behind exact times are found.
func TestFit(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 5))
	for _, want := range []Cost{*steady, {Update: 1e-9}, {Visit: 3e-8, Lead: 1e-6}} {
		var c calibration
		c.cost.Samples = []Sample{{}}
		for range 40 {
			w := work{1e6 * rng.Float64(), 1e4 * rng.Float64(), 1e5 * rng.Float64(), 1e3 * rng.Float64()}
			c.tasks, c.samples = append(c.tasks, timedTask{w, want.task(w)}), append(c.samples, 0)
		}
		c.fit()
		for _, x := range [][2]float64{{c.cost.Update, want.Update}, {c.cost.Visit, want.Visit}, {c.cost.Pair, want.Pair}, {c.cost.Lead, want.Lead}} {
			if math.Abs(x[0]-x[1]) > 1e-3*x[1]+1e-12 {
				t.Errorf("fitted %+v, want %+v", c.cost, want)
				break
			}
		}
	}
}

func TestSpread(t *testing.T) {
	for _, n := range []int{0, 1, 2, 7, 128} {
		got := slices.Sorted(slices.Values(spread(n)))
		if len(got) != n || n > 0 && (got[0] != 0 || got[n-1] != n-1) || len(slices.Compact(got)) != n {
			t.Errorf("spread(%d) has %v", n, got)
		}
	}
}
