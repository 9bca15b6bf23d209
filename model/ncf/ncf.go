// Package ncf is neural collaborative filtering: generalized matrix factorization, a multi-layer perceptron, and both fused (He et al., WWW 2017 [he2017]).
//
// A user has a vector u = [g, m] and an item v = [g', m']. The factorization makes of them g⊙g', the perceptron φ([m, m']) with layers of ReLU, and
//
//	score = hᵀ[g⊙g', φ([m, m'])] + b
//
// is the logit of the probability that the user likes the item, which is learned from binary cross-entropy over what users like and items drawn from the others.
//
// In the paper, u is a row of a table, which says nothing of users who came after training, and keeps a row of each user. Here u is by default made of the history: the sum
// of vectors y of its items, as in FISM (Kabbur et al., KDD 2013 [kabbur2013]),
//
//	u = |R|^-½ · Σ y(j) over j in R
//
// where R leaves out the item that is scored. So any history is answered as it is now, and no row of a user is in the file. The setting user=id is the classic table.
package ncf

import (
	"math"
	"math/rand/v2"
	"sync"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/neural"
	"github.com/kith-io/kith/model/train"
)

// Names of settings that are choices.
const (
	gmf, mlp, neumf = "gmf", "mlp", "neumf"
	byHistory, byID = "history", "id"
)

var recipe = neural.Recipe{
	Name: "ncf",
	Doc:  "neural collaborative filtering: factors and a perceptron, of the history or of a table of users",
	Parameters: append([]model.Parameter{
		{Name: "variant", Doc: "factorization, perceptron, or both fused", Choices: []string{gmf, mlp, neumf}, Default: 2},
		{Name: "user", Doc: "what a user is made of: the history, or a row of a table", Choices: []string{byHistory, byID}},
		{Name: "factors", Doc: "length of the vectors of each part", Default: 32, Low: 1, High: 512, Whole: true, Search: [2]float64{8, 64}, Log: true},
		{Name: "layers", Doc: "layers of the perceptron; the first has two times factors units, each next half", Default: 2, Low: 1, High: 5, Whole: true, Search: [2]float64{1, 3}},
		{Name: "negatives", Doc: "items drawn for each that a user likes", Default: 4, Low: 1, High: 1000, Whole: true, Search: [2]float64{2, 10}},
		{Name: "dropout", Doc: "share of inputs of the perceptron's layers that is left out in training", Default: 0, Low: 0, High: 0.9, Search: [2]float64{0, 0.5}},
	}, neural.Common(20, 256, 0.001, 0)...),
	Design: design,
	Open:   open,
}

// Kind is the kind of model.
var Kind = recipe.Kind()

// pieceItems is how many items of a user are in one batch together where a user is made of the history, which is summed up for each piece. Of a table, it is one: with more, a row moves
// in few steps, each of the length of any other, and learns little before the layers have learned too much.
const pieceItems = 32

// shape is what the settings say of the network.
type shape struct {
	factor, dense int // lengths of the parts of vectors; 0 for a part that is not there
	layers        int
	byID          bool
	negatives     int
	dropout       float64
}

func shapeOf(s model.Settings) shape {
	z := shape{layers: s.Whole("layers"), byID: s.Choice("user") == byID, negatives: s.Whole("negatives"), dropout: s.Number("dropout")}
	if s.Choice("variant") != mlp {
		z.factor = s.Whole("factors")
	}
	if s.Choice("variant") != gmf {
		z.dense = s.Whole("factors")
	}
	return z
}

// deviation of the normal distribution that vectors begin with, as in the authors' code.
const deviation = 0.01

func (z *shape) tables(items, users int) []neural.Table {
	cols := z.factor + z.dense
	of := neural.Table{Rows: items, Cols: cols, Deviation: deviation}
	if z.byID {
		of.Rows, of.Local = users, true
	}
	return []neural.Table{of, {Rows: items, Cols: cols, Deviation: deviation}}
}

func design(s model.Settings, items, users int) neural.Design {
	z := shapeOf(s)
	return neural.Design{
		Tables: z.tables(items, users),
		Build:  func(p *neural.Parameters[float32]) neural.Network { return newNetwork(z, p) },
		Pieces: func(e *neural.Examples, user int) (pieces []neural.Piece) {
			n := len(e.Likes(user))
			if !e.HasNegatives(user) || n < 2 && !z.byID {
				return nil
			}
			size := pieceItems
			if z.byID {
				size = 1
			}
			for lo := 0; lo < n; lo += size {
				pieces = append(pieces, neural.Piece{User: user, From: lo, To: min(lo+size, n)})
			}
			return pieces
		},
	}
}

