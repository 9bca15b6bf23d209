package experiment

import (
	"cmp"
	"maps"
	"slices"

	"github.com/kith-io/kith/fusion"
)

// touch is one item of one answer that a user saw or clicked on. Behavior, id and item tell it from others.
type touch struct {
	answer *Answer
	item   string
	time   int64
}

// Feedback is what the events of one user say of answers.
type Feedback struct {
	// Impressions and clicks: each item of an answer once, at the earliest of its times, by time.
	impressions, clicks []touch
	// Refused are the events whose id is not one of an answer for this user with the item in it.
	Refused uint64
}

// FeedbackOf reads the feedback of a user from all events of the user, in any order; key is that of the ids. An event is taken for as old as the answer
// at least. Cost: a code of HMAC-SHA256 for each answer, about a microsecond.
func FeedbackOf(key []byte, user string, events []fusion.Event) (f Feedback) {
	answers := map[[2]string]*Answer{} // by id and the key that was answered; nil for what is refused
	met := map[[3]string]int{}         // where each touch is in its list
	units := map[string]uint64{}       // of the keys of the user
	for i := range events {
		e := &events[i]
		if !e.Feedback() {
			continue
		}
		id := e.Context[fusion.ContextAnswer]
		asked := cmp.Or(e.Context[fusion.ContextAsked], user)
		a, known := answers[[2]string{id, asked}]
		if !known {
			if _, met := units[asked]; !met {
				units[asked] = Unit(key, asked)
			}
			if x, err := Open(key, id); err == nil && x.Unit == units[asked] {
				a = &x
			}
			answers[[2]string{id, asked}] = a
		}
		if a == nil || !a.Has(e.Item) {
			f.Refused++
			continue
		}
		touches := &f.impressions
		if e.Behavior == fusion.Click {
			touches = &f.clicks
		}
		x := touch{a, e.Item, max(e.Time, a.Time)}
		k := [3]string{string(e.Behavior), id, e.Item}
		if at, again := met[k]; again {
			first := &(*touches)[at]
			first.time = min(first.time, x.time)
			continue
		}
		met[k] = len(*touches)
		*touches = append(*touches, x)
	}
	byTime := func(a, b touch) int {
		return cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.answer.Time, b.answer.Time))
	}
	slices.SortStableFunc(f.impressions, byTime)
	slices.SortStableFunc(f.clicks, byTime)
	return f
}

// Clicked reports whether the user clicked on an item of any answer: whether its purchases may count.
func (f *Feedback) Clicked(item string) bool {
	return slices.ContainsFunc(f.clicks, func(x touch) bool { return x.item == item })
}

// mostRevenue bounds what one purchase brings: a price that is a mistake should not take away the figures of all others.
const mostRevenue = 1e12

// Purchase is what was bought, and kept, in one event.
type Purchase struct {
	Item string
	// Time in Unix milliseconds; one of unknown time, 0, counts for no click.
	Time int64
	// Revenue is what it brought, 0 if the price is not known.
	Revenue float64
}

// Counts are what became of answers: each item of each answer counts once as an impression and once as a click. They add up.
type Counts struct {
	Impressions, Clicks, Purchases uint64
	Revenue                        float64
}

func (c *Counts) add(o Counts) {
	c.Impressions, c.Clicks, c.Purchases = c.Impressions+o.Impressions, c.Clicks+o.Clicks, c.Purchases+o.Purchases
	c.Revenue += o.Revenue
}

// VariantTally is what became of the users of one variant and of its answers.
type VariantTally struct {
	// Users are those who saw an item of an answer of the experiment, or clicked on one, in the variant that they met first.
	Users uint64
	// Clicked are those of them who clicked on an answer of the experiment, and Converted those with a purchase that counts for such a click.
	Clicked, Converted uint64
	// Squares is the sum of the squares of the revenues of users; Revenue the sum.
	Revenue, Squares float64
	// Models are the counts by the version of the model that answered. Those of answers of this variant, whatever variant the user met first.
	Models map[uint64]Counts
}

// All returns the counts of all models.
func (v *VariantTally) All() (all Counts) {
	for _, version := range slices.Sorted(maps.Keys(v.Models)) {
		all.add(v.Models[version])
	}
	return all
}

// Tally is what became of an experiment, or of all scenes, which are the variants then. Tallies of disjoint sets of users add up.
type Tally struct {
	// Variants by name.
	Variants map[string]*VariantTally
	// Crossed are the users who met more than one variant, as weights have changed.
	Crossed uint64
	// Refused is the number of events of feedback, of any answers, that were not good; see Feedback.
	Refused uint64
}

// NewTally returns an empty Tally.
func NewTally() *Tally { return &Tally{Variants: map[string]*VariantTally{}} }

