package evaluate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/model/neighborhood"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

// Experiment is a comparison of models on one division of one table. All fields but Threads change results.
type Experiment struct {
	// Data is only read.
	Data *fusion.Table
	// Products has what is known of items, by key, for models that learn from it; it is only read.
	Products map[string]train.Product
	// Models names the models, of Models(), with parameters if wanted, as in als(factors=64,alpha=2). Those of ratings need a table with weights.
	Models []string
	// Split names the division, of Splits().
	Split string
	// Ratio is the share of the data that is for training in the splits "ratio" (of each user) and "time" (of all), above 0 and below
	// 1; 0 means 0.8.
	Ratio float64
	// Folds is the number of folds of the split "k-fold", at least 2; 0 means 5.
	Folds int
	// N are the lengths of answers at which top-N metrics are taken; none means 10.
	N []int
	// Seed chooses what a random split holds back.
	Seed uint64
	// Relevant is the least weight with which a test entry counts as relevant for top-N; 0 takes all entries.
	Relevant float64

	// Measure is the similarity of models for top-N; 0 means cosine.
	Measure similarity.Measure
	// RatingMeasure is the similarity of models of ratings; 0 means Pearson-baseline for those around baselines and MSD for the others.
	RatingMeasure neighborhood.CoRated
	// K is the number of neighbors; 0 means 50 for top-N and 40 for ratings.
	K int
	// Shrinkage is that of all similarities; 0 is off, but 100 for Pearson-baseline, whose definition has it.
	Shrinkage float64
	// MinSupport is the least number of common users of a pair that counts; 0 and 1 are off.
	MinSupport int
	// Alpha is that of similarity.AsymmetricCosine.
	Alpha float64

	// Threads bounds the goroutines; 0 means one for each processor that the runtime uses.
	Threads int
}

// withDefaults returns e with the defaults in place of zeros, but for the settings of models, whose defaults are their own.
func (e Experiment) withDefaults() Experiment {
	e.Ratio = cmp.Or(e.Ratio, 0.8)
	e.Folds = cmp.Or(e.Folds, 5)
	if len(e.N) == 0 {
		e.N = []int{10}
	}
	e.N = slices.Compact(slices.Sorted(slices.Values(e.N)))
	e.Threads = cmp.Or(e.Threads, runtime.GOMAXPROCS(0))
	return e
}

// Validate returns an error that names the first field out of its bounds. It does not look at Data.
func (e Experiment) Validate() error {
	e = e.withDefaults()
	if len(e.Models) == 0 {
		return fmt.Errorf("no model named, want some of %s", strings.Join(Models(), ", "))
	}
	for i, name := range e.Models {
		if _, _, err := resolve(name); err != nil {
			return err
		}
		if slices.Contains(e.Models[:i], name) {
			return fmt.Errorf("model %q is named twice", name)
		}
	}
	switch {
	case !slices.Contains(Splits(), e.Split):
		return fmt.Errorf("unknown split %q, want one of %s", e.Split, strings.Join(Splits(), ", "))
	case !(e.Ratio > 0 && e.Ratio < 1):
		return fmt.Errorf("ratio is %v, want above 0 and below 1", e.Ratio)
	case e.Folds < 2:
		return fmt.Errorf("folds is %d, want at least 2", e.Folds)
	case e.N[0] < 1 || e.N[len(e.N)-1] > maxN:
		return fmt.Errorf("n is %v, want 1 to %d", e.N, maxN)
	case math.IsNaN(e.Relevant) || math.IsInf(e.Relevant, 0):
		return fmt.Errorf("relevant is %v, want a finite number", e.Relevant)
	case e.Threads < 0:
		return fmt.Errorf("threads is %d, want at least 0", e.Threads)
	}
	if err := e.neighbors().Validate(); err != nil {
		return err
	}
	return e.ratings(neighborhood.RatingOptions{Center: neighborhood.Baselines}).Validate()
}

// maxN bounds the answers that are compared; beyond it a ranking is no longer what somebody reads.
const maxN = 1_000_000

// divide makes the division of the data.
func (e *Experiment) divide() (*Division, error) {
	rng := rand.New(rand.NewPCG(e.Seed, 0))
	switch e.Split {
	case SplitLeaveOneOut:
		return LeaveOneOut(e.Data, rng), nil
	case SplitRatio:
		return HoldOut(e.Data, e.Ratio, rng), nil
	case SplitTime:
		return CutTime(e.Data, e.Ratio)
	default:
		return KFold(e.Data, e.Folds, rng), nil
	}
}

// Result is what an experiment found. Its JSON form is part of the contract of kith evaluate.
type Result struct {
	Split string `json:"split"`
	// Ratio is that of the splits "ratio" and "time", 0 for others.
	Ratio float64 `json:"ratio,omitempty"`
	Seed  uint64  `json:"seed"`
	// Relevant is Experiment.Relevant.
	Relevant float64 `json:"relevant,omitempty"`
	// Users, Items and Entries are those of the table.
	Users   int           `json:"users"`
	Items   int           `json:"items"`
	Entries int           `json:"entries"`
	Folds   []FoldCounts  `json:"folds"`
	Models  []ModelResult `json:"models"`
}

// ModelResult is what an experiment found about one model.
type ModelResult struct {
	Name string `json:"name"`
	// Parameters are the settings in effect: numbers and names.
	Parameters map[string]any `json:"parameters"`
	// Seconds is the wall time of training and evaluation, over all folds.
	Seconds float64 `json:"seconds"`
	// Metrics has, for models for top-N, precision, recall, f1, hitrate, ndcg, map, mrr and coverage at each N, as "ndcg@10"; for models
	// of ratings, rmse and mae.
	Metrics map[string]Estimate `json:"metrics"`
}

