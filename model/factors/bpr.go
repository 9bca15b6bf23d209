package factors

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/train"
)

// BPR is matrix factorization that learns to rank: it maximizes
//
//	sum over (u, i, j) of ln σ(s_ui - s_uj) - λ/2 (|x_u|² + |y_i|² + |y_j|² + b_i² + b_j²), s_ui = x_u·y_i + b_i,
//
// where u has item i and not item j, by stochastic gradient descent over drawn triples. Rendle et al., UAI 2009 [rendle2009]. It looks at what a user has, not at
// weights.
//
// In each iteration a worker goes through as many triples as it has entries, one after the other, then all take the mean of the factors of each item,
// weighed by the number of steps that each worker has made with it, in the order of workers. One worker gives the algorithm of the paper; several give
// another model, as good (docs/models/factors.md). A worker uses one thread, so that their number changes nothing.
//
// Cost of an iteration: O(entries·factors); with several workers the factors of the items go from each to all.
var BPR = &train.Kind{
	Name:       "bpr",
	Doc:        "factors of users and items that rank what a user has above the rest, by stochastic gradient descent",
	Parameters: bprParameters,
	NewDriver: func(_ train.Shape, s model.Settings) (train.Driver, error) {
		return &bprDriver{iterations: s.Whole("iterations")}, nil
	},
	NewWorker: func(d *train.Data, s model.Settings, _ int) (train.Worker, error) { return newBPRWorker(d, s) },
	Write:     writeBPR,
	Read:      func(file []byte) (train.Model, error) { return ReadBPR(file) },
}

var bprParameters = []model.Parameter{
	{Name: "factors", Doc: "length of the vectors", Default: 64, Low: 1, High: maxWidth - 1, Whole: true, Search: [2]float64{16, 256}, Log: true},
	{Name: "learning-rate", Doc: "length of a step as a share of the gradient", Default: 0.02, Low: 1e-6, High: 1, Search: [2]float64{0.01, 0.2}, Log: true},
	{
		Name: "regularization", Doc: "weight of the penalty on squared factors (λ)",
		Default: 0.01, Low: 0, High: 1, Search: [2]float64{1e-4, 0.1}, Log: true,
	},
	{Name: "iterations", Doc: "passes: in each, as many triples are drawn as there are entries", Default: 100, Low: 1, High: 10000, Whole: true, Search: [2]float64{20, 300}, Log: true},
	{Name: "negatives", Doc: "how the item that the user does not have is drawn: all alike, or by the number of their users", Choices: []string{"uniform", "popular"}},
	{Name: "seed", Doc: "of what is drawn", Default: 1, Low: 0, High: 1 << 52, Whole: true},
}

// sgd is how triples are drawn and what a step is.
type sgd struct {
	rate, regularization float32
	popular              bool
}

func sgdOf(s model.Settings) sgd {
	return sgd{float32(s.Number("learning-rate")), float32(s.Number("regularization")), s.Choice("negatives") == "popular"}
}

// attempts is how often an item is drawn that the user might not have, before the triple is given up: that of a user who has nearly all.
const attempts = 16

// negative draws an item that is not in row (ascending). drawn draws any.
func negative(row []uint32, drawn func() uint32) (item uint32, ok bool) {
	for range attempts {
		item = drawn()
		if _, has := slices.BinarySearch(row, item); !has {
			return item, true
		}
	}
	return 0, false
}

// slope returns the derivative of ln σ(margin), 1/(1 + exp(margin)).
func slope(margin float32) float32 { return float32(1 / (1 + math.Exp(float64(margin)))) }

// step makes a step with the triple of a user and two items, and returns the margin s_ui - s_uj that there was before. x and the items have the bias of items as
// factor number bias, where x is 1 and stays it.
func (g *sgd) step(x, i, j []float32, bias int) (margin float32) {
	margin = dot(x, i) - dot(x, j)
	pair(x, i, j, g.rate*slope(margin), 1-g.rate*g.regularization)
	x[bias] = 1
	return margin
}

