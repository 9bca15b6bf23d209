package evaluate

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/baseline"
	"github.com/kith-io/kith/model/factors"
	"github.com/kith-io/kith/model/kinds"
	"github.com/kith-io/kith/model/neighborhood"
	"github.com/kith-io/kith/model/popularity"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

// method is a kind of model that an experiment can name.
type method struct {
	name string
	// parameters are what may be set in the name of a model, as in als(factors=64), with what the experiment says for all models as their
	// defaults; nil means none.
	parameters func(e *Experiment) []model.Parameter
	// check says what is wrong with settings of which each is within its bounds; nil means nothing. Fit makes a model of the training data; both
	// read no settings of models of e.
	check func(s model.Settings) error
	fit   func(ctx context.Context, t *Training, s model.Settings, e *Experiment) (fitted, error)
	// combine is in the place of fit for a model that is made of others, which its own argument makes.
	combine func(ctx context.Context, t *Training, s model.Settings, e *Experiment, fit base) (fitted, error)
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
	// Profiles has what is known of users, by row; nil if nothing is known of anybody.
	Profiles [][]model.Attribute
}

// fitted is a model made of the training data of a fold: one of recommender and predictor.
type fitted struct {
	recommender Recommender
	predictor   Predictor
	parameters  map[string]any
}

// methods is all that Experiment.Models may name, in the order of Models.
var methods = slices.Concat(rankers, combinations, predictors)

// rankers are the models for top-N.
var rankers = append([]method{
	{name: "popularity", fit: fitPopularity},
	{name: "itemknn", parameters: neighborSpace, fit: fitItemKNN},
	{name: "userknn", parameters: neighborSpace, fit: fitUserKNN},
	{name: "hybrid", parameters: neighborSpace, fit: fitHybrid},
}, ofKinds(false, trained)...)

// ofKinds are the models of package train for ratings, or for top-N, without combinations, which have their own list.
func ofKinds(ratings bool, of func(*train.Kind) method) (out []method) {
	for _, k := range kinds.All {
		if k.Read != nil && k.PredictsRatings == ratings {
			out = append(out, of(k))
		}
	}
	return out
}

// predictors are the models of ratings.
var predictors = append(ofKinds(true, rater), []method{
	{name: "mean", fit: fitMean, rating: true},
	{name: "baseline", parameters: alsSpace, fit: fitALS, rating: true},
	{name: "baseline-sgd", parameters: sgdSpace, fit: fitSGD, rating: true},
	{name: "mf-sgd", parameters: always(factors.SGDParameters...), fit: ratingFactors(factors.MFSGD), rating: true},
	{name: "svd++-sgd", parameters: always(factors.SVDPPSGDParameters...), fit: ratingFactors(factors.SVDPPSGD), rating: true},
	ratingKNN("item-knn-basic", neighborhood.RatingOptions{Center: neighborhood.NoCenter}),
	ratingKNN("item-knn-means", neighborhood.RatingOptions{Center: neighborhood.Means}),
	ratingKNN("item-knn-z-scores", neighborhood.RatingOptions{Center: neighborhood.ZScores}),
	ratingKNN("item-knn-baseline", neighborhood.RatingOptions{Center: neighborhood.Baselines}),
	ratingKNN("user-knn-basic", neighborhood.RatingOptions{Center: neighborhood.NoCenter, UserBased: true}),
	ratingKNN("user-knn-means", neighborhood.RatingOptions{Center: neighborhood.Means, UserBased: true}),
	ratingKNN("user-knn-z-scores", neighborhood.RatingOptions{Center: neighborhood.ZScores, UserBased: true}),
	ratingKNN("user-knn-baseline", neighborhood.RatingOptions{Center: neighborhood.Baselines, UserBased: true}),
}...)

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
func (e *Experiment) resolve(text string) (method, model.Settings, error) {
	name, given, err := model.ParseName(text)
	if err != nil {
		return method{}, model.Settings{}, err
	}
	m, err := findMethod(name)
	if err != nil {
		return method{}, model.Settings{}, err
	}
	s, err := model.ParseSettings(m.space(e), given)
	if err == nil && m.check != nil {
		err = m.check(s)
	}
	if err != nil {
		return method{}, model.Settings{}, fmt.Errorf("model %s: %w", name, err)
	}
	return m, s, nil
}

// space returns the parameters of a method within an experiment.
func (m *method) space(e *Experiment) []model.Parameter {
	if m.parameters == nil {
		return nil
	}
	return m.parameters(e)
}

// trained is a kind of model of package train, trained in this process.
func trained(k *train.Kind) method {
	return method{name: k.Name, parameters: always(k.Parameters...), check: k.CheckSettings, fit: func(ctx context.Context, t *Training, s model.Settings, e *Experiment) (fitted, error) {
		data := train.Split(t.Rows, t.Times, 1)
		data[0].Products, data[0].Profiles = t.Products, t.Profiles
		file, err := train.Run(ctx, k, s, data, train.Options{Workers: 1, Threads: e.Threads})
		if err != nil {
			return fitted{}, err
		}
		m, err := k.Read(file)
		return fitted{recommender: m, parameters: s.Map()}, err
	}}
}

