package api

import (
	"cmp"
	"fmt"
	"math"
	"time"

	"github.com/kith-io/kith/catalog/shelf"
	"github.com/kith-io/kith/coordinator"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// ruled is a request with rules about items.
type ruled interface {
	GetFilter() *kithv1.Filter
	GetBoosts() []*kithv1.Boost
	GetFreshness() *kithv1.Freshness
	GetDiversity() *kithv1.Diversity
	GetNowUnixMs() int64
}

// rulesOf converts the rules of a request and checks them.
func rulesOf(req ruled) (r coordinator.Rules, err error) {
	r.Now = req.GetNowUnixMs()
	r.Filter = filterOf(req.GetFilter())
	for _, b := range req.GetBoosts() {
		r.Boosts = append(r.Boosts, coordinator.Boost{Filter: filterOf(b.GetFilter()), Factor: b.GetFactor()})
	}
	if f := req.GetFreshness(); f != nil {
		halfLife, err := duration("half-life", f.HalfLifeMs)
		if err != nil {
			return r, err
		}
		r.Freshness = &coordinator.Freshness{Attribute: f.Attribute, HalfLife: halfLife, Strength: f.Strength}
		if f.Attribute == "" {
			r.Freshness.Attribute = coordinator.DefaultSince
		}
		if f.Strength == 0 {
			r.Freshness.Strength = 1
		}
	}
	if d := req.GetDiversity(); d != nil {
		r.Diversity = &coordinator.Diversity{Attribute: d.Attribute, Lambda: 1, MaxPerGroup: int(d.MaxPerGroup), BySimilarity: d.BySimilarity}
		if d.Attribute == "" {
			r.Diversity.Attribute = coordinator.DefaultCategory
		}
		if d.Lambda != nil {
			r.Diversity.Lambda = *d.Lambda
		}
	}
	return r, r.Check()
}

// duration converts milliseconds; with an error it returns 0.
func duration(what string, ms uint64) (time.Duration, error) {
	if ms > math.MaxInt64/uint64(time.Millisecond) {
		return 0, fmt.Errorf("%w: %s of %d ms; want at most 292 years", wire.ErrInvalid, what, ms)
	}
	return time.Duration(ms) * time.Millisecond, nil
}

func filterOf(m *kithv1.Filter) shelf.Filter {
	f := shelf.Filter{Allow: m.GetAllow(), Deny: m.GetDeny(), OnlyProducts: m.GetOnlyProducts()}
	for _, c := range m.GetConditions() {
		f.Conditions = append(f.Conditions, conditionOf(c))
	}
	return f
}

// conditionOf returns one that Check refuses where nothing is asked.
func conditionOf(m *kithv1.Condition) shelf.Condition {
	c := shelf.Condition{Attribute: m.GetAttribute()}
	switch t := m.GetTest().(type) {
	case *kithv1.Condition_AnyOf:
		c.Op, c.Values = shelf.AnyOf, t.AnyOf.GetTexts()
	case *kithv1.Condition_AllOf:
		c.Op, c.Values = shelf.AllOf, t.AllOf.GetTexts()
	case *kithv1.Condition_NoneOf:
		c.Op, c.Values = shelf.NoneOf, t.NoneOf.GetTexts()
	case *kithv1.Condition_Range:
		c.Op, c.Min, c.Max = shelf.Range, math.Inf(-1), math.Inf(1)
		if t.Range.Min != nil {
			c.Min = *t.Range.Min
		}
		if t.Range.Max != nil {
			c.Max = *t.Range.Max
		}
		c.ExcludeMin, c.ExcludeMax = t.Range.GetExcludeMin(), t.Range.GetExcludeMax()
	case *kithv1.Condition_Available:
		c.Op = shelf.Available
	}
	return c
}

// historyRules takes ages beyond what a Duration holds for any age: no event is so old.
func historyRules(ms []*kithv1.HistoryRule) (rules []coordinator.HistoryRule) {
	for _, m := range ms {
		x := coordinator.HistoryRule{}
		x.Within, _ = duration("age", m.GetWithinMs())
		for _, b := range m.GetBehaviors() {
			x.Behaviors = append(x.Behaviors, fusion.Behavior(b))
		}
		rules = append(rules, x)
	}
	return rules
}

// exploreOf returns nil for none.
func exploreOf(m *kithv1.Explore) (*coordinator.Explore, error) {
	if m == nil {
		return nil, nil
	}
	within, err := duration("age of new products", m.WithinMs)
	return &coordinator.Explore{
		Places: int(m.Places), Within: cmp.Or(within, coordinator.DefaultExploreWithin), Attribute: cmp.Or(m.Attribute, coordinator.DefaultSince),
	}, err
}

func pins(ms []*kithv1.Pin) (pins []coordinator.Pin) {
	for _, m := range ms {
		pins = append(pins, coordinator.Pin{Item: m.GetItem(), Rank: int(m.GetRank())})
	}
	return pins
}

// weightsOf converts weights of behaviors; none are nil.
func weightsOf(ms map[string]float64) (weights map[fusion.Behavior]float64) {
	for b, x := range ms {
		if weights == nil {
			weights = map[fusion.Behavior]float64{}
		}
		weights[fusion.Behavior(b)] = x
	}
	return weights
}
