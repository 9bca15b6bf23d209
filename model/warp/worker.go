package warp

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"

	"gonum.org/v1/gonum/blas/blas32"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/linear"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

// Rows of parameters are those of the items, then those of their features, then those of the features of users. A row is x, b and y: 2·factors + 1 numbers. Of users
// there is only y.
type worker struct {
	data                 *train.Data
	threads              int
	features             *similarity.Rows
	factors, batches     int
	draws                int
	rate, regularization float64
	seed                 uint64
	attributes           []string // of users
	cold                 float64

	traits traits
	users  *similarity.Rows // users of this worker × traits, with weights

	counts []uint64
	had    []uint32 // items that somebody has, ascending: what is drawn from

	own     []float32       // all rows
	item    []float32       // rows of the items with what their features add; own if there are no features
	squares []float64       // of the owned rows: what Adagrad has added up
	sums    []int64         // gradients of all rows in fixed point, zero between batches
	touched []bool          // rows of sums
	locks   [256]sync.Mutex // of rows of sums and touched, by the number of the row
	drawing []drawing       // of each thread
}

func (w *worker) width() int { return 2*w.factors + 1 }

func (w *worker) rows() int { return w.firstTrait() + w.traits.size() }

// firstTrait is the first row of the features of users.
func (w *worker) firstTrait() int { return w.data.Shape.Items + w.features.NumItems }

// owned returns the rows that a worker owns.
func (w *worker) owned(worker int) (first, end int) {
	n := w.data.Shape.Workers()
	return worker * w.rows() / n, (worker + 1) * w.rows() / n
}

func (w *worker) Do(ctx context.Context, step train.Step, peers train.Peers) ([]byte, error) {
	switch step.Name {
	case stepCount:
		users, _ := w.data.Rows.Counts()
		var b []byte
		for _, n := range users {
			b = binary.LittleEndian.AppendUint64(b, uint64(n))
		}
		if len(w.attributes) == 0 {
			return b, nil
		}
		had, err := tallies(w.attributes, w.data.Profiles, func(u int) bool { return w.data.Rows.Start[u] < w.data.Rows.Start[u+1] })
		if err != nil {
			return nil, err
		}
		text, err := json.Marshal(had)
		return append(b, text...), err
	case stepGradient:
		if len(step.Input) < 8 {
			return nil, fmt.Errorf("%d bytes say which batch, want 8", len(step.Input))
		}
		if err := w.begin(ctx, step.Input[8:], peers); err != nil {
			return nil, err
		}
		return nil, w.gradient(ctx, peers, binary.LittleEndian.Uint32(step.Input), binary.LittleEndian.Uint32(step.Input[4:]))
	case stepUpdate:
		return nil, w.update(ctx, peers)
	case stepFinish:
		if err := w.begin(ctx, step.Input, peers); err != nil || w.data.Worker > 0 {
			return nil, err
		}
		file, err := w.file()
		if err != nil {
			return nil, err
		}
		return nil, peers.Put(nameModel, file)
	}
	return nil, fmt.Errorf("unknown step %q", step.Name)
}

// begin makes the parameters: the first ones, of the counts of items and the features of users, or those that the owners have put.
func (w *worker) begin(ctx context.Context, known []byte, peers train.Peers) error {
	if w.own == nil {
		if err := w.first(known); err != nil {
			return err
		}
	} else {
		for worker := range w.data.Shape.Workers() {
			b, err := peers.Get(ctx, worker, nameOwned)
			if err != nil {
				return err
			}
			first, end := w.owned(worker)
			own := w.own[first*w.width() : end*w.width()]
			if len(b) != 4*len(own) {
				return fmt.Errorf("parameters of worker %d: %d bytes for %d rows", worker, len(b), end-first)
			}
			for k := range own {
				own[k] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*k:]))
			}
		}
	}
	if w.features.NumItems == 0 {
		w.item = w.own
		return nil
	}
	width, items := w.width(), w.data.Shape.Items
	w.item = append(w.item[:0], w.own[:items*width]...)
	for i := range items {
		row := blas32.Vector{N: width, Inc: 1, Data: w.item[i*width : (i+1)*width]}
		w.eachFeature(i, func(r int, weight float32) {
			blas32.Axpy(weight, blas32.Vector{N: width, Inc: 1, Data: w.own[r*width : (r+1)*width]}, row)
		})
	}
	return nil
}

