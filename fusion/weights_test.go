package fusion

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestFuse(t *testing.T) {
	const day = int64(24 * time.Hour / time.Millisecond)
	const now = 100 * day
	e := func(item string, b Behavior, value float64, time int64, id string) Event {
		return Event{User: "u", Item: item, Behavior: b, Value: value, Time: time, ID: id}
	}
	half := DefaultWeights()
	half.HalfLife = 10 * 24 * time.Hour
	capped := DefaultWeights()
	capped.Cap = 7
	custom := Weights{Behavior: map[Behavior]float64{"wish": 2, Rating: 10}}
	tests := []struct {
		name string
		in   []Event
		w    Weights
		want []Interaction
	}{
		{"nothing", nil, DefaultWeights(), []Interaction{}},
		{
			"items ascend, behaviors add up",
			[]Event{e("b", View, 1, 5, "1"), e("a", Cart, 2, 6, "2"), e("a", View, 1, 4, "3")},
			DefaultWeights(),
			[]Interaction{{"a", 7, 6}, {"b", 1, 5}},
		},
		{
			"a cancel takes a purchase back",
			[]Event{e("a", Purchase, 1, 1, "1"), e("a", View, 1, 1, "2"), e("a", Cancel, 1, 3, "3")},
			DefaultWeights(),
			[]Interaction{{"a", 1, 3}},
		},
		{"nothing left", []Event{e("a", Purchase, 2, 1, "1"), e("a", Cancel, 2, 3, "2"), e("b", Cancel, 1, 0, "3")}, DefaultWeights(), []Interaction{}},
		{"negative quantity", []Event{e("a", Purchase, 3, 1, "1"), e("a", Purchase, -2, 3, "2")}, DefaultWeights(), []Interaction{{"a", 5, 3}}},
		{"the latest rating", []Event{e("a", Rating, 5, 9, "1"), e("a", Rating, 2, 8, "2")}, DefaultWeights(), []Interaction{{"a", 5, 9}}},
		{"the latest rating by ID", []Event{e("a", Rating, 5, 9, "1"), e("a", Rating, 2, 9, "2")}, DefaultWeights(), []Interaction{{"a", 2, 9}}},
		{"rating of 0", []Event{e("a", Rating, 0, 9, "1")}, DefaultWeights(), []Interaction{{"a", 0, 9}}},
		{"rating below 0", []Event{e("a", Rating, -3, 9, "1"), e("b", View, 1, 0, "2")}, DefaultWeights(), []Interaction{{"a", -3, 9}, {"b", 1, 0}}},
		{"rating and view", []Event{e("a", Rating, -3, 9, "1"), e("a", View, 1, 4, "2")}, DefaultWeights(), []Interaction{{"a", -2, 9}}},
		{"rating and cancel", []Event{e("a", Rating, 3, 9, "1"), e("a", Cancel, 1, 10, "2")}, DefaultWeights(), []Interaction{{"a", -2, 10}}},
		{
			"rating without weight",
			[]Event{e("a", Rating, 5, 9, "1"), e("a", View, 1, 4, "2"), e("b", Rating, 5, 9, "3")},
			Weights{Behavior: map[Behavior]float64{View: 1}},
			[]Interaction{{"a", 1, 4}},
		},
		{"behavior without weight", []Event{e("a", "wish", 1, 9, "1"), e("b", View, 1, 8, "2")}, DefaultWeights(), []Interaction{{"b", 1, 8}}},
		{"own weights", []Event{e("a", "wish", 1.5, 9, "1"), e("b", View, 1, 8, "2"), e("c", Rating, 0.5, 7, "3")}, custom, []Interaction{{"a", 3, 9}, {"c", 5, 7}}},
		{
			"half-life",
			[]Event{e("a", View, 4, now-10*day, "1"), e("b", View, 4, now-20*day, "2"), e("c", View, 4, now+day, "3"), e("d", View, 4, 0, "4")},
			half,
			[]Interaction{{"a", 2, now - 10*day}, {"b", 1, now - 20*day}, {"c", 4, now + day}, {"d", 4, 0}},
		},
		{"cap", []Event{e("a", Purchase, 2, 1, "1"), e("b", Purchase, 1, 1, "2"), e("c", Rating, -9, 1, "3")}, capped, []Interaction{{"a", 7, 1}, {"b", 5, 1}, {"c", -9, 1}}},
		{
			"bounds",
			[]Event{e("a", View, 1e300, 1, "1"), e("b", Rating, -1e300, 1, "2"), e("c", View, math.MaxFloat64, 1, "3"), e("c", Purchase, math.MaxFloat64, 1, "4")},
			DefaultWeights(),
			[]Interaction{{"a", MaxWeight, 1}, {"b", -MaxWeight, 1}, {"c", MaxWeight, 1}},
		},
		{
			"overflow both ways is no NaN",
			[]Event{e("a", Purchase, math.MaxFloat64, 1, "1"), e("a", Purchase, -math.MaxFloat64, 2, "2"), e("a", Rating, 3, 3, "3")},
			DefaultWeights(),
			[]Interaction{{"a", 3, 3}},
		},
		{
			"small",
			[]Event{e("a", View, 1e-60, 1, "1"), e("b", Rating, -1e-60, 1, "2"), e("c", Rating, 0, 1, "3")},
			DefaultWeights(),
			[]Interaction{{"a", MinWeight, 1}, {"b", -MinWeight, 1}, {"c", 0, 1}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Fuse(tt.in, tt.w, now); !cmp.Equal(got, tt.want) {
				t.Error(cmp.Diff(tt.want, got))
			}
		})
	}
}

