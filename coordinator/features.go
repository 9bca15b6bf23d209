package coordinator

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/fusion/view"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

const (
	// featureUsers is the number of users whose features are asked for at once.
	featureUsers = 64
	// tablePasses is the number of passes over the events of the cluster that one server drives at a time.
	tablePasses = 2
	// tablePartitions is the number of partitions whose events a pass reads at a time.
	tablePartitions = 4
	// tableItems is the number of items whose features one pass adds up.
	tableItems = 50_000
)

// ReadProducts is a node.ProductReader.
func (r *Router) ReadProducts(ctx context.Context, items []string, stale bool) ([]*kithv1.Record, error) {
	return r.Records(ctx, catalog.Product, items, stale)
}

// UserFeatures returns the features of some users, ascending by key, those without events left out; of those who are joined to others, of these. Options must be complete.
// Memory: the features.
func (r *Router) UserFeatures(ctx context.Context, users []string, o *kithv1.FeatureOptions, stale bool) ([]*kithv1.UserFeatures, error) {
	asked := map[string]bool{}
	var all []*kithv1.UserFeatures
	for len(users) > 0 {
		for _, user := range users {
			asked[user] = true
		}
		var mu sync.Mutex
		var others []string
		rows, err := gather(ctx, r, users, featureUsers, (*kithv1.UserFeatures).GetUser, func(ctx context.Context, p partition.ID, chunk []string) ([]*kithv1.UserFeatures, error) {
			rows, moved, err := r.readFeatures(ctx, &kithv1.ReadUserFeaturesRequest{Partition: uint32(p), Options: o, Users: chunk, Stale: stale})
			mu.Lock()
			defer mu.Unlock()
			for _, m := range moved {
				others = append(others, m.To)
			}
			return rows, err
		})
		if err != nil {
			return nil, err
		}
		all = append(all, rows...)
		users = slices.DeleteFunc(others, func(user string) bool { return asked[user] })
	}
	slices.SortFunc(all, func(a, b *kithv1.UserFeatures) int { return cmp.Compare(a.User, b.User) })
	return all, nil
}

