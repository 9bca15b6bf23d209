package evaluate

import (
	"context"
	"fmt"
	"math"
)

// Predictor is a model of ratings.
type Predictor interface {
	// Predict writes the rating that users[p] is expected to give items[p] to dst[p]; the three slices have one length. Ids may be
	// outside of the training data. It is called from several goroutines at a time.
	Predict(users, items []uint32, dst []float64)
}

// chunkPairs is about how many predictions a goroutine takes at a time.
const chunkPairs = 512

// pairs is the test entries of a fold in an order that suits a model, with the position of each in that of the fold.
type pairs struct {
	users, items []uint32
	entry        []int
	cuts         []int // into chunks, never within the pairs of one item or, in the order of users, of one user
}

// orderPairs sorts the test entries by item, then user, or by user, then item. Cost: O(entries + items).
func orderPairs(f *fold, byItem bool) *pairs {
	rows := f.test
	if byItem {
		rows = rows.Transpose()
	}
	p := &pairs{cuts: []int{0}}
	for r := range rows.NumUsers() {
		ids, _ := itemsOf(rows, r)
		for _, id := range ids {
			if byItem {
				p.users, p.items = append(p.users, id), append(p.items, uint32(r))
			} else {
				p.users, p.items = append(p.users, uint32(r)), append(p.items, id)
			}
		}
		if len(p.users)-p.cuts[len(p.cuts)-1] >= chunkPairs {
			p.cuts = append(p.cuts, len(p.users))
		}
	}
	if n := len(p.users); p.cuts[len(p.cuts)-1] < n {
		p.cuts = append(p.cuts, n)
	}
	next := append([]int64{}, f.test.Start...)
	for _, u := range p.users { // either order has the items of one user ascending
		p.entry = append(p.entry, int(next[u]))
		next[u]++
	}
	return p
}

// Metrics of ratings: the root of the mean squared error, and the mean absolute error.
const (
	metricRMSE = "rmse"
	metricMAE  = "mae"
)

// evaluateRating predicts every test entry of f and returns both metrics of ratings. byItem says in which order m works best.
// It calls done with numbers of entries that add up to all test entries.
func evaluateRating(ctx context.Context, m Predictor, f *fold, byItem bool, threads int, done func(entries int)) (*measured, error) {
	p := orderPairs(f, byItem)
	predicted := make([]float64, len(f.test.Item))
	err := inChunks(ctx, p.cuts, threads, done, func(chunk int) error {
		lo, hi := p.cuts[chunk], p.cuts[chunk+1]
		dst := make([]float64, hi-lo)
		m.Predict(p.users[lo:hi], p.items[lo:hi], dst)
		for i, x := range dst {
			if math.IsNaN(x) || math.IsInf(x, 0) {
				return fmt.Errorf("its rating of an item is %v; other settings may help, such as a lower learning rate", x)
			}
			predicted[p.entry[lo+i]] = x
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	users := f.test.NumUsers()
	squares, absolutes := newValues(users), newValues(users)
	squares.y = make([]float64, users)
	absolutes.y = squares.y
	for u := range users {
		_, ratings := itemsOf(f.test, u)
		if len(ratings) == 0 {
			continue
		}
		squares.x[u], absolutes.x[u], squares.y[u] = 0, 0, float64(len(ratings))
		for i, r := range ratings {
			d := predicted[f.test.Start[u]+int64(i)] - float64(r)
			squares.x[u] += float64(d * d)
			absolutes.x[u] += math.Abs(d)
		}
	}
	out := &measured{metrics: map[string]Estimate{}, users: map[string]*values{}}
	out.add(metricRMSE, squares)
	out.add(metricMAE, absolutes)
	out.metrics[metricRMSE] = out.metrics[metricRMSE].root()
	return out, nil
}
