package coordinator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/model"
	clusters "github.com/kith-io/kith/model/cluster"
	"github.com/kith-io/kith/model/markov"
	"github.com/kith-io/kith/model/rules"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/node"
	"github.com/kith-io/kith/node/artifact"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/node/worker"
)

// Source says which model of which version an insight is of.
type Source struct {
	Model   string
	Version uint64
}

// insight is a trained model of the active version that knows more than what to recommend.
type insight[T train.Model] struct {
	Source
	version    *node.Version
	dictionary *artifact.Dictionary
	model      T
}

// findInsight returns the model of a name, or the first one of a kind. The caller must release its version. Errors match wire.ErrUnknownModel, wire.ErrNoModel and wire.ErrInvalid.
func findInsight[T train.Model](r *Router, kind, name string) (out insight[T], err error) {
	m, dictionary, err := r.active()
	if err != nil {
		return out, err
	}
	defer func() {
		if err != nil {
			m.Release()
		}
	}()
	if name == "" {
		i := slices.IndexFunc(m.Models, func(v node.ModelView) bool { return v.Kind == kind })
		if i < 0 {
			return out, fmt.Errorf("%w: model version %d has none of kind %s; build one with 'kith build --models %s'", wire.ErrUnknownModel, m.Version, kind, kind)
		}
		name = m.Models[i].Name
	}
	trained, err := m.Model(name)
	if err != nil {
		return out, err
	}
	as, ok := trained.Model.(T)
	if !ok {
		return out, fmt.Errorf("%w: model %s is not of kind %s", wire.ErrInvalid, name, kind)
	}
	return insight[T]{Source{name, m.Version}, m, dictionary, as}, nil
}

// item returns the dense id of an item. The error matches wire.ErrUnknownItem.
func (x *insight[T]) item(key string) (uint32, error) {
	id, ok := x.dictionary.ID(key)
	if !ok {
		return 0, fmt.Errorf("%w %q in model version %d; items without events before the build are not in it", wire.ErrUnknownItem, key, x.Version)
	}
	return id, nil
}

// keys returns the keys of items. The error matches wire.ErrCorrupt.
func (x *insight[T]) keys(ids ...uint32) ([]string, error) {
	out := make([]string, len(ids))
	for i, id := range ids {
		if int64(id) >= int64(x.dictionary.Len()) {
			return nil, fmt.Errorf("model %s of version %d: %w: item %d of %d", x.Model, x.Version, wire.ErrCorrupt, id, x.dictionary.Len())
		}
		out[i] = x.dictionary.Key(id)
	}
	return out, nil
}

// refused makes an error of a query that a model refuses one of the caller.
func refused(err error) error {
	if errors.Is(err, model.ErrQuery) {
		return fmt.Errorf("%w: %w", wire.ErrInvalid, err)
	}
	return err
}

// maxInsights bounds lists of what is asked for, and of what is said.
const maxInsights = 1000

func checkLength(name string, n, most int) error {
	if n < 0 || n > most {
		return fmt.Errorf("%w: %s is %d, want 0 to %d", wire.ErrInvalid, name, n, most)
	}
	return nil
}

// NextQuery asks what comes next after the session of the last of events: those of User, or Events, oldest first, of which only item, behavior and time count.
type NextQuery struct {
	User   string
	Events []fusion.Event
	// N is the number of items.
	N int
	// Goals are the behaviors with which a session counts as won; none means purchase.
	Goals []string
	Model string
	Stale bool
}

// Next is what may come next.
type Next struct {
	Source
	// Behaviors are all, and the end, most probable first.
	Behaviors []markov.Outcome
	Items     []SimilarEntry
	// Goal is the chance to come to a goal, and Steps the expected number of events until then or the end; NaN where the last event is a goal, or the model has none.
	Goal, Steps float64
	Stale       bool
}

