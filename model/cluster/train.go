package cluster

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"

	"golang.org/x/sync/errgroup"
	"gonum.org/v1/gonum/mat"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/train"
)

// What may be grouped, in the order of the choices of the parameter of.
const (
	ofUsers = iota
	ofItems
	ofOrders
)

const (
	maxK    = 4096
	maxRank = 1024
	maxList = 100_000
	// described is how many items describe a group.
	described = 20
	// kTries is the most numbers of groups that are tried where the number is left open.
	kTries = 8
	// shareSmoothing is the number of users that a group has besides its own, who like what all like: one user of a small group makes no favorite.
	shareSmoothing = 5
	// priorPart is the weight of the prior of log-odds, in parts of the entries of an average group.
	priorPart = 0.1
)

// Kind is the model "clusters".
//
// R is the matrix of users × items with the entries sign(w)·log2(1+|w|)/n_i^discount, n_i the number of users of item i. Its rank largest singular values σ and right
// singular vectors V come from a random start, multiplied by RᵀR 1+power times and made orthonormal each time (subspace iteration: Halko, Martinsson and
// Tropp, SIAM Review 53(2), 2011, algorithm 4.4 [halko2011]): each worker multiplies by its rows, each owner of items adds up what all have, and of
// the Gram matrix of it, rank × rank, the driver makes what makes it orthonormal. A user is the row x·V, an item its row of V·diag(σ), an order the row
// that a user of just its items would have; all of length 1, so that distances are those of angles. Who has none is in no group.
//
// Costs: 2·(1+power)·entries·rank multiply-adds, and 8·items·rank bytes from each worker, for V; then n·k·rank for each pass, of which the bounds leave out much. Counting what
// is in a group takes k·items·4 bytes at each worker.
var Kind = &train.Kind{
	Name: "clusters",
	Doc:  "groups of users, items or orders by k-means, and what is liked in them",
	Parameters: []model.Parameter{
		{Name: "of", Doc: "what is grouped; orders need single events", Choices: []string{"users", "items", "orders"}},
		{Name: "k", Doc: "number of groups; 0 looks for the best silhouette up to k-max", Default: 30, Low: 0, High: maxK, Whole: true, Search: [2]float64{5, 200}, Log: true},
		{Name: "k-max", Doc: "most groups, where k is 0", Default: 60, Low: 2, High: maxK, Whole: true},
		{Name: "rank", Doc: "components of the vectors", Default: 32, Low: 1, High: maxRank, Whole: true, Search: [2]float64{8, 128}, Log: true},
		{Name: "power", Doc: "times that the vectors are refined", Default: 3, Low: 0, High: 20, Whole: true},
		{Name: "discount", Doc: "power of the number of users by which a popular item counts less in a vector", Default: 0.5, Low: 0, High: 1, Search: [2]float64{0, 1}},
		{Name: "lift", Doc: "power of the lift of an item in the group, against its share, in scores", Default: 0, Low: 0, High: 2, Search: [2]float64{0, 1}},
		{Name: "list", Doc: "items that are kept for each group", Default: 1000, Low: 1, High: maxList, Whole: true},
		{Name: "iterations", Doc: "most passes", Default: 50, Low: 1, High: 10_000, Whole: true},
		{Name: "restarts", Doc: "times that it begins anew; the least loss is kept", Default: 1, Low: 1, High: 100, Whole: true},
		{Name: "batch", Doc: "expected vectors of a pass; 0 takes all", Default: 0, Low: 0, High: 1e9, Whole: true},
		{Name: "bounds", Doc: "what leaves distances out; the result is the same", Choices: []string{"hamerly", "none"}},
		{Name: "seed", Doc: "chooses the random numbers", Default: 1, Low: 0, High: 1 << 52, Whole: true},
	},
	NewDriver: newDriver,
	NewWorker: newWorker,
	Write:     write,
	Read:      func(file []byte) (train.Model, error) { return Read(file) },
}

func optionsOf(s model.Settings) Options {
	o := DefaultOptions()
	o.Seed, o.Iterations, o.Restarts = uint64(s.Number("seed")), s.Whole("iterations"), s.Whole("restarts")
	o.MiniBatch, o.Plain, o.Spherical = s.Whole("batch"), s.Choice("bounds") == "none", true
	return o
}

