package coordinator

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"

	"github.com/kith-io/kith/partition"
)

// PopularItem is an item with the number of its events.
type PopularItem struct {
	Item  string
	Count uint64
}

const (
	// countedItems is the number of items whose counts are asked for at once: keys have at most 256 bytes.
	countedItems = 10_000
	// maxDepth is the number of items that each partition names at most, unless there are fewer than n.
	maxDepth = 1 << 13
)

// Popular returns the n items with the most events over all partitions, ties by key, as they are now: an item that came
// in a moment ago counts. Fewer only if the catalog ends. Up to maxDepth the first items of a longer answer are the shorter answer.
//
// Events of an item are spread over all partitions. The threshold algorithm (Fagin, Lotem, Naor, JCSS 66, 2003
// [fagin2003]) asks each partition for its top and for the counts of the others' tops, and stops as soon as no item that
// nobody named can be among the n best; otherwise it goes deeper. Cost: usually two rounds of calls to all partitions.
func (r *Router) Popular(ctx context.Context, n int, stale bool) ([]PopularItem, error) {
	partitions, err := r.partitions()
	if err != nil || n <= 0 {
		return nil, err
	}
	depth := n + 16
	if n <= maxDepth {
		depth = min(depth, maxDepth)
	}
	for {
		tops, _, err := r.popularRound(ctx, partitions, depth, nil, stale)
		if err != nil {
			return nil, err
		}
		threshold := uint64(0) // no item outside the tops has more events
		for _, top := range tops {
			threshold += lastCount(top, depth)
		}
		out, err := r.counted(ctx, candidates(tops, depth, n, threshold), partitions, stale)
		if err != nil {
			return nil, err
		}
		slices.SortFunc(out, comparePopular)
		// An unnamed item may tie with the threshold, and win by its key. Where all items
		// of a long tail are equally rare, to be sure would take the whole catalog, so beyond maxDepth the order is approximate.
		if threshold == 0 || len(out) >= n && (out[n-1].Count > threshold || depth >= maxDepth) {
			return out[:min(n, len(out))], nil
		}
		next := 4 * depth
		if depth < maxDepth {
			next = min(next, maxDepth) // what partitions keep at hand
		}
		depth = next
	}
}

// comparePopular orders by events descending, then by key.
func comparePopular(a, b PopularItem) int {
	return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Item, b.Item))
}

// popularOf returns those of some items that have events, in the order of Popular, however few these are. Cost: a round of calls to all partitions for each countedItems.
func (r *Router) popularOf(ctx context.Context, items []string, stale bool) ([]PopularItem, error) {
	partitions, err := r.partitions()
	if err != nil {
		return nil, err
	}
	all := make([]named, len(items))
	for i, item := range items {
		all[i] = named{PopularItem{Item: item}, 1}
	}
	out, err := r.counted(ctx, all, partitions, stale)
	if err != nil {
		return nil, err
	}
	out = slices.DeleteFunc(out, func(x PopularItem) bool { return x.Count == 0 })
	slices.SortFunc(out, comparePopular)
	return out, nil
}

// lastCount returns the most events that an item outside the top of a partition can have there.
func lastCount(top []*kithv1.ItemCount, depth int) uint64 {
	if len(top) < depth {
		return 0 // there are no others
	}
	return top[depth-1].Count
}

// named is an item of some tops.
type named struct {
	PopularItem
	// more is how many more events it can have in partitions whose tops lack it.
	more uint64
}

// candidates returns the items of tops that may be among the n with the most events.
func candidates(tops [][]*kithv1.ItemCount, depth, n int, threshold uint64) []named {
	items := map[string]named{}
	for _, top := range tops {
		last := lastCount(top, depth)
		for _, c := range top {
			x, ok := items[c.Item]
			if !ok {
				x = named{PopularItem{Item: c.Item}, threshold}
			}
			x.Count += c.Count
			x.more -= last
			items[c.Item] = x
		}
	}
	all := slices.Collect(maps.Values(items))
	if len(all) <= n {
		return all
	}
	slices.SortFunc(all, func(a, b named) int { return cmp.Compare(b.Count, a.Count) })
	sure := all[n-1].Count // so many items have at least as many events
	return slices.DeleteFunc(all, func(x named) bool { return x.Count+x.more < sure })
}

// counted returns items with their events in all partitions.
func (r *Router) counted(ctx context.Context, all []named, partitions int, stale bool) ([]PopularItem, error) {
	out := make([]PopularItem, len(all))
	var open []int // places of those that partitions have to be asked about
	for i, x := range all {
		if out[i] = x.PopularItem; x.more > 0 {
			open = append(open, i)
		}
	}
	for places := range slices.Chunk(open, countedItems) {
		items := make([]string, len(places))
		for i, at := range places {
			items[i], out[at].Count = out[at].Item, 0
		}
		_, counts, err := r.popularRound(ctx, partitions, 0, items, stale)
		if err != nil {
			return nil, err
		}
		for _, c := range counts {
			for i, at := range places {
				out[at].Count += c[i]
			}
		}
	}
	return out, nil
}

// popularRound asks all partitions for their tops and for the counts of items.
func (r *Router) popularRound(ctx context.Context, partitions, depth int, items []string, stale bool) (tops [][]*kithv1.ItemCount, counts [][]uint64, err error) {
	tops, counts = make([][]*kithv1.ItemCount, partitions), make([][]uint64, partitions)
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(concurrentCalls)
	for p := range partitions {
		g.Go(func() error {
			return r.onPartition(ctx, partition.ID(p), stale, func(ctx context.Context, c kithv1.PartitionServiceClient, epoch uint64) error {
				resp, err := c.Popular(ctx, &kithv1.PopularRequest{Partition: uint32(p), Epoch: epoch, N: uint32(depth), Items: items, Stale: stale})
				if err != nil {
					return err
				}
				mu.Lock()
				defer mu.Unlock()
				tops[p], counts[p] = resp.Items, resp.Counts
				return nil
			})
		})
	}
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	return tops, counts, nil
}