func TestLatestRatings(t *testing.T) {
	e := func(item string, b Behavior, value float64, time int64, id string) Event {
		return Event{User: "u", Item: item, Behavior: b, Value: value, Time: time, ID: id}
	}
	got := LatestRatings([]Event{
		e("a", Rating, 5, 2, "1"), e("a", Rating, 1, 3, "0"), e("a", View, 9, 4, "2"), e("b", Rating, 4, 7, "4"), e("b", Rating, 2, 7, "3"), e("c", Purchase, 1, 1, "5"), e("d", Rating, 0, 0, "6"),
	})
	if want := map[string]float64{"a": 1, "b": 4, "d": 0}; !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
}

// drawEvents draws events of one user.
func drawEvents(t *rapid.T, n int) []Event {
	events := make([]Event, rapid.IntRange(0, n).Draw(t, "events"))
	for i := range events {
		events[i] = Event{
			User: "u", Item: rapid.StringMatching(`[a-d]`).Draw(t, "item"), ID: fmt.Sprintf("%03d", i),
			Behavior: rapid.SampledFrom([]Behavior{View, Search, Cart, Purchase, Cancel, Rating, "wish"}).Draw(t, "behavior"),
			Value:    rapid.SampledFrom([]float64{1, 2, 0, -1, 0.1, 12.99, 5}).Draw(t, "value"),
			Time:     rapid.Int64Range(0, 5).Draw(t, "time") * 1000 * 3600,
		}
	}
	return events
}

func drawWeights(t *rapid.T) Weights {
	w := DefaultWeights()
	w.HalfLife = time.Duration(rapid.IntRange(0, 3).Draw(t, "half-life")) * time.Hour
	w.Cap = rapid.SampledFrom([]float64{0, 4}).Draw(t, "cap")
	if rapid.Bool().Draw(t, "without ratings") {
		delete(w.Behavior, Rating)
	}
	return w
}

