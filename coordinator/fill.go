package coordinator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kith-io/kith/catalog/shelf"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node/wire"
)

// diversityPool is how many of the most popular allowed items are looked at to spread what popularity fills up, if they suffice: to look at all would
// be a pass over the catalog whenever there are fewer groups than places.
const diversityPool = 5000

// fillPopular fills an answer up from what is popular now, as far down as it takes. m is the method that the places are said to come from.
//
// Cost: that of Popular for the first items, and for four times as many as often as the rules leave too few. When so few items are allowed at all that their own counts cost less than the
// next step (see few), these are asked for: a pass over the products, and one round of calls for each countedItems of them. Where items without a record may be allowed that is not known, and to find
// what hardly any item is, all are looked at. Boosts make it look further, until no item beyond could come in.
func (r *Router) fillPopular(ctx context.Context, q *Query, m Method, seen map[string]bool, a *Answer) error {
	have := behind(seen, a.Items)
	allowed := r.fewOf(&q.Rules, have)
	first := q.N + len(have)
	for ask := first; ; ask *= 4 {
		if ask > first || ask > nearTop {
			if err := allowed.look(ctx, fewAt(ask)); err != nil {
				return err
			}
		}
		byKeys := allowed.all && len(allowed.keys) <= fewAt(ask)
		var popular []PopularItem
		stale, err := r.soon(ctx, q.Stale || a.Stale, func(ctx context.Context, stale bool) (err error) {
			if byKeys {
				popular, err = r.popularOf(ctx, allowed.keys, stale)
				return err
			}
			popular, err = r.Popular(ctx, ask, stale)
			return err
		})
		a.Stale = a.Stale || stale
		if err != nil {
			return err
		}
		if chosen, sure := r.choosePopular(q, popular, have, a.Items); sure || byKeys || len(popular) < ask {
			for _, x := range chosen {
				x.Source = m
				a.Items = append(a.Items, x)
			}
			return nil
		}
	}
}

// fillNewest fills an answer up with products, the newest first. As a fallback it takes those of unknown age, too. Scores and boosts do not count here.
//
// Cost: a pass over all products, about a microsecond each.
func (r *Router) fillNewest(ctx context.Context, q *Query, seen map[string]bool, a *Answer) error {
	if err := r.awaitProductsOf(ctx, q, a); err != nil {
		return err
	}
	since := q.Since
	switch {
	case since != "":
	case q.Freshness != nil:
		since = q.Freshness.Attribute
	default:
		since = DefaultSince
	}
	for _, x := range r.newest(&q.Rules, since, behind(seen, a.Items), q.N-len(a.Items), q.Method != Newest, a.Items) {
		a.Items = append(a.Items, Ranked{Item: x.key, Source: Newest})
	}
	return nil
}

// awaitProductsOf waits, once, for the products that an answer looks at.
func (r *Router) awaitProductsOf(ctx context.Context, q *Query, a *Answer) error {
	if q.awaited {
		return nil
	}
	q.awaited = true
	partial, stale, err := r.awaitProducts(ctx, q.Stale)
	a.Partial, a.Stale = a.Partial || partial, a.Stale || stale
	return err
}

const (
	// DefaultCategory is the attribute that is the category of a product.
	DefaultCategory = wire.DefaultCategoryAttribute
	// mostCategories is the number of categories of a user, or a basket, that Categories take items from: enough to be of a taste.
	mostCategories = 3
)

// fillCategories fills an answer up from what is popular in the categories that the subject is interested in most: those of its items. Cost: as fillPopular with a filter.
func (r *Router) fillCategories(ctx context.Context, q *Query, events []fusion.Event, seen map[string]bool, a *Answer) error {
	if err := r.awaitProductsOf(ctx, q, a); err != nil {
		return err
	}
	part := *q
	if part.Category == "" {
		part.Category = DefaultCategory
	}
	favorites := r.favorites(q.interests(events), part.Category)
	if len(favorites) == 0 {
		a.Fallback = fmt.Sprintf("no known product has a %s", part.Category)
		return nil
	}
	part.Filter.Conditions = append(slices.Clone(q.Filter.Conditions), shelf.Condition{Attribute: part.Category, Op: shelf.AnyOf, Values: favorites})
	return r.fillPopular(ctx, &part, Categories, seen, a)
}