// NextBehavior tells what comes next. Errors match wire.ErrUnknownUser, wire.ErrInvalid, wire.ErrNoModel and wire.ErrUnknownModel. Cost: one call for a history, and a
// system of equations as large as there are behaviors.
func (r *Router) NextBehavior(ctx context.Context, q NextQuery) (*Next, error) {
	if err := errors.Join(checkLength("n", q.N, maxInsights), checkLength("the number of events", len(q.Events), maxInsights), checkLength("the number of goals", len(q.Goals), 32)); err != nil {
		return nil, err
	}
	if q.User != "" && len(q.Events) > 0 {
		return nil, fmt.Errorf("%w: a user and the events of a session; name one of them", wire.ErrInvalid)
	}
	out := &Next{Goal: math.NaN(), Steps: math.NaN()}
	events := q.Events
	if q.User != "" {
		var err error
		if _, events, out.Stale, err = r.knownHistory(ctx, q.User, q.Stale); err != nil {
			return nil, err
		}
	}
	x, err := findInsight[markov.Predictor](r, markov.Kind.Name, q.Model)
	if err != nil {
		return nil, err
	}
	defer x.version.Release()
	out.Source = x.Source
	behaviors := map[fusion.Behavior]uint8{}
	for i, name := range x.model.Behaviors() {
		behaviors[fusion.Behavior(name)] = uint8(i)
	}
	var steps []train.Event
	for i := range events {
		e := &events[i]
		behavior, ok := behaviors[e.Behavior]
		switch {
		case !ok && q.User == "":
			return nil, fmt.Errorf("%w: behavior %q is not in model %s, which has %q", wire.ErrInvalid, e.Behavior, x.Model, x.model.Behaviors())
		case !ok || e.Feedback():
			continue
		}
		id, ok := x.dictionary.ID(e.Item)
		if !ok {
			id = train.NoItem
		}
		step := train.Event{Item: id, Behavior: behavior, Value: 1, Time: e.Time}
		if q.User != "" {
			step.Basket = worker.BasketOf(e)
		}
		steps = append(steps, step)
	}
	if out.Behaviors, err = x.model.NextBehaviors(steps); err != nil {
		return nil, refused(err)
	}
	items, err := x.model.NextItems(steps, q.N)
	if err != nil {
		return nil, refused(err)
	}
	for _, item := range items {
		if item.Filled { // the model has nothing to say of it
			break
		}
		key, err := x.keys(item.Item)
		if err != nil {
			return nil, err
		}
		out.Items = append(out.Items, SimilarEntry{key[0], item.Score})
	}
	last := markov.Start
	if len(steps) > 0 {
		last = x.model.Behaviors()[steps[len(steps)-1].Behavior]
	}
	return out, out.goal(x.model, last, q.Goals)
}

// goal sets the chance to come to a goal.
func (n *Next) goal(m markov.Predictor, last string, goals []string) error {
	asked := len(goals) > 0
	if !asked {
		goals = []string{string(fusion.Purchase)}
	}
	for i, g := range goals {
		if slices.Contains(goals[:i], g) {
			return fmt.Errorf("%w: goal %q is named twice", wire.ErrInvalid, g)
		}
	}
	for _, g := range goals {
		switch {
		case slices.Contains(m.Behaviors(), g):
		case asked:
			return fmt.Errorf("%w: goal %q is not a behavior of the model, which has %q", wire.ErrInvalid, g, m.Behaviors())
		default: // there are no purchases
			return nil
		}
	}
	if slices.Contains(goals, last) {
		return nil
	}
	fates, err := m.Chain().Stopping(goals...)
	if err != nil {
		return err
	}
	for _, f := range fates {
		if f.From != last {
			continue
		}
		n.Goal, n.Steps = 0, f.Steps
		for i := range goals { // End is behind them
			n.Goal += f.Chance[i]
		}
	}
	return nil
}

