package neighborhood

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/popularity"
	"github.com/kith-io/kith/similarity"
)

// catalog is what the models for top-N share: the size of the training matrix, what fills an answer up, and working memory.
type catalog struct {
	numUsers, numItems int
	popular            *popularity.Model
	scratch            sync.Pool // *Scores, empty
}

// newCatalog returns the catalog of a matrix of some users, and of the items of popular.
func newCatalog(users int, popular *popularity.Model) *catalog {
	c := &catalog{numUsers: users, numItems: len(popular.Order()), popular: popular}
	c.scratch.New = func() any { return NewDenseScores(c.numItems) }
	return c
}

// scores returns empty Scores, to be given back to release.
func (c *catalog) scores() *Scores { return c.scratch.Get().(*Scores) }

func (c *catalog) release(s *Scores) {
	s.Reset()
	c.scratch.Put(s)
}

// row returns a row of a matrix; weights are nil if all are one.
func row(r *similarity.Rows, u int) (items []uint32, weights []float32) {
	lo, hi := r.Start[u], r.Start[u+1]
	if r.Weight != nil {
		weights = r.Weight[lo:hi]
	}
	return r.Item[lo:hi], weights
}

// check is q.Check, and that item can be explained.
func (c *catalog) check(q *model.Query) error {
	return q.Check(c.numItems, c.numUsers)
}

func (c *catalog) checkItem(q *model.Query, item uint32) error {
	if err := c.check(q); err != nil {
		return err
	}
	if int64(item) >= int64(c.numItems) {
		return fmt.Errorf("%w: item %d of %d", model.ErrQuery, item, c.numItems)
	}
	return nil
}

// answer returns the best of s, filled up from popularity.
func (c *catalog) answer(q *model.Query, s *Scores) []model.Scored {
	return model.Fill(s.Top(q.N, q.Excluded()), q.N, c.popular.Order(), q.Excluded())
}

// Contributions pairs the items of a history with their shares of a score, leaves out those without, and ranks the
// rest by share descending, then item ascending. There are none of a score that is not positive: such an item is in an
// answer only to fill it up.
func Contributions(items []uint32, shares []int64) []model.Contribution {
	if total(shares) <= 0 {
		return nil
	}
	var cs []model.Contribution
	for i, x := range shares {
		if x != 0 {
			cs = append(cs, model.Contribution{Item: items[i], Score: Float(x)})
		}
	}
	slices.SortFunc(cs, func(a, b model.Contribution) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Item, b.Item))
	})
	return cs
}

func total(shares []int64) int64 {
	var sum int64
	for _, x := range shares {
		sum += x
	}
	return sum
}

// apportion adds parts of total to dst in proportion to shares, which goes with dst and is overwritten. The parts are
// integers and add up to total exactly: each is the difference of two neighboring rounded cumulative sums, so it is off by
// less than one unit and the rounding of float64. Shares that nearly cancel out stand for their magnitudes.
func apportion(dst []int64, total int64, shares []float64) {
	if len(dst) == 0 {
		return
	}
	var all, magnitudes float64
	for _, x := range shares {
		all += x
		magnitudes += math.Abs(x)
	}
	if math.Abs(all) < 1e-6*magnitudes { // below the error of the float32 sums that similarities are made of
		all = magnitudes
		for i, x := range shares {
			shares[i] = math.Abs(x)
		}
	}
	var sum float64
	var before int64
	last := len(dst) - 1
	for i, x := range shares[:last] {
		if sum += x; all != 0 {
			upTo := int64(float64(total) * (sum / all))
			dst[i] += upTo - before
			before = upTo
		}
	}
	dst[last] += total - before
}

// ItemKNN is item-based top-N: the score of an item is the sum, over the items of the history, of weight times similarity,
// for those items of the history that have it in their neighbor list. Deshpande and Karypis, ACM TOIS 22(1), 2004
// [deshpande2004]. It is immutable and safe for concurrent use.
type ItemKNN struct {
	*catalog
	lists *similarity.Lists
	unit  float32 // of its scores
}

