package client

import (
	"time"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// Rules say which items may be in an answer and how their scores are changed. The zero value changes nothing. The rules are explained in
// docs/queries.md.
type Rules struct {
	Filter Filter
	// Boosts multiply the scores of the items that pass their filters. At most 32.
	Boosts    []Boost
	Freshness *Freshness
	Diversity *Diversity
	// Now is the present, for ages and windows; the zero time means the clock of the server.
	Now time.Time
}

// Filter says which items may be in an answer: those that meet all of it.
type Filter struct {
	Conditions []Condition
	// Allow, unless empty, has the only items that pass; those in Deny do not.
	Allow, Deny []string
	// OnlyProducts leaves out items without a record.
	OnlyProducts bool
}

// Condition is about one attribute of a product. AnyOf, AllOf, NoneOf, Between, AtLeast, AtMost and Available make one.
type Condition struct{ m *kithv1.Condition }

// AnyOf is met by products whose attribute is, or has among its texts, one of the texts.
func AnyOf(attribute string, texts ...string) Condition {
	return Condition{&kithv1.Condition{Attribute: attribute, Test: &kithv1.Condition_AnyOf{AnyOf: &kithv1.TextList{Texts: texts}}}}
}

// AllOf is met by products whose attribute has all of the texts.
func AllOf(attribute string, texts ...string) Condition {
	return Condition{&kithv1.Condition{Attribute: attribute, Test: &kithv1.Condition_AllOf{AllOf: &kithv1.TextList{Texts: texts}}}}
}

// NoneOf is met by products whose attribute has none of the texts, and by items that do not have it.
func NoneOf(attribute string, texts ...string) Condition {
	return Condition{&kithv1.Condition{Attribute: attribute, Test: &kithv1.Condition_NoneOf{NoneOf: &kithv1.TextList{Texts: texts}}}}
}

// Between is met by products whose attribute is a number from low to high, or a time between them in Unix milliseconds.
func Between(attribute string, low, high float64) Condition {
	return within(attribute, &kithv1.Range{Min: &low, Max: &high})
}

// AtLeast is Between without an upper bound.
func AtLeast(attribute string, low float64) Condition {
	return within(attribute, &kithv1.Range{Min: &low})
}

// AtMost is Between without a lower bound.
func AtMost(attribute string, high float64) Condition {
	return within(attribute, &kithv1.Range{Max: &high})
}

func within(attribute string, r *kithv1.Range) Condition {
	return Condition{&kithv1.Condition{Attribute: attribute, Test: &kithv1.Condition_Range{Range: r}}}
}

// Available is met by products whose attribute is a number above 0, or true.
func Available(attribute string) Condition {
	return Condition{&kithv1.Condition{Attribute: attribute, Test: &kithv1.Condition_Available{Available: &kithv1.Available{}}}}
}

// Boost multiplies the scores of items that pass a filter by a factor above 0; below 1 it lowers.
type Boost struct {
	Filter Filter
	Factor float64
}

// Freshness multiplies the score of a product by 1 + Strength * 2^(-age/HalfLife).
type Freshness struct {
	// Attribute is the time at which the product came; empty means since.
	Attribute string
	HalfLife  time.Duration
	// Strength is 1 if it is 0.
	Strength float64
}

// Diversity spreads an answer over groups: products whose attribute has the same text.
type Diversity struct {
	// Attribute is category if it is empty.
	Attribute string
	// Lambda is that of maximal marginal relevance: 1 is relevance alone, 0 spread alone; nil means 1.
	Lambda *float64
	// MaxPerGroup is the most items of a group; 0 means any number.
	MaxPerGroup int
	// BySimilarity has Lambda look at how similar items are, in place of groups. Only of Recommend.
	BySimilarity bool
}

func (f *Filter) proto() *kithv1.Filter {
	if len(f.Conditions) == 0 && len(f.Allow) == 0 && len(f.Deny) == 0 && !f.OnlyProducts {
		return nil
	}
	m := &kithv1.Filter{Allow: f.Allow, Deny: f.Deny, OnlyProducts: f.OnlyProducts}
	for _, c := range f.Conditions {
		m.Conditions = append(m.Conditions, c.m)
	}
	return m
}

func (r *Rules) boosts() (out []*kithv1.Boost) {
	for i := range r.Boosts {
		out = append(out, &kithv1.Boost{Filter: r.Boosts[i].Filter.proto(), Factor: r.Boosts[i].Factor})
	}
	return out
}

func (r *Rules) freshness() *kithv1.Freshness {
	if r.Freshness == nil {
		return nil
	}
	return &kithv1.Freshness{Attribute: r.Freshness.Attribute, HalfLifeMs: milliseconds(r.Freshness.HalfLife), Strength: r.Freshness.Strength}
}

func (d *Diversity) proto() *kithv1.Diversity {
	if d == nil {
		return nil
	}
	return &kithv1.Diversity{Attribute: d.Attribute, Lambda: d.Lambda, MaxPerGroup: count(d.MaxPerGroup), BySimilarity: d.BySimilarity}
}

// milliseconds converts a duration. A negative one becomes so large that servers refuse it.
func milliseconds(d time.Duration) uint64 { return uint64(d.Milliseconds()) }

// count converts a number. A negative one becomes so large that servers refuse it.
func count(n int) uint32 { return uint32(min(max(-1, n), 1<<31)) }

// unixMilli returns 0 for the zero time.
func unixMilli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// fromUnixMilli is the inverse.
func fromUnixMilli(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
