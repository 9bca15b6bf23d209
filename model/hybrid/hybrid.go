// Package hybrid makes one answer of those of several models: a weighted blend of normalized scores, reciprocal rank fusion, a switch by the length of the history, or a
// learned ranker. The parts are asked for their best items, and what any of them has found is a candidate; what none has found comes last, from popularity.
//
// What a part says of an item is comparable only within one answer of it, so every form looks at scores relative to the others of the same answer, or at ranks. The names of the forms
// follow Burke, User Modeling and User-Adapted Interaction 12, 2002 [burke2002]: weighted, switching, cascade.
package hybrid

import (
	"fmt"
	"math"
	"slices"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/popularity"
	"github.com/kith-io/kith/similarity"
)

// Recommender is a model for top-N. It is called from several goroutines at a time, and must not change the slices of q.
type Recommender interface {
	Recommend(q model.Query) ([]model.Scored, error)
}

// Part is a model that an answer is made of.
type Part struct {
	Name  string
	Model Recommender
	// Weight multiplies what it says, where there are weights; it is above 0 and finite.
	Weight float64
}

// DefaultDepth is how many items each part is asked for: more than anybody reads, so that an item that one part has in the middle can rise.
const DefaultDepth = 200

// Catalog is what is known of the items besides what the parts say.
type Catalog struct {
	numUsers int
	counts   []int64
	order    []uint32
	// common is the logarithm of the share of users who have each item, and trend that of its share of the newest entries over that of all.
	common, trend []float32
	// unheard is common of an item of nobody, as a model of content may find beyond those of the matrix.
	unheard float32
}

// newest is the share of the entries with the latest times that count as new.
const newest = 0.1

// NewCatalog counts the users of each item of the matrix that the parts were made of; times are those of its entries, nil if unknown. Cost: O(entries log entries), without times
// O(entries).
func NewCatalog(rows *similarity.Rows, times []int64) *Catalog {
	c := &Catalog{numUsers: rows.NumUsers(), counts: popularity.Counts(rows)}
	c.order = popularity.Order(c.counts)
	c.unheard = float32(math.Log(0.5 / (float64(c.numUsers) + 1)))
	c.common, c.trend = make([]float32, rows.NumItems), make([]float32, rows.NumItems)
	for i, n := range c.counts {
		c.common[i] = float32(math.Log((float64(n) + 0.5) / (float64(c.numUsers) + 1)))
	}
	if len(times) == 0 {
		return c
	}
	cut := slices.Sorted(slices.Values(times))[int((1-newest)*float64(len(times)))]
	fresh, all := make([]float64, rows.NumItems), 0.0
	for p, t := range times {
		if t >= cut {
			fresh[rows.Item[rows.Start[0]+int64(p)]]++
			all++
		}
	}
	share := all / float64(len(times))
	for i, n := range c.counts {
		// One entry more that is new as often as any: an item of few users has no trend.
		c.trend[i] = float32(math.Log((fresh[i] + share) / (share * (float64(n) + 1))))
	}
	return c
}

// asked is what the parts say of one query.
type asked struct {
	answers [][]model.Scored // by part, without filled items
	items   []uint32         // all that were found, ascending
	// position has, by part and then item, the position in its answer from 0, or -1.
	position [][]int32
}

// ask asks all parts for their depth best items.
func (c *Catalog) ask(parts []Part, q *model.Query, depth int) (*asked, error) {
	if err := q.Check(len(c.counts), c.numUsers); err != nil {
		return nil, err
	}
	wide := *q
	wide.N = depth
	a := &asked{answers: make([][]model.Scored, len(parts)), position: make([][]int32, len(parts))}
	for i, p := range parts {
		answer, err := p.Model.Recommend(wide)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		}
		found := slices.IndexFunc(answer, func(s model.Scored) bool { return s.Filled })
		if found >= 0 {
			answer = answer[:found]
		}
		a.answers[i] = answer
		for _, s := range answer {
			a.items = append(a.items, s.Item)
		}
	}
	slices.Sort(a.items)
	a.items = slices.Compact(a.items)
	for i, answer := range a.answers {
		a.position[i] = make([]int32, len(a.items))
		for j := range a.items {
			a.position[i][j] = -1
		}
		for at, s := range answer {
			j, _ := slices.BinarySearch(a.items, s.Item)
			a.position[i][j] = int32(at)
		}
	}
	return a, nil
}

// answer ranks the items by score and fills the answer up. scores goes with items.
func (c *Catalog) answer(q *model.Query, items []uint32, scores []float64) []model.Scored {
	top := make([]model.Scored, len(items))
	for i, id := range items {
		top[i] = model.Scored{Item: id, Score: scores[i]}
	}
	slices.SortFunc(top, model.Scored.Compare)
	return model.Fill(top[:min(q.N, len(top))], q.N, c.order, q.Excluded())
}

func checkParts(parts []Part, depth int) error {
	if len(parts) == 0 {
		return fmt.Errorf("hybrid: no models to combine")
	}
	for _, p := range parts {
		if !(p.Weight > 0 && !math.IsInf(p.Weight, 1)) {
			return fmt.Errorf("hybrid: the weight of %s is %v, want above 0", p.Name, p.Weight)
		}
	}
	if depth < 1 {
		return fmt.Errorf("hybrid: each model is asked for %d items, want at least 1", depth)
	}
	return nil
}
