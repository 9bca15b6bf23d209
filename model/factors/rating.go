package factors

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

// MF predicts a rating as mu + b_u + b_i + q_i·p_u. It minimizes, by alternating least squares,
//
//	sum over ratings of (r_ui - mu - b_u - b_i - q_i·p_u)²
//	+ sum over users of λ n_u^ν |p_u|² + β b_u² + sum over items of λ n_i^ν |q_i|² + β b_i²,
//
// mu being the mean of the ratings, n_u and n_i the numbers of those of a user and of an item: the model of Koren, ACM TKDD 4(1), 2010, section 2.2 [koren2010], with the penalty of Zhou et
// al. [zhou2008] if ν is 1. Ratings off the scale count as span says.
//
// Each worker has its users, and every n-th item. In an iteration all users are solved, then all items, each exactly from the other side; before the first, items have random factors. Rows are
// solved by themselves from whole lists in the order of users and items: any number of nodes and threads gives the same bits, and another division of the same rows among workers too, but for the
// rounding of mu. The partitions of a cluster order users, so that another number of them rounds sums over users otherwise.
//
// Memory of a worker: its rows twice, and the factors of own users and items; that of a process: the factors of one whole side. Cost of an iteration:
// O(entries·factors² + (users + items)·factors³); what goes between workers are the factors of both sides.
var MF = ratingKind("mf", "biases and factors that predict ratings, by alternating least squares", false)

// SVDPP is MF with a second vector for each item, which says what a user having the item at all, rated or not, says of the user: p_u is expected at
//
//	z_u = |N(u)|^(-1/2) sum of y_j over j in N(u),
//
// N(u) being the items of the user, and the penalty is λ n_u^ν |p_u - z_u|², and γ |y_j|² for each item. With p_u - z_u in the place of p_u that is SVD++: Koren, ACM TKDD 4(1), 2010, section
// 2.3 [koren2010].
//
// With the items, all y move, each by
//
//	(sum of c_u |N(u)|^(-1/2) (p_u - z_u) - γ y_j) / (sum of c_u + γ), over the users of the item, c_u = λ n_u^ν,
//
// to where the penalty would be least if every item of a user moved z_u alike. That bounds the penalty from above, by convexity, and is it where nothing moves, so that the objective never rises.
// Cost beside that of MF: O(entries·factors), and as much again of what goes between workers.
var SVDPP = ratingKind("svd++", "mf that also learns from what was rated, or seen without a rating", true)

// ratingKind returns MF, or SVDPP if it looks at what users have.
func ratingKind(name, doc string, implicit bool) *train.Kind {
	parameters := ratingParameters
	kind := uint32(fileMF)
	if implicit {
		parameters, kind = svdppParameters, fileSVDPP
	}
	return &train.Kind{
		Name: name, Doc: doc, Parameters: parameters, PredictsRatings: true,
		NewDriver: func(shape train.Shape, s model.Settings) (train.Driver, error) {
			return &ratingDriver{iterations: s.Whole("iterations"), entries: shape.Entries, within: withinOf(s)}, nil
		},
		NewWorker: func(d *train.Data, s model.Settings, threads int) (train.Worker, error) {
			return newRatingWorker(d, s, threads, implicit)
		},
		Write: func(ctx context.Context, shape train.Shape, s model.Settings, get func(context.Context, int, string) ([]byte, error), w io.Writer) error {
			return writeRatings(ctx, kind, shape, s, get, w)
		},
		Read:          func(file []byte) (train.Model, error) { return readRatings(file, kind) },
		CheckSettings: func(s model.Settings) error { return withinOf(s).check() },
	}
}

