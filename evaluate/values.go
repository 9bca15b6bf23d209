package evaluate

import (
	"math"
	"slices"
	"strings"
)

// values are what one metric says of each user of a fold.
type values struct {
	// x are the values, NaN for users of whom it says nothing.
	x []float64
	// y are weights: the figure is the sum of all x over that of all y. nil means all ones, which makes it a mean.
	y []float64
}

// newValues returns values that say nothing of anybody.
func newValues(users int) *values {
	return &values{x: slices.Repeat([]float64{math.NaN()}, users)}
}

// at returns the value and the weight of a user; ok is false if there is none.
func (v *values) at(u int) (x, y float64, ok bool) {
	if x = v.x[u]; math.IsNaN(x) {
		return 0, 0, false
	}
	if v.y == nil {
		return x, 1, true
	}
	return x, v.y[u], true
}

// estimate returns the figure with the interval of a mean, or of a ratio; ok is false if no user has a value.
func (v *values) estimate() (e Estimate, ok bool) {
	var all ratio
	for u := range v.x {
		if x, y, ok := v.at(u); ok {
			all.observe(x, y)
		}
	}
	if all.y == 0 {
		return Estimate{}, false
	}
	return all.estimate(), true
}

// weight is the sum of all y.
func (v *values) weight() (sum float64) {
	for u := range v.x {
		if _, y, ok := v.at(u); ok {
			sum += y
		}
	}
	return sum
}

// pooled puts the values of several folds together: each user has the sums of its own, so that the figure is the mean over users of all folds, and its interval
// takes a user's values as depending on each other.
func pooled(folds []*values) *values {
	if len(folds) == 1 {
		return folds[0]
	}
	all := newValues(len(folds[0].x))
	all.y = make([]float64, len(all.x))
	for u := range all.x {
		for _, f := range folds {
			x, y, ok := f.at(u)
			switch {
			case !ok:
			case math.IsNaN(all.x[u]):
				all.x[u], all.y[u] = x, y
			default:
				all.x[u], all.y[u] = all.x[u]+x, all.y[u]+y
			}
		}
	}
	return all
}

// measured is what was found about one model on one fold.
type measured struct {
	metrics map[string]Estimate
	// users has the values of those metrics that are means over users; of rmse, the squares before the root.
	users map[string]*values
}

// add takes a metric in, unless it says nothing of any user.
func (m *measured) add(name string, v *values) {
	if e, ok := v.estimate(); ok {
		m.metrics[name], m.users[name] = e, v
	}
}

// Kind returns the name of a metric without the length of answers: "ndcg" of "ndcg@10".
func Kind(metric string) string {
	kind, _, _ := strings.Cut(metric, "@")
	return kind
}

// LowerIsBetter tells whether a lower figure of a metric is the better one: errors, Gini and calibration.
func LowerIsBetter(metric string) bool {
	switch Kind(metric) {
	case metricRMSE, metricMAE, metricGini, metricCalibration:
		return true
	}
	return false
}

// bound is the highest value that a metric may have.
func bound(metric string) float64 {
	switch Kind(metric) {
	case metricRMSE, metricMAE, metricNovelty, metricCalibration:
		return math.Inf(1)
	}
	return 1
}

// better tells whether figure a of a metric is better than b.
func better(metric string, a, b float64) bool {
	if LowerIsBetter(metric) {
		return a < b
	}
	return a > b
}

// Metrics returns the names of all metrics of models for top-N, without the length of answers.
func Metrics() []string {
	var names []string
	for _, m := range rankingMetrics {
		names = append(names, m.name)
	}
	names = append(names, metricCoverage)
	return append(append(names, beyondUsers...), metricGini, metricAUC)
}
