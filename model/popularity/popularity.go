// Package popularity ranks items by the number of their users. It is the answer to a user of whom nothing is known,
// what other models fill their answers up from, and the line that a personal model has to beat.
package popularity

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/similarity"
)

// Model gives everybody the items with the most users. It is immutable and safe for concurrent use.
type Model struct {
	numUsers int
	counts   []int64
	order    []uint32
}

// New counts the users of every item of rows (users×items; a stored entry counts as one, whatever its weight).
// Cost: O(entries + items log items).
func New(rows *similarity.Rows) *Model { return Of(rows.NumUsers(), Counts(rows)) }

// Of returns the model of a matrix of some users, whose items have as many users as counts says; it keeps counts.
func Of(users int, counts []int64) *Model {
	return &Model{numUsers: users, counts: counts, order: Order(counts)}
}

// Counts returns the number of users of each item, as New counts them. Cost: O(entries).
func Counts(rows *similarity.Rows) []int64 {
	counts := make([]int64, rows.NumItems)
	for _, id := range rows.Item[rows.Start[0]:rows.Start[rows.NumUsers()]] {
		counts[id]++
	}
	return counts
}

// Order returns the ids of all items by count descending, then id ascending; counts[i] belongs to item i.
func Order(counts []int64) []uint32 {
	order := make([]uint32, len(counts))
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(a, b uint32) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	return order
}

// CheckOrder returns an error unless order has each item below its length once, as what Order returns.
func CheckOrder(order []uint32) error {
	seen := make([]bool, len(order))
	for i, id := range order {
		if int64(id) >= int64(len(seen)) || seen[id] {
			return fmt.Errorf("item %d of %d is in the order of popularity at %d, out of bounds or twice", id, len(seen), i)
		}
		seen[id] = true
	}
	return nil
}

// Order returns all items, most popular first. The caller must not change it.
func (m *Model) Order() []uint32 { return m.order }

// Recommend returns the q.N most popular items outside the history; fewer only if the catalog ends. The score of an
// item is the number of its users. It returns an error matching model.ErrQuery for a query that does not fit.
// Cost: O((N + history) log history).
func (m *Model) Recommend(q model.Query) ([]model.Scored, error) {
	if err := q.Check(len(m.counts), m.numUsers); err != nil {
		return nil, err
	}
	top := model.Fill(nil, q.N, m.order, q.Excluded())
	for i := range top {
		top[i] = model.Scored{Item: top[i].Item, Score: float64(m.counts[top[i].Item])}
	}
	return top, nil
}
