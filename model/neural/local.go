package neural

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"

	"golang.org/x/sync/errgroup"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/popularity"
	"github.com/kith-io/kith/model/train"
)

// Recipe is what a kind of model adds to the training of this package.
type Recipe struct {
	// Name is that of the kind, at most 16 bytes.
	Name, Doc  string
	Parameters []model.Parameter
	// Design says what networks of a setting are made of. It must work for any setting within bounds, and is cheap.
	Design func(s model.Settings, items, users int) Design
	// Open makes a model that serves a file.
	Open func(f *File) train.Model
}

// Design is what a network consists of.
type Design struct {
	// Tables come in the order of Parameters.Tables; those that are local come first.
	Tables []Table
	// Build makes a network. It takes the same of p each time.
	Build func(p *Parameters[float32]) Network
	// Pieces says what is learned of a user in one pass.
	Pieces func(e *Examples, user int) []Piece
}

// Network learns from pieces of examples.
type Network interface {
	// Pass adds the gradients of the loss on pieces, and returns the sum of the loss and its number of terms. What it draws comes from rng.
	Pass(e *Examples, pieces []Piece, rng *rand.Rand) (loss float64, terms int)
}

// Piece is a range of the items of a user: of Examples.Likes or Examples.Sequence, as the network says.
type Piece struct{ User, From, To int }

// Common returns the settings that all kinds have, with defaults of a kind. Those that are looked at here.
func Common(iterations, batch int, rate, decay float64) []model.Parameter {
	return []model.Parameter{
		{Name: "iterations", Doc: "passes over the data", Default: float64(iterations), Low: 1, High: 1000, Whole: true, Search: [2]float64{5, 60}},
		{Name: "batch", Doc: "interactions between two steps of the optimizer", Default: float64(batch), Low: 1, High: 1 << 20, Whole: true},
		{Name: "rate", Doc: "length of a step of the optimizer, times the number of workers up to 8", Default: rate, Low: 1e-7, High: 10, Search: [2]float64{3e-4, 0.01}, Log: true},
		{Name: "optimizer", Doc: "how steps follow from gradients", Choices: []string{Adam, Adagrad}},
		{Name: "decay", Doc: "pull of parameters towards 0 (L2)", Default: decay, Low: 0, High: 1, Search: [2]float64{1e-7, 1e-3}, Log: true},
		{Name: "averages", Doc: "times in an iteration that several workers average their parameters", Default: 4, Low: 1, High: 1000, Whole: true},
		{Name: "seed", Doc: "chooses all that is random", Default: 1, Low: 0, High: 1 << 32, Whole: true},
	}
}

// Kind makes a kind of model of a recipe. Training is local stochastic gradient descent (McMahan et al., AISTATS 2017 [mcmahan2017]; Stich, ICLR 2019 [stich2019]): in
// each round, which is a part of an iteration, every worker goes through its own users from the same parameters, and then each averages a range of them over all workers, in their order, weighed by the terms
// of their losses. One worker is plain training. The result depends on the number of workers, as the path of the parameters does, and not on that of threads.
func (r *Recipe) Kind() *train.Kind {
	return &train.Kind{
		Name: r.Name, Doc: r.Doc, Parameters: r.Parameters,
		NewDriver: func(shape train.Shape, s model.Settings) (train.Driver, error) {
			d := &driver{shape: shape, iterations: s.Whole("iterations"), rounds: 1}
			if shape.Workers() > 1 {
				d.rounds = s.Whole("averages")
			}
			return d, nil
		},
		NewWorker: r.newWorker,
		Write:     r.write,
		Read: func(file []byte) (train.Model, error) {
			f, err := r.Read(file)
			if err != nil {
				return nil, err
			}
			return r.Open(f), nil
		},
	}
}

// Names of steps.
const (
	stepCount   = "count"   // says counts and likes of items, as int64
	stepBegin   = "begin"   // takes their sums
	stepPass    = "pass"    // takes iteration, round and rounds as uint32; says loss and terms
	stepAverage = "average" // takes the terms of all workers
	stepFinish  = "finish"  // takes the losses of all iterations
)

