// Package sasrec is self-attentive sequential recommendation (Kang and McAuley, ICDM 2018 [kang2018]): what comes next after the last items of a history, in their order.
//
// The last L items are embedded, with a vector for each place counted from the end, and go through blocks
//
//	x ← x + Attention(Norm(x)),  x ← x + W₂·ReLU(W₁·Norm(x))
//
// of causal multi-head attention and a layer for each place. What comes out at the last place, normed, is h, and
//
//	score(i) = h·e(i)
//
// with the same embeddings e as at the input. Items of one time, or of none, are in the order of their ids in a query, and in a random one, anew in each iteration, in training. Each place learns to tell the item after it: by the softmax over items drawn for all places of a batch together, whose
// logits are corrected for how few are drawn (Jean et al., ACL 2015 [jean2015]), or, as in the paper, by binary cross-entropy against items drawn for it alone.
//
// The paper norms the queries only and drops the residual of what is not normed; here blocks norm their input, which is learned with less care for rates (Xiong et al.,
// ICML 2020 [xiong2020]).
package sasrec

import (
	"math"
	"math/rand/v2"
	"sync"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/neural"
	"github.com/kith-io/kith/model/train"
)

// Names of losses.
const bySoftmax, byBinary = "softmax", "bce"

var recipe = neural.Recipe{
	Name: "sasrec",
	Doc:  "causal self-attention over the last items, in the order of their times",
	Parameters: append([]model.Parameter{
		{Name: "factors", Doc: "length of the vectors; heads must divide it, else there is one", Default: 64, Low: 1, High: 512, Whole: true, Search: [2]float64{32, 128}, Log: true},
		{Name: "blocks", Doc: "blocks of attention", Default: 2, Low: 1, High: 8, Whole: true, Search: [2]float64{1, 3}},
		{Name: "heads", Doc: "heads of attention", Default: 1, Low: 1, High: 16, Whole: true},
		{Name: "length", Doc: "how many of the last items are looked at", Default: 50, Low: 2, High: 1000, Whole: true},
		{Name: "loss", Doc: "softmax over common negatives, or binary cross-entropy with its own", Choices: []string{bySoftmax, byBinary}},
		{Name: "negatives", Doc: "items drawn, for all places together (softmax; all if that many) or for each (bce)", Default: 256, Low: 1, High: 1 << 20, Whole: true},
		{Name: "dropout", Doc: "share of numbers that is left out in training", Default: 0.2, Low: 0, High: 0.9, Search: [2]float64{0, 0.5}},
	}, neural.Common(30, 2048, 0.001, 0)...),
	Design: design,
	Open:   open,
}

// Kind is the kind of model.
var Kind = recipe.Kind()

type shape struct {
	factors, blocks, heads, length, negatives int
	binary                                    bool
	dropout                                   float64
}

func shapeOf(s model.Settings) shape {
	z := shape{
		factors: s.Whole("factors"), blocks: s.Whole("blocks"), heads: s.Whole("heads"), length: s.Whole("length"), negatives: s.Whole("negatives"),
		binary: s.Choice("loss") == byBinary, dropout: s.Number("dropout"),
	}
	if z.factors%z.heads != 0 {
		z.heads = 1
	}
	return z
}

// deviation of the normal distribution that vectors begin with.
const deviation = 0.05

func (z *shape) tables(items int) []neural.Table {
	return []neural.Table{{Rows: items, Cols: z.factors, Deviation: deviation}, {Rows: z.length, Cols: z.factors, Deviation: deviation}}
}

func design(s model.Settings, items, _ int) neural.Design {
	z := shapeOf(s)
	return neural.Design{
		Tables: z.tables(items),
		Build:  func(p *neural.Parameters[float32]) neural.Network { return newNetwork(z, p) },
		Pieces: func(e *neural.Examples, user int) (pieces []neural.Piece) {
			if !e.HasNegatives(user) {
				return nil
			}
			// From the end, so that the newest are seen with the longest past. A window ends with a target, which is the first item of the next.
			for to := len(e.Likes(user)); to >= 2; to -= z.length {
				pieces = append(pieces, neural.Piece{User: user, From: max(0, to-z.length-1), To: to})
			}
			return pieces
		},
	}
}

type block[T neural.Float] struct {
	norm1, norm2   *neural.LayerNorm[T]
	attention      *neural.SelfAttention[T]
	inner, outer   *neural.Dense[T]
	relu           *neural.Activation[T]
	drop1, d2, d3  neural.Dropout[T]
	middle, result neural.Matrix[T]
}

