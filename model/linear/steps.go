package linear

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/popularity"
	"github.com/kith-io/kith/model/train"
)

// StepCount is the first step: workers tell how many users each item has, and put their rows for PutMatrix and Gram.
const StepCount = "count"

// Plan is what all workers know after the first step.
type Plan struct {
	// Counts has the number of users of each item.
	Counts []uint64
	// Kept are the items that something is learned about, ascending.
	Kept []uint32
	// Ends divides them: worker w owns those from Ends[w-1], or 0, to Ends[w].
	Ends []int
}

// Own returns the range of Kept that a worker owns.
func (p *Plan) Own(worker int) (first, end int) {
	if worker > 0 {
		first = p.Ends[worker-1]
	}
	return first, p.Ends[worker]
}

// Limits says which items are learned about, and how they are divided.
type Limits struct {
	// Items is how many: the most popular ones; 0 for all.
	Items int
	// Most is how many there may be; 0 for any number.
	Most int
	// Even divides them into ranges of equal length, else into ranges with as many updates of a Gram matrix.
	Even bool
}

// Parameters of kinds that need the Gram matrix.
var (
	ParameterWeights = model.Parameter{
		Name: "weights", Doc: "ones: what a user has counts alike; stored: by its weight", Choices: []string{"ones", "stored"},
	}
	ParameterItems = model.Parameter{
		Name: "items", Doc: "learn about so many of the most popular items only; 0 for all", High: 1 << 31, Whole: true,
	}
	ParameterMaxItems = model.Parameter{
		Name: "max-items", Doc: "refuse to learn about more items than this: a worker needs up to 16·items² bytes", Default: 20_000, Low: 1, High: 1 << 20, Whole: true,
	}
)

// LimitsOf returns what ParameterItems and ParameterMaxItems say.
func LimitsOf(s model.Settings) Limits {
	return Limits{Items: s.Whole("items"), Most: s.Whole("max-items")}
}

// Ones tells whether ParameterWeights says that weights do not count.
func Ones(s model.Settings) bool { return s.Choice("weights") == "ones" }

// Driver names StepCount, and then other steps, the first of which has the Plan as its input.
type Driver struct {
	shape  train.Shape
	limits Limits
	steps  []string
	done   int // of the steps, StepCount among them
}

// NewDriver returns the driver of some steps.
func NewDriver(shape train.Shape, limits Limits, steps ...string) *Driver {
	return &Driver{shape: shape, limits: limits, steps: append([]string{StepCount}, steps...)}
}

// Progress implements train.Driver.
func (d *Driver) Progress() float64 { return float64(max(0, d.done-1)) / float64(len(d.steps)) }

// Next implements train.Driver.
func (d *Driver) Next(said [][]byte) (train.Step, bool, error) {
	d.done++
	if d.done > len(d.steps) {
		return train.Step{}, true, nil
	}
	step := train.Step{Name: d.steps[d.done-1]}
	if d.done != 2 {
		return step, false, nil
	}
	plan, err := d.plan(said)
	if err != nil {
		return train.Step{}, false, err
	}
	step.Input = plan.encode()
	return step, false, nil
}

func (d *Driver) plan(said [][]byte) (*Plan, error) {
	items := d.shape.Items
	counts, work := make([]uint64, items), make([]uint64, items)
	for worker, b := range said {
		r := model.NewReader(b)
		x := model.Numbers[uint64](r, uint64(2*items))
		if err := r.End(); err != nil {
			return nil, fmt.Errorf("counts of worker %d: %w", worker, err)
		}
		for i := range items {
			counts[i] += x[i]
			work[i] += x[items+i]
		}
	}
	keep := items
	if d.limits.Items > 0 {
		keep = min(keep, d.limits.Items)
	}
	if d.limits.Most > 0 && keep > d.limits.Most {
		return nil, fmt.Errorf("%d items, want at most %d: set items=%d to learn about the most popular ones only, or max-items=%d where workers have %.0f GB of memory",
			keep, d.limits.Most, d.limits.Most, keep, 16*float64(keep)*float64(keep)/1e9)
	}
	signed := make([]int64, items)
	for i, n := range counts {
		signed[i] = int64(n)
	}
	p := &Plan{Counts: counts, Kept: popularity.Order(signed)[:keep]}
	slices.Sort(p.Kept)
	var total uint64
	for k, id := range p.Kept {
		if d.limits.Even {
			work[id] = 1
		}
		total += work[id]
		work[k] = total // ids ascend, so that nothing is lost that is still needed
	}
	for w := range d.shape.Workers() {
		high, low := bits.Mul64(total, uint64(w+1))
		share, _ := bits.Div64(high, low, uint64(d.shape.Workers()))
		end, found := slices.BinarySearch(work[:keep], share)
		if found {
			end++
		}
		p.Ends = append(p.Ends, end)
	}
	p.Ends[len(p.Ends)-1] = keep
	return p, nil
}

func (p *Plan) encode() []byte {
	b := model.Append(nil, uint64(len(p.Counts)), uint64(len(p.Kept)))
	b = model.Append(model.Append(b, p.Counts...), p.Kept...)
	for _, end := range p.Ends {
		b = binary.LittleEndian.AppendUint32(b, uint32(end))
	}
	return b
}

// Shard is the part of a worker that all kinds have.
type Shard struct {
	Data    *train.Data
	Threads int
	// Ones says that entries count as one each, whatever their weights.
	Ones bool
	// Plan is known once TakePlan was called.
	Plan Plan
}

// NewShard returns the shard of some data.
func NewShard(data *train.Data, threads int, ones bool) Shard {
	return Shard{Data: data, Threads: threads, Ones: ones}
}

// Count does StepCount: it returns for each item the number of its users, and then for each the updates of its row of the Gram matrix.
func (s *Shard) Count() []byte {
	users, updates := s.Data.Rows.Counts()
	b := make([]byte, 0, 16*len(users))
	for _, n := range users {
		b = binary.LittleEndian.AppendUint64(b, uint64(n))
	}
	return model.Append(b, updates...)
}

// TakePlan reads the input of the step after StepCount.
func (s *Shard) TakePlan(b []byte) error {
	shape := &s.Data.Shape
	r := model.NewReader(b)
	items, kept := r.Uint64(), r.Uint64()
	p := Plan{Counts: model.Numbers[uint64](r, items), Kept: model.Numbers[uint32](r, kept), Ends: make([]int, shape.Workers())}
	for w := range p.Ends {
		p.Ends[w] = int(r.Uint32())
	}
	if err := r.End(); err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	if items != uint64(shape.Items) || kept > items {
		return fmt.Errorf("plan: %d of %d items, want %d items", kept, items, shape.Items)
	}
	if !slices.IsSorted(p.Ends) || p.Ends[len(p.Ends)-1] != len(p.Kept) || !slices.IsSorted(p.Kept) || len(p.Kept) > 0 && int(p.Kept[len(p.Kept)-1]) >= shape.Items {
		return fmt.Errorf("plan: ranges that end at %v of %d items", p.Ends, len(p.Kept))
	}
	s.Plan = p
	return nil
}
