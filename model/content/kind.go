package content

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/popularity"
	"github.com/kith-io/kith/model/text"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

// Kind is the model of content for package train.
var Kind = &train.Kind{
	Name: "content",
	Doc:  "products like those of the history, by their texts, categories and numbers; new products too",
	Parameters: []model.Parameter{
		{Name: "k", Doc: "neighbors of each product", Default: 50, Low: 1, High: 10_000, Whole: true, Search: [2]float64{10, 500}, Log: true},
		{Name: "weighting", Doc: "weights of words", Choices: text.Weightings},
		{Name: "text", Doc: "weight of texts", Default: 1, High: 1000, Search: [2]float64{0.1, 10}, Log: true},
		{Name: "categories", Doc: "weight of categories", Default: 1, High: 1000, Search: [2]float64{0.1, 10}, Log: true},
		{Name: "numbers", Doc: "weight of numbers", Default: 0.5, High: 1000, Search: [2]float64{0.05, 5}, Log: true},
		{Name: "max-share", Doc: "words and categories of a larger share of the products do not count", Default: 0.5, Low: 0.0001, High: 1},
	},
	NeedsProducts: true,
	Features: func(products []train.Product, s model.Settings) (*similarity.Rows, error) {
		return Features(products, optionsOf(s))
	},
	NewDriver: func(train.Shape, model.Settings) (train.Driver, error) { return &driver{}, nil },
	NewWorker: newWorker(compare, nil),
	Write:     write,
	Read:      func(file []byte) (train.Model, error) { return Read(file) },
}

func optionsOf(s model.Settings) Options {
	o := DefaultOptions()
	o.Weighting = text.Weighting(s.Whole("weighting"))
	o.Text, o.Category, o.Number, o.MaxShare = s.Number("text"), s.Number("categories"), s.Number("numbers"), s.Number("max-share")
	return o
}

// driver has one step.
type driver struct{ told bool }

func (d *driver) Next([][]byte) (train.Step, bool, error) {
	if d.told {
		return train.Step{}, true, nil
	}
	d.told = true
	return train.Step{Name: "compare"}, false, nil
}

func (d *driver) Progress() float64 { return 0 }

type worker struct {
	data    *train.Data
	s       model.Settings
	threads int
	compare comparison
	leftOut leftOut
}

// comparison returns the k nearest of the products [lo, hi) of products × features.
type comparison func(ctx context.Context, products *similarity.Rows, lo, hi uint32, k, threads int) (*similarity.Lists, error)

// leftOut tells what there is to say of the products [lo, hi); nil says nothing.
type leftOut func(d *train.Data, s model.Settings, lo, hi uint32) []byte

func newWorker(c comparison, left leftOut) func(d *train.Data, s model.Settings, threads int) (train.Worker, error) {
	return func(d *train.Data, s model.Settings, threads int) (train.Worker, error) {
		if len(d.Products) < d.Shape.Items {
			return nil, fmt.Errorf("%d products for %d items, want one for each", len(d.Products), d.Shape.Items)
		}
		if d.Features == nil || d.Features.NumUsers() != len(d.Products) {
			return nil, fmt.Errorf("features of other products than the %d there are", len(d.Products))
		}
		return &worker{d, s, threads, c, left}, nil
	}
}

// Names under which workers put: the number of products and the users of each item, and the lists of a run of products.
const (
	putCounts = "counts"
	putLists  = "lists"
)

// Do puts the lists of the worker's share of the products, and the number of its users of each item.
func (w *worker) Do(ctx context.Context, _ train.Step, peers train.Peers) ([]byte, error) {
	counts := binary.AppendUvarint(nil, uint64(len(w.data.Products)))
	for _, n := range popularity.Counts(w.data.Rows) {
		counts = binary.AppendUvarint(counts, uint64(n))
	}
	if err := peers.Put(putCounts, counts); err != nil {
		return nil, err
	}
	n, workers := len(w.data.Products), w.data.Shape.Workers()
	lo, hi := uint32(w.data.Worker*n/workers), uint32((w.data.Worker+1)*n/workers)
	lists, err := w.compare(ctx, w.data.Features, lo, hi, w.s.Whole("k"), w.threads)
	if err != nil {
		return nil, err
	}
	var said []byte
	if w.leftOut != nil {
		said = w.leftOut(w.data, w.s, lo, hi)
	}
	return said, peers.Put(putLists, similarity.AppendLists(nil, lists))
}

// compareBlock is how many products a thread compares at a time.
const compareBlock = 512

