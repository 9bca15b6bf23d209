package evaluate

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Choice is the model that Choose takes.
type Choice struct {
	// Model is its name in the result, Setting the name with the parameters that tuning has found, if any: what a build takes.
	Model   string `json:"model"`
	Setting string `json:"setting"`
	Metric  string `json:"metric"`
	// Reason says in words why, with figures.
	Reason string `json:"reason"`
}

const (
	// significant is the p-value below which a difference counts as one.
	significant = 0.05
	// cheaper is how many times as long the best model must take before another one, which is as good as far as can be told, is preferred: times of one run
	// are noisy.
	cheaper = 2
)

// Choose takes the best model of a result by a metric, such as "ndcg@10"; or, if there are models that are not significantly worse and take less than half
// the time for training and answers together, the one of them that takes least. Whether a model is worse is told by the paired test of Comparison, corrected for the number
// of models, if the result has the values of single users: a result of Run has them of Experiment.By, unless it was read from JSON. Otherwise
// it is told by whether its interval holds the figure of the best. It is an error if no model has the metric.
func Choose(r *Result, metric string) (Choice, error) {
	models, best := r.having(metric)
	if best < 0 {
		return Choice{}, fmt.Errorf("choose a model: none has the metric %q, want one of %s", metric, strings.Join(r.metrics(), ", "))
	}
	compared, err := r.compare(context.Background(), metric, models, best, 1)
	if err != nil {
		return Choice{}, fmt.Errorf("choose a model: %w", err)
	}
	figure := func(i int) Estimate { return r.Models[i].Metrics[metric] }
	equal := func(i int) bool {
		if c := compared[i]; c != nil {
			return c.PHolm >= significant
		}
		return figure(i).Low <= figure(best).Mean && figure(best).Mean <= figure(i).High
	}
	chosen := best
	order := slices.Clone(models)
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(r.Models[a].Seconds, r.Models[b].Seconds) })
	for _, i := range order {
		if i != best && equal(i) && r.Models[i].Seconds*cheaper < r.Models[best].Seconds {
			chosen = i
			break
		}
	}
	m := &r.Models[chosen]
	c := Choice{Model: m.Name, Setting: cmp.Or(m.Tuned, m.Name), Metric: metric}
	var text strings.Builder
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(&text, format, args...) } // to memory
	say("%s: %s %.4f", m.Name, metric, figure(chosen).Mean)
	told := func(i int) string {
		if c := compared[i]; c != nil {
			return "p=" + probability(c.PHolm)
		}
		return "by the interval"
	}
	switch next := second(r, metric, models, best); {
	case chosen != best:
		say(" against %.4f of %s, which is not significantly better (%s) and takes %s instead of %s",
			figure(best).Mean, r.Models[best].Name, told(chosen), duration(r.Models[best].Seconds), duration(m.Seconds))
	case next < 0:
		say(", the only model")
	case equal(next):
		say(" against %.4f of %s, which is not significantly worse (%s), but takes %s beside %s, and less than half of it would be needed",
			figure(next).Mean, r.Models[next].Name, told(next), duration(r.Models[next].Seconds), duration(m.Seconds))
	default:
		say(" against %.4f of %s, which is worse (%s)", figure(next).Mean, r.Models[next].Name, told(next))
	}
	c.Reason = text.String()
	return c, nil
}

// metrics returns the names of all metrics of all models, sorted.
func (r *Result) metrics() (names []string) {
	for _, m := range r.Models {
		for name := range m.Metrics {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// second returns the best model but one, -1 if there is none.
func second(r *Result, metric string, models []int, best int) int {
	next := -1
	for _, i := range models {
		if i != best && (next < 0 || better(metric, r.Models[i].Metrics[metric].Mean, r.Models[next].Metrics[metric].Mean)) {
			next = i
		}
	}
	return next
}

// probability writes a p-value.
func probability(p float64) string {
	if p < 0.0005 {
		return strconv.FormatFloat(p, 'g', 1, 64)
	}
	return strconv.FormatFloat(p, 'f', 3, 64)
}

func duration(seconds float64) string { return strconv.FormatFloat(seconds, 'g', 2, 64) + " s" }
