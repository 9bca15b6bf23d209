package coordinator

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/catalog/shelf"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/node/artifact"
	"github.com/kith-io/kith/node/wire"
)

// reorderedPool is how many items of a model are looked at first where rules may change their order.
const reorderedPool = 500

// explainer is a model that can say where a score comes from.
type explainer interface {
	// Explain returns the contributions of items of the history to the score of an item; they add up to it.
	Explain(q model.Query, item uint32) ([]model.Contribution, error)
}

// fillTrained adds up to N items that a trained model ranks to the answer, and the reason why they may be few. It is answered on this node, which has all of the
// model. What the model fills up from popularity is left out: as with other methods, the fallbacks say what is popular now.
//
// Cost: that of the model for as many items as are asked for and known, and for four times as many as often as the rules leave too few. A combination asks its base, of which
// neighbor lists are on other nodes.
func (r *Router) fillTrained(ctx context.Context, q *Query, events []fusion.Event, seen map[string]bool, a *Answer) error {
	part := *q
	part.N = q.N - len(a.Items)
	m, dictionary, err := r.answering(&part, a)
	if m == nil {
		return err
	}
	defer m.Release()
	trained, err := m.Model(q.Model)
	history, others := r.entries(m, dictionary, &part, events)
	t := &trainedQuery{r: r, model: trained.Model, dictionary: dictionary, items: trained.Items, but: behind(seen, a.Items), there: a.Items, ask: trainedHistory(history)}
	var combined *combinedQuery
	if err == nil && trained.Combination != nil {
		combined, err = newCombinedQuery(&part, trained.Combination, m, history, others, t)
	} else if err == nil {
		t.take(others)
	}
	switch {
	case err == nil:
	case q.NoFallback || errors.Is(err, wire.ErrUnknownModel) && !q.Anonymous: // a scene outlives versions
		return err
	default:
		a.Fallback, a.Partial = err.Error(), a.Partial || errors.Is(err, wire.ErrNoReplica)
		return nil
	}
	if combined != nil {
		err = combined.takeProfiles(ctx, q, a)
	} else {
		t.ask.Profile, err = r.profileSoon(ctx, q, train.AttributesOf(trained.Model), a)
	}
	if err != nil {
		return err
	}
	if len(t.ask.Items)+len(t.ask.Profile) == 0 && !combined.knowsSubject() {
		return lacksHistory(&part, events, a)
	}
	var best []scoredItem
	if combined != nil {
		best, err = combined.best(ctx, &part)
		a.Partial = a.Partial || combined.scoring.partial
	} else {
		best, err = t.best(&part)
	}
	items := make([]Ranked, len(best))
	for i, x := range best {
		items[i] = Ranked{Item: t.key(x.id), Score: x.score, Source: Trained}
	}
	switch {
	case err != nil || !q.Explain:
	case combined != nil:
		err = combined.explain(ctx, items)
	default:
		err = t.explain(best, items)
	}
	if err != nil {
		return fmt.Errorf("model %s of version %d: %w", q.Model, m.Version, err)
	}
	a.Items = append(a.Items, items...)
	if len(best) < part.N {
		a.Fallback = fmt.Sprintf("model %s ranks only %d items that are allowed", q.Model, len(best))
	}
	return nil
}

// profileSoon returns the attributes of some names, which ascend, of the record of the user, fresh if they can be had soon. Most models look at none, and it costs nothing then.
func (r *Router) profileSoon(ctx context.Context, q *Query, names []string, a *Answer) (profile []model.Attribute, err error) {
	if q.User == "" || len(names) == 0 {
		return nil, nil
	}
	wasStale, err := r.soon(ctx, q.Stale, func(ctx context.Context, stale bool) error {
		found, err := r.Records(ctx, catalog.Profile, []string{q.User}, stale)
		if err != nil {
			return err
		}
		records, err := wire.RecordsFromProto(found)
		for i := range records {
			profile = train.ProfileOf(&records[i], names)
		}
		return err
	})
	a.Stale = a.Stale || wasStale
	return profile, err
}

// trainedHistory makes a query of a history.
func trainedHistory(history []entry) model.Query {
	q := model.Query{User: -1, WithSeen: true}
	for _, h := range history {
		q.Items, q.Weights, q.Ratings, q.Times = append(q.Items, h.item), append(q.Weights, h.weight), append(q.Ratings, h.rating), append(q.Times, h.time)
	}
	return q
}

