package evaluate

import (
	"cmp"
	"slices"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/baseline"
	"github.com/kith-io/kith/model/neighborhood"
	"github.com/kith-io/kith/similarity"
)

// defaultK is the number of neighbors of models for top-N: the default of a build.
const defaultK = 50

// neighbors returns the settings of lists of neighbors for top-N that the experiment has for all models.
func (e *Experiment) neighbors() similarity.Options {
	return similarity.Options{
		Measure:    cmp.Or(e.Measure, similarity.Cosine),
		K:          cmp.Or(e.K, defaultK),
		Shrinkage:  e.Shrinkage,
		MinSupport: e.MinSupport,
		Alpha:      e.Alpha,
		Threads:    e.Threads,
	}
}

// searchedMeasures are those that are good for top-N on some data and cost no more than the others: what tuning chooses from. They come first in
// measureNames.
const searchedMeasures = 6

// measureNames are the names of all measures for top-N.
func measureNames() []string {
	first := []similarity.Measure{
		similarity.Cosine, similarity.TFIDF, similarity.BM25, similarity.Jaccard, similarity.LogLikelihood, similarity.AsymmetricCosine,
	}
	var names []string
	for _, m := range first {
		names = append(names, m.String())
	}
	for _, m := range similarity.Measures() {
		if !slices.Contains(first, m) {
			names = append(names, m.String())
		}
	}
	return names
}

// neighborSpace has the parameters of neighborhoods for top-N. The ranges that are searched are those of Ferrari Dacrema et al., RecSys 2019
// [dacrema2019], with fewer neighbors at the upper end.
func neighborSpace(e *Experiment) []model.Parameter {
	o := e.neighbors()
	names := measureNames()
	return []model.Parameter{
		{
			Name: "measure", Doc: "similarity of two items, or of two users", Choices: names,
			Default: float64(slices.Index(names, o.Measure.String())), Search: [2]float64{0, searchedMeasures - 1},
		},
		{Name: "k", Doc: "number of neighbors", Default: float64(o.K), Low: 1, High: 1e6, Whole: true, Search: [2]float64{5, 800}, Log: true},
		{
			Name: "shrinkage", Doc: "s of the factor n/(n+s) on a score with n common users", Default: o.Shrinkage, Low: 0, High: 1e12,
			Search: [2]float64{0.1, 1000}, Log: true, // 0.1 is as good as none
		},
		{Name: "min-support", Doc: "least number of common users of a pair", Default: float64(o.MinSupport), Low: 0, High: 1e9, Whole: true, Search: [2]float64{1, 10}, Log: true},
		{Name: "alpha", Doc: "exponent of asymmetric-cosine: below 0.5 favors rare neighbors", Default: o.Alpha, Low: 0, High: 1, Search: [2]float64{0, 1}},
	}
}

// neighborOptions returns what settings of neighborSpace say.
func neighborOptions(s model.Settings, threads int) (similarity.Options, error) {
	m, err := similarity.ParseMeasure(s.Choice("measure"))
	return similarity.Options{
		Measure: m, K: s.Whole("k"), Shrinkage: s.Number("shrinkage"), MinSupport: s.Whole("min-support"), Alpha: s.Number("alpha"), Threads: threads,
	}, err
}

func neighborParameters(o similarity.Options) map[string]any {
	p := map[string]any{"measure": o.Measure.String(), "k": o.K, "shrinkage": o.Shrinkage, "min_support": o.MinSupport}
	if o.Measure == similarity.AsymmetricCosine {
		p["alpha"] = o.Alpha
	}
	return p
}

func alsSpace(*Experiment) []model.Parameter {
	c := baseline.DefaultALS()
	return []model.Parameter{
		{Name: "user-regularization", Doc: "ratings of 0 that are added to those of a user", Default: c.UserRegularization, Low: 0, High: 1e9, Search: [2]float64{0.5, 100}, Log: true},
		{Name: "item-regularization", Doc: "ratings of 0 that are added to those of an item", Default: c.ItemRegularization, Low: 0, High: 1e9, Search: [2]float64{0.5, 100}, Log: true},
		{Name: "iterations", Doc: "passes over the data", Default: float64(c.Iterations), Low: 1, High: 1e6, Whole: true},
	}
}