// TestFuseIsItsFormula compares it with the formula, in any order of events.
func TestFuseIsItsFormula(t *testing.T) {
	const now = 4 * 3600 * 1000
	rapid.Check(t, func(t *rapid.T) {
		events, w := drawEvents(t, 20), drawWeights(t)
		shuffled := slices.Clone(events)
		rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		before := slices.Clone(shuffled)
		got := Fuse(shuffled, w, now)
		if !cmp.Equal(before, shuffled) {
			t.Fatal("events were changed")
		}
		if want := Fuse(events, w, now); !cmp.Equal(got, want) {
			t.Fatalf("depends on the order: %s", cmp.Diff(want, got))
		}
		last := ""
		found := map[string]Interaction{}
		for _, x := range got {
			if x.Item <= last {
				t.Fatalf("item %q after %q", x.Item, last)
			}
			last = x.Item
			found[x.Item] = x
		}
		for _, item := range strings.Split("abcd", "") {
			var rating *Event
			sum, newest, rated := 0.0, int64(0), false
			for i := range events {
				if e := &events[i]; e.Item == item && e.Behavior == Rating && w.Behavior[Rating] != 0 {
					if rated = true; rating == nil || e.Time >= rating.Time {
						rating = e
					}
				}
			}
			for i := range events {
				e := &events[i]
				if e.Item != item || w.Behavior[e.Behavior] == 0 || e.Behavior == Rating && e != rating {
					continue
				}
				x := w.Behavior[e.Behavior] * e.Value
				if w.HalfLife > 0 && e.Time > 0 && e.Time < now {
					x *= math.Pow(0.5, float64(now-e.Time)/float64(w.HalfLife.Milliseconds()))
				}
				sum += x
				newest = max(newest, e.Time)
			}
			if w.Cap > 0 {
				sum = min(sum, w.Cap)
			}
			x, ok := found[item]
			// 20 terms of at most 65 in float64, then one rounding to float32.
			const tolerance = 1e-5
			switch {
			case !ok && (rated || sum > tolerance):
				t.Fatalf("%s is missing; want %v", item, sum)
			case ok && !rated && sum < -tolerance:
				t.Fatalf("%s has %v; want it left out, with %v", item, x.Weight, sum)
			case ok && (math.Abs(float64(x.Weight)-sum) > tolerance || x.Last != newest):
				t.Fatalf("%s: got %v; want %v at %d", item, x, sum, newest)
			}
		}
	})
}

func TestWeightsValidate(t *testing.T) {
	if w := DefaultWeights(); w.Validate() != nil {
		t.Error(w.Validate())
	}
	bad := map[string]Weights{
		"HalfLife":           {HalfLife: -1},
		"Cap is -1":          {Cap: -1},
		"Cap is NaN":         {Cap: math.NaN()},
		"Cap is +Inf":        {Cap: math.Inf(1)},
		`behavior "Buy"`:     {Behavior: map[Behavior]float64{"Buy": 1}},
		"weight of view is":  {Behavior: map[Behavior]float64{View: math.NaN()}},
		"weight of cart is ": {Behavior: map[Behavior]float64{Cart: -2e9}},
	}
	for want, w := range bad {
		if err := w.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v; want %q", w, err, want)
		}
	}
}

func BenchmarkFuse(b *testing.B) {
	events := make([]Event, 200)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range events {
		events[i] = Event{User: "u", Item: fmt.Sprint(r.IntN(100)), Behavior: View, Value: 1, Time: r.Int64N(1e12), ID: fmt.Sprint(i)}
	}
	w := DefaultWeights()
	b.ReportAllocs()
	for b.Loop() {
		Fuse(events, w, 1e12)
	}
}

// TestSameRows changes each field of weights. One that is new must be looked at, too.
func TestSameRows(t *testing.T) {
	same := func(change func(*Weights)) bool {
		w, x := DefaultWeights(), DefaultWeights()
		change(&x)
		if w.SameRows(&x) != x.SameRows(&w) {
			t.Errorf("%+v and %+v are the same one way alone", w, x)
		}
		return w.SameRows(&x)
	}
	if !same(func(*Weights) {}) {
		t.Error("weights are others than the same")
	}
	for name, change := range map[string]func(*Weights){
		"Behavior": func(w *Weights) { w.Behavior[View] = 2 },
		"HalfLife": func(w *Weights) { w.HalfLife = time.Hour },
		"Cap":      func(w *Weights) { w.Cap = 3 },
	} {
		if same(change) {
			t.Errorf("another %s is the same", name)
		}
	}
	if same(func(w *Weights) { delete(w.Behavior, View) }) {
		t.Error("weights with a behavior less are the same")
	}
	if n := reflect.TypeFor[Weights]().NumField(); n != 3 {
		t.Errorf("Weights has %d fields: does SameRows look at all?", n)
	}
	decays := Weights{HalfLife: time.Hour}
	if decays.SameRows(&decays) {
		t.Error("weights that decay are the same at any time")
	}
}