// interests are the items of the subject, weighed as builds do by default.
func (q *Query) interests(events []fusion.Event) []fusion.Interaction {
	out := fusion.Fuse(events, fusion.DefaultWeights(), q.Now)
	for _, b := range q.Basket {
		out = append(out, fusion.Interaction{Item: b.Item, Weight: b.Weight})
	}
	if q.Item != "" {
		out = append(out, fusion.Interaction{Item: q.Item, Weight: 1})
	}
	return out
}

// favorites returns the categories with the largest sums of weights, ties by name.
func (r *Router) favorites(interests []fusion.Interaction, attribute string) []string {
	sums := map[string]float64{}
	r.products.shelf.View(func(v *shelf.View) {
		name := v.Name(attribute)
		for _, x := range interests {
			if category, ok := v.Text(v.Find([]byte(x.Item)), name); ok {
				sums[category] += float64(x.Weight)
			}
		}
	})
	order := slices.SortedFunc(maps.Keys(sums), func(a, b string) int { return cmp.Or(cmp.Compare(sums[b], sums[a]), strings.Compare(a, b)) })
	return order[:min(mostCategories, len(order))]
}

// fillTrending fills an answer up with what Trending lists. Cost: that of Trending.
func (r *Router) fillTrending(ctx context.Context, q *Query, seen map[string]bool, a *Answer) error {
	list := q.listing(a)
	if list.Within == 0 {
		list.Within = DefaultWithin
	}
	sums, stale, err := r.activity(ctx, list)
	a.Stale = a.Stale || stale
	if err != nil {
		return err
	}
	a.add(r.listBest(list, sums, behind(seen, a.Items), a.Items), Trending)
	a.noteShort(q, fmt.Sprintf("only %d items that are allowed have had events within %v", len(a.Items), list.Within))
	return nil
}

// fillTogether fills an answer up with what BoughtTogether lists. Cost: that of BoughtTogether.
func (r *Router) fillTogether(ctx context.Context, q *Query, seen map[string]bool, a *Answer) error {
	list := q.listing(a)
	counts, _, stale, err := r.boughtSoon(ctx, q.Item, list.Stale)
	a.Stale = a.Stale || stale
	if err != nil {
		return err
	}
	a.add(r.listBest(list, counts, behind(seen, a.Items), a.Items), Together)
	a.noteShort(q, fmt.Sprintf("only %d items that are allowed were bought together with item %q", len(a.Items), q.Item))
	return nil
}

// fillNeighbors fills an answer up with what SimilarItems lists. Cost: that of SimilarItems.
func (r *Router) fillNeighbors(ctx context.Context, q *Query, seen map[string]bool, a *Answer) error {
	entries, version, err := r.neighbors(ctx, q.Item, q.N-len(a.Items), &q.Rules, behind(seen, a.Items), a.Items)
	switch {
	case q.NoFallback && err != nil:
		return err
	case errors.Is(err, wire.ErrNoModel) || errors.Is(err, wire.ErrUnknownItem):
		a.Fallback = err.Error()
		return nil
	case errors.Is(err, wire.ErrNotReady):
		a.Fallback, a.Partial = err.Error(), true
		return nil
	case err != nil:
		return err
	}
	a.Version = version
	for _, x := range entries {
		a.Items = append(a.Items, Ranked{Item: x.Key, Score: x.Score, Source: Neighbors})
	}
	a.noteShort(q, fmt.Sprintf("item %q has only %d neighbors that are allowed", q.Item, len(entries)))
	return nil
}

// listing asks for what is left of an answer.
func (q *Query) listing(a *Answer) Listing {
	return Listing{N: q.N - len(a.Items), Within: q.Within, Weights: q.Weights, Stale: q.Stale || a.Stale, Rules: q.Rules}
}

// add puts listed items behind those there.
func (a *Answer) add(items []Listed, m Method) {
	for _, x := range items {
		a.Items = append(a.Items, Ranked{Item: x.Item, Score: x.Score, Source: m})
	}
}

// noteShort notes why places are left, if there are any. What fallbacks note is not told: see rankItems.
func (a *Answer) noteShort(q *Query, why string) {
	if len(a.Items) < q.N {
		a.Fallback = why
	}
}

// choosePopular returns the popular items that fill the answer up behind those there. sure means that no item that is less popular could change
// the choice.
func (r *Router) choosePopular(q *Query, popular []PopularItem, have map[string]bool, there []Ranked) (chosen []Ranked, sure bool) {
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
				if _, _, ok := j.judgeAt(slot, []byte(key)); ok {
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
