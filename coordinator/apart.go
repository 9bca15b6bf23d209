package coordinator

import (
	"context"
	"errors"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
)

// apartPool is the least number of items that are looked at to keep those of an answer apart, or four times its length. Up to answers of a quarter of it the order
// does not depend on N.
const apartPool = 200

// keepApart takes a diversity by similarity out of the rules, where all else would take it for one by groups, and leaves their bound.
func (q *Query) keepApart() {
	d := q.Diversity
	if d == nil || !d.BySimilarity {
		return
	}
	if d.Lambda < 1 {
		q.apart = &d.Lambda
	}
	q.Diversity = nil
	if d.MaxPerGroup > 0 {
		q.Diversity = &Diversity{Attribute: d.Attribute, Lambda: 1, MaxPerGroup: d.MaxPerGroup}
	}
}

// rankFirst is rank of the method that comes first, whose items are kept apart if the query says so.
//
// Cost: that of rank for a pool, with one call for neighbor lists to each node that has some of it.
func (r *Router) rankFirst(ctx context.Context, q *Query, events []fusion.Event, seen map[string]bool, a *Answer) error {
	if q.apart == nil {
		return r.rank(ctx, q, q.Method, events, seen, a)
	}
	pool := *q
	pool.N = min(MaxN, max(apartPool, 4*q.N))
	if err := r.rank(ctx, &pool, q.Method, events, seen, a); err != nil {
		return err
	}
	alike, err := r.alike(ctx, a)
	if err != nil {
		return err
	}
	a.Items = apart(a.Items, q.N, *q.apart, alike)
	return nil
}

// likeness is how similar an item is to another one, which is given by its place: 0 to 1.
type likeness struct {
	place int
	value float64
}

// alike returns, for each item of an answer, those of it that are in its neighbor list or in whose list it is. The most similar pair has 1. Without a model there are none.
func (r *Router) alike(ctx context.Context, a *Answer) ([][]likeness, error) {
	out := make([][]likeness, len(a.Items))
	m, dictionary, err := r.active()
	switch {
	case errors.Is(err, wire.ErrNoModel):
		return out, nil
	case err != nil:
		a.Partial = true // its files are damaged or not here yet
		return out, nil
	}
	defer m.Release()
	s := &scoring{r: r, m: m, dictionary: dictionary}
	places := map[uint32]int{}
	for i, x := range a.Items {
		if id, ok := dictionary.ID(x.Item); ok {
			places[id] = i
			s.history = append(s.history, node.HistoryItem{Item: id, Partition: uint32(partition.Of(x.Item, m.Partitions)), Weight: 1})
		}
	}
	lists, err := s.lists(ctx)
	if err != nil {
		return nil, err
	}
	a.Partial = a.Partial || s.partial
	largest := 0.0
	for _, h := range s.history {
		i := places[h.Item]
		for _, x := range lists[h.Item] {
			if j, ok := places[x.ID]; ok && j != i && x.Score > 0 {
				value := float64(x.Score)
				out[i], out[j] = append(out[i], likeness{j, value}), append(out[j], likeness{i, value})
				largest = max(largest, value)
			}
		}
	}
	for _, of := range out {
		for k := range of {
			of[k].value /= largest
		}
	}
	return out, nil
}

// apart chooses n of items, which are ranked. Each place goes to the item with the largest marginal relevance
//
//	λ·(score-floor)/(largest score-floor) - (1-λ)·(similarity to the most similar item that was chosen)
//
// where floor is 0, or the lowest score if that is below, so that relevance is from 0 to 1 as similarity is, and of equal ones to the first (Carbonell and Goldstein, SIGIR 1998 [carbonell1998]). The choice is greedy, so that a longer answer begins with a shorter one.
// Cost: O(n·items).
func apart(items []Ranked, n int, lambda float64, alike [][]likeness) []Ranked {
	if len(items) == 0 {
		return items
	}
	floor := min(0, items[len(items)-1].Score)
	largest := items[0].Score - floor
	nearest, used := make([]float64, len(items)), make([]bool, len(items))
	var out []Ranked
	for len(out) < min(n, len(items)) {
		at, best := -1, 0.0
		for i := range items {
			if used[i] {
				continue
			}
			x := 0.0
			if largest > 0 {
				x = float64(lambda * float64((items[i].Score-floor)/largest)) // conversions forbid fused operations
			}
			x -= float64((1 - lambda) * nearest[i])
			if at < 0 || x > best {
				at, best = i, x
			}
		}
		used[at] = true
		out = append(out, items[at])
		for _, x := range alike[at] {
			nearest[x.place] = max(nearest[x.place], x.value)
		}
	}
	return out
}
