package fusion

import "math"

// Adds says to which interactions of a user new events can be added without the events that made them. Of several events, or users, the highest counts.
type Adds uint8

const (
	// AddsAll means to all of them: the values of all events are whole numbers from 0 to 1<<20, no event is a rating or a cancellation, and so sums by whole weights are exact in any order.
	AddsAll Adds = iota
	// AddsNew means to items without an interaction: these have no event that weighs anything, as no value is below 0, no event is a cancellation, and ratings are interactions
	// whatever they weigh.
	AddsNew
	// AddsNone means to none: an item without an interaction may have events that weigh.
	AddsNone
)

// mostWhole is the largest value that is added.
const mostWhole = 1 << 20

// Adds returns what can be added to a user with such an event. It does not depend on weights. Stores keep what follows from it in files: see changedVersion of package store.
func (e *Event) Adds() Adds { return addsOf(e.Behavior, e.Value) }

func addsOf(b Behavior, value float64) Adds {
	switch {
	case b == Rating:
		return AddsNew
	case b == Cancel || value < 0:
		return AddsNone
	case value > mostWhole || value != math.Trunc(value):
		return AddsNew
	}
	return AddsAll
}

// Addition is an event as it is added to an interaction.
type Addition struct {
	Item     string
	Behavior Behavior
	Value    float64
}

// UserChange is what has come of a user since some moment.
type UserChange struct {
	User string
	// Adds is AddsNone where anything but Events may have happened to the user, too.
	Adds   Adds
	Events []Addition // in any order; none if Adds is AddsNone
}

// Adder adds events to interactions that Fuse has made, by the same weights. It is not safe for concurrent use.
type Adder struct {
	weights *Weights
	least   Adds // of all users by these weights
	terms   []term
}

// exactSum bounds sums that are added to: below it float32 tells a whole number from one and a half of it.
const exactSum = 1 << 23

// Adder returns an Adder. Weights that decay add nothing, as do those below 0 of behaviors but cancel and rating; those that are no whole numbers add to items without an
// interaction.
func (w *Weights) Adder() *Adder {
	a := &Adder{weights: w}
	if w.HalfLife != 0 {
		a.least = AddsNone
	}
	for b, x := range w.Behavior {
		switch {
		case b == Cancel || b == Rating: // by Adds of the user
		case x < 0:
			a.least = AddsNone
		case x != math.Trunc(x):
			a.least = max(a.least, AddsNew)
		}
	}
	return a
}

// Add returns what Fuse gives for an item and all events of a user, where it gave the weight old, or had is false and it gave no interaction, before events of the item came. has is false if it gives none.
// ok is false if that cannot be told: adds is that of all events of the user, those that have come as well. Cost: O(events).
func (a *Adder) Add(adds Adds, old float32, had bool, events []Addition) (weight float32, has, ok bool) {
	w := a.weights
	a.terms = a.terms[:0]
	whole := a.least == AddsAll
	sum := float64(old) // if whole
	for i := range events {
		e := &events[i]
		factor := w.Behavior[e.Behavior]
		if factor == 0 {
			continue
		}
		t := w.term(factor, e.Behavior, e.Value, 0, 0)
		a.terms = append(a.terms, t)
		whole = whole && addsOf(e.Behavior, e.Value) == AddsAll
		sum += t.weight
	}
	adds = max(adds, a.least)
	switch {
	case adds == AddsNone:
		return 0, false, false
	case len(a.terms) == 0:
		return old, had, true
	case !had && len(a.terms) > 1 && !whole: // their order counts
		return 0, false, false
	case !had:
		weight, _, has = w.sum(a.terms)
		return weight, has, true
	case adds != AddsAll || !whole || old != float32(math.Trunc(float64(old))) || sum >= exactSum:
		return 0, false, false
	}
	if w.Cap > 0 {
		sum = min(sum, w.Cap) // where the old sum was above the cap, old is the cap in float32
	}
	return float32(sum), sum > 0, true
}
