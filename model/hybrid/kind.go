package hybrid

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/train"
)

// maxWeights is how many models of a base may have a weight, or a length of histories, of their own.
const maxWeights = 6

// Kinds of combinations that need no training: their files have their settings.
var (
	RRF = combination("rrf", "models that were named before it, fused by the reciprocal ranks of what they find",
		[]model.Parameter{depthParameter(DefaultDepth)}, NewRRF)
	WeightedBlend = combination("blend", "models that were named before it, by a weighted sum of their scores", blendParameters(), NewBlendingOf)
	LengthSwitch  = combination("switch", "models that were named before it, one of which answers, by the length of the history", switchParameters(), NewSwitchingOf)
)

func depthParameter(usual float64) model.Parameter {
	return model.Parameter{Name: "depth", Doc: "items that each model is asked for", Default: usual, Low: 1, High: 100_000, Whole: true, Search: [2]float64{50, 1000}, Log: true}
}

func blendParameters() []model.Parameter {
	ps := []model.Parameter{
		{Name: "normalize", Doc: "how scores are made comparable", Choices: Normalizations()},
		depthParameter(DefaultDepth),
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
	o := DefaultLearnOptions()
	return []model.Parameter{
		{Name: "learner", Doc: "how the ranking is learned: trees for NDCG, trees for odds, or a logistic regression", Choices: Learners()},
		depthParameter(float64(o.Depth)),
		{Name: "trees", Doc: "most trees", Default: float64(o.Trees), Low: 1, High: 10_000, Whole: true},
		{Name: "users", Doc: "most users that are learned from", Default: float64(o.Users), Low: 1, High: 1e9, Whole: true},
		{Name: "hold", Doc: "part of the training data of each user that is held back to learn from", Default: 0.2, Low: 0.01, High: 0.9, Search: [2]float64{0.05, 0.5}},
		{Name: "held", Doc: "what is held back to learn from; newest is random where times are unknown", Choices: []string{"newest", "random"}},
		{Name: "seed", Doc: "chooses users, and what is held back where times are unknown", Default: 1, Low: 0, High: 1 << 52, Whole: true},
	}
}

func nth(name string, i int) string { return fmt.Sprintf("%s-%d", name, i+1) }

// ForBase deletes those of the settings of a combination that are of models beyond the n of its base.
func ForBase[V any](settings map[string]V, n int) {
	for i := n; i < maxWeights; i++ {
		delete(settings, nth("weight", i))
	}
	for i := n - 1; i < maxWeights; i++ {
		delete(settings, nth("until", i))
	}
}

// NewRRF returns reciprocal rank fusion of models, with settings of RRF.
func NewRRF(names []string, s model.Settings) (*Blending, error) {
	return NewBlending(names, same(1., len(names)), Reciprocal, s.Whole("depth"))
}

// NewBlendingOf returns a blending of models with settings of WeightedBlend.
func NewBlendingOf(names []string, s model.Settings) (*Blending, error) {
	weights := same(1., len(names))
	for i := range min(len(names), maxWeights) {
		weights[i] = s.Number(nth("weight", i))
	}
	return NewBlending(names, weights, Normalization(s.Whole("normalize")), s.Whole("depth"))
}

// NewSwitchingOf returns a switching between models with settings of LengthSwitch.
func NewSwitchingOf(names []string, s model.Settings) (*Switching, error) {
	if len(names) > maxWeights {
		return nil, fmt.Errorf("%d models to switch between, want at most %d", len(names), maxWeights)
	}
	var until []int
	for i := range len(names) - 1 {
		until = append(until, s.Whole(nth("until", i)))
	}
	return NewSwitching(names, until)
}

// filed is a combination that can be written to a file.
type filed interface {
	train.Combination
	appendTo(b []byte) []byte
}

// combination is a kind whose models are their settings.
func combination[C filed](name, doc string, parameters []model.Parameter, of func(base []string, s model.Settings) (C, error)) *train.Kind {
	made := func(s model.Settings) (C, error) { return of(s.Names(train.Base.Name), s) }
	return &train.Kind{
		Name: name, Doc: doc, Parameters: append([]model.Parameter{train.Base}, parameters...),
		CheckSettings: func(s model.Settings) error {
			_, err := made(s)
			return err
		},
		NewDriver: func(train.Shape, model.Settings) (train.Driver, error) { return idle{}, nil },
		NewWorker: func(*train.Data, model.Settings, int) (train.Worker, error) { return idle{}, nil },
		Write: func(_ context.Context, _ train.Shape, s model.Settings, _ func(context.Context, int, string) ([]byte, error), w io.Writer) error {
			c, err := made(s)
			if err != nil {
				return err
			}
			_, err = w.Write(c.appendTo(nil))
			return err
		},
		ReadCombination: ReadCombination,
	}
}

// idle is a training without steps.
type idle struct{}

// Next implements train.Driver.
func (idle) Next([][]byte) (train.Step, bool, error) { return train.Step{}, true, nil }

// Progress implements train.Driver.
func (idle) Progress() float64 { return 1 }

// Do implements train.Worker.
func (idle) Do(context.Context, train.Step, train.Peers) ([]byte, error) {
	return nil, errors.New("a combination has no steps")
}
