package factors

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"

	"golang.org/x/sync/errgroup"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

// maxWidth bounds the length of a vector.
const maxWidth = 1024

// ALS is matrix factorization of implicit feedback by alternating least squares: objective says what it minimizes, and how it is named in the literature.
//
// An iteration solves all users with the items fixed, then all items with the users fixed. Each worker has its users and their factors, and every n-th
// item. The matrix of the items is dealt out once; then what goes between workers is the factors of one side in each half of an iteration, and the
// sums of their products. Before the first iteration users have random factors, drawn by their numbers, and items are solved from these, so that items with
// equal users have equal factors.
//
// Memory of a worker: its rows twice, and the factors of own users and items; that of a process: the factors of one whole side. Cost of an iteration:
// O((cg-steps + 1)·entries·factors + (users + items)·(cg-steps + 1)·factors²) by conjugate gradients, O(entries·factors² + (users + items)·factors³) by Cholesky.
var ALS = &train.Kind{
	Name:       "als",
	Doc:        "factors of users and items from implicit feedback, by alternating least squares",
	Parameters: alsParameters,
	NewDriver:  func(_ train.Shape, s model.Settings) (train.Driver, error) { return newALSDriver(s), nil },
	NewWorker: func(d *train.Data, s model.Settings, threads int) (train.Worker, error) {
		return newALSWorker(d, s, threads)
	},
	Write: writeALS,
	Read:  func(file []byte) (train.Model, error) { return ReadALS(file) },
}

var alsParameters = []model.Parameter{
	{Name: "factors", Doc: "length of the vectors", Default: 64, Low: 1, High: maxWidth, Whole: true, Search: [2]float64{16, 256}, Log: true},
	{
		Name: "regularization", Doc: "weight of the penalty on squared factors (λ)",
		Default: 1, Low: 0, High: 1e6, Search: [2]float64{0.03, 30}, Log: true,
	},
	{
		Name: "scaling", Doc: "exponent by which the penalty on a row grows with its entries (ν): 0 is one penalty for all, 1 one for each entry",
		Default: 0.25, Low: 0, High: 1, Search: [2]float64{0, 1},
	},
	{Name: "alpha", Doc: "how much more an entry counts than a pair without one", Default: 1, Low: 1e-6, High: 1e6, Search: [2]float64{0.1, 100}, Log: true},
	{
		Name: "unobserved", Doc: "weight of a pair without an entry; 1 is the model of Hu, Koren and Volinsky",
		Default: 0.1, Low: 0, High: 1e3, Search: [2]float64{0.01, 1}, Log: true,
	},
	{Name: "weights", Doc: "what counts of the weight of an entry: that it is there, ln(1 + weight), or the weight", Choices: []string{"none", "log", "linear"}},
	{Name: "iterations", Doc: "passes over users and items", Default: 15, Low: 1, High: 1000, Whole: true, Search: [2]float64{5, 30}},
	{Name: "solver", Doc: "how a row is solved: some steps towards the solution, or all the way", Choices: []string{"cg", "cholesky"}},
	{Name: "cg-steps", Doc: "steps of conjugate gradients for each row in an iteration", Default: 3, Low: 1, High: 100, Whole: true},
	{Name: "seed", Doc: "of the random start", Default: 1, Low: 0, High: 1 << 52, Whole: true},
}

func objectiveOf(s model.Settings) objective {
	return objective{
		alpha:          s.Number("alpha"),
		unobserved:     s.Number("unobserved"),
		regularization: s.Number("regularization"),
		scaling:        s.Number("scaling"),
		weights:        weighting(s.Whole("weights")),
	}
}

// The steps of ALS, in this order; users and items are done in turn.
const (
	stepDeal  = "deal"  // give the owner of each item its users, and draw the users' factors
	stepItems = "items" // solve the items
	stepUsers = "users" // solve the users
	stepEnd   = "end"   // keep what Write needs, and no more
)

// Names under which a worker puts what others get.
const (
	putUsers      = "users"      // factors of its users
	putUsersGram  = "users-gram" // float64: sum of the products of their factors
	putItems      = "items"      // factors of its items
	putItemsGram  = "items-gram"
	putItemCounts = "counts" // uint32: users of its items
	putReport     = "report" // float64, of worker 0: the objective after each iteration
)

type alsDriver struct {
	iterations int
	halves     int // begun, the start with them
	losses     []float64
	ended      bool
}

func newALSDriver(s model.Settings) *alsDriver { return &alsDriver{iterations: s.Whole("iterations")} }

func (d *alsDriver) Progress() float64 { return float64(d.halves) / float64(2*d.iterations+2) }