// compare is the comparison by the cosine of features. Cost: the sum over features of (products of [lo, hi) with it) · (products with it).
func compare(ctx context.Context, products *similarity.Rows, lo, hi uint32, k, threads int) (*similarity.Lists, error) {
	n := products.NumUsers()
	if lo == hi {
		return &similarity.Lists{Lo: lo, Start: []int64{0}}, nil
	}
	if n > similarity.MaxBlockItems {
		return nil, fmt.Errorf("%d products, want at most %d", n, similarity.MaxBlockItems)
	}
	o := similarity.Options{Measure: similarity.Cosine, K: min(k, n)}
	numFeatures := uint32(products.NumItems)
	whole := similarity.AppendColumns(nil, products, 0, 0, uint32(n))
	side, err := similarity.NewSide(0, []uint32{uint32(n)}, numFeatures, [][][]byte{{whole}}, o)
	if err != nil {
		return nil, err
	}
	parts := make([]*similarity.Lists, (hi-lo+compareBlock-1)/compareBlock)
	var next atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for range max(1, threads) {
		g.Go(func() error {
			var scratch similarity.Scratch
			for b := int(next.Add(1)) - 1; b < len(parts); b = int(next.Add(1)) - 1 {
				from := lo + uint32(b)*compareBlock
				to := min(hi, from+compareBlock)
				block, err := similarity.NewBlock(from, to, numFeatures, [][]byte{similarity.AppendColumns(nil, products, 0, from, to)})
				if err != nil {
					return err
				}
				best := similarity.NewCollector(from, to, o.K)
				if _, err := similarity.Run(ctx, block, side, best, o, &scratch); err != nil {
					return err
				}
				parts[b] = best.Lists()
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	out := &similarity.Lists{Lo: lo, Start: []int64{0}}
	for _, p := range parts {
		at := int64(len(out.Entries)) - p.Start[0]
		for _, end := range p.Start[1:] {
			out.Start = append(out.Start, at+end)
		}
		out.Entries = append(out.Entries, p.Entries...)
	}
	return out, nil
}

// The file is the magic number, then as uvarints the number of users, items, products and parts, the items by popularity, and each part: its length, and lists as
// similarity.AppendLists has them.
const magic = "kithCNT\x01"

func write(ctx context.Context, shape train.Shape, _ model.Settings, get func(ctx context.Context, worker int, name string) ([]byte, error), w io.Writer) error {
	counts := make([]int64, shape.Items)
	var products uint64
	for worker := range shape.Workers() {
		b, err := get(ctx, worker, putCounts)
		if err != nil {
			return err
		}
		r := model.NewReader(b)
		products = r.Uvarint()
		for i := range counts {
			counts[i] += int64(r.Uvarint())
		}
		if err := r.End(); err != nil {
			return fmt.Errorf("counts of worker %d: %w", worker, err)
		}
	}
	head := []byte(magic)
	for _, x := range []uint64{uint64(shape.Users), uint64(shape.Items), products, uint64(shape.Workers())} {
		head = binary.AppendUvarint(head, x)
	}
	for _, id := range popularity.Order(counts) {
		head = binary.AppendUvarint(head, uint64(id))
	}
	if _, err := w.Write(head); err != nil {
		return err
	}
	for worker := range shape.Workers() {
		b, err := get(ctx, worker, putLists)
		if err != nil {
			return err
		}
		if _, err := w.Write(binary.AppendUvarint(nil, uint64(len(b)))); err != nil {
			return err
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// ErrCorrupt is matched by the errors of Read.
var ErrCorrupt = errors.New("damaged model of content")

// Read makes a model of a file that Kind.Write made. It does not refer to the file. Memory is bounded by a small multiple of its length.
func Read(file []byte) (*Model, error) {
	r := model.NewReader(file)
	r.Magic(magic)
	users, items, products, parts := r.Uvarint(), r.Uvarint(), r.Uvarint(), r.Uvarint()
	if users > 1<<32 || items > products || products > similarity.MaxBlockItems || items > uint64(r.Len()) || parts > uint64(r.Len()) {
		r.Fail("numbers of users, items and products")
	}
	if r.Err() != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, r.Err())
	}
	m := &Model{users: int(users), items: int(items), products: int(products), order: make([]uint32, items)}
	for i := range m.order {
		m.order[i] = uint32(min(r.Uvarint(), items)) // items is out of bounds
	}
	if err := popularity.CheckOrder(m.order); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	next := uint32(0)
	for range parts {
		l, err := similarity.DecodeLists(r.Take(r.Uvarint(), 1))
		if err = errors.Join(r.Err(), err); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		if l.Lo != next && l.Len() > 0 || slices.ContainsFunc(l.Entries, func(e similarity.Neighbor) bool { return uint64(e.ID) >= products }) {
			return nil, fmt.Errorf("%w: lists of other products", ErrCorrupt)
		}
		next += uint32(l.Len())
		m.lists = append(m.lists, l)
	}
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if uint64(next) != products {
		return nil, fmt.Errorf("%w: lists of %d products, want %d", ErrCorrupt, next, products)
	}
	m.init()
	return m, nil
}