// NewItemKNN builds the neighbor lists of all items of rows (users×items, which it does not change) by o, and
// fills answers up from popular. Errors are those of similarity.Build.
func NewItemKNN(ctx context.Context, rows *similarity.Rows, popular *popularity.Model, o similarity.Options) (*ItemKNN, error) {
	lists, err := similarity.Build(ctx, rows, o)
	if err != nil {
		return nil, fmt.Errorf("item k-NN: %w", err)
	}
	return ItemKNNOf(lists, rows.NumUsers(), popular, o.Measure), nil
}

// ItemKNNOf returns the model of the neighbor lists of all items of popular, made by a measure of a matrix of some users.
func ItemKNNOf(lists *similarity.Lists, users int, popular *popularity.Model, m similarity.Measure) *ItemKNN {
	return &ItemKNN{newCatalog(users, popular), lists, m.Unit()}
}

// Recommend answers a query; an error matches model.ErrQuery. The answer has q.N items unless the catalog ends.
// Cost: O(history · K).
func (m *ItemKNN) Recommend(q model.Query) ([]model.Scored, error) {
	if err := m.check(&q); err != nil {
		return nil, err
	}
	s := m.scores()
	defer m.release(s)
	m.add(s, &q)
	return m.answer(&q, s), nil
}

func (m *ItemKNN) add(s *Scores, q *model.Query) {
	for i, id := range q.Items {
		s.AddNeighbors(q.Weight(i)*m.unit, m.lists.List(id))
	}
}

// Explain returns what each item of the history contributes to the score that Recommend gives an item, highest first,
// without those that contribute nothing. The contributions add up to the score exactly (up to 2^21, see Float). There are none
// for an item that was filled in.
func (m *ItemKNN) Explain(q model.Query, item uint32) ([]model.Contribution, error) {
	if err := m.checkItem(&q, item); err != nil {
		return nil, err
	}
	return Contributions(q.Items, m.shares(&q, item)), nil
}

func (m *ItemKNN) shares(q *model.Query, item uint32) []int64 {
	shares := make([]int64, len(q.Items))
	for i, id := range q.Items {
		for _, n := range m.lists.List(id) {
			if n.ID == item {
				shares[i] = Fixed(q.Weight(i)*m.unit, n.Score)
			}
		}
	}
	return shares
}

// UserKNN is user-based top-N: the score of an item is the sum, over the K users nearest to the history, of similarity
// times the weight that the item has for them. Herlocker et al., SIGIR 1999 [herlocker1999]. It is immutable and safe for
// concurrent use.
type UserKNN struct {
	*catalog
	rows    *similarity.Rows
	weigher *similarity.Weigher
	weighed *similarity.Rows
	search  *similarity.Searcher
	options similarity.Options
	unit    float32 // of its scores
}

// NewUserKNN prepares the search for the o.K nearest rows (users×items, which it keeps and does not change), and fills
// answers up from popular. It returns an error if o is not valid or one matching similarity.ErrShape if rows is not.
func NewUserKNN(rows *similarity.Rows, popular *popularity.Model, o similarity.Options) (*UserKNN, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("user k-NN: %w", err)
	}
	if err := rows.Validate(); err != nil {
		return nil, fmt.Errorf("user k-NN: %w", err)
	}
	counts := make([]uint64, rows.NumItems)
	for _, i := range rows.Item[rows.Start[0]:rows.Start[rows.NumUsers()]] {
		counts[i]++
	}
	weigher := similarity.NewUserWeigher(o.Measure, uint64(rows.NumUsers()), counts)
	weighed := weigher.Rows(rows)
	return &UserKNN{
		catalog: newCatalog(rows.NumUsers(), popular),
		rows:    rows,
		weigher: weigher,
		weighed: weighed,
		search:  similarity.NewSearcher(weighed, o),
		options: o,
		unit:    o.Measure.OfUsers().Unit(),
	}, nil
}

// Recommend answers a query; an error matches model.ErrQuery. The answer has q.N items unless the catalog ends.
// Cost: O(users of the history's items + items of the nearest users).
func (m *UserKNN) Recommend(q model.Query) ([]model.Scored, error) {
	if err := m.check(&q); err != nil {
		return nil, err
	}
	s := m.scores()
	defer m.release(s)
	m.add(s, &q)
	return m.answer(&q, s), nil
}

