package experiment_test

import (
	"fmt"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kith-io/kith/experiment"
	"github.com/kith-io/kith/fusion"
)

// answer returns the id of an answer for a user with some items.
func answer(user, name, variant string, version uint64, time int64, items ...string) string {
	a := experiment.Answer{Unit: experiment.Unit(key, user), Time: time, Version: version, Scene: "home", Experiment: name, Variant: variant}
	for _, item := range items {
		a.Items = append(a.Items, experiment.Item(item))
	}
	return a.ID(key)
}

func feedback(behavior fusion.Behavior, item, id string, time int64) fusion.Event {
	return fusion.Event{Item: item, Behavior: behavior, Time: time, Context: map[string]string{fusion.ContextAnswer: id}}
}

// TestTallyByHand follows one user: two answers, one of them of another experiment, and three purchases.
func TestTallyByHand(t *testing.T) {
	a, other := answer("u", "e", "b", 7, 1000, "i1", "i2"), answer("u", "x", "b", 7, 2000, "i2", "i3")
	f := experiment.FeedbackOf(key, "u", []fusion.Event{
		feedback(fusion.Impression, "i1", a, 1001), feedback(fusion.Impression, "i2", a, 1001),
		feedback(fusion.Impression, "i1", a, 1500), // seen once more
		feedback(fusion.Click, "i1", a, 1600), feedback(fusion.Click, "i2", a, 1700), feedback(fusion.Click, "i2", other, 2100),
		feedback(fusion.Click, "i3", a, 1800), // was not in the answer
		feedback(fusion.Click, "i1", answer("w", "e", "b", 7, 1000, "i1"), 1900), feedback(fusion.Click, "i1", "AAAA", 1900),
		{Item: "i1", Behavior: fusion.Click, Time: 1950}, // of no answer
	})
	tally := experiment.NewTally()
	tally.AddUser("e", &f, []experiment.Purchase{
		{Item: "i1", Time: 2600, Revenue: 20},  // 1,000 ms behind the click: in the window
		{Item: "i1", Time: 2601, Revenue: 100}, // and beyond
		{Item: "i2", Time: 1750, Revenue: 5},
		{Item: "i2", Time: 2200, Revenue: 300}, // the last click on it was on the other answer
		{Item: "i3", Time: 2200, Revenue: 300}, // not clicked on in the experiment
		{Item: "i1", Time: 1599, Revenue: 300}, // before the click
		{Item: "i1", Time: 0, Revenue: 300},
	}, 1000)
	want := &experiment.Tally{Refused: 3, Variants: map[string]*experiment.VariantTally{"b": {
		Users: 1, Clicked: 1, Converted: 1, Revenue: 25, Squares: 625,
		Models: map[uint64]experiment.Counts{7: {Impressions: 2, Clicks: 2, Purchases: 2, Revenue: 25}},
	}}}
	if diff := gocmp.Diff(want, tally); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestTallyOfJoinedKeys: what a cookie clicked on counts for the account that it is joined to, and nothing that was answered to others does.
func TestTallyOfJoinedKeys(t *testing.T) {
	as := func(user string, e fusion.Event) fusion.Event {
		e.User, e.ID, e.Value = user, "1", 1
		return e.Under("account")
	}
	seen := feedback(fusion.Click, "i1", answer("cookie", "e", "a", 6, 1000, "i1"), 1100)
	f := experiment.FeedbackOf(key, "account", []fusion.Event{as("cookie", seen), as("thief", seen)})
	if !f.Clicked("i1") || f.Refused != 1 {
		t.Errorf("clicked %v, refused %d; want the click of the cookie and one refusal", f.Clicked("i1"), f.Refused)
	}
}

// TestTallyOfRepeatedClicks: a click that comes again, or before, is one click at the earliest of its times.
func TestTallyOfRepeatedClicks(t *testing.T) {
	id := answer("u", "e", "a", 6, 1000, "i1")
	for _, times := range [][]int64{{1100, 5000}, {5000, 1100}} {
		f := experiment.FeedbackOf(key, "u", []fusion.Event{feedback(fusion.Click, "i1", id, times[0]), feedback(fusion.Click, "i1", id, times[1])})
		tally := experiment.NewTally()
		tally.AddUser("e", &f, []experiment.Purchase{{Item: "i1", Time: 1200}}, 1000)
		if c := tally.Variant("a").All(); c.Clicks != 1 || c.Purchases != 1 {
			t.Errorf("clicks at %v: %+v, want one click and one purchase", times, c)
		}
	}
}

// TestTallyOfCrossedUsers: who meets two variants counts for the first, and the answers for those that gave them.
func TestTallyOfCrossedUsers(t *testing.T) {
	late, early := answer("u", "e", "b", 7, 2000, "i1"), answer("u", "e", "a", 6, 1000, "i1")
	f := experiment.FeedbackOf(key, "u", []fusion.Event{
		feedback(fusion.Impression, "i1", late, 2001), feedback(fusion.Click, "i1", late, 2002), feedback(fusion.Impression, "i1", early, 3000),
	})
	tally := experiment.NewTally()
	tally.AddUser("e", &f, []experiment.Purchase{{Item: "i1", Time: 2500, Revenue: 4}}, 1000)
	want := &experiment.Tally{Crossed: 1, Variants: map[string]*experiment.VariantTally{
		"a": {Users: 1, Clicked: 1, Converted: 1, Revenue: 4, Squares: 16, Models: map[uint64]experiment.Counts{6: {Impressions: 1}}},
		"b": {Models: map[uint64]experiment.Counts{7: {Impressions: 1, Clicks: 1, Purchases: 1, Revenue: 4}}},
	}}
	if diff := gocmp.Diff(want, tally); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestTallyOfScenes: a user counts in each scene that it met, in an experiment or not, and answers from a time on count alone.
func TestTallyOfScenes(t *testing.T) {
	of := func(scene, name string, version uint64, time int64, items ...string) string {
		a := experiment.Answer{Unit: experiment.Unit(key, "u"), Time: time, Version: version, Scene: scene, Experiment: name}
		for _, item := range items {
			a.Items = append(a.Items, experiment.Item(item))
		}
		return a.ID(key)
	}
	early, home, cart := of("home", "", 6, 1000, "i1"), of("home", "e", 7, 2000, "i1", "i2"), of("cart", "", 7, 3000, "i3")
	f := experiment.FeedbackOf(key, "u", []fusion.Event{
		feedback(fusion.Impression, "i1", early, 1001), feedback(fusion.Click, "i1", early, 1002),
		feedback(fusion.Impression, "i1", home, 2001), feedback(fusion.Impression, "i2", home, 2001), feedback(fusion.Click, "i2", home, 2100),
		feedback(fusion.Impression, "i3", cart, 3001), feedback(fusion.Impression, "i4", cart, 3001),
	})
	purchases := []experiment.Purchase{{Item: "i1", Time: 1500, Revenue: 3}, {Item: "i2", Time: 2500, Revenue: 4}, {Item: "i2", Time: 2600, Revenue: 5}, {Item: "i2", Time: 9000, Revenue: 100}}
	for _, c := range []struct {
		since int64
		want  experiment.VariantTally
	}{
		{0, experiment.VariantTally{Users: 1, Clicked: 1, Converted: 1, Revenue: 12, Squares: 144, Models: map[uint64]experiment.Counts{
			6: {Impressions: 1, Clicks: 1, Purchases: 1, Revenue: 3}, 7: {Impressions: 2, Clicks: 1, Purchases: 2, Revenue: 9},
		}}},
		{1001, experiment.VariantTally{Users: 1, Clicked: 1, Converted: 1, Revenue: 9, Squares: 81, Models: map[uint64]experiment.Counts{
			7: {Impressions: 2, Clicks: 1, Purchases: 2, Revenue: 9},
		}}},
	} {
		tally := experiment.NewTally()
		tally.AddUserOfScenes(&f, purchases, 1000, c.since)
		want := &experiment.Tally{Refused: 1, Variants: map[string]*experiment.VariantTally{
			"home": &c.want, "cart": {Users: 1, Models: map[uint64]experiment.Counts{7: {Impressions: 1}}},
		}}
		if diff := gocmp.Diff(want, tally); diff != "" {
			t.Errorf("since %d, -want +got:\n%s", c.since, diff)
		}
	}
}

// TestTallyAddsUp: however users are parted, the sum is the same, and the order of a user's events does not matter. Revenues are whole numbers, so that sums are exact.
func TestTallyAddsUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all, parts := experiment.NewTally(), []*experiment.Tally{experiment.NewTally(), experiment.NewTally(), experiment.NewTally()}
		for u := range rapid.IntRange(0, 8).Draw(t, "users") {
			user := fmt.Sprint("u", u)
			var events []fusion.Event
			for range rapid.IntRange(0, 10).Draw(t, "events") {
				at := rapid.Int64Range(1, 50).Draw(t, "answered")
				id := answer(user, rapid.SampledFrom([]string{"e", "e", "x", ""}).Draw(t, "experiment"), rapid.SampledFrom([]string{"a", "b"}).Draw(t, "variant"), 1+uint64(at)%2, at, "i1", "i2")
				e := feedback(rapid.SampledFrom([]fusion.Behavior{fusion.Impression, fusion.Click}).Draw(t, "behavior"),
					rapid.SampledFrom([]string{"i1", "i2", "i3"}).Draw(t, "item"), id, 1000*int64(len(events))+rapid.Int64Range(0, 99).Draw(t, "later"))
				events = append(events, e)
			}
			var purchases []experiment.Purchase
			for range rapid.IntRange(0, 4).Draw(t, "purchases") {
				purchases = append(purchases, experiment.Purchase{
					Item: rapid.SampledFrom([]string{"i1", "i2", "i3"}).Draw(t, "bought"), Time: rapid.Int64Range(0, 12_000).Draw(t, "time"), Revenue: float64(rapid.IntRange(0, 9).Draw(t, "revenue")),
				})
			}
			f, shuffled := experiment.FeedbackOf(key, user, events), experiment.FeedbackOf(key, user, rapid.Permutation(slices.Clone(events)).Draw(t, "order"))
			all.AddUser("e", &f, purchases, 2000)
			parts[u%3].AddUser("e", &shuffled, purchases, 2000)
		}
		sum := experiment.NewTally()
		for _, p := range parts {
			sum.Add(p)
		}
		if diff := gocmp.Diff(all, sum); diff != "" {
			t.Fatalf("-want +got:\n%s", diff)
		}
	})
}