type network[T neural.Float] struct {
	shape
	items, places *neural.Embedding[T]
	drop          neural.Dropout[T]
	blocks        []*block[T]
	norm          *neural.LayerNorm[T]

	x              neural.Matrix[T]
	ids, at        []uint32 // of each row of x: the item, and its place from the end
	starts         []int
	sequence       []uint32
	next           []uint32 // of each row: the item after it
	user           []int    // of each row
	drawn          []uint32
	vectors        neural.Matrix[T] // of drawn
	logits, dh, dv neural.Matrix[T]
	targets        []int
}

func newNetwork[T neural.Float](z shape, p *neural.Parameters[T]) *network[T] {
	n := &network[T]{shape: z, items: p.Tables[0], places: p.Tables[1]}
	n.drop.Share = z.dropout
	for range z.blocks {
		b := &block[T]{
			norm1: neural.NewLayerNorm(p, z.factors), attention: neural.NewSelfAttention(p, z.factors, z.heads),
			norm2: neural.NewLayerNorm(p, z.factors), inner: neural.NewDense(p, z.factors, z.factors), outer: neural.NewDense(p, z.factors, z.factors),
			relu: neural.ReLU[T](),
		}
		b.drop1.Share, b.d2.Share, b.d3.Share = z.dropout, z.dropout, z.dropout
		n.blocks = append(n.blocks, b)
	}
	n.norm = neural.NewLayerNorm(p, z.factors)
	return n
}

func (b *block[T]) forward(x neural.Matrix[T], starts []int, rng *rand.Rand) neural.Matrix[T] {
	b.middle = b.middle.Resize(x.Rows, x.Cols)
	copy(b.middle.Data, x.Data)
	neural.Axpy(1, b.drop1.Forward(b.attention.Forward(b.norm1.Forward(x), starts), rng).Data, b.middle.Data)
	b.result = b.result.Resize(x.Rows, x.Cols)
	copy(b.result.Data, b.middle.Data)
	hidden := b.d2.Forward(b.relu.Forward(b.inner.Forward(b.norm2.Forward(b.middle))), rng)
	neural.Axpy(1, b.d3.Forward(b.outer.Forward(hidden), rng).Data, b.result.Data)
	return b.result
}

// backward changes d from the gradient of the result to that of the input.
func (b *block[T]) backward(d neural.Matrix[T]) {
	b.result = b.result.Resize(d.Rows, d.Cols) // no longer looked at
	part := b.result
	copy(part.Data, d.Data)
	inner := b.relu.Backward(b.d2.Backward(b.outer.Backward(b.d3.Backward(part))))
	neural.Axpy(1, b.norm2.Backward(b.inner.Backward(inner)).Data, d.Data)
	copy(part.Data, d.Data)
	neural.Axpy(1, b.norm1.Backward(b.attention.Backward(b.drop1.Backward(part))).Data, d.Data)
}

// forward returns the normed outputs of all rows of the sequences n.ids. Without rng, nothing is dropped.
func (n *network[T]) forward(rng *rand.Rand) neural.Matrix[T] {
	n.x = n.x.Resize(len(n.ids), n.factors)
	n.at = n.at[:0]
	scale := T(math.Sqrt(float64(n.factors)))
	for s := range len(n.starts) - 1 {
		for i := n.starts[s]; i < n.starts[s+1]; i++ {
			place := uint32(n.starts[s+1] - 1 - i)
			n.at = append(n.at, place)
			neural.Axpy(scale, n.items.Row(n.ids[i]), n.x.Row(i))
			neural.Axpy(1, n.places.Row(place), n.x.Row(i))
		}
	}
	x := n.drop.Forward(n.x, rng)
	for _, b := range n.blocks {
		x = b.forward(x, n.starts, rng)
	}
	return n.norm.Forward(x)
}

// backward adds the gradients that follow from that of the outputs.
func (n *network[T]) backward(dh neural.Matrix[T]) {
	d := n.norm.Backward(dh)
	for k := len(n.blocks) - 1; k >= 0; k-- {
		n.blocks[k].backward(d)
	}
	d = n.drop.Backward(d)
	scale := T(math.Sqrt(float64(n.factors)))
	for i, id := range n.ids {
		neural.Axpy(scale, d.Row(i), n.items.Grad(id))
		neural.Axpy(1, d.Row(i), n.places.Grad(n.at[i]))
	}
}

// Pass learns from pieces of sequences, all at once.
func (n *network[T]) Pass(e *neural.Examples, pieces []neural.Piece, rng *rand.Rand) (loss float64, terms int) {
	if len(pieces) == 0 {
		return 0, 0
	}
	n.ids, n.next, n.user, n.starts = n.ids[:0], n.next[:0], n.user[:0], append(n.starts[:0], 0)
	for _, p := range pieces {
		n.sequence = e.Sequence(n.sequence, p.User, rng)
		items := n.sequence[p.From:p.To]
		n.ids, n.next = append(n.ids, items[:len(items)-1]...), append(n.next, items[1:]...)
		for range len(items) - 1 {
			n.user = append(n.user, p.User)
		}
		n.starts = append(n.starts, len(n.ids))
	}
	h := n.forward(rng)
	n.dh = n.dh.Resize(h.Rows, h.Cols)
	if n.binary {
		loss, terms = n.binaryLoss(e, h, rng)
	} else {
		loss, terms = n.softmaxLoss(e, h, rng)
	}
	n.backward(n.dh)
	return loss, terms
}

