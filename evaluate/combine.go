package evaluate

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/hybrid"
)

// maxWeights is how many of Experiment.Base may have a weight, or a length of histories, of their own.
const maxWeights = 6

// combinations are the models that are made of others, those of Experiment.Base.
var combinations = []method{
	{name: "rrf", parameters: always(depthParameter(hybrid.DefaultDepth)), combine: combineRRF},
	{name: "blend", parameters: always(blendParameters()...), combine: combineBlend},
	{name: "switch", parameters: always(switchParameters()...), combine: combineSwitch},
	{name: "ranker", parameters: always(rankerParameters()...), combine: combineRanker},
}

// always are parameters that are the same in all experiments.
func always(ps ...model.Parameter) func(*Experiment) []model.Parameter {
	return func(*Experiment) []model.Parameter { return ps }
}

// base makes the models of Experiment.Base of training data.
type base func(ctx context.Context, t *Training) ([]hybrid.Part, error)

// bases returns the names of the models that a combination is made of.
func (e *Experiment) bases() []string {
	if len(e.Base) == 0 {
		return []string{"itemknn", "userknn", "popularity"}
	}
	return e.Base
}

// checkBases returns an error that names the first of the bases that no combination can have.
func (e *Experiment) checkBases() error {
	for i, name := range e.bases() {
		m, _, err := e.resolve(name)
		switch {
		case err != nil:
			return fmt.Errorf("base: %w", err)
		case m.rating, m.combine != nil:
			return fmt.Errorf("base: %s cannot be a part of another model, want models for top-N that are made of no others", name)
		case slices.Contains(e.bases()[:i], name):
			return fmt.Errorf("base: model %q is named twice", name)
		}
	}
	return nil
}

// fitBases makes all bases.
func (e *Experiment) fitBases(ctx context.Context, t *Training) ([]hybrid.Part, error) {
	var parts []hybrid.Part
	for _, name := range e.bases() {
		m, settings, err := e.resolve(name)
		if err != nil {
			return nil, err
		}
		made, err := m.fit(ctx, t, settings, e)
		if err != nil {
			return nil, fmt.Errorf("base %s: %w", name, err)
		}
		parts = append(parts, hybrid.Part{Name: name, Model: made.recommender, Weight: 1})
	}
	return parts, nil
}

func depthParameter(usual float64) model.Parameter {
	return model.Parameter{Name: "depth", Doc: "items that each model is asked for", Default: usual, Low: 1, High: 100_000, Whole: true, Search: [2]float64{50, 1000}, Log: true}
}

func blendParameters() []model.Parameter {
	ps := []model.Parameter{
		{Name: "normalize", Doc: "how scores are made comparable", Choices: hybrid.Normalizations()},
		depthParameter(hybrid.DefaultDepth),
	}
	for i := range maxWeights {
		ps = append(ps, model.Parameter{Name: nth("weight", i), Doc: fmt.Sprintf("weight of model %d of the base", i+1), Default: 1, Low: 1e-6, High: 1e6, Search: [2]float64{0.05, 20}, Log: true})
	}
	return ps
}

func switchParameters() (ps []model.Parameter) {
	for i, n := range []float64{5, 20, 50, 100, 200} {
		ps = append(ps, model.Parameter{
			Name: nth("until", i), Doc: fmt.Sprintf("model %d of the base answers histories of fewer items", i+1),
			Default: n, Low: 1, High: 1e9, Whole: true, Search: [2]float64{1, 10 * n}, Log: true,
		})
	}
	return ps
}

