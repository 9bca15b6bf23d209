package store

import (
	"fmt"
	"slices"
	"testing"

	"github.com/kith-io/kith/fusion"
)

// TestUsers lists users page by page, without those that were erased.
func TestUsers(t *testing.T) {
	s := openMem(t)
	var events []fusion.Event
	var want []string
	for u := range 25 {
		user := fmt.Sprintf("u%02d", u)
		events = append(events, eventOf(user, 1), eventOf(user, 2))
		want = append(want, user)
	}
	want = append(want, "u0")
	events = append(events, eventOf("u0", 1)) // a key that others begin with
	slices.Sort(want)
	if _, err := s.Apply(1, EncodeBatch(nil, events)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Apply(2, EncodeErase(nil, Erase{User: "u07", Time: 10})); err != nil {
		t.Fatal(err)
	}
	want = slices.DeleteFunc(want, func(u string) bool { return u == "u07" })
	var got []string
	for after := ""; ; after = got[len(got)-1] {
		page, err := s.Users(t.Context(), after, 4)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, page...)
		if len(page) < 4 {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("users %q, want %q", got, want)
	}
}
