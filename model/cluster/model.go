package cluster

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/popularity"
)

// ErrFile is matched by the error of a file that is no whole model of this kind.
var ErrFile = errors.New("damaged file of clusters")

const magic, version = "kith-clu", 1

// Mark is an item that sets a group apart.
type Mark struct {
	Item uint32
	// Count is the number of members that have it; of groups of items, the number of its users.
	Count int64
	// Lift is the share of members that have it over the share of all; 1 in groups of items.
	Lift float64
	// Z is how many standard errors the log-odds-ratio of the item in the group and outside of it is above 0, with a prior [monroe2008]: above 2 is hardly chance. Of groups of
	// items it is the cosine to the center.
	Z float64
}

// Description says what a group is.
type Description struct {
	// Size is the number of members, and Share the part of all that are in a group.
	Size  int64
	Share float64
	// Spread is the root of the mean square of the distances of members to the center, from 0 to 2.
	Spread float64
	// Silhouette is the mean of members in a sample, from -1 to 1; NaN if it has none.
	Silhouette float64
	// Marks are the items that set it apart most, by Z descending; of groups of items, the most typical members.
	Marks []Mark
}

// favorite is an item of a group with its score.
type favorite struct {
	item  uint32
	score float32
}

// list has the items of a group: what is recommended, by score, and what describes it, by Z.
type list struct {
	favorites []favorite
	marks     []Mark
}

// cut brings a list in order and keeps the best n.
func (l *list) cut(n int) {
	slices.SortFunc(l.favorites, func(a, b favorite) int { return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.item, b.item)) })
	slices.SortFunc(l.marks, func(a, b Mark) int { return cmp.Or(cmp.Compare(b.Z, a.Z), cmp.Compare(a.Item, b.Item)) })
	l.favorites = l.favorites[:min(n, len(l.favorites))]
	l.marks = l.marks[:min(described, len(l.marks))]
}

func (l *list) encode(b []byte) []byte {
	items, scores := make([]uint32, len(l.favorites)), make([]float32, len(l.favorites))
	for i, f := range l.favorites {
		items[i], scores[i] = f.item, f.score
	}
	b = putSlice(putSlice(b, items), scores)
	b = putNumber(b, uint64(len(l.marks)))
	for _, m := range l.marks {
		b = putFloat(putFloat(putNumber(putNumber(b, uint64(m.Item)), uint64(m.Count)), m.Lift), m.Z)
	}
	return b
}

// join appends what encode has written.
func (l *list) join(r *model.Reader, numItems int) {
	items := slice[uint32](r)
	scores := exact[float32](r, "scores", len(items))
	n := size(r, "the number of marks", described)
	for range n {
		m := Mark{Item: uint32(size(r, "an item", max(0, numItems-1))), Count: int64(r.Uint64()), Lift: r.Float64(), Z: r.Float64()}
		l.marks = append(l.marks, m)
	}
	if r.Err() != nil {
		return
	}
	for i, id := range items {
		if int64(id) >= int64(numItems) || !(scores[i] > 0) || math.IsInf(float64(scores[i]), 0) {
			r.Fail("item %d of %d with score %v", id, numItems, scores[i])
			return
		}
		l.favorites = append(l.favorites, favorite{id, scores[i]})
	}
}

// Model recommends what is liked in the group of a history. It is immutable and safe for concurrent use.
type Model struct {
	of                 int
	numUsers, numItems int
	discount           float64
	header             header
	users              []int64   // of each item
	v                  []float32 // items × rank
	lists              []list
	groups             []int32 // of each item, -1 for none; only where items are grouped

	scale []float32
	order []uint32
}

func (m *Model) encode() []byte {
	b := putNumber([]byte(magic), version)
	b = putNumber(putNumber(putNumber(b, uint64(m.of)), uint64(m.numUsers)), uint64(m.numItems))
	b = append(putFloat(b, m.discount), m.header.encode()...)
	b = putSlice(putSlice(putSlice(b, m.users), m.v), m.groups)
	for c := range m.lists {
		b = m.lists[c].encode(b)
	}
	return b
}

// Read makes a model of a file that Kind.Write has made. It copies what it keeps. The error matches ErrFile.
func Read(file []byte) (*Model, error) {
	m, err := read(file)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	return m, nil
}

func read(file []byte) (*Model, error) {
	r := model.NewReader(file)
	r.Magic(magic)
	if v := r.Uint64(); v != version {
		r.Fail("version %d, want %d", v, version)
	}
	m := &Model{of: size(r, "what is grouped", ofOrders), numUsers: size(r, "the number of users", math.MaxInt32), numItems: size(r, "the number of items", math.MaxInt32)}
	m.discount = r.Float64()
	m.header.decode(r)
	m.users = exact[int64](r, "numbers of users", m.numItems)
	m.v = exact[float32](r, "numbers of vectors", m.numItems*m.header.dim)
	if m.groups = slice[int32](r); r.Err() != nil {
		return nil, r.Err()
	}
	k := int32(len(m.header.counts))
	switch {
	case m.of == ofItems && len(m.groups) != m.numItems || m.of != ofItems && len(m.groups) > 0:
		return nil, fmt.Errorf("groups of %d items, of %d", len(m.groups), m.numItems)
	case slices.ContainsFunc(m.groups, func(g int32) bool { return g < -1 || g >= k }):
		return nil, fmt.Errorf("an item is in a group that is none of %d", k)
	}
	m.lists = make([]list, len(m.header.counts))
	for c := range m.lists {
		m.lists[c].join(r, m.numItems)
		if !slices.IsSortedFunc(m.lists[c].favorites, func(a, b favorite) int {
			return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.item, b.item))
		}) {
			return nil, fmt.Errorf("the list of group %d is out of order", c)
		}
	}
	if err := r.End(); err != nil {
		return nil, err
	}
	switch {
	case !(m.discount >= 0 && m.discount <= 1):
		return nil, fmt.Errorf("discount is %v, want 0 to 1", m.discount)
	case slices.ContainsFunc(m.v, func(x float32) bool { return !(math.Abs(float64(x)) <= maxComponent) }):
		return nil, errors.New("a vector has a component that is no number")
	case slices.ContainsFunc(m.users, func(n int64) bool { return n < 0 }):
		return nil, errors.New("an item has less than no users")
	}
	return m, m.finish()
}

