package coordinator

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kith-io/kith/catalog/shelf"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node/store"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// DefaultWithin is the window of Trending.
const DefaultWithin = 7 * 24 * time.Hour

// maxBehaviors bounds the weights of Trending.
const maxBehaviors = 32

// Listing asks for a list of items that is the same for all users.
type Listing struct {
	// N is the length of the list, 1 to MaxN.
	N int
	// Within is the largest age of the events of Trending.
	Within time.Duration
	// Weights of behaviors of Trending; nil means those of fusion.DefaultWeights.
	Weights map[fusion.Behavior]float64
	// Since is the attribute of NewArrivals.
	Since string
	// Stale reads from any replica.
	Stale bool
	// Rules without those about the history and pins.
	Rules
}

// List is a list of items by rank.
type List struct {
	Items []Listed
	// Partial and Stale are as in Answer.
	Partial, Stale bool
}

// Listed is one place.
type Listed struct {
	Item string
	// Score of Trending.
	Score float64
	// Time of the others, in Unix milliseconds.
	Time int64
}

// begin checks a listing, settles its time, and waits for the products that its rules look at.
func (r *Router) begin(ctx context.Context, q *Listing, products bool) (*List, error) {
	if q.N < 1 || q.N > MaxN {
		return nil, fmt.Errorf("%w: n is %d; want 1 to %d", wire.ErrInvalid, q.N, MaxN)
	}
	if err := q.checkList(); err != nil {
		return nil, err
	}
	q.settle(r.now())
	out := &List{}
	if products || q.usesProducts() {
		var err error
		if out.Partial, out.Stale, err = r.awaitProducts(ctx, q.Stale); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Trending returns the allowed items with the largest sums of the weights of their events within a window up to now, ties by key. Sums are formed
// from exact counts. Errors match wire.ErrInvalid and wire.ErrNotReady.
//
// Cost: each partition counts the events of the window (store.Active), and sends its items: some 20 bytes each.
func (r *Router) Trending(ctx context.Context, q Listing) (*List, error) {
	if q.Within <= 0 {
		return nil, fmt.Errorf("%w: a window of %v; want more than 0", wire.ErrInvalid, q.Within)
	}
	out, err := r.begin(ctx, &q, false)
	if err != nil {
		return nil, err
	}
	sums, stale, err := r.activity(ctx, q)
	if err != nil {
		return nil, err
	}
	out.Stale = out.Stale || stale
	out.Items = r.listBest(q, sums, nil, nil)
	return out, nil
}

// activity returns the sums of the weights of the events in the window of a listing that are above 0, by item.
func (r *Router) activity(ctx context.Context, q Listing) (sums map[string]float64, wasStale bool, err error) {
	if q.Weights == nil {
		q.Weights = fusion.DefaultWeights().Behavior
	}
	behaviors, err := weighed(q.Weights)
	if err != nil {
		return nil, false, err
	}
	var items []string
	var counts []uint64
	wasStale, err = r.soon(ctx, q.Stale, func(ctx context.Context, stale bool) (err error) {
		items, counts, err = r.activeItems(ctx, q, behaviors, stale)
		return err
	})
	if err != nil {
		return nil, wasStale, err
	}
	sums = make(map[string]float64, len(items))
	for i, item := range items {
		sum := 0.0
		for k, b := range behaviors {
			sum += float64(q.Weights[b] * float64(counts[i*len(behaviors)+k])) // conversions forbid fused operations
		}
		if sum > 0 {
			sums[item] = sum
		}
	}
	return sums, wasStale, nil
}

// listBest returns the n items with the largest scores by the rules that are not among some, ties by key, spread behind an answer that is there.
func (r *Router) listBest(q Listing, scores map[string]float64, but map[string]bool, there []Ranked) (out []Listed) {
	r.products.shelf.View(func(v *shelf.View) {
		j := newJudge(&q.Rules, v)
		items := slices.Collect(maps.Keys(scores))
		if q.Diversity != nil {
			slices.Sort(items) // groups get their numbers in this order
		}
		var all []scoredItem
		for i, item := range items {
			if but[item] {
				continue
			}
			if factor, group, ok := j.judge([]byte(item)); ok {
				all = append(all, scoredItem{uint32(i), scores[item], scores[item] * factor, group})
			}
		}
		if q.Diversity == nil {
			all = noneBelow(all, q.N)
		}
		slices.SortFunc(all, func(a, b scoredItem) int {
			if x := cmp.Compare(b.score, a.score); x != 0 {
				return x
			}
			return strings.Compare(items[a.id], items[b.id])
		})
		best, _ := choose(all, q.N, q.Diversity, j.taken(there))
		for _, x := range best {
			out = append(out, Listed{Item: items[x.id], Score: x.score})
		}
	})
	return out
}

// noneBelow returns the candidates whose scores are not below the n-th largest: to order all by key takes ten times as long as to order scores.
func noneBelow(candidates []scoredItem, n int) []scoredItem {
	if len(candidates) <= n {
		return candidates
	}
	scores := make([]float64, len(candidates))
	for i, x := range candidates {
		scores[i] = x.score
	}
	slices.Sort(scores)
	least := scores[len(scores)-n]
	return slices.DeleteFunc(candidates, func(x scoredItem) bool { return x.score < least })
}

// weighed returns the behaviors that have a weight, sorted.
func weighed(weights map[fusion.Behavior]float64) (out []fusion.Behavior, err error) {
	if len(weights) > maxBehaviors {
		return nil, fmt.Errorf("%w: weights of %d behaviors; want at most %d", wire.ErrInvalid, len(weights), maxBehaviors)
	}
	for b, x := range weights {
		if !b.Valid() || math.IsNaN(x) || math.Abs(x) > maxFactor {
			return nil, fmt.Errorf("%w: weight %v of behavior %.40q; want a well-formed name, and at most %v either way", wire.ErrInvalid, x, string(b), maxFactor)
		}
		if x != 0 {
			out = append(out, b)
		}
	}
	slices.Sort(out)
	return out, nil
}

// activeItems returns the items with events in the window of a listing, over all partitions, and for each as many numbers of events as there are behaviors.
func (r *Router) activeItems(ctx context.Context, q Listing, behaviors []fusion.Behavior, stale bool) (all []string, totals []uint64, err error) {
	place := map[string]int{}
	names := make([]string, len(behaviors))
	for i, b := range behaviors {
		names[i] = string(b)
	}
	var mu sync.Mutex
	err = r.eachPartition(ctx, stale, func(ctx context.Context, c kithv1.PartitionServiceClient, p partition.ID, epoch uint64) error {
		stream, err := c.ActiveItems(ctx, &kithv1.ActiveItemsRequest{
			Partition: uint32(p), Epoch: epoch, FromUnixMs: q.Now - q.Within.Milliseconds(), ToUnixMs: q.Now, Behaviors: names, Stale: stale,
		})
		if err != nil {
			return err
		}
		var items []string
		var counts []uint64
		err = wire.Receive(stream, func(m *kithv1.ActiveItemsResponse) error {
			if len(m.Counts) != len(m.Items)*len(names) {
				return fmt.Errorf("%w: %d counts of %d items", wire.ErrCorrupt, len(m.Counts), len(m.Items))
			}
			items, counts = append(items, m.Items...), append(counts, m.Counts...)
			return nil
		})
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		for i, item := range items {
			of := counts[i*len(names):][:len(names)]
			at, ok := place[item]
			if !ok {
				place[item] = len(all)
				all, totals = append(all, item), append(totals, of...)
				continue
			}
			for k, n := range of {
				totals[at*len(names)+k] += n
			}
		}
		return nil
	})
	return all, totals, err
}

// eachPartition calls f on a replica of each partition: on its leader, or with stale on any. What f adds up must be added once it cannot fail any more.
func (r *Router) eachPartition(ctx context.Context, stale bool, f func(ctx context.Context, c kithv1.PartitionServiceClient, p partition.ID, epoch uint64) error) error {
	partitions, err := r.partitions()
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(concurrentCalls)
	for p := range partitions {
		g.Go(func() error {
			return r.onPartition(ctx, partition.ID(p), stale, func(ctx context.Context, c kithv1.PartitionServiceClient, epoch uint64) error {
				return f(ctx, c, partition.ID(p), epoch)
			})
		})
	}
	return g.Wait()
}

// NewArrivals returns the allowed products that came last, by a time attribute; those without, and those of the future, are left out. Cost: a pass over
// the products in memory, without a call.
func (r *Router) NewArrivals(ctx context.Context, q Listing) (*List, error) {
	if q.Since == "" {
		q.Since = DefaultSince
	}
	q.settle(r.now())
	out, err := r.begin(ctx, &q, true)
	if err != nil {
		return nil, err
	}
	q.Filter.Conditions = append(slices.Clone(q.Filter.Conditions), shelf.Condition{Attribute: q.Since, Op: shelf.Range, Min: math.Inf(-1), Max: float64(q.Now)})
	for _, x := range r.newest(&q.Rules, q.Since, nil, q.N, false, nil) {
		out.Items = append(out.Items, Listed{Item: x.key, Time: x.since})
	}
	return out, nil
}

// Latest returns the allowed items with the latest events up to now, ties by key. Diversity and boosts are not used.
//
// The n items that are latest over all are among the n latest of some partition each, so n of each are enough; a filter that leaves too few makes it
// ask for four times as many.
func (r *Router) Latest(ctx context.Context, q Listing) (*List, error) {
	out, err := r.begin(ctx, &q, false)
	if err != nil {
		return nil, err
	}
	for ask := q.N; ; ask *= 4 {
		var last []store.LastEvent
		stale, err := r.soon(ctx, q.Stale, func(ctx context.Context, stale bool) (err error) {
			last, err = r.lastItems(ctx, ask, q.Now, stale)
			return err
		})
		out.Stale = out.Stale || stale
		if err != nil {
			return nil, err
		}
		out.Items = nil
		r.products.shelf.View(func(v *shelf.View) {
			test := v.Compile(&q.Filter)
			for _, x := range last {
				if key := []byte(x.Item); len(out.Items) < q.N && test.Match(v.Find(key), key) {
					out.Items = append(out.Items, Listed{Item: x.Item, Time: x.Time})
				}
			}
		})
		if len(out.Items) == q.N || len(last) < ask {
			return out, nil
		}
	}
}

// lastItems returns the n items with the latest events over all partitions.
func (r *Router) lastItems(ctx context.Context, n int, upTo int64, stale bool) ([]store.LastEvent, error) {
	last := map[string]int64{}
	var mu sync.Mutex
	err := r.eachPartition(ctx, stale, func(ctx context.Context, c kithv1.PartitionServiceClient, p partition.ID, epoch uint64) error {
		resp, err := c.LastItems(ctx, &kithv1.LastItemsRequest{Partition: uint32(p), Epoch: epoch, N: uint32(n), ToUnixMs: upTo, Stale: stale})
		if err != nil {
			return err
		}
		if len(resp.Items) != len(resp.TimesUnixMs) {
			return fmt.Errorf("%w: %d times of %d items", wire.ErrCorrupt, len(resp.TimesUnixMs), len(resp.Items))
		}
		mu.Lock()
		defer mu.Unlock()
		for i, item := range resp.Items {
			last[item] = max(last[item], resp.TimesUnixMs[i])
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := make([]store.LastEvent, 0, len(last))
	for item, t := range last {
		out = append(out, store.LastEvent{Item: item, Time: t})
	}
	slices.SortFunc(out, store.CompareLast)
	return out[:min(n, len(out))], nil
}