// binaryLoss sets dh to the gradient of binary cross-entropy.
func (n *network[T]) binaryLoss(e *neural.Examples, h neural.Matrix[T], rng *rand.Rand) (loss float64, terms int) {
	var logit [1]T
	learn := func(i int, id uint32, positive bool) {
		logit[0] = neural.Dot(h.Row(i), n.items.Row(id))
		loss += neural.BinaryCrossEntropy(logit[:], []bool{positive})
		neural.Axpy(logit[0], n.items.Row(id), n.dh.Row(i))
		neural.Axpy(logit[0], h.Row(i), n.items.Grad(id))
	}
	for i, id := range n.next {
		learn(i, id, true)
		for range n.negatives {
			learn(i, e.Negative(n.user[i], rng), false)
		}
	}
	return loss, len(n.next) * (1 + n.negatives)
}

// softmaxLoss sets dh to the gradient of cross-entropy over each target and items that are drawn for all.
func (n *network[T]) softmaxLoss(e *neural.Examples, h neural.Matrix[T], rng *rand.Rand) (loss float64, terms int) {
	n.drawn = n.drawn[:0]
	correction := T(0)
	if n.negatives >= len(e.Known) {
		n.drawn = append(n.drawn, e.Known...)
	} else {
		for range n.negatives {
			n.drawn = append(n.drawn, e.Known[rng.IntN(len(e.Known))])
		}
		correction = T(math.Log(float64(len(e.Known)-1) / float64(n.negatives)))
	}
	n.vectors = n.vectors.Resize(len(n.drawn), n.factors)
	n.items.Gather(n.drawn, n.vectors)
	drawn := n.product(h, n.vectors)
	// Column 0 is the target of the row, the others what is drawn, but not the target again.
	n.logits = n.logits.Resize(h.Rows, 1+len(n.drawn))
	n.targets = append(n.targets[:0], make([]int, h.Rows)...)
	for i, target := range n.next {
		row, from := n.logits.Row(i), drawn.Row(i)
		row[0] = neural.Dot(h.Row(i), n.items.Row(target))
		for k, id := range n.drawn {
			row[1+k] = from[k] + correction
			if id == target {
				row[1+k] = T(math.Inf(-1))
			}
		}
	}
	loss = neural.CrossEntropy(n.logits, n.targets)
	for i, target := range n.next {
		row := n.logits.Row(i)
		copy(drawn.Row(i), row[1:])
		neural.Axpy(row[0], n.items.Row(target), n.dh.Row(i))
		neural.Axpy(row[0], h.Row(i), n.items.Grad(target))
	}
	neural.AddProduct(drawn, n.vectors, false, n.dh)
	n.vectors = n.vectors.Resize(len(n.drawn), n.factors)
	neural.AddProduct(drawn, h, true, n.vectors)
	n.items.Scatter(n.drawn, n.vectors)
	return loss, len(n.next)
}

// product returns h·vᵀ in memory of the network.
func (n *network[T]) product(h, v neural.Matrix[T]) neural.Matrix[T] {
	n.dv = n.dv.Resize(h.Rows, v.Rows)
	neural.Product(h, v, n.dv)
	return n.dv
}

// Model answers queries from a file of the kind sasrec. It is safe for concurrent use.
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

// Recommend answers a query; an error matches model.ErrQuery. The score is a logit. Cost: blocks · length · (6·factors² + length·factors) + items·factors multiply-adds.
func (m *Model) Recommend(q model.Query) ([]model.Scored, error) {
	if err := m.Check(&q); err != nil {
		return nil, err
	}
	items, times := m.Likes(&q)
	if len(items) == 0 {
		return m.Answer(&q, nil), nil
	}
	n := m.networks.Get().(*network[float32])
	defer m.networks.Put(n)
	items = neural.InOrder(items, times)
	n.ids = append(n.ids[:0], items[max(0, len(items)-n.length):]...)
	n.starts = append(n.starts[:0], 0, len(n.ids))
	h := n.forward(nil)
	last := h.Row(h.Rows - 1)
	scores := make([]float64, len(m.Known))
	for k, id := range m.Known {
		scores[k] = float64(neural.Dot(last, n.items.Row(id)))
	}
	return m.Answer(&q, scores), nil
}
