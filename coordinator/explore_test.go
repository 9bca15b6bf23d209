package coordinator

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/catalog/shelf"
	"github.com/kith-io/kith/fusion"
)

func TestSpread(t *testing.T) {
	of := func(names string) (items []Ranked) {
		for _, c := range names {
			items = append(items, Ranked{Item: string(c)})
		}
		return items
	}
	for _, c := range []struct {
		items, some string
		n           int
		want        string
	}{
		{"abcdef", "XY", 6, "abXcdY"}, {"abcdef", "X", 6, "abcdeX"}, {"abc", "XY", 6, "aXbcY"}, {"", "XY", 6, "XY"}, {"abc", "XYZ", 3, "XYZ"}, {"abcde", "XYZ", 5, "XaYbZ"}, {"abc", "", 3, "abc"},
	} {
		got := ""
		for _, x := range spread(of(c.items), of(c.some), c.n) {
			got += x.Item
		}
		if got != c.want {
			t.Errorf("%s into %d of %s: %s, want %s", c.some, c.n, c.items, got, c.want)
		}
	}
}

// TestDraw: of many days each new product is drawn on some, those of favorite categories on more, and none that is old, known, to come or filtered out.
func TestDraw(t *testing.T) {
	const day = 24 * 60 * 60 * 1000
	r := &Router{products: newProducts(shelfBytes, time.Now)}
	put := func(key, category string, since int64) {
		r.products.shelf.Put(&catalog.Record{Key: key, Attributes: []catalog.Attribute{
			{Name: "category", Value: catalog.Value{Type: catalog.Text, Text: category}}, {Name: "since", Value: catalog.Value{Type: catalog.Time, Millis: since}},
		}})
	}
	const now = 100_000 * day
	put("met", "lamps", 1)
	put("lamp", "lamps", now)
	put("shoe", "shoes", now+day)
	put("known", "shoes", now)
	put("old", "lamps", now-1000*day)
	put("wine", "drinks", now)
	put("later", "shoes", now+5000*day)
	q := Query{User: "u", N: 3, Explore: &Explore{Places: 1, Within: 3000 * 24 * time.Hour, Attribute: "since"}}
	q.Filter.Conditions = []shelf.Condition{{Attribute: "category", Op: shelf.NoneOf, Values: []string{"drinks"}}}
	events := []fusion.Event{{User: "u", Item: "met", Behavior: fusion.Purchase, Value: 1, Time: 1}}
	first := map[string]int{}
	for d := range 2000 {
		q.Now = now + int64(d+1)*day
		drawn := r.draw(&q, events, map[string]bool{"known": true}, nil)
		if len(drawn) != 1 || drawn[0].Source != Explored {
			t.Fatalf("day %d: %+v", d, drawn)
		}
		first[drawn[0].Item]++
		if again := r.draw(&q, events, map[string]bool{"known": true}, nil); again[0].Item != drawn[0].Item {
			t.Fatalf("day %d: first %s, then %s", d, drawn[0].Item, again[0].Item)
		}
	}
	// A lot is less than a quarter of each of two others with a probability of 1/12: 167 times of 2,000.
	if n := first["lamp"] + first["old"]; first["shoe"] < 130 || first["shoe"] > 205 || n+first["shoe"] != 2000 {
		t.Errorf("drawn first: %v", first)
	}
	q.Explore.Places = 3
	q.Diversity = &Diversity{Attribute: "category", Lambda: 1, MaxPerGroup: 1}
	if drawn := r.draw(&q, events, nil, []Ranked{{Item: "met"}}); len(drawn) != 1 || drawn[0].Item == "lamp" || drawn[0].Item == "old" {
		t.Errorf("with a lamp in the answer, one of each category, and the window of old over: %v", drawn)
	}
}

// TestNewcomers: of many products the newest are found, of a shelf that changes also later.
func TestNewcomers(t *testing.T) {
	s := shelf.New(shelfBytes)
	const count = 2*newSlots + 100
	for i := range count {
		s.Put(&catalog.Record{Key: fmt.Sprintf("p%05d", i), Attributes: []catalog.Attribute{{Name: "since", Value: catalog.Value{Type: catalog.Time, Millis: int64(1 + i*7919%count)}}}})
	}
	var n newcomers
	for range 3 { // made, and kept
		got := n.by("since", math.MaxInt64, s)
		if len(got) != mostNew || got[0].since != count || got[mostNew-1].since != count-mostNew+1 || !slices.IsSortedFunc(got, compareArrivals) {
			t.Fatalf("%d products, of the moments %d to %d", len(got), got[0].since, got[len(got)-1].since)
		}
	}
	s.Put(&catalog.Record{Key: "yet to come", Attributes: []catalog.Attribute{{Name: "since", Value: catalog.Value{Type: catalog.Time, Millis: time.Now().Add(time.Hour).UnixMilli()}}}})
	s.Put(&catalog.Record{Key: "newest", Attributes: []catalog.Attribute{{Name: "since", Value: catalog.Value{Type: catalog.Time, Millis: count + 1}}}})
	n.list("since").made.Load().until = time.Time{} // its rest is over
	if got := n.by("since", math.MaxInt64, s); got[0].key != "newest" {
		t.Errorf("the newest is %+v", got[0])
	}
	for i := range 3 * newAttributes {
		n.by(fmt.Sprint("a", i), math.MaxInt64, s)
		if len(n.lists) > newAttributes {
			t.Fatalf("%d lists are kept", len(n.lists))
		}
	}
}
