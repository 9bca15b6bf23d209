package coordinator

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/catalog/shelf"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node/wire"
)

// Rules say what may be in an answer and how its order is changed. The zero value changes nothing.
type Rules struct {
	// Filter holds for all items, those of fallbacks and pins included.
	Filter shelf.Filter
	// Exclude, unless empty, says what of the history may not be in the answer, in place of all of it.
	Exclude []HistoryRule
	// Boosts multiply the scores of the items that pass their filters.
	Boosts    []Boost
	Freshness *Freshness
	Diversity *Diversity
	// Pins are items with fixed places. They obey the filter, but neither the history nor diversity.
	Pins []Pin
	// Now stands for the present, in Unix milliseconds; 0 is the present.
	Now int64
}

// HistoryRule excludes items of some events of the user.
type HistoryRule struct {
	// Behaviors of the events; none means all but feedback (fusion.Event.Feedback).
	Behaviors []fusion.Behavior
	// Within is the largest age of the events; 0 means any. Events without a time are new.
	Within time.Duration
}

// Boost multiplies scores.
type Boost struct {
	Filter shelf.Filter
	Factor float64
}

// Freshness multiplies the score of a product of some age by 1 + Strength · 2^(-age/HalfLife), and leaves one without a moment as it is.
type Freshness struct {
	// Attribute has the moment at which the product came.
	Attribute string
	HalfLife  time.Duration
	Strength  float64
}

// Diversity spreads an answer over groups: products whose attribute has the same text. Products without one are alone in theirs. Or it keeps similar items apart.
type Diversity struct {
	Attribute string
	// Lambda of maximal marginal relevance: 1 is relevance alone, 0 spread alone.
	Lambda float64
	// MaxPerGroup is the most items of a group; 0 means any number.
	MaxPerGroup int
	// BySimilarity has λ look at how similar items are by the neighbor lists, in place of groups. Only of recommendations, and of what the model ranks there.
	BySimilarity bool
}

// Pin gives an item a place, from 1.
type Pin struct {
	Item string
	Rank int
}

// Bounds of Rules.
const (
	maxBoosts      = 32
	maxExcludes    = 32
	maxFactor      = 1e6
	minFactor      = 1e-6
	maxHalfLife    = 100 * 365 * 24 * time.Hour
	maxFreshFactor = 1000
)

// Check returns nil if the rules are within their bounds, or an error that matches wire.ErrInvalid.
func (r *Rules) Check() error {
	if err := r.Filter.Check(); err != nil {
		return fmt.Errorf("%w: %w", wire.ErrInvalid, err)
	}
	if len(r.Boosts) > maxBoosts || len(r.Exclude) > maxExcludes || len(r.Pins) > MaxN {
		return fmt.Errorf("%w: %d boosts, %d rules about the history and %d pins; want at most %d, %d and %d",
			wire.ErrInvalid, len(r.Boosts), len(r.Exclude), len(r.Pins), maxBoosts, maxExcludes, MaxN)
	}
	for i := range r.Boosts {
		b := &r.Boosts[i]
		if err := b.Filter.Check(); err != nil {
			return fmt.Errorf("%w: boost %d: %w", wire.ErrInvalid, i+1, err)
		}
		if !(b.Factor >= minFactor && b.Factor <= maxFactor) {
			return fmt.Errorf("%w: boost %d: factor %v; want %v to %v, and below 1 to lower scores", wire.ErrInvalid, i+1, b.Factor, minFactor, maxFactor)
		}
	}
	for _, x := range r.Exclude {
		if x.Within < 0 {
			return fmt.Errorf("%w: history within %v; want at least 0", wire.ErrInvalid, x.Within)
		}
		for _, b := range x.Behaviors {
			if !b.Valid() {
				return fmt.Errorf("%w: malformed behavior %q", wire.ErrInvalid, string(b))
			}
		}
	}
	if r.Now < 0 || r.Now > fusion.MaxTime {
		return fmt.Errorf("%w: the time %d is out of range", wire.ErrInvalid, r.Now)
	}
	if err := r.Freshness.check(); err != nil {
		return err
	}
	if err := r.Diversity.check(); err != nil {
		return err
	}
	return checkPins(r.Pins)
}

// checkList is Check of rules for lists that are the same for all users.
func (r *Rules) checkList() error {
	if r.Diversity != nil && r.Diversity.BySimilarity {
		return fmt.Errorf("%w: diversity by similarity is of recommendations; lists have it by groups", wire.ErrInvalid)
	}
	return r.Check()
}

func (f *Freshness) check() error {
	switch {
	case f == nil:
	case f.Attribute == "" || len(f.Attribute) > catalog.MaxNameBytes:
		return fmt.Errorf("%w: freshness: attribute %.80q; want the name of a time", wire.ErrInvalid, f.Attribute)
	case f.HalfLife <= 0 || f.HalfLife > maxHalfLife:
		return fmt.Errorf("%w: freshness: a half-life of %v; want more than 0, up to %v", wire.ErrInvalid, f.HalfLife, maxHalfLife)
	case !(f.Strength > 0 && f.Strength <= maxFreshFactor):
		return fmt.Errorf("%w: freshness: strength %v; want more than 0, up to %v", wire.ErrInvalid, f.Strength, maxFreshFactor)
	}
	return nil
}

