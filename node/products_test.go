package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/fusion/view"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

func eventsOf(items ...string) []userEvents {
	u := userEvents{user: "u"}
	for _, item := range items {
		u.events = append(u.events, fusion.Event{User: "u", Item: item})
	}
	return []userEvents{u}
}

// TestProducts: each product is read once, in bounded batches, those without a record too; and what is known is bounded.
func TestProducts(t *testing.T) {
	reads := map[string]int{}
	long := strings.Repeat("x", 60_000)
	p := products{options: &kithv1.FeatureOptions{CategoryAttribute: "category", PriceAttribute: "price"}, stale: true}
	p.read = func(ctx context.Context, items []string, stale bool) (out []*kithv1.Record, err error) {
		if _, ok := ctx.Deadline(); !ok || !stale || len(items) > productsRead {
			t.Errorf("%d items, stale %t, deadline %t; want at most %d, stale, and one", len(items), stale, ok, productsRead)
		}
		for _, item := range items {
			reads[item]++
			if item != "unknown" {
				out = append(out, &kithv1.Record{Key: item, Attributes: []*kithv1.Attribute{
					{Name: "category", Value: &kithv1.Attribute_Text{Text: item + long}}, {Name: "price", Value: &kithv1.Attribute_Number{Number: 2}},
				}})
			}
		}
		return out, nil
	}
	for range 3 {
		if err := p.load(t.Context(), eventsOf("a", "unknown", "a", "b")); err != nil {
			t.Fatal(err)
		}
	}
	if reads["a"] != 1 || reads["b"] != 1 || reads["unknown"] != 1 {
		t.Errorf("reads %v, want one of each", reads)
	}
	if x, _ := p.find("a"); x.Category != "a"+long || x.Price != 2 {
		t.Errorf("a has a category of %d bytes and costs %v", len(x.Category), x.Price)
	}
	if x, _ := p.find("unknown"); x != (view.Product{}) {
		t.Errorf("of an unknown item %+v is known", x)
	}
	most := 0
	for i := range 100 {
		var items []string
		for k := range 10 {
			items = append(items, fmt.Sprint(i, "/", k))
		}
		if err := p.load(t.Context(), eventsOf(items...)); err != nil {
			t.Fatal(err)
		}
		for _, item := range items {
			if x, ok := p.find(item); !ok || !strings.HasPrefix(x.Category, item) {
				t.Fatalf("%s was loaded and is not known", item)
			}
		}
		most = max(most, len(p.known))
	}
	if most > 2*productsBytes/len(long) || most < productsBytes/len(long) {
		t.Errorf("%d products of %d bytes are known at once; want about %d", most, len(long), productsBytes/len(long))
	}
	many := make([]string, 2*productsRead+1)
	for i := range many {
		many[i] = fmt.Sprint("unknown", i)
	}
	p.read = func(_ context.Context, _ []string, _ bool) ([]*kithv1.Record, error) {
		reads["calls"]++
		return nil, nil
	}
	if err := p.load(t.Context(), eventsOf(many...)); err != nil || reads["calls"] != 3 {
		t.Errorf("%d calls for %d items, error %v", reads["calls"], len(many), err)
	}
	lost := errors.New("lost")
	p.read = func(context.Context, []string, bool) ([]*kithv1.Record, error) { return nil, lost }
	if err := p.load(t.Context(), eventsOf("new")); !errors.Is(err, lost) {
		t.Errorf("got %v, want %v", err, lost)
	}
}
