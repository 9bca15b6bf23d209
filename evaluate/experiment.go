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
	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/neighborhood"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

// Experiment is a comparison of models on one division of one table. All fields but Threads change results.
type Experiment struct {
	// Data is only read.
	Data *fusion.Table
	// Test, unless nil, has the test data, and Data the training data: a division that somebody else made. Then Split is SplitGiven, and what is held back for tuning is a random
	// share of the entries of each user. It is only read.
	Test *fusion.Table
	// Products has what is known of items, by key, for models that learn from it; it is only read.
	Products map[string]train.Product
	// Users has what is known of users, by key, for models that learn from it, and for queries; it is only read.
	Users map[string][]model.Attribute
	// Models names the models, of Models(), with parameters if wanted, as in als(factors=64,alpha=2). Those of ratings need a table with weights.
	Models []string
	// Base names the models that the combinations among Models are made of: rrf, blend, switch and ranker. None means itemknn, userknn and popularity.
	Base []string
	// Split names the division, of Splits(), or SplitGiven.
	Split string
	// Ratio is the share of the data that is for training in the splits "ratio" and "user-time" (of each user), "time" (of all), and "user-cold" and "user-new" (of
	// the users), above 0 and below 1; 0 means 0.8.
	Ratio float64
	// Folds is the number of folds of the split "k-fold", at least 2; 0 means 5.
	Folds int
	// N are the lengths of answers at which top-N metrics are taken; none means 10.
	N []int
	// Seed chooses what a random split holds back.
	Seed uint64
	// Relevant is the least weight with which a test entry counts as relevant for top-N; 0 takes all entries.
	Relevant float64
	// Negatives is the number of items among which each relevant item is ranked, drawn from those that the user has not had: the protocol of He et
	// al., WWW 2017, section 4.1 [he2017]. 0 means that all items are ranked together. Figures of the two do not compare, and those of drawn items may
	// have models in another order. With drawn items there are no metrics beyond hits.
	Negatives int
	// Metrics names metrics that are taken only if they are asked for, as they need answers with the whole catalog: "auc".
	Metrics []string
	// Categories are the classes of items by key, for calibration; nil means classes of popularity.
	Categories map[string][]string
	// Interval is the kind of the intervals, of Intervals(); "" means IntervalStudent.
	Interval string
	// Samples is the number of samples of a bootstrap interval, and of a randomization test; 0 means 2,000 and 10,000.
	Samples int
	// By is the metric by which models for top-N are compared and tuned, such as "ndcg@10"; "" means NDCG at the first of N. Models of ratings are
	// compared by RMSE, or by MAE if that is named here.
	By string
	// Against is the model with which each other of its family is compared: AgainstBest, AgainstFirst or a name; "" means AgainstBest. The first is that of those
	// that have figures.
	Against string
	// Tuning, unless nil, looks for good parameters of each model before it is measured.
	Tuning *Tuning
	// Validation is the share of all data (in splits with a ratio; with Test, of the training data; in others it has the form of the test data) that is held back from the training
	// data too: tuning goes by it.
	// 0 means 0.1 with Tuning, and none without. It is not for folds.
	Validation float64
	// NoRefit leaves the validation data out of the last training and of queries too, and forbids it in answers. Else it is training data then.
	NoRefit bool

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

	// hitsOnly leaves out the metrics beyond hits, which trials do not look at.
	hitsOnly bool
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
	e.Interval = cmp.Or(e.Interval, IntervalStudent)
	e.Against = cmp.Or(e.Against, AgainstBest)
	if e.Tuning != nil {
		t := e.Tuning.withDefaults()
		e.Tuning = &t
		e.Validation = cmp.Or(e.Validation, 0.1)
	}
	return e
}

// Numbers of samples that serve: a quantile of 2.5% of 2,000 has 50 beyond it, and a p-value of 10,000 is known to within 0.005.
const (
	bootstrapSamples     = 2_000
	randomizationSamples = 10_000
)

// by returns the metric by which models are compared.
func (e *Experiment) by(rating bool) string {
	isRating := e.By == metricRMSE || e.By == metricMAE
	switch {
	case rating && isRating, !rating && !isRating && e.By != "":
		return e.By
	case rating:
		return metricRMSE
	}
	return at("ndcg", slices.Min(e.N))
}

