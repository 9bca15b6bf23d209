package view_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/fusion/view"
)

const minute = int64(time.Minute / time.Millisecond)

var catalog = map[string]view.Product{
	"tea":    {Category: "drinks", Price: 4},
	"coffee": {Category: "drinks", Price: 10},
	"cup":    {Category: "kitchen", Price: 6},
	"gift":   {Price: 20},
}

func products(item string) (view.Product, bool) {
	p, ok := catalog[item]
	return p, ok
}

func event(at int64, b fusion.Behavior, item string, value float64, context ...string) fusion.Event {
	e := fusion.Event{User: "u", Item: item, Behavior: b, Value: value, Time: at * minute, ID: fmt.Sprint(at, b, item)}
	for i := 0; i < len(context); i += 2 {
		if e.Context == nil {
			e.Context = map[string]string{}
		}
		e.Context[context[i]] = context[i+1]
	}
	return e
}

// TestUserByHand has three sessions: at 100, 105 and 110 minutes, at 200, and at 300 and 330 (a pause of 30 minutes is within).
func TestUserByHand(t *testing.T) {
	events := []fusion.Event{
		event(300, fusion.Cancel, "tea", 1, "order", "A"),
		event(100, fusion.View, "tea", 1),
		event(105, fusion.Cart, "tea", 1),
		event(110, fusion.Purchase, "tea", 3, "order", "A", "price", "3.5"),
		event(110, fusion.Purchase, "cup", 1, "order", "A"),
		event(200, fusion.Purchase, "mystery", 2),
		event(330, fusion.Purchase, "coffee", 1, "order", "B"),
		event(330, fusion.Cancel, "coffee", 1, "order", "B"),
		event(400, fusion.Purchase, "coffee", 9, "order", "C"), // after now
		{User: "u", Item: "gift", Behavior: fusion.View, Value: 1, ID: "no time"},
		event(50, fusion.Impression, "lamp", 1, fusion.ContextAnswer, "x"), // tells of an answer
	}
	// The cancellation of coffee at the same time comes after the purchase, as "cancel" follows the id of it.
	events[7].ID = events[6].ID + "!"
	got := view.OfUser(events, products, view.Options{Now: 399 * minute, Weights: fusion.DefaultWeights()})
	want := view.User{
		Events: map[fusion.Behavior]int{fusion.View: 2, fusion.Cart: 1, fusion.Purchase: 4, fusion.Cancel: 2},
		Items:  5, First: 100 * minute, Last: 330 * minute,
		// Order A keeps two teas at 3.5 and a cup at 6; the session at 200 is an order of two pieces without a price; B is canceled.
		LastOrder: 200 * minute, Orders: 2, Revenue: 13, Quantity: 5, Canceled: 2, Unpriced: 2,
		Sessions: view.Sessions{Count: 3, Events: 8.0 / 3, Seconds: (10 + 0 + 30) * 60 / 3.0, Converted: 1},
		// Weights: tea 1+3+15-5 = 14, cup 5, mystery 10, gift 1, coffee 0.
		Categories: []view.Share{{Name: "drinks", Share: 14.0 / 30}, {Name: "kitchen", Share: 5.0 / 30}},
		// Prices 4 (14), 6 (5), 20 (1).
		Prices: &view.Prices{Mean: (4*14 + 6*5 + 20*1) / 20.0, Low: 4, Median: 4, High: 6},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("features (-want +got):\n%s", d)
	}
	none := view.OfUser(nil, products, view.Options{Now: 1})
	if none.Orders != 0 || none.Sessions != (view.Sessions{}) || none.Prices != nil || len(none.Categories) != 0 {
		t.Errorf("without events: %+v", none)
	}
}

