package coordinator

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/catalog/shelf"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node/store"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// counters are a node that leads some partitions, and knows the counts of items alone.
type counters struct {
	fakePeers
	grpc.ClientConnInterface
	top func(ctx context.Context, p uint32, n int) ([]store.ItemCount, error)
	of  func(ctx context.Context, p uint32, items []string) ([]uint64, error)

	mu sync.Mutex // guards what follows
	// deepest and most are the most items that were asked for in a call, by their places and by their keys.
	calls, deepest, most int
}

// Conn implements Peers.
func (c *counters) Conn(context.Context, string) (grpc.ClientConnInterface, error) { return c, nil }

// Invoke implements grpc.ClientConnInterface.
func (c *counters) Invoke(ctx context.Context, _ string, args, reply any, _ ...grpc.CallOption) error {
	req, resp := args.(*kithv1.PopularRequest), reply.(*kithv1.PopularResponse)
	c.mu.Lock()
	c.calls, c.deepest, c.most = c.calls+1, max(c.deepest, int(req.N)), max(c.most, len(req.Items))
	c.mu.Unlock()
	top, err := c.top(ctx, req.Partition, int(req.N))
	if err != nil {
		return err
	}
	for _, x := range top {
		resp.Items = append(resp.Items, &kithv1.ItemCount{Item: x.Item, Count: x.Count})
	}
	resp.Counts, err = c.of(ctx, req.Partition, req.Items)
	return err
}

func (c *counters) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls, c.deepest, c.most = 0, 0, 0
}

// routerOfCounters returns a Router over partitions with one replica.
func routerOfCounters(t testing.TB, c *counters, partitions int) *Router {
	t.Helper()
	log := NewMemoryLog()
	replicas := make([]*kithv1.Replicas, partitions)
	for i := range replicas {
		replicas[i] = &kithv1.Replicas{Nodes: []string{"a"}}
	}
	for _, x := range []*kithv1.ControlCommand{
		{Command: &kithv1.ControlCommand_InitCluster{InitCluster: &kithv1.InitCluster{ClusterId: "c", Partitions: uint32(partitions), ReplicationFactor: 1}}},
		{Command: &kithv1.ControlCommand_SetShardMap{SetShardMap: &kithv1.SetShardMap{Epoch: 1, Partitions: replicas}}},
	} {
		if _, err := log.Propose(t.Context(), x); err != nil {
			t.Fatal(err)
		}
	}
	return NewRouter(log, c, fakeLocal{}, time.Now)
}

func text(name, x string) catalog.Attribute {
	return catalog.Attribute{Name: name, Value: catalog.Value{Type: catalog.Text, Text: x}}
}

func number(name string, x float64) catalog.Attribute {
	return catalog.Attribute{Name: name, Value: catalog.Value{Type: catalog.Number, Number: x}}
}

// countersOf makes counters of numbers of events, by partition.
func countersOf(counts []map[string]uint64) *counters {
	sorted := make([][]store.ItemCount, len(counts))
	for p, of := range counts {
		for item, n := range of {
			sorted[p] = append(sorted[p], store.ItemCount{Item: item, Count: n})
		}
		slices.SortFunc(sorted[p], func(a, b store.ItemCount) int {
			return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Item, b.Item))
		})
	}
	return &counters{
		top: func(_ context.Context, p uint32, n int) ([]store.ItemCount, error) {
			return sorted[p][:min(n, len(sorted[p]))], nil
		},
		of: func(_ context.Context, p uint32, items []string) ([]uint64, error) {
			out := make([]uint64, len(items))
			for i, item := range items {
				out[i] = counts[p][item]
			}
			return out, nil
		},
	}
}

// walk is the slow twin of fillPopular: it looks at the most popular items alone.
func walk(t *testing.T, r *Router, q *Query, have map[string]bool, there []Ranked) []Ranked {
	t.Helper()
	for ask := q.N + len(have); ; ask *= 4 {
		popular, err := r.Popular(t.Context(), ask, false)
		if err != nil {
			t.Fatal(err)
		}
		if chosen, sure := r.choosePopular(q, popular, have, there); sure || len(popular) < ask {
			return append(slices.Clone(there), chosen...)
		}
	}
}

