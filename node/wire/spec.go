package wire

import (
	"fmt"
	"math"
	"time"

	"github.com/kith-io/kith/fusion"
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