// numbersOf returns the numbers of groups to try: k, or a geometric row from 2 to k-max.
func numbersOf(s model.Settings) []int {
	if k := s.Whole("k"); k > 0 {
		return []int{k}
	}
	var ks []int
	for i := range kTries {
		ks = append(ks, int(math.Round(2*math.Pow(s.Number("k-max")/2, float64(i)/(kTries-1)))))
	}
	return slices.Compact(ks)
}

// header is what the driver knows in the end.
type header struct {
	dim      int
	centers  []float32
	counts   []int64
	entries  []int64 // of the members
	spread   []float64
	silhouet []float64
	trials   []Trial
	best     int
}

func (h *header) encode() []byte {
	b := putSlice(putNumber(nil, uint64(h.dim)), h.centers)
	b = putSlice(putSlice(b, h.counts), h.entries)
	b = putSlice(putSlice(b, h.spread), h.silhouet)
	b = putNumber(putNumber(b, uint64(h.best)), uint64(len(h.trials)))
	for _, t := range h.trials {
		b = putNumber(putNumber(putNumber(putNumber(b, uint64(t.K)), uint64(t.Seeding)), uint64(t.Distances)), uint64(t.Plain))
		b = putSlice(putFloat(b, t.Silhouette), t.Loss)
	}
	return b
}

func (h *header) decode(r *reader) {
	h.dim = r.size("the rank", maxRank)
	h.centers, h.counts = slice[float32](r), slice[int64](r)
	k := len(h.counts)
	h.entries, h.spread, h.silhouet = exact[int64](r, "numbers of entries", k), exact[float64](r, "spreads", k), exact[float64](r, "silhouettes", k)
	h.best = r.size("the best trial", maxTrials)
	for range r.size("the number of trials", maxTrials) {
		t := Trial{K: r.size("the number of groups", maxK), Seeding: int64(r.number()), Distances: int64(r.number()), Plain: int64(r.number())}
		t.Silhouette, t.Loss = r.float(), slice[float64](r)
		h.trials = append(h.trials, t)
	}
	switch {
	case r.err != nil:
	case h.dim == 0 || len(h.centers) != k*h.dim:
		r.err = fmt.Errorf("%d numbers are not %d centers of %d", len(h.centers), k, h.dim)
	case k > maxK, len(h.trials) > 0 && h.best >= len(h.trials):
		r.err = fmt.Errorf("%d groups, trial %d of %d", k, h.best, len(h.trials))
	}
	for _, x := range h.centers {
		if !(math.Abs(float64(x)) <= maxComponent) && r.err == nil {
			r.err = fmt.Errorf("component %v of a center", x)
		}
	}
}

// driver leads the workers.
type driver struct {
	shape train.Shape
	s     model.Settings
	rank  int
	turns int // multiplications done
	phase string
	sigma []float64
	fit   *fitting
	h     header
}

func newDriver(shape train.Shape, s model.Settings) (train.Driver, error) {
	return &driver{shape: shape, s: s, rank: s.Whole("rank")}, nil
}

func (d *driver) Progress() float64 {
	all := float64(d.s.Whole("power") + 1)
	if d.fit == nil {
		return 0.4 * float64(d.turns) / all
	}
	return 0.4 + 0.5*d.fit.progress()
}

func (d *driver) Next(said [][]byte) (train.Step, bool, error) {
	step := func(name string, input []byte) (train.Step, bool, error) {
		d.phase = name
		return train.Step{Name: name, Input: input}, false, nil
	}
	switch d.phase {
	case "":
		return step("count", nil)
	case "count":
		return step("total", nil)
	case "total":
		return step("multiply", nil)
	case "multiply":
		return step("gather", nil)
	case "gather":
		turn, err := d.turn(said)
		if err != nil {
			return train.Step{}, false, err
		}
		d.turns++
		return step("turn", turn)
	case "turn":
		if d.turns <= d.s.Whole("power") {
			return step("multiply", nil)
		}
		return step("vectors", putSlice(nil, d.sigma))
	case "vectors", "cluster":
		return d.cluster(said, step)
	case "describe":
		d.h.entries = make([]int64, len(d.h.counts))
		for w, b := range said {
			r := reader{rest: b}
			entries := exact[int64](&r, "numbers of entries", len(d.h.counts))
			if err := r.end(); err != nil {
				return train.Step{}, false, fmt.Errorf("worker %d: %w", w, err)
			}
			for c, n := range entries {
				d.h.entries[c] += n
			}
		}
		return step("finish", d.h.encode())
	default:
		return train.Step{}, true, nil
	}
}

