package factors

import (
	"fmt"
	"math"
	"sync"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/popularity"
)

// catalog ranks the items of a file for a vector of a user. It is immutable and safe for concurrent use.
type catalog struct {
	*file
	order   []uint32  // of the items by popularity, to fill up answers
	scratch sync.Pool // *[tile]float32
}

func newCatalog(f *file) *catalog {
	counts := make([]int64, len(f.counts))
	for i, n := range f.counts {
		counts[i] = int64(n)
	}
	c := &catalog{file: f, order: popularity.Order(counts)}
	c.scratch.New = func() any { return new([tile]float32) }
	return c
}

func (c *catalog) check(q *model.Query) error { return q.Check(len(c.counts), c.users) }

func (c *catalog) checkItem(q *model.Query, item uint32) error {
	if err := c.check(q); err != nil {
		return err
	}
	if int64(item) >= int64(len(c.counts)) {
		return fmt.Errorf("%w: item %d of %d", model.ErrQuery, item, len(c.counts))
	}
	return nil
}

// scale is what 1 is in the whole numbers that scores are rounded to, so that contributions add up to them exactly.
const scale = 1 << 32

// maxScore is where scores are cut; twice that is exact in float64 as a multiple of 1/scale.
const maxScore = 1 << 20

// fixed rounds to whole numbers of 1/scale. NaN gives 0.
func fixed(x float64) int64 {
	if x != x {
		return 0
	}
	return int64(math.RoundToEven(min(maxScore, max(-maxScore, x)) * scale))
}

func float(x int64) float64 { return float64(x) / scale }

// answer returns the q.N best items for x, filled up by popularity. Only items that somebody has are found, and with positive only those with a score above 0; x nil
// finds none.
//
// All items are scored, a tile at a time. What is not above the last of the best so far is passed over by one comparison.
// Cost: O(items·width + found·log N).
func (c *catalog) answer(q *model.Query, x []float32, positive bool) []model.Scored {
	n, excluded := min(q.N, len(c.counts)), q.Excluded()
	var best model.Best[int64]
	if x != nil && n > 0 {
		best.Reset(n, n)
		buf := c.scratch.Get().(*[tile]float32)
		defer c.scratch.Put(buf)
		least, threshold, seen := int64(math.MinInt64), float32(math.Inf(-1)), excluded
		if positive {
			least, threshold = 1, 0
		}
		for from := 0; from < len(c.counts); from += tile {
			scores := buf[:min(tile, len(c.counts)-from)]
			dotsAt(scores, x, c.items[from*len(x):], numbers[:len(scores)])
			for len(seen) > 0 && int(seen[0]) < from+len(scores) {
				scores[int(seen[0])-from] = float32(math.Inf(-1))
				seen = seen[1:]
			}
			for i, s := range scores {
				if !(s > threshold) {
					continue
				}
				r := model.Ranked[int64]{Score: fixed(float64(s)), Item: uint32(from + i)}
				if c.counts[r.Item] == 0 || r.Score < least || !best.Takes(r) {
					continue
				}
				if best.Add(r) {
					threshold = max(threshold, below(best.Last().Score))
				}
			}
		}
	}
	ranking := best.Ranking()
	top := make([]model.Scored, len(ranking), n)
	for i, r := range ranking {
		top[i] = model.Scored{Item: r.Item, Score: float(r.Score)}
	}
	return model.Fill(top, q.N, c.order, excluded)
}

// below returns a score that whatever is rounded to more than x is above: ids ascend, so that what is rounded to x comes after the one that has it.
func below(x int64) float32 {
	f := float32(float(x))
	if float64(f) > float(x) {
		f = math.Nextafter32(f, float32(math.Inf(-1)))
	}
	return f
}