// network scores pairs of a user and an item, many at a time.
type network[T neural.Float] struct {
	shape
	of, items *neural.Embedding[T] // vectors that users are made of, and those of items
	hidden    []*neural.Dense[T]
	relu      []*neural.Activation[T]
	drop      []*neural.Dropout[T]
	out       *neural.Dense[T]

	u, v, du, dv  neural.Matrix[T] // users and items, a row for each pair
	in, last, din neural.Matrix[T]
	ids           []uint32
	positive      []bool
	sum, dsum     []T
}

func newNetwork[T neural.Float](z shape, p *neural.Parameters[T]) *network[T] {
	n := &network[T]{shape: z, of: p.Tables[0], items: p.Tables[1]}
	width := 0
	if z.dense > 0 {
		width = 2 * z.dense
		for l := range z.layers {
			next := max(1, 2*z.dense>>l)
			n.hidden = append(n.hidden, neural.NewDense(p, width, next))
			n.relu, n.drop = append(n.relu, neural.ReLU[T]()), append(n.drop, &neural.Dropout[T]{Share: z.dropout})
			width = next
		}
	}
	n.out = neural.NewDense(p, z.factor+width, 1)
	return n
}

// forward returns the logits of the rows of u and v.
func (n *network[T]) forward(rng *rand.Rand) neural.Matrix[T] {
	rows := n.u.Rows
	var h neural.Matrix[T]
	if n.dense > 0 {
		n.in = n.in.Resize(rows, 2*n.dense)
		for i := range rows {
			copy(n.in.Row(i), n.u.Row(i)[n.factor:])
			copy(n.in.Row(i)[n.dense:], n.v.Row(i)[n.factor:])
		}
		h = n.in
		for l, d := range n.hidden {
			h = n.relu[l].Forward(d.Forward(n.drop[l].Forward(h, rng)))
		}
	}
	n.last = n.last.Resize(rows, n.factor+h.Cols)
	for i := range rows {
		z, u, v := n.last.Row(i), n.u.Row(i), n.v.Row(i)
		for k := range n.factor {
			z[k] = u[k] * v[k]
		}
		if h.Cols > 0 {
			copy(z[n.factor:], h.Row(i))
		}
	}
	return n.out.Forward(n.last)
}

// backward sets the gradients of u and v from that of the logits.
func (n *network[T]) backward(d neural.Matrix[T]) {
	dlast := n.out.Backward(d)
	n.du, n.dv = n.du.Resize(n.u.Rows, n.u.Cols), n.dv.Resize(n.u.Rows, n.u.Cols)
	var dh neural.Matrix[T]
	if n.dense > 0 {
		n.din = n.din.Resize(dlast.Rows, dlast.Cols-n.factor)
		for i := range dlast.Rows {
			copy(n.din.Row(i), dlast.Row(i)[n.factor:])
		}
		dh = n.din
		for l := len(n.hidden) - 1; l >= 0; l-- {
			dh = n.drop[l].Backward(n.hidden[l].Backward(n.relu[l].Backward(dh)))
		}
	}
	for i := range d.Rows {
		g, u, v, du, dv := dlast.Row(i), n.u.Row(i), n.v.Row(i), n.du.Row(i), n.dv.Row(i)
		for k := range n.factor {
			du[k], dv[k] = g[k]*v[k], g[k]*u[k]
		}
		if n.dense > 0 {
			copy(du[n.factor:], dh.Row(i)[:n.dense])
			copy(dv[n.factor:], dh.Row(i)[n.dense:])
		}
	}
}

// togetherItems bounds what goes through the layers in one matrix, and with it the memory of a large batch.
const togetherItems = 256

// Pass learns from pieces of what users like: for each item of a piece, it draws items that the user does not have.
func (n *network[T]) Pass(e *neural.Examples, pieces []neural.Piece, rng *rand.Rand) (loss float64, terms int) {
	lo, items := 0, 0
	for i, p := range pieces {
		if items += p.To - p.From; items >= togetherItems || i == len(pieces)-1 {
			loss += n.learn(e, pieces[lo:i+1], rng)
			terms += items * (1 + n.negatives)
			lo, items = i+1, 0
		}
	}
	return loss, terms
}

