package coordinator

import (
	"cmp"
	"container/heap"
	"math"
	"slices"
)

// scoredItem is an item that may be in an answer.
type scoredItem struct {
	// id orders candidates of equal scores.
	id uint32
	// base is the score of the model, score that with its boosts.
	base, score float64
	group       uint32 // 0 for one that is alone
}

// sortScored sorts candidates by score descending, then id ascending.
func sortScored(candidates []scoredItem) {
	slices.SortFunc(candidates, func(a, b scoredItem) int {
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.id, b.id))
	})
}

// choose returns up to n candidates, which are ranked, in the order of the answer. taken are the numbers of items of each group that the
// answer has already, and is changed.
//
// Without diversity they are the first. With it, each place goes to the candidate with the largest marginal relevance
//
//	λ·score/|largest score| - (1-λ)·[its group is in the answer]
//
// (with 1 in place of a largest score of 0) and of equal ones to the first, among those whose groups are not full: Carbonell and Goldstein, SIGIR 1998 [carbonell1998], where two items are
// similar by 1 if they are of one group, and by 0 otherwise. The choice is greedy, so the first places of a longer answer are the shorter answer.
// A candidate that was not there, with a score below least, would not have changed the choice.
//
// Cost: O(candidates + n·log groups): of each group only the first candidate that is left can be next.
func choose(candidates []scoredItem, n int, d *Diversity, taken map[uint32]int) (chosen []scoredItem, least float64) {
	if d == nil {
		chosen = candidates[:min(n, len(candidates))]
		return chosen, lowest(chosen)
	}
	q := newQueues(candidates, d, taken)
	largest := 1.0
	if len(candidates) > 0 && candidates[0].score != 0 {
		largest = math.Abs(candidates[0].score)
	}
	value := func(i int, spread bool) float64 {
		x := float64(d.Lambda * float64(candidates[i].score/largest)) // conversions forbid fused operations
		if !spread {
			x -= 1 - d.Lambda
		}
		return x
	}
	least = math.Inf(1)
	for len(chosen) < n {
		fresh, used := q.fresh.first(), q.used.first()
		if fresh < 0 && used < 0 {
			break
		}
		at, x := fresh, math.Inf(-1)
		if fresh >= 0 {
			x = value(fresh, true)
		}
		if used >= 0 {
			if y := value(used, false); y > x || y == x && used < fresh {
				at, x = used, y
			}
		}
		chosen, least = append(chosen, candidates[at]), min(least, x)
		q.take(at)
	}
	switch {
	case len(chosen) == 0:
	case d.Lambda > 0:
		least = least / d.Lambda * largest
	case least < 0: // a group that is not in the answer comes first, whatever the score
		least = math.Inf(-1)
	default:
		least = lowest(chosen)
	}
	return chosen, least
}

func lowest(candidates []scoredItem) float64 {
	x := math.Inf(1)
	for _, c := range candidates {
		x = min(x, c.score)
	}
	return x
}

// queues have, of each group, the candidates that are left, in two heaps by the first: of groups that are not in the answer, and of those that are.
type queues struct {
	candidates  []scoredItem
	next        []int32 // the next candidate of the group; -1 for none
	taken       map[uint32]int
	most        int
	fresh, used firsts
}

func newQueues(candidates []scoredItem, d *Diversity, taken map[uint32]int) *queues {
	q := &queues{candidates: candidates, next: make([]int32, len(candidates)), taken: taken, most: d.MaxPerGroup}
	last := map[uint32]int{}
	for i, c := range candidates {
		q.next[i] = -1
		if c.group == 0 {
			q.fresh = append(q.fresh, i)
			continue
		}
		if before, met := last[c.group]; met {
			q.next[before] = int32(i)
		} else {
			q.add(i)
		}
		last[c.group] = i
	}
	heap.Init(&q.fresh)
	heap.Init(&q.used)
	return q
}

// add appends the first candidate of a group where it belongs, if the group is not full.
func (q *queues) add(i int) {
	switch n := q.taken[q.candidates[i].group]; {
	case n == 0:
		q.fresh = append(q.fresh, i)
	case q.most == 0 || n < q.most:
		q.used = append(q.used, i)
	}
}

// take removes a candidate, which is the first of a heap.
func (q *queues) take(i int) {
	group := q.candidates[i].group
	from := &q.used
	if group == 0 || q.taken[group] == 0 {
		from = &q.fresh
	}
	heap.Pop(from)
	if group == 0 {
		return
	}
	q.taken[group]++
	if next := int(q.next[i]); next >= 0 && (q.most == 0 || q.taken[group] < q.most) {
		heap.Push(&q.used, next)
	}
}

// firsts is a heap of positions.
type firsts []int

func (f firsts) first() int {
	if len(f) == 0 {
		return -1
	}
	return f[0]
}

// Len, Less, Swap, Push and Pop implement heap.Interface.
func (f firsts) Len() int { return len(f) }

// Less implements heap.Interface.
func (f firsts) Less(i, j int) bool { return f[i] < f[j] }

// Swap implements heap.Interface.
func (f firsts) Swap(i, j int) { f[i], f[j] = f[j], f[i] }

// Push implements heap.Interface.
func (f *firsts) Push(x any) { *f = append(*f, x.(int)) }

// Pop implements heap.Interface.
func (f *firsts) Pop() any {
	last := len(*f) - 1
	x := (*f)[last]
	*f = (*f)[:last]
	return x
}
