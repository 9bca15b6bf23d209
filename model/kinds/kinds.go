// Package kinds lists the kinds of models that a build can train, an evaluation can compare, and a query can ask.
package kinds

import (
	"github.com/kith-io/kith/model/ease"
	"github.com/kith-io/kith/model/rp3beta"
	"github.com/kith-io/kith/model/slim"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/model/warp"
)

// All is every kind of package train, in the order in which they are shown.
var All = []*train.Kind{
	ease.Kind,
	slim.Kind,
	rp3beta.Kind,
	warp.Kind,
}
