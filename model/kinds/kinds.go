// Package kinds lists the kinds of models that a build can train, an evaluation can compare, and a query can ask.
package kinds

import (
	"github.com/kith-io/kith/model/nais"
	"github.com/kith-io/kith/model/ncf"
	"github.com/kith-io/kith/model/sasrec"
	"github.com/kith-io/kith/model/train"
)

// All is every kind of package train, in the order in which they are shown.
var All = []*train.Kind{ncf.Kind, nais.Kind, sasrec.Kind}
