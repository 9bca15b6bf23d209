package coordinator

import (
	"context"
	"fmt"
	"slices"

	"github.com/kith-io/kith/catalog/shelf"
	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/node"
)

// baseMethods are the methods that may be in the base of a combination, by their names.
var baseMethods = []Method{Hybrid, ItemKNN, UserKNN, Popularity}

// baseMethod returns the method of a name in a base: Trained for that of a model.
func baseMethod(name string) Method {
	for _, m := range baseMethods {
		if m.String() == name {
			return m
		}
	}
	return Trained
}

// Found is what a model of the base of a combination says of an item.
type Found struct {
	Model string
	// Rank counts from 1 among the items that are allowed, and Score is that of the model, without boosts.
	Rank  int
	Score float64
	// Contributions add up to Score. There are none if the model does not know them.
	Contributions []Contribution
}

// combinedQuery is a query to a combination.
type combinedQuery struct {
	// trainedQuery has no model, and items are those that any model of the base has found.
	*trainedQuery
	of      train.Combination
	base    []baseQuery
	scoring *scoring
}

// baseQuery is a query to a model of the base, and its answer.
type baseQuery struct {
	name string
	// Query has the rules of the combination but those that change the order: what is not allowed is in no answer of the base, so that ranks and scores are of what may be
	// recommended, and the depth is not used up.
	Query
	trained *trainedQuery // nil for a method
	top     []scoredItem
	explain func(ctx context.Context, best []scoredItem, items []Ranked) error // nil if there is nothing to say
}

// newCombinedQuery returns a query to a combination of a version, of which t has what is known but the model.
func newCombinedQuery(q *Query, of train.Combination, m *node.Version, history, others []entry, t *trainedQuery) (*combinedQuery, error) {
	c := &combinedQuery{trainedQuery: t, of: of, scoring: t.r.newScoring(m, t.dictionary, q.User, history)}
	if t.ask.N = q.N; q.reorders() {
		t.ask.N = max(q.N, reorderedPool)
	}
	for _, name := range of.Base() {
		b := baseQuery{name: name, Query: *q}
		b.Boosts, b.Freshness, b.Diversity, b.Method = nil, nil, nil, baseMethod(name)
		if b.Method == Trained {
			x, err := m.Model(name)
			if err != nil {
				return nil, err
			}
			one := *t
			one.model, one.items = x.Model, x.Items
			one.take(others)
			b.trained = &one
		}
		c.base = append(c.base, b)
	}
	return c, nil
}

// takeProfiles gives each model of the base what it looks at of the record of the user, which is read once for all.
func (c *combinedQuery) takeProfiles(ctx context.Context, q *Query, a *Answer) error {
	var names []string
	for _, b := range c.base {
		if b.trained != nil {
			names = append(names, train.AttributesOf(b.trained.model)...)
		}
	}
	slices.Sort(names)
	profile, err := c.r.profileSoon(ctx, q, slices.Compact(names), a)
	for _, b := range c.base {
		if b.trained != nil {
			b.trained.ask.Profile = train.Named(profile, train.AttributesOf(b.trained.model))
		}
	}
	return err
}

// knowsSubject reports whether any model of the base knows something of the subject that others do not: the record of the user, or new products. A nil query has none.
func (c *combinedQuery) knowsSubject() bool {
	return c != nil && slices.ContainsFunc(c.base, func(b baseQuery) bool {
		return b.trained != nil && len(b.trained.ask.Items)+len(b.trained.ask.Profile) > 0
	})
}

// best asks the base, and returns the n best that are allowed, in the order of the answer. Cost: that of a query of its depth to each model of the base, one after the other.
func (c *combinedQuery) best(ctx context.Context, q *Query) ([]scoredItem, error) {
	for i, depth := range c.of.Depths(c.ask) {
		b := &c.base[i]
		if b.N = depth; depth == 0 {
			continue
		}
		if err := c.askBase(ctx, b); err != nil {
			return nil, fmt.Errorf("base %s: %w", b.name, err)
		}
	}
	best, _ := c.choose(q, c.of.Combine(c.ask, c.answers()))
	return best, nil
}

