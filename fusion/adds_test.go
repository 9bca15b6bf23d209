package fusion_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/kith-io/kith/fusion"
)

// genAddWeights has weights of all kinds: whole ones and others, caps, decay, and a behavior that weighs less than nothing.
var genAddWeights = rapid.Custom(func(t *rapid.T) fusion.Weights {
	w := fusion.Weights{Behavior: map[fusion.Behavior]float64{
		fusion.View: 1, fusion.Purchase: 5, fusion.Cancel: -5, "wish": 3,
		fusion.Rating: rapid.SampledFrom([]float64{0, 1, -1, 2}).Draw(t, "rating"),
	}}
	switch rapid.SampledFrom([]int{0, 1, 2, 3, 4, 5, 5, 6, 7, 8, 9}).Draw(t, "kind of weights") {
	case 5:
		w.Behavior[fusion.Purchase], w.Behavior[fusion.View] = 1<<4, 3 // sums behind what float32 tells apart
	case 0:
		w.Behavior["wish"] = -3
	case 1:
		w.Behavior[fusion.View], w.Behavior["wish"] = 0.1, 0.7
	case 2:
		w.HalfLife = 1
	case 3:
		w.Behavior["wish"] = 1.0 / (1 << 25)
	case 4:
		w.Cap = rapid.SampledFrom([]float64{1, 7, 1 << 22, 7.00000001, 7 - 1e-9, 0.5, 1e-15, 1<<24 + 1}).Draw(t, "cap")
	}
	return w
})

func genAddEvents(behaviors []fusion.Behavior, values []float64) *rapid.Generator[[]fusion.Event] {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) fusion.Event {
		return fusion.Event{
			User: "u", Item: "i", Behavior: rapid.SampledFrom(behaviors).Draw(t, "behavior"), Value: rapid.SampledFrom(values).Draw(t, "value"),
			Time: rapid.Int64Range(0, 3).Draw(t, "time"),
		}
	}), 0, 6)
}

// TestAdd adds events to the interaction that Fuse makes of others, and compares that with what it makes of all.
func TestAdd(t *testing.T) {
	tries, added, toOld := 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		for range 20 {
			behaviors, values := []fusion.Behavior{fusion.View, fusion.Purchase, "wish", "other"}, []float64{0, 1, 2, 3}
			switch rapid.SampledFrom([]int{0, 1, 2, 3, 3, 4, 5, 6, 7}).Draw(t, "kind of events") {
			case 0:
				behaviors = append(behaviors, fusion.Rating)
			case 1:
				behaviors = append(behaviors, fusion.Cancel)
			case 2:
				values = append(values, 0.1, 0.3, 0.7, 1e-300, 1.0/(1<<24))
			case 3:
				values = []float64{0, 1, 1 << 20, 1<<20 - 1}
			case 4:
				values = []float64{0, 1, 1 << 20, 1<<20 + 1, 1 << 24, 1e300}
			case 5:
				values = append(values, -1)
			}
			gen := genAddEvents(behaviors, values)
			was, came, w := gen.Draw(t, "was"), gen.Draw(t, "came"), genAddWeights.Draw(t, "weights")
			all := append(append([]fusion.Event(nil), was...), came...)
			adds := fusion.AddsAll
			for i := range all {
				all[i].ID = fmt.Sprint(rapid.IntRange(0, 99).Draw(t, "id"), "-", i)
				adds = max(adds, all[i].Adds())
			}
			var events []fusion.Addition
			for _, e := range all[len(was):] {
				events = append(events, fusion.Addition{Item: e.Item, Behavior: e.Behavior, Value: e.Value})
			}
			fuse := func(events []fusion.Event) (weight float32, has bool) {
				if out := fusion.Fuse(events, w, 3); len(out) > 0 {
					return out[0].Weight, true
				}
				return 0, false
			}
			old, had := fuse(all[:len(was)])
			want, wantHas := fuse(all)
			got, has, ok := w.Adder().Add(adds, old, had, events)
			tries++
			if !ok {
				continue
			}
			if added++; had {
				toOld++
			}
			if has != wantHas || has && got != want {
				t.Fatalf("by %+v, %v and then %v: had %v, %v; got %v, %v, want %v, %v", w, all[:len(was)], all[len(was):], old, had, got, has, want, wantHas)
			}
		}
	})
	if added < tries/4 || toOld < tries/10 {
		t.Errorf("of %d tries %d gave a weight, %d of them one that there was before: want more", tries, added, toOld)
	}
}

func TestAdds(t *testing.T) {
	for _, test := range []struct {
		behavior fusion.Behavior
		value    float64
		want     fusion.Adds
	}{
		{fusion.View, 0, fusion.AddsAll},
		{fusion.Purchase, 1 << 20, fusion.AddsAll},
		{"wish", 7, fusion.AddsAll},
		{fusion.View, 1<<20 + 1, fusion.AddsNew},
		{fusion.View, 0.5, fusion.AddsNew},
		{fusion.Rating, 3, fusion.AddsNew},
		{fusion.Rating, -3, fusion.AddsNew},
		{fusion.View, -1, fusion.AddsNone},
		{fusion.Cancel, 1, fusion.AddsNone},
	} {
		e := fusion.Event{Behavior: test.behavior, Value: test.value}
		if got := e.Adds(); got != test.want {
			t.Errorf("%s of %v: %d, want %d", test.behavior, test.value, got, test.want)
		}
	}
}