func (d *alsDriver) Next(said [][]byte) (train.Step, bool, error) {
	if d.ended {
		return train.Step{}, true, nil
	}
	if d.halves > 2 && d.halves%2 == 0 { // the items of an iteration were solved
		loss, err := lossOf(said, len(d.losses)+1, "use a larger regularization, a smaller alpha or solver=cholesky")
		if err != nil {
			return train.Step{}, false, err
		}
		d.losses = append(d.losses, loss)
	}
	d.halves++
	switch {
	case d.halves == 1:
		return train.Step{Name: stepDeal}, false, nil
	case len(d.losses) == d.iterations:
		d.ended = true
		return train.Step{Name: stepEnd, Input: model.Append(nil, d.losses...)}, false, nil
	case d.halves%2 == 0:
		return train.Step{Name: stepItems}, false, nil
	default:
		return train.Step{Name: stepUsers}, false, nil
	}
}

type alsWorker struct {
	*train.Data
	objective objective
	factors   int
	width     int
	steps     int // of conjugate gradients, 0 for Cholesky
	seed      uint64
	threads   int

	columns *similarity.Rows // own items × all users
	users   []float32        // of own users
	items   []float32        // of own items
	penalty float64          // part of the objective that is the penalty on own users
	solved  int64            // entries that were looked at by solving, each counted once in a half
}

func newALSWorker(d *train.Data, s model.Settings, threads int) (*alsWorker, error) {
	if err := d.Rows.Validate(); err != nil {
		return nil, err
	}
	k := s.Whole("factors")
	w := &alsWorker{
		Data: d, objective: objectiveOf(s), factors: k, width: padded(k), steps: s.Whole("cg-steps"), seed: uint64(s.Whole("seed")), threads: max(1, threads),
	}
	if s.Choice("solver") == "cholesky" {
		w.steps = 0
	}
	return w, nil
}

func (w *alsWorker) Do(ctx context.Context, step train.Step, peers train.Peers) ([]byte, error) {
	switch step.Name {
	case stepDeal:
		return nil, w.deal(ctx, peers)
	case stepItems:
		return w.solveItems(ctx, peers)
	case stepUsers:
		return nil, w.solveUsers(ctx, peers)
	case stepEnd:
		return nil, w.end(step.Input, peers)
	}
	return nil, fmt.Errorf("als: unknown step %q", step.Name)
}

// deal puts the columns of each owner, and draws the factors of the users.
func (w *alsWorker) deal(ctx context.Context, peers train.Peers) error {
	if err := dealColumns(w.Data, w.Rows, peers); err != nil {
		return err
	}
	first := w.Shape.FirstUser[w.Worker]
	w.users = make([]float32, w.Rows.NumUsers()*w.width)
	scale := 1 / math.Sqrt(float64(w.factors))
	for u := range w.Rows.NumUsers() {
		if w.Rows.Start[u] == w.Rows.Start[u+1] {
			continue
		}
		rng := rand.New(rand.NewPCG(w.seed, uint64(first+u)))
		for j := range w.factors {
			w.users[u*w.width+j] = float32(scale * rng.NormFloat64())
		}
	}
	return w.putSide(ctx, peers, putUsers, putUsersGram, w.users)
}