// learn is Pass for pieces that are looked at together.
func (n *network[T]) learn(e *neural.Examples, pieces []neural.Piece, rng *rand.Rand) (loss float64) {
	n.ids, n.positive = n.ids[:0], n.positive[:0]
	for _, p := range pieces {
		for _, id := range e.Likes(p.User)[p.From:p.To] {
			n.ids, n.positive = append(n.ids, id), append(n.positive, true)
			for range n.negatives {
				n.ids, n.positive = append(n.ids, e.Negative(p.User, rng)), append(n.positive, false)
			}
		}
	}
	n.u, n.v = n.u.Resize(len(n.ids), n.of.Value.Cols), n.v.Resize(len(n.ids), n.items.Value.Cols)
	n.items.Gather(n.ids, n.v)
	n.eachPiece(e, pieces, n.users)
	logits := n.forward(rng)
	loss = neural.BinaryCrossEntropy(logits.Data, n.positive)
	n.backward(logits)
	n.items.Scatter(n.ids, n.dv)
	n.eachPiece(e, pieces, n.scatterUsers)
	return loss
}

// eachPiece calls do with the user of each piece, what the user likes, and the range of rows that the piece has.
func (n *network[T]) eachPiece(e *neural.Examples, pieces []neural.Piece, do func(user int, history []uint32, lo, hi int)) {
	lo := 0
	for _, p := range pieces {
		hi := lo + (p.To-p.From)*(1+n.negatives)
		do(p.User, e.Likes(p.User), lo, hi)
		lo = hi
	}
}

// spread returns the factor of a sum of n vectors.
func spread[T neural.Float](n int) T { return T(1 / math.Sqrt(float64(max(1, n)))) }

// users sets the rows of u from lo to hi for n.ids, of which those that are positive are in the history.
func (n *network[T]) users(user int, history []uint32, lo, hi int) {
	if n.byID {
		for i := lo; i < hi; i++ {
			copy(n.u.Row(i), n.of.Row(uint32(user)))
		}
		return
	}
	n.sumUp(history)
	for i := lo; i < hi; i++ {
		if !n.positive[i] {
			neural.Axpy(spread[T](len(history)), n.sum, n.u.Row(i))
			continue
		}
		scale := spread[T](len(history) - 1)
		neural.Axpy(scale, n.sum, n.u.Row(i))
		neural.Axpy(-scale, n.of.Row(n.ids[i]), n.u.Row(i))
	}
}

func (n *network[T]) sumUp(history []uint32) {
	n.sum = append(n.sum[:0], make([]T, n.of.Value.Cols)...)
	for _, id := range history {
		neural.Axpy(1, n.of.Row(id), n.sum)
	}
}

// scatterUsers is the backward pass of users.
func (n *network[T]) scatterUsers(user int, history []uint32, lo, hi int) {
	if n.byID {
		for i := lo; i < hi; i++ {
			neural.Axpy(1, n.du.Row(i), n.of.Grad(uint32(user)))
		}
		return
	}
	n.dsum = append(n.dsum[:0], make([]T, n.of.Value.Cols)...)
	for i := lo; i < hi; i++ {
		if !n.positive[i] {
			neural.Axpy(spread[T](len(history)), n.du.Row(i), n.dsum)
			continue
		}
		scale := spread[T](len(history) - 1)
		neural.Axpy(scale, n.du.Row(i), n.dsum)
		neural.Axpy(-scale, n.du.Row(i), n.of.Grad(n.ids[i]))
	}
	for _, id := range history {
		neural.Axpy(1, n.dsum, n.of.Grad(id))
	}
}

// Model answers queries from a file of the kind ncf. It is safe for concurrent use.
type Model struct {
	*neural.Catalog
	file     *neural.File
	shape    shape
	networks sync.Pool
	mean     []float32 // of the vectors of users, where they are a table
}

func open(f *neural.File) train.Model {
	m := &Model{Catalog: f.Catalog(), file: f, shape: shapeOf(f.Settings)}
	m.networks.New = func() any {
		var n *network[float32]
		f.Parameters(func(p *neural.Parameters[float32]) { n = newNetwork(m.shape, p) })
		return n
	}
	if m.shape.byID {
		n := m.networks.New().(*network[float32])
		m.mean = make([]float32, n.of.Value.Cols)
		for u := range f.Users {
			neural.Axpy(1/float32(f.Users), n.of.Row(uint32(u)), m.mean)
		}
	}
	return m
}