// Names of what is put.
const (
	nameRange = "range-" // and a worker's number: the parameters that it averages
	nameMean  = "mean"   // their mean
	nameLocal = "local"  // the local tables
	nameAbout = "about"  // counts, likes and losses
)

type driver struct {
	shape      train.Shape
	iterations int
	rounds     int // of an iteration
	round      int
	loss       [2]float64 // of the rounds of this iteration: sum and terms
	last       string
	losses     []float64
	counts     []int64
}

func (d *driver) Progress() float64 {
	if d.last == stepFinish {
		return 1
	}
	return (float64(len(d.losses)) + float64(d.round)/float64(d.rounds)) / float64(d.iterations+1)
}

func (d *driver) Next(said [][]byte) (train.Step, bool, error) {
	step, done, err := d.next(said)
	d.last = step.Name
	if done {
		d.last = stepFinish
	}
	return step, done, err
}

func (d *driver) next(said [][]byte) (step train.Step, done bool, err error) {
	pass := func() train.Step {
		var input []byte
		for _, x := range []int{len(d.losses), d.round, d.rounds} {
			input = binary.LittleEndian.AppendUint32(input, uint32(x))
		}
		return train.Step{Name: stepPass, Input: input}
	}
	switch d.last {
	case "":
		return train.Step{Name: stepCount}, false, nil
	case stepCount:
		d.counts = make([]int64, 2*d.shape.Items)
		for w, b := range said {
			if len(b) != 8*len(d.counts) {
				return step, false, fmt.Errorf("worker %d counts %d bytes, want %d", w, len(b), 8*len(d.counts))
			}
			for i, n := range model.View[int64](b) {
				d.counts[i] += n
			}
		}
		return train.Step{Name: stepBegin, Input: model.Append(nil, d.counts...)}, false, nil
	case stepBegin:
		return pass(), false, nil
	case stepPass:
		var weights []float64
		var terms float64
		for w, b := range said {
			if len(b) != 16 {
				return step, false, fmt.Errorf("worker %d says %d bytes of a loss, want 16", w, len(b))
			}
			x := model.View[float64](b)
			d.loss[0], d.loss[1] = d.loss[0]+x[0], d.loss[1]+x[1]
			terms, weights = terms+x[1], append(weights, x[1])
		}
		if math.IsNaN(d.loss[0]) || math.IsInf(d.loss[0], 0) {
			return step, false, fmt.Errorf("the loss of iteration %d is %v; try a smaller rate", len(d.losses), d.loss[0])
		}
		if terms == 0 { // a round without examples changes nothing
			weights[0] = 1
		}
		if d.round++; d.round == d.rounds {
			if d.loss[1] == 0 { // nothing to learn from: no user has an item that another lacks
				d.iterations = 0
			} else {
				d.losses = append(d.losses, d.loss[0]/d.loss[1])
			}
			d.round, d.loss = 0, [2]float64{}
		}
		return train.Step{Name: stepAverage, Input: model.Append(nil, weights...)}, false, nil
	case stepAverage:
		if len(d.losses) < d.iterations {
			return pass(), false, nil
		}
		return train.Step{Name: stepFinish, Input: model.Append(nil, d.losses...)}, false, nil
	}
	return step, true, nil
}

// parts is into how many networks a batch is divided: what a worker can do at a time. It is fixed, so that results do not depend on the number of threads.
const parts = 4

type worker struct {
	data      *train.Data
	settings  model.Settings
	threads   int
	design    Design
	examples  *Examples
	counts    []int64
	pieces    []Piece
	all       *Parameters[float32] // of part 0, too
	twins     [parts]*Parameters[float32]
	networks  [parts]Network
	optimizer *Optimizer[float32]
	local     int    // values of local tables
	batches   uint64 // of this iteration
}

