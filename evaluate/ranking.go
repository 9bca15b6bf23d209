package evaluate

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/kith-io/kith/model"
)

// Recommender is a model for top-N.
type Recommender interface {
	// Recommend answers a query about the training data, as the models below package model do. It is called from several goroutines at
	// a time, and must not change the slices of q.
	Recommend(q model.Query) ([]model.Scored, error)
}

// chunkUsers is how many users a goroutine takes at a time: enough to make the overhead small, few enough to share 1,000 users
// evenly. It changes results by no more than the rounding of sums.
const chunkUsers = 32

// evaluateRanking asks m for every user of f with relevant test items, and returns the metrics at each of ns by name.
// It calls done with numbers of users that add up to all users of the fold.
func evaluateRanking(ctx context.Context, m Recommender, f *fold, ns []int, threads int, done func(users int)) (map[string]Estimate, error) {
	cuts := evenCuts(f.train.NumUsers(), chunkUsers)
	sums := make([][]ratio, len(cuts)-1)           // by chunk, then cut-off and metric
	first := make([]atomic.Int32, f.test.NumItems) // best rank that an item has in any answer, 0 for none
	err := inChunks(ctx, cuts, threads, done, func(chunk int) error {
		sums[chunk] = make([]ratio, len(ns)*len(rankingMetrics))
		for u := cuts[chunk]; u < cuts[chunk+1]; u++ {
			relevant, _ := itemsOf(f.relevant, u)
			if len(relevant) == 0 {
				continue
			}
			q := model.Query{User: u, N: slices.Max(ns)}
			q.Items, q.Weights = itemsOf(f.train, u)
			if f.times != nil {
				q.Times = f.times[f.train.Start[u]:f.train.Start[u+1]]
			}
			answer, err := m.Recommend(q)
			if err != nil {
				return fmt.Errorf("user %d: %w", u, err)
			}
			r := Ranking{Relevant: len(relevant)}
			for i, s := range answer {
				lower(&first[s.Item], int32(i+1))
				if _, found := slices.BinarySearch(relevant, s.Item); found {
					r.Ranks = append(r.Ranks, i+1)
				}
			}
			for i, n := range ns {
				for j, metric := range rankingMetrics {
					sums[chunk][i*len(rankingMetrics)+j].observe(metric.at(r, n), 1)
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	metrics := map[string]Estimate{}
	for i, n := range ns {
		for j, metric := range rankingMetrics {
			var all ratio
			for _, s := range sums {
				all.add(s[i*len(rankingMetrics)+j])
			}
			metrics[at(metric.name, n)] = all.estimate()
		}
		covered := 0
		for id := range f.train.NumItems {
			if rank := int(first[id].Load()); rank > 0 && rank <= n {
				covered++
			}
		}
		share := float64(covered) / float64(f.train.NumItems)
		metrics[at(metricCoverage, n)] = Estimate{share, share, share}
	}
	return metrics, nil
}

// at returns the name of a metric at n, as "ndcg@10".
func at(metric string, n int) string { return fmt.Sprintf("%s@%d", metric, n) }

// lower sets rank to x if that is better, or the first.
func lower(rank *atomic.Int32, x int32) {
	for {
		old := rank.Load()
		if old != 0 && old <= x || rank.CompareAndSwap(old, x) {
			return
		}
	}
}
