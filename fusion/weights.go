package fusion

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// Weights says how events become interactions. All fields change results.
type Weights struct {
	// Behavior is the weight of one event with value 1, for each behavior. A
	// behavior that is not listed weighs 0: its events count for nothing. Cancel
	// is negative. Rating is a factor on the value, usually 1.
	Behavior map[Behavior]float64
	// HalfLife is the age at which an event counts half. 0 means that age does
	// not matter. Events without time count as new.
	HalfLife time.Duration
	// Cap is the largest weight of an interaction, 0 for none.
	Cap float64
}

// DefaultWeights returns the usual weights of a shop: the rarer and the more
// deliberate a behavior, the more it says.
func DefaultWeights() Weights {
	return Weights{Behavior: map[Behavior]float64{
		View:     1,
		Search:   1,
		Cart:     3,
		Purchase: 5,
		Cancel:   -5, // undoes one purchase
		Rating:   1,
	}}
}

// Validate returns an error that names the field and its bound.
func (w *Weights) Validate() error {
	if w.HalfLife < 0 {
		return fmt.Errorf("weights: HalfLife is %v; want 0 or more", w.HalfLife)
	}
	if !(w.Cap >= 0) || math.IsInf(w.Cap, 0) {
		return fmt.Errorf("weights: Cap is %v; want 0 or more", w.Cap)
	}
	for b, x := range w.Behavior {
		if !b.Valid() {
			return fmt.Errorf("weights: malformed behavior %q", string(b))
		}
		if math.IsNaN(x) || math.Abs(x) > 1e9 {
			return fmt.Errorf("weights: weight of %s is %v; want -1e9 to 1e9", b, x)
		}
	}
	return nil
}

// SameRows reports whether Fuse makes the same interactions by w and by x whenever it is called: without a half-life, which looks at the clock.
func (w *Weights) SameRows(x *Weights) bool {
	return w.HalfLife == 0 && x.HalfLife == 0 && w.Cap == x.Cap && maps.Equal(w.Behavior, x.Behavior)
}

// Interaction is all events of one user and one item, fused.
type Interaction struct {
	Item   string
	Weight float32 // dimensionless, from -MaxWeight to MaxWeight; above 0 unless there is a rating
	Last   int64   // time of the newest event that counts, Unix milliseconds, 0 if unknown
}

// MaxWeight bounds the weight of an interaction: the largest that package
// similarity takes.
const MaxWeight = 1 << 40

// MinWeight is the least magnitude of a weight but zero, so that products of weights keep
// their digits in float32. What decay or values make smaller, is this.
const MinWeight = 1.0 / (1 << 40)

// Fuse makes the interactions of one user, by ascending item, from all of the
// user's events (each event once) as seen at the time now (Unix milliseconds):
//
//	weight = min(Cap, sum over events of behavior weight x value x 2^(-age/HalfLife))
//
// with age = max(0, now - time), brought into the range of MaxWeight. Events
// of a behavior without weight do not count. Cancel events weigh against the
// item that they name. Of several events of behavior rating only the latest (by
// time, then ID) counts: a user who rates again has changed their mind.
//
// An item with a rating is kept whatever its weight: a rating of 0 or -3 is a
// statement. Any other item is left out if its weight is not above 0.
//
// The sum is formed in float64, in the order of time and ID, so the result
// does not depend on the order of events; events itself is not changed. Events of the store have been
// validated; Fuse does not check them. Cost: O(n log n).
func Fuse(events []Event, w Weights, now int64) []Interaction {
	order := make([]*Event, len(events))
	for i := range events {
		order[i] = &events[i]
	}
	slices.SortFunc(order, func(a, b *Event) int {
		if x := strings.Compare(a.Item, b.Item); x != 0 {
			return x // most are of different items
		}
		return cmp.Or(
			cmp.Compare(a.Time, b.Time),
			strings.Compare(a.ID, b.ID),
			// Events without ids, in tests: any fixed order.
			strings.Compare(string(a.Behavior), string(b.Behavior)),
			cmp.Compare(a.Value, b.Value),
		)
	})
	out := make([]Interaction, 0, min(len(order), 64))
	var terms []term
	for len(order) > 0 {
		item := order[0].Item
		n := 0
		for terms = terms[:0]; n < len(order) && order[n].Item == item; n++ {
			e := order[n]
			if factor := w.Behavior[e.Behavior]; factor != 0 {
				terms = append(terms, w.term(factor, e.Behavior, e.Value, e.Time, now))
			}
		}
		if weight, last, ok := w.sum(terms); ok {
			out = append(out, Interaction{item, weight, last})
		}
		order = order[n:]
	}
	return out
}

// LatestRatings returns the value of the newest rating of each item, by time, then ID, from all events of one user. It is nil without ratings. Cost: O(n).
func LatestRatings(events []Event) map[string]float64 {
	var latest map[string]*Event
	for i := range events {
		e := &events[i]
		if e.Behavior != Rating {
			continue
		}
		if latest == nil {
			latest = map[string]*Event{}
		}
		if x := latest[e.Item]; x == nil || cmp.Or(cmp.Compare(e.Time, x.Time), strings.Compare(e.ID, x.ID)) > 0 {
			latest[e.Item] = e
		}
	}
	if latest == nil {
		return nil
	}
	out := make(map[string]float64, len(latest))
	for item, e := range latest {
		out[item] = e.Value
	}
	return out
}

// term is what one event adds to its interaction.
type term struct {
	weight float64 // finite
	time   int64
	rating bool
}

// term returns the term of an event with a finite value and a behavior that
// weighs factor.
func (w *Weights) term(factor float64, b Behavior, value float64, time, now int64) term {
	// The factor is finite at each step, so the product is not NaN, and after
	// the bound neither is any sum.
	x := factor * w.decay(now, time) * value
	return term{max(-math.MaxFloat64, min(x, math.MaxFloat64)), time, b == Rating}
}

// decay returns 2^(-age/half-life).
func (w *Weights) decay(now, t int64) float64 {
	if w.HalfLife <= 0 || t == 0 || t >= now {
		return 1
	}
	return math.Exp2(-float64(now-t) / (float64(w.HalfLife) / float64(time.Millisecond)))
}

// sum fuses the terms of one user and item, in the order of their events.
func (w *Weights) sum(terms []term) (weight float32, last int64, ok bool) {
	rating := -1
	for i := range terms {
		if terms[i].rating {
			rating = i
		}
	}
	sum := 0.0
	for i, t := range terms {
		if t.rating && i != rating {
			continue
		}
		sum += t.weight
		last = max(last, t.time)
	}
	if w.Cap > 0 {
		sum = min(sum, w.Cap)
	}
	weight = float32(max(-MaxWeight, min(sum, MaxWeight)))
	if sum != 0 && math.Abs(sum) < MinWeight {
		weight = float32(math.Copysign(MinWeight, sum))
	}
	return weight, last, rating >= 0 || weight > 0
}

// errNow: a missing reference time with a half-life would silently give every
// event full weight.
var errNow = errors.New("weights: HalfLife needs a reference time; give the present, or the end of the data, in Unix milliseconds")

func byTime(a, b term) int { return cmp.Compare(a.time, b.time) }