// turn returns what makes the columns of Y orthonormal, of its Gram matrix YᵀY = WΛWᵀ: W·Λ^-½, and 0 for what is below the rounding of Y. The singular values
// are those of R, as Y is about RᵀR·V.
func (d *driver) turn(said [][]byte) ([]byte, error) {
	gram := mat.NewSymDense(d.rank, nil)
	for w, b := range said {
		r := reader{rest: b}
		part := exact[float64](&r, "numbers of a Gram matrix", d.rank*d.rank)
		if err := r.end(); err != nil {
			return nil, fmt.Errorf("worker %d: %w", w, err)
		}
		for i := range d.rank {
			for j := i; j < d.rank; j++ {
				gram.SetSym(i, j, gram.At(i, j)+part[i*d.rank+j])
			}
		}
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(gram, true) {
		return nil, fmt.Errorf("the eigenvalues of the sums over items cannot be found; are there entries of extreme weight?")
	}
	values := eigen.Values(nil)
	var vectors mat.Dense
	eigen.VectorsTo(&vectors)
	out := make([]float64, d.rank*d.rank)
	d.sigma = make([]float64, d.rank)
	for c := range d.rank { // eigenvalues ascend
		value := values[d.rank-1-c]
		if value <= 1e-12*values[d.rank-1] || value <= 0 {
			continue
		}
		d.sigma[c] = math.Sqrt(math.Sqrt(value))
		for j := range d.rank {
			out[j*d.rank+c] = vectors.At(j, d.rank-1-c) / math.Sqrt(value)
		}
	}
	return putSlice(nil, out), nil
}

// cluster goes on with k-means.
func (d *driver) cluster(said [][]byte, step func(string, []byte) (train.Step, bool, error)) (train.Step, bool, error) {
	replies := make([]reply, len(said))
	for w, b := range said {
		var err error
		if replies[w], err = decodeReply(b); err != nil {
			return train.Step{}, false, fmt.Errorf("worker %d: %w", w, err)
		}
	}
	if d.fit == nil {
		var total int64
		for _, r := range replies {
			total += r.Changed
		}
		d.h.dim = d.rank
		d.fit = newFitting(d.rank, total, numbersOf(d.s), optionsOf(d.s))
		if total == 0 {
			return step("describe", d.h.encode())
		}
		replies = nil
	}
	st, done := d.fit.next(replies)
	if !done {
		return step("cluster", st.encode())
	}
	f := d.fit
	d.h.centers, d.h.counts, d.h.spread, d.h.trials, d.h.best = f.found[f.best], f.counts, f.spread, f.trials, f.best
	_, d.h.silhouet = silhouette(f.sample, d.h.centers, d.rank)
	d.h.entries = make([]int64, len(d.h.counts))
	return step("describe", d.h.encode())
}

// worker has a part of the users, and owns a part of the items.
type worker struct {
	*train.Data
	s             model.Settings
	of            int
	rank, threads int
	first, end    int       // own items
	users         []int64   // of each own item
	scale         []float32 // of every item: n^-discount, 0 for one without users
	y, q          []float32 // own items × rank
	vectors       *shard
	rows          []uint32 // user of this worker, or own item, of each vector
}

func newWorker(d *train.Data, s model.Settings, threads int) (train.Worker, error) {
	w := &worker{Data: d, s: s, rank: s.Whole("rank"), of: s.Whole("of"), threads: max(1, threads)}
	if w.of == ofOrders && d.Events == nil {
		return nil, fmt.Errorf("orders are made of single events, which these data do not have; want of=users or of=items")
	}
	w.first, w.end = d.Shape.ItemsOf(d.Worker)
	return w, nil
}

func (w *worker) Do(ctx context.Context, st train.Step, peers train.Peers) ([]byte, error) {
	switch st.Name {
	case "count":
		return nil, w.count(peers)
	case "total":
		return nil, w.total(ctx, peers)
	case "multiply":
		return nil, w.multiply(ctx, peers)
	case "gather":
		return w.gather(ctx, peers)
	case "turn":
		return nil, w.turn(st.Input, peers)
	case "vectors":
		return w.makeVectors(ctx, st.Input, peers)
	case "cluster":
		next, err := decodeStep(st.Input)
		if err != nil {
			return nil, err
		}
		if len(next.Centers)%w.rank != 0 {
			return nil, fmt.Errorf("%d numbers are not centers of %d", len(next.Centers), w.rank)
		}
		r, err := w.vectors.do(ctx, next)
		return r.encode(), err
	case "describe":
		return w.describe(ctx, st.Input, peers)
	case "finish":
		return nil, w.finish(ctx, st.Input, peers)
	default:
		return nil, fmt.Errorf("unknown step %q", st.Name)
	}
}

func name(what string, owner int) string { return fmt.Sprintf("%s/%d", what, owner) }

// putOwners puts, for each owner, its items' part of x, which has width numbers for each item.
func putOwners[T number](w *worker, peers train.Peers, what string, x []T, width int) error {
	for owner := range w.Shape.Workers() {
		first, end := w.Shape.ItemsOf(owner)
		if err := peers.Put(name(what, owner), putSlice(nil, x[first*width:end*width])); err != nil {
			return err
		}
	}
	return nil
}

// sumOwned calls add with what each worker has put for the own items.
func sumOwned[T number](ctx context.Context, w *worker, peers train.Peers, what string, width int, add func(i int, x T)) error {
	for from := range w.Shape.Workers() {
		part, err := get[T](ctx, peers.Get, from, name(what, w.Worker), (w.end-w.first)*width)
		if err != nil {
			return err
		}
		for i, x := range part {
			add(i, x)
		}
	}
	return nil
}

func get[T number](ctx context.Context, f func(context.Context, int, string) ([]byte, error), from int, what string, n int) ([]T, error) {
	b, err := f(ctx, from, what)
	if err != nil {
		return nil, err
	}
	r := reader{rest: b}
	x := exact[T](&r, "numbers", n)
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("%s of worker %d: %w", what, from, err)
	}
	return x, nil
}

