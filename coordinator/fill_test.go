package coordinator

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/catalog/shelf"
)

// TestNewestOfMany compares what is found piece by piece with all products in their order.
func TestNewestOfMany(t *testing.T) {
	r := routerOver(t, fakePeers{}, "a")
	rng := rand.New(rand.NewPCG(1, 2))
	var want []arrival
	but := map[string]bool{}
	for i := range 3*slotsAtOnce + 5 {
		x := catalog.Record{Key: fmt.Sprintf("p%05d", i), Attributes: []catalog.Attribute{{Name: "price", Value: catalog.Value{Type: catalog.Number, Number: float64(i % 3)}}}}
		a := arrival{key: x.Key}
		if a.known = rng.IntN(10) > 0; a.known {
			a.since = rng.Int64N(5000)
			x.Attributes = append(x.Attributes, catalog.Attribute{Name: "since", Value: catalog.Value{Type: catalog.Time, Millis: a.since}})
		}
		r.products.shelf.Put(&x)
		switch {
		case i%100 == 0:
			but[x.Key] = true
		case i%3 > 0:
			want = append(want, a)
		}
	}
	slices.SortFunc(want, compareArrivals)
	rules := &Rules{Filter: shelf.Filter{Conditions: []shelf.Condition{{Attribute: "price", Op: shelf.Available}}}}
	for _, n := range []int{1, 20, 5000, 3 * slotsAtOnce} {
		if got := r.newest(rules, "since", but, n, true, nil); !slices.Equal(got, want[:min(n, len(want))]) {
			t.Errorf("the %d newest of %d are others than in the order of all", n, len(want))
		}
	}
	known := slices.IndexFunc(want, func(x arrival) bool { return !x.known })
	if got := r.newest(rules, "since", but, 3*slotsAtOnce, false, nil); !slices.Equal(got, want[:known]) {
		t.Errorf("%d with a time, want %d", len(got), known)
	}
}

// TestDiversityLooksAtThePool: of popular items those beyond the pool come in only where the pool does not suffice.
func TestDiversityLooksAtThePool(t *testing.T) {
	r := routerOver(t, fakePeers{}, "a")
	var popular []PopularItem
	for i := range diversityPool + 1000 {
		popular = append(popular, PopularItem{fmt.Sprintf("p%05d", i), uint64(20_000 - i)})
		category := "one"
		if i == diversityPool+500 {
			category = "other"
		}
		r.products.shelf.Put(&catalog.Record{Key: popular[i].Item, Attributes: []catalog.Attribute{{Name: "category", Value: catalog.Value{Type: catalog.Text, Text: category}}}})
	}
	for _, tt := range []struct {
		d    Diversity
		n    int
		want string
		sure bool
	}{
		{Diversity{Attribute: "category", Lambda: 0.5}, 2, "[p00000 p00001]", true},
		{Diversity{Attribute: "category", Lambda: 0.5, MaxPerGroup: 1}, 2, "[p00000 p05500]", true},
		{Diversity{Attribute: "category", Lambda: 0.5, MaxPerGroup: 1}, 3, "[p00000 p05500]", false},
	} {
		chosen, sure := r.choosePopular(&Query{N: tt.n, Rules: Rules{Diversity: &tt.d}}, popular, nil, nil)
		var got []string
		for _, x := range chosen {
			got = append(got, x.Item)
		}
		if fmt.Sprint(got) != tt.want || sure != tt.sure {
			t.Errorf("%+v: %v, sure %v, want %s and %v", tt.d, got, sure, tt.want, tt.sure)
		}
	}
}