// putSide puts factors and the sum of their products.
func (w *alsWorker) putSide(ctx context.Context, peers train.Peers, name, gramName string, x []float32) error {
	gram := make([]float64, w.width*w.width)
	g, _ := errgroup.WithContext(ctx)
	for part := range w.threads {
		g.Go(func() error {
			addGram(gram, x, w.width, part, w.threads)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := peers.Put(gramName, model.Append(nil, gram...)); err != nil {
		return err
	}
	return peers.Put(name, model.Bytes(x))
}

// getGram returns the sum of the grams of all workers, in their order.
func getGram(ctx context.Context, get func(context.Context, int, string) ([]byte, error), name string, workers, width int) ([]float64, error) {
	sum := make([]float64, width*width)
	for worker := range workers {
		b, err := get(ctx, worker, name)
		if err != nil {
			return nil, err
		}
		if len(b) != 8*len(sum) {
			return nil, fmt.Errorf("worker %d has put %d bytes under %q, want %d", worker, len(b), name, 8*len(sum))
		}
		for i, x := range model.View[float64](b) {
			sum[i] += x
		}
	}
	mirror(sum, width)
	return sum, nil
}

// side returns what one side is solved from, given the factors of the other.
func (w *alsWorker) side(ctx context.Context, peers train.Peers, gramName string, other []float32) (*side, error) {
	sum, err := getGram(ctx, peers.Get, gramName, w.Shape.Workers(), w.width)
	if err != nil {
		return nil, err
	}
	s := &side{objective: w.objective, width: w.width, other: other, gram: make([]float32, len(sum)), all: len(other) / w.width}
	for i, x := range sum {
		s.gram[i] = float32(w.objective.unobserved * x)
	}
	return s, nil
}

func (w *alsWorker) solveItems(ctx context.Context, peers train.Peers) ([]byte, error) {
	if w.columns == nil {
		var err error
		if w.columns, err = gatherColumns(ctx, w.Data, peers); err != nil {
			return nil, err
		}
		w.items = make([]float32, w.columns.NumUsers()*w.width)
	}
	users, err := allUsers(ctx, &w.Shape, w.width, peers, putUsers)
	if err != nil {
		return nil, err
	}
	peers.Drop(putUsers) // behind this step, so that there is one generation
	s, err := w.side(ctx, peers, putUsersGram, users)
	if err != nil {
		return nil, err
	}
	next := make([]float32, len(w.items))
	copy(next, w.items)
	loss, _, err := w.solve(ctx, s, w.columns, next)
	if err != nil {
		return nil, err
	}
	w.items = next
	return model.Append(nil, loss+w.penalty), w.putSide(ctx, peers, putItems, putItemsGram, w.items)
}

func (w *alsWorker) solveUsers(ctx context.Context, peers train.Peers) error {
	for owner := range w.Shape.Workers() {
		peers.Drop(putColumns(owner))
	}
	items, err := allItems(ctx, &w.Shape, w.width, peers, putItems)
	if err != nil {
		return err
	}
	peers.Drop(putItems)
	s, err := w.side(ctx, peers, putItemsGram, items)
	if err != nil {
		return err
	}
	next := make([]float32, len(w.users))
	copy(next, w.users)
	if _, w.penalty, err = w.solve(ctx, s, w.Rows, next); err != nil {
		return err
	}
	w.users = next
	return w.putSide(ctx, peers, putUsers, putUsersGram, w.users)
}

// solve solves all rows, whose factors are x. It returns the part of the objective that is of them, and how much of that is the penalty.
func (w *alsWorker) solve(ctx context.Context, s *side, rows *similarity.Rows, x []float32) (loss, penalty float64, err error) {
	n := rows.NumUsers()
	loss, penalty, err = eachRow(ctx, w.threads, n, func() *solver { return newSolver(s) }, func(solver *solver, r int) (part, penalty float64, err error) {
		lo, hi := rows.Start[r], rows.Start[r+1]
		var weights []float32
		if rows.Weight != nil {
			weights = rows.Weight[lo:hi]
		}
		row := x[r*w.width:][:w.width]
		if w.steps > 0 {
			part = solver.gradients(row, rows.Item[lo:hi], weights, w.steps)
		} else {
			var ok bool
			if part, ok = solver.cholesky(row, rows.Item[lo:hi], weights); !ok {
				return 0, 0, errors.New("a row has no one solution: use a regularization above 0")
			}
		}
		return part, s.penalty(int(hi-lo), s.all) * float64(dot(row, row)), nil
	})
	w.solved += rows.Start[n] - rows.Start[0]
	return loss, penalty, err
}

func (w *alsWorker) end(report []byte, peers train.Peers) error {
	peers.Drop(putUsersGram)
	var counts []byte
	for i := range w.columns.NumUsers() {
		counts = binary.LittleEndian.AppendUint32(counts, uint32(w.columns.Start[i+1]-w.columns.Start[i]))
	}
	if w.Worker == 0 {
		if err := peers.Put(putReport, report); err != nil {
			return err
		}
	}
	return peers.Put(putItemCounts, counts)
}

func writeALS(ctx context.Context, shape train.Shape, s model.Settings, get func(ctx context.Context, worker int, name string) ([]byte, error), w io.Writer) error {
	o := objectiveOf(s)
	f := &file{kind: fileALS, users: shape.Users, factors: s.Whole("factors")}
	f.settings = [fileSettings]float64{o.alpha, o.unobserved, o.regularization, o.scaling, float64(o.weights)}
	var err error
	if f.counts, err = getCounts(ctx, get, &shape); err != nil {
		return err
	}
	if f.items, err = getItems(ctx, get, putItems, &shape, padded(f.factors)); err != nil {
		return err
	}
	gram, err := getGram(ctx, get, putItemsGram, shape.Workers(), padded(f.factors))
	if err != nil {
		return err
	}
	f.gram = make([]float32, len(gram))
	for i, x := range gram {
		f.gram[i] = float32(o.unobserved * x)
	}
	report, err := get(ctx, 0, putReport)
	if err != nil {
		return err
	}
	f.report = model.View[float64](report)
	return f.write(w)
}