// fromOwners joins what the owners have put of their items.
func fromOwners[T number](ctx context.Context, shape *train.Shape, f func(context.Context, int, string) ([]byte, error), what string, width int) ([]T, error) {
	var all []T
	for owner := range shape.Workers() {
		first, end := shape.ItemsOf(owner)
		part, err := get[T](ctx, f, owner, what, (end-first)*width)
		if err != nil {
			return nil, err
		}
		all = append(all, part...)
	}
	return all, nil
}

func (w *worker) count(peers train.Peers) error {
	counts := make([]uint32, w.Shape.Items)
	n := w.Rows.NumUsers()
	for _, id := range w.Rows.Item[w.Rows.Start[0]:w.Rows.Start[n]] {
		counts[id]++
	}
	return putOwners(w, peers, "count", counts, 1)
}

func (w *worker) total(ctx context.Context, peers train.Peers) error {
	w.users = make([]int64, w.end-w.first)
	if err := sumOwned(ctx, w, peers, "count", 1, func(i int, n uint32) { w.users[i] += int64(n) }); err != nil {
		return err
	}
	return peers.Put("users", putSlice(nil, w.users))
}

// scales returns n^-discount of each item, 0 for one without users.
func scales(users []int64, discount float64) []float32 {
	out := make([]float32, len(users))
	for i, n := range users {
		if n > 0 {
			out[i] = float32(math.Pow(float64(n), -discount))
		}
	}
	return out
}

// value is the entry of R for a weight.
func value(weight, scale float32) float32 {
	return float32(math.Copysign(math.Log2(1+math.Abs(float64(weight))), float64(weight))) * scale
}

// project adds the vector of a row of R, times v, to y.
func project(y []float32, items []uint32, weight func(i int) float32, scale, v []float32) {
	rank := len(y)
	for i, id := range items {
		x := value(weight(i), scale[id])
		for j, q := range v[int(id)*rank : (int(id)+1)*rank] {
			y[j] += x * q
		}
	}
}

func (w *worker) row(u int) (items []uint32, weight func(i int) float32) {
	lo, hi := w.Rows.Start[u], w.Rows.Start[u+1]
	if w.Rows.Weight == nil {
		return w.Rows.Item[lo:hi], func(int) float32 { return 1 }
	}
	weights := w.Rows.Weight[lo:hi]
	return w.Rows.Item[lo:hi], func(i int) float32 { return weights[i] }
}

