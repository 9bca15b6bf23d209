package linear

import (
	"encoding/binary"
	"fmt"
	"sort"
	"sync"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/neighborhood"
	"github.com/kith-io/kith/similarity"
)

// Model answers from a file. It is immutable and safe for concurrent use.
type Model struct {
	users           int
	ones            bool
	order           []uint32
	ids             []uint32 // all, ascending
	starts, entries []byte
	scratch         sync.Pool // *scratch, with empty scores
}

type scratch struct {
	scores *neighborhood.Scores
	row    [256]similarity.Neighbor
	sums   []int64 // of all items, zero between queries; nil until they are needed
}

func (m *Model) init() {
	m.ids = make([]uint32, len(m.order))
	for i := range m.ids {
		m.ids[i] = uint32(i)
	}
	m.scratch.New = func() any { return &scratch{scores: neighborhood.NewDenseScores(len(m.order))} }
}

// Row returns a copy of the row of an item of the matrix.
func (m *Model) Row(item uint32) (row []similarity.Neighbor) {
	for b := m.row(item); len(b) > 0; b = b[entrySize:] {
		row = append(row, entryOf(b))
	}
	return row
}

func (m *Model) row(item uint32) []byte {
	at := m.starts[8*uint64(item):]
	return m.entries[entrySize*binary.LittleEndian.Uint64(at) : entrySize*binary.LittleEndian.Uint64(at[8:])]
}

// Recommend returns the q.N items with the highest scores above zero, filled up from popularity; an error matches model.ErrQuery. Scores are sums in
// fixed point (neighborhood.Scale), and so depend on no order. Cost: O(entries of the rows of the history).
func (m *Model) Recommend(q model.Query) ([]model.Scored, error) {
	if err := q.Check(len(m.order), m.users); err != nil {
		return nil, err
	}
	s := m.scratch.Get().(*scratch)
	adds := 0
	for _, id := range q.Items {
		adds += len(m.row(id)) / entrySize
	}
	if adds > denseAdds*len(m.order) && len(q.Items) < maxDense {
		m.addDense(s, &q)
	} else {
		m.addSparse(s, &q)
	}
	top := model.Fill(s.scores.Top(q.N, q.Excluded()), q.N, m.order, q.Excluded())
	s.scores.Reset()
	m.scratch.Put(s)
	return top, nil
}

// denseAdds is how many additions there must be for each item of the catalog, so that it pays to keep sums for all of them. maxDense contributions of the largest size do not
// overflow one.
const (
	denseAdds = 2
	maxDense  = 1 << 16
)

func (m *Model) addSparse(s *scratch, q *model.Query) {
	for i, id := range q.Items {
		for b := m.row(id); len(b) > 0; {
			n := min(len(s.row), len(b)/entrySize)
			for k := range s.row[:n] {
				s.row[k] = entryOf(b[entrySize*k:])
			}
			s.scores.AddNeighbors(m.weight(q, i), s.row[:n])
			b = b[entrySize*n:]
		}
	}
}

func (m *Model) addDense(s *scratch, q *model.Query) {
	if s.sums == nil {
		s.sums = make([]int64, len(m.order))
	}
	for i, id := range q.Items {
		w := m.weight(q, i)
		for b := m.row(id); len(b) >= entrySize; b = b[entrySize:] {
			e := entryOf(b)
			s.sums[e.ID] += neighborhood.Fixed(w, e.Score)
		}
	}
	s.scores.Add(m.ids, s.sums)
	clear(s.sums)
}

func (m *Model) weight(q *model.Query, i int) float32 {
	if m.ones {
		return 1
	}
	return q.Weight(i)
}

// Explain returns what each item of the history adds to the score that Recommend gives an item, highest first, without those that add nothing. They
// add up to the score exactly (up to 2^21). There are none for an item that was filled in. An error matches model.ErrQuery.
func (m *Model) Explain(q model.Query, item uint32) ([]model.Contribution, error) {
	if err := q.Check(len(m.order), m.users); err != nil {
		return nil, err
	}
	if int64(item) >= int64(len(m.order)) {
		return nil, fmt.Errorf("%w: item %d of %d", model.ErrQuery, item, len(m.order))
	}
	shares := make([]int64, len(q.Items))
	for i, id := range q.Items {
		row := m.row(id)
		n := len(row) / entrySize
		k := sort.Search(n, func(k int) bool { return binary.LittleEndian.Uint32(row[entrySize*k:]) >= item })
		if k == n {
			continue
		}
		if e := entryOf(row[entrySize*k:]); e.ID == item {
			shares[i] = neighborhood.Fixed(m.weight(&q, i), e.Score)
		}
	}
	return neighborhood.Contributions(q.Items, shares), nil
}
