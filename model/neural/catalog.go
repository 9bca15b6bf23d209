package neural

import (
	"cmp"
	"math"
	"slices"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/popularity"
)

// Catalog is what models of this package know of items when they serve. It is immutable.
type Catalog struct {
	users, items int
	order        []uint32
	known        []bool
	// Known are the items that any user liked in training, ascending; a model says nothing about others. None are known if there was nothing to learn from.
	Known []uint32
}

// Catalog returns the catalog of a file. Cost: O(items log items).
func (f *File) Catalog() *Catalog {
	c := &Catalog{users: f.Users, items: f.Items, order: popularity.Order(f.Counts), known: make([]bool, f.Items)}
	for id, n := range f.Likes {
		if n > 0 && f.Trained() {
			c.known[id] = true
			c.Known = append(c.Known, uint32(id))
		}
	}
	return c
}

// Check returns an error matching model.ErrQuery unless a query fits.
func (c *Catalog) Check(q *model.Query) error { return q.Check(c.items, c.users) }

// CheckItem is Check for a query about one item.
func (c *Catalog) CheckItem(q *model.Query, item uint32) error {
	if err := c.Check(q); err != nil {
		return err
	}
	one := model.Query{User: -1, Items: []uint32{item}}
	return one.Check(c.items, 0)
}

// Likes returns those items of the history that are known and have a weight above 0, ascending, and their times, nil if there are none.
func (c *Catalog) Likes(q *model.Query) (items []uint32, times []int64) {
	for i, id := range q.Items {
		if !c.known[id] || !(q.Weight(i) > 0) {
			continue
		}
		items = append(items, id)
		if q.Times != nil {
			times = append(times, q.Times[i])
		}
	}
	return items, times
}

// Answer returns the best q.N of the known items by scores, which go with Known, and fills up by popularity. An item whose score is not a finite number counts as one without.
// Cost: O(items + N²) at worst, near O(items + N log items · N) where scores come in random order.
func (c *Catalog) Answer(q *model.Query, scores []float64) []model.Scored {
	var top []model.Scored
	excluded := q.Excluded()
	for k, score := range scores {
		id := c.Known[k]
		for len(excluded) > 0 && excluded[0] < id {
			excluded = excluded[1:]
		}
		if len(excluded) > 0 && excluded[0] == id || math.IsNaN(score) || math.IsInf(score, 0) {
			continue
		}
		top = model.Keep(top, q.N, model.Scored{Item: id, Score: score})
	}
	return model.Fill(top, q.N, c.order, q.Excluded())
}

// Contributions sorts what items of a history add to a score: score descending, then id.
func Contributions(items []uint32, terms []float64) []model.Contribution {
	out := make([]model.Contribution, len(items))
	for i, id := range items {
		out[i] = model.Contribution{Item: id, Score: terms[i]}
	}
	slices.SortFunc(out, func(a, b model.Contribution) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Item, b.Item))
	})
	return out
}