// readFeatures asks one partition. It names those of the users that are joined to others.
func (r *Router) readFeatures(ctx context.Context, req *kithv1.ReadUserFeaturesRequest) (rows []*kithv1.UserFeatures, moved []*kithv1.MovedUser, err error) {
	err = r.onPartition(ctx, partition.ID(req.Partition), req.Stale, func(ctx context.Context, c kithv1.PartitionServiceClient, epoch uint64) error {
		req.Epoch, rows, moved = epoch, nil, nil // of a try that broke off
		stream, err := c.ReadUserFeatures(ctx, req)
		if err != nil {
			return err
		}
		return wire.Receive(stream, func(m *kithv1.ReadUserFeaturesResponse) error {
			rows, moved = append(rows, m.Users...), append(moved, m.Moved...)
			return nil
		})
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read features: %w", err)
	}
	return rows, moved, nil
}

// ListUserFeatures sends the features of all users, partitions in order, by key, as of a cut; an empty chunk says that it was taken. With
// rfm they have classes. Options must be complete. An error of send ends it and is returned. Cost: a pass over all events, and another
// before it for classes. Memory: a message or two, and some 40 bytes a buyer while classes are made.
func (c *Coordinator) ListUserFeatures(ctx context.Context, o *kithv1.FeatureOptions, rfm bool, send func([]*kithv1.UserFeatures) error) error {
	t, done, err := c.table(ctx, o)
	if err != nil {
		return err
	}
	defer done()
	if err := send(nil); err != nil {
		return err
	}
	var classes *view.Classes
	if rfm {
		buyers, err := t.purchases(ctx)
		if err != nil {
			return err
		}
		classes = view.ClassesOf(buyers...)
	}
	for p := range t.cuts {
		err := t.users(ctx, partition.ID(p), false, func(m *kithv1.ScanUserFeaturesResponse) error {
			if classes != nil {
				for _, u := range m.Users {
					u.Rfm = wire.RFMToProto(classes.Of(view.Purchases{LastOrder: u.LastOrderUnixMs, Orders: int(u.Orders), Revenue: u.Revenue}))
				}
			}
			if len(m.Users) == 0 {
				return nil
			}
			return send(m.Users)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// ListProductFeatures sends the features of some items, or of all where none are named, by key, as ListUserFeatures does. Cost: a pass over all
// events for every tableItems items. Memory: six times as many at most.
func (c *Coordinator) ListProductFeatures(ctx context.Context, o *kithv1.FeatureOptions, items []string, send func([]*kithv1.ProductFeatures) error) error {
	t, done, err := c.table(ctx, o)
	if err != nil {
		return err
	}
	defer done()
	if err := send(nil); err != nil {
		return err
	}
	for after, more := "", true; more; {
		sum := view.FirstItems(after, tableItems)
		if len(items) > 0 {
			sum = view.NamedItems(items)
		}
		if err := t.addItems(ctx, &kithv1.ScanProductFeaturesRequest{Items: items, AfterItem: after, N: tableItems}, sum); err != nil {
			return err
		}
		if after, more, err = wire.SendItems(sum, send); err != nil {
			return err
		}
	}
	return nil
}

// table reads the events of all partitions up to a cut, once or more.
type table struct {
	c       *Coordinator
	options *kithv1.FeatureOptions
	cuts    []*kithv1.PartitionCut
}

// table waits for its turn and takes a cut. The caller must call done.
func (c *Coordinator) table(ctx context.Context, o *kithv1.FeatureOptions) (_ *table, done func(), err error) {
	if err := c.tables.Acquire(ctx, 1); err != nil {
		return nil, nil, err
	}
	done = func() { c.tables.Release(1) }
	cuts, err := c.cuts(ctx)
	if err != nil {
		done()
		return nil, nil, fmt.Errorf("features: %w", err)
	}
	return &table{c: c, options: o, cuts: cuts}, done, nil
}

// users takes the users of a partition. An error of take ends it and is returned.
func (t *table) users(ctx context.Context, p partition.ID, onlyPurchases bool, take func(*kithv1.ScanUserFeaturesResponse) error) error {
	after := ""
	err := t.c.fromReplicas(ctx, p, "features", func(ctx context.Context, node string, epoch uint64) (brought bool, err error) {
		open := func(ctx context.Context, c kithv1.PartitionServiceClient) (grpc.ServerStreamingClient[kithv1.ScanUserFeaturesResponse], error) {
			return c.ScanUserFeatures(ctx, &kithv1.ScanUserFeaturesRequest{
				Partition: uint32(p), Epoch: epoch, Options: t.options, Cut: t.cuts[p].Index, AfterUser: after, OnlyPurchases: onlyPurchases,
			})
		}
		err = listen(ctx, t.c, node, open, func(m *kithv1.ScanUserFeaturesResponse) error {
			if err := take(m); err != nil {
				return &sinkError{err}
			}
			after, brought = m.AfterUser, true
			return nil
		})
		return brought, err
	})
	if err != nil {
		return fmt.Errorf("features of partition %d: %w", p, err)
	}
	return nil
}

// purchases returns what classes are made from, of each partition: 24 bytes a buyer.
func (t *table) purchases(ctx context.Context) ([][]view.Purchases, error) {
	found := make([][]view.Purchases, len(t.cuts))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(tablePartitions)
	for p := range t.cuts {
		g.Go(func() error {
			return t.users(ctx, partition.ID(p), true, func(m *kithv1.ScanUserFeaturesResponse) error {
				for i := range min(len(m.Orders), len(m.LastOrderUnixMs), len(m.Revenue)) {
					found[p] = append(found[p], view.Purchases{LastOrder: m.LastOrderUnixMs[i], Orders: int(m.Orders[i]), Revenue: m.Revenue[i]})
				}
				return nil
			})
		})
	}
	return found, g.Wait()
}

// addItems adds up what all partitions say of the items that req asks for, in the order of partitions, so that sums can be repeated.
func (t *table) addItems(ctx context.Context, req *kithv1.ScanProductFeaturesRequest, sum *view.Items) error {
	all := make([]partition.ID, len(t.cuts))
	for p := range all {
		all[p] = partition.ID(p)
	}
	for some := range slices.Chunk(all, tablePartitions) {
		found := make([]partItems, len(some))
		g, ctx := errgroup.WithContext(ctx)
		for i, p := range some {
			g.Go(func() (err error) {
				found[i], err = t.items(ctx, p, req)
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
		for _, part := range found {
			if part.more && len(part.rows) > 0 {
				sum.Until(part.rows[len(part.rows)-1].Item)
			}
			for _, m := range part.rows {
				sum.Add(wire.ProductFeaturesFromProto(m))
			}
		}
	}
	return nil
}

// partItems are what one partition says of items, by key, and whether it has more behind them.
type partItems struct {
	rows []*kithv1.ProductFeatures
	more bool
}

// items asks one partition.
func (t *table) items(ctx context.Context, p partition.ID, req *kithv1.ScanProductFeaturesRequest) (found partItems, err error) {
	err = t.c.fromReplicas(ctx, p, "features", func(ctx context.Context, node string, epoch uint64) (brought bool, err error) {
		found = partItems{} // of a try that broke off
		open := func(ctx context.Context, c kithv1.PartitionServiceClient) (grpc.ServerStreamingClient[kithv1.ScanProductFeaturesResponse], error) {
			return c.ScanProductFeatures(ctx, &kithv1.ScanProductFeaturesRequest{
				Partition: uint32(p), Epoch: epoch, Options: t.options, Cut: t.cuts[p].Index, Items: req.Items, AfterItem: req.AfterItem, N: req.N,
			})
		}
		err = listen(ctx, t.c, node, open, func(m *kithv1.ScanProductFeaturesResponse) error {
			found.rows, found.more = append(found.rows, m.Products...), m.More
			return nil
		})
		return false, err
	})
	if err != nil {
		return found, fmt.Errorf("features of partition %d: %w", p, err)
	}
	return found, nil
}
