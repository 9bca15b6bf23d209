// Package kinds lists the kinds of models that a build can train, an evaluation can compare, and a query can ask.
package kinds

import (
	"github.com/kith-io/kith/model/cluster"
	"github.com/kith-io/kith/model/content"
	"github.com/kith-io/kith/model/covisit"
	"github.com/kith-io/kith/model/ease"
	"github.com/kith-io/kith/model/factors"
	"github.com/kith-io/kith/model/hybrid"
	"github.com/kith-io/kith/model/markov"
	"github.com/kith-io/kith/model/nais"
	"github.com/kith-io/kith/model/ncf"
	"github.com/kith-io/kith/model/rp3beta"
	"github.com/kith-io/kith/model/rules"
	"github.com/kith-io/kith/model/sasrec"
	"github.com/kith-io/kith/model/slim"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/model/warp"
)

// All is every kind of package train, in the order in which they are shown.
var All = []*train.Kind{
	covisit.Kind,
	rp3beta.Kind,
	ease.Kind,
	slim.Kind,
	factors.ALS,
	factors.BPR,
	factors.MF,
	factors.SVDPP,
	warp.Kind,
	ncf.Kind,
	nais.Kind,
	sasrec.Kind,
	markov.Kind,
	rules.Kind,
	cluster.Kind,
	content.Kind,
	content.Vectors,
	hybrid.RRF,
	hybrid.WeightedBlend,
	hybrid.LengthSwitch,
	hybrid.LearnedRanker,
}