const (
	stepPass = "pass"

	putSteps = "steps" // uint32: by item, the steps of the last pass that were made with it
	putModel = "model" // of worker 0: factors of all items
)

// putPass is a name for what a pass has made, which is there for all while the next one is made.
func putPass(name string, pass uint64) string { return fmt.Sprintf("%s-%d", name, pass%2) }

type bprDriver struct {
	iterations, done int
	losses           []float64
	ended            bool
}

func (d *bprDriver) Progress() float64 { return float64(d.done) / float64(d.iterations+1) }

func (d *bprDriver) Next(said [][]byte) (train.Step, bool, error) {
	if d.ended {
		return train.Step{}, true, nil
	}
	if said != nil {
		var sum, n float64
		for _, b := range said {
			f := model.View[float64](b)
			if len(f) != 2 {
				return train.Step{}, false, errors.New("a worker did not say its part of the loss")
			}
			sum, n = sum+f[0], n+f[1]
		}
		if math.IsNaN(sum) || math.IsInf(sum, 0) {
			return train.Step{}, false, fmt.Errorf("the loss is %v after iteration %d: use a smaller learning-rate", sum, d.done)
		}
		d.losses = append(d.losses, sum/max(1, n))
	}
	if d.done == d.iterations {
		d.ended = true
		return train.Step{Name: stepEnd, Input: model.Append(nil, d.losses...)}, false, nil
	}
	d.done++
	return train.Step{Name: stepPass, Input: binary.LittleEndian.AppendUint64(nil, uint64(d.done))}, false, nil
}

type bprWorker struct {
	*train.Data
	sgd
	factors, width int
	seed           uint64

	userOf []uint32  // by entry
	users  []float32 // of own users
	items  []float32 // of all items
	steps  []uint32  // by item, of the pass
	passes uint64    // made
}

func newBPRWorker(d *train.Data, s model.Settings) (*bprWorker, error) {
	if err := d.Rows.Validate(); err != nil {
		return nil, err
	}
	k := s.Whole("factors")
	w := &bprWorker{Data: d, sgd: sgdOf(s), factors: k, width: padded(k + 1), seed: uint64(s.Whole("seed"))}
	w.items, w.steps = make([]float32, d.Shape.Items*w.width), make([]uint32, d.Shape.Items)
	n := d.Rows.NumUsers()
	w.users = make([]float32, n*w.width)
	for u := range n {
		rng := rand.New(rand.NewPCG(w.seed, uint64(d.Shape.FirstUser[d.Worker]+u)))
		x := w.users[u*w.width:][:w.width]
		for j := range k {
			x[j] = float32(startDeviation * rng.NormFloat64())
		}
		x[k] = 1
		for range d.Rows.Start[u+1] - d.Rows.Start[u] {
			w.userOf = append(w.userOf, uint32(u))
		}
	}
	return w, nil
}

// startDeviation is that of the factors of users before the first step; those of items are 0, so that items of equal users begin alike, and one that no
// step is made with stays without any.
const startDeviation = 0.1

func (w *bprWorker) Do(ctx context.Context, step train.Step, peers train.Peers) ([]byte, error) {
	switch step.Name {
	case stepPass:
		if len(step.Input) != 8 {
			return nil, errors.New("bpr: a pass without its number")
		}
		if err := w.merge(ctx, peers); err != nil {
			return nil, err
		}
		return w.pass(ctx, binary.LittleEndian.Uint64(step.Input), peers)
	case stepEnd:
		if err := w.merge(ctx, peers); err != nil {
			return nil, err
		}
		return nil, w.end(step.Input, peers)
	}
	return nil, fmt.Errorf("bpr: unknown step %q", step.Name)
}

