package capacity

import (
	"context"
	"fmt"
	"math"
	"math/bits"
	"runtime"
	"time"

	"github.com/kith-io/kith/partition"
	"github.com/kith-io/kith/similarity"
)

// Cost is what the work of a build takes on one thread, in seconds.
type Cost struct {
	// Update is that of a step of the inner loop, Visit of going to the row of a user, Pair of a pair with a common user, and
	// Lead of beginning and ending an item that leads.
	Update float64 `json:"update"`
	Visit  float64 `json:"visit"`
	Pair   float64 `json:"pair"`
	Lead   float64 `json:"lead"`
	// Encode is that of an entry of an exported part; Block and Side are those of an entry that is made part of them.
	Encode float64 `json:"encode"`
	Block  float64 `json:"block"`
	Side   float64 `json:"side"`
	// Neighbor is that of a neighbor of a partial list, from the Collector to the merged list.
	Neighbor float64 `json:"neighbor"`
	// Samples are what was measured.
	Samples []Sample `json:"samples"`
}

// Sample is one measurement: some tasks of a matrix.
type Sample struct {
	Users   int     `json:"users"`
	Entries int     `json:"entries"`
	Sides   int     `json:"sides"`
	Updates float64 `json:"updates"`
	// Seconds of the tasks, and what the fitted cost gives for them.
	Seconds float64 `json:"seconds"`
	Fitted  float64 `json:"fitted_seconds"`
}

// work is what the cost of a task is made of.
type work struct{ updates, visits, pairs, leads float64 }

func (w work) terms() [terms]float64 { return [terms]float64{w.updates, w.visits, w.pairs, w.leads} }

// terms of the cost of a task.
const terms = 4

// task returns what a task costs.
func (c *Cost) task(w work) float64 {
	return c.Update*w.updates + c.Visit*w.visits + c.Pair*w.pairs + c.Lead*w.leads
}

const (
	// sampleEntries bounds a sample: making it takes time that is not measured.
	sampleEntries = 3_000_000
	// sampleBlocks is the number of blocks of a sample, of which some are measured, leastBlocks or more.
	sampleBlocks = 128
	leastBlocks  = 8
	// sampleSides is the number of sides of every second measurement: with it visits can be told from updates.
	sampleSides = 4
)

// Calibrate measures on samples of a matrix, for about budget beside making them, what the work of a build by o costs on one
// thread of this machine. The samples have all items and some of the users, in two sizes; of the tasks some are run, spread
// over all, so that the sums and the rows are in the memory where a build has them. Of a matrix with more than some million
// entries the samples cannot show that of the rows. now is the clock; one of CPU time leaves out other load.
func Calibrate(ctx context.Context, m Matrix, o similarity.Options, budget time.Duration, now func() time.Time) (*Cost, error) {
	size := m.Size()
	most := min(size.Users, sampleEntries*size.Users/size.Interactions)
	c := calibration{o: o, now: now}
	// The last has the most entries; its costs of an entry stay.
	for _, part := range []struct{ users, manySides, oneSide float64 }{{0.25, 0.15, 0.15}, {1, 0.3, 0.4}} {
		rows, err := m.Sample(ctx, int(max(2, most*part.users)))
		if err == nil {
			err = c.measure(ctx, rows, sampleSides, time.Duration(part.manySides*float64(budget)))
		}
		if err == nil {
			err = c.measure(ctx, rows, 1, time.Duration(part.oneSide*float64(budget)))
		}
		if err != nil {
			return nil, fmt.Errorf("calibrate: %w", err)
		}
	}
	c.fit()
	return &c.cost, nil
}

// calibration holds what was measured so far.
type calibration struct {
	o   similarity.Options
	now func() time.Time

	cost  Cost
	tasks []timedTask
	// samples is the place in cost.Samples of each task.
	samples []int
}

type timedTask struct {
	work
	seconds float64
}