// TestFewEqualWalk compares answers under random rules with those that a walk down all items finds. There are products without events, and items without a record.
func TestFewEqualWalk(t *testing.T) {
	const partitions = 3
	byKeys := 0
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 5))
		n := 1 + rng.IntN(2000)
		counts := make([]map[string]uint64, partitions)
		for p := range counts {
			counts[p] = map[string]uint64{}
		}
		c := countersOf(nil)
		r := routerOfCounters(t, c, partitions)
		var keys []string
		for i := range n {
			key := fmt.Sprintf("p%04d", i)
			keys = append(keys, key)
			for range int(5 * rng.ExpFloat64() * rng.Float64()) {
				counts[rng.IntN(partitions)][key]++
			}
			record := catalog.Record{Key: key, Version: 1, Deleted: rng.IntN(20) == 0}
			if !record.Deleted {
				record.Attributes = []catalog.Attribute{text("brand", fmt.Sprint("b", int(rng.ExpFloat64()*10))), text("category", fmt.Sprint("c", rng.IntN(4))), number("price", float64(rng.IntN(1000)))}
			}
			if rng.IntN(10) > 0 {
				r.products.shelf.Put(&record)
			}
		}
		*c = counters{top: countersOf(counts).top, of: countersOf(counts).of}
		some := func(n int) (out []string) {
			for range n {
				out = append(out, keys[rng.IntN(len(keys))])
			}
			return out
		}
		for range 10 {
			q := Query{N: 1 + rng.IntN(30), Rules: randomRules(rng, some)}
			have := map[string]bool{}
			for _, item := range some(rng.IntN(20)) {
				have[item] = true
			}
			var there []Ranked
			for _, item := range some(rng.IntN(min(3, q.N))) {
				if !have[item] {
					have[item] = true
					there = append(there, Ranked{Item: item, Source: Hybrid})
				}
			}
			c.reset()
			want := walk(t, r, &q, have, there)
			deep := c.deepest
			c.reset()
			a := Answer{Items: slices.Clone(there)}
			if err := r.fillPopular(t.Context(), &q, Popularity, maps.Clone(have), &a); err != nil {
				t.Fatal(err)
			}
			if !slices.EqualFunc(a.Items, want, func(x, y Ranked) bool { return x.Item == y.Item && x.Score == y.Score && x.Source == y.Source }) {
				t.Fatalf("seed %d: %d of %d items by %+v, but for %d: got %v, want %v", seed, q.N, n, q.Rules, len(have), a.Items, want)
			}
			if c.deepest > deep {
				t.Fatalf("seed %d: looks at %d items, a walk at %d", seed, c.deepest, deep)
			}
			if c.deepest < deep {
				byKeys++
			}
		}
	}
	if byKeys < 100 {
		t.Errorf("items were asked for by their keys %d times: the test looks at little", byKeys)
	}
}

// randomRules draws rules whose filters let everything from nothing to all pass.
func randomRules(rng *rand.Rand, some func(n int) []string) (rules Rules) {
	if rng.IntN(3) > 0 {
		rules.Filter.Conditions = append(rules.Filter.Conditions, shelf.Condition{Attribute: "brand", Op: shelf.AnyOf, Values: []string{fmt.Sprint("b", rng.IntN(60))}})
	}
	if rng.IntN(4) == 0 {
		rules.Filter.Conditions = append(rules.Filter.Conditions, shelf.Condition{Attribute: "category", Op: shelf.NoneOf, Values: []string{"c0", "c1"}})
	}
	if rng.IntN(4) == 0 {
		rules.Filter.Conditions = append(rules.Filter.Conditions, shelf.Condition{Attribute: "price", Op: shelf.Range, Min: math.Inf(-1), Max: float64(rng.IntN(300))})
	}
	rules.Filter.OnlyProducts = rng.IntN(5) == 0
	if rng.IntN(5) == 0 {
		rules.Filter.Allow = append(some(rng.IntN(400)), "nothing", strings.Repeat("long", fusion.MaxKeyBytes))
	}
	if rng.IntN(5) == 0 {
		rules.Filter.Deny = some(20)
	}
	if rng.IntN(3) == 0 {
		rules.Boosts = []Boost{{Filter: shelf.Filter{Conditions: []shelf.Condition{{Attribute: "category", Op: shelf.AnyOf, Values: []string{"c2"}}}}, Factor: []float64{0.3, 2, 10}[rng.IntN(3)]}}
	}
	if rng.IntN(3) == 0 {
		rules.Diversity = &Diversity{Attribute: "category", Lambda: []float64{0, 0.5, 1}[rng.IntN(3)], MaxPerGroup: rng.IntN(4)}
	}
	return rules
}

