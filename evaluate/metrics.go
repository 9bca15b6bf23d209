package evaluate

import "math"

// Ranking is one user's answer, held against the user's relevant items: all that the metrics at N need to know. All of them are in
// [0, 1]; relevance is binary. An answer shorter than N counts as if items that are not relevant followed. N is at least 1.
type Ranking struct {
	// Ranks are the positions, from 1, of the relevant items that are in the answer, ascending.
	Ranks []int
	// Relevant is the number of relevant items in all, at least 1.
	Relevant int
}

// Hits is the number of relevant items among the first n.
func (r Ranking) Hits(n int) int {
	hits := 0
	for hits < len(r.Ranks) && r.Ranks[hits] <= n {
		hits++
	}
	return hits
}

// Precision is hits / n, also where the user has fewer than n relevant items. Herlocker et al., ACM TOIS 22(1), 2004, section
// 5.2.1 [herlocker2004].
func (r Ranking) Precision(n int) float64 { return float64(r.Hits(n)) / float64(n) }

// Recall is hits / relevant items, also where the user has more than n of them, so that it may not reach 1. Herlocker et al., 2004,
// section 5.2.1 [herlocker2004].
func (r Ranking) Recall(n int) float64 { return float64(r.Hits(n)) / float64(r.Relevant) }

// F1 is the harmonic mean of precision and recall, 0 without hits. Van Rijsbergen, Information Retrieval, 1979, chapter 7
// [vanrijsbergen1979].
func (r Ranking) F1(n int) float64 { return 2 * float64(r.Hits(n)) / float64(n+r.Relevant) }

// HitRate is 1 if there is a hit. Deshpande and Karypis, ACM TOIS 22(1), 2004, section 6.1 [deshpande2004].
func (r Ranking) HitRate(n int) float64 { return float64(min(1, r.Hits(n))) }

// NDCG is the sum of 1/log2(rank+1) over the hits, over its value for the best answer of length n, which has min(n, relevant)
// hits on top. Järvelin and Kekäläinen, ACM TOIS 20(4), 2002 [jarvelin2002], with the discount of Burges et al., ICML 2005
// [burges2005], which also tells the first two ranks apart.
func (r Ranking) NDCG(n int) float64 {
	var gain, best float64
	for _, rank := range r.Ranks[:r.Hits(n)] {
		gain += 1 / math.Log2(float64(rank+1))
	}
	for rank := 1; rank <= min(n, r.Relevant); rank++ {
		best += 1 / math.Log2(float64(rank+1))
	}
	return gain / best
}

// AveragePrecision is the sum of the precision at the rank of each hit, over min(n, relevant), so that the best answer of length n
// has 1. Its mean over users is MAP at n. Manning et al., Introduction to Information Retrieval, 2008, section 8.4 [manning2008], with the
// denominator cut at n.
func (r Ranking) AveragePrecision(n int) float64 {
	var sum float64
	for hits, rank := range r.Ranks[:r.Hits(n)] {
		sum += float64(hits+1) / float64(rank)
	}
	return sum / float64(min(n, r.Relevant))
}

// ReciprocalRank is 1/rank of the first hit, 0 without hits. Its mean over users is MRR at n. Voorhees, TREC-8, 1999 [voorhees1999].
func (r Ranking) ReciprocalRank(n int) float64 {
	if r.Hits(n) == 0 {
		return 0
	}
	return 1 / float64(r.Ranks[0])
}

// rankingMetric is a metric that is a mean over users.
type rankingMetric struct {
	name string
	at   func(r Ranking, n int) float64
}

// rankingMetrics are the metrics that are means over users.
var rankingMetrics = []rankingMetric{
	{"precision", Ranking.Precision},
	{"recall", Ranking.Recall},
	{"f1", Ranking.F1},
	{"hitrate", Ranking.HitRate},
	{"ndcg", Ranking.NDCG},
	{"map", Ranking.AveragePrecision},
	{"mrr", Ranking.ReciprocalRank},
}

// metricCoverage is the share of the catalog that is in the first N of at least one user's answer. Ge et al., RecSys 2010 [ge2010].
const metricCoverage = "coverage"