func rankerParameters() []model.Parameter {
	o := hybrid.DefaultLearnOptions()
	return []model.Parameter{
		{Name: "learner", Doc: "how the ranking is learned: trees for NDCG, trees for odds, or a logistic regression", Choices: hybrid.Learners()},
		depthParameter(float64(o.Depth)),
		{Name: "trees", Doc: "most trees", Default: float64(o.Trees), Low: 1, High: 10_000, Whole: true},
		{Name: "users", Doc: "most users that are learned from", Default: float64(o.Users), Low: 1, High: 1e9, Whole: true},
		{Name: "hold", Doc: "part of the training data of each user that is held back to learn from", Default: 0.2, Low: 0.01, High: 0.9, Search: [2]float64{0.05, 0.5}},
		{Name: "held", Doc: "what is held back to learn from; newest is random where times are unknown", Choices: []string{"newest", "random"}},
		{Name: "seed", Doc: "chooses users, and what is held back where times are unknown", Default: 1, Low: 0, High: 1 << 52, Whole: true},
	}
}

func nth(name string, i int) string { return fmt.Sprintf("%s-%d", name, i+1) }

// combined are the settings of a combination: those of bases that are not there are left out.
func (e *Experiment) combined(s model.Settings) map[string]any {
	out := s.Map()
	for i := len(e.bases()); i < maxWeights; i++ {
		delete(out, nth("weight", i))
	}
	for i := len(e.bases()) - 1; i < maxWeights; i++ {
		delete(out, nth("until", i))
	}
	out["base"] = e.bases()
	return out
}

func combineRRF(ctx context.Context, t *Training, s model.Settings, e *Experiment, fit base) (fitted, error) {
	parts, err := fit(ctx, t)
	if err != nil {
		return fitted{}, err
	}
	m, err := hybrid.NewBlend(parts, hybrid.NewCatalog(t.Rows, t.Times), hybrid.Reciprocal, s.Whole("depth"))
	return fitted{recommender: m, parameters: e.combined(s)}, err
}

func combineBlend(ctx context.Context, t *Training, s model.Settings, e *Experiment, fit base) (fitted, error) {
	parts, err := fit(ctx, t)
	if err != nil {
		return fitted{}, err
	}
	for i := range min(len(parts), maxWeights) {
		parts[i].Weight = s.Number(nth("weight", i))
	}
	n := hybrid.Normalization(s.Whole("normalize"))
	m, err := hybrid.NewBlend(parts, hybrid.NewCatalog(t.Rows, t.Times), n, s.Whole("depth"))
	return fitted{recommender: m, parameters: e.combined(s)}, err
}

func combineSwitch(ctx context.Context, t *Training, s model.Settings, e *Experiment, fit base) (fitted, error) {
	parts, err := fit(ctx, t)
	if err != nil {
		return fitted{}, err
	}
	if len(parts) > maxWeights {
		return fitted{}, fmt.Errorf("%d models to switch between, want at most %d", len(parts), maxWeights)
	}
	var until []int
	for i := range len(parts) - 1 {
		until = append(until, s.Whole(nth("until", i)))
	}
	m, err := hybrid.NewSwitch(parts, until)
	return fitted{recommender: m, parameters: e.combined(s)}, err
}

// combineRanker makes the bases twice: of a part of the training data to learn from the rest, then of all.
func combineRanker(ctx context.Context, t *Training, s model.Settings, e *Experiment, fit base) (fitted, error) {
	o := hybrid.LearnOptions{
		Learner: hybrid.Learner(s.Whole("learner")), Depth: s.Whole("depth"), Trees: s.Whole("trees"), Users: s.Whole("users"),
		Seed: uint64(s.Number("seed")), Threads: cmp.Or(e.Threads, 1), Profiles: t.Profiles,
	}
	rest, times, held := hybrid.HoldOut(t.Rows, t.Times, s.Number("hold"), s.Choice("held") == "random", o.Seed)
	parts, err := fit(ctx, &Training{rest, times, t.Items, t.Products, t.Profiles})
	if err != nil {
		return fitted{}, err
	}
	learned, err := hybrid.Learn(ctx, parts, rest, times, held, o)
	if err != nil {
		return fitted{}, err
	}
	if parts, err = fit(ctx, t); err != nil {
		return fitted{}, err
	}
	m, err := hybrid.NewRanker(parts, hybrid.NewCatalog(t.Rows, t.Times), learned)
	return fitted{recommender: m, parameters: e.combined(s)}, err
}
