// Package kinds lists the kinds of models that a build can train, an evaluation can compare, and a query can ask.
package kinds

import (
	"github.com/kith-io/kith/model/content"
	"github.com/kith-io/kith/model/train"
)

// All is every kind of package train, in the order in which they are shown.
var All = []*train.Kind{content.Kind}