var ratingParameters = []model.Parameter{
	{Name: "factors", Doc: "length of the vectors; 0 leaves the biases alone", Default: 50, Low: 0, High: maxWidth - slots, Whole: true, Search: [2]float64{10, 150}, Log: true},
	{
		Name: "regularization", Doc: "weight of the penalty on squared factors (λ)",
		Default: 0.5, Low: 1e-4, High: 1e6, Search: [2]float64{0.05, 10}, Log: true,
	},
	{
		Name: "scaling", Doc: "exponent by which the penalty on a row grows with its ratings (ν): 0 is one penalty for all, 1 one for each rating",
		Default: 0.7, Low: 0, High: 1, Search: [2]float64{0.3, 1},
	},
	{Name: "bias-regularization", Doc: "weight of the penalty on squared biases (β), in ratings", Default: 5, Low: 1e-4, High: 1e6, Search: [2]float64{0.5, 50}, Log: true},
	{Name: "iterations", Doc: "passes over users and items", Default: 15, Low: 1, High: 1000, Whole: true, Search: [2]float64{5, 30}},
	{Name: "seed", Doc: "of the random start", Default: 1, Low: 0, High: 1 << 52, Whole: true},
	{Name: "least", Doc: "the least rating that there is: lower ones are left out", Default: -model.MaxRating, Low: -model.MaxRating, High: model.MaxRating},
	{Name: "greatest", Doc: "the greatest rating that there is: higher ones are left out", Default: model.MaxRating, Low: -model.MaxRating, High: model.MaxRating},
}

var svdppParameters = append(append([]model.Parameter{}, ratingParameters...), model.Parameter{
	Name: "implicit-regularization", Doc: "weight of the penalty on squared vectors of what users have (γ)", Default: 10, Low: 1e-4, High: 1e6, Search: [2]float64{0.1, 100}, Log: true,
})

const (
	putPulls    = "pulls"    // of its users: c_u |N(u)|^(-1/2) (p_u - z_u), by which they move the y of their items, then c_u = λ n_u^ν
	putImplicit = "implicit" // the y of its items
)

// ratingDriver deals the matrix out, then has users and items solved in turn.
type ratingDriver struct {
	iterations int
	entries    int64
	halves     int // begun
	within     within
	span       *span // once the workers have said what ratings they have
	losses     []float64
	ended      bool
}

// Notes implements train.Noter.
func (d *ratingDriver) Notes() []string { return d.span.notes() }

func (d *ratingDriver) Progress() float64 { return float64(d.halves) / float64(2*d.iterations+1) }

func (d *ratingDriver) Next(said [][]byte) (train.Step, bool, error) {
	switch {
	case d.ended:
		return train.Step{}, true, nil
	case said == nil:
		return train.Step{Name: stepDeal}, false, nil
	case d.span == nil:
		span, err := newSpan(said, d.within)
		if err != nil {
			return train.Step{}, false, err
		}
		if span.n == 0 && d.entries > 0 {
			return train.Step{}, false, span.none()
		}
		d.span = span
	case d.halves%2 == 0: // the items of an iteration were solved
		loss, err := lossOf(said, len(d.losses)+1, d.span.remedy())
		if err != nil {
			return train.Step{}, false, err
		}
		d.losses = append(d.losses, loss)
	}
	if len(d.losses) == d.iterations {
		d.ended = true
		return train.Step{Name: stepEnd, Input: model.Append(d.span.encode(), d.losses...)}, false, nil
	}
	d.halves++
	next := train.Step{Name: stepUsers, Input: d.span.encode()}
	if d.halves%2 == 0 {
		next.Name = stepItems
	}
	return next, false, nil
}

type ratingWorker struct {
	*train.Data
	ratingSettings
	width                  int
	within                 within
	implicit               bool
	implicitRegularization float64
	seed                   uint64
	threads                int

	rows    *similarity.Rows // own users × all items with ratings; where implicit, all items that they have, with NaN for one without a rating
	columns *similarity.Rows // own items × all users
	y       []float32        // of own items, where implicit
	penalty float64          // part of the objective that is the penalty on own users
}

func newRatingWorker(d *train.Data, s model.Settings, threads int, implicit bool) (*ratingWorker, error) {
	if err := d.Rows.Validate(); err != nil {
		return nil, err
	}
	o := ratingSettingsOf(s)
	w := &ratingWorker{Data: d, ratingSettings: o, width: o.rowWidth(), within: withinOf(s), implicit: implicit, seed: uint64(s.Whole("seed")), threads: max(1, threads)}
	if implicit {
		w.implicitRegularization = s.Number("implicit-regularization")
	}
	return w, nil
}