// Validate returns an error that names the first field out of its bounds. It does not look at Data.
func (e Experiment) Validate() error {
	e = e.withDefaults()
	lists := e.neighbors()
	lists.Threads = 0 // has a check below
	if err := lists.Validate(); err != nil {
		return err
	}
	if err := e.ratings(neighborhood.RatingOptions{Center: neighborhood.Baselines}).Validate(); err != nil {
		return err
	}
	if len(e.Models) == 0 {
		return fmt.Errorf("no model named, want some of %s", strings.Join(Models(), ", "))
	}
	for i, name := range e.Models {
		if _, _, err := e.resolve(name); err != nil {
			return err
		}
		if slices.Contains(e.Models[:i], name) {
			return fmt.Errorf("model %q is named twice", name)
		}
	}
	if err := e.checkBases(); err != nil {
		return err
	}
	switch {
	case e.Split != SplitGiven && !slices.Contains(Splits(), e.Split):
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
	if err := e.validateMeasuring(); err != nil {
		return err
	}
	return e.validateTuning()
}

// validateMeasuring looks at what is measured, and how it is compared.
func (e *Experiment) validateMeasuring() error {
	for _, name := range e.Metrics {
		if name != metricAUC {
			return fmt.Errorf("unknown metric %q to take beside the others, want %s", name, metricAUC)
		}
	}
	switch {
	case e.Negatives < 0 || e.Negatives > maxN:
		return fmt.Errorf("negatives is %d, want 0 to %d", e.Negatives, maxN)
	case e.Negatives > 0 && len(e.Metrics) > 0:
		return fmt.Errorf("metric %s ranks all items; leave it or negatives out", e.Metrics[0])
	case !slices.Contains(Intervals(), e.Interval):
		return fmt.Errorf("unknown interval %q, want one of %s", e.Interval, strings.Join(Intervals(), ", "))
	case e.Samples < 0 || e.Samples > maxN:
		return fmt.Errorf("samples is %d, want 1 to %d, or 0 for the usual number", e.Samples, maxN)
	case e.Against != AgainstBest && e.Against != AgainstFirst && !slices.Contains(e.Models, e.Against):
		return fmt.Errorf("against is %q, want %s, %s or one of the models: %s", e.Against, AgainstBest, AgainstFirst, strings.Join(e.Models, ", "))
	case e.By != "" && !slices.Contains(e.compared(), e.By):
		return fmt.Errorf("models cannot be compared by %q, want one of %s", e.By, strings.Join(e.compared(), ", "))
	}
	return nil
}

// beyondUsers are the metrics beyond hits that are means over users, each at N.
var beyondUsers = []string{metricDiversity, metricNovelty, metricSerendipity, metricCalibration}

// compared returns the metrics that By may name: those that are means over users.
func (e *Experiment) compared() (names []string) {
	for _, n := range e.N {
		for _, m := range rankingMetrics {
			names = append(names, at(m.name, n))
		}
		if e.Negatives == 0 {
			for _, name := range beyondUsers {
				names = append(names, at(name, n))
			}
		}
	}
	return append(append(names, e.Metrics...), metricRMSE, metricMAE)
}

// validateTuning looks at Tuning and Validation.
func (e *Experiment) validateTuning() error {
	ratio := 1.0
	if hasRatio(e.Split) {
		ratio = e.Ratio
	}
	switch {
	case e.Validation != 0 && !(e.Validation > 0 && e.Validation < ratio):
		return fmt.Errorf("validation is %v, want above 0 and below the ratio for training, %v", e.Validation, ratio)
	case e.Validation != 0 && e.Split == SplitKFold:
		return fmt.Errorf("split %s has no validation data, for what one fold trains with, another tests with; use another split", SplitKFold)
	case e.NoRefit && e.Validation == 0:
		return errors.New("there are no validation data to leave out; name their share")
	}
	if e.Tuning == nil {
		return nil
	}
	if err := e.Tuning.validate(); err != nil {
		return err
	}
	switch folds := e.Tuning.Folds; {
	case folds > 1 && e.NoRefit:
		return fmt.Errorf("refit is off, but what one of %d validation folds is measured on, another trains with; use one fold, or leave refit on", folds)
	case (hasRatio(e.Split) || e.Split == SplitGiven) && float64(folds)*e.Validation > ratio+1e-9:
		return fmt.Errorf("%d validation folds of %v are more than the training data, %v; lower validation to at most %.4g", folds, e.Validation, ratio, ratio/float64(folds))
	}
	return nil
}

// maxN bounds the answers that are compared; beyond it a ranking is no longer what somebody reads.
const maxN = 1_000_000

// divide makes a division of a table, in the way of the split, with a share for training; known is the share of the entries of held-back users that queries
// have. Each stream of random numbers gives another one.
func (e *Experiment) divide(t *fusion.Table, ratio, known float64, stream uint64) (*Division, error) {
	rng := rand.New(rand.NewPCG(e.Seed, stream))
	switch e.Split {
	case SplitLeaveOneOut:
		return LeaveOneOut(t, rng), nil
	case SplitLeaveRandomOut:
		return LeaveRandomOut(t, rng), nil
	case SplitRatio, SplitGiven:
		return HoldOut(t, ratio, rng), nil
	case SplitUserTime:
		return HoldOutNewest(t, ratio, rng)
	case SplitTime:
		return CutTime(t, ratio)
	case SplitUserCold:
		return HoldOutUsers(t, ratio, known, rng), nil
	case SplitUserNew:
		return HoldOutUsers(t, ratio, 0, rng), nil
	default:
		return KFold(t, e.Folds, rng), nil
	}
}

// Result is what an experiment found. Its JSON form is part of the contract of kith evaluate.
type Result struct {
	Split string `json:"split"`
	// Ratio is that of the splits that have one, 0 for others.
	Ratio float64 `json:"ratio,omitempty"`
	Seed  uint64  `json:"seed"`
	// Candidates tells among what relevant items are ranked: "all", or "1+99" with 99 drawn ones, which are Negatives.
	Candidates string `json:"candidates"`
	Negatives  int    `json:"negatives,omitempty"`
	// Interval is the kind of the intervals.
	Interval string `json:"interval"`
	// Calibration tells what its classes are: "categories" or "popularity".
	Calibration string `json:"calibration"`
	// Validation is the share of the data that tuning goes by, and Refit tells whether it is training data of the models that are measured.
	Validation float64 `json:"validation,omitempty"`
	Refit      bool    `json:"refit,omitempty"`
	// ValidationFolds is Tuning.Folds if it is above 1.
	ValidationFolds int `json:"validation_folds,omitempty"`
	// Relevant is Experiment.Relevant.
	Relevant float64 `json:"relevant,omitempty"`
	// Repeated is the number of entries of Experiment.Test that are training data too, and therefore no test data.
	Repeated int `json:"repeated,omitempty"`
	// Users, Items and Entries are those of the table.
	Users   int           `json:"users"`
	Items   int           `json:"items"`
	Entries int           `json:"entries"`
	Folds   []FoldCounts  `json:"folds"`
	Models  []ModelResult `json:"models"`
	// Uncompared says why no model has an Against, if that with which they were to be compared has failed.
	Uncompared string `json:"uncompared,omitempty"`
	// Tuning has what was tried for each model with parameters.
	Tuning []TunedModel `json:"tuning,omitempty"`

	// users has, for each model, the values of the metric by which it is compared, by fold; samples is the number of those of a test.
	users   []map[string][]*values
	samples int
}

// ModelResult is what an experiment found about one model.
type ModelResult struct {
	Name string `json:"name"`
	// Parameters are the settings in effect: numbers and names.
	Parameters map[string]any `json:"parameters"`
	// Seconds is the wall time of training and evaluation, over all folds.
	Seconds float64 `json:"seconds"`
	// Metrics has, for models for top-N, precision, recall, f1, hitrate, ndcg, map, mrr, coverage, diversity, novelty, serendipity, calibration and gini at
	// each N, as "ndcg@10", and auc if it was asked for; of drawn candidates, the first seven. For models of ratings it has rmse and mae.
	Metrics map[string]Estimate `json:"metrics"`
	// Against is the model beside the best one, or what Experiment.Against names; nil for that one itself.
	Against *Comparison `json:"against,omitempty"`
	// Tuned is the name with the parameters that tuning has found; "" without.
	Tuned string `json:"tuned,omitempty"`
	// Failed says why there are no metrics: the model could not be made, or not evaluated. The other models have theirs.
	Failed string `json:"failed,omitempty"`
}

// errNoTest is the error of data too small for their split.
var errNoTest = errors.New("no user has test data that count as relevant; use more data, another split, or a lower bound of relevance")

// Run makes the experiment. Models are made and evaluated one after the other, with up to e.Threads goroutines each; but for Seconds,
// the result does not depend on their number. A model that fails has no figures, and says why, and the others are not compared with it; only if all do it is an error, that of the first. progress, unless nil, is called from the goroutine of Run, with done rising to total
// in units of no meaning.
//
// Memory: one fold at a time, about 20 bytes an entry of the table, beside what one model takes.
func Run(ctx context.Context, e Experiment, progress func(done, total int)) (*Result, error) {
	if err := e.Validate(); err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	e = e.withDefaults()
	d, repeated, err := e.divideAll()
	if err != nil {
		return nil, err
	}
	r := e.result()
	r.Repeated = repeated
	report := newReporter(progress, d.Folds*len(e.Models)+e.trials())
	names := e.Models
	failed := make([]error, len(e.Models))
	if e.Validation > 0 {
		inner, err := e.validation(d)
		if err != nil {
			return nil, fmt.Errorf("evaluate: validation: %w", err)
		}
		if e.Tuning != nil {
			if r.Tuning, names, err = e.tune(ctx, inner, report); err != nil {
				return nil, fmt.Errorf("evaluate: tune: %w", err)
			}
		}
		if e.NoRefit {
			inner[0].hide(d)
		}
	}
	for _, t := range r.Tuning {
		if at := slices.Index(e.Models, t.Model); t.Failed != "" {
			failed[at] = errors.New(t.Failed)
		}
	}
	perFold := make([][]*measured, len(e.Models)) // by model, then fold
	for number := range d.Folds {
		f := newFold(e.Data, d, number, e.Relevant)
		r.Folds = append(r.Folds, f.counts())
		for i := range r.Models {
			done := report.share()
			if failed[i] != nil {
				done(1)
				continue
			}
			m, err := e.evaluate(ctx, &r.Models[i], names[i], f, done)
			switch {
			case ctx.Err() != nil:
				return nil, fmt.Errorf("evaluate: model %s: %w", r.Models[i].Name, ctx.Err())
			case err != nil:
				failed[i] = err
				continue
			}
			e.forget(m)
			perFold[i] = append(perFold[i], m)
		}
	}
	if !slices.Contains(failed, nil) {
		return nil, fmt.Errorf("evaluate: model %s: %w", r.Models[0].Name, failed[0])
	}
	for i := range r.Models {
		if names[i] != r.Models[i].Name {
			r.Models[i].Tuned = names[i]
		}
		if failed[i] != nil {
			r.Models[i].Failed = failed[i].Error()
			continue
		}
		if err := e.join(ctx, r, i, perFold[i]); err != nil {
			return nil, fmt.Errorf("evaluate: model %s: %w", r.Models[i].Name, err)
		}
	}
	if err := r.compareAll(ctx, &e); err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	return r, nil
}

// divideAll divides the data of the experiment, and joins test data to them that are given.
func (e *Experiment) divideAll() (d *Division, repeated int, err error) {
	switch {
	case e.Data == nil || len(e.Data.Item) == 0:
		return nil, 0, errors.New("evaluate: no data")
	case (e.Test != nil) != (e.Split == SplitGiven):
		return nil, 0, fmt.Errorf("evaluate: split is %q, want %q with test data that are given, and another one without", e.Split, SplitGiven)
	case e.Test != nil:
		e.Data, d, repeated = withTest(e.Data, e.Test)
	default:
		if d, err = e.divide(e.Data, e.Ratio, e.Ratio, 0); err != nil {
			return nil, 0, fmt.Errorf("evaluate: %w", err)
		}
	}
	return d, repeated, nil
}

// result returns the result before anything is found.
func (e *Experiment) result() *Result {
	r := &Result{
		Split:       e.Split,
		Seed:        e.Seed,
		Candidates:  "all",
		Negatives:   e.Negatives,
		Interval:    e.Interval,
		Calibration: byPopularity,
		Validation:  e.Validation,
		Refit:       e.Validation > 0 && !e.NoRefit,
		Relevant:    e.Relevant,
		Users:       len(e.Data.Users),
		Items:       len(e.Data.Items),
		Entries:     len(e.Data.Item),
		samples:     cmp.Or(e.Samples, randomizationSamples),
	}
	if e.Negatives > 0 {
		r.Candidates = fmt.Sprintf("1+%d", e.Negatives)
	}
	if e.Categories != nil {
		r.Calibration = byCategories
	}
	if hasRatio(e.Split) {
		r.Ratio = e.Ratio
	}
	if folds := e.validationFolds(); folds > 1 {
		r.ValidationFolds = folds
	}
	for _, name := range e.Models {
		r.Models = append(r.Models, ModelResult{Name: name, Parameters: map[string]any{}, Metrics: map[string]Estimate{}})
	}
	r.users = make([]map[string][]*values, len(r.Models))
	return r
}

// forget drops the values of single users that nothing will look at.
func (e *Experiment) forget(m *measured) {
	if e.Interval == IntervalBootstrap {
		return
	}
	for name := range m.users {
		if name != e.by(false) && name != e.by(true) {
			delete(m.users, name)
		}
	}
}

// join sets the figures of a model from what was found on all folds, and keeps the values of the metric that models are compared by.
func (e *Experiment) join(ctx context.Context, r *Result, i int, folds []*measured) error {
	out := r.Models[i].Metrics
	estimates := map[string][]Estimate{}
	var users []map[string]*values
	for _, f := range folds {
		for name, estimate := range f.metrics {
			estimates[name] = append(estimates[name], estimate)
		}
		users = append(users, f.users)
	}
	for name, all := range estimates {
		out[name] = joinFolds(name, all)
	}
	if e.Interval == IntervalBootstrap {
		figures, err := bootstrap(ctx, users, cmp.Or(e.Samples, bootstrapSamples), e.Threads, e.Seed)
		if err != nil {
			return err
		}
		for name, estimate := range figures {
			out[name] = estimate.within(0, bound(name))
		}
	}
	r.users[i] = map[string][]*values{}
	for _, name := range []string{e.by(false), e.by(true)} {
		for _, f := range users {
			if f[name] != nil {
				r.users[i][name] = append(r.users[i][name], f[name])
			}
		}
	}
	return nil
}

// evaluate makes one model of one fold, by the name with its parameters, adds to the time of out, and returns what was measured.
func (e *Experiment) evaluate(ctx context.Context, out *ModelResult, name string, f *fold, done func(part float64)) (*measured, error) {
	start := time.Now()
	defer func() { out.Seconds += time.Since(start).Seconds() }()
	m, settings, err := e.resolve(name)
	if err != nil {
		return nil, err
	}
	switch {
	case m.rating && len(f.test.Item) == 0, !m.rating && len(f.relevant.Item) == 0:
		return nil, errNoTest
	case m.rating && f.train.Weight == nil:
		return nil, errors.New("it predicts ratings, but the data have none: every weight is 1")
	}
	var made fitted
	if t := (&Training{f.train, f.times, f.items[:f.train.NumItems], e.productsOf(f), e.profiles()}); m.combine != nil {
		made, err = m.combine(ctx, t, settings, e, e.fitBases)
	} else {
		made, err = m.fit(ctx, t, settings, e)
	}
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
	return evaluateRanking(ctx, made.recommender, f, e, func(users int) {
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

// profiles returns what is known of the users of the table; nil if nothing is known of anybody.
func (e *Experiment) profiles() [][]model.Attribute {
	if e.Users == nil {
		return nil
	}
	profiles := make([][]model.Attribute, len(e.Data.Users))
	for u, key := range e.Data.Users {
		profiles[u] = e.Users[key]
	}
	return profiles
}

// joinFolds makes one estimate of those of all folds, within the range of the metric.
func joinFolds(metric string, folds []Estimate) Estimate {
	high := bound(metric)
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