// TestReport: shares, the order, users of variants that are gone, and several variants at the price of wider intervals.
func TestReport(t *testing.T) {
	tally := func(names ...string) *experiment.Tally {
		t := experiment.NewTally()
		for i, name := range names {
			v := t.Variant(name)
			v.Users, v.Clicked, v.Converted = 1000, 200, 50+uint64(30*i)
			v.Revenue, v.Squares = float64(10*v.Converted), float64(100*v.Converted)
			v.Models[3] = experiment.Counts{Impressions: 5000, Clicks: 250}
			v.Models[4] = experiment.Counts{Impressions: 1000, Clicks: 50, Purchases: v.Converted, Revenue: v.Revenue}
		}
		return t
	}
	two := tally("control", "b").Report([]experiment.Arm{{"control", 1}, {"b", 1}}, 2000)
	three := tally("control", "b", "c", "gone").Report([]experiment.Arm{{"control", 2}, {"b", 2}, {"c", 2}}, 2000)
	if two.SplitP != 1 || two.Others != 0 || three.Others != 1000 || len(three.Variants) != 3 || three.Variants[2].Name != "c" || three.Variants[2].Share != 1.0/3 {
		t.Errorf("%+v and %+v", two, three)
	}
	if c := two.Variants[0]; c.Converted.Known || c.Converted.P != 0 || c.Converted.Mean != 0.05 || c.Revenue.Mean != 0.5 || c.All.Impressions != 6000 || c.All.Purchases != 50 {
		t.Errorf("control: %+v", c)
	}
	b, wide := two.Variants[1], three.Variants[1]
	if !b.Converted.Known || b.Converted.Value != 0.03 || b.Clicked.Value != 0 || b.Clicked.P != 1 || b.Revenue.Users != 80 {
		t.Errorf("b: %+v", b)
	}
	if wide.Converted.High <= b.Converted.High || wide.Converted.P <= b.Converted.P || wide.Revenue.P <= b.Revenue.P || b.Converted.P >= 0.25 {
		t.Errorf("of three variants %+v, of two %+v; want wider intervals and larger p-values", wide.Converted, b.Converted)
	}
	if empty := experiment.NewTally().Report([]experiment.Arm{{"control", 1}, {"b", 1}}, 0); empty.SplitP != 1 || empty.Variants[1].Converted.Known || empty.Variants[1].Converted.P != 1 {
		t.Errorf("of nothing: %+v", empty)
	}
}
