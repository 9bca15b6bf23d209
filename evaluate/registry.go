package evaluate

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/baseline"
	"github.com/kith-io/kith/model/kinds"
	"github.com/kith-io/kith/model/neighborhood"
	"github.com/kith-io/kith/model/popularity"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

// method is a kind of model that an experiment can name.
type method struct {
	name string
	// parameters are what may be set in the name of a model, as in als(factors=64). Those of neighborhoods are fields of the experiment.
	parameters []model.Parameter
	// fit makes a model of the training data. It reads only the settings of models of e.
	fit func(ctx context.Context, t *Training, s model.Settings, e *Experiment) (fitted, error)
	// rating says that the model predicts ratings, and byItem that it does so fastest in the order of items.
	rating, byItem bool
}

// Training is what a model may learn from.
type Training struct {
	// Rows is users × items; the ids of items descend by popularity.
	Rows *similarity.Rows
	// Times holds the time of each entry of Rows, in Unix milliseconds, 0 if unknown; nil if all are.
	Times []int64
	// Items are the keys of the items by id.
	Items []string
	// Products has what is known of them, and behind them of those items of the data that have no training entry; nil if nothing is known of any.
	Products []train.Product
}

// fitted is a model made of the training data of a fold: one of recommender and predictor.
type fitted struct {
	recommender Recommender
	predictor   Predictor
	parameters  map[string]any
}

// methods is all that Experiment.Models may name, in the order of Models.
var methods = slices.Concat(rankers, predictors)

// rankers are the models for top-N.
var rankers = append([]method{
	{name: "popularity", fit: fitPopularity},
	{name: "itemknn", fit: fitItemKNN},
	{name: "userknn", fit: fitUserKNN},
	{name: "hybrid", fit: fitHybrid},
}, ofKinds()...)

// ofKinds are the models of package train.
func ofKinds() (out []method) {
	for _, k := range kinds.All {
		out = append(out, trained(k))
	}
	return out
}

// predictors are the models of ratings.
var predictors = []method{
	{name: "mean", fit: fitMean, rating: true},
	{name: "baseline", fit: fitALS, rating: true},
	{name: "baseline-sgd", fit: fitSGD, rating: true},
	ratingKNN("item-knn-basic", neighborhood.RatingOptions{Center: neighborhood.NoCenter}),
	ratingKNN("item-knn-means", neighborhood.RatingOptions{Center: neighborhood.Means}),
	ratingKNN("item-knn-z-scores", neighborhood.RatingOptions{Center: neighborhood.ZScores}),
	ratingKNN("item-knn-baseline", neighborhood.RatingOptions{Center: neighborhood.Baselines}),
	ratingKNN("user-knn-basic", neighborhood.RatingOptions{Center: neighborhood.NoCenter, UserBased: true}),
	ratingKNN("user-knn-means", neighborhood.RatingOptions{Center: neighborhood.Means, UserBased: true}),
	ratingKNN("user-knn-z-scores", neighborhood.RatingOptions{Center: neighborhood.ZScores, UserBased: true}),
	ratingKNN("user-knn-baseline", neighborhood.RatingOptions{Center: neighborhood.Baselines, UserBased: true}),
}

// Models returns the names of all models that Experiment.Models may name: those for top-N, then those of ratings.
func Models() []string {
	var names []string
	for _, m := range methods {
		names = append(names, m.name)
	}
	return names
}

// findMethod returns the method of a name. The error for an unknown one lists all.
func findMethod(name string) (method, error) {
	i := slices.IndexFunc(methods, func(m method) bool { return m.name == name })
	if i < 0 {
		return method{}, fmt.Errorf("unknown model %q, want one of %s", name, strings.Join(Models(), ", "))
	}
	return methods[i], nil
}

// resolve finds the method that the name of a model says, and its settings.
func resolve(text string) (method, model.Settings, error) {
	name, given, err := model.ParseName(text)
	if err != nil {
		return method{}, model.Settings{}, err
	}
	m, err := findMethod(name)
	if err != nil {
		return method{}, model.Settings{}, err
	}
	s, err := model.ParseSettings(m.parameters, given)
	if err != nil {
		return method{}, model.Settings{}, fmt.Errorf("model %s: %w", name, err)
	}
	return m, s, nil
}

