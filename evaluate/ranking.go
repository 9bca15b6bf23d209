package evaluate

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
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
// evenly. It changes speed only.
const chunkUsers = 32

// ranking evaluates one model for top-N on one fold.
type ranking struct {
	m  Recommender
	f  *fold
	e  *Experiment
	ns []int
	// whole says that answers have the whole catalog: for AUC, and for candidates that are drawn.
	whole, auc bool
	values     map[string]*values
	byMetric   [][]*values // by N and metric of rankingMetrics
	beyond     *beyond
	pairs      sync.Pool
	positions  sync.Pool
	first      []atomic.Int32   // best rank that an item has in any answer, 0 for none
	times      [][]atomic.Int32 // by N and item: the answers that have it
}

func newRanking(m Recommender, f *fold, e *Experiment) *ranking {
	r := &ranking{m: m, f: f, e: e, ns: e.N, values: map[string]*values{}}
	r.auc = e.Negatives == 0 && slices.Contains(e.Metrics, metricAUC)
	r.whole = r.auc || e.Negatives > 0
	users := f.train.NumUsers()
	for _, n := range r.ns {
		row := make([]*values, len(rankingMetrics))
		for j, metric := range rankingMetrics {
			row[j] = newValues(users)
			r.values[at(metric.name, n)] = row[j]
		}
		r.byMetric = append(r.byMetric, row)
	}
	if e.Negatives > 0 {
		r.positions.New = func() any {
			place := make([]int32, f.test.NumItems)
			return &place
		}
		return r
	}
	if r.auc {
		r.values[metricAUC] = newValues(users)
	}
	if e.hitsOnly {
		return r
	}
	for _, n := range r.ns {
		for _, name := range beyondUsers {
			r.values[at(name, n)] = newValues(users)
		}
		r.times = append(r.times, make([]atomic.Int32, f.train.NumItems))
	}
	r.first = make([]atomic.Int32, f.train.NumItems)
	r.beyond = newBeyond(f, e.Categories)
	r.pairs.New = func() any { return r.beyond.newPairs() }
	return r
}