// finish makes what follows from the rest.
func (m *Model) finish() error {
	m.scale, m.order = scales(m.users, m.discount), popularity.Order(m.users)
	have := make([]int32, m.numItems) // list that an item was last in, from 1
	for c, l := range m.lists {
		for _, f := range l.favorites {
			if have[f.item] == int32(c+1) || m.of == ofItems && m.groups[f.item] != int32(c) {
				return fmt.Errorf("item %d is twice in the list of group %d, or of another group", f.item, c)
			}
			have[f.item] = int32(c + 1)
		}
	}
	return nil
}

// Clusters describes the groups.
func (m *Model) Clusters() []Description {
	h := &m.header
	var all int64
	for _, n := range h.counts {
		all += n
	}
	out := make([]Description, len(h.counts))
	for c, n := range h.counts {
		out[c] = Description{
			Size: n, Share: float64(n) / float64(max(1, all)), Spread: math.Sqrt(h.spread[c] / float64(max(1, n))),
			Silhouette: h.silhouet[c], Marks: slices.Clone(m.lists[c].marks),
		}
	}
	return out
}

// Trials returns how the groups were found, and which trial was kept.
func (m *Model) Trials() (trials []Trial, best int) { return m.header.trials, m.header.best }

// Assign returns the group of the history of a query, and the distance to its center, from 0 to 2. Where items are grouped it is the group with the largest part of the history,
// and the distance is 2 less twice that part. It is -1 for a history of which nothing is known. The error matches model.ErrQuery. Cost: O(history·rank + k·rank).
func (m *Model) Assign(q model.Query) (group int, distance float64, err error) {
	if err := q.Check(m.numItems, m.numUsers); err != nil {
		return -1, 0, err
	}
	if m.of == ofItems {
		parts := m.parts(&q)
		group = -1
		for c, p := range parts {
			if p > 0 && (group < 0 || p > parts[group]) {
				group, distance = c, 2-2*p
			}
		}
		return group, distance, nil
	}
	x := make([]float32, m.header.dim)
	project(x, q.Items, q.Weight, m.scale, m.v)
	if len(m.lists) == 0 || !unit(x) {
		return -1, 0, nil
	}
	group = nearestOf(x, m.header.centers)
	return group, math.Sqrt(distance2(x, m.header.centers[group*len(x):(group+1)*len(x)])), nil
}

// GroupOf returns the group of an item, -1 for one without; all are without where not items are grouped.
func (m *Model) GroupOf(item uint32) int {
	if int64(item) >= int64(len(m.groups)) {
		return -1
	}
	return int(m.groups[item])
}

// parts returns the part of a history, by magnitude, that is in each group of items.
func (m *Model) parts(q *model.Query) []float64 {
	parts := make([]float64, len(m.lists))
	var all float64
	for i, id := range q.Items {
		if c := m.groups[id]; c >= 0 {
			x := math.Abs(float64(value(q.Weight(i), 1)))
			parts[c] += x
			all += x
		}
	}
	if all > 0 {
		for c := range parts {
			parts[c] /= all
		}
	}
	return parts
}

// Recommend returns the items of the largest share of the members of the history's group, adjusted by lift; of groups of items, those of the largest product of the part of the
// history in their group and of their share in it. It fills the answer up from popularity. The error matches model.ErrQuery.
//
// Cost: O(history·rank + k·rank + N), and N·log N for each group of items that the history has a part in.
func (m *Model) Recommend(q model.Query) ([]model.Scored, error) {
	group, _, err := m.Assign(q)
	if err != nil {
		return nil, err
	}
	excluded := q.Excluded()
	var top []model.Scored
	add := func(c int, factor float64) {
		n := 0
		for _, f := range m.lists[c].favorites {
			if n == q.N {
				break
			}
			if _, seen := slices.BinarySearch(excluded, f.item); !seen {
				top = append(top, model.Scored{Item: f.item, Score: factor * float64(f.score)})
				n++
			}
		}
	}
	switch {
	case group < 0:
	case m.of == ofItems:
		for c, part := range m.parts(&q) {
			if part > 0 {
				add(c, part)
			}
		}
		slices.SortFunc(top, model.Scored.Compare)
		top = top[:min(q.N, len(top))]
	default:
		add(group, 1)
	}
	return model.Fill(top, q.N, m.order, excluded), nil
}