// rater is a kind of model of package train that predicts ratings.
func rater(k *train.Kind) method {
	m := trained(k)
	fit := m.fit
	m.rating = true
	m.fit = func(ctx context.Context, t *Training, s model.Settings, e *Experiment) (fitted, error) {
		made, err := fit(ctx, t, s, e)
		if err != nil {
			return fitted{}, err
		}
		return fitted{predictor: raterOf{made.recommender.(train.Rater), t.Rows}, parameters: made.parameters}, nil
	}
	return m
}

// raterOf predicts for users of a matrix, whose rows are their histories.
type raterOf struct {
	model train.Rater
	rows  *similarity.Rows
}

// Predict implements Predictor. Pairs that follow each other with the same user share the work of its history. A history that the model cannot answer gives NaN.
func (r raterOf) Predict(users, items []uint32, dst []float64) {
	for from := 0; from < len(users); {
		u, end := users[from], from+1
		for end < len(users) && users[end] == u {
			end++
		}
		q := model.Query{User: -1}
		if int64(u) < int64(r.rows.NumUsers()) {
			q.Items, q.Weights = itemsOf(r.rows, int(u))
		}
		if r.model.Rate(q, items[from:end], dst[from:end]) != nil {
			for i := from; i < end; i++ {
				dst[i] = math.NaN()
			}
		}
		from = end
	}
}

func fitPopularity(_ context.Context, t *Training, _ model.Settings, _ *Experiment) (fitted, error) {
	return fitted{recommender: popularity.New(t.Rows)}, nil
}

func fitItemKNN(ctx context.Context, t *Training, s model.Settings, e *Experiment) (fitted, error) {
	o, err := neighborOptions(s, e.Threads)
	if err != nil {
		return fitted{}, err
	}
	m, err := neighborhood.NewItemKNN(ctx, t.Rows, popularity.New(t.Rows), o)
	return fitted{recommender: m, parameters: neighborParameters(o)}, err
}

func fitUserKNN(_ context.Context, t *Training, s model.Settings, e *Experiment) (fitted, error) {
	o, err := neighborOptions(s, e.Threads)
	if err != nil {
		return fitted{}, err
	}
	m, err := neighborhood.NewUserKNN(t.Rows, popularity.New(t.Rows), o)
	return fitted{recommender: m, parameters: neighborParameters(o)}, err
}

func fitHybrid(ctx context.Context, t *Training, s model.Settings, e *Experiment) (fitted, error) {
	o, err := neighborOptions(s, e.Threads)
	if err != nil {
		return fitted{}, err
	}
	popular := popularity.New(t.Rows)
	item, err := neighborhood.NewItemKNN(ctx, t.Rows, popular, o)
	if err != nil {
		return fitted{}, err
	}
	user, err := neighborhood.NewUserKNN(t.Rows, popular, o)
	if err != nil {
		return fitted{}, err
	}
	return fitted{recommender: neighborhood.NewHybridKNN(item, user), parameters: neighborParameters(o)}, nil
}

func fitMean(_ context.Context, t *Training, _ model.Settings, _ *Experiment) (fitted, error) {
	m, err := baseline.Mean(t.Rows)
	return fitted{predictor: m}, err
}

func fitALS(_ context.Context, t *Training, s model.Settings, _ *Experiment) (fitted, error) {
	c := alsConfig(s)
	m, err := baseline.ALS(t.Rows, c)
	return fitted{predictor: m, parameters: map[string]any{
		"user_regularization": c.UserRegularization,
		"item_regularization": c.ItemRegularization,
		"iterations":          c.Iterations,
	}}, err
}

func fitSGD(_ context.Context, t *Training, s model.Settings, _ *Experiment) (fitted, error) {
	c := sgdConfig(s)
	m, err := baseline.SGD(t.Rows, c)
	return fitted{predictor: m, parameters: map[string]any{
		"learning_rate":  c.LearningRate,
		"regularization": c.Regularization,
		"iterations":     c.Iterations,
	}}, err
}

// ratingFactors is a factor model of ratings.
func ratingFactors(learn func(*similarity.Rows, model.Settings) (*factors.Ratings, error)) func(context.Context, *Training, model.Settings, *Experiment) (fitted, error) {
	return func(_ context.Context, t *Training, s model.Settings, _ *Experiment) (fitted, error) {
		m, err := learn(t.Rows, s)
		if err != nil {
			return fitted{}, err
		}
		return fitted{predictor: m, parameters: s.Map()}, nil
	}
}

// ratingKNN is a neighborhood model of ratings with a fixed center and axis. Around baselines it measures with the Pearson-baseline
// similarity, else with MSD, unless the experiment or its name says otherwise.
func ratingKNN(name string, variant neighborhood.RatingOptions) method {
	fit := func(_ context.Context, t *Training, s model.Settings, _ *Experiment) (fitted, error) {
		o, err := ratingOptions(s, variant)
		if err != nil {
			return fitted{}, err
		}
		base, err := baseline.ALS(t.Rows, baseline.DefaultALS())
		if err != nil {
			return fitted{}, err
		}
		m, err := neighborhood.NewRating(t.Rows, base, o)
		return fitted{predictor: m, parameters: map[string]any{
			"measure": o.Measure.String(), "k": o.K, "min_k": o.MinK, "shrinkage": o.Shrinkage, "min_support": o.MinSupport,
		}}, err
	}
	return method{
		name: name, rating: true, byItem: !variant.UserBased, fit: fit,
		parameters: func(e *Experiment) []model.Parameter { return ratingSpace(e, variant) },
		check: func(s model.Settings) error {
			_, err := ratingOptions(s, variant)
			return err
		},
	}
}
