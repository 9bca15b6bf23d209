package coordinator

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/kith-io/kith/catalog/shelf"
)

// diversityPool is how many of the most popular allowed items are looked at to spread what popularity fills up, if they suffice: to look at all would
// be a pass over the catalog whenever there are fewer groups than places.
const diversityPool = 5000

// fill fills an answer up: from what is popular now, as far down as it takes, then with products that nobody has met, the newest first.
//
// Cost: that of Popular for the first items, and for four times as many as often as the rules leave too few: to find what hardly any item is,
// all are looked at. Boosts make it look further, until no item beyond could come in.
func (r *Router) fill(ctx context.Context, q Query, seen map[string]bool, a *Answer) error {
	if len(a.Items) >= q.N {
		return nil
	}
	have := maps.Clone(seen)
	for _, x := range a.Items {
		have[x.Item] = true
	}
	for ask := q.N + len(have); ; ask *= 4 {
		var popular []PopularItem
		stale, err := r.soon(ctx, q.Stale || a.Stale, func(ctx context.Context, stale bool) (err error) {
			popular, err = r.Popular(ctx, ask, stale)
			return err
		})
		a.Stale = a.Stale || stale
		if err != nil {
			return err
		}
		ended := len(popular) < ask
		chosen, sure := r.choosePopular(q, popular, have, a.Items)
		if !ended && !sure {
			continue
		}
		a.Items = append(a.Items, chosen...)
		if !ended || len(a.Items) == q.N {
			return nil
		}
		for _, x := range popular {
			have[x.Item] = true
		}
		partial, stale, err := r.awaitProducts(ctx, q.Stale)
		if err != nil {
			return err
		}
		a.Partial, a.Stale = a.Partial || partial, a.Stale || stale
		a.Items = append(a.Items, r.chooseNewest(q, have, a.Items)...)
		return nil
	}
}

// choosePopular returns the popular items that fill the answer up behind those there. sure means that no item that is less popular could change
// the choice.
func (r *Router) choosePopular(q Query, popular []PopularItem, have map[string]bool, there []Ranked) (chosen []Ranked, sure bool) {
	if len(popular) == 0 {
		return nil, true
	}
	r.products.shelf.View(func(v *shelf.View) {
		j := newJudge(&q.Rules, v)
		var all []scoredItem
		for i, x := range popular {
			if have[x.Item] {
				continue
			}
			if factor, group, ok := j.judge([]byte(x.Item)); ok {
				all = append(all, scoredItem{uint32(i), float64(x.Count), float64(x.Count) * factor, group})
			}
		}
		missing := q.N - len(there)
		var best []scoredItem
		var least float64
		if q.Diversity != nil && len(all) > diversityPool {
			pool := slices.Clone(all[:diversityPool])
			sortScored(pool)
			best, _ = choose(pool, missing, q.Diversity, j.taken(there))
			sure = len(best) == missing
		}
		if !sure {
			sortScored(all)
			best, least = choose(all, missing, q.Diversity, j.taken(there))
			sure = len(best) == missing && (!q.reorders() || least > float64(popular[len(popular)-1].Count)*q.largestFactor())
		}
		for _, x := range best {
			chosen = append(chosen, Ranked{Item: popular[x.id].Item, Score: x.score, Source: Popularity})
		}
	})
	return chosen, sure
}

// chooseNewest returns the products that fill the answer up behind those there, the newest first, those of unknown age last. Scores and boosts do not
// count here.
func (r *Router) chooseNewest(q Query, have map[string]bool, there []Ranked) (chosen []Ranked) {
	since := DefaultSince
	if q.Freshness != nil {
		since = q.Freshness.Attribute
	}
	for _, x := range r.newest(&q.Rules, since, have, q.N-len(there), true, there) {
		chosen = append(chosen, Ranked{Item: x.key, Source: Newest})
	}
	return chosen
}

// DefaultSince is the attribute that has the moment at which a product came.
const DefaultSince = "since"

// arrival is a product with the moment at which it came.
type arrival struct {
	key   string
	since int64
	known bool
}

func compareArrivals(a, b arrival) int {
	switch {
	case a.known != b.known && a.known:
		return -1
	case a.known != b.known:
		return 1
	}
	return cmp.Or(cmp.Compare(b.since, a.since), strings.Compare(a.key, b.key))
}

// slotsAtOnce is how many products are looked at in a row: changes wait for it, and other queries for them.
const slotsAtOnce = 4096

// newest returns n allowed products that are not among some, the newest first, and with unknown those of unknown age behind them, spread behind an
// answer that is there. Cost: a pass over all products, about a microsecond each.
func (r *Router) newest(rules *Rules, since string, but map[string]bool, n int, unknown bool, there []Ranked) []arrival {
	var found []arrival
	for from, slots := 0, 1; from < slots; from += slotsAtOnce {
		r.products.shelf.View(func(v *shelf.View) {
			j, name := newJudge(rules, v), v.Name(since)
			v.Each(from, slotsAtOnce, func(slot int, key string) {
				x := arrival{key: key}
				if x.since, x.known = v.Time(slot, name); !x.known && !unknown || but[key] {
					return
				}
				if _, _, ok := j.judge([]byte(key)); ok {
					found = append(found, x)
				}
			})
			slots = v.Slots()
		})
		if rules.Diversity == nil && len(found) > 2*n+slotsAtOnce {
			slices.SortFunc(found, compareArrivals)
			found = found[:n]
		}
	}
	slices.SortFunc(found, compareArrivals)
	all := make([]scoredItem, len(found))
	var best []scoredItem
	r.products.shelf.View(func(v *shelf.View) {
		j := newJudge(rules, v)
		for i, x := range found {
			all[i] = scoredItem{id: uint32(i), group: v.Group(v.Find([]byte(x.key)), j.group)}
		}
		best, _ = choose(all, n, rules.Diversity, j.taken(there))
	})
	out := make([]arrival, len(best))
	for i, x := range best {
		out[i] = found[x.id]
	}
	return out
}

// taken returns the numbers of items of each group in an answer.
func (j *judge) taken(items []Ranked) map[uint32]int {
	taken := map[uint32]int{}
	for _, x := range items {
		if group := j.view.Group(j.view.Find([]byte(x.Item)), j.group); group != 0 {
			taken[group]++
		}
	}
	return taken
}