// mostScale bounds by how much steps are longer for several workers.
const mostScale = 8

func (r *Recipe) newWorker(d *train.Data, s model.Settings, threads int) (train.Worker, error) {
	// The mean of n workers, each of which does a part of the steps, goes a part of the way: so steps are longer (Goyal et al., 2017 [goyal2017]).
	rate := s.Number("rate") * float64(min(d.Shape.Workers(), mostScale))
	return &worker{
		data: d, settings: s, threads: threads, design: r.Design(s, d.Shape.Items, d.Rows.NumUsers()),
		optimizer: &Optimizer[float32]{Name: s.Choice("optimizer"), Rate: rate, Decay: s.Number("decay")},
	}, nil
}

func (w *worker) Do(ctx context.Context, step train.Step, peers train.Peers) (said []byte, err error) {
	switch step.Name {
	case stepCount:
		w.examples = NewExamples(w.data)
		likes := make([]int64, w.examples.Items)
		for u := range w.examples.Users() {
			for _, id := range w.examples.Likes(u) {
				likes[id]++
			}
		}
		return model.Append(model.Append(nil, popularity.Counts(w.data.Rows)...), likes...), nil
	case stepBegin:
		w.begin(model.View[int64](step.Input))
		return nil, nil
	case stepPass:
		if len(step.Input) != 12 {
			return nil, fmt.Errorf("step %s has %d bytes, want 12", step.Name, len(step.Input))
		}
		iteration, round, rounds := binary.LittleEndian.Uint32(step.Input), binary.LittleEndian.Uint32(step.Input[4:]), binary.LittleEndian.Uint32(step.Input[8:])
		if iteration > 0 || round > 0 {
			if err := w.takeMean(ctx, peers); err != nil {
				return nil, err
			}
		}
		loss, terms, err := w.pass(ctx, int(iteration), int(round), int(rounds))
		if err != nil {
			return nil, err
		}
		shared := w.all.Values()[w.local:]
		for v := range w.data.Shape.Workers() {
			lo, hi := w.rangeOf(v)
			if err := peers.Put(fmt.Sprint(nameRange, v), model.Append(nil, shared[lo:hi]...)); err != nil {
				return nil, err
			}
		}
		return model.Append(nil, loss, float64(terms)), nil
	case stepAverage:
		return nil, w.average(ctx, model.View[float64](step.Input), peers)
	case stepFinish:
		for v := range w.data.Shape.Workers() {
			peers.Drop(fmt.Sprint(nameRange, v))
		}
		if w.data.Worker == 0 {
			if err := peers.Put(nameAbout, append(model.Append(nil, w.counts...), step.Input...)); err != nil {
				return nil, err
			}
		}
		return nil, peers.Put(nameLocal, model.Append(nil, w.all.Values()[:w.local]...))
	}
	return nil, fmt.Errorf("unknown step %q", step.Name)
}

// begin makes the networks. counts are those of all users, then of those with a weight above 0.
func (w *worker) begin(counts []int64) {
	w.counts = append([]int64(nil), counts...)
	for id, n := range counts[w.examples.Items:] {
		if n > 0 {
			w.examples.Known = append(w.examples.Known, uint32(id))
		}
	}
	for u := range w.examples.Users() {
		w.pieces = append(w.pieces, w.design.Pieces(w.examples, u)...)
	}
	build := func(p *Parameters[float32]) { w.design.Build(p) }
	w.all = Build(w.design.Tables, build)
	for i := range w.twins {
		w.twins[i] = w.all.Twin(func(p *Parameters[float32]) { w.networks[i] = w.design.Build(p) })
	}
	for _, t := range w.design.Tables {
		if t.Local {
			w.local += t.Rows * t.Cols
		}
	}
	seed := uint64(w.settings.Whole("seed"))
	w.all.Start(rand.New(rand.NewPCG(seed, 0)), rand.New(rand.NewPCG(seed, uint64(w.data.Worker)+1)))
}