// askBase asks a model of the base.
func (c *combinedQuery) askBase(ctx context.Context, b *baseQuery) (err error) {
	switch b.Method {
	case Trained:
		if len(b.trained.ask.Items)+len(b.trained.ask.Profile) == 0 {
			return nil // it knows nothing of the user, other than another one
		}
		b.top, err = b.trained.best(&b.Query)
		b.explain = func(_ context.Context, best []scoredItem, items []Ranked) error {
			return b.trained.explain(best, items)
		}
	case Popularity:
		b.top, err = c.mostPopular(ctx, &b.Query)
	default:
		if len(c.scoring.history) == 0 {
			return nil
		}
		scores, byItems, err := c.scoring.score(ctx, &b.Query)
		if err != nil {
			return err
		}
		b.top = c.scoring.best(scores, &b.Query, c.scoring.excluded(c.but), nil)
		if !b.Explain {
			byItems.Return()
			return nil
		}
		b.explain = func(ctx context.Context, best []scoredItem, items []Ranked) error {
			return c.scoring.explain(ctx, &b.Query, byItems, best, items)
		}
	}
	return err
}

// mostPopular returns the allowed items that the most users had when the version was built: those of the least ids.
func (c *combinedQuery) mostPopular(ctx context.Context, q *Query) (top []scoredItem, err error) {
	for from := 0; from < c.dictionary.Len() && len(top) < q.N; from += slotsAtOnce {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		c.r.products.shelf.View(func(v *shelf.View) {
			j := newJudge(&q.Rules, v)
			for id := uint32(from); int(id) < min(from+slotsAtOnce, c.dictionary.Len()) && len(top) < q.N; id++ {
				key := c.dictionary.KeyBytes(id)
				if _, _, ok := j.judge(key); ok && !c.but[string(key)] {
					n := float64(c.dictionary.Count(id))
					top = append(top, scoredItem{id: id, base: n, score: n})
				}
			}
		})
	}
	return top, nil
}

// answers returns what the base says, in ids that all of it share: for items that are not in the dictionary each model has ids of its own.
func (c *combinedQuery) answers() [][]model.Scored {
	known := uint32(c.dictionary.Len())
	c.items = nil
	for _, b := range c.base {
		for _, x := range b.top {
			if x.id >= known {
				c.items = append(c.items, b.trained.key(x.id))
			}
		}
	}
	slices.Sort(c.items)
	c.items = slices.Compact(c.items)
	out := make([][]model.Scored, len(c.base))
	for i, b := range c.base {
		for _, x := range b.top {
			if x.id >= known {
				at, _ := slices.BinarySearch(c.items, b.trained.key(x.id))
				x.id = known + uint32(at)
			}
			out[i] = append(out[i], model.Scored{Item: x.id, Score: x.score})
		}
	}
	return out
}

// explain adds to items what each model of the base says of them.
func (c *combinedQuery) explain(ctx context.Context, items []Ranked) error {
	at := map[string]int{}
	for i, x := range items {
		at[x.Item] = i
	}
	for _, b := range c.base {
		key := c.dictionary.Key
		if b.trained != nil {
			key = b.trained.key
		}
		var best []scoredItem
		var said []Ranked
		var found []*Found
		for i, x := range b.top {
			to, ok := at[key(x.id)]
			if !ok {
				continue
			}
			f := &Found{Model: b.name, Rank: i + 1, Score: x.score}
			items[to].Found = append(items[to].Found, f)
			best, said, found = append(best, x), append(said, Ranked{Item: items[to].Item, Score: x.score}), append(found, f)
		}
		if b.explain == nil || len(best) == 0 {
			continue
		}
		if err := b.explain(ctx, best, said); err != nil {
			return fmt.Errorf("base %s: %w", b.name, err)
		}
		for i, f := range found {
			f.Contributions = said[i].Contributions
		}
	}
	return nil
}
