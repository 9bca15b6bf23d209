package wire

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/model"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/similarity"
)

const (
	// MaxK is the longest neighbor list of a build: longer ones say little, and grow with the square of the catalog.
	MaxK = 1000
	// DefaultAlpha makes the asymmetric cosine symmetric.
	DefaultAlpha = 0.5
	// maxHalfLifeMs is what a time.Duration holds.
	maxHalfLifeMs = math.MaxInt64 / int64(time.Millisecond)
)

// ParseSpec converts the spec of a build whose defaults are spelled out. Errors name the field and its bound.
func ParseSpec(spec *kithv1.BuildSpec) (similarity.Options, fusion.Weights, error) {
	measure, err := similarity.ParseMeasure(spec.GetMeasure())
	o := similarity.Options{Measure: measure, K: int(spec.GetK()), Shrinkage: spec.GetShrinkage(), MinSupport: int(spec.GetMinSupport()), Alpha: DefaultAlpha}
	if spec != nil && spec.Alpha != nil {
		o.Alpha = *spec.Alpha
	}
	w := fusion.Weights{
		Behavior: map[fusion.Behavior]float64{}, Cap: spec.GetWeightCap(),
		HalfLife: time.Duration(spec.GetHalfLifeMs()) * time.Millisecond,
	}
	for behavior, x := range spec.GetBehaviorWeights() {
		w.Behavior[fusion.Behavior(behavior)] = x
	}
	if err == nil {
		err = o.Validate()
	}
	switch {
	case err != nil:
	case o.K > MaxK:
		err = fmt.Errorf("k is %d; want at most %d", o.K, MaxK)
	case spec.GetHalfLifeMs() > maxHalfLifeMs:
		err = fmt.Errorf("half-life is %d ms; want at most %d", spec.GetHalfLifeMs(), maxHalfLifeMs)
	}
	if err == nil {
		err = w.Validate()
	}
	return o, w, err
}

// ParseModels converts texts such as als(factors=64), or other:als(factors=128) for one with a name that is not its kind. Names and settings are not checked.
func ParseModels(texts []string) ([]*kithv1.ModelSpec, error) {
	var out []*kithv1.ModelSpec
	for _, text := range texts {
		head, _, _ := strings.Cut(text, "(")
		name, _, named := strings.Cut(head, ":")
		rest := text
		if named {
			rest = text[len(name)+1:]
		} else {
			name = ""
		}
		kind, parameters, err := model.ParseName(rest)
		if err != nil {
			return nil, err
		}
		if kind == "" || named && strings.TrimSpace(name) == "" {
			return nil, fmt.Errorf("model %q; want a form such as als, als(factors=64), or big:als(factors=128)", text)
		}
		out = append(out, &kithv1.ModelSpec{Kind: kind, Name: strings.TrimSpace(name), Parameters: parameters})
	}
	return out, nil
}

// ModelText is the inverse of ParseModels, with the parameters in the order of their names.
func ModelText(m *kithv1.ModelSpec) string {
	text := m.GetKind()
	if name := m.GetName(); name != "" && name != m.GetKind() {
		text = name + ":" + text
	}
	var parts []string
	for _, p := range slices.Sorted(maps.Keys(m.GetParameters())) {
		parts = append(parts, p+"="+m.Parameters[p])
	}
	if len(parts) == 0 {
		return text
	}
	return text + "(" + strings.Join(parts, ",") + ")"
}