// eachFeature calls f for the rows of the features of an item.
func (w *worker) eachFeature(item int, f func(row int, weight float32)) {
	for k := w.features.Start[item]; k < w.features.Start[item+1]; k++ {
		weight := float32(1)
		if w.features.Weight != nil {
			weight = w.features.Weight[k]
		}
		f(w.data.Shape.Items+int(w.features.Item[k]), weight)
	}
}

// first makes what there is before the first batch. x and b are zero, so that all scores are, and y is small and random; it is zero of items that nobody has, for
// it would stay as it is.
func (w *worker) first(known []byte) error {
	items, width := w.data.Shape.Items, w.width()
	if len(known) < 8*items {
		return fmt.Errorf("counts: %d bytes for %d items", len(known), items)
	}
	counts, rest := known[:8*items], known[8*items:]
	if len(w.attributes) > 0 {
		var err error
		if w.traits, err = readTraits(rest); err != nil {
			return fmt.Errorf("features of users: %w", err)
		}
		w.users = &similarity.Rows{NumItems: w.traits.size(), Start: []int64{0}}
		for _, profile := range w.data.Profiles {
			traits, weights := w.traits.of(profile)
			w.users.Item, w.users.Weight = append(w.users.Item, traits...), append(w.users.Weight, weights...)
			w.users.Start = append(w.users.Start, int64(len(w.users.Item)))
		}
	}
	w.counts = make([]uint64, items)
	for i := range w.counts {
		if w.counts[i] = binary.LittleEndian.Uint64(counts[8*i:]); w.counts[i] > 0 {
			w.had = append(w.had, uint32(i))
		}
	}
	w.own = make([]float32, w.rows()*width)
	for r := range w.rows() {
		if r < items && w.counts[r] == 0 {
			continue
		}
		random := rand.New(rand.NewPCG(w.seed, uint64(r)))
		for k := range w.factors {
			w.own[r*width+w.factors+1+k] = (random.Float32() - 0.5) / float32(w.factors)
		}
	}
	first, end := w.owned(w.data.Worker)
	w.squares = make([]float64, (end-first)*width)
	w.sums, w.touched = make([]int64, w.rows()*width), make([]bool, w.rows())
	w.drawing = make([]drawing, w.threads)
	return nil
}

