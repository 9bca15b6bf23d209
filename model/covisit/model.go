package covisit

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/neighborhood"
	"github.com/kith-io/kith/model/popularity"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

// Model answers queries. It is immutable and safe for concurrent use. The lists are those of the file.
type Model struct {
	memory float64
	users  int
	start  []int64 // of the list of each item, and the end of the last
	lists  []byte  // of entries: id, bits of the score
	order  []uint32
	// scratch has empty *neighborhood.Scores.
	scratch sync.Pool
}

// read implements train.Kind. Cost: O(items + entries).
func read(file []byte) (train.Model, error) {
	r := model.NewReader(file)
	r.Magic(magic)
	items, entries, memory, users := r.Uint64(), r.Uint64(), r.Float64(), r.Uint64()
	if users > math.MaxUint32 || !(memory > 0) || math.IsInf(memory, 0) {
		r.Fail("%d users, memory %v", users, memory)
	}
	heads := model.NewReader(r.Take(items, entryBytes))
	m := &Model{memory: memory, users: int(users), lists: r.Take(entries, entryBytes)}
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("%w: %w", errFile, err)
	}
	m.start = make([]int64, items+1)
	counts := make([]int64, items)
	for i := range counts {
		counts[i] = int64(heads.Uint32())
		m.start[i+1] = m.start[i] + int64(heads.Uint32())
	}
	if m.start[items] != int64(entries) {
		return nil, fmt.Errorf("%w: lists of %d entries, %d are there", errFile, m.start[items], entries)
	}
	for e := range entries {
		if x := m.entry(int64(e)); uint64(x.ID) >= items || !(x.Score > 0) || math.IsInf(float64(x.Score), 0) {
			return nil, fmt.Errorf("%w: entry %d is %v", errFile, e, x)
		}
	}
	m.order = popularity.Order(counts)
	m.scratch.New = func() any { return neighborhood.NewDenseScores(int(items)) }
	return m, nil
}

func (m *Model) entry(e int64) similarity.Neighbor {
	b := m.lists[entryBytes*e:]
	return similarity.Neighbor{ID: binary.LittleEndian.Uint32(b), Score: math.Float32frombits(binary.LittleEndian.Uint32(b[4:]))}
}

// list appends the list of an item.
func (m *Model) list(to []similarity.Neighbor, item uint32) []similarity.Neighbor {
	for e := m.start[item]; e < m.start[item+1]; e++ {
		to = append(to, m.entry(e))
	}
	return to
}

// Recommend returns the q.N items with the largest scores, filled up from popularity. It returns an error matching model.ErrQuery for a query that does not fit.
func (m *Model) Recommend(q model.Query) ([]model.Scored, error) {
	if err := m.check(&q); err != nil {
		return nil, err
	}
	scores := m.scratch.Get().(*neighborhood.Scores)
	defer func() {
		scores.Reset()
		m.scratch.Put(scores)
	}()
	var list []similarity.Neighbor
	for i, weight := range m.weights(&q) {
		list = m.list(list[:0], q.Items[i])
		scores.AddNeighbors(weight, list)
	}
	return model.Fill(scores.Top(q.N, q.Excluded()), q.N, m.order, q.Excluded()), nil
}

// Explain returns what each item of the history adds to the score of an item.
func (m *Model) Explain(q model.Query, item uint32) ([]model.Contribution, error) {
	if err := m.check(&q); err != nil {
		return nil, err
	}
	if int64(item) >= int64(len(m.order)) {
		return nil, fmt.Errorf("%w: item %d of %d", model.ErrQuery, item, len(m.order))
	}
	var out []model.Contribution
	var list []similarity.Neighbor
	for i, weight := range m.weights(&q) {
		list = m.list(list[:0], q.Items[i])
		for _, x := range list {
			if share := neighborhood.Fixed(weight, x.Score); x.ID == item && share > 0 {
				out = append(out, model.Contribution{Item: q.Items[i], Score: neighborhood.Float(share)})
			}
		}
	}
	slices.SortFunc(out, func(a, b model.Contribution) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Item, b.Item))
	})
	return out, nil
}

func (m *Model) check(q *model.Query) error { return q.Check(len(m.order), m.users) }

// weights returns what the lists of the history's items count.
func (m *Model) weights(q *model.Query) []float32 {
	out := make([]float32, len(q.Items))
	var times []int64
	if q.Times != nil {
		times = slices.Sorted(slices.Values(q.Times))
	}
	for i := range out {
		out[i] = 1
		if times != nil {
			later, _ := slices.BinarySearch(times, q.Times[i]+1)
			out[i] = float32(math.Exp2(-float64(len(times)-later) / m.memory))
		}
	}
	return out
}
