package identity

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Bounds of estimates, so that no single field decides alone: with M at most 0.999 a disagreement is worth at most ten bits less the chance.
const (
	leastM, mostM = 0.05, 0.999
	mostU         = 0.9
	rounds        = 100
)

// weigh returns the weights of the fields, of which those that are not given are estimated.
func (m *Matcher) weigh(blocks []members) []Weights {
	out := make([]Weights, len(m.cfg.Fields))
	estimate := false
	for i, f := range m.cfg.Fields {
		out[i] = Weights{Field: f.Name, M: f.M, U: f.U}
		if f.U == 0 {
			out[i].U = m.chance(i)
		}
		estimate = estimate || f.M == 0
	}
	if estimate {
		m.expectMatches(blocks, out)
	}
	for i := range out {
		w := &out[i]
		w.Agree, w.Disagree = math.Log2(w.M/w.U), math.Log2((1-w.M)/(1-w.U))
	}
	return out
}

// chance returns the share of pairs of accounts that agree on a field, among those that have it: U, and slightly more, since the few pairs of one person are
// counted, too. It counts all pairs, which are known from how often each value occurs. At least one pair in all counts as agreeing.
func (m *Matcher) chance(field int) float64 {
	var values []digest
	for row := range m.keys {
		if v := m.row(uint32(row))[field]; v != 0 {
			values = append(values, v)
		}
	}
	slices.Sort(values)
	agree := 0.0
	for start := 0; start < len(values); {
		end := start
		for end < len(values) && values[end] == values[start] {
			end++
		}
		n := float64(end - start)
		agree += n * (n - 1) / 2
		start = end
	}
	n := float64(len(values))
	return min(max(agree, 1)/max(n*(n-1)/2, 2), mostU)
}

// expectMatches estimates M of the fields for which it is not given, by expectation maximization over pairs of blocks with U fixed. Pairs of a block agree on
// its fields by construction, so these learn from the other blocks only; a field that is in all of them, or of which nothing is to be learned, gets 0.9.
//
// Winkler [winkler1988] has the method, Fellegi and Sunter [fellegi1969] the model: fields agree independently, given whether it is one person.
func (m *Matcher) expectMatches(blocks []members, weights []Weights) {
	type pattern struct{ agree, disagree uint16 }
	sums, totals := make([]float64, len(weights)), make([]float64, len(weights))
	for i := range blocks {
		// A reservoir of the block's pairs.
		r := rand.New(rand.NewPCG(m.cfg.Seed, uint64(i)))
		var sample []pattern
		seen := 0
		for run := range equal(blocks[i].by) {
			for j, p := range run {
				for _, q := range run[:j] {
					seen++
					at := len(sample)
					if at >= m.cfg.SamplePairs {
						if at = r.IntN(seen); at >= m.cfg.SamplePairs {
							continue
						}
					} else {
						sample = append(sample, pattern{})
					}
					agree, disagree := m.compare(q.row, p.row)
					sample[at] = pattern{agree &^ blocks[i].fields, disagree &^ blocks[i].fields}
				}
			}
		}
		counts := map[pattern]float64{}
		for _, p := range sample {
			counts[p]++
		}
		patterns := make([]pattern, 0, len(counts))
		for p := range counts {
			patterns = append(patterns, p)
		}
		slices.SortFunc(patterns, func(p, q pattern) int {
			return (int(p.agree)<<16 | int(p.disagree)) - (int(q.agree)<<16 | int(q.disagree))
		})

		current := make([]Weights, len(weights))
		for f := range current {
			current[f] = Weights{M: weights[f].M, U: weights[f].U}
			if m.cfg.Fields[f].M == 0 {
				current[f].M = 0.9
			}
		}
		share := 0.5 // of pairs that are one person
		expected := make([]float64, len(weights))
		known := make([]float64, len(weights))
		for range rounds {
			clear(expected)
			clear(known)
			matches := 0.0
			for _, p := range patterns {
				match, other := share, 1-share
				for f := range current {
					switch {
					case p.agree&(1<<f) != 0:
						match, other = match*current[f].M, other*current[f].U
					case p.disagree&(1<<f) != 0:
						match, other = match*(1-current[f].M), other*(1-current[f].U)
					}
				}
				if match+other == 0 {
					continue
				}
				n := counts[p] * match / (match + other)
				matches += n
				for f := range current {
					if p.agree&(1<<f) != 0 {
						expected[f] += n
						known[f] += n
					} else if p.disagree&(1<<f) != 0 {
						known[f] += n
					}
				}
			}
			share = min(max(matches/max(float64(len(sample)), 1), 1e-6), 1-1e-6)
			for f := range current {
				if m.cfg.Fields[f].M == 0 && known[f] > 0 {
					current[f].M = min(max(expected[f]/known[f], leastM), mostM)
				}
			}
		}
		for f := range current {
			if blocks[i].fields&(1<<f) == 0 {
				sums[f] += expected[f]
				totals[f] += known[f]
			}
		}
	}
	for f := range weights {
		if m.cfg.Fields[f].M != 0 {
			continue
		}
		weights[f].M = 0.9
		if totals[f] >= 10 {
			weights[f].M = min(max(sums[f]/totals[f], leastM), mostM)
		}
	}
}