func (d *Diversity) check() error {
	switch {
	case d == nil:
	case d.Attribute == "" || len(d.Attribute) > catalog.MaxNameBytes:
		return fmt.Errorf("%w: diversity: attribute %.80q; want the name of a text", wire.ErrInvalid, d.Attribute)
	case !(d.Lambda >= 0 && d.Lambda <= 1):
		return fmt.Errorf("%w: diversity: lambda %v; want 0 (spread alone) to 1 (relevance alone)", wire.ErrInvalid, d.Lambda)
	case d.MaxPerGroup < 0 || d.MaxPerGroup > MaxN:
		return fmt.Errorf("%w: diversity: at most %d of a group; want 1 to %d, or 0 for any number", wire.ErrInvalid, d.MaxPerGroup, MaxN)
	}
	return nil
}

func checkPins(pins []Pin) error {
	items, ranks := map[string]bool{}, map[int]bool{}
	for _, p := range pins {
		switch {
		case p.Item == "" || p.Rank < 1 || p.Rank > MaxN:
			return fmt.Errorf("%w: pin of item %.80q at %d; want a key, and a rank of 1 to %d", wire.ErrInvalid, p.Item, p.Rank, MaxN)
		case items[p.Item] || ranks[p.Rank]:
			return fmt.Errorf("%w: pin of item %.80q at %d: item and rank must be pinned once", wire.ErrInvalid, p.Item, p.Rank)
		}
		items[p.Item], ranks[p.Rank] = true, true
	}
	return nil
}

// settle says when the present is, where the rules do not.
func (r *Rules) settle(now time.Time) {
	if r.Now == 0 {
		r.Now = now.UnixMilli()
	}
}

// usesProducts reports whether the outcome depends on what products are.
func (r *Rules) usesProducts() bool {
	return r.Filter.UsesProducts() || r.Freshness != nil || r.Diversity != nil ||
		slices.ContainsFunc(r.Boosts, func(b Boost) bool { return b.Filter.UsesProducts() })
}

// reorders reports whether the order may be another than that of the scores of the model.
func (r *Rules) reorders() bool { return len(r.Boosts) > 0 || r.Freshness != nil || r.Diversity != nil }

// largestFactor is the most by which a score may be multiplied.
func (r *Rules) largestFactor() float64 {
	x := 1.0
	for _, b := range r.Boosts {
		x *= max(1, b.Factor)
	}
	if r.Freshness != nil {
		x *= 1 + r.Freshness.Strength
	}
	return x
}

// excludes returns the items of a history that may not be in the answer.
func (r *Rules) excludes(events []fusion.Event) map[string]bool {
	out := make(map[string]bool, len(events))
	for i := range events {
		if len(r.Exclude) == 0 && !events[i].Feedback() || slices.ContainsFunc(r.Exclude, func(x HistoryRule) bool { return x.covers(&events[i], r.Now) }) {
			out[events[i].Item] = true
		}
	}
	return out
}

// about reports whether a rule is about events as this one; without behaviors it is about all but feedback.
func (x *HistoryRule) about(e *fusion.Event) bool {
	if len(x.Behaviors) == 0 {
		return !e.Feedback()
	}
	return slices.Contains(x.Behaviors, e.Behavior)
}

func (x *HistoryRule) covers(e *fusion.Event, now int64) bool {
	if !x.about(e) {
		return false
	}
	return x.Within == 0 || e.Time == 0 || now-e.Time <= x.Within.Milliseconds()
}

// judge applies rules, whose present is settled, to items, by the products of one moment.
type judge struct {
	rules  *Rules
	view   *shelf.View
	test   *shelf.Test
	boosts []*shelf.Test
	since  shelf.Name
	group  shelf.Name
}

func newJudge(r *Rules, v *shelf.View) *judge {
	j := &judge{rules: r, view: v, test: v.Compile(&r.Filter)}
	for i := range r.Boosts {
		j.boosts = append(j.boosts, v.Compile(&r.Boosts[i].Filter))
	}
	if r.Freshness != nil {
		j.since = v.Name(r.Freshness.Attribute)
	}
	if r.Diversity != nil {
		j.group = v.Name(r.Diversity.Attribute)
	}
	return j
}

// judge returns whether an item may be in the answer, by what its score is multiplied, and its group. It does not allocate.
func (j *judge) judge(key []byte) (factor float64, group uint32, ok bool) {
	return j.judgeAt(j.view.Find(key), key)
}

// judgeAt is judge of the item at a slot.
func (j *judge) judgeAt(slot int, key []byte) (factor float64, group uint32, ok bool) {
	if !j.test.Match(slot, key) {
		return 0, 0, false
	}
	factor = 1
	for i, b := range j.boosts {
		if b.Match(slot, key) {
			factor *= j.rules.Boosts[i].Factor
		}
	}
	if f := j.rules.Freshness; f != nil {
		if since, known := j.view.Time(slot, j.since); known {
			age := max(0, j.rules.Now-since)
			factor *= 1 + f.Strength*math.Exp2(-float64(age)/float64(f.HalfLife.Milliseconds()))
		}
	}
	return factor, j.view.Group(slot, j.group), true
}
