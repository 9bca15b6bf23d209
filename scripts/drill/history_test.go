//go:build linux

package main

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestLinearizable(t *testing.T) {
	appended := func(at, from, to int) operation {
		return operation{User: "u", Append: at, From: time.Duration(from), To: time.Duration(to)}
	}
	lost := func(at, from int) operation {
		return operation{User: "u", Append: at, From: time.Duration(from), To: unknown}
	}
	read := func(set uint64, from, to int) operation {
		return operation{User: "u", Client: 1, Append: -1, Read: set, From: time.Duration(from), To: time.Duration(to)}
	}
	for _, c := range []struct {
		name string
		ops  []operation
		fine bool
	}{
		{"nothing", nil, true},
		{"read after append", []operation{appended(0, 1, 2), read(1, 3, 4)}, true},
		{"stale read", []operation{appended(0, 1, 2), read(0, 3, 4)}, false},
		{"read beside an append, before it", []operation{appended(0, 1, 10), read(0, 3, 4)}, true},
		{"read beside an append, after it", []operation{appended(0, 1, 10), read(1, 3, 4)}, true},
		{"read that goes back", []operation{appended(0, 1, 10), read(1, 3, 4), read(0, 5, 6)}, false},
		{"read of what is not sent yet", []operation{read(1, 1, 2), appended(0, 3, 4)}, false},
		{"unknown that never happened", []operation{lost(0, 1), read(0, 3, 4), read(0, 50, 60)}, true},
		{"unknown that happened late", []operation{lost(0, 1), read(0, 3, 4), read(1, 50, 60)}, true},
		{"unknown that happened and went away", []operation{lost(0, 1), read(1, 3, 4), read(0, 50, 60)}, false},
		{"two appends seen in one order only", []operation{appended(0, 1, 20), appended(1, 1, 20), read(1, 3, 4), read(2, 5, 6)}, false},
	} {
		broken, undecided := linearizable(c.ops, time.Minute)
		if got := len(broken) == 0; got != c.fine || len(undecided) > 0 {
			t.Errorf("%s: linearizable is %t, undecided %v; want %t and none:\n%s", c.name, got, undecided, c.fine, tell(c.ops))
		}
	}
}

// TestLinearizableFinds runs clients on a history kept in one place, whose order is known, and then changes a read.
func TestLinearizableFinds(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		ops, set := []operation{}, uint64(0)
		for i := range 40 {
			at := -1
			if rng.IntN(2) == 0 {
				at = rng.IntN(20)
				set |= 1 << at
			}
			// It happens at 10·i, somewhere between its begin and end, which overlap those of others.
			moment := time.Duration(10 * i)
			ops = append(ops, operation{User: "u", Client: i % 4, Append: at, Read: set, From: moment - upTo(rng, 15), To: moment + upTo(rng, 15)})
		}
		if broken, _ := linearizable(ops, time.Minute); len(broken) > 0 {
			t.Fatalf("a history with an order was refused:\n%s", tell(ops))
		}
		last := ops[len(ops)-1]
		wrong := append(slices.Clone(ops), operation{User: "u", Append: -1, Read: set ^ 1<<rng.IntN(20), From: last.To + 20, To: last.To + 21})
		if broken, _ := linearizable(wrong, time.Minute); len(broken) != 1 {
			t.Fatalf("a read of another set after the end was taken for right:\n%s", tell(wrong))
		}
	}
}

func TestCompareHistory(t *testing.T) {
	want := map[string]bool{"a": true, "b": false, "c": true}
	message := func(id string) (e event) { return event{"u", id} }
	var f figures
	wrong, unacknowledged := compareHistory("u", want, nil, &f)
	if f.Lost != 2 || len(wrong) != 2 || unacknowledged != 0 {
		t.Errorf("of nothing: %+v, %q", f, wrong)
	}
	f = figures{}
	changed := message("c").message()
	changed.Item = "another"
	got := append(messages(message("a"), message("a"), message("b"), message("x")), changed)
	wrong, unacknowledged = compareHistory("u", want, got, &f)
	if f != (figures{Doubled: 1, Foreign: 2}) || len(wrong) != 3 || unacknowledged != 1 {
		t.Errorf("got %+v, %d unacknowledged, %q; want one doubled, two foreign and one unacknowledged", f, unacknowledged, wrong)
	}
	f = figures{}
	if wrong, _ := compareHistory("u", want, messages(message("c"), message("a")), &f); len(wrong) > 0 || f != (figures{}) {
		t.Errorf("of what was acknowledged: %+v, %q", f, wrong)
	}
}