// evaluateRanking asks m for every user of f with relevant test items, and returns the metrics at each of e.N by name.
// It calls done with numbers of users that add up to all users of the fold.
func evaluateRanking(ctx context.Context, m Recommender, f *fold, e *Experiment, done func(users int)) (*measured, error) {
	r := newRanking(m, f, e)
	cuts := evenCuts(f.train.NumUsers(), chunkUsers)
	err := inChunks(ctx, cuts, e.Threads, done, func(chunk int) error {
		for u := cuts[chunk]; u < cuts[chunk+1]; u++ {
			if err := r.user(u); err != nil {
				return fmt.Errorf("user %d: %w", u, err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := &measured{metrics: map[string]Estimate{}, users: map[string]*values{}}
	for name, v := range r.values {
		out.add(name, v)
	}
	if r.beyond != nil {
		r.catalog(out.metrics)
	}
	return out, nil
}

// user asks for one user, and keeps what the metrics say.
func (r *ranking) user(u int) error {
	relevant, _ := itemsOf(r.f.relevant, u)
	if len(relevant) == 0 {
		return nil
	}
	answer, excluded, err := r.ask(u)
	if err != nil {
		return err
	}
	if r.e.Negatives > 0 {
		r.sampled(u, answer, excluded, relevant)
		return nil
	}
	k := Ranking{Relevant: len(relevant), Ranks: ranksOf(answer, relevant)}
	if r.auc {
		known, _ := slices.BinarySearch(relevant, uint32(r.f.train.NumItems))
		trained := r.trained(answer)
		r.values[metricAUC].x[u] = auc(ranksOf(trained, relevant), len(trained), r.f.train.NumItems-len(excluded), known, len(relevant))
	}
	for i, n := range r.ns {
		for j, metric := range rankingMetrics {
			r.byMetric[i][j].x[u] = metric.at(k, n)
		}
	}
	if r.beyond == nil {
		return nil
	}
	answer = r.trained(answer[:min(len(answer), slices.Max(r.ns))])
	for i, id := range answer {
		lower(&r.first[id], int32(i+1))
	}
	history, _ := itemsOf(r.f.history, u)
	expected := func(item uint32, n int) bool { // ids are places by popularity
		before, _ := slices.BinarySearch(excluded, item)
		return int(item)-before < n
	}
	p := r.pairs.Get().(*pairSums)
	lists := r.beyond.lists(answer, relevant, history, r.ns, expected, p)
	r.pairs.Put(p)
	for i, n := range r.ns {
		for _, id := range answer[:min(n, len(answer))] {
			r.times[i][id].Add(1)
		}
		r.values[at(metricDiversity, n)].x[u] = lists[i].diversity
		r.values[at(metricNovelty, n)].x[u] = lists[i].novelty
		r.values[at(metricSerendipity, n)].x[u] = lists[i].serendipity
		r.values[at(metricCalibration, n)].x[u] = lists[i].calibration
	}
	return nil
}

// ask returns the answer to the query of a user, as long as the metrics need it, and what it could not have, ascending.
func (r *ranking) ask(u int) (answer, excluded []uint32, err error) {
	q := model.Query{User: u, N: slices.Max(r.ns)}
	if r.whole {
		q.N = max(q.N, r.f.train.NumItems)
	}
	q.Items, q.Weights = itemsOf(r.f.history, u)
	q.Profile = r.e.Users[r.e.Data.Users[u]]
	if r.f.historyTimes != nil {
		q.Times = r.f.historyTimes[r.f.history.Start[u]:r.f.history.Start[u+1]]
	}
	if known, _ := itemsOf(r.f.train, u); len(known) == 0 && len(q.Items) > 0 {
		q.User = -1
	}
	excluded = q.Items
	var hidden []uint32
	if r.f.hidden != nil {
		hidden, _ = itemsOf(r.f.hidden, u)
		q.N += len(hidden) // a longer answer begins as a shorter one does
		excluded = slices.Concat(q.Items, hidden)
		slices.Sort(excluded)
		known, _ := slices.BinarySearch(excluded, uint32(r.f.train.NumItems))
		excluded = excluded[:known]
	}
	scored, err := r.m.Recommend(q)
	if err != nil {
		return nil, nil, err
	}
	for _, s := range scored {
		if _, found := slices.BinarySearch(hidden, s.Item); !found {
			answer = append(answer, s.Item)
		}
	}
	return answer[:min(len(answer), q.N-len(hidden))], excluded, nil
}

// sampled ranks each relevant item of a user among e.Negatives items that are drawn for it, without repetition, from those that are in no data of the user, and
// keeps the means of the metrics over the items. What is not in the answer comes last, by id. What cannot be in it comes last of all.
func (r *ranking) sampled(u int, answer, excluded, relevant []uint32) {
	scratch := r.positions.Get().(*[]int32)
	defer r.positions.Put(scratch)
	place := *scratch
	for i := range place {
		place[i] = int32(len(answer) + i)
	}
	for i, id := range answer {
		place[id] = int32(i)
	}
	test, _ := itemsOf(r.f.test, u)
	others := r.othersThan(excluded, test)
	rng := rand.New(rand.NewPCG(r.e.Seed, uint64(u)+1))
	for i := range r.ns {
		for j := range rankingMetrics {
			r.byMetric[i][j].x[u] = 0
		}
	}
	for _, id := range relevant {
		rank := 1
		for k := range min(r.e.Negatives, len(others)) { // the first steps of a Fisher-Yates shuffle
			swap := k + rng.IntN(len(others)-k)
			others[k], others[swap] = others[swap], others[k]
			if int(id) >= len(place) || place[others[k]] < place[id] {
				rank++
			}
		}
		one := Ranking{Ranks: []int{rank}, Relevant: 1}
		for i, n := range r.ns {
			for j, metric := range rankingMetrics {
				r.byMetric[i][j].x[u] += metric.at(one, n) / float64(len(relevant))
			}
		}
	}
	for i := range r.ns {
		for j := range rankingMetrics {
			r.byMetric[i][j].x[u] = min(1, r.byMetric[i][j].x[u]) // rounding
		}
	}
}

// othersThan returns the items of the catalog that are in neither of two ascending lists.
func (r *ranking) othersThan(a, b []uint32) []uint32 {
	var out []uint32
	for id := range uint32(r.f.train.NumItems) {
		for len(a) > 0 && a[0] < id {
			a = a[1:]
		}
		for len(b) > 0 && b[0] < id {
			b = b[1:]
		}
		if (len(a) == 0 || a[0] != id) && (len(b) == 0 || b[0] != id) {
			out = append(out, id)
		}
	}
	return out
}

// ranksOf returns the ranks, from 1, of the relevant items of an answer.
func ranksOf(answer, relevant []uint32) (ranks []int) {
	for i, id := range answer {
		if _, found := slices.BinarySearch(relevant, id); found {
			ranks = append(ranks, i+1)
		}
	}
	return ranks
}

// trained leaves items out that have no training entries: what is not about hits tells of the catalog that a model was made of.
func (r *ranking) trained(answer []uint32) []uint32 {
	cold := func(id uint32) bool { return int64(id) >= int64(r.f.train.NumItems) }
	if !slices.ContainsFunc(answer, cold) {
		return answer
	}
	return slices.DeleteFunc(slices.Clone(answer), cold)
}

// catalog adds the metrics of all answers together, which have no interval.
func (r *ranking) catalog(metrics map[string]Estimate) {
	for i, n := range r.ns {
		covered := 0
		counts := make([]int64, len(r.first))
		for id := range r.first {
			if rank := int(r.first[id].Load()); rank > 0 && rank <= n {
				covered++
			}
			counts[id] = int64(r.times[i][id].Load())
		}
		share := float64(covered) / float64(len(r.first))
		metrics[at(metricCoverage, n)] = Estimate{share, share, share}
		if g := gini(counts); !math.IsNaN(g) {
			metrics[at(metricGini, n)] = Estimate{g, g, g}
		}
	}
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
