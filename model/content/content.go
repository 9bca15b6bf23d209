package content

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/neighborhood"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

// Model has the products most similar to each product. Ids are those of train.Data.Products: items of the matrix first, then products without events. It
// is immutable and safe for concurrent use.
type Model struct {
	users, items, products int
	order                  []uint32 // items by popularity
	lists                  []*similarity.Lists
	scratch                sync.Pool // *neighborhood.Scores, empty
}

func (m *Model) init() {
	m.scratch.New = func() any { return neighborhood.NewDenseScores(m.products) }
}

var _ train.OfProducts = (*Model)(nil)

// NumProducts implements train.OfProducts.
func (m *Model) NumProducts() int { return m.products }

// Similar returns the products most similar to one, in rank order, nil if there is none of that id. The caller must not change it.
func (m *Model) Similar(product uint32) []similarity.Neighbor {
	i, _ := slices.BinarySearchFunc(m.lists, product, func(l *similarity.Lists, id uint32) int {
		return cmp.Compare(int64(l.Lo)+int64(l.Len()), int64(id)+1)
	})
	if i == len(m.lists) {
		return nil
	}
	return m.lists[i].List(product)
}

// Recommend answers a query whose history may have products without events; so may the answer, with ids from the number of items on. It is filled up with items by popularity. An
// error matches model.ErrQuery. Cost: O(history · K).
func (m *Model) Recommend(q model.Query) ([]model.Scored, error) {
	if err := q.Check(m.products, m.users); err != nil {
		return nil, err
	}
	s := m.scratch.Get().(*neighborhood.Scores)
	defer func() {
		s.Reset()
		m.scratch.Put(s)
	}()
	for i, id := range q.Items {
		s.AddNeighbors(q.Weight(i), m.Similar(id))
	}
	return model.Fill(s.Top(q.N, q.Excluded()), q.N, m.order, q.Excluded()), nil
}

// Explain returns what each product of the history contributes to the score that Recommend gives an item, highest first. The contributions add up to the score. There are
// none for an item that was filled in.
func (m *Model) Explain(q model.Query, item uint32) ([]model.Contribution, error) {
	if err := q.Check(m.products, m.users); err != nil {
		return nil, err
	}
	if int64(item) >= int64(m.products) {
		return nil, fmt.Errorf("%w: item %d of %d", model.ErrQuery, item, m.products)
	}
	var cs []model.Contribution
	var total int64
	for i, id := range q.Items {
		for _, n := range m.Similar(id) {
			if x := neighborhood.Fixed(q.Weight(i), n.Score); n.ID == item && x != 0 {
				total += x
				cs = append(cs, model.Contribution{Item: id, Score: neighborhood.Float(x)})
			}
		}
	}
	if total <= 0 {
		return nil, nil
	}
	slices.SortFunc(cs, func(a, b model.Contribution) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Item, b.Item))
	})
	return cs, nil
}
