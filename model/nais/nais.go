// Package nais is the neural attentive item similarity model (He et al., TKDE 2018 [he2018]): a user is what the user had to do with, weighed anew for each item that is asked
// about. With vectors p and q of items,
//
//	score(i) = Σ a(i, j) · p(i)·q(j)  over the items j of the history but i
//	a(i, j)  = e^f(i,j) / (Σ e^f(i,k))^smoothing,  f(i, j) = hᵀ·ReLU(Wᵀ(p(i)⊙q(j)) + b)
//
// is a logit, which is learned from binary cross-entropy as in package ncf. The score is a sum over the history, so each of its items has a part in it: Explain says which. The
// paper's code adds a bias for each item; there is none here, so that nothing of a score is left unexplained.
package nais

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/neural"
	"github.com/kith-io/kith/model/train"
)

var recipe = neural.Recipe{
	Name: "nais",
	Doc:  "attention over the history for each item, which explains its score",
	Parameters: append([]model.Parameter{
		{Name: "factors", Doc: "length of the vectors of items", Default: 16, Low: 1, High: 512, Whole: true, Search: [2]float64{8, 64}, Log: true},
		{Name: "hidden", Doc: "units of the attention", Default: 16, Low: 1, High: 512, Whole: true, Search: [2]float64{8, 64}, Log: true},
		{Name: "smoothing", Doc: "exponent of the sum that attention is divided by", Default: 0.5, Low: 0, High: 1, Search: [2]float64{0.3, 0.8}},
		{Name: "history", Doc: "longest history: newest items when answering, random ones in training", Default: 100, Low: 1, High: 100000, Whole: true},
		{Name: "negatives", Doc: "items drawn for each that a user likes", Default: 4, Low: 1, High: 1000, Whole: true, Search: [2]float64{2, 10}},
	}, neural.Common(15, 256, 0.003, 0)...),
	Design: design,
	Open:   open,
}

// Kind is the kind of model.
var Kind = recipe.Kind()

// pieceItems is how many items of a user are learned from at once.
const pieceItems = 32

type shape struct {
	factors, hidden    int
	smoothing          float64
	history, negatives int
}

func shapeOf(s model.Settings) shape {
	return shape{s.Whole("factors"), s.Whole("hidden"), s.Number("smoothing"), s.Whole("history"), s.Whole("negatives")}
}

func (z *shape) tables(items int) []neural.Table {
	// Products of two vectors of n numbers begin with a deviation of about 0.01.
	t := neural.Table{Rows: items, Cols: z.factors, Deviation: 0.1 / math.Sqrt(math.Sqrt(float64(z.factors)))}
	return []neural.Table{t, t}
}

func design(s model.Settings, items, _ int) neural.Design {
	z := shapeOf(s)
	return neural.Design{
		Tables: z.tables(items),
		Build:  func(p *neural.Parameters[float32]) neural.Network { return newNetwork(z, p) },
		Pieces: func(e *neural.Examples, user int) (pieces []neural.Piece) {
			n := len(e.Likes(user))
			if n < 2 || !e.HasNegatives(user) {
				return nil
			}
			for lo := 0; lo < n; lo += pieceItems {
				pieces = append(pieces, neural.Piece{User: user, From: lo, To: min(lo+pieceItems, n)})
			}
			return pieces
		},
	}
}

type network[T neural.Float] struct {
	shape
	targets, sources *neural.Embedding[T] // p and q
	pool             *neural.AttentionPool[T]
	q, dq            neural.Matrix[T] // a column for each item of history
	history          []uint32
}

func newNetwork[T neural.Float](z shape, p *neural.Parameters[T]) *network[T] {
	return &network[T]{shape: z, targets: p.Tables[0], sources: p.Tables[1], pool: neural.NewAttentionPool(p, z.factors, z.hidden, z.smoothing)}
}

// Pass learns from pieces of what users like: for each item of a piece, it draws items that the user does not have.
func (n *network[T]) Pass(e *neural.Examples, pieces []neural.Piece, rng *rand.Rand) (loss float64, terms int) {
	for _, p := range pieces {
		likes := e.Likes(p.User)
		n.history = append(n.history[:0], likes...)
		if len(likes) > n.shape.history {
			for i := range n.shape.history {
				j := i + rng.IntN(len(likes)-i)
				n.history[i], n.history[j] = n.history[j], n.history[i]
			}
			n.history = n.history[:n.shape.history]
			slices.Sort(n.history)
		}
		n.gather()
		n.dq = n.dq.Resize(n.factors, len(n.history))
		for _, id := range likes[p.From:p.To] {
			skip, found := slices.BinarySearch(n.history, id)
			if !found {
				skip = -1
			}
			if found && len(n.history) == 1 {
				continue
			}
			loss += n.learn(id, skip, true)
			for range n.negatives {
				loss += n.learn(e.Negative(p.User, rng), -1, false)
			}
			terms += 1 + n.negatives
		}
		for j, id := range n.history {
			d := n.sources.Grad(id)
			for k := range d {
				d[k] += n.dq.Data[k*n.dq.Cols+j]
			}
		}
	}
	return loss, terms
}

