package worker

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/node/artifact"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/similarity"
)

// Records is a Source that has records of products and of users, which some kinds of models learn from.
type Records interface {
	// Records calls f for each product, or user, of partition p that has a record and is not deleted, ascending by key, as of some moment behind index cut of its log. f may keep the
	// record; an error of it ends the call and is returned.
	Records(ctx context.Context, kind catalog.Kind, p partition.ID, cut uint64, f func(r *catalog.Record) error) error
}

// ProductsStep is the name of the first step of a training of a kind that learns from products, of which the kind does not know: in it the workers learn
// of the products of all partitions, which each has read of its own when the training began. So all learn the same, whatever is written meanwhile.
const ProductsStep = ".products"

// Names under which workers put what kinds do not know of. Names of kinds do not begin with a dot.
const (
	putProducts = ".products" // records of the partition
	putCold     = ".cold"     // keys of products that are not in the matrix; of the first worker
)

// knownProducts is what the workers of a node learn of products. It is only read.
type knownProducts struct {
	products []train.Product
	features *similarity.Rows
	// cold are the keys of the products that are not in the dictionary, ascending; their ids go on behind it.
	cold []string
}

// newborn is what the worker of a partition is made of behind ProductsStep.
type newborn struct {
	kind     *train.Kind
	settings model.Settings
	data     *train.Data
	threads  int
}

// putProductsOf puts the products of a partition where the workers of all partitions get them.
func (w *Worker) putProductsOf(ctx context.Context, j *job, t *training, shard *kithv1.CountRequest) error {
	source, ok := w.source.(Records)
	if !ok {
		return fmt.Errorf("%w: this build has no records of products, which models learn from", wire.ErrInvalid)
	}
	var b []byte
	cpu, err := w.compute(ctx, func() error {
		return source.Records(ctx, catalog.Product, partition.ID(shard.Partition), shard.Cut, func(r *catalog.Record) error {
			if b = r.Append(b); int64(len(b)) > w.cfg.ModelMemory {
				return w.tooManyProducts(int64(len(b)))
			}
			return nil
		})
	})
	j.spend(&kithv1.NodeUsage{CpuSeconds: cpu})
	if err != nil {
		return err
	}
	if err := t.board.put(shard.Partition, 0, putProducts, b); err != nil {
		return fmt.Errorf("%w: %w", wire.ErrTraining, err)
	}
	return nil
}

func (w *Worker) tooManyProducts(bytes int64) error {
	return fmt.Errorf("%w: records of products take %d bytes or more on node %s, with a limit of %d; raise it (--model-memory-mib)", wire.ErrTraining, bytes, w.cfg.NodeID, w.cfg.ModelMemory)
}

// learnProducts makes the worker of a partition, which learns from the products of all.
func (w *Worker) learnProducts(ctx context.Context, j *job, t *training, p *plan, x *trainee, head *kithv1.TrainStepHead) error {
	known, err := t.products.get(ctx, func() (*knownProducts, error) { return w.gatherProducts(ctx, j, t, p, head.Step, x) })
	if err != nil {
		return err
	}
	t.board.drop(head.Partition, head.Step, putProducts)
	if head.Partition == 0 {
		if err := t.board.put(head.Partition, head.Step, putCold, artifact.AppendItems(nil, known.cold)); err != nil {
			return fmt.Errorf("%w: %w", wire.ErrTraining, err)
		}
	}
	n := x.unborn
	n.data.Products, n.data.Features = known.products, known.features
	err = n.kind.Check(n.data)
	if err == nil {
		x.worker, err = n.kind.NewWorker(n.data, n.settings, n.threads)
	}
	if err != nil {
		return x.cause(ctx, x.model, err)
	}
	x.unborn = nil
	return nil
}

// gatherProducts reads the products of all partitions. Memory: what they took encoded, some times over; see tooManyProducts.
func (w *Worker) gatherProducts(ctx context.Context, j *job, t *training, p *plan, step uint32, x *trainee) (*knownProducts, error) {
	type product struct {
		key string
		train.Product
	}
	var cold []product
	k := &knownProducts{products: make([]train.Product, p.dictionary.Len())}
	none, size := true, int64(0)
	for part, from := range t.sources {
		b, err := w.productsOf(ctx, j, t, uint32(part), from, step)
		if err != nil {
			return nil, fmt.Errorf("products of partition %d from node %s: %w", part, from.GetNode(), err)
		}
		if size += int64(len(b)); size > w.cfg.ModelMemory {
			return nil, w.tooManyProducts(size)
		}
		for len(b) > 0 {
			var r catalog.Record
			if r, b, err = catalog.Decode(b); err != nil {
				return nil, fmt.Errorf("products of partition %d from node %s: %w: %w", part, from.GetNode(), wire.ErrCorrupt, err)
			}
			none = false
			if id, ok := p.dictionary.ID(r.Key); ok {
				k.products[id] = train.ProductOf(&r)
			} else {
				cold = append(cold, product{r.Key, train.ProductOf(&r)})
			}
		}
	}
	if none {
		return &knownProducts{}, nil
	}
	slices.SortFunc(cold, func(a, b product) int { return cmp.Compare(a.key, b.key) })
	for _, c := range cold {
		k.products, k.cold = append(k.products, c.Product), append(k.cold, c.key)
	}
	var err error
	if k.features, err = x.unborn.kind.FeaturesOf(k.products, x.unborn.settings); err != nil {
		return nil, fmt.Errorf("%w model %s: %w", wire.ErrTraining, x.model, err)
	}
	return k, nil
}

// productsOf returns what the worker of a partition has put of products.
func (w *Worker) productsOf(ctx context.Context, j *job, t *training, part uint32, from *kithv1.PartSource, step uint32) ([]byte, error) {
	if from.GetNode() == w.cfg.NodeID {
		return t.board.get(part, step, putProducts)
	}
	return w.fetchPut(ctx, j, t, from, step, putProducts)
}