func drawEvents(t *rapid.T) []fusion.Event {
	n := rapid.IntRange(0, 30).Draw(t, "events")
	var out []fusion.Event
	for i := range n {
		b := rapid.SampledFrom([]fusion.Behavior{fusion.View, fusion.Cart, fusion.Purchase, fusion.Cancel, fusion.Rating}).Draw(t, "behavior")
		e := event(rapid.Int64Range(0, 300).Draw(t, "at"), b, rapid.SampledFrom([]string{"tea", "coffee", "cup", "gift", "mystery"}).Draw(t, "item"),
			float64(rapid.IntRange(0, 4).Draw(t, "value")))
		e.ID = fmt.Sprint(i)
		if order := rapid.SampledFrom([]string{"", "A", "B"}).Draw(t, "order"); order != "" {
			e.Context = map[string]string{view.ContextOrder: order}
		}
		out = append(out, e)
	}
	return out
}

// TestUserProperties draws events: their order does not matter, what was bought is kept or canceled, and items add up to the user.
func TestUserProperties(t *testing.T) {
	o := view.Options{Now: 250 * minute, Weights: fusion.DefaultWeights()}
	rapid.Check(t, func(t *rapid.T) {
		events := drawEvents(t)
		want := view.OfUser(events, products, o)
		if d := cmp.Diff(want, view.OfUser(rapid.Permutation(events).Draw(t, "shuffled"), products, o)); d != "" {
			t.Fatalf("in another order:\n%s", d)
		}
		bought := 0.0
		for _, e := range events {
			if e.Behavior == fusion.Purchase && e.Time <= o.Now {
				bought += e.Value
			}
		}
		if want.Quantity+want.Canceled != bought || want.Quantity < 0 || want.Canceled < 0 {
			t.Fatalf("%v bought, %v kept and %v canceled", bought, want.Quantity, want.Canceled)
		}
		share := 0.0
		for _, c := range want.Categories {
			share += c.Share
		}
		if share > 1+1e-9 || want.Prices != nil && (want.Prices.Low > want.Prices.Median || want.Prices.Median > want.Prices.High) {
			t.Fatalf("shares %v, prices %+v", want.Categories, want.Prices)
		}
		var all view.Item
		for _, x := range view.OfItems(events, products, o) {
			all.Add(x)
		}
		if all.Users != want.Items || all.Quantity != want.Quantity || all.Canceled != want.Canceled || math.Abs(all.Revenue-want.Revenue) > 1e-9 ||
			all.First != want.First || all.Last != want.Last || all.Conversion() > 1 {
			t.Fatalf("items sum up to %+v, the user has %+v", all, want)
		}
	})
}

func TestRFM(t *testing.T) {
	var users []view.User
	for i := range 10 {
		users = append(users, view.User{Orders: 1 + i/5, LastOrder: int64(100 - i), Revenue: 7})
	}
	users = append(users, view.User{})
	got := view.RFMOf(users)
	for i, want := range []view.RFM{{5, 2, 3}, {5, 2, 3}, {4, 2, 3}, {4, 2, 3}, {3, 2, 3}, {3, 4, 3}, {2, 4, 3}, {2, 4, 3}, {1, 4, 3}, {1, 4, 3}, {}} {
		if got[i] != want {
			t.Errorf("user %d: %+v, want %+v", i, got[i], want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 40).Draw(t, "n")
		users := make([]view.User, n)
		order := make([]int, n)
		for i := range users {
			users[i] = view.User{Orders: rapid.IntRange(0, 5).Draw(t, "orders"), Revenue: float64(rapid.IntRange(0, 9).Draw(t, "revenue")), LastOrder: rapid.Int64Range(1, 20).Draw(t, "last")}
			order[i] = i
		}
		want := view.RFMOf(users)
		order = rapid.Permutation(order).Draw(t, "order")
		moved := make([]view.User, n)
		for i, k := range order {
			moved[i] = users[k]
		}
		for i, r := range view.RFMOf(moved) {
			if r != want[order[i]] {
				t.Fatalf("user %d is %+v, was %+v in another order", order[i], r, want[order[i]])
			}
			for k := range users {
				if a, b := users[order[i]], users[k]; a.Orders > 0 && b.Orders > 0 && a.Revenue < b.Revenue && r.Monetary > want[k].Monetary {
					t.Fatalf("who spent %v is in class %d, who spent %v in %d", a.Revenue, r.Monetary, b.Revenue, want[k].Monetary)
				}
			}
		}
	})
}
