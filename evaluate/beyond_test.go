package evaluate_test

import (
	"math"
	"slices"
)

// slowBeyond adds the metrics beyond hits of one answer, as their definitions read. whole is the answer with all items, catalog the items by popularity, and
// owners their users. The model is popularity, so that no hit is unexpected.
func slowBeyond(m map[string]float64, answer, whole, history []string, relevant map[string]bool, catalog []string, owners map[string]map[string]bool, users int) {
	m["serendipity"] = 0
	if others := len(whole); others > 0 {
		right, pairs := 0.0, 0.0
		for good := range relevant {
			at := slices.Index(whole, good)
			for i, other := range whole {
				if relevant[other] {
					continue
				}
				pairs++
				if at >= 0 && at < i {
					right++
				}
			}
		}
		if pairs > 0 {
			m["auc"] = right / pairs
		}
	}
	var novelty, similar, pairs float64
	for i, a := range answer {
		novelty -= math.Log2(float64(len(owners[a]))/float64(users)) / float64(len(answer))
		for _, b := range answer[:i] {
			both := 0.0
			for u := range owners[a] {
				if owners[b][u] {
					both++
				}
			}
			similar += both / math.Sqrt(float64(len(owners[a]))*float64(len(owners[b])))
			pairs++
		}
	}
	if len(answer) > 0 {
		m["novelty"] = novelty
	}
	if pairs > 0 {
		m["diversity"] = 1 - similar/pairs
	}
	if len(answer) == 0 || len(history) == 0 {
		return
	}
	class, all := map[string]int{}, 0.0
	for _, item := range catalog {
		all += float64(len(owners[item]))
	}
	before := 0.0
	for _, item := range catalog {
		class[item] = 1
		if before < 0.2*all {
			class[item] = 0
		} else if before >= (1-0.2)*all {
			class[item] = 2
		}
		before += float64(len(owners[item]))
	}
	var p, q [3]float64
	for _, item := range history {
		p[class[item]] += 1 / float64(len(history))
	}
	for _, item := range answer {
		q[class[item]] += 1 / float64(len(answer))
	}
	kl := 0.0
	for c := range p {
		if p[c] > 0 {
			kl += p[c] * math.Log(p[c]/(0.99*q[c]+0.01*p[c]))
		}
	}
	m["calibration"] = kl
}

// slowGini is half of the mean difference of all pairs, over the mean.
func slowGini(catalog []string, shown map[string]float64) float64 {
	var differences, sum float64
	for _, a := range catalog {
		sum += shown[a]
		for _, b := range catalog {
			differences += math.Abs(shown[a] - shown[b])
		}
	}
	n := float64(len(catalog))
	return differences / (2 * n * sum)
}