// ranges calls f for parts of [0, n), several at a time.
func (w *worker) ranges(ctx context.Context, n int, f func(lo, hi int)) error {
	g, ctx := errgroup.WithContext(ctx)
	for t := range w.threads {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			f(t*n/w.threads, (t+1)*n/w.threads)
			return nil
		})
	}
	return g.Wait()
}

// project returns the rows of the own users times v.
func (w *worker) project(ctx context.Context, v []float32) ([]float32, error) {
	y := make([]float32, w.Rows.NumUsers()*w.rank)
	err := w.ranges(ctx, w.Rows.NumUsers(), func(lo, hi int) {
		for u := lo; u < hi; u++ {
			items, weight := w.row(u)
			project(y[u*w.rank:(u+1)*w.rank], items, weight, w.scale, v)
		}
	})
	return y, err
}

func (w *worker) multiply(ctx context.Context, peers train.Peers) error {
	var v []float32
	var err error
	if w.scale == nil {
		users, err := fromOwners[int64](ctx, &w.Shape, peers.Get, "users", 1)
		if err != nil {
			return err
		}
		w.scale = scales(users, w.s.Number("discount"))
		v = make([]float32, w.Shape.Items*w.rank)
		for i := range w.Shape.Items {
			rng := rand.New(rand.NewPCG(uint64(w.s.Number("seed")), uint64(i)))
			for j := range w.rank {
				v[i*w.rank+j] = float32(rng.NormFloat64())
			}
		}
	} else if v, err = fromOwners[float32](ctx, &w.Shape, peers.Get, "q", w.rank); err != nil {
		return err
	}
	y, err := w.project(ctx, v)
	if err != nil {
		return err
	}
	p := make([]float32, w.Shape.Items*w.rank)
	err = w.ranges(ctx, w.Shape.Items, func(lo, hi int) {
		for u := range w.Rows.NumUsers() {
			items, weight := w.row(u)
			at, _ := slices.BinarySearch(items, uint32(lo))
			for ; at < len(items) && int(items[at]) < hi; at++ {
				x := value(weight(at), w.scale[items[at]])
				to := p[int(items[at])*w.rank:]
				for j, e := range y[u*w.rank : (u+1)*w.rank] {
					to[j] += x * e
				}
			}
		}
	})
	if err != nil {
		return err
	}
	return putOwners(w, peers, "p", p, w.rank)
}

func (w *worker) gather(ctx context.Context, peers train.Peers) ([]byte, error) {
	sums := make([]float64, (w.end-w.first)*w.rank)
	if err := sumOwned(ctx, w, peers, "p", w.rank, func(i int, x float32) { sums[i] += float64(x) }); err != nil {
		return nil, err
	}
	w.y = make([]float32, len(sums))
	gram := make([]float64, w.rank*w.rank)
	for at := 0; at < len(sums); at += w.rank {
		row := sums[at : at+w.rank]
		for i, a := range row {
			w.y[at+i] = float32(a)
			for j, b := range row {
				gram[i*w.rank+j] += a * b
			}
		}
	}
	return putSlice(nil, gram), nil
}

func (w *worker) turn(input []byte, peers train.Peers) error {
	r := reader{rest: input}
	turn := exact[float64](&r, "numbers of a matrix", w.rank*w.rank)
	if err := r.end(); err != nil {
		return err
	}
	for owner := range w.Shape.Workers() {
		peers.Drop(name("p", owner))
	}
	w.q = make([]float32, len(w.y))
	sum := make([]float64, w.rank)
	for at := 0; at < len(w.y); at += w.rank {
		clear(sum)
		for i, x := range w.y[at : at+w.rank] {
			for j, t := range turn[i*w.rank : (i+1)*w.rank] {
				sum[j] += float64(x) * t
			}
		}
		for j, x := range sum {
			w.q[at+j] = float32(x)
		}
	}
	return peers.Put("q", putSlice(nil, w.q))
}