// errNoTest is the error of data too small for their split.
var errNoTest = errors.New("no user has test data that count as relevant; use more data, another split, or a lower bound of relevance")

// Run makes the experiment. Models are made and evaluated one after the other, with up to e.Threads goroutines each; but for Seconds,
// the result does not depend on their number. progress, unless nil, is called from the goroutine of Run, with done rising to total
// in units of no meaning.
//
// Memory: one fold at a time, about 20 bytes an entry of the table, beside what one model takes.
func Run(ctx context.Context, e Experiment, progress func(done, total int)) (*Result, error) {
	if err := e.Validate(); err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	e = e.withDefaults()
	if e.Data == nil || len(e.Data.Item) == 0 {
		return nil, errors.New("evaluate: no data")
	}
	d, err := e.divide()
	if err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	r := &Result{
		Split:    e.Split,
		Seed:     e.Seed,
		Relevant: e.Relevant,
		Users:    len(e.Data.Users),
		Items:    len(e.Data.Items),
		Entries:  len(e.Data.Item),
	}
	if e.Split == SplitRatio || e.Split == SplitTime {
		r.Ratio = e.Ratio
	}
	for _, name := range e.Models {
		r.Models = append(r.Models, ModelResult{Name: name, Parameters: map[string]any{}, Metrics: map[string]Estimate{}})
	}
	report := newReporter(progress, d.Folds*len(e.Models))
	perFold := make([]map[string][]Estimate, len(e.Models)) // by model, then metric
	for number := range d.Folds {
		f := newFold(e.Data, d, number, e.Relevant)
		r.Folds = append(r.Folds, f.counts())
		for i := range r.Models {
			metrics, err := e.evaluate(ctx, &r.Models[i], f, report.share())
			if err != nil {
				return nil, fmt.Errorf("evaluate: model %s: %w", r.Models[i].Name, err)
			}
			if perFold[i] == nil {
				perFold[i] = map[string][]Estimate{}
			}
			for name, estimate := range metrics {
				perFold[i][name] = append(perFold[i][name], estimate)
			}
		}
	}
	for i, metrics := range perFold {
		for name, estimates := range metrics {
			r.Models[i].Metrics[name] = joinFolds(name, estimates)
		}
	}
	return r, nil
}

// evaluate makes one model of one fold, adds to the time of out, and returns the metrics.
func (e *Experiment) evaluate(ctx context.Context, out *ModelResult, f *fold, done func(part float64)) (map[string]Estimate, error) {
	start := time.Now()
	defer func() { out.Seconds += time.Since(start).Seconds() }()
	m, settings, err := resolve(out.Name)
	if err != nil {
		return nil, err
	}
	switch {
	case m.rating && len(f.test.Item) == 0, !m.rating && len(f.relevant.Item) == 0:
		return nil, errNoTest
	case m.rating && f.train.Weight == nil:
		return nil, errors.New("it predicts ratings, but the data have none: every weight is 1")
	}
	made, err := m.fit(ctx, &Training{f.train, f.times, f.items[:f.train.NumItems], e.productsOf(f)}, settings, e)
	if err != nil {
		return nil, err
	}
	if made.parameters != nil {
		out.Parameters = made.parameters
	}
	if m.rating {
		return evaluateRating(ctx, made.predictor, f, m.byItem, e.Threads, func(entries int) {
			done(float64(entries) / float64(len(f.test.Item)))
		})
	}
	return evaluateRanking(ctx, made.recommender, f, e.N, e.Threads, func(users int) {
		done(float64(users) / float64(f.train.NumUsers()))
	})
}

// productsOf returns what is known of the items of a fold, by dense id; nil if nothing is known of any item of the experiment.
func (e *Experiment) productsOf(f *fold) []train.Product {
	if e.Products == nil {
		return nil
	}
	products := make([]train.Product, len(f.items))
	for id, key := range f.items {
		products[id] = e.Products[key]
	}
	return products
}

// joinFolds makes one estimate of those of all folds, within the range of the metric.
func joinFolds(metric string, folds []Estimate) Estimate {
	high := 1.0
	if metric == metricRMSE || metric == metricMAE {
		high = math.Inf(1)
	}
	if len(folds) == 1 {
		return folds[0].within(0, high)
	}
	means := make([]float64, len(folds))
	for i, f := range folds {
		means[i] = f.Mean
	}
	return overFolds(means).within(0, high)
}

// reporter turns parts of shares of equal size into a call of progress whenever a thousandth of the whole has been done.
type reporter struct {
	progress func(done, total int)
	shares   int
	before   int     // shares begun before the one at work
	part     float64 // done of it, up to 1
	told     int
}

const progressTotal = 1000

func newReporter(progress func(done, total int), shares int) *reporter {
	return &reporter{progress: progress, shares: shares, before: -1}
}

// share begins the next share, and returns what takes the parts of it.
func (r *reporter) share() func(part float64) {
	r.before++
	r.part = 0
	return func(part float64) {
		if r.progress == nil {
			return
		}
		r.part += part
		done := int((float64(r.before)+r.part)/float64(r.shares)*progressTotal + 1e-6) // the parts of a share add up to 1 but for rounding
		if done > r.told {
			r.told = done
			r.progress(done, progressTotal)
		}
	}
}