// Variant returns the tally of a variant.
func (t *Tally) Variant(name string) *VariantTally {
	v := t.Variants[name]
	if v == nil {
		v = &VariantTally{Models: map[uint64]Counts{}}
		t.Variants[name] = v
	}
	return v
}

// AddUser adds what became of one user of an experiment. A purchase counts for the last click on its item, on any answer, up to window milliseconds before it:
// if that was one of the experiment. Cost: O(touches + purchases·clicks).
func (t *Tally) AddUser(name string, f *Feedback, purchases []Purchase, window int64) {
	t.Refused += f.Refused
	var first *touch
	variants := map[string]bool{}
	of := func(touches []touch, one Counts) {
		for i := range touches {
			x := &touches[i]
			if x.answer.Experiment != name {
				continue
			}
			if first == nil || x.answer.Time < first.answer.Time {
				first = x
			}
			variants[x.answer.Variant] = true
			t.count(x.answer.Variant, x, one)
		}
	}
	of(f.impressions, Counts{Impressions: 1})
	of(f.clicks, Counts{Clicks: 1})
	if first == nil {
		return
	}
	v := t.Variant(first.answer.Variant)
	v.Users++
	if len(variants) > 1 {
		t.Crossed++
	}
	if slices.ContainsFunc(f.clicks, func(x touch) bool { return x.answer.Experiment == name }) {
		v.Clicked++
	}
	converted, revenue := false, 0.0
	for _, p := range purchases {
		x := f.lastClick(p, window)
		if x == nil || x.answer.Experiment != name {
			continue
		}
		converted = true
		brought := min(p.Revenue, mostRevenue)
		revenue += brought
		t.count(x.answer.Variant, x, Counts{Purchases: 1, Revenue: brought})
	}
	if converted {
		v.Converted++
	}
	v.Revenue += revenue
	v.Squares += revenue * revenue
}

// AddUserOfScenes adds what became of one user and the answers of scenes that were made at a time or later; the variants of the tally are scenes. A user counts in each scene
// that it met, whatever experiments there were. Purchases count as in AddUser.
func (t *Tally) AddUserOfScenes(f *Feedback, purchases []Purchase, window, since int64) {
	t.Refused += f.Refused
	type outcome struct {
		clicked, converted bool
		revenue            float64
	}
	met := map[string]*outcome{}
	of := func(x *touch, one Counts) *outcome {
		scene := x.answer.Scene
		if met[scene] == nil {
			met[scene] = &outcome{}
		}
		t.count(scene, x, one)
		return met[scene]
	}
	for i := range f.impressions {
		if x := &f.impressions[i]; x.answer.Time >= since {
			of(x, Counts{Impressions: 1})
		}
	}
	for i := range f.clicks {
		if x := &f.clicks[i]; x.answer.Time >= since {
			of(x, Counts{Clicks: 1}).clicked = true
		}
	}
	for _, p := range purchases {
		if x := f.lastClick(p, window); x != nil && x.answer.Time >= since {
			brought := min(p.Revenue, mostRevenue)
			o := of(x, Counts{Purchases: 1, Revenue: brought})
			o.converted = true
			o.revenue += brought
		}
	}
	for scene, o := range met {
		v := t.Variant(scene)
		v.Users++
		if o.clicked {
			v.Clicked++
		}
		if o.converted {
			v.Converted++
		}
		v.Revenue += o.revenue
		v.Squares += o.revenue * o.revenue
	}
}

// count adds to the counts, under a name, of the answer of a touch.
func (t *Tally) count(name string, x *touch, one Counts) {
	models := t.Variant(name).Models
	c := models[x.answer.Version]
	c.add(one)
	models[x.answer.Version] = c
}

// lastClick returns the last click on the item of a purchase in the window before it, or nil.
func (f *Feedback) lastClick(p Purchase, window int64) *touch {
	if p.Time == 0 {
		return nil
	}
	for i := range slices.Backward(f.clicks) {
		if x := &f.clicks[i]; x.item == p.Item && x.time <= p.Time {
			if x.time < p.Time-window {
				return nil
			}
			return x
		}
	}
	return nil
}

// Add adds the tally of other users.
func (t *Tally) Add(o *Tally) {
	t.Crossed, t.Refused = t.Crossed+o.Crossed, t.Refused+o.Refused
	for name, x := range o.Variants {
		v := t.Variant(name)
		v.Users, v.Clicked, v.Converted = v.Users+x.Users, v.Clicked+x.Clicked, v.Converted+x.Converted
		v.Revenue, v.Squares = v.Revenue+x.Revenue, v.Squares+x.Squares
		for version, c := range x.Models {
			sum := v.Models[version]
			sum.add(c)
			v.Models[version] = sum
		}
	}
}