// trainedQuery is a query to a trained model.
type trainedQuery struct {
	r          *Router
	model      train.Model
	dictionary *artifact.Dictionary
	// items are the keys of those that the model knows beyond the dictionary.
	items []string
	ask   model.Query
	// but are items that may not be in the answer, there those that are.
	but   map[string]bool
	there []Ranked
}

// take adds those of other items to the query that the model knows beyond the dictionary. They ascend by key, as the model's do.
func (t *trainedQuery) take(others []entry) {
	if _, ok := t.model.(train.OfProducts); !ok {
		return
	}
	q := &t.ask
	q.Items, q.Weights, q.Ratings, q.Times = slices.Clip(q.Items), slices.Clip(q.Weights), slices.Clip(q.Ratings), slices.Clip(q.Times) // which other queries have too
	for _, x := range others {
		if at, ok := slices.BinarySearch(t.items, x.key); ok {
			q.Items, q.Weights = append(q.Items, uint32(t.dictionary.Len()+at)), append(q.Weights, x.weight)
			q.Ratings, q.Times = append(q.Ratings, x.rating), append(q.Times, x.time)
		}
	}
}

// known is the number of items that the model may know.
func (t *trainedQuery) known() int { return t.dictionary.Len() + len(t.items) }

// key returns the key of an item, whose id must be below known.
func (t *trainedQuery) key(id uint32) string {
	if n := t.dictionary.Len(); int(id) >= n {
		return t.items[int(id)-n]
	}
	return t.dictionary.Key(id)
}

// keyBytes is key for those who only look at it.
func (t *trainedQuery) keyBytes(id uint32) []byte {
	if n := t.dictionary.Len(); int(id) >= n {
		return []byte(t.items[int(id)-n])
	}
	return t.dictionary.KeyBytes(id)
}

// best returns the n best that are allowed, in the order of the answer.
func (t *trainedQuery) best(q *Query) ([]scoredItem, error) {
	n := q.N + len(t.but)
	if q.reorders() {
		n = max(n, reorderedPool)
	}
	for ; ; n *= 4 {
		t.ask.N = min(n, t.known())
		top, err := t.model.Recommend(t.ask)
		if err != nil {
			return nil, err
		}
		ended := len(top) < t.ask.N || t.ask.N == t.known()
		for i, x := range top {
			if int64(x.Item) >= int64(t.known()) {
				return nil, fmt.Errorf("%w: item %d of %d", wire.ErrCorrupt, x.Item, t.known())
			}
			if x.Filled {
				top, ended = top[:i], true
				break
			}
		}
		if best, sure := t.choose(q, top); sure || ended {
			return best, nil
		}
	}
}

// choose returns the best of ranked items. sure means that no item behind them could change the choice.
func (t *trainedQuery) choose(q *Query, top []model.Scored) (best []scoredItem, sure bool) {
	if len(top) == 0 {
		return nil, false
	}
	t.r.products.shelf.View(func(v *shelf.View) {
		j := newJudge(&q.Rules, v)
		var all []scoredItem
		for _, x := range top {
			key := t.keyBytes(x.Item)
			if t.but[string(key)] {
				continue
			}
			if factor, group, ok := j.judge(key); ok {
				all = append(all, scoredItem{x.Item, x.Score, boosted(x.Score, factor), group})
			}
		}
		var least float64
		sortScored(all)
		best, least = choose(all, q.N, q.Diversity, j.taken(t.there))
		sure = len(best) == q.N && (!q.reorders() || least > boosted(top[len(top)-1].Score, q.largestFactor()))
	})
	return best, sure
}

// boosted multiplies a score so that a factor above 1 raises it, whatever its sign: models of factors have scores below 0.
func boosted(score, factor float64) float64 {
	if score < 0 {
		return score / factor
	}
	return score * factor
}

// explain adds to items, which go with best, the contributions to their scores, with their boosts. There are none if the model does not know them.
func (t *trainedQuery) explain(best []scoredItem, items []Ranked) error {
	e, ok := t.model.(explainer)
	if !ok {
		return nil
	}
	for i, x := range best {
		parts, err := e.Explain(t.ask, x.id)
		if err != nil {
			return err
		}
		factor := 1.0
		if x.base != 0 {
			factor = x.score / x.base
		}
		for _, p := range parts {
			if int64(p.Item) >= int64(t.known()) {
				return fmt.Errorf("%w: item %d of %d", wire.ErrCorrupt, p.Item, t.known())
			}
			items[i].Contributions = append(items[i].Contributions, Contribution{Item: t.key(p.Item), Score: p.Score * factor})
		}
	}
	return nil
}
