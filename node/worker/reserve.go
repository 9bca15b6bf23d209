package worker

import (
	"math"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node/artifact"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/similarity"
)

// followable reports whether the next build may follow one of this spec (docs/adr/0032): scores that are of sums alone, of weights that do not change
// by themselves, and no models, which would be trained in full.
func followable(spec *kithv1.BuildSpec, options *similarity.Options, weights *fusion.Weights) bool {
	return options.Followable() && weights.HalfLife == 0 && len(spec.GetModels()) == 0
}

// keep is how many neighbors of an item are collected: those of its list, and the reserve.
func (p *plan) keep() int {
	k := p.options.K
	if p.follow {
		k += p.options.Reserve()
	}
	return max(1, min(k, p.dictionary.Len()-1))
}

// writeNorms writes the sums of squares of the items, if the build can be followed and they are known of all: whole, so that they and
// all sums of products are exact.
func (p *plan) writeNorms(artifacts *artifact.Store, squares []float64) error {
	if !p.follow || !p.head.Squares {
		return nil
	}
	for _, x := range squares {
		if !(x > 0 && x < 1<<53) || x != math.Trunc(x) {
			return nil
		}
	}
	_, err := artifacts.WriteNorms(p.head.Job, squares)
	return err
}