// makeVectors makes the vectors that are grouped, and says their number.
func (w *worker) makeVectors(ctx context.Context, input []byte, peers train.Peers) ([]byte, error) {
	r := reader{rest: input}
	sigma := exact[float64](&r, "singular values", w.rank)
	if err := r.end(); err != nil {
		return nil, err
	}
	var x []float32
	var ids []uint64
	keep := func(v []float32, id uint64, row int) {
		if unit(v) {
			x, ids, w.rows = append(x, v...), append(ids, id), append(w.rows, uint32(row))
		}
	}
	switch w.of {
	case ofItems:
		v := make([]float32, w.rank)
		for i := range w.end - w.first {
			for j, s := range sigma {
				v[j] = w.q[i*w.rank+j] * float32(s)
			}
			keep(v, uint64(w.first+i), i)
		}
	default:
		v, err := fromOwners[float32](ctx, &w.Shape, peers.Get, "q", w.rank)
		if err != nil {
			return nil, err
		}
		if w.of == ofUsers {
			y, err := w.project(ctx, v)
			if err != nil {
				return nil, err
			}
			for u := range w.Rows.NumUsers() {
				keep(y[u*w.rank:(u+1)*w.rank], uint64(w.Shape.FirstUser[w.Worker]+u), u)
			}
			break
		}
		one := make([]float32, w.rank)
		err = w.orders(ctx, func(user, number int, items []uint32) {
			clear(one)
			project(one, items, func(int) float32 { return 1 }, w.scale, v)
			keep(one, uint64(w.Shape.FirstUser[w.Worker]+user)<<24+uint64(number), user)
		})
		if err != nil {
			return nil, err
		}
	}
	w.vectors = newShard(x, w.rank, ids, uint64(w.s.Number("seed")), w.s.Choice("bounds") == "none", w.threads)
	n := reply{Changed: int64(w.vectors.len())}
	return n.encode(), nil
}

// orders calls f with the items of each order of each user, ascending and unique, if it has any of the matrix.
func (w *worker) orders(ctx context.Context, f func(user, number int, items []uint32)) error {
	return w.Events(ctx, func(user int, events []train.Event) error {
		events = slices.DeleteFunc(slices.Clone(events), func(e train.Event) bool { return int64(e.Item) >= int64(w.Shape.Items) })
		slices.SortStableFunc(events, func(a, b train.Event) int {
			return cmp.Or(cmp.Compare(a.Basket, b.Basket), cmp.Compare(a.Item, b.Item))
		})
		number := 0
		for len(events) > 0 {
			var items []uint32
			n := 0
			for n < len(events) && events[n].Basket == events[0].Basket {
				items = append(items, events[n].Item)
				n++
			}
			f(user, number, slices.Compact(items))
			events = events[n:]
			number++
		}
		return nil
	})
}