func (w *ratingWorker) Do(ctx context.Context, step train.Step, peers train.Peers) ([]byte, error) {
	switch step.Name {
	case stepDeal:
		return w.deal(ctx, peers)
	case stepEnd:
		return nil, w.end(step.Input, peers)
	}
	span, _, err := decodeSpan(step.Input)
	if err != nil {
		return nil, fmt.Errorf("step %s: %w", step.Name, err)
	}
	switch step.Name {
	case stepUsers:
		return nil, w.solveUsers(ctx, span, peers)
	case stepItems:
		return w.solveItems(ctx, span, peers)
	}
	return nil, fmt.Errorf("unknown step %q", step.Name)
}

// rated says whether an entry has a rating: NaN is none.
func rated(r float32) bool { return r == r }

// deal gives the owner of each item its users, and says what ratings there are of own users, for newSpan.
func (w *ratingWorker) deal(ctx context.Context, peers train.Peers) ([]byte, error) {
	ratings, err := w.Ratings(ctx)
	if err != nil {
		return nil, err
	}
	h := histogram{}
	w.rows = &similarity.Rows{NumItems: w.Shape.Items, Start: []int64{0}, Weight: []float32{}}
	for u := range w.Rows.NumUsers() {
		for at := w.Rows.Start[u]; at < w.Rows.Start[u+1]; at++ {
			r := ratings[at-w.Rows.Start[0]]
			if rated(r) && !w.within.has(r) {
				h.out++
				r = float32(math.NaN())
			}
			if rated(r) {
				h.add(r)
			} else if !w.implicit {
				continue
			}
			w.rows.Item, w.rows.Weight = append(w.rows.Item, w.Rows.Item[at]), append(w.rows.Weight, r)
		}
		w.rows.Start = append(w.rows.Start, int64(len(w.rows.Item)))
	}
	return h.encode(), dealColumns(w.Data, w.rows, peers)
}

// startItems draws the factors of all items, by id.
func (w *ratingWorker) startItems() ([]float32, error) {
	items := make([]float32, w.Shape.Items*w.width)
	scale := 1 / math.Sqrt(float64(max(1, w.factors)))
	for i := range w.Shape.Items {
		rng := rand.New(rand.NewPCG(w.seed, uint64(i)))
		row := items[i*w.width:][:w.width]
		for j := range w.factors {
			row[j] = float32(scale * rng.NormFloat64())
		}
		row[w.factors+1] = 1
	}
	return items, nil
}

// solveUsers solves the own users, with the items as they are.
func (w *ratingWorker) solveUsers(ctx context.Context, span *span, peers train.Peers) (err error) {
	var items, y []float32
	if w.columns == nil {
		if items, err = together(ctx, peers, putItems, w.startItems); err != nil {
			return err
		}
		if w.columns, err = gatherColumns(ctx, w.Data, peers); err != nil {
			return err
		}
		if w.implicit {
			w.y = make([]float32, w.columns.NumUsers()*w.width)
		}
	} else {
		for owner := range w.Shape.Workers() {
			peers.Drop(putColumns(owner))
		}
		if items, err = allItems(ctx, &w.Shape, w.width, peers, putItems); err != nil {
			return err
		}
		peers.Drop(putItems) // behind this step, so that there is one generation
		if w.implicit {
			if y, err = allItems(ctx, &w.Shape, w.width, peers, putImplicit); err != nil {
				return err
			}
			peers.Drop(putImplicit)
		}
	}
	users := make([]float32, w.rows.NumUsers()*w.width)
	var pulls []float32
	if w.implicit {
		pulls = make([]float32, len(users))
	}
	_, w.penalty, err = w.each(ctx, w.rows.NumUsers(), func(s *rowSolver, u int) (_, penalty float64, err error) {
		lo, hi := w.rows.Start[u], w.rows.Start[u+1]
		x := users[u*w.width:][:w.width]
		if !s.user(x, items, y, w.rows.Item[lo:hi], w.rows.Weight[lo:hi], span) {
			return 0, 0, span.noSolution()
		}
		c, squares := s.penalty(len(s.ids)), 0.0
		for j, z := range s.expected[:s.factors] {
			d := float64(x[j]) - float64(z)
			squares += d * d
		}
		if w.implicit {
			pull, share := pulls[u*w.width:][:w.width], c/math.Sqrt(float64(max(1, hi-lo)))
			for j, z := range s.expected[:s.factors] {
				pull[j] = float32(share * (float64(x[j]) - float64(z)))
			}
			pull[s.factors] = float32(c)
		}
		bias := float64(x[s.factors+1])
		return 0, c*squares + s.biasRegularization*bias*bias, nil
	})
	if err != nil {
		return err
	}
	if w.implicit {
		err = peers.Put(putPulls, model.Bytes(pulls))
	}
	return errors.Join(err, peers.Put(putUsers, model.Bytes(users)))
}

