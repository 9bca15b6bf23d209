package view_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/fusion/view"
)

// TestItemsInPages adds up the items of several parts, each of which tells only its first n behind a key, page by page, and compares with the
// sum of all at once.
func TestItemsInPages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := make([]map[string]int, rapid.IntRange(1, 4).Draw(t, "parts"))
		want := map[string]*view.Item{}
		for i := range parts {
			parts[i] = map[string]int{}
			for range rapid.IntRange(0, 25).Draw(t, "items") {
				item := fmt.Sprint("i", rapid.IntRange(10, 40).Draw(t, "item"))
				parts[i][item]++
				if want[item] == nil {
					want[item] = &view.Item{}
				}
				want[item].Add(item1(1))
			}
		}
		n := rapid.IntRange(1, 8).Draw(t, "n")
		got := map[string]*view.Item{}
		after := ""
		for more := true; more; {
			sum := view.FirstItems(after, n)
			for _, part := range parts {
				page := view.FirstItems(after, n)
				for _, item := range rapid.Permutation(slices.Sorted(maps.Keys(part))).Draw(t, "order") {
					page.Add(item, item1(part[item]))
				}
				items, more := page.Sorted()
				if len(items) > n || more && len(items) < n {
					t.Fatalf("a page of %d of %v, more %t, want %d", len(items), part, more, n)
				}
				if more {
					sum.Until(items[len(items)-1])
				}
				for _, item := range items {
					sum.Add(item, page.Item(item))
				}
			}
			var items []string
			items, more = sum.Sorted()
			if more && len(items) == 0 {
				t.Fatal("an empty page, and more")
			}
			for _, item := range items {
				if item <= after || got[item] != nil {
					t.Fatalf("%s comes after %s, or again", item, after)
				}
				got[item], after = sum.Item(item), item
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("-want +got:\n%s", diff)
		}
	})
}

// item1 is what n users with a view of an item say of it.
func item1(n int) *view.Item {
	return &view.Item{Events: map[fusion.Behavior]int{fusion.View: n}, Users: n, First: 1, Last: 1}
}

func TestNamedItems(t *testing.T) {
	s := view.NamedItems([]string{"b", "d"})
	for _, item := range []string{"d", "a", "b", "d"} {
		s.Add(item, item1(1))
	}
	items, more := s.Sorted()
	if !slices.Equal(items, []string{"b", "d"}) || more || s.Item("d").Users != 2 || s.Wants("a") || !s.Wants("b") {
		t.Errorf("items %v, more %t, d %+v", items, more, s.Item("d"))
	}
}

// TestClassesTwin compares the classes with those by rank of the middle among equals, the definition.
func TestClassesTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		users := make([]view.Purchases, rapid.IntRange(0, 40).Draw(t, "n"))
		for i := range users {
			users[i] = view.Purchases{
				LastOrder: rapid.Int64Range(1, 9).Draw(t, "last"), Orders: rapid.IntRange(0, 4).Draw(t, "orders"), Revenue: float64(rapid.IntRange(-3, 5).Draw(t, "revenue")),
			}
		}
		class := func(feature func(view.Purchases) float64, of view.Purchases) int {
			below, equal, all := 0, 0, 0
			for _, u := range users {
				if u.Orders == 0 {
					continue
				}
				all++
				if x, y := feature(u), feature(of); x < y {
					below++
				} else if x == y {
					equal++
				}
			}
			return 1 + 5*(2*below+equal-1)/(2*all)
		}
		at := rapid.IntRange(0, len(users)).Draw(t, "part")
		c := view.ClassesOf(users[:at], users[at:])
		for _, u := range users {
			want := view.RFM{}
			if u.Orders > 0 {
				want = view.RFM{
					Recency:   class(func(p view.Purchases) float64 { return float64(p.LastOrder) }, u),
					Frequency: class(func(p view.Purchases) float64 { return float64(p.Orders) }, u),
					Monetary:  class(func(p view.Purchases) float64 { return p.Revenue }, u),
				}
			}
			if got := c.Of(u); got != want {
				t.Fatalf("%+v among %+v: got %+v, want %+v", u, users, got, want)
			}
		}
	})
}

// TestPurchasesTwin: the Purchases of events are those of all their features.
func TestPurchasesTwin(t *testing.T) {
	o := view.Options{Now: 250 * minute, Weights: fusion.DefaultWeights()}
	rapid.Check(t, func(t *rapid.T) {
		events := drawEvents(t)
		u := view.OfUser(events, products, o)
		if got := view.PurchasesOf(events, products, o); got != u.Purchases() {
			t.Fatalf("got %+v, want %+v", got, u.Purchases())
		}
	})
}