// describe counts, for the owners of items, the members of each group that have each item, and says how many entries each group has.
func (w *worker) describe(ctx context.Context, input []byte, peers train.Peers) ([]byte, error) {
	var h header
	r := reader{rest: input}
	if h.decode(&r); r.end() != nil {
		return nil, r.err
	}
	k := len(h.counts)
	entries := make([]int64, k)
	if w.of == ofItems {
		for v, i := range w.rows {
			entries[w.vectors.of[v]] += w.users[i]
		}
		return putSlice(nil, entries), nil
	}
	members := make([]uint32, w.Shape.Items*k)
	note := func(c int32, items []uint32) {
		entries[c] += int64(len(items))
		for _, id := range items {
			members[int(id)*k+int(c)]++
		}
	}
	if w.of == ofUsers {
		for v, u := range w.rows {
			items, _ := w.row(int(u))
			note(w.vectors.of[v], items)
		}
	} else {
		at := 0
		err := w.orders(ctx, func(user, number int, items []uint32) {
			id := uint64(w.Shape.FirstUser[w.Worker]+user)<<24 + uint64(number)
			if at < w.vectors.len() && w.vectors.ids[at] == id {
				note(w.vectors.of[at], items)
				at++
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return putSlice(nil, entries), putOwners(w, peers, "members", members, k)
}

// finish makes the lists of the own items.
func (w *worker) finish(ctx context.Context, input []byte, peers train.Peers) error {
	var h header
	r := reader{rest: input}
	if h.decode(&r); r.end() != nil {
		return r.err
	}
	if w.Worker == 0 {
		if err := peers.Put("header", input); err != nil {
			return err
		}
	}
	k := len(h.counts)
	lists := make([]list, k)
	if w.of == ofItems {
		w.listItems(&h, lists)
		groups := make([]int32, w.end-w.first)
		for i := range groups {
			groups[i] = -1
		}
		for v, i := range w.rows {
			groups[i] = w.vectors.of[v]
		}
		if err := peers.Put("groups", putSlice(nil, groups)); err != nil {
			return err
		}
	} else {
		counts := make([]int64, (w.end-w.first)*k)
		if err := sumOwned(ctx, w, peers, "members", k, func(i int, n uint32) { counts[i] += int64(n) }); err != nil {
			return err
		}
		w.listMembers(&h, counts, lists)
	}
	var b []byte
	for c := range lists {
		lists[c].cut(w.s.Whole("list"))
		b = lists[c].encode(b)
	}
	return peers.Put("lists", b)
}

// listItems lists the own items by group: score is the share of the item in the entries of the group, the rank as a description the nearness to the center.
func (w *worker) listItems(h *header, lists []list) {
	for v, i := range w.rows {
		c := w.vectors.of[v]
		l := &lists[c]
		id := uint32(w.first) + i
		score := float32(float64(w.users[i]) / float64(h.entries[c]))
		near := distance2(w.vectors.vector(v), w.vectors.center(h.centers, c))
		l.favorites = append(l.favorites, favorite{id, score})
		l.marks = append(l.marks, Mark{Item: id, Count: w.users[i], Lift: 1, Z: 1 - near/2})
	}
}

// listMembers lists the own items by group, where members have items.
func (w *worker) listMembers(h *header, counts []int64, lists []list) {
	k := len(lists)
	var members, entries float64
	for c := range k {
		members += float64(h.counts[c])
		entries += float64(h.entries[c])
	}
	prior, power := priorPart*entries/float64(k), w.s.Number("lift")
	for i := range w.end - w.first {
		var all float64
		for _, n := range counts[i*k : (i+1)*k] {
			all += float64(n)
		}
		if all == 0 {
			continue
		}
		id, share := uint32(w.first+i), all/members
		for c, n := range counts[i*k : (i+1)*k] {
			if n == 0 {
				continue
			}
			own := (float64(n) + shareSmoothing*share) / (float64(h.counts[c]) + shareSmoothing)
			lists[c].favorites = append(lists[c].favorites, favorite{id, float32(own * math.Pow(own/share, power))})
			mark := Mark{Item: id, Count: n, Lift: float64(n) / float64(h.counts[c]) / share}
			mark.Z = logOddsZ(float64(n), float64(h.entries[c]), all-float64(n), entries-float64(h.entries[c]), prior*all/entries, prior)
			lists[c].marks = append(lists[c].marks, mark)
		}
	}
}

// logOddsZ is the z-score of the log-odds-ratio of an item between a group, y of n entries, and the others, z of m, with a Dirichlet prior of weight a for the item
// and a0 for all: Monroe, Colaresi and Quinn, Political Analysis 16(4), 2008, equations 15, 16, 18 to 22 [monroe2008].
func logOddsZ(y, n, z, m, a, a0 float64) float64 {
	odds := func(y, n float64) float64 { return math.Log((y + a) / math.Max(n+a0-y-a, math.SmallestNonzeroFloat32)) }
	return (odds(y, n) - odds(z, m)) / math.Sqrt(1/(y+a)+1/(z+a))
}

func write(ctx context.Context, shape train.Shape, s model.Settings, get func(context.Context, int, string) ([]byte, error), out io.Writer) error {
	head, err := get(ctx, 0, "header")
	if err != nil {
		return err
	}
	m := Model{of: s.Whole("of"), numUsers: shape.Users, numItems: shape.Items, discount: s.Number("discount")}
	r := reader{rest: head}
	if m.header.decode(&r); r.end() != nil {
		return r.err
	}
	if m.users, err = fromOwners[int64](ctx, &shape, get, "users", 1); err != nil {
		return err
	}
	if m.v, err = fromOwners[float32](ctx, &shape, get, "q", m.header.dim); err != nil {
		return err
	}
	if m.of == ofItems {
		if m.groups, err = fromOwners[int32](ctx, &shape, get, "groups", 1); err != nil {
			return err
		}
	}
	m.lists = make([]list, len(m.header.counts))
	for owner := range shape.Workers() {
		b, err := get(ctx, owner, "lists")
		if err != nil {
			return err
		}
		r := reader{rest: b}
		for c := range m.lists {
			m.lists[c].join(&r, shape.Items)
		}
		if err := r.end(); err != nil {
			return fmt.Errorf("lists of worker %d: %w", owner, err)
		}
	}
	for c := range m.lists {
		m.lists[c].cut(s.Whole("list"))
	}
	_, err = out.Write(m.encode())
	return err
}
