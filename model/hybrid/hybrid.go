// Package hybrid makes one answer of those of several models: a weighted blend of normalized scores, reciprocal rank fusion, a switch by the length of the history, or a
// learned ranker. The parts are asked for their best items, and what any of them has found is a candidate; what none has found comes last, from popularity.
//
// What a part says of an item is comparable only within one answer of it, so every form looks at scores relative to the others of the same answer, or at ranks. The names of the forms
// follow Burke, User Modeling and User-Adapted Interaction 12, 2002 [burke2002]: weighted, switching, cascade.
package hybrid

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/popularity"
	"github.com/kith-io/kith/model/train"
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
}

// Model is a combination with its base at hand. It is safe for concurrent use if the parts are.
type Model struct {
	combination train.Combination
	parts       []Part
	catalog     *Catalog
}

// New returns a model of parts, which must be the base of the combination, by name and order. The catalog is that of the matrix that the parts were made of.
func New(c train.Combination, parts []Part, catalog *Catalog) (*Model, error) {
	if names := namesOf(parts); !slices.Equal(names, c.Base()) {
		return nil, fmt.Errorf("hybrid: a combination of the models %q, and not of %q", c.Base(), names)
	}
	return &Model{c, parts, catalog}, nil
}

// Recommend returns what the combination makes of the answers of the parts, filled up from popularity. The error is that of a part, or matches model.ErrQuery.
// Cost: that of the parts, and that of the combination.
func (m *Model) Recommend(q model.Query) ([]model.Scored, error) {
	if err := q.Check(len(m.catalog.counts), m.catalog.numUsers); err != nil {
		return nil, err
	}
	answers, err := ask(m.parts, m.combination.Depths(q), q)
	if err != nil {
		return nil, err
	}
	top := m.combination.Combine(q, answers)
	return model.Fill(top[:min(q.N, len(top))], q.N, m.catalog.order, q.Excluded()), nil
}

// DefaultDepth is how many items each part is asked for: more than anybody reads, so that an item that one part has in the middle can rise.
const DefaultDepth = 200

// Catalog is what is known of the items besides what the parts say.
type Catalog struct {
	numUsers int
	counts   []int64
	// fresh counts the newest entries of each item; nil if times are unknown.
	fresh []int64
	order []uint32
	// common is the logarithm of the share of users who have each item, and trend that of its share of the newest entries over that of all.
	common, trend []float32
	// unheard is common of an item of nobody, as a model of content may find beyond those of the matrix.
	unheard float32
}

// newest is the share of the entries with the latest times that count as new.
const newest = 0.1

// maxSample is how many times of entries say which are the newest; of more entries, those of some users do.
const maxSample = 1_000_000

// strideOf returns s such that every s-th user says which entries are the newest.
func strideOf(entries int64) int { return max(1, int((entries+maxSample-1)/maxSample)) }

// sampleTimes returns the times of the entries of every stride-th user, of users that are numbered from first.
func sampleTimes(rows *similarity.Rows, times []int64, first, stride int) (sample []int64) {
	for u := range rows.NumUsers() {
		if (first+u)%stride == 0 {
			sample = append(sample, times[rows.Start[u]-rows.Start[0]:rows.Start[u+1]-rows.Start[0]]...)
		}
	}
	return sample
}

// cutOf returns the time from which on entries count as new; sample is sorted.
func cutOf(sample []int64) int64 {
	slices.Sort(sample)
	return sample[int((1-newest)*float64(len(sample)))]
}

// countNew counts the entries of each item with times of at least cut.
func countNew(rows *similarity.Rows, times []int64, cut int64) []int64 {
	fresh := make([]int64, rows.NumItems)
	for p, t := range times {
		if t >= cut {
			fresh[rows.Item[rows.Start[0]+int64(p)]]++
		}
	}
	return fresh
}

// NewCatalog counts the users of each item of the matrix that the parts were made of; times are those of its entries, nil if unknown. Cost: O(entries), and a sort of a million times.
func NewCatalog(rows *similarity.Rows, times []int64) *Catalog {
	var fresh []int64
	if len(times) > 0 {
		fresh = countNew(rows, times, cutOf(sampleTimes(rows, times, 0, strideOf(int64(len(times))))))
	}
	return newCatalog(rows.NumUsers(), popularity.Counts(rows), fresh)
}

// newCatalog makes a catalog of the users of each item, and of its new entries, nil if times are unknown.
func newCatalog(users int, counts, fresh []int64) *Catalog {
	c := &Catalog{numUsers: users, counts: counts, fresh: fresh, order: popularity.Order(counts)}
	c.unheard = float32(math.Log(0.5 / (float64(users) + 1)))
	c.common, c.trend = make([]float32, len(counts)), make([]float32, len(counts))
	var all, news int64
	for i, n := range counts {
		c.common[i] = float32(math.Log((float64(n) + 0.5) / (float64(users) + 1)))
		all += n
		if fresh != nil {
			news += fresh[i]
		}
	}
	if news == 0 {
		return c
	}
	share := float64(news) / float64(all)
	for i, n := range counts {
		// One entry more that is new as often as any: an item of few users has no trend.
		c.trend[i] = float32(math.Log((float64(fresh[i]) + share) / (share * (float64(n) + 1))))
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

// ask returns what the parts say of a query, each asked for as many items as depths says, without filled items.
func ask(parts []Part, depths []int, q model.Query) ([][]model.Scored, error) {
	answers := make([][]model.Scored, len(parts))
	for i, p := range parts {
		if q.N = depths[i]; q.N == 0 {
			continue
		}
		answer, err := p.Model.Recommend(q)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		}
		if filled := slices.IndexFunc(answer, func(s model.Scored) bool { return s.Filled }); filled >= 0 {
			answer = answer[:filled]
		}
		answers[i] = answer
	}
	return answers, nil
}

// gather lists what was found.
func gather(answers [][]model.Scored) *asked {
	a := &asked{answers: answers, position: make([][]int32, len(answers))}
	for _, answer := range answers {
		for _, s := range answer {
			a.items = append(a.items, s.Item)
		}
	}
	slices.Sort(a.items)
	a.items = slices.Compact(a.items)
	for i, answer := range answers {
		a.position[i] = make([]int32, len(a.items))
		for j := range a.items {
			a.position[i][j] = -1
		}
		for at, s := range answer {
			j, _ := slices.BinarySearch(a.items, s.Item)
			a.position[i][j] = int32(at)
		}
	}
	return a
}

// rank orders the items by score. scores goes with them.
func (a *asked) rank(scores []float64) []model.Scored {
	top := make([]model.Scored, len(a.items))
	for i, id := range a.items {
		top[i] = model.Scored{Item: id, Score: scores[i]}
	}
	slices.SortFunc(top, model.Scored.Compare)
	return top
}

// namesOf returns the names of parts.
func namesOf(parts []Part) (names []string) {
	for _, p := range parts {
		names = append(names, p.Name)
	}
	return names
}

// same returns n times x.
func same[T any](x T, n int) []T { return slices.Repeat([]T{x}, n) }

// checkBase returns an error unless a combination can be made of models of these names and weights.
func checkBase(names []string, weights []float64, depth int) error {
	if len(names) == 0 {
		return errors.New("no models to combine; name some, as in rrf(base=als+slim)")
	}
	for i, x := range weights {
		if !(x > 0 && !math.IsInf(x, 1)) {
			return fmt.Errorf("the weight of %s is %v, want above 0", names[i], x)
		}
	}
	if depth < 1 {
		return fmt.Errorf("each model is asked for %d items, want at least 1", depth)
	}
	return nil
}