// merge takes the mean of what all workers have made of the items in the last pass.
func (w *bprWorker) merge(ctx context.Context, peers train.Peers) error {
	workers := w.Shape.Workers()
	if workers == 1 || w.passes == 0 {
		return nil
	}
	sum, weight := make([]float32, len(w.items)), make([]float32, w.Shape.Items)
	for worker := range workers {
		items, err := getFactors(ctx, peers.Get, worker, putPass(putItems, w.passes), w.Shape.Items, w.width)
		if err != nil {
			return err
		}
		b, err := peers.Get(ctx, worker, putPass(putSteps, w.passes))
		if err != nil {
			return err
		}
		steps := model.View[uint32](b)
		if len(steps) != w.Shape.Items {
			return fmt.Errorf("worker %d has put the steps of %d items, want %d", worker, len(steps), w.Shape.Items)
		}
		for i, n := range steps {
			if n > 0 {
				add(sum[i*w.width:][:w.width], float32(n), items[i*w.width:])
				weight[i] += float32(n)
			}
		}
	}
	for i, n := range weight {
		if n > 0 {
			y := w.items[i*w.width:][:w.width]
			clear(y)
			add(y, 1/n, sum[i*w.width:])
		}
	}
	return nil
}

// pass draws as many triples as there are entries, and makes a step with each. It says the sum of -ln σ of their margins and their number.
func (w *bprWorker) pass(ctx context.Context, number uint64, peers train.Peers) ([]byte, error) {
	w.passes = number
	rng := rand.New(rand.NewPCG(w.seed^number<<20, uint64(w.Shape.FirstUser[w.Worker])))
	rows, entries := w.Rows, len(w.userOf)
	all := rows.Item[rows.Start[0]:][:entries]
	drawn := func() uint32 { return uint32(rng.IntN(w.Shape.Items)) }
	if w.popular {
		drawn = func() uint32 { return all[rng.IntN(entries)] }
	}
	clear(w.steps)
	var loss float64
	n := 0
	for s := range entries {
		if s%4096 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		p := rng.IntN(entries)
		u, i := w.userOf[p], all[p]
		j, ok := negative(rows.Item[rows.Start[u]:rows.Start[u+1]], drawn)
		if !ok {
			continue
		}
		margin := w.step(w.users[int(u)*w.width:][:w.width], w.items[int(i)*w.width:][:w.width], w.items[int(j)*w.width:][:w.width], w.factors)
		w.steps[i]++
		w.steps[j]++
		loss += math.Log1p(math.Exp(-float64(margin)))
		n++
	}
	if w.Shape.Workers() > 1 {
		if err := errors.Join(peers.Put(putPass(putSteps, number), model.Append(nil, w.steps...)), peers.Put(putPass(putItems, number), model.Bytes(slices.Clone(w.items)))); err != nil {
			return nil, err
		}
	}
	return model.Append(nil, loss, float64(n)), nil
}

func (w *bprWorker) end(report []byte, peers train.Peers) error {
	counts := make([]uint32, w.Shape.Items)
	for _, i := range w.Rows.Item[w.Rows.Start[0]:][:len(w.userOf)] {
		counts[i]++
	}
	err := peers.Put(putItemCounts, model.Bytes(counts))
	if w.Worker == 0 {
		err = errors.Join(err, peers.Put(putReport, report), peers.Put(putModel, model.Bytes(w.items)))
	}
	return err
}

func writeBPR(ctx context.Context, shape train.Shape, s model.Settings, get func(ctx context.Context, worker int, name string) ([]byte, error), w io.Writer) error {
	f := &file{kind: fileBPR, users: shape.Users, factors: s.Whole("factors") + 1, counts: make([]uint32, shape.Items)}
	f.settings = [fileSettings]float64{s.Number("learning-rate"), s.Number("regularization"), s.Number("negatives"), s.Number("seed")}
	for worker := range shape.Workers() {
		b, err := get(ctx, worker, putItemCounts)
		if err != nil {
			return err
		}
		if len(b) != 4*shape.Items {
			return fmt.Errorf("worker %d has put %d bytes under %q, want %d", worker, len(b), putItemCounts, 4*shape.Items)
		}
		for i, n := range model.View[uint32](b) {
			f.counts[i] += n
		}
	}
	var err error
	if f.items, err = getFactors(ctx, get, 0, putModel, shape.Items, f.width()); err != nil {
		return err
	}
	report, err := get(ctx, 0, putReport)
	if err != nil {
		return err
	}
	f.report = model.View[float64](report)
	return f.write(w)
}

