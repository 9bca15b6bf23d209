package view

import (
	"cmp"
	"slices"
)

// RFM is a customer's class by recency, frequency and monetary value: 1 (worst) to 5 (best) for each, 0 for users who have bought nothing.
type RFM struct {
	Recency   int `json:"recency"`
	Frequency int `json:"frequency"`
	Monetary  int `json:"monetary"`
}

// Classes of each feature.
const classes = 5

// RFMOf returns the classes of users among all that are given [hughes1994]: those who have bought are ordered by each feature and cut into
// five classes of equal size. Equal values are in one class, that of the middle one of them, so classes may differ in size. The result for a
// user does not depend on the order of users. Cost: O(n log n).
func RFMOf(users []User) []RFM {
	out := make([]RFM, len(users))
	var buyers []int
	for i := range users {
		if users[i].Orders > 0 {
			buyers = append(buyers, i)
		}
	}
	classify(buyers, func(i int) float64 { return float64(users[i].LastOrder) }, func(i, class int) { out[i].Recency = class })
	classify(buyers, func(i int) float64 { return float64(users[i].Orders) }, func(i, class int) { out[i].Frequency = class })
	classify(buyers, func(i int) float64 { return users[i].Revenue }, func(i, class int) { out[i].Monetary = class })
	return out
}

// classify gives each of some users its class by a feature.
func classify(users []int, feature func(user int) float64, set func(user, class int)) {
	order := slices.Clone(users)
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(feature(a), feature(b)) })
	for from := 0; from < len(order); {
		to := from + 1
		for to < len(order) && feature(order[to]) == feature(order[from]) {
			to++
		}
		class := 1 + (from+to-1)*classes/(2*len(order)) // of the middle of from to to-1
		for _, i := range order[from:to] {
			set(i, class)
		}
		from = to
	}
}
