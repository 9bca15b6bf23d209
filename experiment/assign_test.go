package experiment_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/cespare/xxhash/v2"
	"pgregory.net/rapid"

	"github.com/kith-io/kith/experiment"
)

// TestAssignIsUniform: each arm gets its share within four standard deviations, and what it gets of one salt says nothing about another.
func TestAssignIsUniform(t *testing.T) {
	const units = 50_000
	arms := []experiment.Arm{{"control", 50}, {"a", 30}, {"b", 20}}
	var counts [3]float64
	var both [3][3]float64
	for u := range units {
		unit := fmt.Sprintf("u%d", u)
		x, y := experiment.Assign("home", unit, arms), experiment.Assign("cart", unit, arms)
		counts[x]++
		both[x][y]++
	}
	within := func(what string, got, share float64) {
		if want, sd := units*share, math.Sqrt(units*share*(1-share)); math.Abs(got-want) > 4*sd {
			t.Errorf("%s: %v units of %d, want %v ± %.0f", what, got, units, want, 4*sd)
		}
	}
	for i, a := range arms {
		within(a.Name, counts[i], a.Weight/100)
		for j, b := range arms {
			within(a.Name+" and "+b.Name, both[i][j], a.Weight*b.Weight/10_000)
		}
	}
}

// TestAssignOfTheLargestHash: whoever may choose a session can have it hash to the largest number there is.
func TestAssignOfTheLargestHash(t *testing.T) {
	const session = "s-916756830;.WyO]z&"
	if sum := xxhash.Sum64String("home-2026-12\x00control\x00" + session); sum>>11 != 1<<53-1 {
		t.Fatalf("the hash is %x; find another session", sum)
	}
	for _, arms := range [][]experiment.Arm{{{"control", 50}, {"trending", 50}}, {{"trending", 50}, {"control", 50}}, {{"control", 1}}} {
		if at := experiment.Assign("home-2026-12", session, arms); at < 0 || arms[at].Name != "control" {
			t.Errorf("%v: arm %d, want control", arms, at)
		}
	}
}

// TestAssignIsSticky: when one arm gets another weight, comes or goes, units move to it or away from it, and between no others.
func TestAssignIsSticky(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weight := rapid.Float64Range(0.01, 100)
		var arms []experiment.Arm
		for i := range rapid.IntRange(2, 6).Draw(t, "arms") {
			arms = append(arms, experiment.Arm{Name: fmt.Sprint("v", i), Weight: weight.Draw(t, "weight")})
		}
		at := rapid.IntRange(0, len(arms)-1).Draw(t, "changed")
		name, before := arms[at].Name, arms[at].Weight
		changed := slices.Clone(arms)
		more, less := false, true // of what is gone
		gone := rapid.Bool().Draw(t, "gone")
		if gone {
			changed = slices.Delete(changed, at, at+1)
		} else {
			changed[at].Weight = weight.Draw(t, "new weight")
			more, less = changed[at].Weight >= before, changed[at].Weight <= before
		}
		changed = rapid.Permutation(changed).Draw(t, "order")
		for u := range 200 {
			unit := fmt.Sprint(u)
			old, now := arms[experiment.Assign("s", unit, arms)].Name, changed[experiment.Assign("s", unit, changed)].Name
			if old != now && !(more && now == name) && !(less && old == name) {
				t.Fatalf("unit %s moved from %s to %s when %s changed: %v to %v", unit, old, now, name, arms, changed)
			}
		}
	})
}

// TestAssignStaysTheSame: what a version of the program assigns, the next one must assign, too. Changed values here mean that running experiments are
// shuffled by an upgrade.
func TestAssignStaysTheSame(t *testing.T) {
	arms := []experiment.Arm{{"control", 1}, {"a", 1}, {"b", 1}}
	got := ""
	for u := range 40 {
		got += fmt.Sprint(experiment.Assign("home", fmt.Sprintf("u%d", u), arms))
	}
	if want := "2011201102222110210012020102112001211020"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := experiment.Assign("home", "u", nil); got != -1 {
		t.Errorf("without arms: %d, want -1", got)
	}
}