// BPRModel answers by folding in: it learns the factors of a user from the history of the query, by steps as in training, with the factors of the items as they are.
// What the user did a moment ago counts in the next answer. Equal histories give equal answers. It is immutable and safe for concurrent use.
//
// Scores have no zero: all items that somebody has are found. Items of the history that nobody has say nothing.
type BPRModel struct {
	*catalog
	sgd
	seed uint64
	upTo []uint64 // users of all items up to each, to draw by popularity
}

// ReadBPR makes a model of the file of one. The model looks at the file in place where the processor allows.
func ReadBPR(b []byte) (*BPRModel, error) {
	f, err := readFile(b, fileBPR)
	if err != nil {
		return nil, err
	}
	rate, regularization := f.settings[0], f.settings[1]
	if !(rate > 0 && rate <= 1 && regularization >= 0 && regularization <= 1 && f.settings[3] >= 0 && f.settings[3] <= 1<<52) {
		return nil, fmt.Errorf("%w: its settings are %v", errDamaged, f.settings)
	}
	m := &BPRModel{
		catalog: newCatalog(f), sgd: sgd{float32(rate), float32(regularization), f.settings[2] == 1}, seed: uint64(f.settings[3]),
		upTo: make([]uint64, len(f.counts)),
	}
	var sum uint64
	for i, n := range f.counts {
		sum += uint64(n)
		m.upTo[i] = sum
	}
	return m, nil
}

// Losses returns the mean of -ln σ(s_ui - s_uj) over the triples of each iteration of the training.
func (m *BPRModel) Losses() []float64 { return slices.Clone(m.report) }

// foldPasses is how often fold goes through a history. The mean of the second half of the passes is taken, which evens out what was drawn.
const foldPasses = 30

// fold returns the factors of a user with a history, with 1 for the bias of items; nil if the history says nothing.
// Cost: O(foldPasses·history·factors).
func (m *BPRModel) fold(history []uint32) []float32 {
	known := make([]uint32, 0, len(history))
	for _, i := range history {
		if m.counts[i] > 0 {
			known = append(known, i)
		}
	}
	if len(known) == 0 {
		return nil
	}
	w, bias := m.width(), m.factors-1
	rng := rand.New(rand.NewPCG(m.seed, uint64(len(known))))
	drawn := func() uint32 { return uint32(rng.IntN(len(m.counts))) }
	if m.popular {
		drawn = func() uint32 {
			at := rng.Uint64N(m.upTo[len(m.upTo)-1]) + 1
			i, _ := slices.BinarySearch(m.upTo, at)
			return uint32(i)
		}
	}
	x, mean := make([]float32, w), make([]float32, w)
	x[bias] = 1
	keep := 1 - m.rate*m.regularization
	n := 0
	for pass := range foldPasses {
		for _, i := range known {
			j, ok := negative(history, drawn)
			if !ok {
				continue
			}
			a, b := m.items[int(i)*w:][:w], m.items[int(j)*w:][:w]
			step := m.rate * slope(dot(x, a)-dot(x, b))
			add(x, keep-1, x)
			add(x, step, a)
			add(x, -step, b)
			x[bias] = 1
			if pass >= foldPasses/2 {
				add(mean, 1, x)
				n++
			}
		}
	}
	if n == 0 { // there is nothing that the user does not have
		return nil
	}
	clear(x)
	add(x, 1/float32(n), mean)
	x[bias] = 1
	return x
}

// Recommend answers a query; an error matches model.ErrQuery. The answer has q.N items unless the catalog ends.
// Cost: O(history·foldPasses·factors + items·factors).
func (m *BPRModel) Recommend(q model.Query) ([]model.Scored, error) {
	if err := m.check(&q); err != nil {
		return nil, err
	}
	return m.answer(&q, m.fold(q.Items), false), nil
}