// pass goes through the users of this worker in a random order, or a part of them, and returns the sum of the loss and its number of terms.
func (w *worker) pass(ctx context.Context, iteration, round, rounds int) (loss float64, terms int, err error) {
	seed := uint64(w.settings.Whole("seed"))<<32 | uint64(w.data.Worker)
	if round == 0 {
		shuffle := rand.New(rand.NewPCG(seed, uint64(iteration)<<33|1<<32))
		shuffle.Shuffle(len(w.pieces), func(i, j int) { w.pieces[i], w.pieces[j] = w.pieces[j], w.pieces[i] })
		w.batches = 0
	}
	size := w.settings.Whole("batch")
	var (
		batch   [parts][]Piece
		entries int
		losses  [parts]float64
		counts  [parts]int
	)
	flush := func() error {
		var g errgroup.Group
		g.SetLimit(max(1, w.threads))
		for i := range batch {
			rng := rand.New(rand.NewPCG(seed, uint64(iteration)<<33|w.batches<<2|uint64(i)))
			g.Go(func() error {
				losses[i], counts[i] = w.networks[i].Pass(w.examples, batch[i], rng)
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
		n := 0
		for i, p := range w.twins {
			w.all.addGrads(p)
			p.clearGrads()
			loss, n = loss+losses[i], n+counts[i]
			batch[i] = batch[i][:0]
		}
		if n > 0 {
			w.optimizer.Step(w.all, 1/float64(n))
		}
		entries, terms, w.batches = 0, terms+n, w.batches+1
		return ctx.Err()
	}
	var loads [parts]int
	for _, p := range w.pieces[round*len(w.pieces)/rounds : (round+1)*len(w.pieces)/rounds] {
		least := 0
		for i, load := range loads {
			if load < loads[least] {
				least = i
			}
		}
		batch[least] = append(batch[least], p)
		loads[least] += p.To - p.From
		if entries += p.To - p.From; entries >= size {
			if err := flush(); err != nil {
				return 0, 0, err
			}
			loads = [parts]int{}
		}
	}
	if entries > 0 {
		err = flush()
	}
	return loss, terms, err
}

// rangeOf returns the range of the shared values that a worker averages.
func (w *worker) rangeOf(worker int) (lo, hi int) {
	n, of := len(w.all.Values())-w.local, w.data.Shape.Workers()
	return worker * n / of, (worker + 1) * n / of
}

// average puts the mean of the range of this worker.
func (w *worker) average(ctx context.Context, weights []float64, peers train.Peers) error {
	lo, hi := w.rangeOf(w.data.Worker)
	sums := make([]float64, hi-lo)
	var total float64
	for v, weight := range weights {
		if weight == 0 {
			continue
		}
		b, err := peers.Get(ctx, v, fmt.Sprint(nameRange, w.data.Worker))
		if err != nil {
			return err
		}
		if len(b) != 4*len(sums) {
			return fmt.Errorf("worker %d has put %d bytes of parameters, want %d", v, len(b), 4*len(sums))
		}
		total += weight
		for i, x := range model.View[float32](b) {
			sums[i] += weight * float64(x)
		}
	}
	mean := make([]float32, len(sums))
	for i, x := range sums {
		mean[i] = float32(x / total)
	}
	return peers.Put(nameMean, model.Append(nil, mean...))
}

// takeMean takes the means of all workers as parameters.
func (w *worker) takeMean(ctx context.Context, peers train.Peers) error {
	shared := w.all.Values()[w.local:]
	for v := range w.data.Shape.Workers() {
		b, err := peers.Get(ctx, v, nameMean)
		if err != nil {
			return err
		}
		lo, hi := w.rangeOf(v)
		if len(b) != 4*(hi-lo) {
			return fmt.Errorf("worker %d has put %d bytes of means, want %d", v, len(b), 4*(hi-lo))
		}
		copy(shared[lo:hi], model.View[float32](b))
	}
	return nil
}