func (m *UserKNN) add(s *Scores, q *model.Query) {
	for _, n := range m.nearest(q) {
		items, weights := row(m.rows, int(n.ID))
		s.AddRow(n.Score*m.unit, items, weights)
	}
}

func (m *UserKNN) nearest(q *model.Query) []similarity.Neighbor {
	return m.search.Nearest(q.Items, m.weigher.Row(q.Items, q.Weights), m.options.K, max(-1, q.User))
}

// Explain is as that of ItemKNN. What a nearest user adds is divided among the items that this user and the history have in
// common, in proportion to what they add to the similarity of the two.
func (m *UserKNN) Explain(q model.Query, item uint32) ([]model.Contribution, error) {
	if err := m.checkItem(&q, item); err != nil {
		return nil, err
	}
	return Contributions(q.Items, m.shares(&q, item)), nil
}

func (m *UserKNN) shares(q *model.Query, item uint32) []int64 {
	shares := make([]int64, len(q.Items))
	own := m.weigher.Row(q.Items, q.Weights)
	var (
		common []int
		parts  []int64
		terms  []float64 // of the sum that the similarity comes from
	)
	for _, n := range m.nearest(q) {
		items, weights := row(m.rows, int(n.ID))
		at, found := slices.BinarySearch(items, item)
		if !found {
			continue
		}
		sum := Fixed(n.Score*m.unit, weightAt(weights, at))
		items, weights = row(m.weighed, int(n.ID))
		common, parts, terms = common[:0], parts[:0], terms[:0]
		for i, j := 0, 0; i < len(q.Items) && j < len(items); {
			switch {
			case q.Items[i] < items[j]:
				i++
			case q.Items[i] > items[j]:
				j++
			default:
				common, parts = append(common, i), append(parts, 0)
				terms = append(terms, float64(weightAt(own, i))*float64(weightAt(weights, j)))
				i, j = i+1, j+1
			}
		}
		apportion(parts, sum, terms)
		for k, i := range common {
			shares[i] += parts[k]
		}
	}
	return shares
}

func weightAt(weights []float32, i int) float32 {
	if weights == nil {
		return 1
	}
	return weights[i]
}

// HybridKNN blends item-based and user-based scores as Hybrid does. It is immutable and safe for concurrent use.
type HybridKNN struct {
	item *ItemKNN
	user *UserKNN
}

// NewHybridKNN blends two models, which must be of the same matrix.
func NewHybridKNN(item *ItemKNN, user *UserKNN) *HybridKNN {
	return &HybridKNN{item, user}
}

// Recommend answers a query; an error matches model.ErrQuery. The answer has q.N items unless the catalog ends. Scores are
// at most 1. Cost: that of both models.
func (m *HybridKNN) Recommend(q model.Query) ([]model.Scored, error) {
	if err := m.item.check(&q); err != nil {
		return nil, err
	}
	a, b := m.scores(&q)
	defer m.item.release(a)
	defer m.user.release(b)
	return m.item.answer(&q, Hybrid(a, b)), nil
}

func (m *HybridKNN) scores(q *model.Query) (byItem, byUser *Scores) {
	byItem, byUser = m.item.scores(), m.user.scores()
	m.item.add(byItem, q)
	m.user.add(byUser, q)
	return byItem, byUser
}

// Explain is as that of ItemKNN: the blended score is divided in proportion to what the item-based and the user-based
// contributions, each divided by the largest score, add to it.
func (m *HybridKNN) Explain(q model.Query, item uint32) ([]model.Contribution, error) {
	if err := m.item.checkItem(&q, item); err != nil {
		return nil, err
	}
	a, b := m.scores(&q)
	defer m.item.release(a)
	defer m.user.release(b)
	terms, shares := make([]float64, len(q.Items)), make([]int64, len(q.Items))
	for _, part := range []struct {
		shares  []int64
		largest int64
	}{{m.item.shares(&q, item), a.Largest()}, {m.user.shares(&q, item), b.Largest()}} {
		if part.largest <= 0 {
			continue
		}
		for i, x := range part.shares {
			terms[i] += float64(x) / float64(part.largest)
		}
	}
	apportion(shares, blend(a.Score(item), a.Largest(), b.Score(item), b.Largest(), 0.5), terms)
	return Contributions(q.Items, shares), nil
}
