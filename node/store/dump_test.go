package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kith-io/kith/fusion"
)

// TestDump dumps a store in pieces of any size: they are the events up to the cut, in order, none twice.
func TestDump(t *testing.T) {
	s := openMem(t)
	rng := rand.New(rand.NewPCG(3, 4))
	const last, cut = 60, 40
	var want []fusion.Event
	for index := uint64(1); index <= last; index++ {
		var batch []fusion.Event
		for i := range 10 {
			// Users that begin alike, and ids that are parts of one another, try the order of the keys.
			user := []string{"u", "u1", "u10", "u\x01", "v"}[rng.IntN(5)]
			batch = append(batch, event(user, fmt.Sprint(index, "-", i), "i", rng.Int64N(1000)))
		}
		apply(t, s, index, batch...)
		if index <= cut {
			want = append(want, batch...)
		}
	}
	slices.SortFunc(want, func(a, b fusion.Event) int {
		return slices.Compare([]string{a.User, a.ID}, []string{b.User, b.ID})
	})
	errFull := errors.New("full")
	for _, most := range []int{1, 7, len(want) - 1, len(want), len(want) + 1} {
		var got []fusion.Event
		var at Position
		for full := true; full; {
			n := 0
			err := s.Dump(t.Context(), cut, at, func(e fusion.Event) error {
				if n == most {
					return errFull
				}
				n++
				got, at = append(got, e), Position{e.User, e.ID}
				return nil
			})
			if full = errors.Is(err, errFull); err != nil && !full {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("in pieces of %d (-want +got):\n%s", most, diff)
		}
	}
	if err := s.Dump(t.Context(), last+1, Position{}, nil); !errors.Is(err, ErrBehind) {
		t.Errorf("a cut that is not applied: got %v, want ErrBehind", err)
	}
	if m := s.Mark(); m != (Mark{Index: last, Events: last * 10, Users: 5}) {
		t.Errorf("got %+v", m)
	}
}
