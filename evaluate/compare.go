package evaluate

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat"
)

// Names of the kinds of intervals.
const (
	// IntervalStudent is the quantile of Student's t around the mean, as the package comment tells.
	IntervalStudent = "student"
	// IntervalBootstrap is from the 2.5% to the 97.5% quantile of the figures of samples of the users, drawn with replacement. A user brings what
	// all folds say of it. Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13 [efron1993].
	IntervalBootstrap = "bootstrap"
)

// Intervals returns the names of all kinds of intervals.
func Intervals() []string { return []string{IntervalStudent, IntervalBootstrap} }

// Streams of random numbers of one seed, beside those of splits.
const (
	streamBootstrap = 1 << 40
	streamPairs     = 2 << 40
	streamTuning    = 3 << 40
	streamFolds     = 4 << 40
)

// bootstrap returns the figures of metrics with bootstrap intervals; folds has their values, by fold. Cost: O(samples · users · metrics).
func bootstrap(ctx context.Context, folds []map[string]*values, samples, threads int, seed uint64) (map[string]Estimate, error) {
	names := namesOf(folds)
	users := observed(folds)
	drawn := make([][]float64, len(names)) // by metric, then sample
	for i := range drawn {
		drawn[i] = make([]float64, samples)
	}
	if len(users) == 0 {
		return nil, nil
	}
	cuts := evenCuts(samples, 16)
	err := inChunks(ctx, cuts, threads, func(int) {}, func(chunk int) error {
		counts := make([]float64, len(folds[0][names[0]].x))
		for b := cuts[chunk]; b < cuts[chunk+1]; b++ {
			clear(counts)
			rng := rand.New(rand.NewPCG(seed, streamBootstrap+uint64(b)))
			for range users {
				counts[users[rng.IntN(len(users))]]++
			}
			for i, name := range names {
				drawn[i][b] = resampled(folds, name, counts)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := map[string]Estimate{}
	ones := slices.Repeat([]float64{1}, len(folds[0][names[0]].x))
	for i, name := range names {
		figures := slices.DeleteFunc(drawn[i], math.IsNaN)
		if len(figures) == 0 {
			continue
		}
		slices.Sort(figures)
		mean := resampled(folds, name, ones)
		out[name] = Estimate{
			mean, min(mean, stat.Quantile(0.025, stat.LinInterp, figures, nil)), max(mean, stat.Quantile(0.975, stat.LinInterp, figures, nil)),
		}
	}
	return out, nil
}

// namesOf returns the metrics that all folds have, sorted.
func namesOf(folds []map[string]*values) (names []string) {
	for name := range folds[0] {
		if !slices.ContainsFunc(folds, func(f map[string]*values) bool { return f[name] == nil }) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// observed returns the users of whom any metric says something.
func observed(folds []map[string]*values) (users []int) {
	var seen []bool
	for _, f := range folds {
		for _, v := range f {
			if seen == nil {
				seen = make([]bool, len(v.x))
			}
			for u := range v.x {
				if _, _, ok := v.at(u); ok {
					seen[u] = true
				}
			}
		}
	}
	for u, ok := range seen {
		if ok {
			users = append(users, u)
		}
	}
	return users
}

// resampled returns the mean over the folds of the figure of a metric where each user counts so many times; NaN if a fold has nobody.
func resampled(folds []map[string]*values, name string, counts []float64) float64 {
	var sum float64
	for _, f := range folds {
		v := f[name]
		var x, y float64
		for u, c := range counts {
			if c == 0 {
				continue
			}
			if a, b, ok := v.at(u); ok {
				x, y = x+c*a, y+c*b
			}
		}
		figure := x / y // 0/0 is NaN
		if name == metricRMSE {
			figure = math.Sqrt(figure)
		}
		sum += figure
	}
	return sum / float64(len(folds))
}

// Comparison is a model beside another one, on the same users.
type Comparison struct {
	// With names the other model, Metric the figure.
	With   string `json:"with"`
	Metric string `json:"metric"`
	// Difference is the figure of the model less that of the other one.
	Difference float64 `json:"difference"`
	// P is the chance of a difference as large as this one or larger if each user's two values could as well be exchanged: a paired randomization
	// test, two-sided (Smucker et al., CIKM 2007 [smucker2007]). PHolm is P corrected for the number of models that are compared with
	// one (Holm, Scandinavian Journal of Statistics 6(2), 1979 [holm1979]).
	P     float64 `json:"p"`
	PHolm float64 `json:"p_holm"`
}

// maxFlips bounds the work of a randomization test: signs of users that are drawn. Beyond it there are fewer samples, but at least minFlips.
const (
	maxFlips = 1_000_000_000
	minFlips = 1_000
)

// randomization returns the two-sided p-value of a sum of differences, (1 + the number of samples whose sum with random signs is as far
// from 0) / (1 + samples). Cost: O(samples · differences).
func randomization(ctx context.Context, differences []float64, samples, threads int, seed uint64) (float64, error) {
	samples = max(min(samples, minFlips), min(samples, maxFlips/max(1, len(differences))))
	var sum, size float64
	for _, d := range differences {
		sum += d
		size += math.Abs(d)
	}
	as := math.Abs(sum) - 1e-12*size // sums of the same differences in another order are equal
	cuts := evenCuts(samples, 64)
	far := make([]int, len(cuts)-1)
	err := inChunks(ctx, cuts, threads, func(int) {}, func(chunk int) error {
		for b := cuts[chunk]; b < cuts[chunk+1]; b++ {
			rng := rand.NewPCG(seed, streamPairs+uint64(b))
			var s float64
			var bits uint64
			for i, d := range differences {
				if i%64 == 0 {
					bits = rng.Uint64()
				}
				if bits&1 == 0 {
					s += d
				} else {
					s -= d
				}
				bits >>= 1
			}
			if math.Abs(s) >= as {
				far[chunk]++
			}
		}
		return nil
	})
	count := 0
	for _, n := range far {
		count += n
	}
	return float64(1+count) / float64(1+samples), err
}

// differences returns, for each user with values of both models, what the user adds to the difference of their figures. As folds count equally,
// a user's part in one is divided by the weight of the fold.
func differences(a, b []*values) []float64 {
	if len(a) == 0 {
		return nil
	}
	sums := make([]float64, len(a[0].x))
	have := make([]bool, len(sums))
	for f := range a {
		weight := a[f].weight() * float64(len(a))
		for u := range sums {
			x, _, okA := a[f].at(u)
			y, _, okB := b[f].at(u)
			if okA && okB {
				sums[u] += (x - y) / weight
				have[u] = true
			}
		}
	}
	var out []float64
	for u, ok := range have {
		if ok {
			out = append(out, sums[u])
		}
	}
	return out
}

// holm sets PHolm: the i-th smallest of m p-values times m-i, from 0, and no less than the one before.
func holm(all []*Comparison) {
	order := slices.SortedStableFunc(slices.Values(all), func(a, b *Comparison) int { return cmp.Compare(a.P, b.P) })
	least := 0.0
	for i, c := range order {
		least = max(least, min(1, c.P*float64(len(all)-i)))
		c.PHolm = least
	}
}

// References that Experiment.Against may name beside models.
const (
	AgainstBest  = "best"
	AgainstFirst = "first"
)

// compare compares models that have a metric with one of them. Models without values of single users are left out. The keys are indexes into
// r.Models.
func (r *Result) compare(ctx context.Context, metric string, models []int, reference, threads int) (map[int]*Comparison, error) {
	out := map[int]*Comparison{}
	var all []*Comparison
	if len(r.users) != len(r.Models) || r.users[reference][metric] == nil {
		return out, nil
	}
	with := r.users[reference][metric]
	for _, i := range models {
		v := r.users[i][metric]
		if i == reference || len(v) != len(with) {
			continue
		}
		p, err := randomization(ctx, differences(v, with), r.samples, threads, r.Seed)
		if err != nil {
			return nil, err
		}
		c := &Comparison{
			With: r.Models[reference].Name, Metric: metric, P: p,
			Difference: r.Models[i].Metrics[metric].Mean - r.Models[reference].Metrics[metric].Mean,
		}
		out[i] = c
		all = append(all, c)
	}
	holm(all)
	return out, nil
}

// having returns the models that have a metric, and the best of them, the first of equals; -1 if there are none.
func (r *Result) having(metric string) (models []int, best int) {
	best = -1
	for i, m := range r.Models {
		e, ok := m.Metrics[metric]
		if !ok {
			continue
		}
		models = append(models, i)
		if best < 0 || better(metric, e.Mean, r.Models[best].Metrics[metric].Mean) {
			best = i
		}
	}
	return models, best
}

// compareAll sets ModelResult.Against of each family of models, which have one metric in common, or Uncompared.
func (r *Result) compareAll(ctx context.Context, e *Experiment) error {
	named := slices.IndexFunc(r.Models, func(m ModelResult) bool { return m.Name == e.Against })
	if named >= 0 && r.Models[named].Failed != "" {
		r.Uncompared = fmt.Sprintf("the models were to be compared with %s, which has failed", e.Against)
		return nil
	}
	for _, metric := range []string{e.by(false), e.by(true)} {
		models, reference := r.having(metric)
		if len(models) < 2 {
			continue
		}
		switch e.Against {
		case AgainstBest:
		case AgainstFirst:
			reference = models[0]
		default:
			if !slices.Contains(models, named) {
				continue // a model of the other family
			}
			reference = named
		}
		compared, err := r.compare(ctx, metric, models, reference, e.Threads)
		if err != nil {
			return fmt.Errorf("compare by %s: %w", metric, err)
		}
		for i, c := range compared {
			r.Models[i].Against = c
		}
	}
	return nil
}
