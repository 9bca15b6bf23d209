package evaluate_test

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/kith-io/kith/evaluate"
)

var rankingMetrics = map[string]func(r evaluate.Ranking, n int) float64{
	"precision": evaluate.Ranking.Precision,
	"recall":    evaluate.Ranking.Recall,
	"f1":        evaluate.Ranking.F1,
	"hitrate":   evaluate.Ranking.HitRate,
	"ndcg":      evaluate.Ranking.NDCG,
	"map":       evaluate.Ranking.AveragePrecision,
	"mrr":       evaluate.Ranking.ReciprocalRank,
}

func TestMetricsByHand(t *testing.T) {
	log2 := math.Log2
	for _, c := range []struct {
		name    string
		ranking evaluate.Ranking
		n       int
		want    map[string]float64
	}{
		{
			"two of three found, at 1 and 4 of 5",
			evaluate.Ranking{Ranks: []int{1, 4}, Relevant: 3},
			5,
			map[string]float64{
				"precision": 2.0 / 5, "recall": 2.0 / 3, "f1": 0.5, "hitrate": 1,
				"ndcg": (1 + 1/log2(5)) / (1 + 1/log2(3) + 1/log2(4)),
				"map":  (1 + 2.0/4) / 3, "mrr": 1,
			},
		},
		{
			"the second hit is beyond n",
			evaluate.Ranking{Ranks: []int{2, 4}, Relevant: 3},
			3,
			map[string]float64{
				"precision": 1.0 / 3, "recall": 1.0 / 3, "f1": 1.0 / 3, "hitrate": 1,
				"ndcg": 1 / log2(3) / (1 + 1/log2(3) + 1/log2(4)),
				"map":  0.5 / 3, "mrr": 0.5,
			},
		},
		{
			"more relevant items than n",
			evaluate.Ranking{Ranks: []int{1, 2, 3}, Relevant: 6},
			2,
			map[string]float64{"precision": 1, "recall": 2.0 / 6, "f1": 0.5, "hitrate": 1, "ndcg": 1, "map": 1, "mrr": 1},
		},
		{
			"one relevant item at the end",
			evaluate.Ranking{Ranks: []int{10}, Relevant: 1},
			10,
			map[string]float64{"precision": 0.1, "recall": 1, "f1": 2.0 / 11, "hitrate": 1, "ndcg": 1 / log2(11), "map": 0.1, "mrr": 0.1},
		},
		{
			"no hit",
			evaluate.Ranking{Ranks: []int{7}, Relevant: 2},
			5,
			map[string]float64{"precision": 0, "recall": 0, "f1": 0, "hitrate": 0, "ndcg": 0, "map": 0, "mrr": 0},
		},
		{
			"empty answer",
			evaluate.Ranking{Relevant: 2},
			1,
			map[string]float64{"precision": 0, "recall": 0, "f1": 0, "hitrate": 0, "ndcg": 0, "map": 0, "mrr": 0},
		},
	} {
		for name, want := range c.want {
			if got := rankingMetrics[name](c.ranking, c.n); math.Abs(got-want) > 1e-15 {
				t.Errorf("%s: %s@%d = %v, want %v", c.name, name, c.n, got, want)
			}
		}
	}
}

// slowMetrics computes the metrics from an answer and a set of relevant items, position by position, as their definitions read.
func slowMetrics(answer []string, relevant map[string]bool, n int) map[string]float64 {
	answer = answer[:min(n, len(answer))]
	hit := make([]float64, n)
	for i, item := range answer {
		if relevant[item] {
			hit[i] = 1
		}
	}
	ideal := make([]float64, n)
	for i := range min(n, len(relevant)) {
		ideal[i] = 1
	}
	dcg := func(gains []float64) (sum float64) {
		for i, g := range gains {
			sum += g / (math.Log(float64(i+2)) / math.Ln2)
		}
		return sum
	}
	precisionAt := func(n int) (p float64) {
		for _, h := range hit[:n] {
			p += h / float64(n)
		}
		return p
	}
	m := map[string]float64{
		"precision": precisionAt(n), "ndcg": dcg(hit) / dcg(ideal),
		"recall": 0, "f1": 0, "hitrate": 0, "map": 0, "mrr": 0,
	}
	for i, h := range hit {
		m["recall"] += h / float64(len(relevant))
		m["map"] += h * precisionAt(i+1) / float64(min(n, len(relevant)))
		if h == 1 && m["mrr"] == 0 {
			m["mrr"], m["hitrate"] = 1/float64(i+1), 1
		}
	}
	if sum := m["precision"] + m["recall"]; sum > 0 {
		m["f1"] = 2 * m["precision"] * m["recall"] / sum
	}
	return m
}

func TestMetricsEqualTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		catalog := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}
		answer := rapid.Permutation(catalog).Draw(t, "order")[:rapid.IntRange(0, 10).Draw(t, "length")]
		relevant := map[string]bool{}
		for _, item := range append([]string{"not in the catalog"}, rapid.SliceOfDistinct(rapid.SampledFrom(catalog), rapid.ID[string]).Draw(t, "relevant")...) {
			relevant[item] = true
		}
		n := rapid.IntRange(1, 12).Draw(t, "n")
		r := evaluate.Ranking{Relevant: len(relevant)}
		for i, item := range answer {
			if relevant[item] {
				r.Ranks = append(r.Ranks, i+1)
			}
		}
		want := slowMetrics(answer, relevant, n)
		for name, metric := range rankingMetrics {
			got := metric(r, n)
			if math.Abs(got-want[name]) > 1e-12 { // sums of at most 12 terms of at most 1
				t.Fatalf("%s@%d of %v with relevant %v: %v, want %v", name, n, answer, relevant, got, want[name])
			}
			if got < 0 || got > 1 {
				t.Fatalf("%s@%d = %v, want 0 to 1", name, n, got)
			}
		}
	})
}

// A relevant item that moves up by one must not lower any metric.
func TestMetricsAreMonotone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ranks := rapid.SliceOfNDistinct(rapid.IntRange(2, 20), 1, 8, rapid.ID[int]).Draw(t, "ranks")
		slices.Sort(ranks)
		r := evaluate.Ranking{Ranks: ranks, Relevant: len(ranks) + rapid.IntRange(0, 5).Draw(t, "missed")}
		at := rapid.IntRange(0, len(ranks)-1).Draw(t, "moved")
		if slices.Contains(ranks, ranks[at]-1) {
			t.Skip("a hit stands above")
		}
		up := evaluate.Ranking{Ranks: slices.Clone(ranks), Relevant: r.Relevant}
		up.Ranks[at]--
		n := rapid.IntRange(1, 20).Draw(t, "n")
		for name, metric := range rankingMetrics {
			if before, after := metric(r, n), metric(up, n); after < before {
				t.Fatalf("%s@%d falls from %v to %v with ranks %v to %v", name, n, before, after, ranks, up.Ranks)
			}
		}
	})
}