// gradient adds up the gradients of the users of this worker that are in a batch, and puts them, by owner.
func (w *worker) gradient(ctx context.Context, peers train.Peers, iteration, batch uint32) error {
	const together = 16 // users that a thread takes at a time
	users := w.data.Rows.NumUsers()
	if len(w.had) > 1 {
		if err := linear.ForEach(ctx, w.threads, (users+together-1)/together, func(thread, k int) error {
			for u := k * together; u < min(users, (k+1)*together); u++ {
				id := uint64(w.data.Shape.FirstUser[w.data.Worker] + u)
				if random := rand.NewPCG(w.seed^uint64(iteration)<<32, id); random.Uint64()%uint64(w.batches) == uint64(batch) {
					w.user(&w.drawing[thread], u, rand.New(random))
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	width := w.width()
	for owner := range w.data.Shape.Workers() {
		var b []byte
		first, end := w.owned(owner)
		for r := first; r < end; r++ {
			if !w.touched[r] {
				continue
			}
			w.touched[r] = false
			sums := w.sums[r*width : (r+1)*width]
			b = binary.LittleEndian.AppendUint32(b, uint32(r))
			for _, x := range sums {
				b = binary.LittleEndian.AppendUint64(b, uint64(x))
			}
			clear(sums)
		}
		if err := peers.Put(fmt.Sprint(nameGradient, owner), b); err != nil {
			return err
		}
	}
	return nil
}

// update makes the step of the rows that this worker owns, and puts them.
func (w *worker) update(ctx context.Context, peers train.Peers) error {
	first, end := w.owned(w.data.Worker)
	width := w.width()
	size := 4 + 8*width
	for worker := range w.data.Shape.Workers() {
		b, err := peers.Get(ctx, worker, fmt.Sprint(nameGradient, w.data.Worker))
		if err != nil {
			return err
		}
		if len(b)%size != 0 {
			return fmt.Errorf("gradients of worker %d: %d bytes, want a multiple of %d", worker, len(b), size)
		}
		for ; len(b) > 0; b = b[size:] {
			r := int(binary.LittleEndian.Uint32(b))
			if r < first || r >= end {
				return fmt.Errorf("gradients of worker %d: row %d, want [%d,%d)", worker, r, first, end)
			}
			w.touched[r] = true
			for k, sums := 0, w.sums[r*width:(r+1)*width]; k < width; k++ {
				sums[k] += int64(binary.LittleEndian.Uint64(b[4+8*k:]))
			}
		}
	}
	b := make([]byte, 0, 4*(end-first)*width)
	for r := first; r < end; r++ {
		own, sums := w.own[r*width:(r+1)*width], w.sums[r*width:(r+1)*width]
		if w.touched[r] {
			squares := w.squares[(r-first)*width : (r-first+1)*width]
			for k, x := range sums {
				g := float64(x)/fixedOne + float64(w.regularization*float64(own[k]))
				if squares[k] += float64(g * g); squares[k] > 0 {
					own[k] = float32(float64(own[k]) - float64(w.rate*g/math.Sqrt(squares[k])))
				}
			}
			clear(sums)
			w.touched[r] = false
		}
		for _, x := range own {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
		}
	}
	return peers.Put(nameOwned, b)
}

// fixedOne is 1 in fixed point, and maxGradient what one gradient is cut to: 2^25 of that size fit a sum.
const (
	fixedOne    = 1 << 22
	maxGradient = 1 << 16
)

// add adds c·v to the gradient of a part of an item that begins at from, and to that of its features.
func (w *worker) add(item, from int, c float32, v []float32) {
	w.addRow(item, from, c, v)
	w.eachFeature(item, func(row int, weight float32) { w.addRow(row, from, c*weight, v) })
}

func (w *worker) addRow(row, from int, c float32, v []float32) {
	lock := &w.locks[row%len(w.locks)]
	lock.Lock()
	defer lock.Unlock()
	w.touched[row] = true
	sums := w.sums[row*w.width()+from:]
	sums = sums[:len(v)]
	for k, x := range v {
		g := min(maxGradient, max(-maxGradient, float64(c)*float64(x)))
		sums[k] += int64(math.RoundToEven(g * fixedOne))
	}
}

// drawing is the working memory of a thread.
type drawing struct {
	has        []bool    // what the user has, false between users
	sum, q     []float32 // of y of all items and features; without that of one item, times r
	back       []float32 // gradient of sum
	backs      []float32 // of the y of each item of the user, what it has not of back
	difference []float32
}

func (d *drawing) begin(items, factors, n int) {
	if d.has == nil {
		d.has = make([]bool, items)
		for _, to := range []*[]float32{&d.sum, &d.q, &d.back, &d.difference} {
			*to = model.Aligned[float32](factors)
		}
	}
	clear(d.sum)
	clear(d.back)
	if len(d.backs) < n*factors {
		d.backs = make([]float32, n*factors)
	}
	clear(d.backs[:n*factors])
}

var one = []float32{1}

// user adds the gradients of a user.
func (w *worker) user(d *drawing, u int, random *rand.Rand) {
	w.learn(d, u, random, false)
	if traits, _ := w.traitsOf(u); len(traits) > 0 && random.Float64() < w.cold {
		w.learn(d, u, random, true)
	}
}

// learn adds the gradients of a user as one with a history, or, if cold, as one of whom only features are known.
func (w *worker) learn(d *drawing, u int, random *rand.Rand, cold bool) {
	rows := w.data.Rows
	items := rows.Item[rows.Start[u]:rows.Start[u+1]]
	traits, weights := w.traitsOf(u)
	n, factors := len(items), w.factors
	d.begin(w.data.Shape.Items, factors, n)
	sum, q := vector(d.sum), vector(d.q)
	others := 0 // what is added up without the item at hand
	for _, id := range items {
		d.has[id] = true
		if !cold {
			blas32.Axpy(1, vector(w.y(id)), sum)
			others = n - 1
		}
	}
	for i, t := range traits {
		blas32.Axpy(weights[i], vector(w.trait(t)), sum)
	}
	if len(traits) > 0 {
		others++
	}
	r := float32(0)
	if others > 0 {
		r = float32(1 / math.Sqrt(float64(others)))
	}
	for k, id := range items {
		blas32.Copy(sum, q)
		if !cold {
			blas32.Axpy(-1, vector(w.y(id)), q)
		}
		blas32.Scal(r, q)
		least := w.score(d.q, id) - 1
		draws := 1
		var worse uint32
		for ; draws <= w.draws; draws++ {
			worse = w.had[random.IntN(len(w.had))]
			if !d.has[worse] && w.score(d.q, worse) > least {
				break
			}
		}
		if draws > w.draws {
			continue
		}
		rank := (len(w.had) - 1) / draws
		if rank <= 1 {
			continue // as log(1) is 0
		}
		loss := float32(math.Log(float64(rank)))
		w.add(int(id), 0, -loss, d.q)
		w.add(int(id), factors, -loss, one)
		w.add(int(worse), 0, loss, d.q)
		w.add(int(worse), factors, loss, one)
		for f, x := range w.x(id) {
			d.difference[f] = w.x(worse)[f] - x
		}
		blas32.Axpy(loss*r, vector(d.difference), vector(d.back))
		blas32.Axpy(loss*r, vector(d.difference), vector(d.backs[k*factors:(k+1)*factors]))
	}
	for i, t := range traits {
		w.addRow(w.firstTrait()+int(t), factors+1, weights[i], d.back)
	}
	for k, id := range items {
		d.has[id] = false
		if cold {
			continue
		}
		for f, x := range d.back {
			d.difference[f] = x - d.backs[k*factors+f]
		}
		w.add(int(id), factors+1, 1, d.difference)
	}
}

// traitsOf returns the features of a user, and their weights.
func (w *worker) traitsOf(u int) (traits []uint32, weights []float32) {
	if w.users == nil {
		return nil, nil
	}
	return w.users.Item[w.users.Start[u]:w.users.Start[u+1]], w.users.Weight[w.users.Start[u]:w.users.Start[u+1]]
}

func vector(x []float32) blas32.Vector { return blas32.Vector{N: len(x), Inc: 1, Data: x} }

func (w *worker) x(item uint32) []float32 {
	at := int(item) * w.width()
	return w.item[at : at+w.factors]
}

func (w *worker) y(item uint32) []float32 {
	at := int(item)*w.width() + w.factors + 1
	return w.item[at : at+w.factors]
}

// trait returns the y of a feature of users.
func (w *worker) trait(t uint32) []float32 {
	at := (w.firstTrait()+int(t))*w.width() + w.factors + 1
	return w.own[at : at+w.factors]
}

func (w *worker) score(q []float32, item uint32) float32 {
	return w.item[int(item)*w.width()+w.factors] + blas32.Dot(vector(q), vector(w.x(item)))
}