// RulesQuery asks for rules with an item on one side, or whose left side is part of a basket, or for all.
type RulesQuery struct {
	Item   string
	Right  bool
	Basket []string
	N      int
	// Sort is one of rules.Measures; empty means the first.
	Sort                      string
	Support, Confidence, Lift float64
	Model                     string
}

// Rule is a rule by keys.
type Rule struct {
	rules.Rule
	Left  []string
	Right string
}

// AssociationRules are rules of one model.
type AssociationRules struct {
	Source
	Rules []Rule
	// Fitting counts all that fit, and Transactions those that the model was made of.
	Fitting, Transactions uint64
}

// AssociationRules returns the rules that fit a query, in its order. Errors match wire.ErrUnknownItem, wire.ErrInvalid, wire.ErrNoModel and wire.ErrUnknownModel.
// It looks at all rules of the item, of the basket's items, or of the model, and keeps some thousand of them; a few such calls run at a time, others wait.
func (r *Router) AssociationRules(ctx context.Context, q RulesQuery) (*AssociationRules, error) {
	for _, x := range []float64{q.Support, q.Confidence, q.Lift} {
		if !(x >= 0) || math.IsInf(x, 0) {
			return nil, fmt.Errorf("%w: a least support, confidence or lift of %v; want a number of at least 0", wire.ErrInvalid, x)
		}
	}
	if q.Right && q.Item == "" {
		return nil, fmt.Errorf("%w: right without an item; name the item that rules lead to", wire.ErrInvalid)
	}
	sort := cmp.Or(q.Sort, rules.Measures[0])
	if err := rules.Sort(nil, sort); err != nil {
		return nil, fmt.Errorf("%w: %w", wire.ErrInvalid, err)
	}
	if err := errors.Join(checkLength("n", q.N, maxInsights), checkLength("the number of items of the basket", len(q.Basket), maxInsights)); err != nil {
		return nil, err
	}
	if q.Item != "" && len(q.Basket) > 0 {
		return nil, fmt.Errorf("%w: an item and a basket; name one of them", wire.ErrInvalid)
	}
	x, err := findInsight[rules.Finder](r, rules.Kind.Name, q.Model)
	if err != nil {
		return nil, err
	}
	defer x.version.Release()
	select {
	case r.scans <- struct{}{}:
		defer func() { <-r.scans }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	all, err := rulesOf(&x, &q)
	if err != nil {
		return nil, refused(err)
	}
	out := &AssociationRules{Source: x.Source, Transactions: x.model.Transactions()}
	var best []rules.Rule // those that may be among the first n, and some more
	seen := 0
	for rule := range all {
		if seen++; seen%scanCheck == 0 && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if rule.Support < q.Support || rule.Confidence < q.Confidence || rule.Lift < q.Lift {
			continue
		}
		out.Fitting++
		if sort == rules.Measures[0] && len(q.Basket) == 0 && len(best) >= q.N { // they come in this order
			continue
		}
		if best = append(best, rule); len(best) >= 2*q.N+scanCheck {
			if err := rules.Sort(best, sort); err != nil {
				return nil, err
			}
			clear(best[q.N:])
			best = best[:q.N]
		}
	}
	if err := rules.Sort(best, sort); err != nil {
		return nil, err
	}
	for _, rule := range best[:min(q.N, len(best))] {
		left, err := x.keys(rule.Antecedent...)
		if err != nil {
			return nil, err
		}
		right, err := x.keys(rule.Consequent)
		if err != nil {
			return nil, err
		}
		out.Rules = append(out.Rules, Rule{rule, left, right[0]})
	}
	return out, nil
}

// scanCheck is how many rules are looked at before a call looks whether anybody still waits.
const scanCheck = 4096

// maxScans is how many calls look through rules at a time.
const maxScans = 2

// rulesOf returns the rules that a query is about.
func rulesOf(x *insight[rules.Finder], q *RulesQuery) (iter.Seq[rules.Rule], error) {
	m := x.model
	switch {
	case q.Item != "":
		id, err := x.item(q.Item)
		if err != nil {
			return nil, err
		}
		if q.Right {
			return m.To(id)
		}
		return m.From(id)
	case len(q.Basket) > 0:
		var ids []uint32
		for _, key := range q.Basket {
			if id, ok := x.dictionary.ID(key); ok {
				ids = append(ids, id)
			}
		}
		slices.Sort(ids)
		return m.Matching(slices.Compact(ids))
	}
	return m.All(), nil
}

// groups is what a model of clusters knows.
type groups interface {
	train.Model
	Clusters() []clusters.Description
	Assign(q model.Query) (group int, distance float64, err error)
	GroupOf(item uint32) int
}

// Cluster is a group by keys: Items are those of its marks.
type Cluster struct {
	clusters.Description
	Items []string
}

// Clusters describes the groups of a model, each by up to n items. Errors match wire.ErrInvalid, wire.ErrNoModel and wire.ErrUnknownModel. Cost: O(groups · n).
func (r *Router) Clusters(name string, n int) ([]Cluster, Source, error) {
	if err := checkLength("n", n, maxInsights); err != nil {
		return nil, Source{}, err
	}
	x, err := findInsight[groups](r, clusters.Kind.Name, name)
	if err != nil {
		return nil, Source{}, err
	}
	defer x.version.Release()
	var out []Cluster
	for _, d := range x.model.Clusters() {
		c := Cluster{Description: d}
		c.Marks = d.Marks[:min(n, len(d.Marks))]
		for _, m := range c.Marks {
			key, err := x.keys(m.Item)
			if err != nil {
				return nil, Source{}, err
			}
			c.Items = append(c.Items, key[0])
		}
		out = append(out, c)
	}
	return out, x.Source, nil
}

// ClusterQuery asks for the group of a user, a basket, or, where items are grouped, an item.
type ClusterQuery struct {
	User   string
	Item   string
	Basket []BasketItem
	Model  string
	Stale  bool
}

// Assigned is the group of something.
type Assigned struct {
	Source
	// Group is -1 where nothing that is known of it is in the model; Distance is that to its center, NaN for an item.
	Group    int
	Distance float64
	Stale    bool
}

// AssignCluster tells which group something is in. Errors match wire.ErrUnknownUser, wire.ErrUnknownItem, wire.ErrInvalid, wire.ErrNoModel and wire.ErrUnknownModel.
func (r *Router) AssignCluster(ctx context.Context, q ClusterQuery) (*Assigned, error) {
	subjects := 0
	for _, given := range []bool{q.User != "", q.Item != "", len(q.Basket) > 0} {
		if given {
			subjects++
		}
	}
	if subjects != 1 {
		return nil, fmt.Errorf("%w: %d of a user, an item and a basket; name one of them", wire.ErrInvalid, subjects)
	}
	if err := checkLength("the number of items of the basket", len(q.Basket), maxInsights); err != nil {
		return nil, err
	}
	out := &Assigned{Group: -1, Distance: math.NaN()}
	var events []fusion.Event
	if q.User != "" {
		var err error
		if _, events, out.Stale, err = r.knownHistory(ctx, q.User, q.Stale); err != nil {
			return nil, err
		}
	}
	x, err := findInsight[groups](r, clusters.Kind.Name, q.Model)
	if err != nil {
		return nil, err
	}
	defer x.version.Release()
	out.Source = x.Source
	if q.Item != "" {
		id, err := x.item(q.Item)
		if err == nil {
			out.Group = x.model.GroupOf(id)
		}
		return out, err
	}
	ask := trainedHistory(r.history(x.version, x.dictionary, &Query{Basket: q.Basket}, events))
	if out.Group, out.Distance, err = x.model.Assign(ask); err != nil {
		return nil, refused(err)
	}
	if out.Group < 0 {
		out.Distance = math.NaN()
	}
	return out, nil
}