// measure runs the steps of a node on rows, one after the other, and of the tasks as many as fit into a time.
func (c *calibration) measure(ctx context.Context, rows *similarity.Rows, wantedSides int, budget time.Duration) error {
	var sums []similarity.Sum
	if c.o.Measure.NeedsSums() {
		sums = similarity.SumsOf(rows)
	}
	weigher, err := similarity.NewWeigher(c.o.Measure, rows.NumItems, sums)
	if err != nil {
		return err
	}
	weighed := weigher.Rows(rows)
	if c.o.Measure.WholeRows() {
		wantedSides = 1
	}
	counts, updates := rows.Counts()
	blocks := partition.Blocks(counts, updates, sampleBlocks, partition.Load{Items: similarity.MaxBlockItems})
	ends, loads := make([]uint32, len(blocks)), make([]partition.Load, len(blocks))
	for b, r := range blocks {
		ends[b], loads[b] = r.Hi, partition.LoadOf(counts, updates, r)
	}
	runtime.GC() // a measurement does not pay for what was left before it
	at := c.now()
	lap := func() float64 {
		before := at
		at = c.now()
		return at.Sub(before).Seconds()
	}
	entries := float64(max(1, len(rows.Item)))
	parts := make([][][]byte, len(blocks))
	for b, part := range similarity.Parts(weighed, 0, ends) {
		parts[b] = [][]byte{part}
	}
	c.cost.Encode = lap() / entries
	var sides []*similarity.Side
	users := uint32(rows.NumUsers())
	for _, s := range partition.Sides(loads, wantedSides, 1, partition.Load{Items: similarity.MaxBlockItems}) {
		side, err := similarity.NewSide(blocks[s.Lo].Lo, ends[s.Lo:s.Hi], users, parts[s.Lo:s.Hi], c.o)
		if err != nil {
			return err
		}
		sides = append(sides, side)
	}
	c.cost.Side = lap() / entries

	sample := Sample{Users: rows.NumUsers(), Entries: len(rows.Item), Sides: len(sides)}
	keep := max(1, min(c.o.K, rows.NumItems-1))
	var scratch similarity.Scratch
	var made, making, neighbors, listing float64
	for done, b := range spread(len(blocks)) {
		if done >= leastBlocks && sample.Seconds > budget.Seconds() {
			break
		}
		r := blocks[b]
		lap()
		lead, err := similarity.NewBlock(r.Lo, r.Hi, users, parts[b])
		if err != nil {
			return err
		}
		made, making = made+loads[b].Entries, making+lap()
		best := similarity.NewCollector(r.Lo, r.Hi, keep)
		for _, side := range sides {
			lap()
			st, err := similarity.Run(ctx, lead, side, best, c.o, &scratch)
			if err != nil {
				return err
			}
			t := timedTask{work{float64(st.PairUpdates), loads[b].Entries, float64(st.Pairs), nonZero(counts, r)}, lap()}
			sample.Updates, sample.Seconds = sample.Updates+t.updates, sample.Seconds+t.seconds
			c.tasks, c.samples = append(c.tasks, t), append(c.samples, len(c.cost.Samples))
		}
		lists := best.Lists()
		back, err := similarity.DecodeLists(similarity.AppendLists(nil, lists))
		if err == nil {
			_, err = similarity.Merge(keep, back)
		}
		if err != nil {
			return err
		}
		neighbors, listing = neighbors+float64(len(lists.Entries)), listing+lap()
	}
	c.cost.Block, c.cost.Neighbor = making/max(1, made), listing/max(1, neighbors)
	c.cost.Samples = append(c.cost.Samples, sample)
	return nil
}

// spread returns the numbers below n in an order of which every beginning is spread over all: by the bits of the place,
// backwards (van der Corput).
func spread(n int) []int {
	var out []int
	width := bits.Len(uint(max(1, n) - 1))
	for k := range 1 << width {
		if at := int(bits.Reverse64(uint64(k)) >> (64 - width)); width > 0 && at < n {
			out = append(out, at)
		}
	}
	if width == 0 && n == 1 {
		out = []int{0}
	}
	return out
}

// nonZero returns how many of the items of a range have users.
func nonZero(counts []uint32, r partition.Range) (n float64) {
	for _, users := range counts[r.Lo:r.Hi] {
		if users > 0 {
			n++
		}
	}
	return n
}

// fit sets the costs of tasks to those that are not negative and have the least sum of squared errors, each over the time
// of its task. There are so few terms that all sets of those above zero can be tried.
func (c *calibration) fit() {
	best := math.Inf(1)
	for set := 1; set < 1<<terms; set++ {
		x, ok := leastSquares(c.tasks, set)
		if !ok {
			continue
		}
		trial := Cost{Update: x[0], Visit: x[1], Pair: x[2], Lead: x[3]}
		var sum float64
		for _, t := range c.tasks {
			e := trial.task(t.work) - t.seconds
			sum += e * e / weight(t)
		}
		if sum < best {
			best = sum
			c.cost.Update, c.cost.Visit, c.cost.Pair, c.cost.Lead = x[0], x[1], x[2], x[3]
		}
	}
	// Together the tasks take what they took.
	var took, fitted float64
	for _, t := range c.tasks {
		took, fitted = took+t.seconds, fitted+c.cost.task(t.work)
	}
	if fitted > 0 {
		f := took / fitted
		c.cost.Update, c.cost.Visit, c.cost.Pair, c.cost.Lead = f*c.cost.Update, f*c.cost.Visit, f*c.cost.Pair, f*c.cost.Lead
	}
	for n, t := range c.tasks {
		c.cost.Samples[c.samples[n]].Fitted += c.cost.task(t.work)
	}
}

// weight divides the square of the error of a task: the time of a longer task varies more.
func weight(t timedTask) float64 { return max(1e-6, t.seconds) }

// leastSquares solves for the costs of a set of terms, given by bits; the others are zero. It returns false if one would be
// negative, or they cannot be told apart.
func leastSquares(tasks []timedTask, set int) (x [terms]float64, ok bool) {
	var names []int
	for k := range terms {
		if set>>k&1 == 1 {
			names = append(names, k)
		}
	}
	n := len(names)
	a := make([][]float64, n) // normal equations, the right side last
	for i := range a {
		a[i] = make([]float64, n+1)
	}
	for _, t := range tasks {
		all, w := t.terms(), weight(t)
		for i, k := range names {
			for j, l := range names {
				a[i][j] += all[k] * all[l] / w
			}
			a[i][n] += all[k] * t.seconds / w
		}
	}
	for i := range n { // symmetric and positive, so no pivots need to be sought
		before := a[i][i]
		for j := range i {
			f := a[i][j] / a[j][j]
			for k := j; k <= n; k++ {
				a[i][k] -= f * a[j][k]
			}
		}
		if !(a[i][i] > 1e-9*before) {
			return x, false
		}
	}
	for i := n - 1; i >= 0; i-- {
		v := a[i][n]
		for j := i + 1; j < n; j++ {
			v -= a[i][j] * x[names[j]]
		}
		if x[names[i]] = v / a[i][i]; !(x[names[i]] >= 0) {
			return x, false
		}
	}
	return x, true
}
