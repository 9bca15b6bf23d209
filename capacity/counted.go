package capacity

import (
	"context"
	"math"

	"github.com/kith-io/kith/coordinator"
	"github.com/kith-io/kith/similarity"
)

// Counted is a matrix that is known entry by entry.
type Counted struct {
	rows    *similarity.Rows
	counts  []uint32
	updates []uint64
	// pairs that each item leads, estimated.
	pairs []float64
	size  Size
}

// pairSamples is how many items are looked at to estimate the pairs of all.
const pairSamples = 200

// NewCounted returns the matrix of rows, which it renumbers by popularity and does not change. Every item must have an
// entry. Cost: O(entries), and the updates of pairSamples items.
func NewCounted(rows *similarity.Rows) *Counted {
	m := &Counted{rows: rows.ByPopularity()}
	m.counts, m.updates = m.rows.Counts()
	for _, n := range m.updates {
		m.size.Updates += float64(n)
	}
	m.size.Updates -= float64(len(m.rows.Item)) // items with themselves
	distinct := map[float32]bool{}
	for _, w := range m.rows.Weight {
		if distinct[w] = true; len(distinct) > 256 {
			break
		}
	}
	m.size.Users, m.size.Items, m.size.Interactions = float64(m.rows.NumUsers()), float64(rows.NumItems), float64(len(m.rows.Item))
	switch {
	case len(distinct) > 256:
		m.size.WeightBytes = 4
	case len(distinct) > 1 || len(distinct) == 1 && !distinct[1]:
		m.size.WeightBytes = 1
	}
	m.countPairs()
	return m
}

// countPairs counts the pairs of some items, spread over the logarithm of the rank, and takes those between as lying on
// lines between them, as parts of their updates.
func (m *Counted) countPairs() {
	n := m.rows.NumItems
	m.pairs = make([]float64, n)
	users := m.rows.Transpose()
	seen := make([]uint32, n) // by the number of the sample, from 1
	last, lastShare, number := -1, 0.0, uint32(0)
	for at := 0; at < n; {
		number++
		seen[at] = number
		pairs := 0
		for _, u := range users.Item[users.Start[at]:users.Start[at+1]] {
			for _, i := range m.rows.Item[m.rows.Start[u]:m.rows.Start[u+1]] {
				if seen[i] != number {
					seen[i] = number
					pairs++
				}
			}
		}
		share := float64(max(0, pairs-1)) / float64(max(1, m.updates[at]))
		for i := last + 1; i <= at; i++ {
			part := float64(i-last) / float64(at-last)
			if last < 0 {
				part = 1
			}
			m.pairs[i] = float64(m.updates[i]) * (lastShare + part*(share-lastShare))
		}
		last, lastShare = at, share
		if at == n-1 {
			break
		}
		next := int(math.Ceil(float64(at+1) * math.Pow(float64(n), 1.0/pairSamples)))
		at = min(n-1, max(at+1, next-1))
	}
}

// Size implements Matrix.
func (m *Counted) Size() Size { return m.size }

// Counts implements Matrix.
func (m *Counted) Counts() ([]uint32, []uint64) { return m.counts, m.updates }

// Work implements Matrix. Updates and runs are exact; the pairs of a block are spread over sides as its updates are. Cost:
// O(entries · sides).
func (m *Counted) Work(p *coordinator.Plan) Work {
	blockOf := make([]uint32, 0, len(m.counts))
	sideOf := make([]uint32, len(p.Blocks))
	pairs := make([]float64, len(p.Blocks))
	for b, r := range p.Blocks {
		for i := r.Lo; i < r.Hi; i++ {
			blockOf = append(blockOf, uint32(b))
			pairs[b] += m.pairs[i]
		}
	}
	for s, r := range p.Sides {
		for b := r.Lo; b < r.Hi; b++ {
			sideOf[b] = uint32(s)
		}
	}
	blocks, sides := len(p.Blocks), len(p.Sides)
	w := Work{Updates: make([]float64, blocks*sides), Pairs: make([]float64, blocks*sides)}
	perSide := make([]float64, sides) // entries of a row
	for u := range m.rows.NumUsers() {
		row := m.rows.Item[m.rows.Start[u]:m.rows.Start[u+1]]
		clear(perSide)
		for _, i := range row {
			perSide[sideOf[blockOf[i]]]++
		}
		for from := 0; from < len(row); {
			b := blockOf[row[from]]
			to := from + 1
			for to < len(row) && blockOf[row[to]] == b {
				to++
			}
			for s, n := range perSide {
				w.Updates[s*blocks+int(b)] += n * float64(to-from)
			}
			from = to
		}
	}
	for b := range blocks {
		for s := range sides {
			w.Pairs[s*blocks+b] = pairs[b] * w.Updates[s*blocks+b] / max(1, p.Loads[b].Updates)
		}
	}
	return w
}

// Sample implements Matrix: users in equal distances.
func (m *Counted) Sample(_ context.Context, users int) (*similarity.Rows, error) {
	all := m.rows.NumUsers()
	users = max(1, min(users, all))
	out := &similarity.Rows{NumItems: m.rows.NumItems, Start: []int64{0}}
	for n := range users {
		u := int(int64(n) * int64(all) / int64(users))
		lo, hi := m.rows.Start[u], m.rows.Start[u+1]
		out.Item = append(out.Item, m.rows.Item[lo:hi]...)
		if m.rows.Weight != nil {
			out.Weight = append(out.Weight, m.rows.Weight[lo:hi]...)
		}
		out.Start = append(out.Start, int64(len(out.Item)))
	}
	return out, nil
}
