package neural

import (
	"cmp"
	"math/rand/v2"
	"slices"

	"github.com/kith-io/kith/model/train"
)

// Examples are the data of one worker as networks see them: who had to do with what. Entries of a weight of 0 or less, such as those of orders that were sent back, are neither
// examples of what a user likes nor of what the user does not; other weights make no difference.
type Examples struct {
	// Items is the size of the catalog, and Known the items that any user of any worker likes, ascending.
	Items int
	Known []uint32
	data  *train.Data
	likes [][]uint32 // by user of this worker: items, ascending
	order [][]uint32 // of likes: by time
	times [][]int64  // of order; nil if they are not known
}

// NewExamples takes the data of a worker. Known is still to be set. Cost: O(entries log(entries of a user)).
func NewExamples(d *train.Data) *Examples {
	e := &Examples{Items: d.Rows.NumItems, data: d}
	r := d.Rows
	for u := range r.NumUsers() {
		lo, hi := r.Start[u], r.Start[u+1]
		likes := r.Item[lo:hi]
		var times []int64
		if d.Times != nil {
			times = d.Times[lo-r.Start[0] : hi-r.Start[0]]
		}
		if r.Weight != nil && slices.ContainsFunc(r.Weight[lo:hi], func(w float32) bool { return !(w > 0) }) {
			all, allTimes := likes, times
			likes, times = nil, nil
			for k, w := range r.Weight[lo:hi] {
				if !(w > 0) {
					continue
				}
				likes = append(likes, all[k])
				if allTimes != nil {
					times = append(times, allTimes[k])
				}
			}
		}
		e.likes = append(e.likes, likes)
		e.order, e.times = append(e.order, InOrder(likes, times)), append(e.times, slices.Sorted(slices.Values(times)))
	}
	return e
}

// Users returns the number of users of this worker.
func (e *Examples) Users() int { return len(e.likes) }

// Likes returns the items of a user, ascending. The caller must not change them.
func (e *Examples) Likes(user int) []uint32 { return e.likes[user] }

// Sequence returns the items of a user from the oldest to the newest, those of one time in a random order: the order of ids is that of popularity, which is not what comes
// next. It uses the memory of dst.
func (e *Examples) Sequence(dst []uint32, user int, rng *rand.Rand) []uint32 {
	dst = append(dst[:0], e.order[user]...)
	times := e.times[user] // ascending, of dst
	for lo := 0; lo < len(dst); {
		hi := lo + 1
		for hi < len(dst) && (times == nil || times[hi] == times[lo]) {
			hi++
		}
		same := dst[lo:hi]
		rng.Shuffle(len(same), func(i, j int) { same[i], same[j] = same[j], same[i] })
		lo = hi
	}
	return dst
}

// InOrder returns items by time ascending, those of one time by id; items ascend. No times leave them in their order.
func InOrder(items []uint32, times []int64) []uint32 {
	if times == nil {
		return items
	}
	order := make([]int, len(items))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Or(cmp.Compare(times[a], times[b]), cmp.Compare(items[a], items[b])) })
	out := make([]uint32, len(items))
	for k, i := range order {
		out[k] = items[i]
	}
	return out
}

func (e *Examples) row(user int) []uint32 {
	r := e.data.Rows
	return r.Item[r.Start[user]:r.Start[user+1]]
}

// HasNegatives tells whether there is a known item that is not in the row of a user, so that Negative returns.
func (e *Examples) HasNegatives(user int) bool {
	missing := len(e.Known)
	for _, id := range e.row(user) {
		if _, known := slices.BinarySearch(e.Known, id); known {
			missing--
		}
	}
	return missing > 0
}

// Negative draws a known item that is not in the row of a user, each with the same probability. HasNegatives must hold.
// Cost: a search in the row for each try; items/(items - row) tries on average.
func (e *Examples) Negative(user int, rng *rand.Rand) uint32 {
	row := e.row(user)
	for {
		id := e.Known[rng.IntN(len(e.Known))]
		if _, found := slices.BinarySearch(row, id); !found {
			return id
		}
	}
}
