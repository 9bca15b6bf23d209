package evaluate

import (
	"context"
	"fmt"
	"slices"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/hybrid"
	"github.com/kith-io/kith/model/train"
)

// combinations are the models that are made of others, those of Experiment.Base.
var combinations = []method{
	combined(hybrid.RRF, hybrid.NewRRF),
	combined(hybrid.WeightedBlend, hybrid.NewBlendingOf),
	combined(hybrid.LengthSwitch, hybrid.NewSwitchingOf),
	{name: hybrid.LearnedRanker.Name, parameters: withoutBase(hybrid.LearnedRanker), combine: combineRanker},
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
		parts = append(parts, hybrid.Part{Name: name, Model: made.recommender})
	}
	return parts, nil
}

// withoutBase are the parameters of a combination but the base, which is that of the experiment.
func withoutBase(k *train.Kind) func(*Experiment) []model.Parameter {
	return always(slices.DeleteFunc(slices.Clone(k.Parameters), func(p model.Parameter) bool { return p.Name == train.Base.Name })...)
}

// combined is a kind of combination that is not trained.
func combined[C train.Combination](k *train.Kind, of func(base []string, s model.Settings) (C, error)) method {
	return method{name: k.Name, parameters: withoutBase(k), combine: func(ctx context.Context, t *Training, s model.Settings, e *Experiment, fit base) (fitted, error) {
		parts, err := fit(ctx, t)
		if err != nil {
			return fitted{}, err
		}
		c, err := of(e.bases(), s)
		if err != nil {
			return fitted{}, err
		}
		return e.fitted(c, parts, t, s)
	}}
}

// fitted is a combination that is made of parts.
func (e *Experiment) fitted(c train.Combination, parts []hybrid.Part, t *Training, s model.Settings) (fitted, error) {
	m, err := hybrid.New(c, parts, hybrid.NewCatalog(t.Rows, t.Times))
	parameters := s.Map()
	hybrid.ForBase(parameters, len(parts))
	parameters["base"] = e.bases()
	return fitted{recommender: m, parameters: parameters}, err
}

// combineRanker makes the bases twice: of a part of the training data to learn from the rest, then of all.
func combineRanker(ctx context.Context, t *Training, s model.Settings, e *Experiment, fit base) (fitted, error) {
	o := hybrid.LearnOptionsOf(s, e.Threads)
	o.Profiles = t.Profiles
	rest, times, held := hybrid.HoldOut(t.Rows, t.Times, s.Number("hold"), s.Choice("held") == "random", o.Seed, 0)
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
	return e.fitted(hybrid.NewRanking(hybrid.NewCatalog(t.Rows, t.Times), learned), parts, t, s)
}