// TestFewAreAskedFor counts calls: what hardly any product is takes few, and none is deep.
func TestFewAreAskedFor(t *testing.T) {
	const products, partitions = 5*slotsAtOnce + 7, 3
	counts := make([]map[string]uint64, partitions)
	for p := range counts {
		counts[p] = map[string]uint64{}
	}
	c := countersOf(nil)
	r := routerOfCounters(t, c, partitions)
	var rare, unpopular, none []string
	for i := range products {
		x := catalog.Record{Key: fmt.Sprintf("p%05d", i), Version: 1, Attributes: []catalog.Attribute{text("brand", fmt.Sprint("b", i%7))}}
		n := uint64(products - i)
		switch {
		case i%1000 == 999 && i > 10_000:
			x.Attributes[0] = text("brand", "rare")
			rare = append(rare, x.Key)
		case i > 15_000:
			x.Attributes[0] = text("brand", "unpopular")
			unpopular = append(unpopular, x.Key)
		case i == 77:
			n = 0
			x.Attributes[0] = text("brand", "none")
			none = append(none, x.Key)
		}
		for p := range counts {
			if n > 0 {
				counts[p][x.Key] = n
			}
		}
		r.products.shelf.Put(&x)
	}
	*c = counters{top: countersOf(counts).top, of: countersOf(counts).of}
	brand := func(b string) shelf.Filter {
		return shelf.Filter{Conditions: []shelf.Condition{{Attribute: "brand", Op: shelf.AnyOf, Values: []string{b}}}}
	}
	for _, tt := range []struct {
		name           string
		f              shelf.Filter
		n              int
		want           []string
		calls, deepest int
	}{
		{"rare", brand("rare"), 10, rare[:10], 2 * partitions, 26},
		{"more than there are", brand("rare"), 50, rare, 2 * partitions, 66},
		{"unpopular", brand("unpopular"), 10, unpopular[:10], 5 * partitions, 656},
		{"many places", brand("rare"), 1001, rare, partitions, 0},
		{"without events", brand("none"), 10, none[:0], 2 * partitions, 26},
		{"unknown", brand("unknown"), 10, nil, partitions, 26},
		{"listed", shelf.Filter{Allow: append(slices.Clone(rare), rare...)}, 10, rare[:10], partitions, 0},
		{"of a list, rare", shelf.Filter{Allow: append(unpopular[:100:100], rare...), Conditions: brand("rare").Conditions}, 20, rare[:min(20, len(rare))], partitions, 0},
		{"popular", brand("b3"), 2, []string{"p00003", "p00010"}, 3 * partitions, 48},
	} {
		c.reset()
		var a Answer
		if err := r.fillPopular(t.Context(), &Query{N: tt.n, Rules: Rules{Filter: tt.f}}, Popularity, nil, &a); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, x := range a.Items {
			got = append(got, x.Item)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
		if c.calls > tt.calls || c.deepest > tt.deepest || c.most > countedItems {
			t.Errorf("%s: %d calls, for %d items at most and the counts of %d; want up to %d for %d", tt.name, c.calls, c.deepest, c.most, tt.calls, tt.deepest)
		}
	}
}

// BenchmarkFillPopular fills an answer whose filter lets few products pass. Partitions are stores.
func BenchmarkFillPopular(b *testing.B) {
	const products, events, partitions = 50_000, 600_000, 4
	cache := store.NewCache(32<<20, partitions)
	defer cache.Unref()
	stores := make([]*store.Store, partitions)
	for p := range stores {
		s, err := store.Open(store.Options{Dir: b.TempDir(), Cache: cache})
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		stores[p] = s
	}
	rng := rand.New(rand.NewPCG(1, 2))
	key := func(i int) string { return fmt.Sprintf("product-%07d", i*7919%products) } // by popularity
	groups := make([][]fusion.Event, partitions)
	for i := range events {
		e := fusion.Event{User: fmt.Sprint("u", i/20), ID: fmt.Sprint(i), Item: key(int(2*math.Exp(rng.Float64()*math.Log(products/2))) - 2), Behavior: "view", Value: 1}
		p := partition.Of(e.User, partitions)
		if groups[p] = append(groups[p], e); len(groups[p]) == 10_000 || i == events-1 {
			if _, err := stores[p].Apply(stores[p].Applied()+1, store.EncodeBatch(nil, groups[p])); err != nil {
				b.Fatal(err)
			}
			groups[p] = nil
		}
	}
	r := routerOfCounters(b, &counters{
		top: func(ctx context.Context, p uint32, n int) ([]store.ItemCount, error) {
			return stores[p].Popular(ctx, n)
		},
		of: func(ctx context.Context, p uint32, items []string) ([]uint64, error) {
			return stores[p].ItemCounts(ctx, items)
		},
	}, partitions)
	allowed := []int{3, 30, 300, 3000}
	for i := range products {
		x := catalog.Record{Key: key(i), Version: 1, Attributes: []catalog.Attribute{number("price", float64(i%5000)/100), text("title", fmt.Sprint("a title of some length ", i))}}
		for _, of := range allowed {
			if i%(products/of) == products/of/3 {
				x.Attributes = append(x.Attributes, text(fmt.Sprint("one of ", of), "yes"))
			}
		}
		r.products.shelf.Put(&x)
	}
	for _, of := range allowed {
		b.Run(fmt.Sprint("allowed=", of), func(b *testing.B) {
			q := Query{N: 10, Rules: Rules{Filter: shelf.Filter{Conditions: []shelf.Condition{{Attribute: fmt.Sprint("one of ", of), Op: shelf.AnyOf, Values: []string{"yes"}}}}}}
			b.ReportAllocs()
			for b.Loop() {
				var a Answer
				if err := r.fillPopular(b.Context(), &q, Popularity, nil, &a); err != nil || len(a.Items) < min(q.N, of)/2 {
					b.Fatalf("%d items, error %v", len(a.Items), err)
				}
			}
		})
	}
}
