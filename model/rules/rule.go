package rules

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Rule says that transactions with all of Antecedent often have Consequent.
type Rule struct {
	// Antecedent is ascending items.
	Antecedent []uint32
	Consequent uint32
	// Count is the number of transactions with both sides; AntecedentCount and ConsequentCount are those with either.
	Count, AntecedentCount, ConsequentCount uint32
	// The measures are those of the documentation of the package. Conviction is +Inf where Confidence is 1.
	Support, Confidence, Lift, Leverage, Conviction float64
}

// measure works out the measures of counts among n transactions.
func (r *Rule) measure(n uint64) {
	all, a, c, both := float64(n), float64(r.AntecedentCount), float64(r.ConsequentCount), float64(r.Count)
	r.Support = both / all
	r.Confidence = both / a
	r.Lift = both * all / (a * c)
	r.Leverage = (both - a*c/all) / all
	r.Conviction = math.Inf(1)
	if both < a {
		r.Conviction = (all - c) / all / ((a - both) / a)
	}
}

// Measures are the names that Sort takes.
var Measures = []string{"lift", "confidence", "support", "leverage", "conviction"}

func (r *Rule) by(measure string) (float64, error) {
	switch measure {
	case "lift":
		return r.Lift, nil
	case "confidence":
		return r.Confidence, nil
	case "support":
		return r.Support, nil
	case "leverage":
		return r.Leverage, nil
	case "conviction":
		return r.Conviction, nil
	}
	return 0, fmt.Errorf("unknown measure %q of rules, want one of %s", measure, strings.Join(Measures, ", "))
}

// Sort puts the rules with the most of a measure first; then those with the most lift, confidence and count, the shortest, and the lowest ids.
func Sort(rules []Rule, measure string) error {
	if _, err := (&Rule{}).by(measure); err != nil {
		return err
	}
	slices.SortFunc(rules, func(a, b Rule) int {
		x, _ := a.by(measure)
		y, _ := b.by(measure)
		return cmp.Or(cmp.Compare(y, x), compare(&a, &b))
	})
	return nil
}

// compare is the order of the rules of a model.
func compare(a, b *Rule) int {
	switch { // most rules differ here
	case a.Lift != b.Lift:
		return cmp.Compare(b.Lift, a.Lift)
	case a.Confidence != b.Confidence:
		return cmp.Compare(b.Confidence, a.Confidence)
	case a.Count != b.Count:
		return cmp.Compare(b.Count, a.Count)
	}
	return cmp.Or(cmp.Compare(len(a.Antecedent), len(b.Antecedent)), slices.Compare(a.Antecedent, b.Antecedent), cmp.Compare(a.Consequent, b.Consequent))
}

// Limits say which rules are made of frequent sets.
type Limits struct{ MinConfidence, MinLift float64 }

// sides is how items that may be on either side of a rule are numbered: item i on side s is s·items + i. With n of one side all items may be on both.
type sides struct{ n, items int }

// lone reports whether an item is only for the right of a rule.
func (s sides) lone(id uint32) bool { return s.n == 2 && int(id) >= s.items }

// Rules returns the rules of frequent sets among so many transactions, most lift first. Cost: O(sets · length²).
func (s *Itemsets) Rules(transactions uint64, l Limits) ([]Rule, error) {
	return s.rules(transactions, l, sides{1, 0})
}

func (s *Itemsets) rules(transactions uint64, l Limits, split sides) ([]Rule, error) {
	var out []Rule
	var ranks []uint32
	for i, set := range s.sets {
		if set.parent == none {
			continue
		}
		ranks = s.path(uint32(i), ranks[:0])
		crossed := split.n == 1 || slices.ContainsFunc(ranks, func(r uint32) bool { return split.lone(s.items[r]) })
		for k, r := range ranks {
			consequent := s.items[r]
			if !crossed || split.n == 2 && !split.lone(consequent) {
				continue
			}
			a, err := s.without(ranks, k)
			if err != nil {
				return nil, err
			}
			single, err := s.without([]uint32{r}, -1)
			if err != nil {
				return nil, err
			}
			rule := Rule{Consequent: consequent, Count: set.count, AntecedentCount: s.sets[a].count, ConsequentCount: s.sets[single].count}
			rule.measure(transactions)
			if rule.Confidence < l.MinConfidence || rule.Lift < l.MinLift {
				continue
			}
			if split.n == 2 {
				rule.Consequent -= uint32(split.items)
			}
			for j, other := range ranks {
				if j != k {
					rule.Antecedent = append(rule.Antecedent, s.items[other])
				}
			}
			slices.Sort(rule.Antecedent)
			if _, same := slices.BinarySearch(rule.Antecedent, rule.Consequent); !same { // who views a buys a
				out = append(out, rule)
			}
		}
	}
	slices.SortFunc(out, func(a, b Rule) int { return compare(&a, &b) })
	return out, nil
}
