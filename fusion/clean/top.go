package clean

import (
	"cmp"
	"container/heap"
	"slices"
	"strings"
)

const (
	// topCounters is the number of values that are counted for a field, which bounds memory: counts are exact up to so many distinct values.
	topCounters = 4096
	// topShown is the number of values that a report shows.
	topShown = 10
	// maxTopText bounds the text of a counted value in bytes; of longer ones the begin counts.
	maxTopText = 256
)

// topValues counts values by the Space-Saving algorithm [metwally2005]: when all counters are taken, a new value takes the one with the
// least count, and with it that count as its error.
type topValues struct {
	limit int
	at    map[string]*topCounter
	heap  topHeap
}

type topCounter struct {
	value        string
	count, error int64
	place        int
}

func newTopValues(limit int) *topValues {
	return &topValues{limit: limit, at: map[string]*topCounter{}}
}

func (t *topValues) add(value string) {
	if len(value) > maxTopText {
		value = strings.ToValidUTF8(value[:maxTopText], "")
	}
	if c := t.at[value]; c != nil {
		c.count++
		if len(t.heap) == t.limit {
			heap.Fix(&t.heap, c.place)
		}
		return
	}
	value = strings.Clone(value)
	if len(t.at) < t.limit {
		c := &topCounter{value: value, count: 1, place: len(t.heap)}
		t.at[value] = c
		t.heap = append(t.heap, c)
		if len(t.heap) == t.limit {
			heap.Init(&t.heap)
		}
		return
	}
	c := t.heap[0]
	delete(t.at, c.value)
	c.value, c.error = value, c.count
	c.count++
	t.at[value] = c
	heap.Fix(&t.heap, 0)
}

// most returns the n most frequent values.
func (t *topValues) most(n int) []Frequent {
	all := slices.SortedFunc(slices.Values(t.heap), func(a, b *topCounter) int {
		return cmp.Or(cmp.Compare(b.count, a.count), cmp.Compare(a.value, b.value))
	})
	var out []Frequent
	for _, c := range all[:min(n, len(all))] {
		out = append(out, Frequent{c.value, c.count, c.error})
	}
	return out
}

// topHeap has the counter of the least count first, of equal ones that of the least value, so that the result is one.
type topHeap []*topCounter

func (h topHeap) Len() int { return len(h) }
func (h topHeap) Less(i, j int) bool {
	if h[i].count != h[j].count {
		return h[i].count < h[j].count
	}
	return h[i].value < h[j].value
}

func (h topHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

// Push and Pop are not needed: counters are taken over, never removed.
func (h *topHeap) Push(any) { panic("clean: push to a heap of counters") }

// Pop is described at Push.
func (h *topHeap) Pop() any { panic("clean: pop of a heap of counters") }