// trained is a kind of model of package train, trained in this process.
func trained(k *train.Kind) method {
	return method{name: k.Name, parameters: k.Parameters, fit: func(ctx context.Context, t *Training, s model.Settings, e *Experiment) (fitted, error) {
		data := train.Split(t.Rows, t.Times, 1)
		data[0].Products = t.Products
		file, err := train.Run(ctx, k, s, data, train.Options{Workers: 1, Threads: e.Threads})
		if err != nil {
			return fitted{}, err
		}
		m, err := k.Read(file)
		return fitted{recommender: m, parameters: s.Map()}, err
	}}
}

// defaultK is the number of neighbors of models for top-N: the default of a build.
const defaultK = 50

// neighbors returns the settings of lists of neighbors for top-N.
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

func neighborParameters(o similarity.Options) map[string]any {
	p := map[string]any{"measure": o.Measure.String(), "k": o.K, "shrinkage": o.Shrinkage, "min_support": o.MinSupport}
	if o.Measure == similarity.AsymmetricCosine {
		p["alpha"] = o.Alpha
	}
	return p
}

func fitPopularity(_ context.Context, t *Training, _ model.Settings, _ *Experiment) (fitted, error) {
	return fitted{recommender: popularity.New(t.Rows)}, nil
}

func fitItemKNN(ctx context.Context, t *Training, _ model.Settings, e *Experiment) (fitted, error) {
	m, err := neighborhood.NewItemKNN(ctx, t.Rows, popularity.New(t.Rows), e.neighbors())
	return fitted{recommender: m, parameters: neighborParameters(e.neighbors())}, err
}

func fitUserKNN(_ context.Context, t *Training, _ model.Settings, e *Experiment) (fitted, error) {
	m, err := neighborhood.NewUserKNN(t.Rows, popularity.New(t.Rows), e.neighbors())
	return fitted{recommender: m, parameters: neighborParameters(e.neighbors())}, err
}

func fitHybrid(ctx context.Context, t *Training, _ model.Settings, e *Experiment) (fitted, error) {
	popular := popularity.New(t.Rows)
	item, err := neighborhood.NewItemKNN(ctx, t.Rows, popular, e.neighbors())
	if err != nil {
		return fitted{}, err
	}
	user, err := neighborhood.NewUserKNN(t.Rows, popular, e.neighbors())
	if err != nil {
		return fitted{}, err
	}
	return fitted{recommender: neighborhood.NewHybridKNN(item, user), parameters: neighborParameters(e.neighbors())}, nil
}

func fitMean(_ context.Context, t *Training, _ model.Settings, _ *Experiment) (fitted, error) {
	m, err := baseline.Mean(t.Rows)
	return fitted{predictor: m}, err
}

func fitALS(_ context.Context, t *Training, _ model.Settings, _ *Experiment) (fitted, error) {
	c := baseline.DefaultALS()
	m, err := baseline.ALS(t.Rows, c)
	return fitted{predictor: m, parameters: map[string]any{
		"user_regularization": c.UserRegularization,
		"item_regularization": c.ItemRegularization,
		"iterations":          c.Iterations,
	}}, err
}

func fitSGD(_ context.Context, t *Training, _ model.Settings, _ *Experiment) (fitted, error) {
	c := baseline.DefaultSGD()
	m, err := baseline.SGD(t.Rows, c)
	return fitted{predictor: m, parameters: map[string]any{
		"learning_rate":  c.LearningRate,
		"regularization": c.Regularization,
		"iterations":     c.Iterations,
	}}, err
}

// ratingKNN is a neighborhood model of ratings with a fixed center and axis. Around baselines it measures with the Pearson-baseline
// similarity, else with MSD, unless the experiment says otherwise.
func ratingKNN(name string, variant neighborhood.RatingOptions) method {
	fit := func(_ context.Context, t *Training, _ model.Settings, e *Experiment) (fitted, error) {
		o := e.ratings(variant)
		base, err := baseline.ALS(t.Rows, baseline.DefaultALS())
		if err != nil {
			return fitted{}, err
		}
		m, err := neighborhood.NewRating(t.Rows, base, o)
		return fitted{predictor: m, parameters: map[string]any{
			"measure": o.Measure.String(), "k": o.K, "min_k": o.MinK, "shrinkage": o.Shrinkage, "min_support": o.MinSupport,
		}}, err
	}
	return method{name: name, fit: fit, rating: true, byItem: !variant.UserBased}
}

// ratings returns the settings of a neighborhood model of ratings.
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