func alsConfig(s model.Settings) baseline.ALSConfig {
	return baseline.ALSConfig{
		UserRegularization: s.Number("user-regularization"), ItemRegularization: s.Number("item-regularization"), Iterations: s.Whole("iterations"),
	}
}

func sgdSpace(*Experiment) []model.Parameter {
	c := baseline.DefaultSGD()
	return []model.Parameter{
		{Name: "learning-rate", Doc: "share of the error that a step corrects", Default: c.LearningRate, Low: 1e-9, High: 1, Search: [2]float64{1e-3, 0.05}, Log: true},
		{Name: "regularization", Doc: "how strongly a step pulls biases to 0", Default: c.Regularization, Low: 0, High: 1e3, Search: [2]float64{1e-3, 0.3}, Log: true},
		{Name: "iterations", Doc: "passes over the data", Default: float64(c.Iterations), Low: 1, High: 1e6, Whole: true, Search: [2]float64{5, 80}, Log: true},
	}
}

func sgdConfig(s model.Settings) baseline.SGDConfig {
	return baseline.SGDConfig{LearningRate: s.Number("learning-rate"), Regularization: s.Number("regularization"), Iterations: s.Whole("iterations")}
}

// coRatedNames are the names of all measures of ratings, in the order of their numbers.
func coRatedNames() []string {
	return []string{neighborhood.MSD.String(), neighborhood.CoRatedCosine.String(), neighborhood.PearsonBaseline.String()}
}

// ratings returns the settings of a neighborhood model of ratings that the experiment has for all models.
func (e *Experiment) ratings(o neighborhood.RatingOptions) neighborhood.RatingOptions {
	usual := neighborhood.DefaultRatingOptions()
	o.Measure = e.RatingMeasure
	if o.Measure == 0 {
		o.Measure = neighborhood.MSD
		if o.Center == neighborhood.Baselines {
			o.Measure = neighborhood.PearsonBaseline
		}
	}
	o.K, o.MinK = cmp.Or(e.K, usual.K), usual.MinK
	o.Shrinkage, o.MinSupport = e.Shrinkage, e.MinSupport
	if o.Shrinkage == 0 && o.Measure == neighborhood.PearsonBaseline {
		o.Shrinkage = usual.Shrinkage
	}
	return o
}

// ratingSpace has the parameters of neighborhoods of ratings.
func ratingSpace(e *Experiment, variant neighborhood.RatingOptions) []model.Parameter {
	o, names := e.ratings(variant), coRatedNames()
	return []model.Parameter{
		{
			Name: "measure", Doc: "similarity of two items, or of two users, by their ratings", Choices: names,
			Default: float64(slices.Index(names, o.Measure.String())), Search: [2]float64{0, float64(len(names) - 1)},
		},
		{Name: "k", Doc: "most neighbors that are averaged", Default: float64(o.K), Low: 1, High: 1e6, Whole: true, Search: [2]float64{5, 200}, Log: true},
		{Name: "min-k", Doc: "fewest neighbors that are averaged", Default: float64(o.MinK), Low: 1, High: 1e6, Whole: true},
		{Name: "shrinkage", Doc: "s of the factor (n-1)/(n-1+s) on a similarity of n common users", Default: o.Shrinkage, Low: 0, High: 1e12, Search: [2]float64{0.1, 1000}, Log: true},
		{Name: "min-support", Doc: "least number of common users of a pair", Default: float64(o.MinSupport), Low: 0, High: 1e9, Whole: true, Search: [2]float64{1, 10}, Log: true},
	}
}

// ratingOptions returns what settings of ratingSpace say.
func ratingOptions(s model.Settings, o neighborhood.RatingOptions) (neighborhood.RatingOptions, error) {
	m, err := neighborhood.ParseCoRated(s.Choice("measure"))
	if err != nil {
		return o, err
	}
	o.Measure, o.K, o.MinK, o.Shrinkage, o.MinSupport = m, s.Whole("k"), s.Whole("min-k"), s.Number("shrinkage"), s.Whole("min-support")
	return o, o.Validate()
}