func (n *network[T]) gather() {
	n.q = n.q.Resize(n.factors, len(n.history))
	for j, id := range n.history {
		for k, x := range n.sources.Row(id) {
			n.q.Data[k*n.q.Cols+j] = x
		}
	}
}

func (n *network[T]) learn(id uint32, skip int, positive bool) (loss float64) {
	var logit [1]T
	for _, x := range n.pool.Forward(n.targets.Row(id), n.q, skip) {
		logit[0] += x
	}
	loss = neural.BinaryCrossEntropy(logit[:], []bool{positive})
	n.pool.Backward(logit[0], n.targets.Grad(id), n.dq)
	return loss
}

// Model answers queries from a file of the kind nais. It is safe for concurrent use.
type Model struct {
	*neural.Catalog
	file     *neural.File
	networks sync.Pool
}

func open(f *neural.File) train.Model {
	m := &Model{Catalog: f.Catalog(), file: f}
	z := shapeOf(f.Settings)
	m.networks.New = func() any {
		var n *network[float32]
		f.Parameters(func(p *neural.Parameters[float32]) { n = newNetwork(z, p) })
		return n
	}
	return m
}

// Losses returns the mean loss of each iteration of the training.
func (m *Model) Losses() []float64 { return m.file.Losses }

// begin takes the history of a query into a network.
func (m *Model) begin(n *network[float32], q *model.Query) {
	items, times := m.Likes(q)
	if len(items) > n.shape.history {
		items = neural.InOrder(items, times)
		items = slices.Clone(items[len(items)-n.shape.history:])
		slices.Sort(items)
	}
	n.history = append(n.history[:0], items...)
	n.gather()
}

// grain is what all terms of a score are multiples of: their sums are exact, in any order.
const grain = 1.0 / (1 << 30)

// terms returns what each item of the history adds to the score of an item; none if there is no other item than that.
func (n *network[T]) terms(id uint32) []T {
	skip, found := slices.BinarySearch(n.history, id)
	if !found {
		skip = -1
	}
	if len(n.history) == 0 || found && len(n.history) == 1 {
		return nil
	}
	return n.pool.Forward(n.targets.Row(id), n.q, skip)
}

func rounded[T neural.Float](x T) float64 { return math.Round(float64(x)/grain) * grain }

// Recommend answers a query; an error matches model.ErrQuery. The score is a logit. Cost: items × history × factors·hidden multiply-adds.
func (m *Model) Recommend(q model.Query) ([]model.Scored, error) {
	if err := m.Check(&q); err != nil {
		return nil, err
	}
	n := m.networks.Get().(*network[float32])
	defer m.networks.Put(n)
	m.begin(n, &q)
	scores := make([]float64, len(m.Known))
	excluded := q.Excluded()
	for k, id := range m.Known {
		scores[k] = math.NaN() // for an item of which the history says nothing
		for len(excluded) > 0 && excluded[0] < id {
			excluded = excluded[1:]
		}
		if len(excluded) > 0 && excluded[0] == id {
			continue
		}
		if terms := n.terms(id); terms != nil {
			scores[k] = 0
			for _, x := range terms {
				scores[k] += rounded(x)
			}
		}
	}
	return m.Answer(&q, scores), nil
}

// Explain returns what each item of the history adds to the score of an item; nothing for one that the history says nothing of. An error matches model.ErrQuery.
// Cost: history × factors·hidden multiply-adds.
func (m *Model) Explain(q model.Query, item uint32) ([]model.Contribution, error) {
	if err := m.CheckItem(&q, item); err != nil {
		return nil, err
	}
	n := m.networks.Get().(*network[float32])
	defer m.networks.Put(n)
	m.begin(n, &q)
	if _, known := slices.BinarySearch(m.Known, item); !known {
		return nil, nil
	}
	var (
		items []uint32
		parts []float64
	)
	for j, x := range n.terms(item) {
		if n.history[j] != item {
			items, parts = append(items, n.history[j]), append(parts, rounded(x))
		}
	}
	return neural.Contributions(items, parts), nil
}