// Losses returns the mean loss of each iteration of the training.
func (m *Model) Losses() []float64 { return m.file.Losses }

// chunk is how many items are scored at once.
const chunk = 1024

// Recommend answers a query; an error matches model.ErrQuery. The score is a logit. With the setting user=id, the row of q.User stands for the user, whatever the history is now; of
// another user a vector is learned from the history. Cost: items × the multiply-adds of the network, about 6·factors² for ncf(variant=neumf,layers=2).
func (m *Model) Recommend(q model.Query) ([]model.Scored, error) {
	if err := m.Check(&q); err != nil {
		return nil, err
	}
	history, _ := m.Likes(&q)
	if len(history) == 0 {
		return m.Answer(&q, nil), nil
	}
	n := m.networks.Get().(*network[float32])
	defer m.networks.Put(n)
	var user []float32 // for user=id
	switch {
	case m.shape.byID && q.User >= 0:
		user = n.of.Row(uint32(q.User))
	case m.shape.byID:
		user = m.learn(n, history)
	default:
		n.sumUp(history)
	}
	scores := make([]float64, 0, len(m.Known))
	for lo := 0; lo < len(m.Known); lo += chunk {
		ids := m.Known[lo:min(lo+chunk, len(m.Known))]
		n.v, n.u = n.v.Resize(len(ids), n.items.Value.Cols), n.u.Resize(len(ids), n.items.Value.Cols)
		n.items.Gather(ids, n.v)
		rest := history
		for i, id := range ids {
			if m.shape.byID {
				copy(n.u.Row(i), user)
				continue
			}
			for len(rest) > 0 && rest[0] < id {
				rest = rest[1:]
			}
			if len(rest) == 0 || rest[0] != id {
				neural.Axpy(spread[float32](len(history)), n.sum, n.u.Row(i))
				continue
			}
			scale := spread[float32](len(history) - 1)
			neural.Axpy(scale, n.sum, n.u.Row(i))
			neural.Axpy(-scale, n.of.Row(id), n.u.Row(i))
		}
		for _, z := range n.forward(nil).Data {
			scores = append(scores, float64(z))
		}
		if len(history) == 1 && !m.shape.byID { // nothing is known of the one item but itself
			for i, id := range ids {
				if id == history[0] {
					scores[lo+i] = math.NaN()
				}
			}
		}
	}
	return m.Answer(&q, scores), nil
}

// Learning of a vector from a history: steps of gradient descent by Adam, with negatives drawn anew in each.
const (
	learnSteps = 30
	learnRate  = 0.05
)

// learn returns the vector of a user that makes the history probable. All other parameters stay. Cost: learnSteps × (1+negatives) × history pairs.
func (m *Model) learn(n *network[float32], history []uint32) []float32 {
	user := neural.Build([]neural.Table{{Rows: 1, Cols: len(m.mean)}}, func(*neural.Parameters[float32]) {})
	copy(user.Tables[0].Row(0), m.mean)
	adam := neural.Optimizer[float32]{Name: neural.Adam, Rate: learnRate}
	rng := rand.New(rand.NewPCG(uint64(m.file.Settings.Whole("seed")), uint64(len(history))))
	for range learnSteps {
		n.ids, n.positive = n.ids[:0], n.positive[:0]
		for _, id := range history {
			n.ids, n.positive = append(n.ids, id), append(n.positive, true)
			for range n.negatives {
				// Of an item of the history, that is an error which the next steps make good.
				n.ids, n.positive = append(n.ids, m.Known[rng.IntN(len(m.Known))]), append(n.positive, false)
			}
		}
		n.v, n.u = n.v.Resize(len(n.ids), len(m.mean)), n.u.Resize(len(n.ids), len(m.mean))
		n.items.Gather(n.ids, n.v)
		for i := range n.ids {
			copy(n.u.Row(i), user.Tables[0].Row(0))
		}
		logits := n.forward(nil)
		neural.BinaryCrossEntropy(logits.Data, n.positive)
		n.backward(logits)
		for i := range n.ids {
			neural.Axpy(1, n.du.Row(i), user.Tables[0].Grad(0))
		}
		adam.Step(user, 1/float64(len(n.ids)))
	}
	return user.Tables[0].Row(0)
}
