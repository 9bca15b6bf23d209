package coordinator

import (
	"context"
	"fmt"
	"sync"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// BoughtTogether returns the allowed items that were in the most baskets with an item, ties by key, and the number of baskets that have it. A basket is
// as store.BoughtTogether says; all of it is in the partition of its user, so the counts of the partitions add up. Errors match wire.ErrInvalid and
// wire.ErrNotReady.
//
// Cost: each partition looks at the baskets of the item (store.BoughtTogether), and sends the items in them.
func (r *Router) BoughtTogether(ctx context.Context, item string, q Listing) (*List, uint64, error) {
	if item == "" || len(item) > fusion.MaxKeyBytes {
		return nil, 0, fmt.Errorf("%w: an item of %d bytes; want a key", wire.ErrInvalid, len(item))
	}
	out, err := r.begin(ctx, &q, false)
	if err != nil {
		return nil, 0, err
	}
	counts, baskets, stale, err := r.boughtSoon(ctx, item, q.Stale)
	out.Stale = out.Stale || stale
	if err != nil {
		return nil, 0, err
	}
	out.Items = r.listBest(q, counts, nil, nil)
	return out, baskets, nil
}

// boughtSoon is boughtWith by soon.
func (r *Router) boughtSoon(ctx context.Context, item string, stale bool) (counts map[string]float64, baskets uint64, wasStale bool, err error) {
	wasStale, err = r.soon(ctx, stale, func(ctx context.Context, stale bool) (err error) {
		counts, baskets, err = r.boughtWith(ctx, item, stale)
		return err
	})
	return counts, baskets, wasStale, err
}

// boughtWith returns for each item the number of baskets that have it and another one, and the number of those that have the other.
func (r *Router) boughtWith(ctx context.Context, item string, stale bool) (counts map[string]float64, baskets uint64, err error) {
	counts = map[string]float64{}
	var mu sync.Mutex
	err = r.eachPartition(ctx, stale, func(ctx context.Context, c kithv1.PartitionServiceClient, p partition.ID, epoch uint64) error {
		stream, err := c.BoughtTogether(ctx, &kithv1.BoughtTogetherRequest{Partition: uint32(p), Epoch: epoch, Item: item, Stale: stale})
		if err != nil {
			return err
		}
		var all []*kithv1.BoughtTogetherResponse
		err = wire.Receive(stream, func(m *kithv1.BoughtTogetherResponse) error {
			if len(m.Counts) != len(m.Items) {
				return fmt.Errorf("%w: %d counts of %d items", wire.ErrCorrupt, len(m.Counts), len(m.Items))
			}
			all = append(all, m)
			return nil
		})
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		for _, m := range all {
			baskets += m.Baskets
			for i, other := range m.Items {
				counts[other] += float64(m.Counts[i]) // whole numbers: exact
			}
		}
		return nil
	})
	return counts, baskets, err
}