// solveItems solves the own items, with the users as they are, and then moves their y. It says its part of the objective before that move.
func (w *ratingWorker) solveItems(ctx context.Context, span *span, peers train.Peers) ([]byte, error) {
	users, err := allUsers(ctx, &w.Shape, w.width, peers, putUsers)
	if err != nil {
		return nil, err
	}
	peers.Drop(putUsers)
	var pulls []float32
	if w.implicit {
		if pulls, err = allUsers(ctx, &w.Shape, w.width, peers, putPulls); err != nil {
			return nil, err
		}
		peers.Drop(putPulls)
	}
	items, y := make([]float32, w.columns.NumUsers()*w.width), make([]float32, len(w.y))
	loss, _, err := w.each(ctx, w.columns.NumUsers(), func(s *rowSolver, i int) (least, _ float64, err error) {
		lo, hi := w.columns.Start[i], w.columns.Start[i+1]
		ids := w.columns.Item[lo:hi]
		least, ok := s.item(items[i*w.width:][:w.width], users, ids, w.columns.Weight[lo:hi], span)
		switch {
		case !ok:
			return 0, 0, span.noSolution()
		case !w.implicit:
			return least, 0, nil
		}
		sums := s.expected
		clear(sums)
		combineAt(sums, s.ones(len(ids)), pulls, ids, w.width)
		all := float64(sums[w.factors]) + w.implicitRegularization
		for j, before := range w.y[i*w.width:][:w.factors] {
			v := float64(before)
			least += w.implicitRegularization * v * v
			y[i*w.width+j] = float32(v + (float64(sums[j])-w.implicitRegularization*v)/all)
		}
		return least, 0, nil
	})
	if err != nil {
		return nil, err
	}
	w.y = y
	if w.implicit {
		err = peers.Put(putImplicit, model.Bytes(y))
	}
	return model.Append(nil, loss+w.penalty), errors.Join(err, peers.Put(putItems, model.Bytes(items)))
}

// each is eachRow with the solvers of these ratings.
func (w *ratingWorker) each(ctx context.Context, n int, solve func(s *rowSolver, row int) (part, penalty float64, err error)) (part, penalty float64, err error) {
	return eachRow(ctx, w.threads, n, func() *rowSolver { return newRowSolver(w.ratingSettings) }, solve)
}

// end puts how many ratings the own items have.
func (w *ratingWorker) end(report []byte, peers train.Peers) error {
	counts := make([]uint32, w.columns.NumUsers())
	for i := range counts {
		for _, r := range w.columns.Weight[w.columns.Start[i]:w.columns.Start[i+1]] {
			if rated(r) {
				counts[i]++
			}
		}
	}
	err := peers.Put(putItemCounts, model.Bytes(counts))
	if w.Worker == 0 {
		err = errors.Join(err, peers.Put(putReport, report))
	}
	return err
}

func writeRatings(ctx context.Context, kind uint32, shape train.Shape, s model.Settings, get func(context.Context, int, string) ([]byte, error), w io.Writer) error {
	o := ratingSettingsOf(s)
	f := &file{kind: kind, users: shape.Users, factors: o.factors + slots}
	report, err := get(ctx, 0, putReport)
	if err != nil {
		return err
	}
	span, losses, err := decodeSpan(report)
	if err != nil {
		return fmt.Errorf("%q of worker 0: %w", putReport, err)
	}
	within := withinOf(s)
	f.settings = [fileSettings]float64{span.mean, span.low, span.high, o.regularization, o.scaling, o.biasRegularization, within.least, within.greatest}
	f.report = losses
	if f.items, err = getItems(ctx, get, putItems, &shape, f.width()); err != nil {
		return err
	}
	if kind == fileSVDPP {
		if f.implicit, err = getItems(ctx, get, putImplicit, &shape, f.width()); err != nil {
			return err
		}
	}
	if f.counts, err = getCounts(ctx, get, &shape); err != nil {
		return err
	}
	return f.write(w)
}
